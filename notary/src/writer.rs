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

use crate::entry::Receipt;
use crate::epoch::Epoch;
use crate::erase;
use crate::error::AppendError;
use crate::keys::Keys;
use crate::leaf::Hash;
use crate::leaf::Leaf;
use crate::leaf::leaf_hash;
use crate::lock::Lock;
use crate::pending::Reply;
use crate::prepared::Prepared;
use crate::private_record::Place;
use crate::private_record::Sealer;
use crate::store;
use crate::store::Identity;

/// The most entries in one transaction, so that the first does not wait for ever for the last.
const MAX_BATCH: usize = 1024;

/// What the writer is asked to do.
pub(crate) enum Command {
    /// Record an entry.
    Append(Box<Prepared>, Reply),
    /// Destroy the private half of a leaf and record that.
    Erase(u64, Box<Prepared>, Reply),
    /// Record the end of this run, then stop.
    Close(Reply),
    /// Stop without a word, as a crash would.
    Stop,
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
    erased: bool,
    _lock: Lock,
}

/// A batch under way: the leaves in the open transaction and who waits for them.
#[derive(Default)]
struct Batch {
    waiting: Vec<(Reply, Result<Receipt, AppendError>)>,
    newest: Option<(u64, Hash)>,
    closes: bool,
    erases: bool,
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
        let sealer = Sealer::new(&*log.keys.wrapping(&epoch.boot))?;
        let identity = Identity::of(&log.path).map_err(|_| AppendError::Replaced)?;
        let newest = store::newest(&database)?;
        let database = Some((database, identity));
        Ok(Writer { log, epoch, sealer, tally, database, newest, erased: false, _lock: lock })
    }

    /// Records that this run begins.
    pub(crate) fn open_epoch(&mut self) -> Result<(), AppendError> {
        let former = match &self.database {
            Some((database, _)) => store::former_epoch(database)?,
            None => None,
        };
        let opening = self.epoch.opening(former, &self.log.keys)?;
        let (reply, pending) = crate::pending::Pending::new();
        self.serve(Command::Append(Box::new(opening), reply), None);
        pending.wait().map(drop)
    }

    /// Serves until it is told to stop or everybody who could ask is gone.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        while let Ok(first) = commands.recv() {
            if !self.serve(first, Some(commands)) {
                break;
            }
        }
    }

    /// Serves one command and all that wait behind it; false to stop.
    fn serve(&mut self, first: Command, commands: Option<&Receiver<Command>>) -> bool {
        let mut batch = Batch::default();
        let outcome = match self.commit(first, commands, &mut batch) {
            Ok(go_on) => go_on,
            Err((error, current)) => {
                self.database = None;
                self.refuse(error, current, batch, commands);
                return true;
            }
        };
        self.newest = batch.newest.or(self.newest);
        self.tally.size.store(self.newest.map_or(0, |(seq, _)| seq + 1), Relaxed);
        self.tally.batches.fetch_add(1, Relaxed);
        for (reply, result) in batch.waiting {
            self.tally.recorded.fetch_add(u64::from(result.is_ok()), Relaxed);
            // Nobody waits any more for a message whose client went away; its record stays.
            let _ = reply.send(result);
        }
        self.erased |= batch.erases;
        self.forget_erased();
        outcome && !batch.closes
    }

    /// Everything that waits into one transaction. An error comes with the reply that was not yet
    /// in the batch.
    fn commit(
        &mut self,
        first: Command,
        commands: Option<&Receiver<Command>>,
        batch: &mut Batch,
    ) -> Result<bool, (AppendError, Option<Reply>)> {
        let database = match self.take_database() {
            Ok(database) => database,
            Err(error) => return Err((error, first.into_reply())),
        };
        let failed = |error: rusqlite::Error| (AppendError::from(error), None);
        let mut next = Some(first);
        let mut go_on = true;
        let transaction = match Transaction::new_unchecked(&database.0, TransactionBehavior::Immediate) {
            Ok(transaction) => transaction,
            Err(error) => return Err((error.into(), next.and_then(Command::into_reply))),
        };
        batch.newest = store::newest(&transaction).map_err(failed)?;
        while let Some(command) = next.take() {
            go_on = self.execute(&transaction, command, batch)?;
            if go_on && !batch.closes && batch.waiting.len() < MAX_BATCH {
                next = commands.and_then(|commands| commands.try_recv().ok());
            }
        }
        transaction.commit().map_err(failed)?;
        self.database = Some(database);
        Ok(go_on)
    }

    /// Writes one command into the open transaction; false to stop after it.
    fn execute(
        &mut self,
        transaction: &Transaction<'_>,
        command: Command,
        batch: &mut Batch,
    ) -> Result<bool, (AppendError, Option<Reply>)> {
        let (result, reply) = match command {
            Command::Append(prepared, reply) => (self.append(transaction, *prepared, batch).map(Ok), reply),
            Command::Erase(seq, prepared, reply) => (self.erase(transaction, seq, *prepared, batch), reply),
            Command::Close(reply) => {
                batch.closes = true;
                (self.close_epoch(transaction, batch).map(Ok), reply)
            }
            Command::Stop => return Ok(false),
            #[cfg(test)]
            Command::Disturb(disturb) => {
                disturb(transaction);
                return Ok(true);
            }
        };
        match result {
            Ok(answer) => {
                batch.waiting.push((reply, answer));
                Ok(true)
            }
            Err(error) => Err((error, Some(reply))),
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
        // After a failed synchronisation the kernel may hold pages as clean that never reached the
        // disk. Copying the write-ahead log into the database writes and synchronises them again.
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok((database, now.ok_or(AppendError::Replaced)?))
    }

    /// Tells everybody who waits that nothing was recorded.
    fn refuse(
        &self,
        error: AppendError,
        current: Option<Reply>,
        batch: Batch,
        commands: Option<&Receiver<Command>>,
    ) {
        let queued = commands.into_iter().flat_map(Receiver::try_iter).take(MAX_BATCH);
        let replies = batch.waiting.into_iter().map(|(reply, _)| reply).chain(current);
        for reply in replies.chain(queued.filter_map(Command::into_reply)) {
            self.tally.failed.fetch_add(1, Relaxed);
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// Moves erased bytes out of the write-ahead log. A reader in the middle of something can hold
    /// this up; then it is tried again after the next batch.
    fn forget_erased(&mut self) {
        let Some((database, _)) = self.database.as_ref().filter(|_| self.erased) else { return };
        let busy = erase::truncate_log(database);
        self.erased = busy.unwrap_or(true);
    }
}

impl Command {
    fn into_reply(self) -> Option<Reply> {
        match self {
            Command::Append(_, reply) | Command::Erase(_, _, reply) | Command::Close(reply) => Some(reply),
            Command::Stop => None,
            #[cfg(test)]
            Command::Disturb(_) => None,
        }
    }
}
