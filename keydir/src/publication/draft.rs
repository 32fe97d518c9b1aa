//! What is to be published for one mailbox, worked out from what the store holds. No database here.

use std::collections::BTreeMap;
use std::sync::Arc;

use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;

use super::PublicationError;
use super::Published;
use super::openpgp;
use super::rules::Canonical;
use super::rules::Who;
use super::smime;
use crate::record::Origin;
use crate::record::Record;
use crate::record::Trust;
use crate::store::KnownCertificate;
use crate::subject::Subject;

/// Most certificates of one kind that are published for a mailbox.
const MAX_CERTIFICATES: usize = 16;
/// Most octets of a WKD answer; GnuPG takes no more.
const MAX_ANSWER: usize = 256 << 10;
/// Answers above this are worth a warning.
const LARGE_ANSWER: usize = 32 << 10;

/// One mailbox that is looked at, with everything that the answer depends on.
pub(super) struct Request<'a> {
    pub(super) rules: &'a Canonical<'a>,
    /// The mailbox, or `@domain`.
    pub(super) key: &'a str,
    /// The mailbox to which it is an alias, if it has no certificates of its own.
    pub(super) alias_of: Option<&'a str>,
    /// The certificates bound to it, or to the mailbox behind the alias.
    pub(super) openpgp: Vec<Record>,
    pub(super) smime: Vec<KnownCertificate>,
    /// What is published now, by fingerprint.
    pub(super) published: BTreeMap<String, Arc<[u8]>>,
    /// Since when certificates are known to have ended, by fingerprint.
    pub(super) ended: BTreeMap<String, i64>,
    /// Unix seconds.
    pub(super) now: i64,
}

impl Request<'_> {
    /// What is published now of an OpenPGP certificate.
    pub(super) fn before(&self, fingerprint: &str) -> Option<Cert> {
        Cert::from_bytes(self.published.get(fingerprint)?).ok()
    }

    /// Whether a certificate may be published at all.
    fn chosen(&self, record: &Record) -> bool {
        let subject = Subject::parse(self.alias_of.unwrap_or(self.key));
        match subject.map_or(record.trust, |subject| record.trust_for(&subject)) {
            Trust::Own => true,
            // Whoever submits a key wants it to be found.
            Trust::Verified if record.origin == Origin::Submitted => true,
            Trust::Verified => {
                self.rules.rules.who == Who::OwnAndVerified && record.origin != Origin::Harvested
            }
            Trust::Accepted | Trust::Held | Trust::Distrusted => false,
        }
    }
}

/// Orders certificates in an answer: the greatest comes first.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rank {
    class: u8,
    time: i64,
    fingerprint: String,
}

impl Rank {
    /// Mail can be encrypted to it; the newest key first.
    pub(super) fn usable(created: i64, fingerprint: &str) -> Self {
        Self { class: 3, time: created, fingerprint: fingerprint.to_owned() }
    }

    /// Good, but not for encryption.
    pub(super) fn idle(created: i64, fingerprint: &str) -> Self {
        Self { class: 2, time: created, fingerprint: fingerprint.to_owned() }
    }

    /// Expired or revoked; the one that ended last first.
    pub(super) fn ended(expired: bool, at: i64, fingerprint: &str) -> Self {
        Self { class: u8::from(expired), time: at, fingerprint: fingerprint.to_owned() }
    }
}

/// One certificate, ready to be written.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub(super) published: Published,
    /// Fingerprints of its keys.
    pub(super) components: Vec<String>,
}

/// What is to be published for one mailbox.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) openpgp: Vec<(Rank, Drawn)>,
    pub(super) smime: Vec<(Rank, Drawn)>,
    /// The next moment at which time changes something, Unix seconds.
    pub(super) due: Option<i64>,
    /// Certificates that are seen to have ended for the first time.
    pub(super) newly_ended: Vec<String>,
    pub(super) omitted: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Draft {
    /// Works out what is to be published.
    ///
    /// # Errors
    /// If a certificate cannot be read back or holds a secret key, or a callback fails.
    pub(super) fn new(request: &Request<'_>) -> Result<Self, PublicationError> {
        let mut draft = Self::default();
        for record in request.openpgp.iter().filter(|record| request.chosen(record)) {
            openpgp::draw(request, record, &mut draft)?;
        }
        let chosen: Vec<_> = request.smime.iter().filter(|known| request.chosen(&known.record)).collect();
        smime::draw(request, &chosen, &mut draft);
        for list in [&mut draft.openpgp, &mut draft.smime] {
            list.sort_by(|a, b| b.0.cmp(&a.0));
        }
        draft.limit(request.key);
        Ok(draft)
    }

    /// All certificates in the order of the answer, OpenPGP first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Drawn> {
        self.openpgp.iter().chain(&self.smime).map(|(_, drawn)| drawn)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.openpgp.is_empty() && self.smime.is_empty()
    }

    pub(super) fn omit(&mut self, why: String) {
        self.omitted.push(why);
    }

    /// Time changes something at this moment.
    pub(super) fn due_at(&mut self, at: i64, now: i64) {
        if at > now {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    /// Since when a certificate is known to have ended.
    pub(super) fn ended(&mut self, fingerprint: &str, request: &Request<'_>) -> i64 {
        request.ended.get(fingerprint).copied().unwrap_or_else(|| {
            self.newly_ended.push(fingerprint.to_owned());
            request.now
        })
    }

    /// Drops the last ones of too many or too large ones.
    fn limit(&mut self, key: &str) {
        for (list, kind) in [(&mut self.openpgp, "OpenPGP"), (&mut self.smime, "S/MIME")] {
            if list.len() > MAX_CERTIFICATES {
                let count = list.len();
                self.omitted
                    .push(format!("{key} has {count} {kind} certificates; {MAX_CERTIFICATES} are published"));
                list.truncate(MAX_CERTIFICATES);
            }
        }
        let mut total = 0;
        let omitted = &mut self.omitted;
        self.openpgp.retain(|(_, drawn)| {
            let size = drawn.published.bytes.len();
            let fits = total + size <= MAX_ANSWER;
            match fits {
                true => total += size,
                false => omitted.push(format!(
                    "{} for {key}: its {size} octets exceed the {MAX_ANSWER} of one answer",
                    drawn.published.fingerprint
                )),
            }
            fits
        });
        if total > LARGE_ANSWER {
            self.warnings.push(format!("the WKD answer for {key} has {total} octets"));
        }
    }
}
