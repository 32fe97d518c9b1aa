//! The daemon looks at the source of accounts again and again.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use program::chain;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::apply::{Desk, Outcome, Step};
use super::config::AccountsConfig;
use super::plan::Plan;
use super::source::Reading;
use super::{AccountsError, check_loss};
use crate::authority::AuthorityRoom;
use crate::config::Config;
use crate::gateway::Gateway;

/// Pause without an `[accounts]` section; a reload may bring one.
const IDLE: Duration = Duration::from_secs(15);
/// Longest time for issuing until the source is looked at again: a revocation must not wait for it.
const SLICE: Duration = Duration::from_secs(20);
/// A source that changed must say the same again after this time: it may be in the middle of being written.
const SETTLE: Duration = Duration::from_secs(1);
/// So often it may change its mind at once.
const TRIES: usize = 5;
/// Seconds after which the certificates are looked at although the source did not change.
const REVIEW: i64 = 600;

/// What is remembered between two looks.
#[derive(Debug, Default)]
struct Memory {
    config: Option<AccountsConfig>,
    /// The source when all was in agreement.
    agreed: Option<Reading>,
    /// When that was, Unix seconds.
    at: i64,
    /// What was said last, so that it is not said every time.
    complaint: Option<String>,
}

/// Looks after accounts until the process ends.
pub async fn watch(gateway: Arc<Gateway>, room: Arc<AuthorityRoom>) {
    let mut memory = Memory::default();
    loop {
        let (here, issuing, mut taken) = (gateway.clone(), room.clone(), std::mem::take(&mut memory));
        let looked = spawn_blocking(move || {
            let again = look(&here, &issuing, &mut taken);
            (again, taken)
        });
        let again = match looked.await {
            Ok((again, kept)) => {
                memory = kept;
                again
            }
            Err(_) => {
                tracing::error!("looking after accounts ended abnormally");
                gateway.telemetry().accounts_synced(Some("authority"));
                false
            }
        };
        if !again {
            pause(&gateway).await;
        }
    }
}

/// Waits until the next look; a reload may make the time shorter.
async fn pause(gateway: &Gateway) {
    let began = Instant::now();
    loop {
        let config = gateway.config();
        let whole = config.accounts.as_ref().and_then(|accounts| accounts.watch).unwrap_or(IDLE);
        let left = whole.saturating_sub(began.elapsed());
        if left.is_zero() {
            return;
        }
        sleep(left.min(IDLE)).await;
    }
}

/// One look; true if there is more to do at once.
fn look(gateway: &Gateway, room: &AuthorityRoom, memory: &mut Memory) -> bool {
    let config = gateway.config();
    let Some(accounts) = config.accounts.as_ref().filter(|accounts| accounts.watch.is_some()) else {
        *memory = Memory::default();
        gateway.telemetry().accounts_synced(None);
        return false;
    };
    if memory.config.as_ref() != Some(accounts) {
        *memory = Memory { config: Some(accounts.clone()), ..Memory::default() };
    }
    match round(gateway, &config, accounts, room, memory) {
        Ok(again) => again,
        Err(AccountsError::Busy) => false,
        Err(error) => {
            gateway.telemetry().accounts_synced(error.reason());
            complain(memory, &chain(&error));
            memory.agreed = None;
            false
        }
    }
}

fn round(
    gateway: &Gateway,
    config: &Config,
    accounts: &AccountsConfig,
    room: &AuthorityRoom,
    memory: &mut Memory,
) -> Result<bool, AccountsError> {
    let desk = Desk { accounts, config, room, clock: &gateway.clock };
    let reading = settled(&desk, memory.agreed.as_ref())?;
    let now = gateway.now();
    if memory.agreed.as_ref() == Some(&reading) && (memory.at..memory.at + REVIEW).contains(&now) {
        return Ok(false);
    }
    let lock = desk.lock()?;
    let plan = desk.plan(&reading.accounts)?;
    check_loss(accounts, &plan)?;
    log(&plan);
    let outcome = desk.carry_out(&plan, Some(Instant::now() + SLICE), &mut |step| log_step(&step))?;
    drop(lock);
    for refused in &outcome.refused {
        tracing::warn!("{} gets no certificate: {}", refused.address, refused.why);
    }
    agree(gateway, memory, reading, now, &outcome);
    Ok(outcome.left > 0)
}

fn agree(gateway: &Gateway, memory: &mut Memory, reading: Reading, now: i64, outcome: &Outcome) {
    let failed = !outcome.refused.is_empty();
    gateway.telemetry().accounts_synced(failed.then_some("authority"));
    if memory.complaint.take().is_some() && !failed {
        tracing::info!("accounts and certificates agree again");
    }
    memory.agreed = (outcome.left == 0).then_some(reading);
    memory.at = now;
}

/// Reads the source until it says the same twice, or what it said when all was in agreement.
fn settled(desk: &Desk<'_>, agreed: Option<&Reading>) -> Result<Reading, AccountsError> {
    let mut last = desk.read()?;
    for _ in 0..TRIES {
        if agreed == Some(&last) {
            return Ok(last);
        }
        thread::sleep(SETTLE);
        let next = desk.read()?;
        if next == last {
            return Ok(next);
        }
        last = next;
    }
    Err(AccountsError::Unsettled)
}

fn complain(memory: &mut Memory, complaint: &str) {
    // Mistakes have a line each; the log has one.
    let complaint = complaint.replace('\n', "; ");
    if memory.complaint.as_ref() != Some(&complaint) {
        tracing::error!("accounts and certificates are not brought into agreement: {complaint}");
        memory.complaint = Some(complaint);
    }
}

fn log(plan: &Plan) {
    if !plan.is_empty() {
        tracing::info!(
            "accounts: {} changed, {} certificates to revoke, {} to issue",
            plan.changes.len(),
            plan.revocations.len(),
            plan.issues.len()
        );
    }
}

fn log_step(step: &Step<'_>) {
    match step {
        Step::Revoked(revocation, ..) => {
            tracing::info!("revoked a certificate of {}: {:?}", revocation.address, revocation.reason);
        }
        Step::Issued(issue, ..) => {
            tracing::info!("issued a certificate ({}) for {}", issue.profile, issue.address)
        }
    }
}
