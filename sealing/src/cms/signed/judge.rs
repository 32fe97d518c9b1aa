//! Whether a signature holds, and by which certificate.

use keydir::Certificate;

use crate::cms::RecipientId;

use super::attributes::Attributes;
use super::capabilities::Capabilities;
use super::digest::ContentDigests;
use super::digest::Digest;
use super::digest::NoDigest;
use super::encryption_key;
use super::expansion::Expansion;
use super::flaw::Flaw;
use super::oid;
use super::signature::Scheme;
use super::signature::Signed;
use super::signature_type;
use super::signer_info::SignerInfo;
use super::signing_certificate::MeantCertificate;
use super::signing_time;

/// One signature and what became of it.
///
/// Everything but [`SignerResult::sid`] is a mere claim unless [`SignerResult::holds`] is `Ok`.
#[derive(Clone, Debug)]
pub struct SignerResult {
    /// The signer's certificate. If the signature does not hold: the certificate it names, if there is
    /// exactly one.
    pub certificate: Option<Certificate>,
    /// How the signature names its certificate.
    pub sid: RecipientId,
    /// Whether the signature is by the key of the certificate over exactly this content; if not, why.
    pub holds: Result<(), String>,
    /// It was not checked whether the signature holds, because it uses an algorithm that is not supported.
    pub unsupported: bool,
    /// When the signer says the signature was made, Unix seconds.
    pub signing_time: Option<i64>,
    /// Name of the digest algorithm, for example `SHA-256`.
    pub digest: String,
    /// Meaning of the signature (RFC 3183 section 3.1): object identifiers with dots.
    pub signature_types: Vec<String>,
    /// What the signer announces to be able to decrypt.
    pub capabilities: Capabilities,
    /// The certificate to which the signer wants mail to be encrypted (RFC 8551 section 2.5.3).
    pub encryption_certificate: Option<RecipientId>,
    /// What the signer says as a mailing list agent (RFC 2634 section 4).
    pub expansion: Option<Expansion>,
}

/// Where certificates are looked for.
pub(crate) struct Pools<'a> {
    /// Those that came with the signature.
    pub(crate) message: &'a [Certificate],
    /// Those that the caller knows.
    pub(crate) known: &'a [Certificate],
}

/// What was signed, as far as a verdict depends on it.
pub(crate) struct Content<'a> {
    /// Content octets of the content type.
    pub(crate) kind: &'a [u8],
    pub(crate) digests: &'a ContentDigests,
}

/// Judges one signature.
pub(crate) fn judge(info: SignerInfo, content: &Content<'_>, pools: &Pools<'_>) -> SignerResult {
    let digest = match &info.digest {
        Ok(digest) => digest.name().to_owned(),
        Err(none) => none.name().to_owned(),
    };
    let mut result = SignerResult {
        certificate: named(&info.id, pools),
        sid: info.id.clone(),
        holds: Ok(()),
        unsupported: false,
        signing_time: None,
        digest,
        signature_types: Vec::new(),
        capabilities: Capabilities::default(),
        encryption_certificate: None,
        expansion: None,
    };
    let claims = result.read_claims(info.attributes.as_ref()).map_err(Flaw::from);
    match claims.and_then(|()| signer(&info, content, pools)) {
        Ok(certificate) => result.certificate = Some(certificate),
        Err(flaw) => (result.holds, result.unsupported) = (Err(flaw.why), flaw.unsupported),
    }
    result
}

impl SignerResult {
    fn read_claims(&mut self, attributes: Option<&Attributes>) -> Result<(), String> {
        let Some(attributes) = attributes else { return Ok(()) };
        if let Some(value) = attributes.single(oid::SIGNING_TIME)? {
            self.signing_time = Some(signing_time::parse(value).ok_or("the signing time cannot be read")?);
        }
        if let Some(value) = attributes.single(oid::SIGNATURE_TYPE)? {
            self.signature_types = signature_type::parse(value)
                .map_err(|error| format!("the type of the signature cannot be read: {error}"))?;
        }
        if let Some(value) = attributes.single(oid::CAPABILITIES)? {
            self.capabilities = Capabilities::parse(value)
                .map_err(|error| format!("the capabilities of the signer cannot be read: {error}"))?;
        }
        if let Some(value) = attributes.single(oid::ENCRYPTION_KEY)? {
            self.encryption_certificate = encryption_key::read(value)
                .map_err(|error| format!("the signer's encryption certificate cannot be read: {error}"))?;
        }
        self.expansion = Expansion::read(attributes)?;
        Ok(())
    }
}

/// The only certificate that a signature names.
fn named(id: &RecipientId, pools: &Pools<'_>) -> Option<Certificate> {
    [pools.message, pools.known].into_iter().find_map(|pool| match candidates(id, pool).as_slice() {
        [only] => Some((*only).clone()),
        _ => None,
    })
}

/// The certificate by which the signature holds.
fn signer(info: &SignerInfo, content: &Content<'_>, pools: &Pools<'_>) -> Result<Certificate, Flaw> {
    let digest = info.digest.as_ref().map_err(NoDigest::flaw)?;
    let value = content.digests.get(*digest).ok_or("the digest of the signature is not announced")?;
    info.covers(content.kind, value)?;
    if info.attributes.is_none() && content.digests.may_be_attributes() {
        return Err("the content may be the attributes of another signature".into());
    }
    let scheme = Scheme::identify(&info.algorithm, *digest)?;
    let meant = meant_certificates(info.attributes.as_ref())?;
    let whole = content.digests.whole.as_deref();
    let check = Check { info, digest: *digest, value, whole, scheme, meant };
    let by_message = check.by_one_of(&candidates(&info.id, pools.message));
    let Err(NotBy::Nobody(reason)) = by_message else {
        return by_message.map_err(|none| none.why().into());
    };
    let by_known = check.by_one_of(&candidates(&info.id, pools.known));
    by_known.map_err(|none| match none {
        NotBy::Nobody(None) => NotBy::Nobody(reason).why().into(),
        other => other.why().into(),
    })
}

/// Why no certificate could be taken for the signer's.
enum NotBy {
    /// The signature holds by none of them; why, if there was any.
    Nobody(Option<String>),
    /// It holds by several.
    Several,
}

impl NotBy {
    fn why(self) -> String {
        match self {
            NotBy::Nobody(Some(why)) => why,
            NotBy::Nobody(None) => "the signer's certificate is not known".into(),
            NotBy::Several => "the signer's name fits several certificates".into(),
        }
    }
}

/// A signature and everything it is checked against but a certificate.
struct Check<'a> {
    info: &'a SignerInfo,
    digest: Digest,
    /// Digest of the content.
    value: &'a [u8],
    /// The content, if it was kept.
    whole: Option<&'a [u8]>,
    scheme: Scheme,
    meant: Vec<MeantCertificate>,
}

impl Check<'_> {
    /// The one certificate by which the signature holds. With two of them nobody can say who signed: they
    /// may be made out to different people.
    fn by_one_of(&self, candidates: &[&Certificate]) -> Result<Certificate, NotBy> {
        if candidates.len() > CANDIDATES {
            return Err(NotBy::Several);
        }
        let mut signers = Vec::new();
        let mut reason = None;
        for candidate in candidates {
            match self.by(candidate) {
                Ok(()) => signers.push(*candidate),
                Err(why) => reason = Some(why),
            }
        }
        match signers.as_slice() {
            [] => Err(NotBy::Nobody(reason)),
            [only] => Ok((*only).clone()),
            _ => Err(NotBy::Several),
        }
    }

    fn by(&self, certificate: &Certificate) -> Result<(), String> {
        if !self.meant.iter().all(|meant| meant.is(certificate)) {
            return Err("the signer meant another certificate".into());
        }
        let key = certificate.x509().public_key();
        let key = key.map_err(|_| "the key of the certificate is not supported".to_owned())?;
        let verify = |signed| self.scheme.verify(&key, self.digest, signed, &self.info.signature);
        let Some(attributes) = &self.info.attributes else {
            return verify(Signed::Content { digest: self.value, whole: self.whole });
        };
        let mut verdict = Err("no attributes are signed".to_owned());
        for form in attributes.signed_forms() {
            verdict = verify(Signed::Attributes(form));
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }
}

/// The different certificates of a pool that bear this name.
fn candidates<'p>(id: &RecipientId, pool: &'p [Certificate]) -> Vec<&'p Certificate> {
    let mut found: Vec<&Certificate> = Vec::new();
    for certificate in pool.iter().filter(|certificate| id.means(certificate)) {
        if !found.iter().any(|known| known.der() == certificate.der()) {
            found.push(certificate);
        }
    }
    found
}

fn meant_certificates(attributes: Option<&Attributes>) -> Result<Vec<MeantCertificate>, String> {
    let mut meant = Vec::new();
    let Some(attributes) = attributes else { return Ok(meant) };
    let unreadable = |error| format!("the signed name of the certificate cannot be read: {error}");
    if let Some(value) = attributes.single(oid::SIGNING_CERTIFICATE_V2)? {
        let id = MeantCertificate::parse_v2(value).map_err(unreadable)?;
        meant.push(id.ok_or("the signed name of the certificate has a digest that is not supported")?);
    }
    if let Some(value) = attributes.single(oid::SIGNING_CERTIFICATE)? {
        meant.push(MeantCertificate::parse_v1(value).map_err(unreadable)?);
    }
    Ok(meant)
}

/// Certificates with one name that are tried; more are an attack on our time.
const CANDIDATES: usize = 8;
