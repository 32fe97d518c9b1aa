//! Cryptographic Message Syntax (RFC 5652): the binary objects inside S/MIME.
//!
//! [`peek`] says what an object is; [`encrypt`], [`decrypt`] and [`decompress`] make and open objects that
//! hide their content; [`sign_detached`], [`sign_opaque`], [`verify_detached`] and [`verify_opaque`] make and
//! read those that prove who wrote it.
//!
//! What is written is DER with definite lengths. What is read is BER, as a stream: the octets of the
//! content are never held in memory as a whole, and everything that is not content is limited.

mod algorithm;
mod ber;
mod compressed;
mod content_info;
mod der_write;
mod envelope;
mod oid;
mod secret_key;
mod signed;

pub use compressed::DecompressError;
pub use compressed::Decompressed;
pub use compressed::decompress;
pub use content_info::ContentKind;
pub use content_info::peek;
pub use envelope::CipherSeen;
pub use envelope::ContentCipher;
pub use envelope::Decrypted;
pub use envelope::EnvelopeError;
pub use envelope::KeyTransport;
pub use envelope::Recipient;
pub use envelope::RecipientId;
pub use envelope::decrypt;
pub use envelope::encrypt;
pub use envelope::encrypted_len;
pub use secret_key::SecretKey;
pub use secret_key::SecretKeyError;
pub use signed::Capabilities;
pub use signed::Expansion;
pub use signed::ListExpansion;
pub use signed::OpaqueSigned;
pub use signed::SignError;
pub use signed::SignatureType;
pub use signed::Signer;
pub use signed::SignerResult;
pub use signed::Verified;
pub use signed::VerifyError;
pub use signed::empty_layer;
pub use signed::micalg;
pub use signed::sign_detached;
pub use signed::sign_opaque;
pub use signed::verify_detached;
pub use signed::verify_opaque;
