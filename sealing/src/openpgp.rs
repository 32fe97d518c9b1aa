//! OpenPGP on messages: RFC 9580 for the packets, RFC 3156 for their place in MIME.
//!
//! [`seal`] signs and encrypts a message; it is opened by [`crate::open`].
//!
//! Nothing here reads the clock or holds a key of its own: the time is an argument, keys come through
//! [`Keys`].

pub mod armor;

mod container;
pub(crate) mod decrypt;
mod encrypt;
mod endorse;
mod generate;
pub(crate) mod inline;
pub(crate) mod keys;
mod note;
mod partial;
mod password;
pub(crate) mod rotate;
mod rsa;
mod seal;
mod secret_cert;
mod sign;
pub(crate) mod text;
mod time;
mod user_id;
pub(crate) mod verify;

pub use crate::result::Binding;
pub use crate::result::Limits;
pub use endorse::EndorseError;
pub use endorse::endorse;
pub use endorse::trust_domain;
pub use generate::GenerateError;
pub use generate::GenerateOptions;
pub use generate::KeySuite;
pub use generate::KeyVersion;
pub use generate::generate;
pub use keys::Keys;
pub use note::encrypt_note;
pub use password::PasswordForm;
pub use password::PasswordSeal;
pub use password::seal_with_password;
pub use rotate::Epochs;
pub use rotate::RotateError;
pub use rotate::Rotated;
pub use rotate::rotate;
pub use seal::Seal;
pub use seal::SealError;
pub use seal::seal;
pub use seal::sealed_size_estimate;
pub use secret_cert::PreparedKey;
pub use secret_cert::SecretCert;
pub use secret_cert::SecretCertError;
pub use user_id::add_user_id;
// Rooms that hand these values on need not know the library.
pub use sequoia_openpgp::Cert;
pub use sequoia_openpgp::Fingerprint;
pub use sequoia_openpgp::KeyHandle;
