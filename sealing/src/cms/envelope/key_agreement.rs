//! Key agreement: ECDH on the NIST curves (RFC 5753) and X25519 (RFC 8418), with a key that the sender
//! makes for one message.

use openssl::aes;
use openssl::aes::AesKey;
use openssl::bn::BigNumContext;
use openssl::derive::Deriver;
use openssl::ec::EcGroup;
use openssl::ec::EcGroupRef;
use openssl::ec::EcKey;
use openssl::ec::EcPoint;
use openssl::ec::PointConversionForm;
use openssl::error::ErrorStack;
use openssl::hash::Hasher;
use openssl::hash::MessageDigest;
use openssl::md::Md;
use openssl::md::MdRef;
use openssl::nid::Nid;
use openssl::pkey::Id;
use openssl::pkey::PKey;
use openssl::pkey::PKeyRef;
use openssl::pkey::Private;
use openssl::pkey::Public;
use openssl::pkey_ctx::PkeyCtx;
use zeroize::Zeroizing;

use super::super::algorithm::Algorithm;
use super::super::der_write;
use super::super::oid;
use super::Refusal;
use super::recipient::Agreement;
use super::recipient::OriginatorKey;

/// A curve on which keys are agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
    X25519,
}

/// What the recipient needs to find the content key.
pub(crate) struct Agreed {
    /// Octets of the key made for this message.
    pub(crate) point: Vec<u8>,
    /// The content key, wrapped.
    pub(crate) wrapped: Vec<u8>,
}

impl Curve {
    /// The curve of a public key, if keys can be agreed on it.
    pub(crate) fn of(key: &PKeyRef<Public>) -> Option<Curve> {
        if key.id() == Id::X25519 {
            return Some(Curve::X25519);
        }
        match key.ec_key().ok()?.group().curve_name()? {
            Nid::X9_62_PRIME256V1 => Some(Curve::P256),
            Nid::SECP384R1 => Some(Curve::P384),
            Nid::SECP521R1 => Some(Curve::P521),
            _ => None,
        }
    }

    /// Octets of a public key as it is written: uncompressed.
    pub(crate) fn point_len(self) -> usize {
        match self {
            Curve::P256 => 65,
            Curve::P384 => 97,
            Curve::P521 => 133,
            Curve::X25519 => 32,
        }
    }

    /// The identifier of its public keys.
    pub(crate) fn key_oid(self) -> &'static [u8] {
        match self {
            Curve::X25519 => oid::X25519,
            Curve::P256 | Curve::P384 | Curve::P521 => oid::EC_PUBLIC_KEY,
        }
    }

    /// The scheme with which we encrypt: a digest as strong as the curve (RFC 5753 section 8; RFC 8551
    /// section 2.7 asks for HKDF with X25519), and AES-256 key wrap.
    pub(crate) fn algorithm(self) -> Algorithm {
        let scheme = match self {
            Curve::P256 => oid::STD_DH_SHA256,
            Curve::P384 => oid::STD_DH_SHA384,
            Curve::P521 => oid::STD_DH_SHA512,
            Curve::X25519 => oid::STD_DH_HKDF_SHA256,
        };
        Algorithm::with(scheme, Algorithm::bare(oid::AES256_WRAP).to_der())
    }
}

/// Makes a key for this message and wraps the content key with what it has in common with `key`.
pub(crate) fn encrypt(key: &PKey<Public>, curve: Curve, content_key: &[u8]) -> Result<Agreed, Refusal> {
    let (ours, point) = match curve {
        Curve::X25519 => {
            let ours = PKey::generate_x25519()?;
            let point = ours.raw_public_key()?;
            (ours, point)
        }
        Curve::P256 | Curve::P384 | Curve::P521 => generate_ec(key.ec_key()?.group())?,
    };
    let agreement = Agreement { originator: None, ukm: None, algorithm: curve.algorithm() };
    let scheme = Scheme::read(&agreement)?;
    let kek = scheme.derive(&shared_secret(&ours, key)?)?;
    let wrapping = AesKey::new_encrypt(&kek).map_err(|_| Refusal::Wrong)?;
    let mut wrapped = vec![0; content_key.len() + WRAP_OVERHEAD];
    aes::wrap_key(&wrapping, None, &mut wrapped, content_key).map_err(|_| Refusal::Wrong)?;
    Ok(Agreed { point, wrapped })
}

/// Unwraps a content key.
pub(crate) fn decrypt(
    key: &PKeyRef<Private>,
    agreement: &Agreement,
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let scheme = Scheme::read(agreement)?;
    let Some(theirs) = &agreement.originator else {
        return Err(Refusal::Unsupported("key agreement with a certificate of the sender".into()));
    };
    let theirs = public_key(key, theirs)?;
    let shared = shared_secret(key, &theirs).map_err(|_| Refusal::Wrong)?;
    let kek = scheme.derive(&shared)?;
    // RFC 3394: blocks of eight octets, two at least; the library insists by assertion.
    if !wrapped.len().is_multiple_of(8) || !(24..=MAX_WRAPPED).contains(&wrapped.len()) {
        return Err(Refusal::Wrong);
    }
    let wrapping = AesKey::new_decrypt(&kek).map_err(|_| Refusal::Wrong)?;
    let mut content_key = Zeroizing::new(vec![0; wrapped.len() - WRAP_OVERHEAD]);
    aes::unwrap_key(&wrapping, None, &mut content_key, wrapped).map_err(|_| Refusal::Wrong)?;
    Ok(content_key)
}

fn generate_ec(group: &EcGroupRef) -> Result<(PKey<Private>, Vec<u8>), ErrorStack> {
    let ours = EcKey::generate(group)?;
    let mut context = BigNumContext::new()?;
    let point = ours.public_key().to_bytes(group, PointConversionForm::UNCOMPRESSED, &mut context)?;
    Ok((PKey::from_ec_key(ours)?, point))
}

/// The sender's key, which must lie on the curve of ours.
fn public_key(ours: &PKeyRef<Private>, theirs: &OriginatorKey) -> Result<PKey<Public>, Refusal> {
    match (ours.id(), theirs.kind.as_slice()) {
        (Id::X25519, oid::X25519) => {
            PKey::public_key_from_raw_bytes(&theirs.point, Id::X25519).map_err(|_| Refusal::Wrong)
        }
        (Id::EC, oid::EC_PUBLIC_KEY) => {
            let group = ours.ec_key()?;
            on_curve(group.group(), &theirs.point).map_err(|_| Refusal::Wrong)
        }
        _ => Err(Refusal::Wrong),
    }
}

fn on_curve(group: &EcGroupRef, point: &[u8]) -> Result<PKey<Public>, ErrorStack> {
    let mut context = BigNumContext::new()?;
    let point = EcPoint::from_bytes(group, point, &mut context)?;
    let group = match group.curve_name() {
        Some(name) => EcGroup::from_curve_name(name)?,
        None => return Err(ErrorStack::get()),
    };
    let key = EcKey::from_public_key(&group, &point)?;
    key.check_key()?;
    PKey::from_ec_key(key)
}

fn shared_secret(
    ours: &PKeyRef<Private>,
    theirs: &PKeyRef<Public>,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut deriver = Deriver::new(ours)?;
    deriver.set_peer(theirs)?;
    Ok(Zeroizing::new(deriver.derive_to_vec()?))
}

/// How a key-encryption key comes from what both sides have in common.
struct Scheme<'a> {
    derivation: Derivation,
    /// Octets of the key that wraps.
    length: usize,
    ukm: Option<&'a [u8]>,
    /// ECC-CMS-SharedInfo (RFC 5753 section 7.2).
    shared_info: Vec<u8>,
}

enum Derivation {
    Hkdf(&'static MdRef),
    X963(MessageDigest),
}

impl<'a> Scheme<'a> {
    fn read(agreement: &'a Agreement) -> Result<Scheme<'a>, Refusal> {
        let derivation = match agreement.algorithm.oid.as_slice() {
            oid::STD_DH_HKDF_SHA256 => Derivation::Hkdf(Md::sha256()),
            oid::STD_DH_HKDF_SHA384 => Derivation::Hkdf(Md::sha384()),
            oid::STD_DH_HKDF_SHA512 => Derivation::Hkdf(Md::sha512()),
            // The curves have cofactor one: both kinds of multiplication are the same.
            oid::STD_DH_SHA1 | oid::COFACTOR_DH_SHA1 => Derivation::X963(MessageDigest::sha1()),
            oid::STD_DH_SHA224 | oid::COFACTOR_DH_SHA224 => Derivation::X963(MessageDigest::sha224()),
            oid::STD_DH_SHA256 | oid::COFACTOR_DH_SHA256 => Derivation::X963(MessageDigest::sha256()),
            oid::STD_DH_SHA384 | oid::COFACTOR_DH_SHA384 => Derivation::X963(MessageDigest::sha384()),
            oid::STD_DH_SHA512 | oid::COFACTOR_DH_SHA512 => Derivation::X963(MessageDigest::sha512()),
            other => return Err(Refusal::unsupported("key agreement", other)),
        };
        let wrap = Algorithm::read(&mut agreement.algorithm.parameters())?;
        let length = match wrap.oid.as_slice() {
            oid::AES128_WRAP => 16,
            oid::AES192_WRAP => 24,
            oid::AES256_WRAP => 32,
            other => return Err(Refusal::unsupported("key wrap", other)),
        };
        let ukm = agreement.ukm.as_deref();
        let shared_info = shared_info(&wrap, ukm, length);
        Ok(Scheme { derivation, length, ukm, shared_info })
    }

    fn derive(&self, shared: &[u8]) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        match self.derivation {
            Derivation::X963(digest) => x963(digest, shared, &self.shared_info, self.length),
            Derivation::Hkdf(digest) => self.hkdf(digest, shared),
        }
    }

    /// RFC 8418 section 2.2: the keying material of the user, if any, is the salt.
    fn hkdf(&self, digest: &MdRef, shared: &[u8]) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        let mut context = PkeyCtx::new_id(Id::HKDF)?;
        context.derive_init()?;
        context.set_hkdf_md(digest)?;
        context.set_hkdf_key(shared)?;
        if let Some(salt) = self.ukm.filter(|salt| !salt.is_empty()) {
            context.set_hkdf_salt(salt)?;
        }
        context.add_hkdf_info(&self.shared_info)?;
        let mut kek = Zeroizing::new(vec![0; self.length]);
        context.derive(Some(&mut kek))?;
        Ok(kek)
    }
}

fn shared_info(wrap: &Algorithm, ukm: Option<&[u8]>, length: usize) -> Vec<u8> {
    let user = ukm.map(|ukm| der_write::explicit(0, &der_write::octet_string(ukm))).unwrap_or_default();
    let bits = (length as u32 * 8).to_be_bytes();
    let public = der_write::explicit(2, &der_write::octet_string(&bits));
    der_write::sequence(&[&wrap.to_der(), &user, &public])
}

/// The key derivation of X9.63 (SEC 1 section 3.6.1).
fn x963(
    digest: MessageDigest,
    shared: &[u8],
    info: &[u8],
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let mut out = Zeroizing::new(Vec::with_capacity(length + digest.size()));
    for counter in 1_u32.. {
        if out.len() >= length {
            break;
        }
        let mut hasher = Hasher::new(digest)?;
        hasher.update(shared)?;
        hasher.update(&counter.to_be_bytes())?;
        hasher.update(info)?;
        out.extend_from_slice(&hasher.finish()?);
    }
    out.truncate(length);
    Ok(out)
}

/// Octets that wrapping adds (RFC 3394 section 2.2.1).
pub(crate) const WRAP_OVERHEAD: usize = 8;
/// No content key is longer.
const MAX_WRAPPED: usize = 64 + WRAP_OVERHEAD;
