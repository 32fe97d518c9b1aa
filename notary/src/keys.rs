//! The keys of one log, all derived from the one the administrator keeps.

use rusqlite::Connection;
use zeroize::Zeroizing;

use crate::commitment::hmac;

/// Keys derived from the notary key; wiped when dropped, never printed.
pub(crate) struct Keys {
    root: Zeroizing<[u8; 32]>,
    index: Zeroizing<[u8; 32]>,
}

impl Keys {
    /// Derives what is needed from the notary key.
    pub(crate) fn new(key: &[u8; 32]) -> Keys {
        Keys {
            root: Zeroizing::new(*key),
            index: Zeroizing::new(hmac(key, &[b"gatepost notary: look-up index v1"])),
        }
    }

    /// What a look-up value is stored as: half of a keyed hash. Kind and value cannot run into
    /// each other because the kind's length comes first.
    pub(crate) fn index(&self, kind: &str, value: &str) -> [u8; 16] {
        let length = (kind.len() as u64).to_be_bytes();
        let full = hmac(&self.index, &[&length, kind.as_bytes(), value.as_bytes()]);
        let mut half = [0; 16];
        half.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        half
    }

    /// The key that wraps the record keys of one run. Every run has its own, so that random nonces
    /// stay far below the 2^32 uses of one key that NIST SP 800-38D section 8.3 allows.
    pub(crate) fn wrapping(&self, boot: &[u8; 16]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(hmac(&self.root, &[b"gatepost notary: record keys v1", boot]))
    }

    /// What the database keeps to recognise the key by.
    pub(crate) fn check(&self) -> [u8; 32] {
        hmac(&self.root, &[b"gatepost notary: key check v1"])
    }

    /// Whether this is the key the database was made with.
    pub(crate) fn fits(&self, database: &Connection) -> rusqlite::Result<bool> {
        let stored: Vec<u8> = database.query_row("SELECT key_check FROM log", [], |row| row.get(0))?;
        Ok(openssl::memcmp::eq(stored.get(..32).unwrap_or(&[0; 32]), &self.check()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_value_do_not_run_into_each_other() {
        let keys = Keys::new(&[1; 32]);
        assert_ne!(keys.index("a", "bc"), keys.index("ab", "c"));
        assert_eq!(keys.index("a", "bc"), keys.index("a", "bc"));
        assert_ne!(keys.index("a", "bc"), Keys::new(&[2; 32]).index("a", "bc"));
    }

    #[test]
    fn every_run_wraps_under_its_own_key() {
        let keys = Keys::new(&[1; 32]);
        assert_ne!(*keys.wrapping(&[0; 16]), *keys.wrapping(&[1; 16]));
    }
}
