//! RecipientInfo (RFC 5652 section 6.2): for whom the content key was encrypted, and how.

use std::io::BufRead;

use keydir::Certificate;
use openssl::x509::X509Name;

use super::super::algorithm::Algorithm;
use super::super::ber::BerError;
use super::super::ber::BerReader;
use super::super::ber::Tag;
use super::super::der_write;

/// How a message names the certificate it means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RecipientId {
    /// By issuer and serial number.
    IssuerSerial {
        /// The issuer's Name, a whole DER element.
        issuer: Vec<u8>,
        /// Content octets of the serial number's INTEGER.
        serial: Vec<u8>,
    },
    /// By subject key identifier.
    KeyId(Vec<u8>),
}

impl RecipientId {
    /// Issuer and serial number of a certificate.
    pub fn issuer_serial(certificate: &Certificate) -> RecipientId {
        RecipientId::IssuerSerial {
            issuer: certificate.issuer_der().to_vec(),
            serial: certificate.serial().to_vec(),
        }
    }

    /// Whether this means the certificate. Names that differ only in the type of their strings, in case
    /// or in spaces are the same (RFC 5280 section 7.1): some programs write them anew.
    pub fn means(&self, certificate: &Certificate) -> bool {
        match self {
            RecipientId::KeyId(id) => certificate.subject_key_id() == Some(id.as_slice()),
            RecipientId::IssuerSerial { issuer, serial } => {
                serial == certificate.serial()
                    && (issuer == certificate.issuer_der() || same_name(issuer, certificate))
            }
        }
    }

    /// Reads IssuerAndSerialNumber.
    pub(crate) fn read_issuer_serial<R: BufRead>(ber: &mut BerReader<R>) -> Result<RecipientId, BerError> {
        ber.enter(Tag::SEQUENCE)?;
        let issuer = ber.element()?;
        let serial = ber.primitive(Tag::INTEGER)?;
        ber.leave()?;
        Ok(RecipientId::IssuerSerial { issuer, serial })
    }

    /// Reads RecipientIdentifier or SignerIdentifier: issuer and serial number, or `[0]` key identifier.
    pub(crate) fn read<R: BufRead>(ber: &mut BerReader<R>) -> Result<RecipientId, BerError> {
        match ber.at(Tag::context(0))? {
            true => Ok(RecipientId::KeyId(ber.octet_string(Tag::context(0))?)),
            false => RecipientId::read_issuer_serial(ber),
        }
    }
}

/// IssuerAndSerialNumber of a certificate.
pub(crate) fn issuer_serial_der(certificate: &Certificate) -> Vec<u8> {
    let serial = der_write::element(Tag::INTEGER.primitive(), &[certificate.serial()]);
    der_write::sequence(&[certificate.issuer_der(), &serial])
}

fn same_name(issuer: &[u8], certificate: &Certificate) -> bool {
    let Ok(named) = X509Name::from_der(issuer) else { return false };
    matches!(certificate.x509().issuer_name().try_cmp(&named), Ok(std::cmp::Ordering::Equal))
}

/// The content key, encrypted for somebody.
#[derive(Debug)]
pub(crate) enum RecipientInfo {
    /// By RSA.
    Transport {
        /// For whom.
        id: RecipientId,
        /// Which padding.
        algorithm: Algorithm,
        /// The encrypted key.
        encrypted: Vec<u8>,
    },
    /// By Diffie-Hellman with a key made for this message.
    Agreement {
        /// The sender's half, and how a key is made from it.
        agreement: Agreement,
        /// The content key, wrapped for each of several recipients.
        keys: Vec<(RecipientId, Vec<u8>)>,
    },
    /// By a password, a shared key or something newer: nobody has these for mail.
    Other,
}

/// What the sender gave for a key agreement.
#[derive(Debug)]
pub(crate) struct Agreement {
    /// The sender's public key; `None`: named by a certificate.
    pub(crate) originator: Option<OriginatorKey>,
    /// User keying material.
    pub(crate) ukm: Option<Vec<u8>>,
    /// The scheme; its parameter is the key wrap.
    pub(crate) algorithm: Algorithm,
}

/// A public key that the sender made for one message.
#[derive(Debug)]
pub(crate) struct OriginatorKey {
    /// Octets of the identifier of its kind.
    pub(crate) kind: Vec<u8>,
    /// Its octets: a point on a curve.
    pub(crate) point: Vec<u8>,
}

impl RecipientInfo {
    /// Everybody this is for.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &RecipientId> {
        let (one, several) = match self {
            RecipientInfo::Transport { id, .. } => (Some(id), [].as_slice()),
            RecipientInfo::Agreement { keys, .. } => (None, keys.as_slice()),
            RecipientInfo::Other => (None, [].as_slice()),
        };
        one.into_iter().chain(several.iter().map(|(id, _)| id))
    }

    pub(crate) fn read<R: BufRead>(ber: &mut BerReader<R>) -> Result<RecipientInfo, BerError> {
        match ber.peek()? {
            Some(Tag::SEQUENCE) => read_transport(ber),
            Some(tag) if tag == Tag::context(1) => read_agreement(ber),
            _ => ber.skip().map(|()| RecipientInfo::Other),
        }
    }
}

fn read_transport<R: BufRead>(ber: &mut BerReader<R>) -> Result<RecipientInfo, BerError> {
    ber.enter(Tag::SEQUENCE)?;
    ber.small_integer()?;
    let id = RecipientId::read(ber)?;
    let algorithm = Algorithm::read(ber)?;
    let encrypted = ber.octet_string(Tag::OCTET_STRING)?;
    ber.leave()?;
    Ok(RecipientInfo::Transport { id, algorithm, encrypted })
}

fn read_agreement<R: BufRead>(ber: &mut BerReader<R>) -> Result<RecipientInfo, BerError> {
    ber.enter(Tag::context(1))?;
    ber.small_integer()?;
    ber.enter(Tag::context(0))?;
    let originator = read_originator(ber)?;
    ber.leave()?;
    let mut ukm = None;
    if ber.enter_if(Tag::context(1))? {
        ukm = Some(ber.octet_string(Tag::OCTET_STRING)?);
        ber.leave()?;
    }
    let algorithm = Algorithm::read(ber)?;
    let mut keys = Vec::new();
    ber.enter(Tag::SEQUENCE)?;
    while ber.enter_if(Tag::SEQUENCE)? {
        let id = read_agreed_recipient(ber)?;
        keys.push((id, ber.octet_string(Tag::OCTET_STRING)?));
        ber.leave()?;
    }
    ber.leave()?;
    ber.leave()?;
    Ok(RecipientInfo::Agreement { agreement: Agreement { originator, ukm, algorithm }, keys })
}

/// OriginatorIdentifierOrKey: only a key made for the message is of use.
fn read_originator<R: BufRead>(ber: &mut BerReader<R>) -> Result<Option<OriginatorKey>, BerError> {
    if !ber.enter_if(Tag::context(1))? {
        return ber.skip().map(|()| None);
    }
    let algorithm = Algorithm::read(ber)?;
    let key = ber.primitive(Tag::BIT_STRING)?;
    ber.leave()?;
    match key.split_first() {
        Some((0, octets)) => Ok(Some(OriginatorKey { kind: algorithm.oid, point: octets.to_vec() })),
        _ => Err(BerError::Malformed("a public key that does not consist of whole octets")),
    }
}

/// KeyAgreeRecipientIdentifier: `[0]` holds a key identifier, and a date and more that say nothing to us.
fn read_agreed_recipient<R: BufRead>(ber: &mut BerReader<R>) -> Result<RecipientId, BerError> {
    if !ber.enter_if(Tag::context(0))? {
        return RecipientId::read_issuer_serial(ber);
    }
    let id = ber.octet_string(Tag::OCTET_STRING)?;
    ber.leave_rest()?;
    Ok(RecipientId::KeyId(id))
}
