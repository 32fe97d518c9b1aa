//! What opening a message needs to know about keys.

use std::sync::Arc;

use keydir::Answer;
use mail::Address;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::KeyHandle;

use super::secret_cert::SecretCert;
use crate::result::Binding;

/// Gives certificates and secret keys to the code that opens messages.
///
/// A look-up that failed is [`Answer::CouldNotTell`], never [`Answer::None`]: it makes
/// [`open`](crate::open) fail for the moment, and the mail waits.
pub trait Keys {
    /// The certificates that hold the key with this fingerprint or key id, revoked and expired ones
    /// included: whether a signature counts is decided for the time it was made.
    fn certificates(&self, handle: &KeyHandle) -> Answer<Vec<Arc<Cert>>>;

    /// The secret keys with this (sub)key fingerprint or key id that may open *this* message; without a
    /// handle the recipient is hidden, and all that may be tried are wanted, the likeliest first.
    ///
    /// Give only keys of the message's own envelope recipients and of their domain. Custody holds
    /// everybody's: somebody who caught a message to one user could send it to another and have us
    /// deliver the plaintext.
    fn secrets(&self, handle: Option<&KeyHandle>) -> Answer<Vec<Arc<SecretCert>>>;

    /// Whether everybody who would get the opened message is meant by one of these recipients of the
    /// encrypted one. Else one recipient would read what was encrypted to another.
    fn cover(&self, named: &[KeyHandle]) -> Answer<()>;

    /// Whether the certificate with this primary fingerprint speaks for the address, and how.
    fn authorised(&self, fingerprint: &Fingerprint, from: &Address) -> Answer<Binding>;
}
