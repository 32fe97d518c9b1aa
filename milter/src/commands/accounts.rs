//! `gatepost accounts`: certificates for those who have an account, and for nobody else.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use net::Clock;
use program::{Exit, chain, output};
use serde::Serialize;

use crate::accounts::apply::{Desk, Outcome, Step};
use crate::accounts::plan::{Certified, Plan, What};
use crate::accounts::source::SourceError;
use crate::accounts::state::Stage;
use crate::accounts::{AccountsError, check_loss};
use crate::authority::{AuthorityRoom, RoomError};
use crate::commands::cli::Accounts;
use crate::config::Config;
use crate::rooms;

/// Time for issuing before the source is read again: a revocation must not wait for thousands of keys.
const SLICE: Duration = Duration::from_secs(20);
/// Longest time to wait for another synchronisation; the daemon pauses after each of its slices.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether the other one is done.
const LOOK: Duration = Duration::from_millis(100);
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(2);

/// Runs a command on accounts.
///
/// # Errors
/// What went wrong, with the fix.
pub fn run(config: &Config, command: Accounts) -> Result<(), Exit> {
    let accounts = config.accounts.as_ref().ok_or_else(|| {
        Exit::config(
            "there is no [accounts] section: write one with `source = \"file:/etc/gatepost/accounts\"`",
        )
    })?;
    let keys = Arc::new(rooms::open_keys(config, rooms::telemetry()?)?);
    let room = AuthorityRoom::open(&config.gateway.state, keys)
        .map_err(|error| Exit::unavailable("cannot open the local authority", error))?;
    let desk = Desk { accounts, config, room: &room, clock: &Clock::system() };
    match command {
        Accounts::Plan { json } | Accounts::Sync { dry_run: true, json, .. } => plan(&desk, json),
        Accounts::Sync { dry_run: false, accept_loss, json } => sync(&desk, accept_loss, json),
        Accounts::List { json } => list(&desk, json),
    }
}

/// A plan as programs read it.
#[derive(Debug, Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    /// It loses more accounts than `max_loss` allows.
    stops: bool,
    skipped: &'a [String],
}

fn plan(desk: &Desk<'_>, json: bool) -> Result<(), Exit> {
    let reading = desk.read().map_err(|error| failed(&error.into()))?;
    let plan = desk.plan(&reading.accounts).map_err(|error| failed(&error))?;
    let stops = check_loss(desk.accounts, &plan);
    if json {
        return output::json(&Told { plan: &plan, stops: stops.is_err(), skipped: &reading.skipped });
    }
    show(&plan, &reading.skipped)?;
    match stops {
        Ok(()) => Ok(()),
        Err(error) => output::line(&format!("`sync` would stop: {}", chain(&error))),
    }
}

fn show(plan: &Plan, skipped: &[String]) -> Result<(), Exit> {
    for skipped in skipped {
        output::line(&format!("left out  {skipped}"))?;
    }
    for change in &plan.changes {
        let what = match &change.what {
            What::Complete => "complete".to_owned(),
            What::Create => "create".to_owned(),
            What::Disable => "disable".to_owned(),
            What::Enable => "enable".to_owned(),
            What::Rekey => "new keys, the old ones are compromised".to_owned(),
            What::Remove => "remove".to_owned(),
            What::Rename { from } => format!("rename from {from}"),
            What::Replace => "belongs to another account now".to_owned(),
        };
        output::line(&format!("{}: {what}", change.address))?;
    }
    for (fingerprint, revocation) in &plan.revocations {
        let reason = serde_json::to_value(revocation.reason).unwrap_or_default();
        let reason = reason.as_str().unwrap_or_default().to_owned();
        output::line(&format!("revoke  {}  {fingerprint}  {reason}", revocation.address))?;
    }
    for issue in &plan.issues {
        output::line(&format!("issue   {}  {}", issue.address, issue.profile))?;
    }
    if plan.is_empty() {
        output::line("accounts and certificates agree")?;
    }
    Ok(())
}

fn sync(desk: &Desk<'_>, accept_loss: bool, json: bool) -> Result<(), Exit> {
    let (mut total, mut accepted) = (Outcome::default(), accept_loss);
    loop {
        let lock = patiently(desk).map_err(|error| failed(&error))?;
        let reading = desk.read().map_err(|error| failed(&error.into()))?;
        let plan = desk.plan(&reading.accounts).map_err(|error| failed(&error))?;
        if let Err(error) = check_loss(desk.accounts, &plan)
            && !accepted
            && !asked(&plan, &error)?
        {
            return Err(failed(&error));
        }
        // What was allowed is this loss, not one that comes later.
        accepted = false;
        let mut progress = Progress::default();
        let until = Some(Instant::now() + SLICE);
        let done =
            desk.carry_out(&plan, until, &mut |step| progress.tell(&step)).map_err(|error| failed(&error))?;
        drop(lock);
        total.revoked += done.revoked;
        total.issued += done.issued;
        total.refused = done.refused;
        if done.left == 0 || done.issued == 0 {
            total.left = done.left;
            break;
        }
    }
    match json {
        true => output::json(&total)?,
        false => output::line(&format!("{} certificates revoked, {} issued", total.revoked, total.issued))?,
    }
    if total.refused.is_empty() && total.left == 0 {
        return Ok(());
    }
    let told: Vec<String> =
        total.refused.iter().map(|refused| format!("{}: {}", refused.address, refused.why)).collect();
    Err(Exit { code: 65, message: format!("some accounts have no certificate:\n{}", told.join("\n")) })
}

/// Waits for another synchronisation, but not for ever.
fn patiently(desk: &Desk<'_>) -> Result<File, AccountsError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match desk.lock() {
            Err(AccountsError::Busy) if Instant::now() < until => thread::sleep(LOOK),
            other => return other,
        }
    }
}

/// Asks the administrator, if there is one at the terminal.
fn asked(plan: &Plan, error: &AccountsError) -> Result<bool, Exit> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    show(plan, &[])?;
    let cannot = |error| Exit::input("cannot ask", error);
    let mut out = io::stderr();
    write!(out, "{error}\nGo on all the same? [y/N] ").and_then(|()| out.flush()).map_err(cannot)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(cannot)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Tells on standard error how far it is, now and then.
#[derive(Debug, Default)]
struct Progress {
    last: Option<Instant>,
}

impl Progress {
    fn tell(&mut self, step: &Step<'_>) {
        let now = Instant::now();
        let last = *self.last.get_or_insert(now);
        if now.duration_since(last) < PROGRESS {
            return;
        }
        self.last = Some(now);
        let (done, count, all) = match step {
            Step::Revoked(_, count, all) => ("revoked", count, all),
            Step::Issued(_, count, all) => ("issued", count, all),
        };
        // Nobody misses it if it cannot be told.
        let _ = writeln!(io::stderr(), "{done} {count} of {all}");
    }
}

/// An account and what it has.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    address: &'a str,
    id: Option<&'a str>,
    stage: Stage,
    compromised: bool,
    certificates: Vec<Has<'a>>,
}

#[derive(Debug, Serialize)]
struct Has<'a> {
    fingerprint: &'a str,
    profile: keydir::Profile,
    not_after: i64,
}

fn list(desk: &Desk<'_>, json: bool) -> Result<(), Exit> {
    let state = desk.state().map_err(|error| failed(&error))?;
    let certificates = desk.certificates(&state).map_err(|error| failed(&error))?;
    let now = desk.clock.now();
    let mut by_address = std::collections::HashMap::<&str, Vec<&Certified>>::new();
    for certificate in certificates.iter().filter(|certificate| certificate.is_live(now)) {
        by_address.entry(&certificate.address).or_default().push(certificate);
    }
    let has = |address: &str| {
        let all = by_address.get(address).into_iter().flatten();
        all.map(|c| Has { fingerprint: &c.fingerprint, profile: c.profile, not_after: c.not_after }).collect()
    };
    let listed = state.accounts.iter().map(|(address, known)| Listed {
        address,
        id: known.id.as_deref(),
        stage: known.stage,
        compromised: known.compromised,
        certificates: has(address),
    });
    if json {
        return output::json(&listed.collect::<Vec<_>>());
    }
    for account in listed {
        let stage = match account.stage {
            Stage::Active => "active",
            Stage::Disabled => "disabled",
            Stage::Gone => "gone",
        };
        output::line(&format!("{}  {stage}", account.address))?;
        for has in account.certificates {
            let until = crate::notice::date(has.not_after);
            output::line(&format!("    {}  {}  until {until}", has.fingerprint, has.profile))?;
        }
    }
    Ok(())
}

fn failed(error: &AccountsError) -> Exit {
    let code = match error {
        AccountsError::Authority(RoomError::Authority(keydir::AuthorityError::NoAuthority)) => {
            let message = "there is no local authority yet: make one with `gatepost ca init`".to_owned();
            return Exit { code: 66, message };
        }
        AccountsError::Busy | AccountsError::Unsettled => 75,
        AccountsError::Loss { .. } => 77,
        AccountsError::Source(SourceError::Mistakes { .. } | SourceError::Malformed(_)) => 65,
        AccountsError::Source(SourceError::Unreadable { .. }) => 66,
        AccountsError::Source(SourceError::Directory { .. })
        | AccountsError::Authority(_)
        | AccountsError::State(_) => 69,
    };
    Exit { code, message: chain(error) }
}
