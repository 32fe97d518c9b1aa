//! The durable spool of copies: what must still be sent after the milter has answered.
//!
//! One file per copy: a JSON line with the envelope, then the message. A copy is written and synced
//! in `incoming/`, moved to `ready/` when the record of the decision is durable, and removed when
//! the MTA has taken it. What lies in `incoming/` at start was never answered for: the client was
//! told to try again, so it is removed. `taken/` marks copies whose transaction may not have been
//! answered yet, so that a retried submission does not send them twice.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mail::{Message, Spill};
use serde::{Deserialize, Serialize};

/// A copy for one group of recipients, ready to be written.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Who gets it, and what it belongs to.
    pub ticket: Ticket,
    /// The complete message.
    pub message: Message,
}

/// The envelope of a spooled copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ticket {
    /// Name of the copy: UUIDv7.
    pub id: String,
    /// Transaction it came from.
    pub transaction: String,
    /// Queue id of the original, for log lines.
    pub queue_id: String,
    /// Reverse-path, empty for the null reverse-path.
    pub reverse_path: String,
    /// MAIL parameters to hand on.
    pub parameters: Vec<String>,
    /// Recipients with their RCPT parameters.
    pub recipients: Vec<(String, Vec<String>)>,
    /// Names this copy in `taken/`: the same submission gives the same value.
    pub idempotency: String,
    /// Why the MTA shall put the copy on hold, if it shall.
    #[serde(default)]
    pub hold: Option<String>,
    /// True for a notice of ours about a copy that failed; a failing notice makes no further one.
    pub notice: bool,
    /// When it was spooled, unix seconds.
    pub created: i64,
}

/// The spool directory.
#[derive(Debug)]
pub struct Spool {
    incoming: PathBuf,
    ready: PathBuf,
    failed: PathBuf,
    taken: PathBuf,
}

/// Longest accepted ticket line; 1,000 recipients fit many times over.
const TICKET_LIMIT: u64 = 4 << 20;

impl Spool {
    /// Opens the spool below `dir`, creating it (mode 0700), and clears what was never committed.
    ///
    /// # Errors
    /// The directory cannot be created, listed or cleaned.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let spool = Self {
            incoming: dir.join("incoming"),
            ready: dir.join("ready"),
            failed: dir.join("failed"),
            taken: dir.join("taken"),
        };
        for part in [&spool.incoming, &spool.ready, &spool.failed, &spool.taken] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(part)?;
        }
        spool.clear_incoming()?;
        Ok(spool)
    }

    /// Removes what was never committed, and before it the marks that a half-done commit left: a
    /// mark without its copy would make a retried submission lose the copy's recipients.
    fn clear_incoming(&self) -> io::Result<()> {
        let left = names(&self.incoming)?;
        let mut unmarked = false;
        for name in &left {
            // A copy that cannot be read was not complete, so no commit had begun and no mark exists.
            if let Ok(ticket) = read_ticket(&mut BufReader::new(File::open(self.incoming.join(name))?)) {
                unmarked |= fs::remove_file(self.taken.join(ticket.idempotency)).is_ok();
            }
        }
        if unmarked {
            sync_dir(&self.taken)?;
        }
        for name in &left {
            tracing::info!(copy = %name, "removing a copy whose transaction was never answered");
            fs::remove_file(self.incoming.join(name))?;
        }
        Ok(())
    }

    /// Writes and syncs the copies without making them deliverable yet.
    ///
    /// # Errors
    /// Disk full, no permission. Nothing stays behind.
    pub fn prepare(self: &Arc<Self>, copies: &[Copy]) -> io::Result<Prepared> {
        // Built first, so that a failure half-way drops it and removes what was written.
        let mut prepared = Prepared { spool: self.clone(), tickets: Vec::new(), committed: false };
        for copy in copies {
            prepared.tickets.push(copy.ticket.clone());
            write_copy(&self.incoming.join(&copy.ticket.id), copy)?;
        }
        sync_dir(&self.incoming)?;
        Ok(prepared)
    }

    /// True if a copy with this idempotency name is durable or was sent, and the transaction that
    /// made it is not known to have been answered.
    pub fn is_taken(&self, idempotency: &str) -> bool {
        self.taken.join(idempotency).exists()
    }

    /// The MTA got our answer: a later message that looks the same is a new one.
    pub fn answered(&self, idempotency: &[String]) {
        for name in idempotency {
            let _ = fs::remove_file(self.taken.join(name));
        }
    }

    /// Forgets marks older than `seconds`: no client retries for longer than that.
    pub fn forget_taken(&self, now: i64, seconds: i64) -> io::Result<()> {
        for name in names(&self.taken)? {
            let path = self.taken.join(name);
            let made = fs::metadata(&path)?.modified()?;
            let made = made.duration_since(std::time::UNIX_EPOCH).map_or(0, |age| age.as_secs() as i64);
            if now - made > seconds {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Names of the copies that wait to be sent, oldest first.
    pub fn waiting(&self) -> io::Result<Vec<String>> {
        let mut waiting = names(&self.ready)?;
        waiting.sort();
        Ok(waiting)
    }

    /// Number of copies that were given up and are kept for the administrator.
    pub fn given_up(&self) -> io::Result<usize> {
        Ok(names(&self.failed)?.len())
    }

    /// Reads a waiting copy; its body stays on disk when it is above `spill.limit`.
    ///
    /// # Errors
    /// Missing or damaged file.
    pub fn load(&self, id: &str, spill: &Spill) -> io::Result<Copy> {
        let mut reader = BufReader::new(File::open(self.ready.join(id))?);
        let ticket = read_ticket(&mut reader)?;
        Ok(Copy { ticket, message: Message::read(&mut reader, spill)? })
    }

    /// The envelope of a waiting copy.
    ///
    /// # Errors
    /// Missing or damaged file.
    pub fn ticket(&self, id: &str) -> io::Result<Ticket> {
        read_ticket(&mut BufReader::new(File::open(self.ready.join(id))?))
    }

    /// The MTA has taken the copy.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        fs::remove_file(self.ready.join(id))?;
        sync_dir(&self.ready)
    }

    /// Keeps a copy that cannot be sent, out of the way; nothing vanishes.
    pub fn give_up(&self, id: &str) -> io::Result<()> {
        fs::rename(self.ready.join(id), self.failed.join(id))?;
        sync_dir(&self.failed)
    }

    /// The directory of waiting copies, for the health check.
    pub fn ready_dir(&self) -> &Path {
        &self.ready
    }
}

/// Copies that are on disk but not deliverable; dropping it removes them.
#[derive(Debug)]
pub struct Prepared {
    spool: Arc<Spool>,
    tickets: Vec<Ticket>,
    committed: bool,
}

impl Prepared {
    /// Makes the copies deliverable. From here on they will be sent, whatever happens to us.
    ///
    /// # Errors
    /// The file system failed; the copies that could be taken back were.
    pub fn commit(mut self) -> io::Result<()> {
        if self.tickets.is_empty() {
            return Ok(());
        }
        let result = self.publish();
        self.committed = result.is_ok();
        result
    }

    fn publish(&self) -> io::Result<()> {
        for ticket in &self.tickets {
            let mark = self.spool.taken.join(&ticket.idempotency);
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(mark)?;
        }
        sync_dir(&self.spool.taken)?;
        for ticket in &self.tickets {
            fs::rename(self.spool.incoming.join(&ticket.id), self.spool.ready.join(&ticket.id))?;
        }
        sync_dir(&self.spool.ready)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        for ticket in &self.tickets {
            let _ = fs::remove_file(self.spool.incoming.join(&ticket.id));
            // After a half-done commit: what cannot be taken back keeps its mark, so that the
            // retry that our temporary refusal asks for does not send it twice.
            let ready = self.spool.ready.join(&ticket.id);
            if !ready.exists() || fs::remove_file(ready).is_ok() {
                let _ = fs::remove_file(self.spool.taken.join(&ticket.idempotency));
            }
        }
    }
}

fn read_ticket(reader: &mut impl BufRead) -> io::Result<Ticket> {
    let mut line = Vec::new();
    io::Read::take(reader, TICKET_LIMIT).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(io::Error::other)
}

fn write_copy(path: &Path, copy: &Copy) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut out = BufWriter::new(file);
    serde_json::to_writer(&mut out, &copy.ticket)?;
    out.write_all(b"\n")?;
    copy.message.write_to(&mut out)?;
    out.into_inner().map_err(|error| error.into_error())?.sync_all()
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(id: &str) -> Copy {
        Copy {
            ticket: Ticket {
                id: id.to_owned(),
                transaction: "t".to_owned(),
                queue_id: "Q".to_owned(),
                reverse_path: "alice@alpha.example".to_owned(),
                parameters: vec!["BODY=8BITMIME".to_owned()],
                recipients: vec![("<bob@beta.example>".to_owned(), vec![])],
                idempotency: format!("mark-{id}"),
                hold: None,
                notice: false,
                created: 1,
            },
            message: Message::parse(b"Subject: x\r\n\r\nbody\r\n.\r\n"),
        }
    }

    #[test]
    fn a_committed_copy_survives_a_restart_with_its_very_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::open(dir.path()).unwrap());
        spool.prepare(&[copy("a")]).unwrap().commit().unwrap();
        let spool = Arc::new(Spool::open(dir.path()).unwrap());
        assert_eq!(spool.waiting().unwrap(), ["a"]);
        let loaded = spool.load("a", &Spill::default()).unwrap();
        assert_eq!(loaded.message.to_vec().unwrap(), b"Subject: x\r\n\r\nbody\r\n.\r\n");
        assert_eq!(loaded.ticket.recipients[0].0, "<bob@beta.example>");
        assert!(spool.is_taken("mark-a"));
        spool.answered(&["mark-a".to_owned()]);
        assert!(!spool.is_taken("mark-a"));
        spool.remove("a").unwrap();
        assert!(spool.waiting().unwrap().is_empty());
    }

    #[test]
    fn an_uncommitted_copy_is_never_sent() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::open(dir.path()).unwrap());
        drop(spool.prepare(&[copy("a")]).unwrap());
        assert!(names(&spool.incoming).unwrap().is_empty());
        std::mem::forget(spool.prepare(&[copy("b")]).unwrap()); // as a kill would leave it
        let spool = Arc::new(Spool::open(dir.path()).unwrap());
        assert!(spool.waiting().unwrap().is_empty());
        assert!(names(&spool.incoming).unwrap().is_empty());
        assert!(!spool.is_taken("mark-b"));
    }

    #[test]
    fn a_mark_whose_copy_was_not_published_does_not_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::open(dir.path()).unwrap());
        let prepared = spool.prepare(&[copy("a"), copy("b")]).unwrap();
        // What a kill between the two renames of a commit leaves.
        for mark in ["mark-a", "mark-b"] {
            File::create(spool.taken.join(mark)).unwrap();
        }
        fs::rename(spool.incoming.join("a"), spool.ready.join("a")).unwrap();
        std::mem::forget(prepared);
        let spool = Arc::new(Spool::open(dir.path()).unwrap());
        assert_eq!(spool.waiting().unwrap(), ["a"]);
        assert!(spool.is_taken("mark-a"), "it will be sent, so a retry must not send it again");
        assert!(!spool.is_taken("mark-b"), "it will never be sent, so a retry must make it again");
    }

    #[test]
    fn a_failing_write_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Arc::new(Spool::open(dir.path()).unwrap());
        let twice = [copy("a"), copy("a")]; // create_new fails on the second
        assert!(spool.prepare(&twice).is_err());
        assert!(names(&spool.incoming).unwrap().is_empty());
    }
}
