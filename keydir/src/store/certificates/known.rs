//! S/MIME certificates as the store gives them.

use std::sync::Arc;

use crate::answer::Reason;
use crate::record::Record;
use crate::record::Trust;
use crate::subject::Purpose;
use crate::subject::Subject;
use crate::x509;
use crate::x509::Anchors;
use crate::x509::Authority;
use crate::x509::Certificate;
use crate::x509::ChainError;
use crate::x509::Use;

/// How a CMS message names a certificate (RFC 5652, 5.3 and 6.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CertificateId<'a> {
    /// By its issuer and serial number.
    IssuerSerial {
        /// The issuer's Name, DER with its header.
        issuer: &'a [u8],
        /// Content octets of the serial number.
        serial: &'a [u8],
    },
    /// By its subject key identifier.
    KeyId(&'a [u8]),
}

impl CertificateId<'_> {
    /// The handle under which it is stored; the prefix keeps it apart from OpenPGP's handles.
    pub(super) fn handle(&self) -> String {
        match self {
            Self::IssuerSerial { issuer, serial } => {
                format!("IS:{}", x509::issuer_serial_handle(issuer, serial))
            }
            Self::KeyId(id) => format!("SKI:{}", x509::hex(id)),
        }
    }
}

/// An S/MIME certificate that may be used for one purpose at one moment.
///
/// Only [`Store::find_certificate`] makes one, after it checked trust, names, dates, usage, strength, chain
/// and revocation.
#[derive(Clone, Debug)]
pub struct UsableCertificate {
    pub(super) known: KnownCertificate,
    pub(super) chain: Vec<Certificate>,
}

impl UsableCertificate {
    /// What the store knows about it.
    pub fn record(&self) -> &Record {
        &self.known.record
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.known.certificate
    }

    /// The certificates between it and its trust anchor, to be sent along with signatures.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// Whether its holder announced AES-GCM (AuthEnvelopedData, RFC 5083).
    pub fn gcm(&self) -> bool {
        self.known.gcm
    }

    /// Whether its holder announced RSA-OAEP (RFC 3560).
    pub fn oaep(&self) -> bool {
        self.known.oaep
    }
}

/// An S/MIME certificate that the store holds, usable or not.
#[derive(Clone, Debug)]
pub struct KnownCertificate {
    /// What the store knows about it.
    pub record: Arc<Record>,
    /// The certificate.
    pub certificate: Certificate,
    /// Its holder announced AES-GCM.
    pub gcm: bool,
    /// Its holder announced RSA-OAEP.
    pub oaep: bool,
    /// Certificates of authorities above it that are known.
    pub links: Vec<Certificate>,
}

impl KnownCertificate {
    /// Whether the administrator trusts it and it may stand for the subject: it is made out to the mailbox,
    /// or it is the authority of the domain for this purpose (RFC 3183), or the administrator assigned it.
    ///
    /// # Errors
    /// The reason why not.
    pub fn speaks_for(&self, subject: &Subject, purpose: Purpose) -> Result<(), Reason> {
        trusted(self.record.trust_for(subject))?;
        let bound = self.record.subjects.iter().any(|known| known.same(subject));
        let assigned = self.record.assigned.iter().any(|known| known.same(subject));
        let made_out = claims(&self.certificate, purpose).iter().any(|claim| claim.same(subject));
        match bound && (made_out || (assigned && matches!(subject, Subject::Domain(_) | Subject::AtRest(_))))
        {
            true => Ok(()),
            false => Err(Reason::NoUserId(subject.to_string())),
        }
    }

    /// Judges dates, usage, strength, revocation and, with anchors, the chain. A certificate that the
    /// administrator checked (`Verified` or `Own`) needs no chain. Gives the intermediate certificates.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub fn judge(&self, use_: Use, now: i64, anchors: Option<&Anchors>) -> Result<Vec<Certificate>, Reason> {
        self.judge_as(self.record.trust, use_, now, anchors)
    }

    /// The same where it stands for a subject, for which it may be trusted less.
    pub(super) fn judge_for(
        &self,
        subject: &Subject,
        use_: Use,
        now: i64,
        anchors: &Anchors,
    ) -> Result<Vec<Certificate>, Reason> {
        self.judge_as(self.record.trust_for(subject), use_, now, Some(anchors))
    }

    fn judge_as(
        &self,
        trust: Trust,
        use_: Use,
        now: i64,
        anchors: Option<&Anchors>,
    ) -> Result<Vec<Certificate>, Reason> {
        trusted(trust)?;
        if let Some(why) = &self.record.revoked {
            return Err(Reason::Revoked(why.clone()));
        }
        match use_ {
            Use::Encrypt => self.certificate.may_encrypt(now)?,
            Use::Sign => self.certificate.may_sign(now)?,
        }
        let Some(anchors) = anchors else { return Ok(Vec::new()) };
        match anchors.verify(&self.certificate, &self.links, now, use_) {
            Ok(chain) => Ok(chain.intermediates().to_vec()),
            Err(ChainError::Untrusted(_)) if trust.rank() == 0 => Ok(self.links.clone()),
            Err(error) => Err(error.into()),
        }
    }
}

fn trusted(trust: Trust) -> Result<(), Reason> {
    match trust {
        Trust::Held => Err(Reason::Held),
        Trust::Distrusted => Err(Reason::Distrusted),
        Trust::Own | Trust::Verified | Trust::Accepted => Ok(()),
    }
}

/// Whom a certificate is made out to, for one purpose.
pub(super) fn claims(certificate: &Certificate, purpose: Purpose) -> Vec<Subject> {
    let mut claims: Vec<Subject> =
        certificate.addresses().iter().filter_map(|address| Subject::address(address)).collect();
    let wanted = match purpose {
        Purpose::Encrypt => Authority::Confidentiality,
        Purpose::Sign | Purpose::Verify => Authority::Signing,
    };
    if let Some((_, domain)) = certificate.authority().filter(|(authority, _)| *authority == wanted) {
        claims.push(Subject::Domain(domain));
    }
    claims
}
