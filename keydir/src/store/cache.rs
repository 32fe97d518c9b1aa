//! What was read and judged before, as long as the database stays the same.

use std::collections::HashMap;

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

/// A question to the store.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Question {
    /// With the whole address in lower case, so that equal subjects are equal keys.
    pub(super) subject: Subject,
    pub(super) scheme: Scheme,
    pub(super) purpose: Purpose,
}

#[derive(Default)]
pub(super) struct Cache {
    /// SQLite's `data_version` to which the content belongs.
    version: i64,
    answers: HashMap<Question, (i64, i64, Answer<Usable>)>,
    known: HashMap<String, Known>,
}

impl Cache {
    pub(super) fn clear(&mut self) {
        self.answers.clear();
        self.known.clear();
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
