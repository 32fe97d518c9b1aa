//! From a certificate to a trust anchor (RFC 5280, 6).

use openssl::stack::Stack;
use openssl::x509::X509;
use openssl::x509::X509PurposeId;
use openssl::x509::X509StoreContext;
use openssl::x509::store::X509Store;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyParam;

use super::Anchors;
use super::Certificate;
use super::CertificateError;
use super::constraints;
use crate::answer::Reason;

/// Most certificates between leaf and anchor.
const MAX_DEPTH: i32 = 8;
/// Most certificates of a message that are considered.
const MAX_OTHERS: usize = 64;
/// OpenSSL's level for 112 bits of security: no SHA-1, no RSA below 2048 bits anywhere in the chain.
const SECURITY_LEVEL: i32 = 2;

/// What a certificate shall be used for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Use {
    /// To encrypt mail to its holder.
    Encrypt,
    /// To believe a signature of its holder.
    Sign,
}

/// A chain that was verified, and what is known about revocation.
#[derive(Clone, Debug)]
pub struct Chain {
    certificates: Vec<Certificate>,
    unchecked: Vec<Certificate>,
}

impl Chain {
    /// The certificates, the leaf first and the trust anchor last.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// What to send along with a signature: everything between leaf and anchor.
    pub fn intermediates(&self) -> &[Certificate] {
        let end = self.certificates.len().saturating_sub(1);
        self.certificates.get(1..end).unwrap_or_default()
    }

    /// The trust anchor.
    pub fn anchor(&self) -> Option<&Certificate> {
        self.certificates.last()
    }

    /// Whether each certificate but the anchor was looked up in a fresh revocation list or OCSP answer. If
    /// not, nothing is known to the contrary, but nobody was asked either.
    pub fn revocation_checked(&self) -> bool {
        self.unchecked.is_empty()
    }

    /// The certificates whose revocation nothing is known about.
    pub fn unchecked(&self) -> &[Certificate] {
        &self.unchecked
    }
}

/// Why a certificate is not trusted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// It, or one above it, has expired; Unix seconds.
    #[error("{}", Reason::Expired(*.0))]
    Expired(i64),
    /// A name lies outside of what an authority may certify.
    #[error("outside of the name constraints: {0}")]
    NameConstraints(String),
    /// It, or one above it, is not valid yet; Unix seconds.
    #[error("{}", Reason::NotYetValid(*.0))]
    NotYetValid(i64),
    /// Anything else that is wrong.
    #[error("{0}")]
    Other(String),
    /// Whether it is revoked cannot be told: a revocation list exists but is stale, or the responder does
    /// not know it. Policy decides.
    #[error("{}", Reason::RevocationUnknown(.0.clone()))]
    RevocationUnknown(String),
    /// It, or one above it, was revoked.
    #[error("revoked: {why}")]
    Revoked {
        /// Since when, Unix seconds.
        when: i64,
        /// The reason in words.
        why: String,
    },
    /// No way leads to a trust anchor.
    #[error("{}", Reason::Untrusted(.0.clone()))]
    Untrusted(String),
    /// It, or one above it, must not be used for this.
    #[error("{}", Reason::Usage(.0.clone()))]
    Usage(String),
    /// A key or signature in the chain is too weak.
    #[error("{}", Reason::Weak(.0.clone()))]
    Weak(String),
}

impl From<Reason> for ChainError {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Expired(when) => Self::Expired(when),
            Reason::NotYetValid(when) => Self::NotYetValid(when),
            Reason::Usage(what) => Self::Usage(what),
            Reason::Weak(what) => Self::Weak(what),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<ChainError> for Reason {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Expired(when) => Self::Expired(when),
            ChainError::NotYetValid(when) => Self::NotYetValid(when),
            ChainError::RevocationUnknown(why) => Self::RevocationUnknown(why),
            ChainError::Revoked { why, .. } => Self::Revoked(why),
            ChainError::Usage(what) => Self::Usage(what),
            ChainError::Untrusted(why) => Self::Untrusted(why),
            ChainError::Weak(what) => Self::Weak(what),
            ChainError::NameConstraints(_) | ChainError::Other(_) => Self::Untrusted(error.to_string()),
        }
    }
}

impl From<openssl::error::ErrorStack> for ChainError {
    fn from(error: openssl::error::ErrorStack) -> Self {
        Self::Other(error.to_string())
    }
}

impl Anchors {
    /// Finds the way from a certificate to a trust anchor and checks it at the moment `at` (Unix seconds:
    /// now, or the time of a signature): signatures, dates, basic and name constraints, key usages,
    /// extended key usages, strength, and revocation as far as lists or OCSP answers are known. A
    /// revocation counts whatever its date, because signing times are claims of the signer.
    ///
    /// `others` are certificates that came with a message; they are used as links, never as anchors.
    ///
    /// # Errors
    /// What is wrong.
    pub fn verify(
        &self,
        leaf: &Certificate,
        others: &[Certificate],
        at: i64,
        use_: Use,
    ) -> Result<Chain, ChainError> {
        match use_ {
            Use::Encrypt => leaf.may_encrypt(at)?,
            Use::Sign => leaf.may_sign(at)?,
        }
        let certificates = self.build(leaf, others, at)?;
        for authority in certificates.iter().skip(1) {
            constraints::check(leaf, authority).map_err(ChainError::NameConstraints)?;
        }
        let end = certificates.len().saturating_sub(1);
        for authority in certificates.get(1..end).unwrap_or_default() {
            if !authority.may_certify_mail() {
                return Err(ChainError::Usage(format!(
                    "{} may not certify for mail",
                    authority.fingerprint()
                )));
            }
        }
        let unchecked = self.check_revocation(&certificates, at)?;
        Ok(Chain { certificates, unchecked })
    }

    /// The way from a certificate, also an authority's, to a trust anchor, with signatures, dates and
    /// constraints checked, and neither usages nor revocation: to know whose revocation lists are needed
    /// before [`Anchors::verify`]. The anchor comes last.
    ///
    /// # Errors
    /// If there is none.
    pub fn path(
        &self,
        certificate: &Certificate,
        others: &[Certificate],
        at: i64,
    ) -> Result<Vec<Certificate>, ChainError> {
        self.build(certificate, others, at)
    }

    /// Lets OpenSSL find and check the way.
    fn build(
        &self,
        leaf: &Certificate,
        others: &[Certificate],
        at: i64,
    ) -> Result<Vec<Certificate>, ChainError> {
        let mut links = Stack::new()?;
        for link in others.iter().take(MAX_OTHERS).chain(&self.intermediates) {
            links.push(link.x509().to_owned())?;
        }
        let store = self.store(at)?;
        let mut context = X509StoreContext::new()?;
        let outcome = context.init(&store, leaf.x509(), &links, |context| {
            if context.verify_cert()? {
                let chain: Vec<X509> = context
                    .chain()
                    .map(|chain| chain.iter().map(ToOwned::to_owned).collect())
                    .unwrap_or_default();
                return Ok(Ok(chain));
            }
            let at_fault = context.current_cert().map(ToOwned::to_owned);
            Ok(Err((context.error(), at_fault)))
        })?;
        let chain = outcome.map_err(|(error, at_fault)| refusal(error, at_fault.as_ref()))?;
        let known = [std::slice::from_ref(leaf), others, &self.intermediates, &self.roots];
        let read = |x509: &X509| {
            let der = x509.to_der()?;
            let known = known.iter().copied().flatten().find(|known| known.der() == der);
            let read = |error: CertificateError| ChainError::Other(error.to_string());
            known.map_or_else(|| Certificate::from_der(&der).map_err(read), |known| Ok(known.clone()))
        };
        let chain = chain.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        match chain.first() {
            Some(first) if first == leaf => Ok(chain),
            _ => Err(ChainError::Other("the chain begins with another certificate".to_owned())),
        }
    }

    fn store(&self, at: i64) -> Result<X509Store, ChainError> {
        let mut parameters = X509VerifyParam::new()?;
        parameters.set_time(at);
        parameters.set_depth(MAX_DEPTH);
        parameters.set_auth_level(SECURITY_LEVEL);
        // The purposes of OpenSSL refuse elliptic curves for encryption; the leaf was judged before and the
        // authorities are below.
        parameters.set_purpose(X509PurposeId::ANY)?;
        let mut store = X509StoreBuilder::new()?;
        for root in &self.roots {
            store.add_cert(root.x509().to_owned())?;
        }
        store.set_param(&parameters)?;
        Ok(store.build())
    }
}

/// OpenSSL's verdict in our words (`X509_V_ERR_*`).
fn refusal(error: openssl::x509::X509VerifyResult, at_fault: Option<&X509>) -> ChainError {
    let text = error.error_string().to_owned();
    let when = |time: fn(&X509) -> i64| at_fault.map_or(0, time);
    match error.as_raw() {
        9 => ChainError::NotYetValid(when(|x509| super::unix(x509.not_before()))),
        10 => ChainError::Expired(when(|x509| super::unix(x509.not_after()))),
        2 | 7 | 18..=21 | 27 | 28 => ChainError::Untrusted(text),
        24..=26 | 32 | 37 | 79 => ChainError::Usage(text),
        47..=49 | 51..=53 => ChainError::NameConstraints(text),
        66..=68 => ChainError::Weak(text),
        _ => ChainError::Other(text),
    }
}
