//! The one thread that writes.
//!
//! It takes everything that waits into one SQLite transaction and answers when the transaction is
//! on disk. After any error nothing of the batch is in the log, everybody who waits is told, and
//! the next batch opens the file anew: index and chain are always continued from what the file
//! holds, never from memory, so the log has no gap whatever happened to the disk in between.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;

use rusqlite::Connection;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::ffi;

use crate::entry::Receipt;
use crate::epoch::Epoch;
use crate::erase;
use crate::error::AppendError;
use crate::keys::Keys;
use crate::leaf::Hash;
use crate::leaf::Leaf;
use crate::leaf::leaf_hash;
use crate::lock::Lock;
use crate::pending::Pending;
use crate::pending::Reply;
use crate::prepared::Prepared;
use crate::private_record::Place;
use crate::private_record::Sealer;
use crate::store;
use crate::store::Identity;

/// The most entries in one transaction, so that the first does not wait for ever for the last.
const MAX_BATCH: usize = 1024;

/// What the writer is asked to do, and whom it then tells.
pub(crate) struct Order {
    pub(crate) work: Work,
    pub(crate) reply: Reply,
}

/// What there is to do.
pub(crate) enum Work {
    /// Record an entry.
    Append(Box<Prepared>),
    /// Destroy the private half of a leaf and record that.
    Erase(u64, Box<Prepared>),
    /// Record the end of this run, then stop.
    Close,
    /// Let a test disturb the connection.
    #[cfg(test)]
    Disturb(fn(&Connection)),
}

/// Shared counters.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) size: AtomicU64,
    pub(crate) recorded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) batches: AtomicU64,
}

/// What stays the same while the writer lives.
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    pub(crate) origin: String,
    pub(crate) clock: fn() -> i64,
    pub(crate) keys: Arc<Keys>,
}

pub(crate) struct Writer {
    log: Log,
    epoch: Epoch,
    sealer: Sealer,
    tally: Arc<Tally>,
    /// The open file; none after an error.
    database: Option<(Connection, Identity)>,
    /// The newest leaf that was confirmed, to recognise the file by.
    newest: Option<(u64, Hash)>,
    /// Whether the write-ahead log may still hold erased bytes.
    truncate: bool,
    /// Whether a synchronisation failed since the file was last whole on disk.
    unsynchronised: bool,
    _lock: Lock,
}

/// A batch under way: the leaves in the open transaction and who waits for them.
#[derive(Default)]
struct Batch {
    /// Everybody who waits, the order at hand included.
    replies: Vec<Reply>,
    /// What those are told whose order was executed, once the transaction is on disk.
    answers: Vec<Result<Receipt, AppendError>>,
    newest: Option<(u64, Hash)>,
    closes: bool,
    erases: bool,
}

impl Batch {
    fn accept(&mut self, order: Order) -> Work {
        self.replies.push(order.reply);
        order.work
    }

    fn is_full(&self) -> bool {
        self.closes || self.answers.len() >= MAX_BATCH
    }
}

impl Writer {
    /// A writer on an open, tested file, whose run is not yet recorded.
    pub(crate) fn new(
        log: Log,
        epoch: Epoch,
        database: Connection,
        lock: Lock,
        tally: Arc<Tally>,
    ) -> Result<Writer, AppendError> {
        let sealer = Sealer::new(&log.keys.wrapping(&epoch.boot))?;
        let identity = Identity::of(&log.path).map_err(|_| AppendError::Replaced)?;
        let newest = store::newest(&database)?;
        let database = Some((database, identity));
        Ok(Writer {
            log,
            epoch,
            sealer,
            tally,
            database,
            newest,
            truncate: false,
            unsynchronised: false,
            _lock: lock,
        })
    }

    /// Records that this run begins.
    pub(crate) fn open_epoch(&mut self) -> Result<(), AppendError> {
        let former = match &self.database {
            Some((database, _)) => store::former_epoch(database)?,
            None => None,
        };
        let opening = self.epoch.opening(former, &self.log.keys)?;
        let (reply, pending) = Pending::new();
        self.serve(Order { work: Work::Append(Box::new(opening)), reply }, None);
        pending.wait().map(drop)
    }

    /// Serves until this run is closed or everybody who could ask is gone.
    pub(crate) fn run(mut self, orders: &Receiver<Order>) {
        while let Ok(first) = orders.recv() {
            if !self.serve(first, Some(orders)) {
                break;
            }
        }
    }

    /// Serves one order and all that wait behind it; false if that closed the run.
    fn serve(&mut self, first: Order, orders: Option<&Receiver<Order>>) -> bool {
        let mut batch = Batch::default();
        if let Err(error) = self.commit(first, orders, &mut batch) {
            self.database = None;
            self.unsynchronised |= is_synchronisation(&error);
            self.refuse(&error, batch, orders);
            return true;
        }
        self.newest = batch.newest;
        let recorded = batch.answers.iter().filter(|answer| answer.is_ok()).count() as u64;
        self.tally.size.store(batch.newest.map_or(0, |(seq, _)| seq + 1), Relaxed);
        self.tally.recorded.fetch_add(recorded, Relaxed);
        self.tally.batches.fetch_add(1, Relaxed);
        for (reply, answer) in batch.replies.into_iter().zip(batch.answers) {
            // Whoever gave up waiting need not be told; the record stays.
            let _ = reply.send(answer);
        }
        self.truncate |= batch.erases || batch.closes;
        self.truncate_log();
        !batch.closes
    }

    /// Everything that waits into one transaction. After an error the file is closed and nothing of
    /// the batch is in it.
    fn commit(
        &mut self,
        first: Order,
        orders: Option<&Receiver<Order>>,
        batch: &mut Batch,
    ) -> Result<(), AppendError> {
        let mut work = batch.accept(first);
        let database = self.take_database()?;
        let transaction = Transaction::new_unchecked(&database.0, TransactionBehavior::Immediate)?;
        batch.newest = store::newest(&transaction)?;
        loop {
            let answer = self.execute(&transaction, work, batch)?;
            batch.answers.push(answer);
            let waiting = orders.filter(|_| !batch.is_full()).and_then(|orders| orders.try_recv().ok());
            let Some(order) = waiting else { break };
            work = batch.accept(order);
        }
        transaction.commit()?;
        self.database = Some(database);
        Ok(())
    }

    /// Carries one order out in the open transaction. The outer error ends the whole batch, the
    /// inner one is for this order alone.
    fn execute(
        &mut self,
        transaction: &Transaction<'_>,
        work: Work,
        batch: &mut Batch,
    ) -> Result<Result<Receipt, AppendError>, AppendError> {
        match work {
            Work::Append(prepared) => self.append(transaction, *prepared, batch).map(Ok),
            Work::Erase(seq, prepared) => self.erase(transaction, seq, *prepared, batch),
            Work::Close => self.close_epoch(transaction, batch).map(Ok),
            #[cfg(test)]
            Work::Disturb(disturb) => {
                disturb(transaction);
                Ok(Err(AppendError::Closed))
            }
        }
    }

    /// Writes the next leaf.
    fn append(
        &mut self,
        transaction: &Transaction<'_>,
        prepared: Prepared,
        batch: &mut Batch,
    ) -> Result<Receipt, AppendError> {
        let seq = batch.newest.map_or(0, |(seq, _)| seq + 1);
        let place = Place { origin: &self.log.origin, seq, txid: &prepared.txid };
        let sealed = match &prepared.plaintext {
            Some(plaintext) => Some(self.sealer.seal(place, plaintext)?),
            None => None,
        };
        let prev = store::previous(transaction, &prepared.txid)?;
        let leaf = Leaf {
            origin: self.log.origin.clone(),
            boot: self.epoch.boot,
            seq,
            txid: prepared.txid,
            event: prepared.event,
            prev,
            time: (self.log.clock)(),
            public: prepared.public,
            committed: prepared.committed,
            private: sealed.as_ref().map(|sealed| openssl::sha::sha256(&sealed.ciphertext)),
        };
        let encoding = leaf.encode();
        let leaf_hash = leaf_hash(&encoding);
        store::insert_leaf(transaction, seq, &leaf.txid, &leaf_hash, &encoding)?;
        if let Some(sealed) = &sealed {
            store::insert_private(transaction, seq, sealed, &prepared.lookups)?;
        }
        if leaf.event == crate::epoch::OPEN {
            self.epoch.insert(transaction, seq)?;
        }
        batch.newest = Some((seq, leaf_hash));
        Ok(Receipt { seq, leaf_hash })
    }

    fn erase(
        &mut self,
        transaction: &Transaction<'_>,
        seq: u64,
        mut prepared: Prepared,
        batch: &mut Batch,
    ) -> Result<Result<Receipt, AppendError>, AppendError> {
        let Some(txid) = erase::destroy(transaction, seq)? else {
            return Ok(Err(AppendError::NothingToErase(seq)));
        };
        prepared.txid = txid;
        batch.erases = true;
        self.append(transaction, prepared, batch).map(Ok)
    }

    fn close_epoch(
        &mut self,
        transaction: &Transaction<'_>,
        batch: &mut Batch,
    ) -> Result<Receipt, AppendError> {
        batch.closes = true;
        let closing = self.epoch.closing(&self.log.keys)?;
        let receipt = self.append(transaction, closing, batch)?;
        self.epoch.close(transaction, receipt.seq)?;
        Ok(receipt)
    }

    /// The open file, or the file opened anew after an error. Leaves none behind: it is put back
    /// only after a success.
    fn take_database(&mut self) -> Result<(Connection, Identity), AppendError> {
        let now = Identity::of(&self.log.path).ok();
        if let Some((database, identity)) = self.database.take() {
            return if now == Some(identity) { Ok((database, identity)) } else { Err(AppendError::Replaced) };
        }
        let database = store::connect(&self.log.path)?;
        if !self.log.keys.fits(&database)? {
            return Err(AppendError::Replaced);
        }
        if let Some((seq, hash)) = self.newest
            && store::hash_at(&database, seq)? != Some(hash)
        {
            return Err(AppendError::Replaced);
        }
        if self.unsynchronised {
            // The kernel may hold pages as clean that never reached the disk. Copying the
            // write-ahead log into the database writes and synchronises them again.
            database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            self.unsynchronised = false;
        }
        Ok((database, now.ok_or(AppendError::Replaced)?))
    }

    /// Tells everybody who waits that nothing was recorded.
    fn refuse(&self, error: &AppendError, batch: Batch, orders: Option<&Receiver<Order>>) {
        let mut replies = batch.replies;
        // Who waits is settled before anybody is told: a new attempt is not refused with the old.
        let queued = orders.into_iter().flat_map(Receiver::try_iter).take(MAX_BATCH);
        replies.extend(queued.map(|order| order.reply));
        self.tally.failed.fetch_add(replies.len() as u64, Relaxed);
        for reply in replies {
            // Whoever gave up waiting need not be told.
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// Moves erased bytes out of the write-ahead log. A reader in the middle of something can hold
    /// this up; then it is tried again after the next batch.
    fn truncate_log(&mut self) {
        let Some((database, _)) = self.database.as_ref().filter(|_| self.truncate) else { return };
        self.truncate = erase::truncate_log(database).unwrap_or(true);
    }
}

/// Whether the error is that of an fsync.
fn is_synchronisation(error: &AppendError) -> bool {
    let AppendError::Storage(error) = error else { return false };
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}
