//! Signature schemes: RSA PKCS#1 v1.5 and PSS, ECDSA, Ed25519.

use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::HasPublic;
use openssl::pkey::Id;
use openssl::pkey::PKeyRef;
use openssl::pkey::Private;
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::sign::RsaPssSaltlen;

use super::digest::Digest;
use super::element::reader;
use super::flaw::Flaw;
use super::oid;
use crate::cms::algorithm::Algorithm;
use crate::cms::ber::BerError;
use crate::cms::ber::Tag;
use crate::cms::der_write::NULL;
use crate::cms::der_write::element;
use crate::cms::der_write::explicit;
use crate::cms::der_write::object_id;
use crate::cms::der_write::sequence;

/// How a signature is made of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Ecdsa,
    /// RFC 8419: over the octets, not over a digest.
    Ed25519,
    RsaPkcs1,
    RsaPss {
        /// Digest of the mask generation function.
        mask: Digest,
        /// Octets of salt.
        salt: u16,
    },
}

/// What is signed.
#[derive(Clone, Copy)]
pub(crate) enum Signed<'a> {
    /// The encoding of the signed attributes.
    Attributes(&'a [u8]),
    /// The content itself.
    Content {
        digest: &'a [u8],
        /// The octets, if there are not too many.
        whole: Option<&'a [u8]>,
    },
}

impl Scheme {
    /// The scheme of a signatureAlgorithm beside this digestAlgorithm.
    pub(crate) fn identify(algorithm: &Algorithm, digest: Digest) -> Result<Scheme, Flaw> {
        let (scheme, named) = match algorithm.oid.as_slice() {
            oid::RSA => (Scheme::RsaPkcs1, digest),
            oid::RSA_SHA256 => (Scheme::RsaPkcs1, Digest::Sha256),
            oid::RSA_SHA384 => (Scheme::RsaPkcs1, Digest::Sha384),
            oid::RSA_SHA512 => (Scheme::RsaPkcs1, Digest::Sha512),
            oid::EC_PUBLIC_KEY => (Scheme::Ecdsa, digest),
            oid::ECDSA_SHA256 => (Scheme::Ecdsa, Digest::Sha256),
            oid::ECDSA_SHA384 => (Scheme::Ecdsa, Digest::Sha384),
            oid::ECDSA_SHA512 => (Scheme::Ecdsa, Digest::Sha512),
            oid::ED25519 => (Scheme::Ed25519, digest),
            oid::RSA_PSS => pss(algorithm.parameters.as_deref())?,
            other => {
                let why = format!("signature algorithm {} is not supported", oid::dotted(other));
                return Err(Flaw::unsupported(why));
            }
        };
        if named != digest {
            return Err("the signature algorithm names another digest than the signer".into());
        }
        Ok(scheme)
    }

    /// Whether the signature holds under this key.
    pub(crate) fn verify<T: HasPublic>(
        self,
        key: &PKeyRef<T>,
        digest: Digest,
        signed: Signed<'_>,
        signature: &[u8],
    ) -> Result<(), String> {
        self.fits(key)?;
        let outcome = match (self, signed) {
            (Scheme::Ed25519, Signed::Content { whole: None, .. }) => {
                let what = "an Ed25519 signature without signed attributes";
                return Err(format!("{what} over more than 1 MiB or without SHA-512 is not supported"));
            }
            (Scheme::Ed25519, Signed::Attributes(octets) | Signed::Content { whole: Some(octets), .. }) => {
                openssl::sign::Verifier::new_without_digest(key)
                    .and_then(|mut verifier| verifier.verify_oneshot(signature, octets))
            }
            (_, Signed::Content { digest: value, .. }) => self.verify_digest(key, digest, value, signature),
            (_, Signed::Attributes(octets)) => {
                digest.of(octets).and_then(|value| self.verify_digest(key, digest, &value, signature))
            }
        };
        match outcome {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err("the signature is not of this key over this content".into()),
        }
    }

    fn verify_digest<T: HasPublic>(
        self,
        key: &PKeyRef<T>,
        digest: Digest,
        value: &[u8],
        signature: &[u8],
    ) -> Result<bool, ErrorStack> {
        let mut context = PkeyCtx::new(key)?;
        context.verify_init()?;
        self.set_up(&mut context, digest)?;
        context.verify(value, signature)
    }

    /// The signature over these octets.
    pub(crate) fn sign(
        self,
        key: &PKeyRef<Private>,
        digest: Digest,
        octets: &[u8],
    ) -> Result<Vec<u8>, ErrorStack> {
        if self == Scheme::Ed25519 {
            return openssl::sign::Signer::new_without_digest(key)?.sign_oneshot_to_vec(octets);
        }
        let mut context = PkeyCtx::new(key)?;
        context.sign_init()?;
        self.set_up(&mut context, digest)?;
        let mut signature = Vec::new();
        context.sign_to_vec(&digest.of(octets)?, &mut signature)?;
        Ok(signature)
    }

    fn set_up<T>(self, context: &mut PkeyCtx<T>, digest: Digest) -> Result<(), ErrorStack> {
        match self {
            Scheme::RsaPkcs1 => context.set_rsa_padding(Padding::PKCS1)?,
            Scheme::RsaPss { mask, salt } => {
                context.set_rsa_padding(Padding::PKCS1_PSS)?;
                context.set_rsa_mgf1_md(mask.md())?;
                context.set_rsa_pss_saltlen(RsaPssSaltlen::custom(i32::from(salt)))?;
            }
            Scheme::Ecdsa | Scheme::Ed25519 => (),
        }
        context.set_signature_md(digest.md())
    }

    /// Whether a key is of the kind and strength that the scheme asks for.
    fn fits<T: HasPublic>(self, key: &PKeyRef<T>) -> Result<(), String> {
        match (self, key.id()) {
            (Scheme::RsaPkcs1, Id::RSA) | (Scheme::RsaPss { .. }, Id::RSA | Id::RSA_PSS) => {
                match key.bits() {
                    ..RSA_BITS => Err(format!("an RSA key of {} bits is too weak", key.bits())),
                    _ => Ok(()),
                }
            }
            (Scheme::Ecdsa, Id::EC) => match curve(key) {
                Some(curve) if CURVES.contains(&curve) => Ok(()),
                _ => Err("the elliptic curve of the key is not supported".into()),
            },
            (Scheme::Ed25519, Id::ED25519) => Ok(()),
            _ => Err("the key of the certificate is of another kind than the signature".into()),
        }
    }

    /// As an AlgorithmIdentifier (RFC 3370, 4056, 5754, 8419).
    pub(crate) fn algorithm(self, digest: Digest) -> Vec<u8> {
        match (self, digest) {
            (Scheme::Ed25519, _) => sequence(&[&object_id(oid::ED25519)]),
            (Scheme::Ecdsa, Digest::Sha256) => sequence(&[&object_id(oid::ECDSA_SHA256)]),
            (Scheme::Ecdsa, Digest::Sha384) => sequence(&[&object_id(oid::ECDSA_SHA384)]),
            (Scheme::Ecdsa, Digest::Sha512) => sequence(&[&object_id(oid::ECDSA_SHA512)]),
            (Scheme::RsaPkcs1, _) => sequence(&[&object_id(oid::RSA), &NULL]),
            (Scheme::RsaPss { mask, salt }, _) => {
                sequence(&[&object_id(oid::RSA_PSS), &pss_parameters(digest, mask, salt)])
            }
        }
    }
}

/// Digest and scheme with which we sign with a key; `None` if its kind cannot sign here.
pub(crate) fn preferred<T: HasPublic>(key: &PKeyRef<T>, pss: bool) -> Option<(Digest, Scheme)> {
    let pss_sha256 = Scheme::RsaPss { mask: Digest::Sha256, salt: 32 };
    Some(match key.id() {
        Id::RSA if pss => (Digest::Sha256, pss_sha256),
        Id::RSA => (Digest::Sha256, Scheme::RsaPkcs1),
        Id::RSA_PSS => (Digest::Sha256, pss_sha256),
        Id::ED25519 => (Digest::Sha512, Scheme::Ed25519),
        Id::EC => match curve(key)? {
            Nid::X9_62_PRIME256V1 => (Digest::Sha256, Scheme::Ecdsa),
            Nid::SECP384R1 => (Digest::Sha384, Scheme::Ecdsa),
            Nid::SECP521R1 => (Digest::Sha512, Scheme::Ecdsa),
            _ => return None,
        },
        _ => return None,
    })
}

fn curve<T: HasPublic>(key: &PKeyRef<T>) -> Option<Nid> {
    key.ec_key().ok()?.group().curve_name()
}

/// RSASSA-PSS-params (RFC 4055 section 3.1).
fn pss_parameters(digest: Digest, mask: Digest, salt: u16) -> Vec<u8> {
    let mask = sequence(&[&object_id(oid::MGF1), &mask.rsa_algorithm()]);
    // A longer salt than 512 octets is never written, so the first octet is no sign.
    let octets = match salt.to_be_bytes() {
        [0, low] if low < 0x80 => vec![low],
        [high, low] => vec![high, low],
    };
    let salt = element(Tag::INTEGER.primitive(), &[&octets]);
    sequence(&[&explicit(0, &digest.rsa_algorithm()), &explicit(1, &mask), &explicit(2, &salt)])
}

/// Scheme and digest of RSASSA-PSS-params. What is left out is SHA-1 by default, hence refused.
fn pss(parameters: Option<&[u8]>) -> Result<(Scheme, Digest), Flaw> {
    let parameters = parameters.ok_or("SHA-1 is too weak")?;
    let parts =
        pss_parts(parameters).map_err(|error| format!("the RSA-PSS parameters cannot be read: {error}"))?;
    let (Some(digest), Some(mask)) = (parts.digest, parts.mask) else {
        return Err("SHA-1 is too weak".into());
    };
    let digest = Digest::identify(&digest).map_err(|none| none.flaw())?;
    let mask = Digest::identify(&mask).map_err(|none| none.flaw())?;
    match (u16::try_from(parts.salt), parts.trailer) {
        (Ok(salt @ ..=512), 1) => Ok((Scheme::RsaPss { mask, salt }, digest)),
        _ => Err("these RSA-PSS parameters are not supported".into()),
    }
}

struct PssParts {
    digest: Option<Algorithm>,
    mask: Option<Algorithm>,
    salt: u32,
    trailer: u32,
}

fn pss_parts(parameters: &[u8]) -> Result<PssParts, BerError> {
    let mut parts = PssParts { digest: None, mask: None, salt: 20, trailer: 1 };
    let mut list = reader(parameters);
    list.enter(Tag::SEQUENCE)?;
    if list.enter_if(Tag::context(0))? {
        parts.digest = Some(Algorithm::read(&mut list)?);
        list.leave()?;
    }
    if list.enter_if(Tag::context(1))? {
        let function = Algorithm::read(&mut list)?;
        list.leave()?;
        let inner = function.parameters.filter(|_| function.oid == oid::MGF1);
        let inner = inner.ok_or(BerError::Malformed("another mask generation function than MGF1"))?;
        parts.mask = Some(Algorithm::read(&mut reader(&inner))?);
    }
    if list.enter_if(Tag::context(2))? {
        parts.salt = list.small_integer()?;
        list.leave()?;
    }
    if list.enter_if(Tag::context(3))? {
        parts.trailer = list.small_integer()?;
        list.leave()?;
    }
    list.leave()?;
    Ok(parts)
}

/// Below this an RSA key is no protection any more.
const RSA_BITS: u32 = 2048;
/// The curves of RFC 5480 that are strong enough, and those of RFC 5639 that gpgsm users have.
const CURVES: [Nid; 6] = [
    Nid::X9_62_PRIME256V1,
    Nid::SECP384R1,
    Nid::SECP521R1,
    Nid::BRAINPOOL_P256R1,
    Nid::BRAINPOOL_P384R1,
    Nid::BRAINPOOL_P512R1,
];

#[cfg(test)]
mod tests;
