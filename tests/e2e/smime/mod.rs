//! S/MIME: from domain to domain, and with the software of others.

mod accounts;
mod authority;
mod domains;
