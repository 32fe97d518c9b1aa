//! Decrypting as a stream.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::sync::Arc;

use keydir::Answer;
use mail::Body;
use mail::BodyWriter;
use mail::Spill;
use openssl::cipher_ctx::CipherCtx;
use zeroize::Zeroizing;

use super::super::algorithm::Algorithm;
use super::super::ber::BerLimits;
use super::super::ber::BerReader;
use super::super::ber::Octets;
use super::super::ber::Tag;
use super::super::content_info;
use super::super::content_info::ContentKind;
use super::super::oid;
use super::super::secret_key::SecretKey;
use super::Decrypted;
use super::EnvelopeError;
use super::Refusal;
use super::content_cipher::NamedCipher;
use super::key_agreement;
use super::key_transport;
use super::recipient::Agreement;
use super::recipient::RecipientId;
use super::recipient::RecipientInfo;
use crate::Limits;

/// Decrypts an EnvelopedData or AuthEnvelopedData, from its ContentInfo on.
///
/// `secrets` is asked once, with everybody for whom the message names a key; it answers with the keys of
/// ours among them. What comes behind the object is not read.
///
/// Nothing of the plaintext is given out unless the whole object was read; if it is authenticated, not
/// before that was checked. Without authentication the answer says so, and what came out may be anything
/// (EFAIL): it must not be shown as what the sender wrote unless a signature inside holds.
///
/// # Errors
/// See [`EnvelopeError`]; `CouldNotTell` and `Io` are worth another try.
pub fn decrypt(
    input: &mut dyn Read,
    secrets: impl FnOnce(&[RecipientId]) -> Answer<Vec<Arc<SecretKey>>>,
    spill: &Spill,
    limits: &Limits,
) -> Result<Decrypted, EnvelopeError> {
    let mut ber = BerReader::new(BufReader::with_capacity(PIECE, input), BerLimits::default());
    let envelope = Envelope::read(&mut ber)?;
    let recipients = envelope.ids();
    let ours = match secrets(&recipients) {
        Answer::Found(keys) => keys,
        Answer::None { .. } => Vec::new(),
        Answer::CouldNotTell { why } => return Err(EnvelopeError::CouldNotTell(why)),
    };
    let Some(ContentKey { key, opened_with }) = envelope.content_key(&ours)? else {
        return Err(EnvelopeError::NoKey { recipients });
    };
    let Envelope { inner, cipher, .. } = envelope;
    let content = match cipher.tag_len {
        Some(_) => authenticated(&mut ber, &cipher, &key, spill, limits)?,
        None => unauthenticated(&mut ber, &cipher, &key, spill, limits)?,
    };
    let authenticated = cipher.tag_len.is_some();
    Ok(Decrypted { content, inner, cipher: cipher.seen, authenticated, recipients, opened_with })
}

/// Everything in front of the content.
struct Envelope {
    recipients: Vec<RecipientInfo>,
    inner: ContentKind,
    cipher: NamedCipher,
}

impl Envelope {
    /// Reads up to the encrypted content.
    fn read<R: BufRead>(ber: &mut BerReader<R>) -> Result<Envelope, EnvelopeError> {
        let kind = content_info::enter(ber)?;
        if !matches!(kind, ContentKind::EnvelopedData | ContentKind::AuthEnvelopedData) {
            return Err(EnvelopeError::Unsupported(format!("{kind} where encrypted content belongs")));
        }
        ber.enter(Tag::SEQUENCE)?;
        ber.small_integer()?;
        if ber.at(Tag::context(0))? {
            // Certificates of the sender's key for an agreement that is not supported.
            ber.skip()?;
        }
        let recipients = read_recipients(ber)?;
        ber.enter(Tag::SEQUENCE)?;
        let inner = ContentKind::from_oid(&ber.primitive(Tag::OBJECT_ID)?);
        let cipher = NamedCipher::read(kind, &Algorithm::read(ber)?)?;
        Ok(Envelope { recipients, inner, cipher })
    }

    fn ids(&self) -> Vec<RecipientId> {
        self.recipients.iter().flat_map(RecipientInfo::ids).cloned().collect()
    }

    /// The content key and the fingerprint of the certificate that opened it; `None` if the message is
    /// for none of these.
    ///
    /// Agreement and OAEP say whether a key is right, PKCS#1 v1.5 must not: it comes last.
    fn content_key(&self, ours: &[Arc<SecretKey>]) -> Result<Option<ContentKey>, EnvelopeError> {
        let mut refusal = None;
        for (part, secret) in self.meant(ours).filter(|(part, _)| part.pkcs1().is_none()).take(ATTEMPTS) {
            match part.open(secret) {
                Ok(key) if key.len() == self.cipher.key_len() => {
                    return Ok(Some(ContentKey { key, opened_with: secret.certificate.fingerprint() }));
                }
                Ok(_) => refusal = Some(Refusal::Wrong),
                Err(why) => refusal = Some(why),
            }
        }
        let candidates = self.meant(ours).filter_map(|(part, secret)| Some((secret, part.pkcs1()?)));
        let candidates: Vec<_> = candidates.take(CANDIDATES).collect();
        if candidates.is_empty() {
            return match refusal {
                Some(refusal) => Err(refusal.into()),
                None => Ok(None),
            };
        }
        let keys: Vec<_> = candidates.iter().map(|(secret, octets)| (&*secret.key, *octets)).collect();
        let (key, place) = key_transport::decrypt_pkcs1(&keys, self.cipher.key_len())?;
        let opened_with = candidates.get(place).map(|(secret, _)| secret.certificate.fingerprint());
        Ok(opened_with.map(|opened_with| ContentKey { key, opened_with }))
    }

    /// Who of ours is meant by which part of the message.
    fn meant<'a>(&'a self, ours: &'a [Arc<SecretKey>]) -> impl Iterator<Item = (Part<'a>, &'a SecretKey)> {
        let parts = self.recipients.iter().flat_map(parts);
        parts.flat_map(move |(id, part)| {
            let meant = ours.iter().filter(move |secret| id.means(&secret.certificate));
            meant.map(move |secret| (part, &**secret))
        })
    }
}

/// A content key and the fingerprint of the certificate that opened it.
struct ContentKey {
    key: Zeroizing<Vec<u8>>,
    opened_with: String,
}

/// What one recipient needs of a RecipientInfo.
#[derive(Clone, Copy)]
enum Part<'a> {
    Agreement(&'a Agreement, &'a [u8]),
    Transport(&'a Algorithm, &'a [u8]),
}

fn parts(info: &RecipientInfo) -> Vec<(&RecipientId, Part<'_>)> {
    match info {
        RecipientInfo::Transport { id, algorithm, encrypted } => {
            vec![(id, Part::Transport(algorithm, encrypted))]
        }
        RecipientInfo::Agreement { agreement, keys } => {
            keys.iter().map(|(id, wrapped)| (id, Part::Agreement(agreement, wrapped))).collect()
        }
        RecipientInfo::Other => Vec::new(),
    }
}

impl<'a> Part<'a> {
    /// What PKCS#1 v1.5 encrypted, if it did.
    fn pkcs1(self) -> Option<&'a [u8]> {
        match self {
            Part::Transport(algorithm, octets) if algorithm.oid == oid::RSA => Some(octets),
            Part::Transport(..) | Part::Agreement(..) => None,
        }
    }

    /// Looks for the content key where a wrong key may show: everywhere but with PKCS#1 v1.5.
    fn open(self, secret: &SecretKey) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        match self {
            Part::Agreement(agreement, wrapped) => key_agreement::decrypt(&secret.key, agreement, wrapped),
            Part::Transport(algorithm, octets) if algorithm.oid == oid::RSA_OAEP => {
                key_transport::decrypt_oaep(&secret.key, algorithm, octets)
            }
            Part::Transport(algorithm, _) => Err(Refusal::unsupported("key transport", &algorithm.oid)),
        }
    }
}

fn read_recipients<R: BufRead>(ber: &mut BerReader<R>) -> Result<Vec<RecipientInfo>, EnvelopeError> {
    let mut recipients = Vec::new();
    let mut named = 0;
    ber.enter(Tag::SET)?;
    while ber.peek()?.is_some() {
        let info = RecipientInfo::read(ber)?;
        named += info.ids().count().max(1);
        if named > RECIPIENTS {
            return Err(EnvelopeError::TooLarge("more than 1000 recipients"));
        }
        recipients.push(info);
    }
    ber.leave()?;
    Ok(recipients)
}

/// Reads the content, the authenticated attributes and the tag; the content comes back if the tag holds.
fn authenticated<R: BufRead>(
    ber: &mut BerReader<R>,
    cipher: &NamedCipher,
    key: &[u8],
    spill: &Spill,
    limits: &Limits,
) -> Result<Body, EnvelopeError> {
    let mut context = cipher.decryption(key)?;
    let out = decipher(ber, &mut context, spill, limits)?;
    ber.leave()?;
    let attributes = match ber.at(Tag::context(1))? {
        true => Some(ber.element()?),
        false => None,
    };
    let tag = ber.octet_string(Tag::OCTET_STRING)?;
    if ber.at(Tag::context(2))? {
        ber.skip()?;
    }
    leave(ber)?;
    if Some(tag.len()) != cipher.tag_len {
        return Err(EnvelopeError::undecipherable());
    }
    let content = out.finish()?;
    match attributes {
        Some(attributes) => check_with_attributes(&content, cipher, key, attributes, &tag)?,
        None => {
            context.set_tag(&tag)?;
            context.cipher_final(&mut []).map_err(|_| EnvelopeError::undecipherable())?;
        }
    }
    Ok(content)
}

/// Checks a tag that protects attributes, too.
///
/// They come behind the content but go into the computation before it (RFC 5083 section 2.2), so the
/// content is encrypted once more, from the temporary file, instead of reading the message twice.
fn check_with_attributes(
    content: &Body,
    cipher: &NamedCipher,
    key: &[u8],
    mut attributes: Vec<u8>,
    tag: &[u8],
) -> Result<(), EnvelopeError> {
    if let Some(first) = attributes.first_mut() {
        *first = Tag::SET.constructed();
    }
    let mut context = cipher.encryption(key)?;
    context.cipher_update(&attributes, None)?;
    let mut scratch = vec![0; PIECE];
    let mut reader = content.reader(0..content.len());
    loop {
        let chunk = reader.fill_buf()?;
        let piece = chunk.get(..PIECE).unwrap_or(chunk);
        if piece.is_empty() {
            break;
        }
        context.cipher_update(piece, Some(&mut scratch))?;
        let taken = piece.len();
        reader.consume(taken);
    }
    context.cipher_final(&mut [])?;
    let mut computed = vec![0; tag.len()];
    context.tag(&mut computed)?;
    match openssl::memcmp::eq(&computed, tag) {
        true => Ok(()),
        false => Err(EnvelopeError::undecipherable()),
    }
}

fn unauthenticated<R: BufRead>(
    ber: &mut BerReader<R>,
    cipher: &NamedCipher,
    key: &[u8],
    spill: &Spill,
    limits: &Limits,
) -> Result<Body, EnvelopeError> {
    let mut context = cipher.decryption(key)?;
    let mut out = decipher(ber, &mut context, spill, limits)?;
    ber.leave()?;
    if ber.at(Tag::context(1))? {
        ber.skip()?;
    }
    leave(ber)?;
    let mut last = [0; BLOCK];
    let octets = context.cipher_final(&mut last).map_err(|_| EnvelopeError::undecipherable())?;
    out.write_all(last.get(..octets).unwrap_or_default())?;
    Ok(out.finish()?)
}

/// Decrypts the content into a body that nobody sees yet.
fn decipher<R: BufRead>(
    ber: &mut BerReader<R>,
    context: &mut CipherCtx,
    spill: &Spill,
    limits: &Limits,
) -> Result<BodyWriter, EnvelopeError> {
    let mut octets = ber.octets(Tag::context(0))?;
    let mut out = BodyWriter::new(spill);
    let mut scratch = vec![0; PIECE + 2 * BLOCK];
    while let Some(piece) = next_piece(&mut octets)? {
        let plain = context.cipher_update(piece, Some(&mut scratch))?;
        let taken = piece.len();
        octets.advance(taken);
        out.write_all(scratch.get(..plain).unwrap_or_default())?;
        if out.len() > limits.opened_bytes {
            return Err(EnvelopeError::TooLarge("decrypted content"));
        }
    }
    Ok(out)
}

fn next_piece<'a, R: BufRead>(octets: &'a mut Octets<'_, R>) -> Result<Option<&'a [u8]>, EnvelopeError> {
    let chunk = octets.chunk()?;
    match chunk.get(..PIECE).unwrap_or(chunk) {
        [] => Ok(None),
        piece => Ok(Some(piece)),
    }
}

/// Leaves the EnvelopedData and the ContentInfo around it.
fn leave<R: BufRead>(ber: &mut BerReader<R>) -> Result<(), EnvelopeError> {
    ber.leave()?;
    Ok(content_info::leave(ber)?)
}

/// Content is decrypted in pieces of this size at most.
const PIECE: usize = 64 * 1024;
/// The longest block of a cipher that is supported.
const BLOCK: usize = 16;
/// Recipients named in one message.
const RECIPIENTS: usize = 1000;
/// Ways to the content key that are tried where a wrong key shows: the sender says how many there are.
const ATTEMPTS: usize = 16;
/// Keys of ours that are tried with PKCS#1 v1.5, all of them always.
const CANDIDATES: usize = 4;
