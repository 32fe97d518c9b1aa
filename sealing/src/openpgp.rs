//! OpenPGP on messages: RFC 9580 for the packets, RFC 3156 for their place in MIME.
//!
//! [`seal`] signs and encrypts a message, [`open`] decrypts and verifies one; both answer with
//! [`mail::Edit`]s on the message they were given and never touch a byte that is not theirs.
//! [`recognise`] says how a message is protected, by its structure alone.
//!
//! Nothing here reads the clock or holds a key of its own: the time is an argument, keys come through
//! [`Keys`].

pub mod armor;

mod canonical;
mod container;
mod decrypt;
mod encrypt;
mod forms;
mod generate;
mod inline;
mod keys;
mod open;
mod partial;
mod recognise;
mod result;
mod rsa;
mod seal;
mod secret_cert;
mod sign;
mod splice;
mod time;
mod transfer;
mod verify;

pub use generate::GenerateError;
pub use generate::GenerateOptions;
pub use generate::KeySuite;
pub use generate::KeyVersion;
pub use generate::generate;
pub use keys::Binding;
pub use keys::Keys;
pub use open::open;
pub use recognise::Form;
pub use recognise::FormKind;
pub use recognise::Protection;
pub use recognise::Recognised;
pub use recognise::recognise;
pub use result::Layer;
pub use result::LayerKind;
pub use result::LayerState;
pub use result::Limits;
pub use result::OpenError;
pub use result::Opened;
pub use seal::Seal;
pub use seal::SealError;
pub use seal::seal;
pub use seal::sealed_size_estimate;
pub use secret_cert::PreparedKey;
pub use secret_cert::SecretCert;
pub use secret_cert::SecretCertError;
// Rooms that hand these values on need not know the library.
pub use sequoia_openpgp::Cert;
pub use sequoia_openpgp::Fingerprint;
pub use sequoia_openpgp::KeyHandle;
