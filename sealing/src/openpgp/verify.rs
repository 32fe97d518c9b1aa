//! Verifying signatures, and whom they speak for.

use std::time::Duration;
use std::time::SystemTime;

use keydir::Answer;
use mail::Body;
use mail::Spill;
use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::KeyHandle;
use pgp::packet::Signature;
use pgp::parse::Parse;
use pgp::parse::stream::DetachedVerifierBuilder;
use pgp::parse::stream::MessageLayer;
use pgp::parse::stream::MessageStructure;
use pgp::parse::stream::VerificationError;
use pgp::parse::stream::VerificationHelper;
use pgp::parse::stream::VerificationResult;
use pgp::policy::StandardPolicy;

use super::decrypt::machine_fault;
use super::keys::Keys;
use super::time::system_time;
use super::time::unix_seconds;
use crate::author::Author;
use crate::result::Layer;
use crate::result::LayerKind;
use crate::result::LayerState;
use crate::result::Limits;
use crate::result::OpenError;

/// A signature may be dated so far ahead of our clock.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Everything that a verdict depends on.
pub(crate) struct Question<'a> {
    pub(crate) keys: &'a (dyn Keys + 'a),
    pub(crate) author: Author,
    /// Unix seconds.
    pub(crate) now: i64,
    pub(crate) limits: &'a Limits,
    pub(crate) spill: &'a Spill,
}

impl Question<'_> {
    /// The time against which signatures are checked.
    pub(crate) fn tolerant_time(&self) -> SystemTime {
        system_time(self.now) + CLOCK_SKEW
    }
}

/// Collects the verdicts of one stream.
pub(crate) struct Examination<'q> {
    pub(crate) question: &'q Question<'q>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) decrypted_with: Option<String>,
    /// A key look-up failed: there is no verdict.
    pub(crate) lookup_failed: Option<String>,
}

impl<'q> Examination<'q> {
    /// Signatures of one layer that are looked at.
    pub(crate) const SIGNATURES: usize = 16;

    pub(crate) fn new(question: &'q Question<'q>) -> Examination<'q> {
        Examination { question, layers: Vec::new(), decrypted_with: None, lookup_failed: None }
    }

    pub(crate) fn certificates(&mut self, ids: &[KeyHandle]) -> pgp::Result<Vec<Cert>> {
        let mut certs: Vec<Cert> = Vec::new();
        for id in ids.iter().take(2 * Self::SIGNATURES) {
            match self.question.keys.certificates(id) {
                Answer::Found(found) => {
                    for cert in found {
                        if !certs.iter().any(|known| known.fingerprint() == cert.fingerprint()) {
                            certs.push(cert.as_ref().clone());
                        }
                    }
                }
                Answer::None { .. } => (),
                Answer::CouldNotTell { why } => {
                    self.lookup_failed = Some(why);
                    return Err(anyhow::anyhow!("key look-up failed"));
                }
            }
        }
        Ok(certs)
    }

    pub(crate) fn check(&mut self, structure: MessageStructure<'_>) -> pgp::Result<()> {
        for layer in structure {
            match layer {
                MessageLayer::Compression { .. } => (),
                MessageLayer::Encryption { .. } => {
                    let mut layer = Layer::new(LayerKind::Encrypted, LayerState::Opened);
                    layer.decrypted_with = self.decrypted_with.clone();
                    self.layers.push(layer);
                }
                MessageLayer::SignatureGroup { results } => {
                    let verdicts = results.into_iter().take(Self::SIGNATURES);
                    let verdicts =
                        verdicts.map(|result| self.judge(result)).collect::<Result<Vec<_>, _>>()?;
                    self.layers.extend(verdicts.into_iter().min_by_key(|layer| rank(layer.state)));
                }
            }
        }
        Ok(())
    }

    /// One signature as a layer.
    fn judge(&mut self, result: VerificationResult<'_>) -> pgp::Result<Layer> {
        let mut layer = Layer::new(LayerKind::Signed, LayerState::Invalid);
        match result {
            Ok(good) => {
                layer.signed_at = made_at(good.sig);
                self.bind(layer, good.ka.cert())
            }
            Err(VerificationError::MissingKey { sig }) => {
                layer.state = LayerState::UnknownSigner;
                layer.signed_at = made_at(sig);
                layer.signer = sig.get_issuers().first().map(KeyHandle::to_hex);
                Ok(layer.because("we have no certificate of the signer"))
            }
            Err(VerificationError::UnboundKey { sig, cert, error }) => {
                Ok(invalid(layer, sig, Some(cert), &error))
            }
            Err(
                VerificationError::BadKey { sig, ka, error }
                | VerificationError::BadSignature { sig, ka, error },
            ) => Ok(invalid(layer, sig, Some(ka.cert()), &error)),
            Err(VerificationError::MalformedSignature { sig, error }) => {
                Ok(invalid(layer, sig, None, &error))
            }
            Err(other) => Ok(layer.because(other.to_string())),
        }
    }

    /// Whether the maker of a signature that holds is the author.
    fn bind(&mut self, mut layer: Layer, cert: &Cert) -> pgp::Result<Layer> {
        let fingerprint = cert.fingerprint();
        layer.signer = Some(fingerprint.to_hex());
        layer.state = LayerState::WrongSigner;
        let address = match &self.question.author {
            Author::Known(address) => address,
            Author::Unclear(why) => return Ok(layer.because(*why)),
        };
        match self.question.keys.authorised(&fingerprint, address) {
            Answer::Found(binding) => {
                layer.state = LayerState::Valid;
                layer.binding = Some(binding);
                layer.signer_subject = Some(address.to_string());
                Ok(layer)
            }
            Answer::None { .. } => {
                Ok(layer.because(format!("the signature holds, but its maker does not speak for {address}")))
            }
            Answer::CouldNotTell { why } => {
                self.lookup_failed = Some(why);
                Err(anyhow::anyhow!("key look-up failed"))
            }
        }
    }
}

/// Verifies detached signatures over exactly these bytes.
///
/// Mail is signed with CRLF line ends (RFC 3156 section 5). A message that comes to us with bare LF is
/// verified in that form too, which is how it was before it was stored.
pub(crate) fn verify_detached(
    signature: &[u8],
    signed: &Body,
    question: &Question<'_>,
) -> Result<Layer, OpenError> {
    let layer = verify_bytes(signature, signed, question)?;
    if layer.state != LayerState::Invalid {
        return Ok(layer);
    }
    let mut canonical = mail::BodyWriter::new(question.spill);
    signed.write_to(&mut crate::transfer::CrlfWriter::new(&mut canonical))?;
    let canonical = canonical.finish()?;
    if canonical.len() == signed.len() { Ok(layer) } else { verify_bytes(signature, &canonical, question) }
}

fn verify_bytes(signature: &[u8], signed: &Body, question: &Question<'_>) -> Result<Layer, OpenError> {
    let policy = StandardPolicy::at(system_time(question.now));
    let mut examination = Examination::new(question);
    let outcome = DetachedVerifierBuilder::from_bytes(signature)
        .and_then(|builder| {
            builder.with_policy(&policy, Some(question.tolerant_time()), Verifying(&mut examination))
        })
        .and_then(|mut verifier| verifier.verify_reader(signed.reader(0..signed.len())));
    if let Some(why) = examination.lookup_failed {
        return Err(OpenError::Keys(why));
    }
    if let Some(error) = outcome.as_ref().err().and_then(machine_fault) {
        return Err(OpenError::Io(error));
    }
    let none = || Layer::new(LayerKind::Signed, LayerState::Invalid);
    Ok(match (outcome, examination.layers.pop()) {
        (Ok(()), Some(layer)) => layer,
        (Ok(()), None) => none().because("the signature part holds no signature"),
        (Err(error), _) => none().because(format!("the signature cannot be read: {error}")),
    })
}

/// Lends an examination to Sequoia.
pub(crate) struct Verifying<'e, 'q>(pub(crate) &'e mut Examination<'q>);

impl VerificationHelper for Verifying<'_, '_> {
    fn get_certs(&mut self, ids: &[KeyHandle]) -> pgp::Result<Vec<Cert>> {
        self.0.certificates(ids)
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> pgp::Result<()> {
        self.0.check(structure)
    }
}

fn invalid(mut layer: Layer, sig: &Signature, cert: Option<&Cert>, error: &anyhow::Error) -> Layer {
    layer.signed_at = made_at(sig);
    layer.signer = match cert {
        Some(cert) => Some(cert.fingerprint().to_hex()),
        None => sig.get_issuers().first().map(KeyHandle::to_hex),
    };
    // With its causes: "not live" alone would not say that the key expired.
    layer.because(format!("{error:#}"))
}

fn made_at(sig: &Signature) -> Option<i64> {
    sig.signature_creation_time().map(unix_seconds)
}

/// Of several signatures on one layer the most telling one stands for it.
fn rank(state: LayerState) -> u8 {
    match state {
        LayerState::Valid => 0,
        LayerState::WrongSigner => 1,
        LayerState::Invalid => 2,
        _ => 3,
    }
}
