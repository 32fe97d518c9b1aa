//! Answers that were worked out since the publication last changed.
//!
//! The database is asked again as soon as its file has another time, length or identity. An answer is only kept
//! if the file had rested before it was read: two writes within one tick of the file system's clock leave the same time.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// Certificates by question. What is not there is looked up each time anew: nobody learns from the time it takes
/// whether somebody else asked before, and no guessing pushes out what is there.
#[derive(Debug)]
pub struct Recall {
    file: PathBuf,
    kept: RwLock<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    state: Option<State>,
    answers: HashMap<String, Answer>,
    bytes: usize,
}

type Answer = Arc<[u8]>;

/// How a file was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    device: u64,
    inode: u64,
    length: u64,
    modified: SystemTime,
}

/// How long the file must have rested.
const REST: Duration = Duration::from_secs(1);
/// Most memory for questions and answers, bytes; beyond it everything is forgotten.
const BYTES: usize = 8 << 20;
/// What an entry takes besides its texts, about.
const ENTRY: usize = 128;

impl Recall {
    /// Nothing is known yet about what this file says.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), kept: RwLock::default() }
    }

    /// How the file is now.
    pub fn state(&self) -> Option<State> {
        let about = fs::metadata(&self.file).ok()?;
        let (device, inode, length) = (about.dev(), about.ino(), about.len());
        Some(State { device, inode, length, modified: about.modified().ok()? })
    }

    /// The answer to a question, if it is known for this state of the file.
    pub fn get(&self, state: State, question: &str) -> Option<Answer> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if kept.state != Some(state) {
            return None;
        }
        kept.answers.get(question).cloned()
    }

    /// Keeps an answer that was read after the file was seen in this state at `now`.
    pub fn keep(&self, state: State, now: SystemTime, question: String, answer: Answer) {
        let rested = now.duration_since(state.modified).is_ok_and(|rest| rest >= REST);
        // What was written while we read has another state.
        if !rested || self.state() != Some(state) {
            return;
        }
        let size = question.len() + answer.len() + ENTRY;
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.state != Some(state) || kept.bytes + size > BYTES {
            *kept = Kept { state: Some(state), ..Kept::default() };
        }
        if kept.answers.insert(question, answer).is_none() {
            kept.bytes += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        Arc::from(text.as_bytes())
    }

    fn touch(recall: &Recall, seconds: u64) {
        let file = fs::File::options().write(true).open(&recall.file).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn what_is_kept_is_forgotten_when_the_file_changes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let recall = Recall::new(file.path());
        touch(&recall, 1000);
        let now = SystemTime::now();
        let state = recall.state().unwrap();
        recall.keep(state, now, "a".to_owned(), answer("x"));
        assert_eq!(recall.get(state, "a"), Some(answer("x")));
        assert_eq!(recall.get(state, "c"), None);
        touch(&recall, 1001);
        let other = recall.state().unwrap();
        assert_eq!(recall.get(other, "a"), None);
        // Read before the change, brought after it.
        recall.keep(state, now, "a".to_owned(), answer("old"));
        recall.keep(other, now, "c".to_owned(), answer("new"));
        assert_eq!((recall.get(other, "a"), recall.get(other, "c")), (None, Some(answer("new"))));
    }

    #[test]
    fn a_file_that_was_just_written_may_be_written_again_in_the_same_tick() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let recall = Recall::new(file.path());
        let state = recall.state().unwrap();
        recall.keep(state, state.modified + Duration::from_millis(500), "a".to_owned(), answer("x"));
        assert_eq!(recall.get(state, "a"), None);
        recall.keep(state, state.modified + REST, "a".to_owned(), answer("x"));
        assert_eq!(recall.get(state, "a"), Some(answer("x")));
    }

    #[test]
    fn memory_is_bounded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let recall = Recall::new(file.path());
        touch(&recall, 1000);
        let (state, large) = (recall.state().unwrap(), "x".repeat(200 << 10));
        for number in 0..1000 {
            recall.keep(state, SystemTime::now(), number.to_string(), answer(&large));
        }
        let kept = recall.kept.read().unwrap();
        assert!(kept.bytes <= BYTES && kept.answers.len() <= BYTES / large.len());
        assert!(kept.answers.contains_key("999"));
    }
}
