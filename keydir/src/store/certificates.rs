//! S/MIME certificates in the store.

mod intake;
mod known;

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::OptionalExtension;

pub use known::CertificateId;
pub use known::KnownCertificate;
pub use known::UsableCertificate;

use super::Import;
use super::Store;
use super::StoreError;
use super::cache::Question;
use super::canonical_handle;
use super::could_not_tell;
use super::rows;
use crate::answer::Answer;
use crate::answer::Reason;
use crate::answer::Rejected;
use crate::record::Custody;
use crate::record::Record;
use crate::record::Scheme;
use crate::subject::Purpose;
use crate::subject::Subject;
use crate::x509::Anchors;
use crate::x509::Certificate;
use crate::x509::Use;
use intake::add_link;
use intake::refused;
use intake::store;

/// Most links that are followed upwards from a certificate.
const MAX_LINKS: usize = 16;

/// Longest time for which an answer is kept, seconds.
const MAX_AGE: i64 = 60;

impl Store {
    /// The S/MIME certificate to use for a subject and purpose at `now` (Unix seconds).
    ///
    /// A certificate serves a domain if it is made out to the authority of RFC 3183 (confidentiality for
    /// encryption, signing for signatures) or the administrator assigned it. Of several, one whose holder
    /// was checked goes before one that is merely accepted, of those that only sources bound the last goes first, then
    /// the newest wins.
    ///
    /// If none can be used and one of them only because its revocation status is unknown, the answer is
    /// "could not tell".
    pub fn find_certificate(
        &self,
        subject: &Subject,
        purpose: Purpose,
        now: i64,
        anchors: &Anchors,
    ) -> Answer<UsableCertificate> {
        self.try_find(subject, purpose, now, anchors).unwrap_or_else(could_not_tell)
    }

    fn try_find(
        &self,
        subject: &Subject,
        purpose: Purpose,
        now: i64,
        anchors: &Anchors,
    ) -> Result<Answer<UsableCertificate>, StoreError> {
        let question = Question { subject: subject.folded(), scheme: Scheme::Smime, purpose };
        let version = anchors.version();
        // Held throughout: a change in between must not be overtaken by an answer from before.
        let mut inner = self.lock();
        inner.refresh()?;
        if let Some(answer) = inner.cache.judged(&question, &version, now) {
            return Ok(answer);
        }
        let bound = rows::bound_to(&inner.connection, subject, Scheme::Smime)?;
        let known = bound.iter().map(|f| load(&inner.connection, f)).collect::<Result<Vec<_>, _>>()?;
        let span = stable_span(&known, now);
        let answer = choose(known, subject, purpose, now, anchors);
        if !matches!(answer, Answer::CouldNotTell { .. }) {
            inner.cache.remember_judged(question, span, version, answer.clone());
        }
        Ok(answer)
    }

    /// All S/MIME certificates that a message means by this name. Usable or not; the caller judges.
    pub fn certificates_by_id(&self, id: &CertificateId<'_>) -> Answer<Vec<KnownCertificate>> {
        let look_up = || {
            let inner = self.lock();
            let found = rows::with_component(&inner.connection, &id.handle(), Scheme::Smime)?;
            found.iter().map(|f| load(&inner.connection, f)).collect::<Result<Vec<_>, StoreError>>()
        };
        match look_up() {
            Ok(found) if found.is_empty() => Answer::None { why: Vec::new() },
            Ok(found) => Answer::Found(found),
            Err(error) => could_not_tell(error),
        }
    }

    /// One S/MIME certificate by its fingerprint.
    pub fn certificate(&self, fingerprint: &str) -> Answer<KnownCertificate> {
        let fingerprint = canonical_handle(fingerprint);
        let look_up = || {
            let inner = self.lock();
            let record = rows::load(&inner.connection, &fingerprint)?;
            let record = record.filter(|record| record.scheme == Scheme::Smime);
            record.map(|record| read(&inner.connection, record)).transpose()
        };
        match look_up() {
            Ok(Some(known)) => Answer::Found(known),
            Ok(None) => Answer::None { why: Vec::new() },
            Err(error) => could_not_tell(error),
        }
    }

    /// Stores S/MIME certificates: PEM, DER or PKCS#7, leaves together with the authorities above them.
    ///
    /// Leaves are bound to every mailbox they are made out to and, if they are the authority of a domain
    /// and did not merely arrive by mail, to that domain; or to the subjects that the import gives. A
    /// mailbox that is given must be one of the certificate's; a domain need not. Authorities are kept as
    /// links of chains and are not trusted for being here.
    ///
    /// # Errors
    /// If there is no leaf, or one is malformed, secret, too weak, not meant for mail or not made out to
    /// whom it shall be bound to; then nothing is stored.
    pub fn import_certificates(&self, import: &Import<'_>) -> Result<Vec<Record>, StoreError> {
        let (authorities, leaves): (Vec<_>, Vec<_>) =
            Certificate::read_all(import.bytes)?.into_iter().partition(Certificate::is_ca);
        if let (Some(authority), true) = (authorities.first(), leaves.is_empty()) {
            return Err(refused(authority, authority.check_leaf().err()));
        }
        self.write(|transaction| {
            for authority in &authorities {
                add_link(transaction, authority)?;
            }
            leaves.iter().map(|leaf| store(transaction, leaf, import)).collect()
        })
    }

    /// Keeps the certificate of an authority as a link of chains.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn add_link(&self, authority: &Certificate) -> Result<(), StoreError> {
        self.write(|transaction| add_link(transaction, authority))
    }

    /// Whether one and the same key of an authority signed both certificates. That authority must be among the links
    /// of chains, the intermediates or the anchors; whether it is trusted is not asked here.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn same_issuer(
        &self,
        old: &Certificate,
        new: &Certificate,
        anchors: &Anchors,
    ) -> Result<bool, StoreError> {
        let kept = links(&self.lock().connection, old)?;
        let known = kept.iter().chain(anchors.intermediates()).chain(anchors.roots());
        let mut above = known.filter(|authority| authority.subject_der() == old.issuer_der());
        Ok(above.any(|authority| authority.signed(old) && authority.signed(new)))
    }

    /// Notes what the holder of a certificate announced that it can read.
    ///
    /// # Errors
    /// If the certificate is unknown or the database cannot be written.
    pub fn set_capabilities(&self, fingerprint: &str, gcm: bool, oaep: bool) -> Result<(), StoreError> {
        let fingerprint = canonical_handle(fingerprint);
        self.write(|transaction| {
            let changed = transaction.execute(
                "UPDATE certificate SET gcm = ?2, oaep = ?3 WHERE fingerprint = ?1 AND scheme = 'smime'",
                rusqlite::params![fingerprint, gcm, oaep],
            )?;
            if changed == 0 { Err(StoreError::Unknown(fingerprint.clone())) } else { Ok(()) }
        })
    }

    /// Notes what the holder of the certificates of a subject announced: of all of them, or of the one he meant.
    /// Nothing is taken back, and our own are left alone. Gives the fingerprints of those that changed.
    ///
    /// # Errors
    /// If the database cannot be read or written.
    pub fn raise_capabilities(
        &self,
        subject: &Subject,
        meant: Option<&CertificateId<'_>>,
        gcm: bool,
        oaep: bool,
    ) -> Result<Vec<String>, StoreError> {
        let lower: Vec<String> = {
            let inner = self.lock();
            let bound = rows::bound_to(&inner.connection, subject, Scheme::Smime)?;
            let meant = meant.map(|id| rows::with_component(&inner.connection, &id.handle(), Scheme::Smime));
            let meant = meant.transpose()?;
            let is_meant = |f: &String| meant.as_ref().is_none_or(|meant| meant.contains(f));
            let known = bound.into_iter().filter(is_meant).map(|f| load(&inner.connection, &f));
            let known: Vec<KnownCertificate> = known.collect::<Result<_, _>>()?;
            let lower = |known: &&KnownCertificate| {
                known.record.custody == Custody::None && (gcm && !known.gcm || oaep && !known.oaep)
            };
            known.iter().filter(lower).map(|known| known.record.fingerprint.clone()).collect()
        };
        if lower.is_empty() {
            return Ok(lower);
        }
        self.write(|transaction| {
            let sql = "UPDATE certificate SET gcm = gcm OR ?2, oaep = oaep OR ?3 WHERE fingerprint = ?1";
            for fingerprint in &lower {
                transaction.execute(sql, rusqlite::params![fingerprint, gcm, oaep])?;
            }
            Ok(())
        })?;
        Ok(lower)
    }

    /// Notes that an S/MIME certificate was revoked, whatever revocation lists say. There is no way back.
    ///
    /// # Errors
    /// If the certificate is unknown or the database cannot be written.
    pub fn revoke_certificate(&self, fingerprint: &str, why: &str) -> Result<(), StoreError> {
        let sql = "UPDATE certificate SET revoked = ?2 WHERE fingerprint = ?1 AND scheme = 'smime'";
        self.update(fingerprint, sql, why)
    }

    /// Completes a record of the store.
    pub(crate) fn known_certificate(&self, record: Record) -> Result<KnownCertificate, StoreError> {
        read(&self.lock().connection, record)
    }
}

/// Judges the certificates of a subject and picks the best.
fn choose(
    known: Vec<KnownCertificate>,
    subject: &Subject,
    purpose: Purpose,
    now: i64,
    anchors: &Anchors,
) -> Answer<UsableCertificate> {
    let use_ = match purpose {
        Purpose::Encrypt => Use::Encrypt,
        Purpose::Sign | Purpose::Verify => Use::Sign,
    };
    let (mut why, mut usable) = (Vec::new(), Vec::new());
    for known in known {
        let judged = known.speaks_for(subject, purpose).and_then(|()| {
            match purpose == Purpose::Sign && known.record.custody != Custody::Local {
                true => Err(Reason::NoSecretKey),
                false => known.judge_for(subject, use_, now, anchors),
            }
        });
        match judged {
            Ok(chain) => usable.push(UsableCertificate { known, chain }),
            Err(reason) => why.push(Rejected { fingerprint: known.record.fingerprint.clone(), reason }),
        }
    }
    let preference = |usable: &UsableCertificate| {
        let record = usable.record();
        (record.standing_for(subject), usable.certificate().not_before(), record.fingerprint.clone())
    };
    if let Some(best) = usable.into_iter().max_by_key(preference) {
        return Answer::Found(best);
    }
    let unknown = why.iter().find(|rejected| matches!(rejected.reason, Reason::RevocationUnknown(_)));
    match unknown {
        Some(rejected) => Answer::CouldNotTell { why: rejected.to_string() },
        None => Answer::None { why },
    }
}

/// The span around `now` in which the answer cannot change but by revocation lists that become stale; those
/// are looked at once a minute.
fn stable_span(known: &[KnownCertificate], now: i64) -> (i64, i64) {
    let mut until = now + MAX_AGE;
    for known in known {
        for certificate in std::iter::once(&known.certificate).chain(&known.links) {
            let edges = [certificate.not_before(), certificate.not_after() + 1];
            until = edges.into_iter().filter(|edge| *edge > now).fold(until, i64::min);
        }
    }
    (now, until)
}

fn load(connection: &Connection, fingerprint: &str) -> Result<KnownCertificate, StoreError> {
    let record = rows::load(connection, fingerprint)?
        .ok_or_else(|| StoreError::Corrupt(format!("{fingerprint} has no certificate")))?;
    read(connection, record)
}

/// Completes a record: parses the certificate and looks for what lies above it.
fn read(connection: &Connection, record: Record) -> Result<KnownCertificate, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt(format!("{}: {what}", record.fingerprint));
    let certificate = Certificate::from_der(&record.bytes).map_err(|error| corrupt(error.to_string()))?;
    if certificate.fingerprint() != record.fingerprint {
        return Err(corrupt("another certificate".to_owned()));
    }
    let (gcm, oaep) = connection
        .prepare_cached("SELECT gcm, oaep FROM certificate WHERE fingerprint = ?1")?
        .query_row([&record.fingerprint], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .unwrap_or_default();
    let links = links(connection, &certificate)?;
    Ok(KnownCertificate { certificate, gcm, oaep, links, record: Arc::new(record) })
}

/// The authorities above a certificate, as far as they are kept.
fn links(connection: &Connection, leaf: &Certificate) -> Result<Vec<Certificate>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM link WHERE subject = ?1")?;
    let mut links: Vec<Certificate> = Vec::new();
    let mut wanted = vec![leaf.issuer_der().to_vec()];
    while let Some(name) = wanted.pop() {
        let mut rows = statement.query([&name])?;
        while let Some(row) = rows.next()? {
            let bytes: Vec<u8> = row.get(0)?;
            let link =
                Certificate::from_der(&bytes).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            if links.len() < MAX_LINKS && !links.contains(&link) {
                wanted.push(link.issuer_der().to_vec());
                links.push(link);
            }
        }
    }
    Ok(links)
}
