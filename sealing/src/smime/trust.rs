//! Whom a signature that holds speaks for.
//!
//! A signature is valid when four things are: it holds, its certificate chains to an authority that is
//! trusted and did not revoke it, the certificate was valid when it signed and is now, and it speaks for the
//! only address in From (RFC 8551 section 4.4.1, RFC 3183 section 4.1).

use keydir::Answer;
use keydir::Authority;
use keydir::Certificate;
use keydir::ChainError;
use keydir::Reason;
use keydir::Speaks;
use keydir::Use;
use mail::Address;

use super::naming;
use super::step::Question;
use crate::author::Author;
use crate::cms::Expansion;
use crate::cms::RecipientId;
use crate::cms::SignerResult;
use crate::cms::Verified;
use crate::result::Announced;
use crate::result::Binding;
use crate::result::Brought;
use crate::result::Layer;
use crate::result::LayerKind;
use crate::result::LayerState;
use crate::result::OpenError;

/// A signature may be dated so far ahead of our clock, seconds.
const CLOCK_SKEW: i64 = 5 * 60;
/// So many certificates that came along are looked at.
const MAX_BROUGHT: usize = 8;

/// One layer for each signer, in the order in which they stand; one that is not valid if there is none.
pub(crate) fn layers(verified: &Verified, question: &Question<'_>) -> Result<Vec<Layer>, OpenError> {
    if verified.signers.is_empty() {
        // RFC 3183 section 3.1.1: an empty layer claims nothing.
        return Ok(Vec::new());
    }
    let judge = |signer| layer(signer, &verified.certificates, question);
    let mut layers: Vec<Layer> = verified.signers.iter().map(judge).collect::<Result<_, _>>()?;
    let told = verified.expansion().map(drop).and_then(|()| verified.signature_types().map(drop));
    if let Err(why) = told {
        // RFC 2634 section 4.1, RFC 3183 section 3.1.2: nobody can say which of them to believe.
        for layer in &mut layers {
            layer.state = LayerState::Invalid;
            layer.why = Some(why.clone());
        }
        return Ok(layers);
    }
    // Several signers of one layer say the same in several algorithms: one whose certificate or algorithm nobody
    // here knows takes nothing from one that is known. One that is broken does.
    let valid = layers.iter().any(|layer| layer.state == LayerState::Valid);
    let known = |layer: &Layer| !matches!(layer.state, LayerState::UnknownSigner | LayerState::Unsupported);
    Ok(if valid { layers.into_iter().filter(known).collect() } else { layers })
}

/// What a mailing list agent says, of those whose signatures are believed in these layers.
pub(crate) fn expansion(verified: &Verified, layers: &[Layer]) -> Option<Expansion> {
    let believed = |signer: &&SignerResult| {
        let certificate = signer.certificate.as_ref().map(Certificate::fingerprint);
        layers.iter().any(|layer| layer.is_believed() && layer.signer == certificate)
    };
    verified.signers.iter().filter(believed).find_map(|signer| signer.expansion.clone())
}

fn layer(
    signer: &SignerResult,
    enclosed: &[Certificate],
    question: &Question<'_>,
) -> Result<Layer, OpenError> {
    let mut layer = super::step::layer(LayerKind::Signed, LayerState::Invalid);
    layer.signed_at = signer.signing_time;
    layer.signer = signer.certificate.as_ref().map(Certificate::fingerprint);
    if let Err(why) = &signer.holds {
        let known = signer.certificate.is_some();
        layer.state = match (signer.unsupported, known) {
            (true, _) => LayerState::Unsupported,
            (false, true) => LayerState::Invalid,
            (false, false) => LayerState::UnknownSigner,
        };
        return Ok(layer.because(why.clone()));
    }
    let Some(certificate) = &signer.certificate else {
        layer.state = LayerState::UnknownSigner;
        return Ok(layer.because("the signer's certificate is not known"));
    };
    let made = signer.signing_time.unwrap_or(question.now);
    if made > question.now.saturating_add(CLOCK_SKEW) {
        return Ok(layer.because("the signature says it was made in the future"));
    }
    let address = match question.author {
        Author::Known(address) => Some(address),
        Author::Unclear(_) => None,
    };
    let assigned = assigned(certificate, address, question)?;
    if let Err((state, why)) = chained(certificate, enclosed, made, assigned.is_some(), question) {
        layer.state = state;
        return Ok(layer.because(why));
    }
    if let Err(why) = naming::check(&signer.signature_types, certificate, assigned) {
        return Ok(Layer { state: LayerState::WrongSigner, ..layer }.because(why));
    }
    let layer = bind(layer, certificate, assigned, question.author);
    match layer.state {
        LayerState::WrongSigner if signer.expansion.is_some() => {
            let why = "the signature of a mailing list that expanded the message";
            Ok(Layer { state: LayerState::List, ..layer }.because(why))
        }
        LayerState::Valid => {
            let brought = brought(signer, certificate, enclosed, &layer, question);
            Ok(Layer { announced: announced(signer), brought, ..layer })
        }
        _ => Ok(layer),
    }
}

fn announced(signer: &SignerResult) -> Option<Announced> {
    let capabilities = signer.capabilities;
    let certificate = signer.encryption_certificate.clone();
    (capabilities.gcm || capabilities.oaep).then_some(Announced { capabilities, certificate })
}

/// The certificates to encrypt to among those that came along. The signature covers none of them but by the signer's
/// preference (RFC 8551 section 2.5.3): where there is one, no other counts.
fn brought(
    signer: &SignerResult,
    own: &Certificate,
    enclosed: &[Certificate],
    layer: &Layer,
    question: &Question<'_>,
) -> Vec<Brought> {
    let Some(address) = &layer.signer_subject else { return Vec::new() };
    let meant = |certificate: &&Certificate| match &signer.encryption_certificate {
        Some(RecipientId::IssuerSerial { issuer, serial }) => {
            certificate.issuer_der() == issuer && certificate.serial() == serial
        }
        Some(RecipientId::KeyId(id)) => certificate.subject_key_id() == Some(id),
        None => true,
    };
    let speaks = |certificate: &&Certificate| match layer.binding {
        Some(Binding::User) => certificate.speaks_for(address) == Some(Speaks::User),
        Some(Binding::Domain) => is_confidentiality_authority(certificate, address),
        None => false,
    };
    let others = enclosed.iter().take(MAX_BROUGHT).filter(|certificate| *certificate != own);
    let anchors = question.keys.anchors();
    let chained = |certificate: &Certificate| {
        let chain = anchors.verify(certificate, enclosed, question.now, Use::Encrypt).ok()?;
        let above = chain.intermediates().to_vec();
        Some(Brought { certificate: certificate.clone(), above })
    };
    std::iter::once(own).chain(others).filter(meant).filter(speaks).filter_map(chained).collect()
}

/// Whether it is to what mail for the whole domain of an address is encrypted (RFC 3183 section 3.1.1).
fn is_confidentiality_authority(certificate: &Certificate, address: &str) -> bool {
    let domain = address.rsplit_once('@').map(|(_, domain)| domain);
    match (certificate.authority(), domain) {
        (Some((Authority::Confidentiality, name)), Some(domain)) => name.eq_ignore_ascii_case(domain),
        _ => false,
    }
}

/// Checks the certificate for the time of the signature and for now.
fn chained(
    certificate: &Certificate,
    enclosed: &[Certificate],
    made: i64,
    assigned: bool,
    question: &Question<'_>,
) -> Result<(), (LayerState, String)> {
    let demanded = question.keys.look_up_revocation(certificate, enclosed);
    let anchors = question.keys.anchors();
    for at in [made, question.now] {
        certificate.may_sign(at).map_err(|reason| {
            let unsupported = matches!(reason, Reason::Unsupported(_));
            let state = if unsupported { LayerState::Unsupported } else { LayerState::Invalid };
            (state, reason.to_string())
        })?;
        match anchors.verify(certificate, enclosed, at, Use::Sign) {
            Ok(chain) if demanded && at == question.now => {
                let names_a_source = |one: &&Certificate| one.crl_urls().len() + one.ocsp_urls().len() > 0;
                if let Some(one) = chain.unchecked().iter().find(names_a_source) {
                    let whose = if one == certificate { "the certificate" } else { "its authority" };
                    let why = format!("whether {whose} was revoked could not be told");
                    return Err((LayerState::UnknownSigner, why));
                }
            }
            Ok(_) => {}
            // The administrator vouches for it; that never makes up for a revocation.
            Err(ChainError::Untrusted(_)) if assigned => {}
            Err(error @ (ChainError::Untrusted(_) | ChainError::RevocationUnknown(_))) => {
                return Err((LayerState::UnknownSigner, error.to_string()));
            }
            Err(error) => return Err((LayerState::Invalid, error.to_string())),
        }
    }
    Ok(())
}

fn assigned(
    certificate: &Certificate,
    address: Option<&Address>,
    question: &Question<'_>,
) -> Result<Option<Binding>, OpenError> {
    let Some(address) = address else { return Ok(None) };
    match question.keys.assigned(certificate, address) {
        Answer::Found(binding) => Ok(Some(binding)),
        Answer::None { .. } => Ok(None),
        Answer::CouldNotTell { why } => Err(OpenError::Keys(why)),
    }
}

/// Says for whom the signature speaks: valid for the author only.
fn bind(mut layer: Layer, certificate: &Certificate, assigned: Option<Binding>, author: &Author) -> Layer {
    layer.state = LayerState::WrongSigner;
    let address = match author {
        Author::Known(address) => address.to_string(),
        Author::Unclear(why) => return layer.because(*why),
    };
    let speaks = match certificate.speaks_for(&address) {
        Some(Speaks::User) => Some(Binding::User),
        Some(Speaks::Domain) => Some(Binding::Domain),
        None => assigned,
    };
    let Some(binding) = speaks else {
        let names = certificate.addresses().join(", ");
        let names = if names.is_empty() { "nobody by address".to_owned() } else { names };
        return layer.because(format!("the certificate is for {names}, not for {address}"));
    };
    layer.state = LayerState::Valid;
    layer.binding = Some(binding);
    layer.signer_subject = Some(address);
    layer
}
