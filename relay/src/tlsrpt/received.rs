//! Keeps what others tell us about the roads to our domains.

use rusqlite::Transaction;
use rusqlite::TransactionBehavior;
use rusqlite::params;

use super::intake;
use super::ledger::Ledger;
use super::ledger::LedgerError;
use super::report::FailureDetails;
use super::report::PolicyReport;
use super::report::Report;
use super::session::clip;

/// Reports are kept for so many seconds: 400 days.
const KEPT: i64 = 400 * 86_400;
/// So many reports are kept; the oldest make room.
const REPORTS_MAX: i64 = 50_000;
/// So many policies of one report are kept, and so many failures of one policy.
const ROWS_MAX: usize = 200;
/// Larger counts are nonsense; with this bound the sum over all rows there can be still fits.
const COUNT_MAX: u64 = 100_000_000_000;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was not known before.
    New,
    /// The same submitter sent one of this id before; nothing is counted twice.
    Known,
}

impl Ledger {
    /// Keeps a report. Texts are cut and control characters taken out: they are a stranger's.
    ///
    /// # Errors
    /// The table cannot be written.
    pub fn receive(&mut self, report: &Report, arrived: i64) -> Result<Kept, LedgerError> {
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction
            .prepare_cached("DELETE FROM tlsrpt_received WHERE arrived < ?1")?
            .execute(params![arrived.saturating_sub(KEPT)])?;
        transaction
            .prepare_cached(
                "DELETE FROM tlsrpt_received WHERE id <= (SELECT max(id) FROM tlsrpt_received) - ?1",
            )?
            .execute(params![REPORTS_MAX])?;
        let kept = insert(&transaction, report, arrived)?;
        transaction.commit()?;
        Ok(kept)
    }
}

fn insert(transaction: &Transaction<'_>, report: &Report, arrived: i64) -> rusqlite::Result<Kept> {
    let submitter = intake::submitter(report).unwrap_or_else(|| clip(&report.organization_name));
    let new = transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO tlsrpt_received
             (submitter, report_id, organization, contact, began, ended, arrived) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            submitter,
            clip(&report.report_id),
            clip(&report.organization_name),
            clip(&report.contact_info),
            report.date_range.start_datetime,
            report.date_range.end_datetime,
            arrived
        ])?;
    if new == 0 {
        return Ok(Kept::Known);
    }
    let row = transaction.last_insert_rowid();
    for policy in report.policies.iter().take(ROWS_MAX) {
        insert_policy(transaction, row, policy)?;
    }
    Ok(Kept::New)
}

fn insert_policy(transaction: &Transaction<'_>, report: i64, told: &PolicyReport) -> rusqlite::Result<()> {
    let PolicyReport { policy, summary, failure_details } = told;
    let row = transaction
        .prepare_cached(
            "INSERT INTO tlsrpt_received_policy (report, kind, policy_domain, succeeded, failed)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .insert(params![
            report,
            clip(&policy.policy_type),
            clip(&policy.policy_domain).to_ascii_lowercase(),
            bounded(summary.total_successful_session_count),
            bounded(summary.total_failure_session_count)
        ])?;
    let mut failure = transaction
        .prepare_cached("INSERT INTO tlsrpt_received_failure VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    let text = |text: &Option<String>| text.as_deref().map(clip).unwrap_or_default();
    for details in failure_details.iter().take(ROWS_MAX) {
        let FailureDetails { result_type, receiving_mx_hostname: mx, sending_mta_ip, receiving_ip, .. } =
            details;
        failure.execute(params![
            row,
            clip(result_type),
            text(mx).trim_end_matches('.').to_ascii_lowercase(),
            text(sending_mta_ip),
            text(receiving_ip),
            text(&details.failure_reason_code),
            text(&details.additional_information),
            bounded(details.failed_session_count)
        ])?;
    }
    Ok(())
}

/// A count for SQLite, which has no unsigned numbers.
fn bounded(count: u64) -> i64 {
    count.min(COUNT_MAX).cast_signed()
}
