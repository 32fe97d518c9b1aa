//! Certificates whose holder proved that a mailbox is his.

use super::Import;
use super::Store;
use super::StoreError;
use super::changes::unbind;
use super::rows;
use crate::intake;
use crate::record::Custody;
use crate::record::Origin;
use crate::record::Record;
use crate::record::Trust;
use crate::subject::Subject;

impl Store {
    /// Stores the certificate of somebody who proved to have both its key and this mailbox, as verified for this
    /// mailbox alone; merged with what is there.
    ///
    /// If the certificate is there with other subjects that nobody checked, these are taken from it: they must not
    /// be verified along with this one. One that is our own stays what it is, and one that is distrusted, too.
    ///
    /// # Errors
    /// If the input is not one certificate, or cannot be written.
    pub fn confirm(&self, bytes: &[u8], address: &Subject, now: i64) -> Result<Record, StoreError> {
        let mut certs = intake::read_certificates(bytes)?;
        let (Some(cert), true) = (certs.pop(), certs.is_empty()) else {
            return Err(StoreError::NotOne);
        };
        let fingerprint = cert.fingerprint().to_hex();
        let import = Import {
            bytes,
            subjects: Some(vec![address.clone()]),
            origin: Origin::Submitted,
            trust: Trust::Verified,
            custody: Custody::None,
            now,
        };
        self.write(|transaction| {
            let before = rows::load(transaction, &fingerprint)?;
            if before.as_ref().is_some_and(|before| before.trust == Trust::Distrusted) {
                return Err(StoreError::Distrusted(fingerprint.clone()));
            }
            rows::store(transaction, cert, &import)?;
            let unchecked = before.iter().filter(|before| before.trust.rank() > 0);
            for other in unchecked.flat_map(|before| &before.subjects).filter(|other| !other.same(address)) {
                unbind(transaction, &fingerprint, other)?;
            }
            // In two steps: a change of the origin alone would not tell whoever publishes.
            transaction.execute(
                "UPDATE certificate SET trust = 'accepted' WHERE fingerprint = ?1 AND trust != 'own'",
                [&fingerprint],
            )?;
            transaction.execute(
                "UPDATE certificate SET trust = 'verified', origin = 'submitted'
                 WHERE fingerprint = ?1 AND trust != 'own'",
                [&fingerprint],
            )?;
            let record = rows::load(transaction, &fingerprint)?;
            record.ok_or_else(|| StoreError::Unknown(fingerprint.clone()))
        })
    }
}
