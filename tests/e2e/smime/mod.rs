//! S/MIME: from domain to domain, and with the software of others.

mod accounts;
mod announced;
mod authority;
pub(crate) mod domains;
mod mailing_list;
mod nesting;
mod order;
pub(crate) mod people;
mod quick_start;
pub(crate) mod revocation;
mod submissions;
mod submissions_inside;
mod users;
