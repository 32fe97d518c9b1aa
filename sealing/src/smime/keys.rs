//! What opening an S/MIME message needs to know about keys.

use std::sync::Arc;

use keydir::Anchors;
use keydir::Answer;
use keydir::Certificate;
use mail::Address;

use crate::cms::RecipientId;
use crate::cms::SecretKey;
use crate::result::Binding;

/// Gives certificates and secret keys to the code that opens S/MIME messages.
///
/// A look-up that failed is [`Answer::CouldNotTell`], never [`Answer::None`]: it makes
/// [`open`](crate::open) fail for the moment, and the mail waits.
pub trait Keys {
    /// The secret keys that may open *this* message, of those that it names.
    ///
    /// Give only keys of the message's own envelope recipients and of their domain, as for
    /// [`openpgp::Keys::secrets`](crate::openpgp::Keys::secrets).
    fn secrets(&self, named: &[RecipientId]) -> Answer<Vec<Arc<SecretKey>>>;

    /// Whether everybody who would get the opened message is meant by one of these recipients of the
    /// encrypted one. Else one recipient would read what was encrypted to another.
    fn cover(&self, named: &[RecipientId]) -> Answer<()>;

    /// Whether what is opened goes on to somebody else, who shall get its author's signature: one that is opaque then
    /// stays although a layer around it was opened.
    fn keeps_signatures(&self) -> bool {
        false
    }

    /// The authorities that are trusted, and what they revoked.
    fn anchors(&self) -> Arc<Anchors>;

    /// Called before the certificate of a signer is verified: the chance to fetch what its authorities say
    /// about revocation, for [`Keys::anchors`] to know. `true` demands it: a signature then counts only if
    /// the revocation of each certificate of the chain that says where to ask could be told.
    fn look_up_revocation(&self, certificate: &Certificate, enclosed: &[Certificate]) -> bool {
        let _ = (certificate, enclosed);
        false
    }

    /// Certificates that may be the signer's or its issuers', beside those in the message.
    fn certificates(&self, id: &RecipientId) -> Answer<Vec<Certificate>>;

    /// Whether the administrator assigned this certificate to the address or to its domain, whatever it says
    /// itself and whoever issued it.
    fn assigned(&self, certificate: &Certificate, from: &Address) -> Answer<Binding>;
}

/// Knows nobody: every certificate is unknown and no message can be opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

impl Keys for NoKeys {
    fn secrets(&self, _: &[RecipientId]) -> Answer<Vec<Arc<SecretKey>>> {
        Answer::None { why: Vec::new() }
    }

    fn cover(&self, _: &[RecipientId]) -> Answer<()> {
        Answer::None { why: Vec::new() }
    }

    fn anchors(&self) -> Arc<Anchors> {
        Arc::new(Anchors::none())
    }

    fn certificates(&self, _: &RecipientId) -> Answer<Vec<Certificate>> {
        Answer::None { why: Vec::new() }
    }

    fn assigned(&self, _: &Certificate, _: &Address) -> Answer<Binding> {
        Answer::None { why: Vec::new() }
    }
}
