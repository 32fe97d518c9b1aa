//! Accounts and certificates: who has an account has a certificate, and who has none any more has none either.
//!
//! A source of truth is read ([`source`]) and compared with what the local authority issued ([`plan`], pure). What
//! is to be done is written down ([`state`]) before it is done ([`apply`]), so that the next run completes what a
//! crash left. A source that cannot be read changes nothing, and one that suddenly loses many accounts stops and
//! asks.

pub mod apply;
pub mod config;
pub mod file;
pub mod ldap;
pub mod plan;
pub mod postfix;
pub mod source;
pub mod state;
pub mod watch;

use std::collections::BTreeMap;
use std::path::Path;

use crate::authority::RoomError;
use crate::config::Config;

use self::config::{AccountsConfig, Source};
use self::plan::Plan;
use self::source::{Account, Gathering, Reading, SourceError};
use self::state::StateError;

/// The accounts of a source by their address in lower case.
pub type Accounts = BTreeMap<String, Account>;

/// Why accounts and certificates could not be brought into agreement.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// Issuing, revoking or publishing failed.
    #[error("the local authority could not do what the accounts need")]
    Authority(#[from] RoomError),
    /// Another process is at it.
    #[error("another synchronisation is under way")]
    Busy,
    /// The source lost too many accounts.
    #[error(
        "{lost} of {active} accounts would lose their certificates, more than max_loss = \"{max}%\" allows: nothing \
         was changed. If that is right, run `gatepost accounts sync --accept-loss`"
    )]
    Loss {
        /// Accounts whose certificates would be revoked.
        lost: usize,
        /// Accounts that had certificates.
        active: usize,
        /// The share allowed, percent.
        max: u8,
    },
    /// The source cannot be read or used.
    #[error("the source of accounts changes nothing")]
    Source(#[from] SourceError),
    /// Our own notes.
    #[error("what is known about accounts cannot be read or written")]
    State(#[from] StateError),
    /// The source says something else each time.
    #[error("the source of accounts does not come to rest: nothing was changed")]
    Unsettled,
}

impl AccountsError {
    /// One of [`REASONS`]; `None` if nothing is wrong.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Busy => None,
            Self::Loss { .. } => Some("loss"),
            Self::Source(_) | Self::Unsettled => Some("source"),
            Self::Authority(_) | Self::State(_) => Some("authority"),
        }
    }
}

/// Why the last synchronisation failed, as the metric says it.
pub const REASONS: [&str; 3] = ["authority", "loss", "source"];

/// Reads the source. Blocking: files, postmap or an LDAP server.
///
/// # Errors
/// It cannot be read completely, or says something that cannot be meant.
pub fn read(accounts: &AccountsConfig, config: &Config) -> Result<Reading, SourceError> {
    let mut gathering = Gathering::new(&config.gateway.domains, accounts.domain.as_deref());
    match &accounts.source {
        Source::File(path) => file::read(path, &mut gathering)?,
        Source::Text(path) => postfix::read_text(path, &mut gathering)?,
        Source::Map(map) => postfix::read_map(map, &mut gathering)?,
        Source::Ldap(directory) => ldap::read(directory, &mut gathering)?,
    }
    gathering.finish(&accounts.source.to_string())
}

/// Stops at a plan that loses more accounts than the configuration allows.
///
/// # Errors
/// [`AccountsError::Loss`].
pub fn check_loss(accounts: &AccountsConfig, plan: &Plan) -> Result<(), AccountsError> {
    if plan.loses_more_than(accounts.max_loss) {
        return Err(AccountsError::Loss { lost: plan.lost, active: plan.active, max: accounts.max_loss });
    }
    Ok(())
}

/// Where the notes about accounts lie.
fn notes(state: &Path) -> std::path::PathBuf {
    state.join("accounts.json")
}
