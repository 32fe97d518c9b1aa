//! S/MIME certificates in the store.

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;

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
use crate::record::Origin;
use crate::record::Record;
use crate::record::Scheme;
use crate::record::Trust;
use crate::subject::Purpose;
use crate::subject::Subject;
use crate::x509;
use crate::x509::Anchors;
use crate::x509::Authority;
use crate::x509::Certificate;
use crate::x509::ChainError;
use crate::x509::Use;

/// Most links that are followed upwards from a certificate.
const MAX_LINKS: usize = 16;

/// Longest time for which an answer is kept, seconds.
const MAX_AGE: i64 = 60;

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
    fn handle(&self) -> String {
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
    known: KnownCertificate,
    chain: Vec<Certificate>,
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
        match self.record.trust {
            Trust::Held => return Err(Reason::Held),
            Trust::Distrusted => return Err(Reason::Distrusted),
            Trust::Own | Trust::Verified | Trust::Accepted => {}
        }
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
        match self.record.trust {
            Trust::Held => return Err(Reason::Held),
            Trust::Distrusted => return Err(Reason::Distrusted),
            Trust::Own | Trust::Verified | Trust::Accepted => {}
        }
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
            Err(ChainError::Untrusted(_)) if self.record.trust.rank() == 0 => Ok(self.links.clone()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Store {
    /// The S/MIME certificate to use for a subject and purpose at `now` (Unix seconds).
    ///
    /// A certificate serves a domain if it is made out to the authority of RFC 3183 (confidentiality for
    /// encryption, signing for signatures) or the administrator assigned it. Of several, one whose holder
    /// was checked goes before one that is merely accepted, then the newest wins.
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
                false => known.judge(use_, now, Some(anchors)),
            }
        });
        match judged {
            Ok(chain) => usable.push(UsableCertificate { known, chain }),
            Err(reason) => why.push(Rejected { fingerprint: known.record.fingerprint.clone(), reason }),
        }
    }
    let preference = |usable: &UsableCertificate| {
        let record = usable.record();
        (u8::MAX - record.trust.rank(), usable.certificate().not_before(), record.fingerprint.clone())
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

/// Whom a certificate is made out to, for one purpose.
fn claims(certificate: &Certificate, purpose: Purpose) -> Vec<Subject> {
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

fn refused(certificate: &Certificate, reason: Option<Reason>) -> StoreError {
    let reason = reason.unwrap_or_else(|| Reason::Unsupported("this certificate".to_owned()));
    StoreError::Certificate { fingerprint: certificate.fingerprint(), reason }
}

/// Stores one leaf, or changes what is thought of it.
fn store(
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
        origin: import.origin,
        trust: import.trust,
        valid_from: Some(leaf.not_before()),
        valid_until: Some(leaf.not_after()),
        revoked: None,
        custody: import.custody,
        added: import.now,
        bytes: Arc::from(leaf.der()),
    });
    bind(&mut record, leaf, import, is_new)?;
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
) -> Result<(), StoreError> {
    let not = |wanted: String| StoreError::NotMadeOutTo { fingerprint: leaf.fingerprint(), wanted };
    if let Some(assigned) = &import.subjects {
        for subject in assigned {
            let own = |address: &String| Subject::address(address).is_some_and(|own| own.same(subject));
            if matches!(subject, Subject::Address(_)) && !leaf.addresses().iter().any(own) {
                return Err(not(subject.to_string()));
            }
            rows::add(&mut record.assigned, subject.clone());
            rows::add(&mut record.subjects, subject.clone());
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
        addresses.chain(domain).for_each(|subject| rows::add(&mut record.subjects, subject));
    }
    Ok(())
}

fn add_link(transaction: &Transaction<'_>, authority: &Certificate) -> Result<(), StoreError> {
    transaction.execute(
        "INSERT OR IGNORE INTO link VALUES (?1, ?2, ?3)",
        rusqlite::params![authority.fingerprint(), authority.subject_der(), authority.der()],
    )?;
    Ok(())
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
