//! What others tell us, in one page for people.

use std::fmt;

use rusqlite::params;

use super::day::Day;
use super::ledger::Ledger;
use super::ledger::LedgerError;
use super::ledger::count;

/// So many kinds of failures are shown for one policy domain.
const FAILURES_SHOWN: i64 = 20;

/// Received reports about some days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The first day.
    pub since: Day,
    /// Reports.
    pub reports: u64,
    /// Who sent them.
    pub submitters: u64,
    /// By policy domain and kind, those with most failures first.
    pub trends: Vec<Trend>,
}

/// One policy domain of ours as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trend {
    /// The policy domain.
    pub policy_domain: String,
    /// `tlsa`, `sts`, `no-policy-found`, or what the reporter wrote.
    pub kind: String,
    /// Sessions as policy demands.
    pub succeeded: u64,
    /// Sessions that failed.
    pub failed: u64,
    /// What failed, most frequent first.
    pub failures: Vec<Cause>,
}

/// Failures of one kind at one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The result type, as the reporters wrote it.
    pub result: String,
    /// The MX host, if told.
    pub mx: String,
    /// Sessions.
    pub count: u64,
    /// How many reporters saw it.
    pub submitters: u64,
    /// One of the reasons given.
    pub reason: String,
}

impl Ledger {
    /// Received reports that are about `since` or later days.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn summary(&self, since: Day) -> Result<Summary, LedgerError> {
        let (reports, submitters) = self.database.query_row(
            "SELECT count(*), count(DISTINCT submitter) FROM tlsrpt_received WHERE ended >= ?1",
            params![since.start()],
            |row| Ok((count(row, 0)?, count(row, 1)?)),
        )?;
        let mut statement = self.database.prepare_cached(
            "SELECT policy_domain, kind, sum(succeeded), sum(failed)
             FROM tlsrpt_received_policy JOIN tlsrpt_received ON report = tlsrpt_received.id
             WHERE ended >= ?1 GROUP BY policy_domain, kind ORDER BY sum(failed) DESC, policy_domain, kind",
        )?;
        let rows = statement.query_map(params![since.start()], |row| {
            Ok(Trend {
                policy_domain: row.get(0)?,
                kind: row.get(1)?,
                succeeded: count(row, 2)?,
                failed: count(row, 3)?,
                failures: Vec::new(),
            })
        })?;
        let mut trends = Vec::new();
        for row in rows {
            let trend = row?;
            let failures = self.causes(since, &trend)?;
            trends.push(Trend { failures, ..trend });
        }
        Ok(Summary { since, reports, submitters, trends })
    }

    fn causes(&self, since: Day, trend: &Trend) -> Result<Vec<Cause>, LedgerError> {
        let mut statement = self.database.prepare_cached(
            "SELECT result, mx, sum(count), count(DISTINCT submitter), max(reason)
             FROM tlsrpt_received_failure
             JOIN tlsrpt_received_policy ON policy = tlsrpt_received_policy.id
             JOIN tlsrpt_received ON report = tlsrpt_received.id
             WHERE ended >= ?1 AND policy_domain = ?2 AND kind = ?3
             GROUP BY result, mx ORDER BY sum(count) DESC, result, mx LIMIT ?4",
        )?;
        let rows = statement.query_map(
            params![since.start(), trend.policy_domain, trend.kind, FAILURES_SHOWN],
            |row| {
                Ok(Cause {
                    result: row.get(0)?,
                    mx: row.get(1)?,
                    count: count(row, 2)?,
                    submitters: count(row, 3)?,
                    reason: row.get(4)?,
                })
            },
        )?;
        rows.map(|row| row.map_err(LedgerError::from)).collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, reports, submitters, trends } = self;
        writeln!(f, "{reports} reports of {submitters} senders about {since} and later")?;
        for Trend { policy_domain, kind, succeeded, failed, failures } in trends {
            writeln!(
                f,
                "\n{policy_domain} ({kind}): {succeeded} sessions as policy demands, {failed} failed"
            )?;
            for Cause { result, mx, count, submitters, reason } in failures {
                let place = if mx.is_empty() { String::new() } else { format!(" at {mx}") };
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                writeln!(f, "  {count:>8}  {result}{place}, told by {submitters}{why}")?;
            }
        }
        Ok(())
    }
}
