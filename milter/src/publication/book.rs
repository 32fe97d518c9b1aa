//! The key log as an outsider sees it, held against what this gateway knows to have written.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keydir::{Change, Published, Scheme};
use keylog::keyset::{KeySet, Kind};
use keylog::ledger::{Entered, Ledger, LedgerError, Watched};
use keylog::mailbox::Mailbox;
use program::Exit;
use tlog::key::VerifierKey;

use super::log::{self, Session};
use super::{LogKeys, LogTrouble};

/// What we wrote into the key log.
#[derive(Debug)]
pub(super) struct Book {
    ledger: Mutex<Ledger>,
    /// The log as it is published.
    directory: PathBuf,
    log: VerifierKey,
}

/// Why a change cannot be logged.
#[derive(Debug, thiserror::Error)]
pub enum CommitTrouble {
    /// It could not be entered into the book.
    #[error("it cannot be noted what is about to be logged")]
    Book(#[from] LedgerError),
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] LogTrouble),
}

impl Book {
    /// Opens the book at `path` of the log in `directory`.
    pub(super) fn open(path: &Path, directory: &Path, keys: &LogKeys) -> Result<Self, Exit> {
        let signer = keys
            .signer()
            .map_err(|error| Exit::unavailable("the key of the key log cannot be used", error))?;
        let log = signer.verifier().clone();
        let ledger = Ledger::open(path, directory, &log)
            .map_err(|error| Exit::unavailable(format!("cannot open {}", path.display()), error))?;
        Ok(Self { ledger: Mutex::new(ledger), directory: directory.to_owned(), log })
    }

    /// Notes what is about to be logged.
    pub(super) fn enter(&self, session: &mut Session<'_>, changes: &[Change]) -> Result<(), CommitTrouble> {
        let mut all = Vec::with_capacity(changes.len());
        for change in changes {
            // What is no mailbox, or has too many certificates, is refused by the log itself.
            let Ok(mailbox) = log::mailbox(&change.mailbox) else { continue };
            let keys = key_set(&change.certificates);
            // What has not changed is an entry only if the log does not say it, or cannot open what it says.
            let appends = match change.old == change.new {
                true => Some(session.says(&mailbox)?.as_ref() != Some(&keys)),
                false => None,
            };
            all.push((
                session.keys().vrf.label(&mailbox),
                mailbox,
                keys,
                names(&change.certificates),
                appends,
            ));
        }
        let all: Vec<Entered<'_>> = all
            .iter()
            .map(|(label, mailbox, keys, names, appends)| Entered {
                mailbox,
                label: *label,
                keys,
                names,
                appends: *appends,
            })
            .collect();
        Ok(self.ledger().enter(&all)?)
    }

    /// The mailboxes that were logged with certificates, by the names under which they are published.
    pub(super) fn mailboxes(&self) -> Result<Vec<String>, LedgerError> {
        Ok(self.ledger().mailboxes()?.iter().map(|mailbox| log::published(mailbox)).collect())
    }

    /// Notes that a mailbox is about to be erased.
    pub(super) fn enter_erasure(&self, keys: &LogKeys, mailbox: &Mailbox) -> Result<(), LedgerError> {
        self.ledger().enter_erasure(&keys.vrf.label(mailbox))
    }

    /// Reads what is new in the log.
    pub(super) fn watch(&self) -> Result<Watched, LedgerError> {
        self.ledger().watch(&self.directory, &self.log)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // SQLite rolls back: a panic elsewhere leaves no half state.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_set(certificates: &[Published]) -> KeySet {
    let mut set = KeySet::new();
    for published in certificates {
        let kind = match published.scheme {
            Scheme::Openpgp => Kind::OpenPgp,
            Scheme::Smime => Kind::Smime,
        };
        // One too many is refused by the log.
        set.add(kind, &published.bytes);
    }
    set
}

/// What a user recognises keys by: primary keys and S/MIME certificates, not the subkeys that come and go.
fn names(certificates: &[Published]) -> String {
    let name = |published: &Published| {
        let scheme = match published.scheme {
            Scheme::Openpgp => "OpenPGP",
            Scheme::Smime => "S/MIME",
        };
        let revoked = if published.revoked { " (revoked)" } else { "" };
        format!("{scheme} {}{revoked}", published.fingerprint)
    };
    let mut names: Vec<String> = certificates.iter().map(name).collect();
    names.sort();
    names.dedup();
    names.join("\n")
}
