//! S/MIME: from domain to domain, and with the software of others.

mod accounts;
mod authority;
pub(crate) mod domains;
mod faults;
mod nesting;
mod order;
mod people;
mod quick_start;
mod revocation;
mod submissions;
mod users;
