//! OCSP answers of the last minute: many ask the same, and signing costs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use sha2::{Digest, Sha256};

/// Most answers that are kept; requests with nonces would fill any memory.
const MOST: usize = 256;

type Key = [u8; 32];

/// Answers by the SHA-256 of their request, each until its time is over.
#[derive(Debug, Default)]
pub struct Recent(Mutex<HashMap<Key, (Bytes, i64)>>);

impl Recent {
    /// The answer to this request, if there is one at `now` (Unix seconds).
    pub fn find(&self, request: &[u8], now: i64) -> Option<Bytes> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.get(&key(request)).filter(|(_, until)| now < *until).map(|(answer, _)| answer.clone())
    }

    /// Keeps an answer until a time. When there are too many, the one that would end first makes room.
    pub fn keep(&self, request: &[u8], answer: &Bytes, until: i64) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= MOST {
            let oldest = recent.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| *key);
            oldest.map(|oldest| recent.remove(&oldest));
        }
        recent.insert(key(request), (answer.clone(), until));
    }
}

fn key(request: &[u8]) -> Key {
    Sha256::digest(request).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_its_time_and_there_are_never_too_many() {
        let recent = Recent::default();
        recent.keep(b"a", &Bytes::from_static(b"x"), 100);
        assert_eq!(recent.find(b"a", 99).as_deref(), Some(&b"x"[..]));
        assert_eq!((recent.find(b"a", 100), recent.find(b"b", 1)), (None, None));
        for number in 0..2 * MOST {
            recent.keep(&number.to_be_bytes(), &Bytes::new(), 200 + number as i64);
        }
        assert_eq!(recent.0.lock().unwrap().len(), MOST);
        assert!(recent.find(b"a", 1).is_none());
        assert!(recent.find(&(2 * MOST - 1).to_be_bytes(), 1).is_some());
    }
}
