//! What a fault does to mail: nothing is lost, nothing leaves in clear that policy protects, and what
//! is duplicated is known. The result is docs/failure-matrix.md.

mod arriving;
mod authority;
mod authority_killed;
mod commands;
mod connection;
mod custody;
mod door;
mod hold;
mod keys;
mod kill;
mod lasting;
mod letter;
mod matrix;
mod milter_tap;
mod office;
mod readers;
mod reinjection;
mod storage;
mod trace;
mod trust;
mod world;
