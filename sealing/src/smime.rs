//! S/MIME on messages: RFC 8551, with the domain signatures of RFC 3183.
//!
//! The binary objects are made and read by [`crate::cms`]; here is their place in MIME, and whom a signature
//! speaks for. [`seal`] signs and encrypts a message; it is opened by [`crate::open`].

mod domain;
mod keys;
mod naming;
mod seal;
pub(crate) mod step;
mod trust;

pub use crate::cms::Capabilities;
pub use crate::cms::ContentCipher;
pub use crate::cms::Expansion;
pub use crate::cms::KeyTransport;
pub use crate::cms::RecipientId;
pub use crate::cms::SecretKey;
pub use crate::cms::SignatureType;
pub use keys::Keys;
pub use keys::NoKeys;
pub use seal::Nesting;
pub use seal::Seal;
pub use seal::SealError;
pub use seal::SignedForm;
pub use seal::Signer;
pub use seal::seal;
pub use seal::sealed_size_estimate;
