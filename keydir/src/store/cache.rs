//! What was read and judged before, as long as the database stays the same.

use std::collections::HashMap;
use std::sync::Arc;

use super::UsableCertificate;
use crate::answer::Answer;
use crate::answer::Known;
use crate::answer::Usable;
use crate::record::Scheme;
use crate::subject::Purpose;
use crate::subject::Subject;

/// Most answers that are kept; about 200 bytes each.
const MAX_ANSWERS: usize = 20_000;
/// Most parsed certificates that are kept; about 30 kB each.
const MAX_KNOWN: usize = 2_000;

/// Most answers about S/MIME certificates that are kept; about 10 kB each.
const MAX_JUDGED: usize = 2_000;

/// A question to the store.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Question {
    /// With the whole address in lower case, so that equal subjects are equal keys.
    pub(super) subject: Subject,
    pub(super) scheme: Scheme,
    pub(super) purpose: Purpose,
}

/// An answer about an S/MIME certificate: until when it holds, and for which anchors.
struct Judged {
    from: i64,
    until: i64,
    anchors: Arc<()>,
    answer: Answer<UsableCertificate>,
}

#[derive(Default)]
pub(super) struct Cache {
    /// SQLite's `data_version` to which the content belongs.
    version: i64,
    answers: HashMap<Question, (i64, i64, Answer<Usable>)>,
    known: HashMap<String, Known>,
    judged: HashMap<Question, Judged>,
}

impl Cache {
    pub(super) fn clear(&mut self) {
        self.answers.clear();
        self.known.clear();
        self.judged.clear();
    }

    /// Drops everything that belongs to another version of the database.
    pub(super) fn at_version(&mut self, version: i64) {
        if version != self.version {
            self.clear();
            self.version = version;
        }
    }

    /// The answer given before, if the passing of time cannot have changed it.
    pub(super) fn answer(&self, question: &Question, now: i64) -> Option<Answer<Usable>> {
        let (from, until, answer) = self.answers.get(question)?;
        (*from..*until).contains(&now).then(|| answer.clone())
    }

    pub(super) fn remember(&mut self, question: Question, (from, until): (i64, i64), answer: Answer<Usable>) {
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.clear();
        }
        self.answers.insert(question, (from, until, answer));
    }

    /// The answer about an S/MIME certificate given before, if it still holds.
    pub(super) fn judged(
        &self,
        question: &Question,
        anchors: &Arc<()>,
        now: i64,
    ) -> Option<Answer<UsableCertificate>> {
        let judged = self.judged.get(question)?;
        let holds = (judged.from..judged.until).contains(&now) && Arc::ptr_eq(&judged.anchors, anchors);
        holds.then(|| judged.answer.clone())
    }

    pub(super) fn remember_judged(
        &mut self,
        question: Question,
        (from, until): (i64, i64),
        anchors: Arc<()>,
        answer: Answer<UsableCertificate>,
    ) {
        if self.judged.len() >= MAX_JUDGED {
            self.judged.clear();
        }
        self.judged.insert(question, Judged { from, until, anchors, answer });
    }

    pub(super) fn known(&self, fingerprint: &str) -> Option<Known> {
        self.known.get(fingerprint).cloned()
    }

    pub(super) fn keep(&mut self, known: &Known) {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(known.record.fingerprint.clone(), known.clone());
    }
}
