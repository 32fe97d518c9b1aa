//! Decrypting one OpenPGP message as a stream.

use std::io;
use std::io::Read;
use std::io::Write;

use keydir::Answer;
use mail::Body;
use mail::BodyWriter;
use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::KeyHandle;
use pgp::Packet;
use pgp::crypto::SessionKey;
use pgp::packet::PKESK;
use pgp::packet::SKESK;
use pgp::packet::Tag;
use pgp::parse::PacketParser;
use pgp::parse::Parse;
use pgp::parse::stream::DecryptionHelper;
use pgp::parse::stream::DecryptorBuilder;
use pgp::parse::stream::MessageStructure;
use pgp::parse::stream::VerificationHelper;
use pgp::policy::StandardPolicy;
use pgp::types::SymmetricAlgorithm;

use super::armor::Dearmor;
use super::armor::Kind;
use super::secret_cert::SecretCert;
use super::time::system_time;
use super::verify::Examination;
use super::verify::Question;
use crate::result::Layer;
use crate::result::LayerKind;
use crate::result::LayerState;
use crate::result::OpenError;

/// Plaintext that Sequoia holds back until the end is verified. What it gives out before goes to a body
/// that is dropped if the end does not hold, so this bounds memory and nothing else. Buffers
/// of this size stay in the processor's cache.
pub(crate) const HELD_BACK: usize = 64 * 1024;
/// Recipients named in one message that we look up.
const NAMED: usize = 1000;
/// Hidden recipients, and keys for each, that we try.
const HIDDEN: usize = 8;
const HIDDEN_KEYS: usize = 32;

const NO_INTEGRITY: &str = "encrypted without protection against changes (packet type 9): never opened";

/// What became of an encrypted stream.
pub(crate) struct Decrypted {
    /// The layers inside the stream, outermost first.
    pub(crate) layers: Vec<Layer>,
    /// The content; only if every layer of encryption was opened and found whole.
    pub(crate) content: Option<Body>,
}

/// Decrypts an armored or binary OpenPGP message and verifies the signatures inside.
///
/// No plaintext leaves this function before the integrity of all of it was checked (EFAIL).
pub(crate) fn decrypt(source: &Body, question: &Question<'_>) -> Result<Decrypted, OpenError> {
    let mut armor = Dearmor::new(source.reader(0..source.len()));
    match armor.kind() {
        Ok(Kind::Message) => (),
        Ok(other) => return Ok(failed(LayerState::Damaged, format!("holds a PGP {other}, not a message"))),
        Err(error) => return broken_or_io(error),
    }
    let mut opening = Opening::new(question);
    let outcome = run(armor, source.len(), &mut opening);
    let Opening { examination, refused, encrypted, .. } = opening;
    if let Some(why) = examination.lookup_failed {
        return Err(OpenError::Keys(why));
    }
    match outcome {
        Ok(content) if encrypted || !examination.layers.is_empty() => {
            Ok(Decrypted { layers: examination.layers, content: Some(content) })
        }
        Ok(_) => Ok(failed(LayerState::Unsupported, "the OpenPGP message is neither encrypted nor signed")),
        Err(Stop::Io(error)) => Err(OpenError::Io(error)),
        Err(Stop::Refused(error)) => {
            if let Some(error) = machine_fault(&error) {
                return Err(OpenError::Io(error));
            }
            let (state, why) = refused.unwrap_or_else(|| state_of(&error));
            Ok(failed(state, why))
        }
    }
}

/// Why reading stopped.
enum Stop {
    /// The machine's fault.
    Io(io::Error),
    /// The message's fault.
    Refused(anyhow::Error),
}

fn run(source: impl Read + Send + Sync, length: u64, opening: &mut Opening<'_>) -> Result<Body, Stop> {
    let question = opening.examination.question;
    let policy = StandardPolicy::at(system_time(question.now));
    let time = Some(question.tolerant_time());
    let mut out = BodyWriter::new(question.spill);
    let mut compressed_limit = question.limits.ratio.saturating_mul(length).saturating_add(1 << 20);
    compressed_limit = compressed_limit.min(question.limits.opened_bytes);
    let mut decryptor = DecryptorBuilder::from_reader(source)
        .and_then(|builder| builder.buffer_size(HELD_BACK).with_policy(&policy, time, &mut *opening))
        .map_err(Stop::Refused)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = match decryptor.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Stop::Refused(error.into())),
        };
        out.write_all(buffer.get(..read).unwrap_or_default()).map_err(Stop::Io)?;
        let helper = decryptor.helper_mut();
        let limit = if helper.compressed { compressed_limit } else { question.limits.opened_bytes };
        if out.len() > limit {
            helper.refuse(LayerState::Unsupported, format!("the content is larger than {limit} bytes"));
            return Err(Stop::Refused(anyhow::anyhow!("too large")));
        }
    }
    if !decryptor.message_processed() {
        return Err(Stop::Refused(pgp::Error::ManipulatedMessage.into()));
    }
    out.finish().map_err(Stop::Io)
}

/// What Sequoia asks while it reads.
struct Opening<'q> {
    examination: Examination<'q>,
    /// Why we stopped reading, when Sequoia's own error would not tell.
    refused: Option<(LayerState, String)>,
    encrypted: bool,
    compressed: bool,
    signatures: usize,
}

impl<'q> Opening<'q> {
    fn new(question: &'q Question<'q>) -> Opening<'q> {
        Opening {
            examination: Examination::new(question),
            refused: None,
            encrypted: false,
            compressed: false,
            signatures: 0,
        }
    }

    fn refuse(&mut self, state: LayerState, why: impl Into<String>) -> anyhow::Error {
        let why = why.into();
        let error = anyhow::anyhow!(why.clone());
        self.refused = Some((state, why));
        error
    }

    /// Tries each key of these certificates on one packet.
    fn try_keys(
        &mut self,
        pkesk: &PKESK,
        certs: &[std::sync::Arc<SecretCert>],
        algorithm: Option<SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(Option<SymmetricAlgorithm>, &SessionKey) -> bool,
    ) -> Option<Cert> {
        let handle = pkesk.recipient();
        let most = if handle.is_none() { HIDDEN_KEYS } else { usize::MAX };
        let keys =
            certs.iter().flat_map(|cert| cert.decryption_keys(handle.as_ref()).map(move |key| (cert, key)));
        for (cert, key) in keys.take(most) {
            let opened = pkesk
                .decrypt(&mut key.clone(), algorithm)
                .is_some_and(|(algorithm, session_key)| decrypt(algorithm, &session_key));
            if opened {
                self.encrypted = true;
                self.examination.decrypted_with = Some(cert.fingerprint().to_hex());
                return Some(cert.cert().as_ref().clone());
            }
        }
        None
    }

    fn secrets(&mut self, handle: Option<&KeyHandle>) -> pgp::Result<Vec<std::sync::Arc<SecretCert>>> {
        match self.examination.question.keys.secrets(handle) {
            Answer::Found(certs) => Ok(certs),
            Answer::None { .. } => Ok(Vec::new()),
            Answer::CouldNotTell { why } => {
                self.examination.lookup_failed = Some(why);
                Err(anyhow::anyhow!("key look-up failed"))
            }
        }
    }
}

impl Opening<'_> {
    fn cover(&mut self, named: &[KeyHandle]) -> pgp::Result<bool> {
        match self.examination.question.keys.cover(named) {
            Answer::Found(()) => Ok(true),
            Answer::None { .. } => Ok(false),
            Answer::CouldNotTell { why } => {
                self.examination.lookup_failed = Some(why);
                Err(anyhow::anyhow!("key look-up failed"))
            }
        }
    }
}

impl VerificationHelper for &mut Opening<'_> {
    /// Refuses by the packet's first bytes what must never be read to its end.
    fn inspect(&mut self, parser: &PacketParser<'_>) -> pgp::Result<()> {
        match parser.packet.tag() {
            Tag::SED => Err(self.refuse(LayerState::Damaged, NO_INTEGRITY)),
            Tag::AED => {
                Err(self.refuse(LayerState::Unsupported, "LibrePGP's packet type 20 is not supported"))
            }
            Tag::CompressedData if self.compressed => {
                Err(self.refuse(LayerState::Unsupported, "compressed more than once"))
            }
            Tag::CompressedData => {
                self.compressed = true;
                Ok(())
            }
            // Their content would be read and thrown away, however much it is.
            Tag::Padding | Tag::Marker if self.compressed => {
                Err(self.refuse(LayerState::Unsupported, "padding inside compressed data"))
            }
            Tag::Signature | Tag::OnePassSig => {
                self.signatures += 1;
                if self.signatures > 2 * Examination::SIGNATURES {
                    return Err(self.refuse(LayerState::Unsupported, "too many signatures"));
                }
                Ok(())
            }
            Tag::PKESK | Tag::SKESK | Tag::SEIP | Tag::Literal | Tag::MDC | Tag::Padding | Tag::Marker => {
                Ok(())
            }
            _ => match &parser.packet {
                Packet::Unknown(unknown) => Err(anyhow::anyhow!("{}", unknown.error())),
                other => Err(anyhow::anyhow!("unexpected {} packet", other.tag())),
            },
        }
    }

    fn get_certs(&mut self, ids: &[KeyHandle]) -> pgp::Result<Vec<Cert>> {
        self.examination.certificates(ids)
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> pgp::Result<()> {
        self.examination.check(structure)
    }
}

impl DecryptionHelper for &mut Opening<'_> {
    /// Finds the session key. Passwords (SKESK) are never tried: we have none, and the sender could
    /// make us fill gigabytes to derive a key from one (Argon2, RFC 9580 section 3.7.1.4).
    fn decrypt(
        &mut self,
        pkesks: &[PKESK],
        skesks: &[SKESK],
        algorithm: Option<SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(Option<SymmetricAlgorithm>, &SessionKey) -> bool,
    ) -> pgp::Result<Option<Cert>> {
        let named = || pkesks.iter().filter(|pkesk| pkesk.recipient().is_some()).take(NAMED);
        let covered = self.cover(&named().filter_map(PKESK::recipient).collect::<Vec<_>>())?;
        let mut ours = false;
        for pkesk in named() {
            let certs = self.secrets(pkesk.recipient().as_ref())?;
            ours |= !certs.is_empty();
            if !covered {
                continue;
            }
            if let Some(cert) = self.try_keys(pkesk, &certs, algorithm, decrypt) {
                return Ok(Some(cert));
            }
        }
        let hidden: Vec<_> = pkesks.iter().filter(|pkesk| pkesk.recipient().is_none()).take(HIDDEN).collect();
        if !hidden.is_empty() {
            let certs = self.secrets(None)?;
            for pkesk in hidden {
                if let Some(cert) = self.try_keys(pkesk, &certs, algorithm, decrypt) {
                    return Ok(Some(cert));
                }
            }
        }
        if ours && !covered {
            return Err(self.refuse(LayerState::NoKey, "encrypted to some of its recipients only"));
        }
        if ours {
            return Err(
                self.refuse(LayerState::Damaged, "encrypted to our key, but the session key is damaged")
            );
        }
        let to = recipients(pkesks, skesks);
        Err(self.refuse(LayerState::NoKey, format!("encrypted to {to}")))
    }
}

/// The recipients in words, for the record.
fn recipients(pkesks: &[PKESK], skesks: &[SKESK]) -> String {
    let mut names: Vec<_> = pkesks
        .iter()
        .take(4)
        .map(|pkesk| pkesk.recipient().map_or("a hidden key".to_owned(), |handle| handle.to_hex()))
        .collect();
    if pkesks.len() > names.len() {
        names.push(format!("{} more", pkesks.len() - names.len()));
    }
    if !skesks.is_empty() {
        names.push("a password".to_owned());
    }
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

/// A stream that gave nothing but a reason.
pub(crate) fn failed(state: LayerState, why: impl Into<String>) -> Decrypted {
    Decrypted { layers: vec![Layer::new(LayerKind::Encrypted, state).because(why)], content: None }
}

/// Damaged armor is the sender's fault, anything else ours.
fn broken_or_io(error: io::Error) -> Result<Decrypted, OpenError> {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Ok(failed(LayerState::Damaged, error.to_string()))
        }
        _ => Err(OpenError::Io(error)),
    }
}

/// The error of the operating system below an error of Sequoia's, if there is one: a temporary file could
/// not be read, which says nothing about the message.
pub(crate) fn machine_fault(error: &anyhow::Error) -> Option<io::Error> {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.filter_map(io::Error::raw_os_error).next().map(io::Error::from_raw_os_error)
}

/// An error of Sequoia's as a state. The text says no more than which rule was broken, so that
/// different ways of damage look alike to whoever caused it.
fn state_of(error: &anyhow::Error) -> (LayerState, String) {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let known = error.downcast_ref::<pgp::Error>().or_else(|| inner?.downcast_ref::<pgp::Error>());
    match known {
        Some(pgp::Error::PolicyViolation(what, _)) if what.starts_with(&Tag::SED.to_string()) => {
            (LayerState::Damaged, NO_INTEGRITY.to_owned())
        }
        Some(
            error @ (pgp::Error::UnsupportedSymmetricAlgorithm(_)
            | pgp::Error::UnsupportedAEADAlgorithm(_)
            | pgp::Error::UnsupportedCompressionAlgorithm(_)
            | pgp::Error::UnsupportedPacketType(_)
            | pgp::Error::PolicyViolation(..)),
        ) => (LayerState::Unsupported, error.to_string()),
        _ => (LayerState::Damaged, "the encrypted data are damaged or were changed".to_owned()),
    }
}
