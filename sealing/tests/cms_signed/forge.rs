//! Signatures that no honest program makes.

use ::openssl::hash::MessageDigest;
use ::openssl::hash::hash;
use ::openssl::pkey::Id;
use sealing::cms::SecretKey;

/// id-data.
pub const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
/// id-signedData.
pub const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
pub const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
pub const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
pub const SIGNING_TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 5];
/// mlExpansionHistory, RFC 2634 section 4.4.
pub const EXPANSION_HISTORY: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 3];
/// contentHints, RFC 2634 section 2.9.
pub const CONTENT_HINTS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 4];
pub const SIGNATURE_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 28];
pub const SIGNING_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 2, 12];
pub const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
pub const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
pub const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// An element with this identifier octet.
pub fn tlv(identifier: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![identifier];
    match content.len() {
        short @ ..0x80 => out.push(short as u8),
        long => {
            let octets = (long as u64).to_be_bytes();
            let octets = &octets[octets.iter().position(|octet| *octet != 0).unwrap()..];
            out.push(0x80 | octets.len() as u8);
            out.extend_from_slice(octets);
        }
    }
    out.extend(content);
    out
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

pub fn oid(octets: &[u8]) -> Vec<u8> {
    tlv(6, &[octets])
}

pub fn attribute(kind: &[u8], values: &[&[u8]]) -> Vec<u8> {
    sequence(&[&oid(kind), &tlv(0x31, values)])
}

pub fn content_type() -> Vec<u8> {
    attribute(CONTENT_TYPE, &[&oid(DATA)])
}

pub fn message_digest(content: &[u8]) -> Vec<u8> {
    attribute(MESSAGE_DIGEST, &[&tlv(4, &[&hash(MessageDigest::sha256(), content).unwrap()])])
}

pub fn issuer_serial(identity: &SecretKey) -> Vec<u8> {
    let certificate = identity.certificate();
    sequence(&[certificate.issuer_der(), &tlv(2, &[certificate.serial()])])
}

/// One SignedData, all of whose parts can be chosen; the signature is always right for them.
pub struct Forge<'a> {
    pub identity: &'a SecretKey,
    pub content: Vec<u8>,
    /// The content type in the encapsulated content.
    pub inner: &'a [u8],
    /// Signed in this order; none: the content is signed.
    pub attributes: Option<Vec<Vec<u8>>>,
    /// Attributes are sent in this order, if another than they were signed in.
    pub sent_attributes: Option<Vec<Vec<u8>>>,
    pub unsigned_attributes: Option<Vec<u8>>,
    pub sid: Vec<u8>,
    pub certificates: Vec<Vec<u8>>,
    /// The digest that is announced in front of the content; empty: none.
    pub announced: &'a [u8],
    /// The digest that the signature names.
    pub digest: &'a [u8],
}

impl<'a> Forge<'a> {
    /// What an honest signer of a content writes.
    pub fn over(identity: &'a SecretKey, content: &[u8]) -> Forge<'a> {
        Forge {
            identity,
            content: content.to_vec(),
            inner: DATA,
            attributes: Some(vec![content_type(), message_digest(content)]),
            sent_attributes: None,
            unsigned_attributes: None,
            sid: issuer_serial(identity),
            certificates: vec![identity.certificate().der().to_vec()],
            announced: SHA256,
            digest: SHA256,
        }
    }

    fn signature(&self, octets: &[u8]) -> Vec<u8> {
        let key = self.identity.key();
        if key.id() == Id::ED25519 {
            let mut signer = ::openssl::sign::Signer::new_without_digest(key).unwrap();
            return signer.sign_oneshot_to_vec(octets).unwrap();
        }
        let mut signer = ::openssl::sign::Signer::new(MessageDigest::sha256(), key).unwrap();
        signer.sign_oneshot_to_vec(octets).unwrap()
    }

    pub fn signer_info(&self) -> Vec<u8> {
        let set = |tag, parts: &[Vec<u8>]| tlv(tag, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let (sent, signature) = match &self.attributes {
            Some(attributes) => {
                let sent = self.sent_attributes.as_ref().unwrap_or(attributes);
                (set(0xa0, sent), self.signature(&set(0x31, attributes)))
            }
            None => (Vec::new(), self.signature(&self.content)),
        };
        let algorithm = match self.identity.key().id() {
            Id::RSA => sequence(&[&oid(RSA), &[5, 0]]),
            Id::EC => sequence(&[&oid(ECDSA)]),
            _ => sequence(&[&oid(ED25519)]),
        };
        sequence(&[
            &[2, 1, 1],
            &self.sid,
            &sequence(&[&oid(self.digest)]),
            &sent,
            &algorithm,
            &tlv(4, &[&signature]),
            self.unsigned_attributes.as_deref().unwrap_or_default(),
        ])
    }

    /// The whole, with the content inside.
    pub fn build(&self) -> Vec<u8> {
        self.build_with(&[self.signer_info()])
    }

    pub fn build_with(&self, infos: &[Vec<u8>]) -> Vec<u8> {
        let certificates: Vec<&[u8]> = self.certificates.iter().map(Vec::as_slice).collect();
        let infos: Vec<&[u8]> = infos.iter().map(Vec::as_slice).collect();
        let content = tlv(0xa0, &[&tlv(4, &[&self.content])]);
        let announced = match self.announced {
            [] => Vec::new(),
            announced => sequence(&[&oid(announced)]),
        };
        let signed_data = sequence(&[
            &[2, 1, 1],
            &tlv(0x31, &[&announced]),
            &sequence(&[&oid(self.inner), &content]),
            &tlv(0xa0, &certificates),
            &tlv(0x31, &infos),
        ]);
        sequence(&[&oid(SIGNED_DATA), &tlv(0xa0, &[&signed_data])])
    }
}
