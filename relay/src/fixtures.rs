//! What tests of several modules share: certificates of every kind, and servers that follow a script.

pub(crate) mod certificates;
pub(crate) mod smtp_server;
pub(crate) mod tls_server;
