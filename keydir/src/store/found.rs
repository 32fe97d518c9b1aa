//! Mailboxes and domains to which a source of discovery, or mail, bound a certificate. What it says counts for that
//! subject alone, only as far as the certificate itself names it, and for no more than the source was believed: a
//! certificate that was checked for one mailbox is not checked for another that its holder wrote on it.

use rusqlite::params;

use super::Import;
use super::Store;
use super::StoreError;
use super::canonical_handle;
use super::rows;
use crate::record::FoundSubject;
use crate::record::Record;
use crate::record::Trust;
use crate::subject::Subject;

/// Binds the subjects that a source gives to a record, new or known. The administrator's word stays.
///
/// # Errors
/// [`StoreError::NotMadeOutTo`] if the certificate does not name one of them.
pub(super) fn bind(
    record: &mut Record,
    subjects: &[Subject],
    import: &Import<'_>,
    claims: impl Fn(&Subject) -> bool,
) -> Result<(), StoreError> {
    if let Some(foreign) = subjects.iter().find(|subject| !claims(subject)) {
        let (fingerprint, wanted) = (record.fingerprint.clone(), foreign.to_string());
        return Err(StoreError::NotMadeOutTo { fingerprint, wanted });
    }
    // What a source only asked about may be used once another source, or the same one, is believed.
    let only_asked_about = |record: &Record| {
        let held = |subject| record.found.iter().any(|f| f.subject.same(subject) && f.trust == Trust::Held);
        record.trust == Trust::Held && record.subjects.iter().all(held)
    };
    if !subjects.is_empty() && import.trust == Trust::Accepted && only_asked_about(record) {
        record.trust = Trust::Accepted;
    }
    for subject in subjects {
        put(record, subject, import);
    }
    Ok(())
}

fn put(record: &mut Record, subject: &Subject, import: &Import<'_>) {
    let trust = if import.trust.rank() > 1 { Trust::Held } else { Trust::Accepted };
    if let Some(found) = record.found.iter_mut().find(|found| found.subject.same(subject)) {
        // The administrator's word stands.
        if found.trust != trust && found.trust.rank() > 0 {
            (found.trust, found.since) = (trust, import.now);
        }
        return;
    }
    if record.subjects.iter().any(|known| known.same(subject)) {
        return;
    }
    record.subjects.push(subject.clone());
    record.found.push(FoundSubject { subject: subject.clone(), trust, since: import.now });
}

/// Binds a subject because somebody says so who may.
pub(super) fn assign(record: &mut Record, subject: &Subject) {
    record.found.retain(|found| !found.subject.same(subject));
    rows::add(&mut record.assigned, subject.clone());
    rows::add(&mut record.subjects, subject.clone());
}

impl Store {
    /// Changes what to think of a certificate, for all its subjects.
    ///
    /// # Errors
    /// If the certificate is unknown or the database cannot be written.
    pub fn set_trust(&self, fingerprint: &str, trust: Trust) -> Result<(), StoreError> {
        let fingerprint = canonical_handle(fingerprint);
        self.write(|transaction| {
            let sql = "UPDATE certificate SET trust = ?2 WHERE fingerprint = ?1";
            if transaction.execute(sql, [fingerprint.as_str(), trust.as_str()])? == 0 {
                return Err(StoreError::Unknown(fingerprint.clone()));
            }
            // From now on it is not a source that says so; and this is said later than all that was said before.
            let sql = "UPDATE subject SET found = 'verified', since = 1 +
                    (SELECT max(other.since) FROM subject AS other WHERE other.key = subject.key)
                WHERE fingerprint = ?1 AND found IS NOT NULL";
            transaction.execute(sql, [&fingerprint])?;
            Ok(())
        })
    }

    /// Removes what sources offered and nobody approved since `before` (Unix seconds): bindings that are held, and
    /// certificates of which nothing else is left. Gives how many bindings.
    ///
    /// What is offered again is held again.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn expire_held(&self, before: i64) -> Result<usize, StoreError> {
        const OLD: &str = "found = 'held' AND since < ?1";
        let sql = format!("SELECT EXISTS (SELECT 1 FROM subject WHERE {OLD})");
        if !self.lock().connection.query_row(&sql, [before], |row| row.get::<_, bool>(0))? {
            return Ok(0);
        }
        self.write(|transaction| {
            let sql = format!("SELECT DISTINCT fingerprint FROM subject WHERE {OLD}");
            let mut statement = transaction.prepare(&sql)?;
            let concerned = statement.query_map([before], |row| row.get::<_, String>(0))?;
            let concerned: Vec<String> = concerned.collect::<Result<_, _>>()?;
            let removed = transaction.execute(&format!("DELETE FROM subject WHERE {OLD}"), [before])?;
            for fingerprint in &concerned {
                transaction.execute(
                    "DELETE FROM certificate WHERE fingerprint = ?1 AND trust = 'held' AND custody = 'none'
                     AND NOT EXISTS (SELECT 1 FROM subject WHERE subject.fingerprint = ?1)",
                    params![fingerprint],
                )?;
            }
            Ok(removed)
        })
    }
}

#[cfg(test)]
mod tests;
