//! The whole room against servers in this process, with certificates that gpg and rcgen made.

mod certificates;
mod change;
mod keeping;
mod outcomes;
mod patience;
mod world;
