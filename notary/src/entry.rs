//! What a caller wants recorded, and what it gets back.

use std::fmt;

use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use zeroize::Zeroizing;

/// One event of one transaction, as the caller knows it.
#[derive(Clone, Default, PartialEq)]
pub struct Entry {
    /// The transaction this event belongs to: a UUIDv7 in text form. It is no personal data and
    /// stands in the leaf in clear. 1 to 64 bytes of printable ASCII.
    pub txid: String,
    /// What happened, for example `screened`. 1 to 64 bytes of printable ASCII; the names in
    /// [`Entry::RESERVED`] are the notary's own.
    pub event: String,
    /// Fields that stand in the leaf in clear and can never be erased: no personal data. Numbers
    /// are integers, because two encodings of one fraction would be two leaves.
    pub public: Map<String, Value>,
    /// Values the leaf commits to without showing them, by name. A name may occur several times
    /// (one per recipient); each value gets its own salt, so each can be disclosed alone.
    pub committed: Vec<(String, Vec<u8>)>,
    /// Everything else: lies encrypted beside the log and can be erased.
    pub private: Detail,
    /// What the entry can be found by: pairs of kind (`queue-id`, `message-id`) and value. The
    /// database holds keyed hashes of them only. The txid need not be listed.
    pub lookup: Vec<(String, String)>,
}

impl Entry {
    /// Events that only the notary itself writes.
    pub const RESERVED: [&str; 3] = ["epoch-open", "epoch-close", "erased"];

    /// The most one entry may hold in all of its values, in bytes.
    pub const MAX_BYTES: usize = 4 << 20;
}

/// What an entry keeps private, as JSON text; `null` is nothing.
#[derive(Clone, PartialEq)]
pub struct Detail(Zeroizing<String>);

impl Detail {
    /// Straight from the caller's type: a tree of [`Value`]s in between costs more than all the
    /// encryption that follows.
    ///
    /// # Errors
    /// The type's own serialisation fails, or it has a map whose keys are no strings.
    pub fn of(value: &impl Serialize) -> Result<Detail, serde_json::Error> {
        serde_json::to_string(value).map(|json| Detail(Zeroizing::new(json)))
    }

    pub(crate) fn is_null(&self) -> bool {
        self.json() == "null"
    }

    pub(crate) fn json(&self) -> &str {
        &self.0
    }
}

impl Default for Detail {
    fn default() -> Self {
        Value::Null.into()
    }
}

impl From<Value> for Detail {
    fn from(value: Value) -> Self {
        Detail(Zeroizing::new(value.to_string()))
    }
}

/// Shows which event of which transaction it is and nothing of the values.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("txid", &self.txid).field("event", &self.event).finish_non_exhaustive()
    }
}

/// Proof to the caller that its entry is on disk.
///
/// There is no way to get one before the transaction that holds the leaf was synchronised to disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The leaf's index in the log, counted from 0, without gaps.
    pub seq: u64,
    /// SHA-256(0x00 || leaf), the leaf hash of RFC 6962 section 2.1.
    pub leaf_hash: [u8; 32],
}

/// Why an entry can never be recorded as it is: a mistake of the caller, not of the disk.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EntryError {
    /// A number in the public fields is no integer of 64 bits.
    #[error("public field `{0}` holds a fraction; the leaf takes integers only")]
    Fraction(String),
    /// A transaction id, event or name is empty, too long or not printable ASCII.
    #[error("{0} is not 1 to 64 bytes of printable ASCII")]
    Name(&'static str),
    /// The event is one that only the notary itself writes.
    #[error("event `{0}` is reserved for the notary itself")]
    Reserved(String),
    /// The public fields are nested deeper than a leaf may be.
    #[error("public fields are nested too deeply")]
    TooDeep,
    /// The values together are larger than [`Entry::MAX_BYTES`].
    #[error("the entry holds {0} bytes, more than a record may")]
    TooLarge(usize),
}
