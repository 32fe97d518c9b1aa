//! What tests of several modules share: certificates of every kind, and servers that follow a script.

pub(crate) mod certificates;
pub(crate) mod tls_server;
