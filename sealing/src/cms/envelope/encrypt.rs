//! Encrypting as a stream.

use std::io;
use std::io::Write;

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl::pkey::Id;
use openssl::pkey::PKey;
use openssl::pkey::Public;
use zeroize::Zeroizing;

use super::super::algorithm::Algorithm;
use super::super::ber::Tag;
use super::super::content_info::ContentKind;
use super::super::der_write;
use super::super::oid;
use super::ContentCipher;
use super::EnvelopeError;
use super::KeyTransport;
use super::Recipient;
use super::issuer_serial_der;
use super::key_agreement;
use super::key_agreement::Agreed;
use super::key_agreement::Curve;
use super::key_transport;

/// Encrypts `plain_len` octets that `plain` writes for all recipients, and writes a ContentInfo in DER.
///
/// Each call makes a new content key. Recipients are named by issuer and serial number.
///
/// # Errors
/// `Unsupported` if there is no recipient or one has a key that cannot encrypt; nothing was written
/// then. `Io` if `out` or `plain` fails, or if `plain` does not write what was announced; what was written
/// then is of no use.
pub fn encrypt(
    out: &mut dyn Write,
    recipients: &[Recipient<'_>],
    cipher: ContentCipher,
    inner: ContentKind,
    plain_len: u64,
    plain: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), EnvelopeError> {
    let mut content_key = Zeroizing::new([0; KEY]);
    openssl::rand::rand_priv_bytes(&mut *content_key)?;
    let infos = recipient_infos(recipients, |way| way.encrypt(&*content_key))?;
    let mut iv = vec![0; cipher.iv_len()];
    openssl::rand::rand_bytes(&mut iv)?;
    out.write_all(&Frame::new(infos, cipher, inner, plain_len, &iv)?.head)?;
    let mut encryption = Encryption::start(out, cipher, &*content_key, &iv)?;
    plain(&mut encryption)?;
    if encryption.taken != plain_len {
        let why = format!("{} octets were written, not {plain_len} as announced", encryption.taken);
        return Err(EnvelopeError::Io(io::Error::other(why)));
    }
    Ok(encryption.finish()?)
}

/// How many octets [`encrypt`] will write.
///
/// # Errors
/// As [`encrypt`]: the recipients decide.
pub fn encrypted_len(
    plain_len: u64,
    recipients: &[Recipient<'_>],
    cipher: ContentCipher,
) -> Result<u64, EnvelopeError> {
    let infos = recipient_infos(recipients, |way| Ok(way.blank()))?;
    let iv = vec![0; cipher.iv_len()];
    let frame = Frame::new(infos, cipher, ContentKind::Data, plain_len, &iv)?;
    Ok(frame.head.len() as u64 + cipher.sealed_len(plain_len) + cipher.trailer_len())
}

impl ContentCipher {
    fn oid(self) -> &'static [u8] {
        match self {
            ContentCipher::Aes256Cbc => oid::AES256_CBC,
            ContentCipher::Aes256Gcm => oid::AES256_GCM,
        }
    }

    fn iv_len(self) -> usize {
        match self {
            ContentCipher::Aes256Cbc => BLOCK,
            ContentCipher::Aes256Gcm => NONCE,
        }
    }

    fn parameters(self, iv: &[u8]) -> Vec<u8> {
        let iv = der_write::octet_string(iv);
        match self {
            ContentCipher::Aes256Cbc => iv,
            ContentCipher::Aes256Gcm => der_write::sequence(&[&iv, &der_write::small_integer(TAG as u8)]),
        }
    }

    /// Octets of the encrypted content; CBC is padded (RFC 5652 section 6.3).
    fn sealed_len(self, plain_len: u64) -> u64 {
        match self {
            ContentCipher::Aes256Cbc => (plain_len / BLOCK as u64 + 1) * BLOCK as u64,
            ContentCipher::Aes256Gcm => plain_len,
        }
    }

    /// Octets behind the content.
    fn trailer_len(self) -> u64 {
        match self {
            ContentCipher::Aes256Cbc => 0,
            ContentCipher::Aes256Gcm => der_write::element_len(TAG as u64),
        }
    }
}

/// The way to one recipient.
enum Way {
    Agreement(PKey<Public>, Curve),
    Transport(PKey<Public>, KeyTransport),
}

/// An encrypted content key.
enum Sealed {
    Agreed(Curve, Agreed),
    Transported(KeyTransport, Vec<u8>),
}

impl Way {
    fn to(recipient: &Recipient<'_>) -> Result<Way, EnvelopeError> {
        let refused = |why: &str| EnvelopeError::Unsupported(format!("encryption to {why}"));
        let key = recipient.certificate.x509().public_key();
        let key = key.map_err(|_| refused("a public key that cannot be read"))?;
        if key.id() == Id::RSA {
            return match key.bits() {
                0..MIN_RSA => Err(refused("an RSA key of less than 2048 bits")),
                _ => Ok(Way::Transport(key, recipient.transport)),
            };
        }
        match Curve::of(&key) {
            Some(curve) => Ok(Way::Agreement(key, curve)),
            None => Err(refused("a key that only signs, or on a curve that is not supported")),
        }
    }

    fn encrypt(&self, content_key: &[u8]) -> Result<Sealed, EnvelopeError> {
        match self {
            Way::Agreement(key, curve) => {
                Ok(Sealed::Agreed(*curve, key_agreement::encrypt(key, *curve, content_key)?))
            }
            Way::Transport(key, transport) => {
                Ok(Sealed::Transported(*transport, key_transport::encrypt(key, *transport, content_key)?))
            }
        }
    }

    /// What [`Way::encrypt`] makes, as far as its length goes.
    fn blank(&self) -> Sealed {
        match self {
            Way::Agreement(_, curve) => {
                let wrapped = vec![0; KEY + key_agreement::WRAP_OVERHEAD];
                Sealed::Agreed(*curve, Agreed { point: vec![0; curve.point_len()], wrapped })
            }
            Way::Transport(key, transport) => Sealed::Transported(*transport, vec![0; key.size()]),
        }
    }
}

impl Sealed {
    /// RecipientInfo (RFC 5652 section 6.2).
    fn to_der(&self, recipient: &Recipient<'_>) -> Vec<u8> {
        let id = issuer_serial_der(recipient.certificate);
        match self {
            Sealed::Transported(transport, encrypted) => der_write::sequence(&[
                &der_write::small_integer(0),
                &id,
                &key_transport::algorithm(*transport).to_der(),
                &der_write::octet_string(encrypted),
            ]),
            Sealed::Agreed(curve, agreed) => {
                let key = Algorithm::bare(curve.key_oid()).to_der();
                let key = [key, der_write::bit_string(&agreed.point)].concat();
                let keys = der_write::sequence(&[&id, &der_write::octet_string(&agreed.wrapped)]);
                let content = [
                    der_write::small_integer(3),
                    der_write::explicit(0, &der_write::explicit(1, &key)),
                    curve.algorithm().to_der(),
                    der_write::sequence(&[&keys]),
                ];
                der_write::explicit(1, &content.concat())
            }
        }
    }
}

/// The RecipientInfos, and whether all of them are of version 0.
struct Infos {
    der: Vec<Vec<u8>>,
    all_version_0: bool,
}

fn recipient_infos(
    recipients: &[Recipient<'_>],
    mut seal: impl FnMut(&Way) -> Result<Sealed, EnvelopeError>,
) -> Result<Infos, EnvelopeError> {
    if recipients.is_empty() {
        return Err(EnvelopeError::Unsupported("encryption to nobody".into()));
    }
    let ways = recipients.iter().map(Way::to).collect::<Result<Vec<_>, _>>()?;
    let all_version_0 = ways.iter().all(|way| matches!(way, Way::Transport(..)));
    let mut der = Vec::with_capacity(recipients.len());
    for (way, recipient) in ways.iter().zip(recipients) {
        der.push(seal(way)?.to_der(recipient));
    }
    Ok(Infos { der, all_version_0 })
}

/// Everything in front of the encrypted content.
struct Frame {
    head: Vec<u8>,
}

impl Frame {
    fn new(
        infos: Infos,
        cipher: ContentCipher,
        inner: ContentKind,
        plain_len: u64,
        iv: &[u8],
    ) -> Result<Frame, EnvelopeError> {
        let inner = inner.oid().ok_or(EnvelopeError::Unsupported("content of an unknown kind".into()))?;
        // RFC 5652 section 6.1 for CBC; RFC 5083 section 2.1 for GCM.
        let (kind, version) = match cipher {
            ContentCipher::Aes256Cbc if infos.all_version_0 => (oid::ENVELOPED_DATA, 0),
            ContentCipher::Aes256Cbc => (oid::ENVELOPED_DATA, 2),
            ContentCipher::Aes256Gcm => (oid::AUTH_ENVELOPED_DATA, 0),
        };
        let sealed_len = cipher.sealed_len(plain_len);
        let algorithm = Algorithm::with(cipher.oid(), cipher.parameters(iv)).to_der();
        // From the innermost element to the outermost: what stands in front, and the octets that follow.
        let mut head = der_write::header(Tag::context(0).primitive(), sealed_len);
        let mut behind = sealed_len;
        head = [der_write::object_id(inner), algorithm, head].concat();
        enclose(&mut head, Tag::SEQUENCE, behind);
        behind += cipher.trailer_len();
        head = [der_write::small_integer(version), der_write::set_of(infos.der), head].concat();
        enclose(&mut head, Tag::SEQUENCE, behind);
        enclose(&mut head, Tag::context(0), behind);
        head = [der_write::object_id(kind), head].concat();
        enclose(&mut head, Tag::SEQUENCE, behind);
        Ok(Frame { head })
    }
}

/// Puts the header of an element in front that ends `behind` octets after `head`.
fn enclose(head: &mut Vec<u8>, tag: Tag, behind: u64) {
    let header = der_write::header(tag.constructed(), head.len() as u64 + behind);
    head.splice(0..0, header);
}

/// Encrypts what is written to it.
struct Encryption<'a> {
    out: &'a mut dyn Write,
    context: CipherCtx,
    cipher: ContentCipher,
    /// Small pieces are gathered, so that many short lines do not become many small encryptions.
    pending: Vec<u8>,
    scratch: Vec<u8>,
    taken: u64,
}

impl<'a> Encryption<'a> {
    fn start(
        out: &'a mut dyn Write,
        cipher: ContentCipher,
        key: &[u8],
        iv: &[u8],
    ) -> Result<Encryption<'a>, ErrorStack> {
        let mut context = CipherCtx::new()?;
        let algorithm = match cipher {
            ContentCipher::Aes256Cbc => Cipher::aes_256_cbc(),
            ContentCipher::Aes256Gcm => Cipher::aes_256_gcm(),
        };
        context.encrypt_init(Some(algorithm), Some(key), Some(iv))?;
        let scratch = vec![0; PIECE + BLOCK];
        Ok(Encryption { out, context, cipher, pending: Vec::new(), scratch, taken: 0 })
    }

    fn finish(mut self) -> io::Result<()> {
        self.encrypt_pending()?;
        let last = self.context.cipher_final(&mut self.scratch)?;
        self.out.write_all(self.scratch.get(..last).unwrap_or_default())?;
        if self.cipher == ContentCipher::Aes256Gcm {
            let mut tag = [0; TAG];
            self.context.tag(&mut tag)?;
            self.out.write_all(&der_write::octet_string(&tag))?;
        }
        Ok(())
    }

    fn encrypt_pending(&mut self) -> io::Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        self.encrypt(&pending)?;
        pending.clear();
        self.pending = pending;
        Ok(())
    }

    fn encrypt(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            let sealed = self.context.cipher_update(piece, Some(&mut self.scratch))?;
            self.out.write_all(self.scratch.get(..sealed).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl Write for Encryption<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pending.len() + bytes.len() > PIECE {
            self.encrypt_pending()?;
        }
        match bytes.len() >= PIECE {
            true => self.encrypt(bytes)?,
            false => self.pending.extend_from_slice(bytes),
        }
        self.taken += bytes.len() as u64;
        Ok(bytes.len())
    }

    /// Does nothing: what is written can be read only at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Octets of the content key, a block, a nonce and a tag.
const KEY: usize = 32;
const BLOCK: usize = 16;
const NONCE: usize = 12;
const TAG: usize = 16;
/// RFC 8551 section 2.3: shorter keys are not used for encryption.
const MIN_RSA: u32 = 2048;
/// Content is encrypted in pieces of this size at most, so that they stay in the cache.
const PIECE: usize = 32 * 1024;
