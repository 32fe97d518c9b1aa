//! The durable record of every decision.
//!
//! A caller hands an [`Entry`] to [`Notary::append`] and gets a [`Receipt`] once the entry is on
//! disk. Every entry becomes one leaf of a hash-chained, Merkle-hashed log (RFC 6962 section 2.1):
//! the leaf holds no personal data in clear, only public fields and salted commitments, while
//! everything else lies beside it in an encrypted private record whose key can be destroyed.
//!
//! What it will not do: it cannot prove that something happened that nobody recorded, nor that the
//! clock was right, nor (without a root kept elsewhere) that the newest leaves were not cut off.
//!
//! This crate knows no mail. It takes values and bytes and returns receipts and proofs.

mod cbor;
mod commitment;
mod entry;
mod epoch;
mod erase;
mod error;
mod keys;
mod leaf;
mod lock;
mod notary;
mod pending;
mod prepared;
mod private_record;
mod query;
mod store;
mod verify;
mod writer;

pub use entry::Detail;
pub use entry::Entry;
pub use entry::EntryError;
pub use entry::Receipt;
pub use error::AppendError;
pub use error::OpenError;
pub use error::ReadError;
pub use notary::Counts;
pub use notary::Notary;
pub use notary::Options;
pub use notary::system_clock;
pub use pending::Pending;
pub use query::Opening;
pub use query::Reader;
pub use query::Story;
pub use tlog::merkle;
pub use verify::Fault;
pub use verify::Verification;

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
