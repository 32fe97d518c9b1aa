//! Writing what is published.

mod todo_list;

use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use openssl::sha::sha256;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::params;

use super::Change;
use super::PublicationError;
use super::PublicationRules;
use super::Summary;
use super::address::whole_name;
use super::change;
use super::draft::Draft;
use super::draft::Request;
use super::rows;
use super::rows::MailboxRow;
use super::rules::Canonical;
use super::schema;
use crate::record::Scheme;
use crate::store::Store;
use crate::subject::Subject;
use todo_list::Round;

/// Mailboxes of one batch.
const BATCH: usize = 2000;
/// How long a statement waits for readers.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most threads that work certificates out.
const MAX_THREADS: usize = 8;
/// Most remarks of one kind in a summary.
const MAX_REMARKS: usize = 100;

/// Writes the publication. One per process; a second one waits for the first one's transactions.
pub struct Publisher {
    connection: Connection,
    /// How many mailboxes were published when this connection last counted, and the database's version then.
    counted: Option<(i64, usize)>,
    progress: Box<dyn FnMut(usize, usize) + Send>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

impl Publisher {
    /// Opens the file, or makes it with mode 0640.
    ///
    /// # Errors
    /// If it cannot be opened or made, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, PublicationError> {
        let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(path);
        // Whatever the umask: the sidecar reads it by its group.
        let made = made.and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o640)));
        if let Err(source) = made
            && source.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(PublicationError::File { path: path.to_owned(), source });
        }
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(64);
        schema::prepare(&mut connection)?;
        Ok(Self { connection, counted: None, progress: Box::new(|_, _| {}) })
    }

    /// Calls `progress` with the number of mailboxes done and to do, after each batch.
    pub fn on_progress(&mut self, progress: impl FnMut(usize, usize) + Send + 'static) {
        self.progress = Box::new(progress);
    }

    /// Brings the publication up to date at `now` (Unix seconds): what changed in the store since the last
    /// time, what time itself changed (expiry), and everything if the rules changed.
    ///
    /// Works in batches of a few thousand mailboxes. For each, `commit` (the key log) is called before any
    /// of it becomes visible, and may fill in [`Change::label_proof`]. If the process dies between the two,
    /// the next refresh gives `commit` the same changes again: a change whose `new` digest is already the
    /// newest one of the mailbox must not be logged twice. The same holds where `old` and `new` are alike, after
    /// [`PublicationRules::log`] became another.
    ///
    /// # Errors
    /// If the store or the file cannot be used, or `commit` fails; the batches before stay.
    pub fn refresh<E: Error + Send + Sync + 'static>(
        &mut self,
        store: &Store,
        rules: &PublicationRules,
        now: i64,
        commit: &mut dyn FnMut(&mut [Change]) -> Result<(), E>,
    ) -> Result<Summary, PublicationError> {
        let rules = Canonical::new(rules)?;
        let round = Round::begin(&mut self.connection, store, &rules, now)?;
        let mut summary = Summary { logged_anew: round.logs_anew(), ..Summary::default() };
        let counted = self.counted.take();
        let mut done = 0;
        let mut last = (0, String::new());
        loop {
            let keys = todo_list::next(&self.connection, &last, BATCH)?;
            let Some(end) = keys.last() else { break };
            last = end.clone();
            let keys: Vec<String> = keys.into_iter().map(|(_, key)| key).collect();
            self.batch(store, &rules, &keys, &round, &mut summary, commit)?;
            done += keys.len();
            (self.progress)(done, round.todo());
        }
        round.end(&mut self.connection, store)?;
        summary.mailboxes = self.count(counted, &summary)?;
        Ok(summary)
    }

    /// How many mailboxes are published. Only counts them again if another process wrote in between: counting goes
    /// through all of them.
    fn count(&mut self, counted: Option<(i64, usize)>, summary: &Summary) -> Result<usize, PublicationError> {
        let version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        let count = match counted {
            Some((then, count)) if then == version => count + summary.added - summary.withdrawn,
            _ => count(&self.connection)?,
        };
        self.counted = Some((version, count));
        Ok(count)
    }

    /// Whether something is published for a mailbox, or for a whole domain (`@domain`).
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn is_published(&self, key: &str) -> Result<bool, PublicationError> {
        Ok(rows::mailbox_row(&self.connection, key)?.is_some())
    }

    /// When everything was withdrawn from an address that was published once; Unix seconds.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn withdrawn_at(&self, address: &str) -> Result<Option<i64>, PublicationError> {
        let Some(subject) = Subject::address(address) else { return Ok(None) };
        match rows::mailbox_row(&self.connection, &subject.key())? {
            Some(_) => Ok(None),
            None => rows::withdrawn_at(&self.connection, &subject.key()),
        }
    }

    /// Looks at some mailboxes, logs what changed and then writes it.
    fn batch<E: Error + Send + Sync + 'static>(
        &mut self,
        store: &Store,
        rules: &Canonical<'_>,
        keys: &[String],
        round: &Round,
        summary: &mut Summary,
        commit: &mut dyn FnMut(&mut [Change]) -> Result<(), E>,
    ) -> Result<(), PublicationError> {
        let now = round.now();
        let mut work = Vec::with_capacity(keys.len());
        for key in keys {
            let row = rows::mailbox_row(&self.connection, key)?;
            work.push((row.clone(), gather(&self.connection, store, rules, key, row.as_ref(), now)?));
        }
        let drafts = drafts(&work)?;
        let mut outcomes = Vec::with_capacity(keys.len());
        let mut changes = Vec::new();
        for ((row, request), mut draft) in work.into_iter().zip(drafts) {
            remark(&mut summary.omitted, &mut draft.omitted);
            remark(&mut summary.warnings, &mut draft.warnings);
            let change = change(&row, request.key, &draft, round.logs_anew());
            summary.examined += 1;
            let changed = change.is_some();
            changes.extend(change);
            outcomes.push(Outcome { key: request.key, row, draft, changed });
        }
        if !changes.is_empty() {
            commit(&mut changes).map_err(|error| PublicationError::Log(Box::new(error)))?;
        }
        summary.changed +=
            changes.iter().filter(|change| change.new.is_some() && change.old != change.new).count();
        summary.added += changes.iter().filter(|change| change.old.is_none()).count();
        summary.withdrawn += changes.iter().filter(|change| change.new.is_none()).count();
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changes = changes.iter();
        for outcome in outcomes {
            let change = if outcome.changed { changes.next() } else { None };
            outcome.write(&transaction, change, now)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// What came out for one mailbox.
struct Outcome<'a> {
    key: &'a str,
    row: Option<MailboxRow>,
    draft: Draft,
    changed: bool,
}

impl Outcome<'_> {
    fn write(
        &self,
        transaction: &Transaction<'_>,
        change: Option<&Change>,
        now: i64,
    ) -> Result<(), PublicationError> {
        for fingerprint in &self.draft.newly_ended {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO ended VALUES (?1, ?2)")?
                .execute(params![ended_name(self.key, fingerprint), now])?;
        }
        self.wait(transaction)?;
        match (change, &self.row) {
            (Some(Change { new: Some(digest), label_proof, .. }), _) => {
                rows::write(transaction, self.key, &self.draft, digest, label_proof.as_deref())
            }
            (Some(Change { new: None, .. }), Some(row)) => {
                rows::withdraw(transaction, self.key, row.id, now)?;
                whole(transaction, self.key)
            }
            (None, Some(row)) if row.due != self.draft.due => {
                transaction
                    .prepare_cached("UPDATE mailbox SET due = ?2 WHERE id = ?1")?
                    .execute(params![row.id, self.draft.due])?;
                Ok(())
            }
            (None | Some(_), _) => Ok(()),
        }
    }
}

impl Outcome<'_> {
    /// Remembers when to look again at a mailbox without anything to publish.
    fn wait(&self, transaction: &Transaction<'_>) -> Result<(), PublicationError> {
        match self.draft.due.filter(|_| self.draft.is_empty()) {
            Some(due) => transaction
                .prepare_cached("INSERT OR REPLACE INTO waiting VALUES (?1, ?2)")?
                .execute(params![self.key, due])?,
            None => {
                transaction.prepare_cached("DELETE FROM waiting WHERE address = ?1")?.execute([self.key])?
            }
        };
        Ok(())
    }
}

/// From now on an address is nobody's sub-address.
fn whole(transaction: &Transaction<'_>, key: &str) -> Result<(), PublicationError> {
    transaction.prepare_cached("INSERT OR IGNORE INTO whole VALUES (?1)")?.execute([whole_name(key)])?;
    Ok(())
}

/// What changes for a mailbox, if anything does; with `anew` also what stays.
fn change(row: &Option<MailboxRow>, key: &str, draft: &Draft, anew: bool) -> Option<Change> {
    let bytes = |list: &'_ [(_, super::draft::Drawn)]| -> Vec<_> {
        list.iter().map(|(_, drawn)| drawn.published.bytes.clone()).collect()
    };
    let (openpgp, smime) = (bytes(&draft.openpgp), bytes(&draft.smime));
    let digest = || change::key_set_digest(openpgp.iter().map(|b| &**b), smime.iter().map(|b| &**b));
    let new = (!draft.is_empty()).then(digest);
    let old = row.as_ref().map(|row| row.digest);
    (old != new || (anew && new.is_some())).then(|| Change {
        mailbox: key.to_owned(),
        old,
        new,
        certificates: draft.all().map(|drawn| drawn.published.clone()).collect(),
        label_proof: row.as_ref().and_then(|row| row.label_proof.clone()),
    })
}

/// Works out what is to be published, on several threads.
fn drafts(work: &[(Option<MailboxRow>, Request<'_>)]) -> Result<Vec<Draft>, PublicationError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let share = work.len().div_ceil(threads).max(16);
    thread::scope(|scope| {
        let parts: Vec<_> = work
            .chunks(share)
            .map(|part| {
                scope.spawn(move || {
                    part.iter().map(|(_, request)| Draft::new(request)).collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut drafts = Vec::with_capacity(work.len());
        for part in parts {
            let part = part.join().map_err(|_| PublicationError::Corrupt("a thread died".to_owned()))?;
            drafts.extend(part?);
        }
        Ok(drafts)
    })
}

/// Everything that the answer for one mailbox depends on.
fn gather<'a>(
    connection: &Connection,
    store: &Store,
    rules: &'a Canonical<'a>,
    key: &'a str,
    row: Option<&MailboxRow>,
    now: i64,
) -> Result<Request<'a>, PublicationError> {
    let mut request = Request {
        rules,
        key,
        alias_of: None,
        openpgp: Vec::new(),
        smime: Vec::new(),
        published: Default::default(),
        ended: Default::default(),
        now,
    };
    let (true, Some(subject)) = (rules.covers(key), Subject::parse(key)) else { return Ok(request) };
    if rules.rules.openpgp {
        request.openpgp = store.bound(&subject, Scheme::Openpgp)?;
    }
    if rules.rules.smime {
        for record in store.bound(&subject, Scheme::Smime)? {
            request.smime.push(store.known_certificate(record)?);
        }
    }
    if let (true, Some(mailbox)) = (request.openpgp.is_empty(), rules.aliases.get(key))
        && let Some(base) = Subject::address(mailbox)
        && rules.rules.openpgp
    {
        request.alias_of = Some(mailbox);
        request.openpgp = store.bound(&base, Scheme::Openpgp)?;
    }
    if let (Some(row), true) = (row, request.alias_of.is_some() || rules.rules.endorser.is_some()) {
        request.published = rows::certificates(connection, row.id)?;
    }
    for record in &request.openpgp {
        let since = connection
            .prepare_cached("SELECT since FROM ended WHERE name = ?1")?
            .query_row([ended_name(key, &record.fingerprint)], |row| row.get(0))
            .optional()?;
        request.ended.extend(since.map(|since| (record.fingerprint.clone(), since)));
    }
    Ok(request)
}

fn ended_name(key: &str, fingerprint: &str) -> [u8; 32] {
    sha256(format!("{key} {fingerprint}").as_bytes())
}

fn remark(all: &mut Vec<String>, some: &mut Vec<String>) {
    let room = MAX_REMARKS.saturating_sub(all.len());
    all.extend(some.drain(..).take(room));
}

fn count(connection: &Connection) -> Result<usize, PublicationError> {
    let count: i64 = connection.query_row("SELECT count(*) FROM mailbox", [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or_default())
}
