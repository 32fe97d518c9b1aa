//! Takes sessions off the delivery path and counts them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::thread;

use net::Clock;

use super::day::Day;
use super::ledger::Ledger;
use super::ledger::LedgerError;
use super::session::Session;

/// So many sessions may wait for the disk; more are lost rather than waited for.
const QUEUE: usize = 10_000;
/// So many are counted in one transaction.
const BATCH: usize = 1_000;

/// Counts sessions on a thread of its own. Cheap to clone; clones share everything.
///
/// When the last clone is gone, the thread counts what it has and ends.
#[derive(Clone, Debug)]
pub struct Collector {
    queue: SyncSender<Note>,
    clock: Clock,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Note {
    Session(Day, Session),
    /// Answered once all before it is on disk.
    Flush(SyncSender<()>),
}

impl Collector {
    /// Opens the tables at `path` and starts the thread.
    ///
    /// # Errors
    /// The file cannot be used, or no thread can be had.
    pub fn start(path: &Path, clock: Clock) -> Result<Self, LedgerError> {
        let ledger = Ledger::open(path)?;
        let (queue, notes) = mpsc::sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        thread::Builder::new().name("tlsrpt".to_owned()).spawn(move || count(ledger, &notes, &counter))?;
        Ok(Self { queue, clock, lost })
    }

    /// Notes a session, under the present UTC day. Never waits and never fails; what cannot be kept is counted
    /// by [`Collector::lost`].
    pub fn record(&self, session: Session) {
        let day = Day::of(self.clock.now());
        if self.queue.try_send(Note::Session(day, session)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was recorded before is on disk. Blocks the thread.
    pub fn flush(&self) {
        let (done, wait) = mpsc::sync_channel(1);
        if self.queue.send(Note::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    /// Sessions that are in no report: the disk was too slow or failed, or there were too many domains.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

fn count(mut ledger: Ledger, notes: &Receiver<Note>, lost: &AtomicU64) {
    while let Ok(first) = notes.recv() {
        let mut sessions = Vec::new();
        let mut flushes = Vec::new();
        let mut more = Some(first);
        while let Some(note) = more {
            match note {
                Note::Session(day, session) => sessions.extend(session.tidy().map(|session| (day, session))),
                Note::Flush(done) => flushes.push(done),
            }
            more = if sessions.len() < BATCH { notes.try_recv().ok() } else { None };
        }
        let refused = ledger.tally(&sessions).unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, sessions = sessions.len(), "sessions are missing in TLS reports");
            sessions.len() as u64
        });
        lost.fetch_add(refused, Ordering::Relaxed);
        for done in flushes {
            let _ = done.try_send(());
        }
    }
}
