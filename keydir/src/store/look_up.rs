//! Looking up and choosing certificates.

use std::sync::Arc;

use rusqlite::Connection;

use super::StoreError;
use super::cache::Cache;
use super::cache::Question;
use super::canonical_handle;
use super::parse;
use super::rows;
use crate::answer::Answer;
use crate::answer::Known;
use crate::answer::Reason;
use crate::answer::Rejected;
use crate::answer::Usable;
use crate::assess;
use crate::assess::Fitness;
use crate::record::Custody;
use crate::record::Scheme;
use crate::subject::Purpose;

/// The database, and what was read from it.
pub(super) struct Inner {
    pub(super) connection: Connection,
    pub(super) cache: Cache,
}

impl Inner {
    pub(super) fn find(&mut self, question: Question, now: i64) -> Result<Answer<Usable>, StoreError> {
        self.refresh()?;
        if let Some(answer) = self.cache.answer(&question, now) {
            return Ok(answer);
        }
        let bound = rows::bound_to(&self.connection, &question.subject, question.scheme)?;
        let known = bound.iter().map(|f| self.known(f)).collect::<Result<Vec<_>, _>>()?;
        let answer = choose(&known, &question, now);
        let span = assess::stable_span(known.iter().map(|known| &*known.cert), now);
        self.cache.remember(question, span, answer.clone());
        Ok(answer)
    }

    pub(super) fn by_handle(&mut self, handle: &str) -> Result<Answer<Vec<Known>>, StoreError> {
        self.refresh()?;
        let found = rows::with_component(&self.connection, &canonical_handle(handle), Scheme::Openpgp)?;
        let known = found.iter().map(|f| self.known(f)).collect::<Result<Vec<_>, _>>()?;
        Ok(if known.is_empty() { Answer::None { why: Vec::new() } } else { Answer::Found(known) })
    }

    /// Forgets the cache if another process changed the database.
    pub(super) fn refresh(&mut self) -> Result<(), StoreError> {
        let version: i64 =
            self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        self.cache.at_version(version);
        Ok(())
    }

    fn known(&mut self, fingerprint: &str) -> Result<Known, StoreError> {
        if let Some(known) = self.cache.known(fingerprint) {
            return Ok(known);
        }
        let record = rows::load(&self.connection, fingerprint)?
            .ok_or_else(|| StoreError::Corrupt(format!("{fingerprint} has no certificate")))?;
        let cert = parse(&record)?;
        let known = Known { record: Arc::new(record), cert: Arc::new(cert) };
        self.cache.keep(&known);
        Ok(known)
    }
}

/// Judges the certificates of a subject and picks the best.
fn choose(known: &[Known], question: &Question, now: i64) -> Answer<Usable> {
    let mut why = Vec::new();
    let mut best: Option<(&Known, Fitness)> = None;
    for known in known {
        match judge(known, question, now) {
            Err(reason) => why.push(Rejected { fingerprint: known.record.fingerprint.clone(), reason }),
            Ok(fitness) => {
                if best.as_ref().is_none_or(|(than, fit)| {
                    preference(known, question, &fitness) > preference(than, question, fit)
                }) {
                    best = Some((known, fitness));
                }
            }
        }
    }
    match best {
        None => Answer::None { why },
        Some((known, fitness)) => Answer::Found(Usable {
            record: known.record.clone(),
            cert: known.cert.clone(),
            subkey: fitness.subkey,
            aead: fitness.aead,
        }),
    }
}

/// The greatest is preferred: checked before accepted, what a source said last, then the newest key, then the newest
/// certificate.
fn preference<'a>(
    known: &'a Known,
    question: &Question,
    fitness: &Fitness,
) -> ((u8, i64), i64, Option<i64>, &'a str) {
    let record = &known.record;
    (record.standing_for(&question.subject), fitness.created, record.valid_from, &record.fingerprint)
}

fn judge(known: &Known, question: &Question, now: i64) -> Result<Fitness, Reason> {
    known.trusted_for(&question.subject)?;
    if question.purpose == Purpose::Sign && known.record.custody != Custody::Local {
        return Err(Reason::NoSecretKey);
    }
    let claimed = (!known.assigned_to(&question.subject)).then_some(&question.subject);
    assess::assess(&known.cert, question.purpose, claimed, now)
}

/// The answer for a look-up that failed, with the whole chain of causes.
pub(super) fn could_not_tell<T>(error: StoreError) -> Answer<T> {
    let mut why = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        why = format!("{why}: {source}");
        cause = source.source();
    }
    Answer::CouldNotTell { why }
}
