//! Writing SignedData: DER with definite lengths.

use std::io;
use std::io::Write;

use keydir::Certificate;
use openssl::error::ErrorStack;

use crate::cms::SecretKey;
use crate::cms::ber::Tag;
use crate::cms::der_write::explicit;
use crate::cms::der_write::header;
use crate::cms::der_write::object_id;
use crate::cms::der_write::octet_string;
use crate::cms::der_write::sequence;
use crate::cms::der_write::set_of;
use crate::cms::der_write::small_integer;
use crate::cms::envelope::issuer_serial_der;

use super::attributes::AttributeList;
use super::capabilities::Capabilities;
use super::digest::Digest;
use super::digest::Digesting;
use super::element::set_as;
use super::encryption_key;
use super::expansion::Expansion;
use super::oid;
use super::signature;
use super::signature::Scheme;
use super::signature_type::SignatureType;
use super::signing_certificate;
use super::signing_time;

/// Who signs, and how.
pub struct Signer<'a> {
    /// Key and certificate.
    pub identity: &'a SecretKey,
    /// Certificates that are sent along; self-signed ones are left out, because nobody believes them for
    /// coming along.
    pub chain: &'a [Certificate],
    /// The meaning of the signature in domain security (RFC 3183 section 3.1).
    pub signature_type: Option<SignatureType>,
    /// The certificate to which answers are to be encrypted (RFC 8551 section 2.5.3); it is sent along.
    pub encryption: Option<&'a Certificate>,
    /// What a mailing list agent said around the message, to be said again by this signature, which is the new
    /// outermost one (RFC 3183 section 5).
    pub expansion: Option<&'a Expansion>,
    /// Sign with RSA-PSS (RFC 4056) where the key is an RSA key; otherwise with PKCS#1 v1.5.
    pub pss: bool,
    /// Unix seconds.
    pub now: i64,
}

impl<'a> Signer<'a> {
    /// A signer who sends nothing but the own certificate along and signs in the most common form.
    pub fn new(identity: &'a SecretKey, now: i64) -> Signer<'a> {
        Signer {
            identity,
            chain: &[],
            signature_type: None,
            encryption: None,
            expansion: None,
            pss: false,
            now,
        }
    }

    fn scheme(&self) -> Result<(Digest, Scheme), SignError> {
        signature::preferred(&self.identity.key, self.pss).ok_or(SignError::Key)
    }
}

/// Why nothing could be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The content was of another length when it was written than when it was signed.
    #[error("the content changed while it was signed")]
    Changed,
    /// The content could not be read, or the result not written.
    #[error("local error while the message was signed")]
    Io(#[from] io::Error),
    /// The key is of a kind that cannot sign mail.
    #[error("the key is of a kind that cannot sign")]
    Key,
    /// The cryptographic library refused.
    #[error("the cryptographic library refused to sign")]
    Library(#[from] ErrorStack),
    /// The time cannot be written.
    #[error("the time of signing has no form in a signature")]
    Time,
}

impl From<SignError> for mail::Failure {
    fn from(error: SignError) -> mail::Failure {
        mail::Failure::temporary((7, 5), "the message could not be protected").because(error)
    }
}

/// The value of the `micalg` parameter of multipart/signed (RFC 8551 section 3.5.3.2).
///
/// # Errors
/// [`SignError::Key`] if the signer cannot sign.
pub fn micalg(signer: &Signer<'_>) -> Result<&'static str, SignError> {
    Ok(signer.scheme()?.0.micalg())
}

/// Signs what `content` writes and gives the signature alone, as it stands in the second part of a
/// multipart/signed (RFC 8551 section 3.5.3): DER, not in base64.
///
/// # Errors
/// If the content cannot be read or the key cannot sign.
pub fn sign_detached(
    signer: &Signer<'_>,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<Vec<u8>, SignError> {
    let (digest, scheme) = signer.scheme()?;
    let mut digesting = Digesting::new([digest])?;
    content(&mut digesting)?;
    let digests = digesting.finish()?;
    let value = digests.get(digest).unwrap_or_default();
    let tail = tail(signer, digest, scheme, value)?;
    let signed_data = sequence(&[&start(&[digest]), &sequence(&[&object_id(oid::DATA)]), &tail]);
    Ok(sequence(&[&object_id(oid::SIGNED_DATA), &explicit(0, &signed_data)]))
}

/// Signs what `content` writes and writes both, content and signature, to `out` (RFC 8551 section 3.5.2).
/// The content is asked for twice and must be the same.
///
/// # Errors
/// If the content cannot be read or `out` not be written, or the key cannot sign.
pub fn sign_opaque(
    out: &mut dyn Write,
    signer: &Signer<'_>,
    content: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<(), SignError> {
    OpaqueSigned::new(signer, &content)?.write_to(out, content)
}

/// Writes an empty layer around a content: SignedData without signatures, which marks a message that its
/// originator did not sign (RFC 3183 section 4).
///
/// # Errors
/// If the content cannot be read, is not `content_len` octets long, or `out` cannot be written.
pub fn empty_layer(
    out: &mut dyn Write,
    content_len: u64,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), SignError> {
    OpaqueSigned::empty(content_len).write_to(out, content)
}

/// A signature that waits for its content to be written with it; its length is known before.
pub struct OpaqueSigned {
    /// What stands in front of the content.
    head: Vec<u8>,
    /// What stands behind it.
    tail: Vec<u8>,
    content_len: u64,
}

impl OpaqueSigned {
    /// Signs what `content` writes.
    ///
    /// # Errors
    /// If the content cannot be read or the key cannot sign.
    pub fn new(
        signer: &Signer<'_>,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<OpaqueSigned, SignError> {
        let (digest, scheme) = signer.scheme()?;
        let mut digesting = Digesting::new([digest])?;
        content(&mut digesting)?;
        let digests = digesting.finish()?;
        let value = digests.get(digest).unwrap_or_default();
        Ok(OpaqueSigned::around(digests.octets, &[digest], tail(signer, digest, scheme, value)?))
    }

    /// An empty layer (RFC 3183 section 4) around so many octets.
    pub fn empty(content_len: u64) -> OpaqueSigned {
        OpaqueSigned::around(content_len, &[], set_of(Vec::new()))
    }

    fn around(content_len: u64, digests: &[Digest], tail: Vec<u8>) -> OpaqueSigned {
        let mut nest = Nest { head: Vec::new(), length: content_len };
        nest.wrap(Tag::OCTET_STRING.primitive(), &[], 0);
        nest.wrap(Tag::context(0).constructed(), &[], 0);
        nest.wrap(Tag::SEQUENCE.constructed(), &object_id(oid::DATA), 0);
        nest.wrap(Tag::SEQUENCE.constructed(), &start(digests), tail.len() as u64);
        nest.wrap(Tag::context(0).constructed(), &[], 0);
        nest.wrap(Tag::SEQUENCE.constructed(), &object_id(oid::SIGNED_DATA), 0);
        OpaqueSigned { head: nest.head, tail, content_len }
    }

    /// Octets that [`OpaqueSigned::write_to`] writes.
    pub fn encoded_len(&self) -> u64 {
        self.head.len() as u64 + self.content_len + self.tail.len() as u64
    }

    /// Writes everything; `content` writes the same octets as when they were signed.
    ///
    /// # Errors
    /// [`SignError::Changed`] if the content has another length now; what was written is of no use then.
    pub fn write_to(
        &self,
        out: &mut dyn Write,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), SignError> {
        out.write_all(&self.head)?;
        let mut counted = Counted { out, octets: 0 };
        content(&mut counted)?;
        if counted.octets != self.content_len {
            return Err(SignError::Changed);
        }
        out.write_all(&self.tail)?;
        Ok(())
    }
}

/// Elements around a content that is not at hand.
struct Nest {
    /// Everything in front of the content.
    head: Vec<u8>,
    /// Octets of the outermost element so far.
    length: u64,
}

impl Nest {
    /// Puts one more element around, with `before` in front of what there is and `after` octets behind it.
    fn wrap(&mut self, identifier: u8, before: &[u8], after: u64) {
        let length = before.len() as u64 + self.length + after;
        let header = header(identifier, length);
        self.length = header.len() as u64 + length;
        self.head = [&header, before, &self.head].concat();
    }
}

/// Counts what passes.
struct Counted<'a> {
    out: &'a mut dyn Write,
    octets: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.octets += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The version and the digest algorithms. Certificates of version 3 and content of type id-data make it
/// version 1 (RFC 5652 section 5.1).
fn start(digests: &[Digest]) -> Vec<u8> {
    let algorithms = digests.iter().map(|digest| digest.algorithm()).collect();
    [small_integer(1), set_of(algorithms)].concat()
}

/// What stands behind the content: certificates and the signature over a content with this digest.
fn tail(signer: &Signer<'_>, digest: Digest, scheme: Scheme, value: &[u8]) -> Result<Vec<u8>, SignError> {
    let own = &signer.identity.certificate;
    let mut certificates = vec![own.der()];
    let sent = signer.chain.iter().filter(|issuer| issuer.issuer_der() != issuer.subject_der());
    for certificate in sent.chain(signer.encryption) {
        if !certificates.contains(&certificate.der()) {
            certificates.push(certificate.der());
        }
    }
    let certificates = set_as(Tag::context(0).constructed(), certificates);
    let info = signer_info(signer, digest, scheme, value)?;
    Ok([certificates, set_of(vec![info])].concat())
}

fn signer_info(
    signer: &Signer<'_>,
    digest: Digest,
    scheme: Scheme,
    value: &[u8],
) -> Result<Vec<u8>, SignError> {
    let SecretKey { certificate, key, .. } = signer.identity;
    let mut attributes = AttributeList::new(oid::DATA, value);
    attributes.push(oid::SIGNING_TIME, &signing_time::encode(signer.now).ok_or(SignError::Time)?);
    attributes.push(oid::SIGNING_CERTIFICATE_V2, &signing_certificate::encode_v2(certificate));
    let encryption = signer.encryption.unwrap_or(certificate);
    let rsa = encryption.x509().public_key().is_ok_and(|key| key.id() == openssl::pkey::Id::RSA);
    attributes.push(oid::CAPABILITIES, &Capabilities::ours(rsa));
    if let Some(encryption) = signer.encryption {
        attributes.push(oid::ENCRYPTION_KEY, &encryption_key::encode(encryption));
    }
    if let Some(kind) = signer.signature_type {
        attributes.push(oid::SIGNATURE_TYPE, &kind.encode());
    }
    for (kind, values) in signer.expansion.into_iter().flat_map(Expansion::attributes) {
        attributes.push_all(kind, values);
    }
    let signature = scheme.sign(key, digest, &attributes.to_sign())?;
    Ok(sequence(&[
        &small_integer(1),
        &issuer_serial_der(certificate),
        &digest.algorithm(),
        &attributes.to_send(),
        &scheme.algorithm(digest),
        &octet_string(&signature),
    ]))
}
