//! What correspondents announce to be able to read (RFC 8551 section 2.5.2), learnt from their signatures after a
//! message was decided: the next one to them is encrypted accordingly. It is never taken back by a message.

use keydir::{CertificateId, Subject};
use program::chain;
use sealing::smime::RecipientId;
use sealing::{Binding, Layer, LayerState};

use crate::keyring::KeyRing;

/// What the signer of a message announced, in a signature that is valid for its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// For whom he spoke: the author, or his domain.
    pub subject: Subject,
    /// The certificate to encrypt to, if he named one (RFC 8551 section 2.5.3).
    pub certificate: Option<RecipientId>,
    /// AES-256-GCM.
    pub gcm: bool,
    /// RSA-OAEP.
    pub oaep: bool,
}

/// What valid signers announce in these layers.
pub fn announcements(layers: &[Layer]) -> Vec<Announcement> {
    layers.iter().filter_map(announcement).collect()
}

fn announcement(layer: &Layer) -> Option<Announcement> {
    let announced = layer.announced.as_ref().filter(|_| layer.state == LayerState::Valid)?;
    let author = layer.signer_subject.as_deref()?;
    let subject = match layer.binding? {
        Binding::User => Subject::address(author),
        Binding::Domain => Subject::domain(&crate::transaction::domain_of(author)),
    };
    Some(Announcement {
        subject: subject?,
        certificate: announced.certificate.clone(),
        gcm: announced.capabilities.gcm,
        oaep: announced.capabilities.oaep,
    })
}

impl KeyRing {
    /// Notes what was announced about certificates that we have. Blocking. A failure costs nothing but a note that
    /// the next message brings again.
    pub fn learn(&self, announcements: &[Announcement]) {
        for Announcement { subject, certificate, gcm, oaep } in announcements {
            let certificate = certificate.as_ref().map(|id| match id {
                RecipientId::IssuerSerial { issuer, serial } => {
                    CertificateId::IssuerSerial { issuer, serial }
                }
                RecipientId::KeyId(key_id) => CertificateId::KeyId(key_id),
            });
            match self.store.raise_capabilities(subject, certificate.as_ref(), *gcm, *oaep) {
                Ok(raised) => raised.iter().for_each(|fingerprint| {
                    tracing::info!(
                        "certificate {fingerprint} of {subject}: its holder announced AES-256-GCM={gcm}, RSA-OAEP={oaep}"
                    );
                }),
                Err(error) => tracing::warn!("cannot note what {subject} announced: {}", chain(&error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keydir::Scheme;
    use sealing::smime::Capabilities;
    use sealing::{Announced, LayerKind};

    fn layer(state: LayerState, binding: Binding) -> Layer {
        Layer {
            scheme: Scheme::Smime,
            kind: LayerKind::Signed,
            state,
            signer: None,
            signer_subject: Some("alice@alpha.example".to_owned()),
            binding: Some(binding),
            signed_at: None,
            decrypted_with: None,
            announced: Some(Announced {
                capabilities: Capabilities { gcm: true, oaep: false },
                certificate: None,
            }),
            brought: Vec::new(),
            part: None,
            why: None,
            malleable: false,
            attached: false,
        }
    }

    #[test]
    fn only_valid_signers_announce_and_only_for_whom_they_speak() {
        let layers = [
            layer(LayerState::Valid, Binding::User),
            layer(LayerState::Valid, Binding::Domain),
            layer(LayerState::WrongSigner, Binding::User),
            layer(LayerState::Invalid, Binding::Domain),
        ];
        let subjects: Vec<_> =
            announcements(&layers).iter().map(|announcement| announcement.subject.clone()).collect();
        let expected = [Subject::address("alice@alpha.example"), Subject::domain("alpha.example")];
        assert_eq!(subjects, expected.map(Option::unwrap));
    }
}
