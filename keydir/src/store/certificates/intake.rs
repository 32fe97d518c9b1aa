//! S/MIME certificates on their way into the store.

use std::sync::Arc;

use rusqlite::Transaction;

use super::CertificateId;
use super::known::claims;
use crate::answer::Reason;
use crate::record::Custody;
use crate::record::Origin;
use crate::record::Record;
use crate::record::Scheme;
use crate::record::Trust;
use crate::store::Import;
use crate::store::StoreError;
use crate::store::changes;
use crate::store::found;
use crate::store::rows;
use crate::subject::Purpose;
use crate::subject::Subject;
use crate::x509::Authority;
use crate::x509::Certificate;

pub(super) fn refused(certificate: &Certificate, reason: Option<Reason>) -> StoreError {
    let reason = reason.unwrap_or_else(|| Reason::Unsupported("this certificate".to_owned()));
    StoreError::Certificate { fingerprint: certificate.fingerprint(), reason }
}

/// Stores one leaf, or changes what is thought of it.
pub(super) fn store(
    transaction: &Transaction<'_>,
    leaf: &Certificate,
    import: &Import<'_>,
) -> Result<Record, StoreError> {
    leaf.check_leaf().map_err(|reason| refused(leaf, Some(reason)))?;
    let fingerprint = leaf.fingerprint();
    let known = rows::load(transaction, &fingerprint)?;
    let is_new = known.is_none();
    let mut record = known.unwrap_or_else(|| Record {
        fingerprint: fingerprint.clone(),
        scheme: Scheme::Smime,
        subjects: Vec::new(),
        assigned: Vec::new(),
        found: Vec::new(),
        origin: import.origin,
        trust: import.trust,
        valid_from: Some(leaf.not_before()),
        valid_until: Some(leaf.not_after()),
        revoked: None,
        custody: import.custody,
        added: import.now,
        bytes: Arc::from(leaf.der()),
    });
    let unbound = changes::unbound(transaction, &fingerprint, import)?;
    bind(&mut record, leaf, import, is_new, &unbound)?;
    if record.trust == Trust::Accepted && import.trust.rank() == 0 {
        record.trust = import.trust;
    }
    if import.custody == Custody::Local {
        record.custody = Custody::Local;
    }
    rows::write(transaction, &record)?;
    let issuer_serial = CertificateId::IssuerSerial { issuer: leaf.issuer_der(), serial: leaf.serial() };
    let key_id = leaf.subject_key_id().map(|id| CertificateId::KeyId(id).handle());
    for handle in [Some(fingerprint.clone()), Some(issuer_serial.handle()), key_id].into_iter().flatten() {
        rows::add_component(transaction, &handle, &fingerprint)?;
    }
    Ok(record)
}

/// Adds the subjects of an import to a record.
fn bind(
    record: &mut Record,
    leaf: &Certificate,
    import: &Import<'_>,
    is_new: bool,
    unbound: &[String],
) -> Result<(), StoreError> {
    let not = |wanted: String| StoreError::NotMadeOutTo { fingerprint: leaf.fingerprint(), wanted };
    if let (Some(subjects), true) = (&import.subjects, import.origin.is_found()) {
        let claimed = claims(leaf, Purpose::Encrypt);
        return found::bind(record, subjects, import, |subject| {
            claimed.iter().any(|claim| claim.same(subject))
        });
    }
    if let Some(assigned) = &import.subjects {
        for subject in assigned {
            let own = |address: &String| Subject::address(address).is_some_and(|own| own.same(subject));
            if matches!(subject, Subject::Address(_)) && !leaf.addresses().iter().any(own) {
                return Err(not(subject.to_string()));
            }
            found::assign(record, subject);
        }
        return Ok(());
    }
    if leaf.addresses().is_empty() {
        return Err(not("any mailbox".to_owned()));
    }
    // Another import from a source we trust less must not bind more with the trust given before.
    if is_new || import.trust.rank() <= record.trust.rank() {
        let authority = leaf.authority().filter(|_| import.origin != Origin::Harvested);
        let domain = authority
            .filter(|(authority, _)| matches!(authority, Authority::Signing | Authority::Confidentiality))
            .map(|(_, domain)| Subject::Domain(domain));
        let addresses = leaf.addresses().iter().filter_map(|address| Subject::address(address));
        let free = addresses.chain(domain).filter(|subject| !unbound.contains(&subject.key()));
        free.for_each(|subject| rows::add(&mut record.subjects, subject));
    }
    Ok(())
}

pub(super) fn add_link(transaction: &Transaction<'_>, authority: &Certificate) -> Result<(), StoreError> {
    transaction.execute(
        "INSERT OR IGNORE INTO link VALUES (?1, ?2, ?3)",
        rusqlite::params![authority.fingerprint(), authority.subject_der(), authority.der()],
    )?;
    Ok(())
}
