//! What `gatepost keys list` shows, and the form in which certificates leave.

use sequoia_openpgp::Cert;
use sequoia_openpgp::cert::amalgamation::ValidAmalgamation;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::RevocationStatus;
use serde::Serialize;

use crate::answer::Reason;
use crate::assess;
use crate::record::Custody;
use crate::record::Record;
use crate::record::Scheme;
use crate::record::Trust;
use crate::store::Store;
use crate::store::StoreError;
use crate::subject::Purpose;
use crate::subject::Subject;
use crate::x509::Anchors;
use crate::x509::Certificate;
use crate::x509::Use;

/// Which certificates to list; every field that is set must match.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Bound to this subject.
    pub subject: Option<Subject>,
    /// With this trust.
    pub trust: Option<Trust>,
    /// With this custody.
    pub custody: Option<Custody>,
}

/// One certificate with everything that is known about it, for people and `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// What the store knows.
    #[serde(flatten)]
    pub record: Record,
    /// Version of the primary key (4 or 6), or of the X.509 certificate (3).
    pub version: u8,
    /// Algorithm of the primary key, or of the key in the X.509 certificate.
    pub algorithm: String,
    /// User IDs as text, characters that are not UTF-8 replaced; or the addresses of the X.509 certificate.
    pub user_ids: Vec<String>,
    /// Subkeys that are validly bound.
    pub subkeys: Vec<ListedSubkey>,
    /// Whether mail can be encrypted to it now.
    pub encrypt: Standing,
    /// Whether its signatures can be verified now.
    pub verify: Standing,
    /// Announces SEIPDv2 or, in S/MIME, AES-GCM.
    pub aead: bool,
}

/// Whether a certificate can serve a purpose now.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// It can.
    pub usable: bool,
    /// The key that would be used, upper-case hexadecimal.
    pub key: Option<String>,
    /// Why it cannot, in words.
    pub why: Option<String>,
}

/// One subkey of a listed certificate.
#[derive(Clone, Debug, Serialize)]
pub struct ListedSubkey {
    /// Upper-case hexadecimal.
    pub fingerprint: String,
    /// Public key algorithm.
    pub algorithm: String,
    /// What the key flags allow: `encrypt` (mail), `store`, `sign`, `authenticate`, `certify`.
    pub usage: Vec<&'static str>,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds; `None` if it does not expire.
    pub expires: Option<i64>,
    /// Revoked by its holder.
    pub revoked: bool,
}

impl Store {
    /// Lists certificates with their standing at `now` (Unix seconds), ordered by fingerprint.
    ///
    /// # Errors
    /// If the database cannot be read or holds a damaged entry.
    pub fn list(&self, filter: &Filter, now: i64) -> Result<Vec<Listed>, StoreError> {
        self.list_trusted(filter, now, None)
    }

    /// As [`Store::list`], with the standing of S/MIME certificates judged up to their trust anchors. Without
    /// anchors it is judged by what the certificates themselves say.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn list_trusted(
        &self,
        filter: &Filter,
        now: i64,
        anchors: Option<&Anchors>,
    ) -> Result<Vec<Listed>, StoreError> {
        let describe = |record: Record| match record.scheme {
            Scheme::Openpgp => describe(record, now),
            Scheme::Smime => self.describe_certificate(record, now, anchors),
        };
        self.records()?.into_iter().filter(|record| filter.matches(record)).map(describe).collect()
    }

    /// One certificate in ASCII armor (RFC 9580, 6) or PEM (RFC 7468), without any secret.
    ///
    /// # Errors
    /// If it is unknown or damaged.
    pub fn export(&self, fingerprint: &str) -> Result<String, StoreError> {
        let record = self.get(fingerprint)?.ok_or_else(|| StoreError::Unknown(fingerprint.to_owned()))?;
        let corrupt = |error: String| StoreError::Corrupt(format!("{}: {error}", record.fingerprint));
        match record.scheme {
            Scheme::Openpgp => {
                Cert::from_bytes(&record.bytes).map(|cert| armored(&cert)).map_err(|e| corrupt(e.to_string()))
            }
            Scheme::Smime => {
                Certificate::from_der(&record.bytes).map(|c| c.pem()).map_err(|e| corrupt(e.to_string()))
            }
        }
    }

    fn describe_certificate(
        &self,
        record: Record,
        now: i64,
        anchors: Option<&Anchors>,
    ) -> Result<Listed, StoreError> {
        let known = self.known_certificate(record)?;
        let standing = |use_: Use| match known.judge(use_, now, anchors) {
            Ok(_) => Standing { usable: true, key: Some(known.record.fingerprint.clone()), why: None },
            Err(reason) => Standing { usable: false, key: None, why: Some(reason.to_string()) },
        };
        Ok(Listed {
            version: u8::try_from(known.certificate.x509().version() + 1).unwrap_or_default(),
            algorithm: known.certificate.public_key().to_string(),
            user_ids: known.certificate.addresses().to_vec(),
            subkeys: Vec::new(),
            encrypt: standing(Use::Encrypt),
            verify: standing(Use::Sign),
            aead: known.gcm,
            record: (*known.record).clone(),
        })
    }
}

impl Filter {
    fn matches(&self, record: &Record) -> bool {
        self.subject.as_ref().is_none_or(|wanted| record.subjects.iter().any(|s| s.key() == wanted.key()))
            && self.trust.is_none_or(|trust| trust == record.trust)
            && self.custody.is_none_or(|custody| custody == record.custody)
    }
}

/// A certificate in ASCII armor, never with secret key material.
pub fn armored(cert: &Cert) -> String {
    let bytes = cert.armored().to_vec().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

fn describe(mut record: Record, now: i64) -> Result<Listed, StoreError> {
    let cert = Cert::from_bytes(&record.bytes)
        .map_err(|error| StoreError::Corrupt(format!("{}: {error}", record.fingerprint)))?;
    // The stored values are those of the last import.
    record.revoked = assess::revocation(&cert, now);
    record.valid_until = assess::expiry(&cert, now);
    let encrypt = assess::assess(&cert, Purpose::Encrypt, None, now);
    let verify = assess::assess(&cert, Purpose::Verify, None, now);
    let held = match record.trust {
        Trust::Distrusted => Some(Reason::Distrusted),
        Trust::Held => Some(Reason::Held),
        Trust::Own | Trust::Verified | Trust::Accepted => None,
    };
    let standing = |fitness: Result<assess::Fitness, Reason>| match (held.clone(), fitness) {
        (Some(reason), _) | (None, Err(reason)) => {
            Standing { usable: false, key: None, why: Some(reason.to_string()) }
        }
        (None, Ok(fit)) => Standing { usable: true, key: Some(fit.subkey.to_hex()), why: None },
    };
    Ok(Listed {
        version: cert.primary_key().key().version(),
        algorithm: cert.primary_key().key().pk_algo().to_string(),
        user_ids: cert
            .userids()
            .map(|uid| String::from_utf8_lossy(uid.userid().value()).into_owned())
            .collect(),
        subkeys: subkeys(&cert, now),
        aead: verify.as_ref().is_ok_and(|fitness| fitness.aead),
        encrypt: standing(encrypt),
        verify: standing(verify),
        record,
    })
}

fn subkeys(cert: &Cert, now: i64) -> Vec<ListedSubkey> {
    let time = assess::system_time(now);
    let policy = assess::strict_policy(time);
    let Ok(valid) = cert.with_policy(&policy, time) else { return Vec::new() };
    valid
        .keys()
        .subkeys()
        .map(|key| {
            let usage = [
                ("encrypt", key.for_transport_encryption()),
                ("store", key.for_storage_encryption()),
                ("sign", key.for_signing()),
                ("authenticate", key.for_authentication()),
                ("certify", key.for_certification()),
            ];
            ListedSubkey {
                fingerprint: key.key().fingerprint().to_hex(),
                algorithm: key.key().pk_algo().to_string(),
                usage: usage.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect(),
                created: assess::unix(key.key().creation_time()),
                expires: key.key_expiration_time().map(assess::unix),
                revoked: matches!(key.revocation_status(), RevocationStatus::Revoked(_)),
            }
        })
        .collect()
}
