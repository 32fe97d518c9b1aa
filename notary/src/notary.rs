//! The notary as its callers see it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::thread;
use std::thread::JoinHandle;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::entry::Entry;
use crate::epoch::Epoch;
use crate::erase;
use crate::error::AppendError;
use crate::error::OpenError;
use crate::error::ReadError;
use crate::keys::Keys;
use crate::lock::Lock;
use crate::pending::Pending;
use crate::prepared::Prepared;
use crate::query::Reader;
use crate::query::Story;
use crate::store;
use crate::verify::Verification;
use crate::writer::Log;
use crate::writer::Order;
use crate::writer::Tally;
use crate::writer::Work;
use crate::writer::Writer;

/// What a notary is opened with.
#[derive(Clone)]
pub struct Options {
    /// The SQLite file; made if it is not there. Its directory must exist.
    pub path: PathBuf,
    /// The name of this log, for example `mx1.example.org/gatepost`. Stands in every leaf.
    pub origin: String,
    /// The notary's secret key. Whoever has it can read every private record.
    pub key: Zeroizing<[u8; 32]>,
    /// Name and version of the software that writes, for the leaf that opens this run.
    pub software: String,
    /// The time in microseconds since 1970-01-01T00:00Z; [`system_clock`] unless in a test.
    pub clock: fn() -> i64,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("path", &self.path)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// The system's clock: microseconds since 1970-01-01T00:00Z.
pub fn system_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// What the notary did in this run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Leaves in the log, those of former runs included.
    pub size: u64,
    /// Entries that got a receipt.
    pub recorded: u64,
    /// Entries that were refused because of the disk.
    pub failed: u64,
    /// Transactions committed; `recorded / batches` is how many entries shared one synchronisation.
    pub batches: u64,
}

/// The one writer of a log.
///
/// Can be shared between threads; every method takes `&self`. Dropping it without
/// [`Notary::close`] records what waits but not the end of the run.
pub struct Notary {
    /// Gone only while the value is being dropped, which is what ends the writer.
    orders: Option<Sender<Order>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    reader: Mutex<Reader>,
    keys: Arc<Keys>,
    tally: Arc<Tally>,
    path: PathBuf,
    key: Zeroizing<[u8; 32]>,
}

impl Notary {
    /// Opens the log, takes its lock and records the start of this run.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process or value writes to it; see [`OpenError`].
    pub fn open(options: Options) -> Result<Notary, OpenError> {
        let Options { path, origin, key, software, clock } = options;
        let lock = Lock::take(&path)?;
        store::create(&path).map_err(|source| OpenError::File { path: path.clone(), source })?;
        let keys = Arc::new(Keys::new(&key));
        let mut database = store::connect(&path)?;
        store::migrate(&mut database, &origin, &keys)?;

        let tally = Arc::new(Tally::default());
        let log = Log { path: path.clone(), origin, clock, keys: Arc::clone(&keys) };
        let epoch = Epoch::new(software)?;
        let mut writer =
            Writer::new(log, epoch, database, lock, Arc::clone(&tally)).map_err(OpenError::Append)?;
        writer.open_epoch().map_err(OpenError::Append)?;
        let reader = Reader::open(&path, Some(&key))?;
        let (orders, waiting) = mpsc::channel();
        let writer = thread::Builder::new()
            .name("notary".into())
            .spawn(move || writer.run(&waiting))
            .map_err(OpenError::Thread)?;
        let (writer, reader) = (Mutex::new(Some(writer)), Mutex::new(reader));
        Ok(Notary { orders: Some(orders), writer, reader, keys, tally, path, key })
    }

    /// Records an entry. The receipt comes when it is on disk, together with everything else that
    /// waited at the same time. Entries of one thread stand in the log in the order of the calls.
    ///
    /// # Errors
    /// The pending value gives [`AppendError`]: then the caller must not act as if it were
    /// recorded.
    pub fn append(&self, entry: Entry) -> Pending {
        self.send(Prepared::new(entry, &self.keys), Work::Append)
    }

    /// Destroys the private half of record `seq`, its key and what it can be found by, and records
    /// that, in the same transaction. `authority` says on what ground; it stands in the leaf in
    /// clear, so it names a law or an order, never a person. Who did it and why belongs into
    /// `private`.
    ///
    /// # Errors
    /// [`AppendError::NothingToErase`] if there is no such record or nothing private in it.
    pub fn erase(&self, seq: u64, authority: &str, private: Value) -> Pending {
        let erasure = erase::erasure(seq, authority, private, &self.keys);
        self.send(erasure, |prepared| Work::Erase(seq, prepared))
    }

    fn send(
        &self,
        prepared: Result<Prepared, AppendError>,
        work: impl FnOnce(Box<Prepared>) -> Work,
    ) -> Pending {
        match prepared {
            Ok(prepared) => self.order(work(Box::new(prepared))),
            Err(error) => {
                let (reply, pending) = Pending::new();
                drop(reply.send(Err(error)));
                pending
            }
        }
    }

    /// A writer that is gone drops the reply, which the pending value reports as closed.
    fn order(&self, work: Work) -> Pending {
        let (reply, pending) = Pending::new();
        drop(self.orders.as_ref().map(|orders| orders.send(Order { work, reply })));
        pending
    }

    /// As [`Reader::find`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn find(&self, kind: &str, value: &str) -> Result<Vec<Story>, ReadError> {
        lock(&self.reader).find(kind, value)
    }

    /// As [`Reader::verify`]. Takes time in proportion to the log; see [`Notary::reader`] for a way
    /// not to hold up [`Notary::find`] meanwhile.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn verify(&self) -> Result<Verification, ReadError> {
        lock(&self.reader).verify()
    }

    /// A new reader of this log, with the key.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn reader(&self) -> Result<Reader, OpenError> {
        Reader::open(&self.path, Some(&self.key))
    }

    /// What was done so far in this run.
    pub fn counts(&self) -> Counts {
        Counts {
            size: self.tally.size.load(Relaxed),
            recorded: self.tally.recorded.load(Relaxed),
            failed: self.tally.failed.load(Relaxed),
            batches: self.tally.batches.load(Relaxed),
        }
    }

    /// Records everything that waits, then the end of this run, and releases the log. Appends after
    /// it are refused. Without this call the next run records that this one ended uncleanly.
    ///
    /// # Errors
    /// [`AppendError::Closed`] the second time; any other error leaves the notary open.
    pub fn close(&self) -> Result<(), AppendError> {
        self.order(Work::Close).wait()?;
        self.join();
        Ok(())
    }

    fn join(&self) {
        let writer = lock(&self.writer).take();
        // The writer does not panic; if it did, everybody who waited was told.
        let _ = writer.map(JoinHandle::join);
    }

    #[cfg(test)]
    pub(crate) fn disturb(&self, disturb: fn(&rusqlite::Connection)) {
        let outcome = self.order(Work::Disturb(disturb)).wait();
        assert!(matches!(outcome, Err(AppendError::Closed)));
    }
}

impl Drop for Notary {
    fn drop(&mut self) {
        self.orders = None;
        self.join();
    }
}

impl fmt::Debug for Notary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notary").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A thread that panicked while it held one of these locks left nothing half-done in it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
