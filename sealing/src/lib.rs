//! Cryptography on messages: what makes mail unreadable for others, and what proves who wrote it.

pub mod cms;
pub mod custody;
pub mod openpgp;
