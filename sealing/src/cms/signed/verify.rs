//! Reading SignedData and checking its signatures.

use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;

use keydir::Certificate;
use mail::Body;
use mail::BodyWriter;
use mail::Spill;
use openssl::error::ErrorStack;

use crate::Limits;
use crate::cms::ContentKind;
use crate::cms::algorithm::Algorithm;
use crate::cms::ber::BerError;
use crate::cms::ber::BerLimits;
use crate::cms::ber::BerReader;
use crate::cms::ber::Tag;
use crate::cms::content_info;

use super::digest::ContentDigests;
use super::digest::Digest;
use super::digest::Digesting;
use super::expansion::Expansion;
use super::judge::Content;
use super::judge::Pools;
use super::judge::SignerResult;
use super::judge::judge;
use super::signer_info::SignerInfo;

/// A SignedData that could be read; what its signatures are worth is said for each of them.
#[derive(Clone, Debug)]
pub struct Verified {
    /// All signatures; none in an empty layer (RFC 3183 section 4) or a mere bag of certificates.
    pub signers: Vec<SignerResult>,
    /// The certificates that came along and could be read. Nothing vouches for them.
    pub certificates: Vec<Certificate>,
    /// Why other certificates that came along were refused.
    pub refused_certificates: Vec<String>,
    /// The revocation lists that came along, DER. Nothing vouches for them.
    pub crls: Vec<Vec<u8>>,
    /// The content, if it lies inside; empty layers have one, bags of certificates do not.
    pub content: Option<Body>,
    /// What the content is.
    pub inner: ContentKind,
}

impl Verified {
    /// Whether there is a signature and all of them hold.
    pub fn all_hold(&self) -> bool {
        !self.signers.is_empty() && self.signers.iter().all(|signer| signer.holds.is_ok())
    }

    /// The meaning of the signatures (RFC 3183 section 3.1), which all of them must agree on; none if no
    /// signature says what it means.
    ///
    /// # Errors
    /// In words, if they do not agree.
    pub fn signature_types(&self) -> Result<&[String], String> {
        let mut all = self.signers.iter().map(|signer| signer.signature_types.as_slice());
        let first = all.next().unwrap_or_default();
        match all.all(|other| other == first) {
            true => Ok(first),
            false => Err("the signatures of one layer are of different types".into()),
        }
    }

    /// What the mailing list agent says that made the layer, if it is one's; signatures that do not hold or say
    /// nothing of lists do not count (RFC 2634 section 4.1). Who the agent is, is **not** judged here.
    ///
    /// # Errors
    /// In words, if two signatures that hold tell different histories: the layer must then not be used.
    pub fn expansion(&self) -> Result<Option<&Expansion>, String> {
        let holding = self.signers.iter().filter(|signer| signer.holds.is_ok());
        let mut told = holding.filter_map(|signer| signer.expansion.as_ref());
        let first = told.next();
        match first.is_none_or(|first| told.all(|other| other.agrees(first))) {
            true => Ok(first),
            false => Err("the signatures of one layer tell different histories of mailing lists".into()),
        }
    }
}

/// Why nothing can be said about signatures.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not what RFC 5652 describes, cut off, or of the wrong form.
    #[error("the signed data cannot be read: {0}")]
    Damaged(String),
    /// The content could not be read, or a temporary file not written.
    #[error("local error while a signature was verified")]
    Io(#[source] io::Error),
    /// More than the limits allow.
    #[error("the signed data is too large: {0}")]
    TooLarge(&'static str),
    /// A CMS object, but not SignedData.
    #[error("not SignedData but {0}")]
    Unsupported(ContentKind),
}

impl From<BerError> for VerifyError {
    fn from(error: BerError) -> VerifyError {
        match error {
            BerError::Io(error) => VerifyError::Io(error),
            BerError::TooLarge => VerifyError::TooLarge("its structure"),
            other => VerifyError::Damaged(other.to_string()),
        }
    }
}

impl From<ErrorStack> for VerifyError {
    fn from(error: ErrorStack) -> VerifyError {
        VerifyError::Io(error.into())
    }
}

/// Verifies detached signatures over `content`: what a multipart/signed has in its second part (RFC 8551
/// section 3.5.3). `extra` are certificates that the caller knows; those in the message come first.
///
/// # Errors
/// If `signature` is not a SignedData without content, or `content` cannot be read or is larger than
/// [`Limits::opened_bytes`].
pub fn verify_detached(
    signature: &[u8],
    content: &mut dyn Read,
    extra: &[Certificate],
    limits: &Limits,
) -> Result<Verified, VerifyError> {
    let mut ber = BerReader::new(signature, BerLimits::default());
    let start = Start::read(&mut ber)?;
    if ber.peek()?.is_some() {
        return Err(VerifyError::Damaged("a detached signature has a content of its own".into()));
    }
    ber.leave()?;
    let mut digesting = start.digesting()?;
    let mut content = BufReader::with_capacity(PIECE, content);
    pass(&mut content, &mut digesting, None, limits.opened_bytes)?;
    finish(&mut ber, &start.kind, &digesting.finish()?, extra, None)
}

/// Reads an opaque-signed message (RFC 8551 section 3.5.2), an empty layer (RFC 3183 section 4), or a bag of
/// certificates (RFC 8551 section 3.8). The content goes to a [`Body`] as `spill` says.
///
/// # Errors
/// If `input` is not a SignedData, holds signatures but no content, cannot be read, or its content is
/// larger than [`Limits::opened_bytes`].
pub fn verify_opaque(
    input: &mut dyn Read,
    extra: &[Certificate],
    spill: &Spill,
    limits: &Limits,
) -> Result<Verified, VerifyError> {
    let mut ber = BerReader::new(BufReader::with_capacity(PIECE, input), BerLimits::default());
    let start = Start::read(&mut ber)?;
    let mut digesting = start.digesting()?;
    let mut body = None;
    if ber.enter_if(Tag::context(0))? {
        let mut writer = BodyWriter::new(spill);
        let mut octets = ber.octets(Tag::OCTET_STRING)?;
        pass(&mut octets, &mut digesting, Some(&mut writer), limits.opened_bytes)?;
        ber.leave()?;
        body = Some(writer.finish().map_err(VerifyError::Io)?);
    }
    ber.leave()?;
    let verified = finish(&mut ber, &start.kind, &digesting.finish()?, extra, body)?;
    match verified.content.is_none() && !verified.signers.is_empty() {
        true => Err(VerifyError::Damaged("there is no content beside the signatures".into())),
        false => Ok(verified),
    }
}

/// What stands in front of the content.
struct Start {
    digests: Vec<Digest>,
    /// Octets of the content type.
    kind: Vec<u8>,
}

impl Start {
    /// Reads up to the `[0]` around the content.
    fn read<R: BufRead>(ber: &mut BerReader<R>) -> Result<Start, VerifyError> {
        match content_info::enter(ber)? {
            ContentKind::SignedData => (),
            other => return Err(VerifyError::Unsupported(other)),
        }
        ber.enter(Tag::SEQUENCE)?;
        ber.small_integer()?;
        let mut digests = Vec::new();
        ber.enter(Tag::SET)?;
        while ber.peek()?.is_some() {
            // Others are judged where a signature uses them.
            digests.extend(Digest::identify(&Algorithm::read(ber)?));
        }
        ber.leave()?;
        ber.enter(Tag::SEQUENCE)?;
        let kind = ber.primitive(Tag::OBJECT_ID)?;
        Ok(Start { digests, kind })
    }

    /// Ed25519 signs the content itself where no attributes are signed, goes with SHA-512, and need not announce it
    /// (RFC 8419 section 3).
    fn digesting(&self) -> Result<Digesting, VerifyError> {
        let digests = if self.digests.is_empty() { &[Digest::Sha512][..] } else { &self.digests };
        let digesting = Digesting::new(digests.iter().copied())?;
        Ok(if digests.contains(&Digest::Sha512) { digesting.keeping() } else { digesting })
    }
}

/// Digests a content and copies it.
fn pass(
    content: &mut dyn BufRead,
    digesting: &mut Digesting,
    mut copy: Option<&mut BodyWriter>,
    limit: u64,
) -> Result<(), VerifyError> {
    let mut total = 0_u64;
    loop {
        let piece = content.fill_buf().map_err(BerError::from)?;
        if piece.is_empty() {
            return Ok(());
        }
        total += piece.len() as u64;
        if total > limit {
            return Err(VerifyError::TooLarge("its content"));
        }
        digesting.update(piece)?;
        if let Some(copy) = &mut copy {
            copy.write_all(piece).map_err(VerifyError::Io)?;
        }
        let taken = piece.len();
        content.consume(taken);
    }
}

/// Reads what stands behind the content, and judges.
fn finish<R: BufRead>(
    ber: &mut BerReader<R>,
    kind: &[u8],
    digests: &ContentDigests,
    extra: &[Certificate],
    body: Option<Body>,
) -> Result<Verified, VerifyError> {
    let mut verified = Verified {
        signers: Vec::new(),
        certificates: Vec::new(),
        refused_certificates: Vec::new(),
        crls: Vec::new(),
        content: body,
        inner: ContentKind::from_oid(kind),
    };
    read_certificates(ber, &mut verified)?;
    if ber.enter_if(Tag::context(1))? {
        while ber.at(Tag::SEQUENCE)? {
            verified.crls.push(ber.element()?);
        }
        ber.leave_rest()?;
    }
    let infos = read_signer_infos(ber)?;
    ber.leave()?;
    content_info::leave(ber)?;
    if ber.peek()?.is_some() {
        return Err(VerifyError::Damaged("more data behind its end".into()));
    }
    let content = Content { kind, digests };
    let pools = Pools { message: &verified.certificates, known: extra };
    verified.signers = infos.into_iter().map(|info| judge(info, &content, &pools)).collect();
    Ok(verified)
}

fn read_certificates<R: BufRead>(ber: &mut BerReader<R>, verified: &mut Verified) -> Result<(), VerifyError> {
    if !ber.enter_if(Tag::context(0))? {
        return Ok(());
    }
    let mut count = 0_usize;
    while let Some(tag) = ber.peek()? {
        count += 1;
        if count > CERTIFICATES {
            return Err(VerifyError::TooLarge("its certificates"));
        }
        // The other choices are attribute certificates and forms that are obsolete.
        if tag != Tag::SEQUENCE {
            ber.skip()?;
            continue;
        }
        match Certificate::from_der(&ber.element()?) {
            Ok(certificate) => verified.certificates.push(certificate),
            Err(error) => verified.refused_certificates.push(error.to_string()),
        }
    }
    Ok(ber.leave()?)
}

fn read_signer_infos<R: BufRead>(ber: &mut BerReader<R>) -> Result<Vec<SignerInfo>, VerifyError> {
    let mut infos = Vec::new();
    ber.enter(Tag::SET)?;
    while ber.peek()?.is_some() {
        if infos.len() == SIGNERS {
            return Err(VerifyError::TooLarge("its signatures"));
        }
        infos.push(SignerInfo::parse(&ber.element()?)?);
    }
    ber.leave()?;
    Ok(infos)
}

/// Signatures on one content that are looked at.
const SIGNERS: usize = 32;
/// Certificates that may come along.
const CERTIFICATES: usize = 64;
/// Octets that are read at once.
const PIECE: usize = 64 * 1024;
