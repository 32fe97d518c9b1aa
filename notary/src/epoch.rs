//! Runs of the software: each begins with a leaf that says how the former one ended.

use openssl::rand::rand_bytes;
use rusqlite::Transaction;
use rusqlite::params;
use serde_json::Map;
use serde_json::Value;

use crate::entry::Entry;
use crate::error::AppendError;
use crate::keys::Keys;
use crate::prepared::Prepared;

/// The event of the first leaf of a run.
pub(crate) const OPEN: &str = "epoch-open";

/// The event of the last leaf of a run that ended in order.
pub(crate) const CLOSE: &str = "epoch-close";

/// How the former run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Former {
    /// It said that it ends.
    Clean,
    /// There was none: the log begins here.
    None,
    /// It stopped without saying so: a crash, a kill or a power cut.
    Unclean,
}

impl Former {
    /// As it stands in the leaf.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Former::Clean => "clean",
            Former::None => "none",
            Former::Unclean => "unclean",
        }
    }
}

/// The present run.
pub(crate) struct Epoch {
    /// Random; stands in every leaf of the run.
    pub(crate) boot: [u8; 16],
    software: String,
}

impl Epoch {
    /// A new run.
    pub(crate) fn new(software: String) -> Result<Epoch, openssl::error::ErrorStack> {
        let mut boot = [0; 16];
        rand_bytes(&mut boot)?;
        Ok(Epoch { boot, software })
    }

    /// The leaf that opens it.
    pub(crate) fn opening(
        &self,
        former: Option<([u8; 16], bool)>,
        keys: &Keys,
    ) -> Result<Prepared, AppendError> {
        let state = match former {
            None => Former::None,
            Some((_, true)) => Former::Clean,
            Some((_, false)) => Former::Unclean,
        };
        let mut public = Map::new();
        public.insert("former".into(), state.name().into());
        public.insert("software".into(), Value::from(self.software.as_str()));
        if let Some((boot, _)) = former {
            public.insert("former-boot".into(), crate::hex(&boot).into());
        }
        Prepared::of_notary(self.entry(OPEN, public), keys)
    }

    /// The leaf that closes it.
    pub(crate) fn closing(&self, keys: &Keys) -> Result<Prepared, AppendError> {
        Prepared::of_notary(self.entry(CLOSE, Map::new()), keys)
    }

    fn entry(&self, event: &str, public: Map<String, Value>) -> Entry {
        let txid = format!("epoch-{}", crate::hex(&self.boot));
        Entry { txid, event: event.into(), public, ..Entry::default() }
    }

    /// Notes that the run began with leaf `seq`.
    pub(crate) fn insert(&self, transaction: &Transaction<'_>, seq: u64) -> rusqlite::Result<()> {
        let sql = "INSERT INTO epoch (boot, opened) VALUES (?1, ?2)";
        transaction.execute(sql, params![self.boot, seq]).map(drop)
    }

    /// Notes that the run ended with leaf `seq`.
    pub(crate) fn close(&self, transaction: &Transaction<'_>, seq: u64) -> rusqlite::Result<()> {
        transaction.execute("UPDATE epoch SET closed = ?1 WHERE boot = ?2", params![seq, self.boot]).map(drop)
    }
}
