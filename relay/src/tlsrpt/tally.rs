//! Counting sessions per day, domain and policy.

use std::net::IpAddr;

use rusqlite::OptionalExtension;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::params;

use super::day::Day;
use super::ledger::Ledger;
use super::ledger::LedgerError;
use super::ledger::count;
use super::ledger::list;
use super::ledger::unlist;
use super::report::FailureDetails;
use super::report::PolicyReport;
use super::report::ReportedPolicy;
use super::report::Totals;
use super::session::AppliedPolicy;
use super::session::Failure;
use super::session::Outcome;
use super::session::Session;

/// So many domains are counted on one day; sessions with further ones are not counted.
pub(super) const DOMAINS_MAX: i64 = 50_000;
/// So many policies are told apart for one domain and day; further ones are counted without their text.
pub(super) const POLICIES_MAX: i64 = 32;
/// So many failures are told apart under one policy; further ones are counted by their result type alone.
pub(super) const FAILURES_MAX: i64 = 100;

impl Ledger {
    /// Counts sessions, all or none of them. Returns how many were not counted because there is too much to tell
    /// apart.
    pub(super) fn tally(&mut self, sessions: &[(Day, Session)]) -> Result<u64, LedgerError> {
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut refused = 0;
        for (day, session) in sessions {
            if !has_room(&transaction, *day, &session.domain)? {
                refused += 1;
                continue;
            }
            for outcome in &session.outcomes {
                let row = policy_row(&transaction, *day, &session.domain, &outcome.policy)?;
                add(&transaction, row, outcome)?;
            }
        }
        transaction.commit()?;
        Ok(refused)
    }

    /// What is known of one day and domain, for its report.
    pub(super) fn policies(&self, day: Day, domain: &str) -> Result<Vec<PolicyReport>, LedgerError> {
        let mut statement = self.database.prepare_cached(
            "SELECT id, kind, policy_domain, strings, mx_hosts, succeeded, failed FROM tlsrpt_session
             WHERE day = ?1 AND domain = ?2 ORDER BY kind DESC, policy_domain, strings, mx_hosts",
        )?;
        let rows = statement.query_map(params![day.0, domain], |row| {
            let policy = ReportedPolicy {
                policy_type: row.get(1)?,
                policy_domain: row.get(2)?,
                policy_string: unlist(&row.get::<_, String>(3)?),
                mx_host: unlist(&row.get::<_, String>(4)?),
            };
            let summary = Totals {
                total_successful_session_count: count(row, 5)?,
                total_failure_session_count: count(row, 6)?,
            };
            Ok((row.get::<_, i64>(0)?, PolicyReport { policy, summary, failure_details: Vec::new() }))
        })?;
        let mut policies = Vec::new();
        for row in rows {
            let (id, policy) = row?;
            policies.push(PolicyReport { failure_details: self.failures(id)?, ..policy });
        }
        Ok(policies)
    }

    fn failures(&self, session: i64) -> Result<Vec<FailureDetails>, LedgerError> {
        let mut statement = self.database.prepare_cached(
            "SELECT result, sending_ip, mx, helo, receiving_ip, reason, more, count FROM tlsrpt_session_failure
             WHERE session = ?1 ORDER BY count DESC, result, mx, receiving_ip, sending_ip, helo, reason, more",
        )?;
        let rows = statement.query_map(params![session], |row| {
            Ok(FailureDetails {
                result_type: row.get(0)?,
                sending_mta_ip: known(row.get(1)?),
                receiving_mx_hostname: known(row.get(2)?),
                receiving_mx_helo: known(row.get(3)?),
                receiving_ip: known(row.get(4)?),
                failure_reason_code: known(row.get(5)?),
                additional_information: known(row.get(6)?),
                failed_session_count: count(row, 7)?,
            })
        })?;
        rows.map(|row| row.map_err(LedgerError::from)).collect()
    }

    /// Days before `today` of which something is counted, with their domains, oldest first.
    pub(super) fn complete(&self, today: Day) -> Result<Vec<(Day, String)>, LedgerError> {
        let mut statement = self.database.prepare_cached(
            "SELECT DISTINCT day, domain FROM tlsrpt_session WHERE day < ?1 ORDER BY day, domain",
        )?;
        let rows = statement.query_map(params![today.0], |row| Ok((Day(row.get(0)?), row.get(1)?)))?;
        rows.map(|row| row.map_err(LedgerError::from)).collect()
    }

    /// Forgets what is counted of one day and domain.
    pub(super) fn forget(&mut self, day: Day, domain: &str) -> Result<(), LedgerError> {
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        forget(&transaction, day, domain)?;
        transaction.commit()?;
        Ok(())
    }
}

/// Within a transaction that may do more.
pub(super) fn forget(transaction: &Transaction<'_>, day: Day, domain: &str) -> rusqlite::Result<()> {
    for table in ["tlsrpt_session", "tlsrpt_asked"] {
        let statement = format!("DELETE FROM {table} WHERE day = ?1 AND domain = ?2");
        transaction.prepare_cached(&statement)?.execute(params![day.0, domain])?;
    }
    Ok(())
}

/// Whether the domain is known on that day, or there is room for another. Nothing is counted for a day whose
/// report is built: it would never be told.
fn has_room(transaction: &Transaction<'_>, day: Day, domain: &str) -> rusqlite::Result<bool> {
    let mut built = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM tlsrpt_report WHERE day = ?1 AND domain = ?2)")?;
    if built.query_row(params![day.0, domain], |row| row.get(0))? {
        return Ok(false);
    }
    let mut known = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM tlsrpt_session WHERE day = ?1 AND domain = ?2)")?;
    if known.query_row(params![day.0, domain], |row| row.get(0))? {
        return Ok(true);
    }
    let mut domains =
        transaction.prepare_cached("SELECT count(DISTINCT domain) FROM tlsrpt_session WHERE day = ?1")?;
    Ok(domains.query_row(params![day.0], |row| row.get::<_, i64>(0))? < DOMAINS_MAX)
}

/// The row of a policy. Where there are too many, its kind alone is told apart.
fn policy_row(
    transaction: &Transaction<'_>,
    day: Day,
    domain: &str,
    policy: &AppliedPolicy,
) -> rusqlite::Result<i64> {
    if let Some(row) = find_policy(transaction, day, domain, policy)? {
        return Ok(row);
    }
    let mut policies =
        transaction.prepare_cached("SELECT count(*) FROM tlsrpt_session WHERE day = ?1 AND domain = ?2")?;
    let crowded = policies.query_row(params![day.0, domain], |row| row.get::<_, i64>(0))? >= POLICIES_MAX;
    let bare = AppliedPolicy::bare(policy.kind, domain);
    let policy = if crowded { &bare } else { policy };
    if crowded && let Some(row) = find_policy(transaction, day, domain, policy)? {
        return Ok(row);
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO tlsrpt_session (day, domain, kind, policy_domain, strings, mx_hosts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let AppliedPolicy { kind, domain: policy_domain, strings, mx_hosts } = policy;
    insert.insert(params![day.0, domain, kind.as_str(), policy_domain, list(strings), list(mx_hosts)])
}

fn find_policy(
    transaction: &Transaction<'_>,
    day: Day,
    domain: &str,
    policy: &AppliedPolicy,
) -> rusqlite::Result<Option<i64>> {
    let mut find = transaction.prepare_cached(
        "SELECT id FROM tlsrpt_session WHERE day = ?1 AND domain = ?2 AND kind = ?3 AND policy_domain = ?4
         AND strings = ?5 AND mx_hosts = ?6",
    )?;
    let AppliedPolicy { kind, domain: policy_domain, strings, mx_hosts } = policy;
    find.query_row(
        params![day.0, domain, kind.as_str(), policy_domain, list(strings), list(mx_hosts)],
        |row| row.get(0),
    )
    .optional()
}

/// Counts one outcome under its policy.
fn add(transaction: &Transaction<'_>, row: i64, outcome: &Outcome) -> rusqlite::Result<()> {
    let column = if outcome.succeeded { "succeeded" } else { "failed" };
    let update = format!("UPDATE tlsrpt_session SET {column} = {column} + 1 WHERE id = ?1");
    transaction.prepare_cached(&update)?.execute(params![row])?;
    for failure in &outcome.failures {
        if count_failure(transaction, row, failure)? == 0 {
            add_failure(transaction, row, failure)?;
        }
    }
    Ok(())
}

fn count_failure(transaction: &Transaction<'_>, row: i64, failure: &Failure) -> rusqlite::Result<usize> {
    let mut update = transaction.prepare_cached(
        "UPDATE tlsrpt_session_failure SET count = count + 1 WHERE session = ?1 AND result = ?2
         AND sending_ip = ?3 AND mx = ?4 AND helo = ?5 AND receiving_ip = ?6 AND reason = ?7 AND more = ?8",
    )?;
    let Failure { result, peer, reason, more } = failure;
    update.execute(params![
        row,
        result.as_str(),
        address(peer.sending_ip),
        text(peer.mx.as_ref()),
        text(peer.helo.as_ref()),
        address(peer.receiving_ip),
        text(reason.as_ref()),
        text(more.as_ref())
    ])
}

fn add_failure(transaction: &Transaction<'_>, row: i64, failure: &Failure) -> rusqlite::Result<()> {
    let mut kinds =
        transaction.prepare_cached("SELECT count(*) FROM tlsrpt_session_failure WHERE session = ?1")?;
    let crowded = kinds.query_row(params![row], |found| found.get::<_, i64>(0))? >= FAILURES_MAX;
    let bare = Failure { result: failure.result, peer: Default::default(), reason: None, more: None };
    let failure = if crowded { &bare } else { failure };
    if crowded && count_failure(transaction, row, failure)? > 0 {
        return Ok(());
    }
    let mut insert = transaction
        .prepare_cached("INSERT INTO tlsrpt_session_failure VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1)")?;
    let Failure { result, peer, reason, more } = failure;
    insert.execute(params![
        row,
        result.as_str(),
        address(peer.sending_ip),
        text(peer.mx.as_ref()),
        text(peer.helo.as_ref()),
        address(peer.receiving_ip),
        text(reason.as_ref()),
        text(more.as_ref())
    ])?;
    Ok(())
}

fn address(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

fn text(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
