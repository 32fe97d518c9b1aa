//! What the writer of a log knows to have written, kept where nobody else can write, and held against the log as
//! everybody sees it: the directory with the static files, and nothing of the writer's memory.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::params;
use thiserror::Error;
use tlog::checkpoint::Checkpoint;
use tlog::checkpoint::SignedCheckpoint;
use tlog::key::VerifierKey;
use tlog::note::Note;
use tlog::tiles::Directory;
use tlog::tiles::Reader;
use tlog::tiles::TilesError;

use crate::Label;
use crate::entry::Entry;
use crate::entry::State;
use crate::entry::Update;
use crate::keyset::KeySet;
use crate::mailbox::Mailbox;
use crate::proof::End;
use crate::reader::LogReader;
use crate::reader::ReadError;

const SCHEMA: &str = "
    -- One row for each label. entries: how many it has in the log by our account. state: 'keys' with the newest set in
    -- keys, 'erased', or 'adopted' where only the log knows. names and told are for people.
    CREATE TABLE IF NOT EXISTS made (label BLOB PRIMARY KEY, entries INTEGER NOT NULL, state TEXT NOT NULL,
        keys BLOB, mailbox TEXT, names TEXT, told TEXT) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS seen (id INTEGER PRIMARY KEY CHECK (id = 1), checkpoint TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS strange (what TEXT PRIMARY KEY) STRICT;";

/// The book of a log's writer.
#[derive(Debug)]
pub struct Ledger(Connection);

/// A key set that is about to be logged.
#[derive(Clone, Copy, Debug)]
pub struct Entered<'a> {
    /// Whose.
    pub mailbox: &'a Mailbox,
    /// Its label.
    pub label: Label,
    /// The set.
    pub keys: &'a KeySet,
    /// What people should hear of when it changes, in one text; for example fingerprints.
    pub names: &'a str,
    /// Whether the log will make an entry of it, if that is known; else it will when the set is another one than the
    /// newest that was entered.
    pub appends: Option<bool>,
}

/// A change of a mailbox that we made, and that stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnChange {
    /// Whose.
    pub mailbox: String,
    /// The names before; empty if there were none.
    pub before: String,
    /// The names now.
    pub names: String,
}

/// What one look at the log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// What is ours and whose names changed.
    pub changes: Vec<OwnChange>,
    /// What is not ours and was not known before, in words: an alarm.
    pub strange: Vec<String>,
    /// How much was ever found that is not ours.
    pub strange_in_all: u64,
}

/// Why the log cannot be watched.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The book.
    #[error("the book of the key log cannot be used")]
    Book(#[from] rusqlite::Error),
    /// Its file.
    #[error("the book of the key log cannot be made")]
    File(#[source] io::Error),
    /// The log's files.
    #[error("the key log cannot be read")]
    Log(#[source] io::Error),
    /// The log's index.
    #[error("the index of the key log cannot be read")]
    Index(#[from] ReadError),
    /// The tiles.
    #[error("the tiles of the key log cannot be read")]
    Tiles(#[from] TilesError),
}

impl Ledger {
    /// Opens the book of the log in `directory`, or begins one (mode 0600). A new book for a log that has entries
    /// adopts what the log says; watching begins there.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(path: &Path, directory: &Path, log: &VerifierKey) -> Result<Self, LedgerError> {
        let made = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(LedgerError::File)?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.execute_batch("PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF;")?;
        connection.execute_batch(SCHEMA)?;
        let mut ledger = Self(connection);
        if ledger.seen()?.is_none() {
            ledger.adopt(directory, log)?;
        }
        Ok(ledger)
    }

    /// Enters what is about to be logged; to be called before. What is the newest set already adds nothing, as in the
    /// log itself.
    ///
    /// # Errors
    /// The book cannot be written: then nothing may be logged.
    pub fn enter(&mut self, all: &[Entered<'_>]) -> Result<(), LedgerError> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for entered in all {
            let row = row(&transaction, &entered.label)?;
            let keys = entered.keys.to_bytes();
            let same =
                row.as_ref().is_some_and(|row| row.state == "keys" && row.keys.as_ref() == Some(&keys));
            let appends = entered.appends.unwrap_or(!same);
            let entries = row.as_ref().map_or(0, |row| row.entries) + u32::from(appends);
            // Whose names nobody knew is not told that they changed.
            let told = match &row {
                Some(row) if row.names.is_none() && row.state == "adopted" => entered.names.to_owned(),
                Some(row) => row.told.clone().unwrap_or_default(),
                None => String::new(),
            };
            transaction
                .prepare_cached("INSERT OR REPLACE INTO made VALUES (?1, ?2, 'keys', ?3, ?4, ?5, ?6)")?
                .execute(params![
                    entered.label.0.as_slice(),
                    entries,
                    keys,
                    entered.mailbox.as_str(),
                    entered.names,
                    told
                ])?;
        }
        Ok(transaction.commit()?)
    }

    /// The mailboxes of which the newest set that was entered is not empty.
    ///
    /// # Errors
    /// The book cannot be read.
    pub fn mailboxes(&self) -> Result<Vec<String>, LedgerError> {
        let empty = KeySet::new().to_bytes();
        let mut statement = self.0.prepare(
            "SELECT mailbox FROM made WHERE state = 'keys' AND mailbox IS NOT NULL AND keys <> ?1",
        )?;
        let rows = statement.query_map([empty], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Enters that a mailbox is about to be erased, and forgets whose label it is.
    ///
    /// # Errors
    /// The book cannot be written.
    pub fn enter_erasure(&mut self, label: &Label) -> Result<(), LedgerError> {
        self.0.execute(
            "UPDATE made SET entries = entries + (state <> 'erased'), state = 'erased', keys = NULL, mailbox = NULL,
                 names = NULL, told = NULL WHERE label = ?1",
            [label.0.as_slice()],
        )?;
        Ok(())
    }

    /// Looks at the log as it is published: reads every entry since the last look, and holds it against the book.
    /// What is found is found once.
    ///
    /// # Errors
    /// [`LedgerError`]: it cannot be told now.
    pub fn watch(&mut self, directory: &Path, log: &VerifierKey) -> Result<Watched, LedgerError> {
        let seen = self.seen()?.flatten();
        let strange = match published(directory, log)? {
            Published::Nothing if seen.is_none() => return self.watched(Vec::new(), Vec::new()),
            Published::Nothing => vec!["the key log is gone".to_owned()],
            Published::Foreign(why) => vec![format!("the checkpoint of the key log is not ours: {why}")],
            Published::Ours(signed) if seen.as_ref() == Some(signed.checkpoint()) => Vec::new(),
            Published::Ours(signed) => return self.compare(directory, seen.as_ref(), &signed),
        };
        self.watched(Vec::new(), strange)
    }

    fn compare(
        &mut self,
        directory: &Path,
        seen: Option<&Checkpoint>,
        signed: &SignedCheckpoint,
    ) -> Result<Watched, LedgerError> {
        let reader = Reader::open(Directory::new(directory), signed.checkpoint())?;
        let from = match seen {
            Some(seen) if seen.size() > reader.size() || !reader.continues(seen)? => {
                let why = format!("the key log contradicts its own checkpoint of {} entries", seen.size());
                return self.watched(Vec::new(), vec![why]);
            }
            Some(seen) => seen.size(),
            None => 0,
        };
        let index = LogReader::open(directory)?;
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut changes, mut strange) = (Vec::new(), Vec::new());
        reader.for_each(from..reader.size(), |number, bytes| {
            match Entry::from_bytes(bytes) {
                Some(Entry::Root(_)) => {}
                Some(Entry::Update(update)) => match judge(&transaction, &index, &update)? {
                    Ok(change) => changes.extend(change),
                    Err(why) => {
                        strange.push(format!("entry {number} of the key log (label {}): {why}", update.label))
                    }
                },
                None => strange.push(format!("entry {number} of the key log is none")),
            }
            Ok::<(), LedgerError>(())
        })?;
        see(&transaction, signed.note().to_string().as_str())?;
        transaction.commit()?;
        self.watched(changes, strange)
    }

    /// Keeps what is strange, and leaves out what was found before.
    fn watched(&mut self, changes: Vec<OwnChange>, found: Vec<String>) -> Result<Watched, LedgerError> {
        let mut strange = Vec::new();
        for what in found {
            if self.0.execute("INSERT OR IGNORE INTO strange VALUES (?1)", [&what])? > 0 {
                strange.push(what);
            }
        }
        let in_all: i64 = self.0.query_row("SELECT count(*) FROM strange", [], |row| row.get(0))?;
        Ok(Watched { changes, strange, strange_in_all: in_all.unsigned_abs() })
    }

    /// The last checkpoint that was looked at; inside nothing if the log had not begun; nothing for a new book.
    fn seen(&self) -> Result<Option<Option<Checkpoint>>, LedgerError> {
        let text: Option<String> =
            self.0.query_row("SELECT checkpoint FROM seen", [], |row| row.get(0)).optional()?;
        let parse = |text: String| {
            let note = Note::parse(text.as_bytes()).ok()?;
            Checkpoint::parse(note.text()).ok()
        };
        Ok(text.map(parse))
    }

    fn adopt(&mut self, directory: &Path, log: &VerifierKey) -> Result<(), LedgerError> {
        let signed = match published(directory, log)? {
            Published::Ours(signed) => Some(signed),
            // The first look says so.
            Published::Nothing | Published::Foreign(_) => None,
        };
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(signed) = &signed {
            let reader = Reader::open(Directory::new(directory), signed.checkpoint())?;
            reader.for_each(0..reader.size(), |_, bytes| {
                if let Some(Entry::Update(update)) = Entry::from_bytes(bytes) {
                    let state = if update.state == State::Erased { "erased" } else { "adopted" };
                    transaction
                        .prepare_cached(
                            "INSERT OR REPLACE INTO made VALUES (?1, ?2, ?3, NULL, NULL, NULL, NULL)",
                        )?
                        .execute(params![update.label.0.as_slice(), update.sequence, state])?;
                }
                Ok::<(), LedgerError>(())
            })?;
        }
        see(&transaction, signed.map(|signed| signed.note().to_string()).unwrap_or_default().as_str())?;
        Ok(transaction.commit()?)
    }
}

/// A row of the book.
struct Row {
    entries: u32,
    state: String,
    keys: Option<Vec<u8>>,
    mailbox: Option<String>,
    names: Option<String>,
    told: Option<String>,
}

fn row(transaction: &Transaction<'_>, label: &Label) -> Result<Option<Row>, rusqlite::Error> {
    const SQL: &str = "SELECT entries, state, keys, mailbox, names, told FROM made WHERE label = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Row {
            entries: row.get(0)?,
            state: row.get(1)?,
            keys: row.get(2)?,
            mailbox: row.get(3)?,
            names: row.get(4)?,
            told: row.get(5)?,
        })
    };
    transaction.prepare_cached(SQL)?.query_row([label.0.as_slice()], read).optional()
}

fn see(transaction: &Transaction<'_>, checkpoint: &str) -> Result<(), rusqlite::Error> {
    transaction.execute("INSERT OR REPLACE INTO seen VALUES (1, ?1)", [checkpoint])?;
    Ok(())
}

/// Whether an entry is ours; if it is the newest of its label, with what people should hear of. Else why it is not.
fn judge(
    transaction: &Transaction<'_>,
    index: &LogReader,
    update: &Update,
) -> Result<Result<Option<OwnChange>, String>, LedgerError> {
    let Some(row) = row(transaction, &update.label)? else {
        return Ok(Err("we have never published anything under this label".to_owned()));
    };
    if update.sequence > row.entries {
        // Counted from now on, so that the next one of ours is no news.
        transaction.execute(
            "UPDATE made SET entries = ?2 WHERE label = ?1",
            params![update.label.0.as_slice(), update.sequence],
        )?;
        let whose = row.mailbox.unwrap_or_else(|| "a mailbox that was erased or adopted".to_owned());
        return Ok(Err(format!("a change of {whose} that we did not make")));
    }
    if update.sequence < row.entries || row.state == "adopted" {
        return Ok(Ok(None));
    }
    if let Some(why) = contradiction(index, update, &row)? {
        return Ok(Err(why));
    }
    let (Some(mailbox), Some(names)) = (row.mailbox, row.names) else { return Ok(Ok(None)) };
    let before = row.told.unwrap_or_default();
    if before == names {
        return Ok(Ok(None));
    }
    transaction.execute("UPDATE made SET told = names WHERE label = ?1", [update.label.0.as_slice()])?;
    Ok(Ok(Some(OwnChange { mailbox, before, names })))
}

/// What the newest entry of a label says that the book does not.
fn contradiction(index: &LogReader, update: &Update, row: &Row) -> Result<Option<String>, LedgerError> {
    let whose = row.mailbox.clone().unwrap_or_else(|| "an erased mailbox".to_owned());
    let commitment = match (&update.state, row.state.as_str()) {
        (State::Erased, "erased") => return Ok(None),
        (State::Keys(commitment), "keys") => commitment,
        _ => return Ok(Some(format!("an entry of {whose} of another kind than ours"))),
    };
    let proof = index.prove(&update.label, None)?;
    let End::Present { newest, .. } = &proof.end else {
        return Ok(Some(format!("the index does not know {whose}")));
    };
    if newest.sequence > update.sequence {
        // It has gone on meanwhile; the next look judges that.
        return Ok(None);
    }
    let opened =
        proof.opening.filter(|opening| newest == update && opening.commitment(&update.label) == *commitment);
    Ok(match opened {
        None => Some(format!("an entry of {whose} that we cannot open")),
        Some(opening) if Some(opening.keys.to_bytes()) != row.keys => {
            Some(format!("other keys of {whose} than those that we published"))
        }
        Some(_) => None,
    })
}

/// What is published.
enum Published {
    Nothing,
    Foreign(String),
    Ours(SignedCheckpoint),
}

fn published(directory: &Path, log: &VerifierKey) -> Result<Published, LedgerError> {
    let bytes = match fs::read(directory.join("checkpoint")) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Published::Nothing),
        Err(error) => return Err(LedgerError::Log(error)),
    };
    Ok(match SignedCheckpoint::open(&bytes, log) {
        Ok(signed) => Published::Ours(signed),
        Err(error) => Published::Foreign(error.to_string()),
    })
}

#[cfg(test)]
mod tests;
