//! What a certificate may be used for (RFC 8550, 4.4).

use der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::ext::pkix::KeyUsage;
use x509_cert::ext::pkix::KeyUsages;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::Certificate;
use super::CertificateError;
use super::oid;
use crate::answer::Reason;

/// Shortest RSA key that is used, bits (RFC 8551, 4.2).
const MIN_RSA: u32 = 2048;
/// Longest RSA key that is used, bits; OpenSSL verifies no longer ones.
const MAX_RSA: u32 = 16_384;

/// The kind of public key in a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PublicKey {
    /// RSA with so many bits.
    Rsa(u32),
    /// RSA that may only sign with PSS, with so many bits.
    RsaPss(u32),
    /// The curve P-256.
    EcP256,
    /// The curve P-384.
    EcP384,
    /// The curve P-521.
    EcP521,
    /// Ed25519, for signatures (RFC 8410).
    Ed25519,
    /// X25519, for key agreement (RFC 8410).
    X25519,
    /// Any other algorithm: its object identifier.
    Other(String),
}

/// What the certificate says of its use.
#[derive(Debug)]
pub(super) struct Usage {
    key_usage: Option<KeyUsage>,
    extended: Option<Vec<ObjectIdentifier>>,
    key: PublicKey,
    signature: ObjectIdentifier,
    /// Digest of an RSASSA-PSS signature.
    pss_digest: Option<ObjectIdentifier>,
}

impl Usage {
    pub(super) fn read(tbs: &x509_cert::TbsCertificate) -> Result<Self, CertificateError> {
        let pss_digest = (tbs.signature.oid == oid::PSS).then(|| pss_digest(tbs)).flatten();
        Ok(Self {
            key_usage: tbs.get::<KeyUsage>()?.map(|(_, usage)| usage),
            extended: tbs.get::<ExtendedKeyUsage>()?.map(|(_, usage)| usage.0),
            key: public_key(&tbs.subject_public_key_info)?,
            signature: tbs.signature.oid,
            pss_digest,
        })
    }

    /// Whether the bit is set; a certificate without key usage may do everything (RFC 8550, 4.4.2).
    fn allows(&self, wanted: KeyUsages) -> bool {
        self.key_usage.is_none_or(|usage| usage.0.contains(wanted))
    }

    fn check_extended(&self) -> Result<(), Reason> {
        let mail = |oid: &ObjectIdentifier| [oid::EMAIL_PROTECTION, oid::ANY_USAGE].contains(oid);
        match &self.extended {
            Some(usages) if !usages.iter().any(mail) => {
                Err(Reason::Usage("the extended key usage does not allow e-mail protection".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn check_strength(&self) -> Result<(), Reason> {
        match &self.key {
            PublicKey::Rsa(bits) | PublicKey::RsaPss(bits) if *bits < MIN_RSA => {
                return Err(Reason::Weak(format!("an RSA key of {bits} bits")));
            }
            PublicKey::Rsa(bits) | PublicKey::RsaPss(bits) if *bits > MAX_RSA => {
                return Err(Reason::Unsupported(format!("an RSA key of {bits} bits")));
            }
            PublicKey::Other(name) => return Err(Reason::Unsupported(format!("the public key {name}"))),
            _ => {}
        }
        if let Some(digest) = weak_digest(self.signature) {
            return Err(Reason::Weak(format!("a certificate signed with {digest}")));
        }
        match self.signature {
            oid::PSS if self.pss_digest.is_some_and(|digest| oid::STRONG_DIGESTS.contains(&digest)) => Ok(()),
            oid::PSS => Err(Reason::Weak("a certificate signed with RSASSA-PSS and SHA-1".to_owned())),
            other if oid::STRONG_SIGNATURES.contains(&other) => Ok(()),
            other => Err(Reason::Unsupported(format!("the certificate's signature algorithm {other}"))),
        }
    }
}

impl Certificate {
    /// The kind of its public key.
    pub fn public_key(&self) -> PublicKey {
        self.parsed().usage.key.clone()
    }

    /// Whether mail may be encrypted to it at `now` (Unix seconds): dates, key usage (keyEncipherment for
    /// RSA, keyAgreement for elliptic curves), extended key usage, strength; and that it is no CA.
    ///
    /// Says nothing about chain and revocation; see [`Anchors::verify`](crate::Anchors::verify).
    ///
    /// # Errors
    /// The reason why not.
    pub fn may_encrypt(&self, now: i64) -> Result<(), Reason> {
        self.may_be_used(now)?;
        let usage = &self.parsed().usage;
        let (bit, name) = match &usage.key {
            PublicKey::Rsa(_) => (KeyUsages::KeyEncipherment, "keyEncipherment"),
            PublicKey::RsaPss(_) | PublicKey::Ed25519 => {
                return Err(Reason::Usage("its key can only sign".to_owned()));
            }
            _ => (KeyUsages::KeyAgreement, "keyAgreement"),
        };
        match usage.allows(bit) {
            true => Ok(()),
            false => Err(Reason::Usage(format!("the key usage lacks {name}"))),
        }
    }

    /// Whether its key may have signed mail at the moment `at` (Unix seconds): dates, key usage
    /// (digitalSignature or nonRepudiation), extended key usage, strength; and that it is no CA.
    ///
    /// Says nothing about chain and revocation; see [`Anchors::verify`](crate::Anchors::verify).
    ///
    /// # Errors
    /// The reason why not.
    pub fn may_sign(&self, at: i64) -> Result<(), Reason> {
        self.may_be_used(at)?;
        let usage = &self.parsed().usage;
        if usage.key == PublicKey::X25519 {
            return Err(Reason::Usage("its key can only agree on keys".to_owned()));
        }
        match usage.allows(KeyUsages::DigitalSignature) || usage.allows(KeyUsages::NonRepudiation) {
            true => Ok(()),
            false => Err(Reason::Usage("the key usage lacks digitalSignature".to_owned())),
        }
    }

    /// Whether an authority may issue certificates for mail: extended key usages of intermediate
    /// certificates narrow those below.
    pub(super) fn may_certify_mail(&self) -> bool {
        self.parsed().usage.check_extended().is_ok()
    }

    /// Whether an authority may sign revocation lists.
    pub(super) fn may_sign_crls(&self) -> bool {
        self.parsed().usage.allows(KeyUsages::CRLSign)
    }

    /// Whether it could ever serve for mail, whatever the date: it is no CA, strong enough, and meant for
    /// e-mail.
    ///
    /// # Errors
    /// The reason why not.
    pub fn check_leaf(&self) -> Result<(), Reason> {
        if self.is_ca() {
            return Err(Reason::Usage("it is the certificate of a certification authority".to_owned()));
        }
        let usage = &self.parsed().usage;
        usage.check_strength()?;
        usage.check_extended()
    }

    fn may_be_used(&self, at: i64) -> Result<(), Reason> {
        self.check_leaf()?;
        if at < self.not_before() {
            return Err(Reason::NotYetValid(self.not_before()));
        }
        if at > self.not_after() {
            return Err(Reason::Expired(self.not_after()));
        }
        Ok(())
    }
}

/// The kind of a key: SubjectPublicKeyInfo in DER.
pub(crate) fn kind_of_key(info: &[u8]) -> Result<PublicKey, CertificateError> {
    use der::Decode;
    public_key(&SubjectPublicKeyInfoOwned::from_der(info)?)
}

fn public_key(key: &SubjectPublicKeyInfoOwned) -> Result<PublicKey, CertificateError> {
    let curve = || key.algorithm.parameters.as_ref().and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    Ok(match key.algorithm.oid {
        oid::RSA => PublicKey::Rsa(rsa_bits(key.subject_public_key.raw_bytes())?),
        oid::PSS => PublicKey::RsaPss(rsa_bits(key.subject_public_key.raw_bytes())?),
        oid::EC => match curve() {
            Some(oid::P256) => PublicKey::EcP256,
            Some(oid::P384) => PublicKey::EcP384,
            Some(oid::P521) => PublicKey::EcP521,
            Some(other) => PublicKey::Other(format!("on the curve {other}")),
            None => PublicKey::Other("on a curve of its own".to_owned()),
        },
        oid::ED25519 => PublicKey::Ed25519,
        oid::X25519 => PublicKey::X25519,
        other => PublicKey::Other(other.to_string()),
    })
}

/// The bits of the modulus in an RSAPublicKey (RFC 8017, A.1.1).
fn rsa_bits(key: &[u8]) -> Result<u32, CertificateError> {
    use der::Decode;
    use der::Reader;
    let outer = der::asn1::AnyRef::from_der(key)?;
    let mut inside = der::SliceReader::new(outer.value())?;
    let modulus: der::asn1::UintRef<'_> = inside.decode()?;
    let bytes = modulus.as_bytes();
    let bits = bytes.len().saturating_mul(8);
    let leading = bytes.first().map_or(0, |byte| byte.leading_zeros());
    Ok(u32::try_from(bits).unwrap_or(u32::MAX).saturating_sub(leading))
}

/// The digest of RSASSA-PSS-params (RFC 4055, 3.1); without one it is SHA-1.
fn pss_digest(tbs: &x509_cert::TbsCertificate) -> Option<ObjectIdentifier> {
    use der::Decode;
    use der::Reader;
    let parameters = tbs.signature.parameters.as_ref()?;
    let mut inside = der::SliceReader::new(parameters.value()).ok()?;
    let first = der::asn1::AnyRef::from_der(inside.tlv_bytes().ok()?).ok()?;
    (u8::from(der::Tagged::tag(&first)) == 0xa0).then_some(())?;
    let algorithm = x509_cert::spki::AlgorithmIdentifierRef::from_der(first.value()).ok()?;
    Some(algorithm.oid)
}

/// The name of a signature algorithm with a digest that is broken.
fn weak_digest(signature: ObjectIdentifier) -> Option<&'static str> {
    match signature.to_string().as_str() {
        "1.2.840.113549.1.1.2" => Some("MD2"),
        "1.2.840.113549.1.1.4" => Some("MD5"),
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some("SHA-1"),
        _ => None,
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA {bits}"),
            Self::RsaPss(bits) => write!(f, "RSA-PSS {bits}"),
            Self::EcP256 => f.write_str("EC P-256"),
            Self::EcP384 => f.write_str("EC P-384"),
            Self::EcP521 => f.write_str("EC P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::X25519 => f.write_str("X25519"),
            Self::Other(name) => f.write_str(name),
        }
    }
}
