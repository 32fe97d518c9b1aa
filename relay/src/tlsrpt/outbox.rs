//! Reports that are built, and how far each got to each of its destinations.

use std::fmt;

use rusqlite::OptionalExtension;
use rusqlite::TransactionBehavior;
use rusqlite::params;

use super::day::Day;
use super::ledger::Ledger;
use super::ledger::LedgerError;
use super::tally;

/// "a sender SHOULD attempt redelivery for up to 24 hours after the initial attempt" (RFC 8460 section 5.5).
pub(super) const RETRY_FOR: i64 = 86_400;
/// The first pause after a failure; each further one is twice as long ("exponential backoff", the same).
const PAUSE: i64 = 900;
/// Pauses double at most so often.
const DOUBLINGS_MAX: u32 = 7;
/// Reports are shown for so many days.
const SHOWN_DAYS: i64 = 14;
/// Counts without a report are dropped after so many days.
const COUNTED_DAYS: i64 = 4;

/// How far a report got to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not accepted in 24 hours.
    GivenUp,
    /// Accepted: by the local MTA, or by the HTTPS server.
    Sent,
    /// To be tried, again perhaps.
    Waiting,
}

/// A report and one of its destinations, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The day the report is about.
    pub day: Day,
    /// The domain the report is about.
    pub domain: String,
    /// Its id.
    pub report_id: String,
    /// The destination, a URI.
    pub rua: String,
    /// How far it got.
    pub state: State,
    /// Attempts so far.
    pub tries: u32,
    /// What the last attempt ended with.
    pub remark: String,
}

/// A report that is built.
pub(super) struct Built<'a> {
    pub(super) day: Day,
    pub(super) domain: &'a str,
    pub(super) report_id: &'a str,
    pub(super) file_name: &'a str,
    pub(super) packed: &'a [u8],
    /// Destination, and what goes there.
    pub(super) letters: Vec<(String, Vec<u8>)>,
}

/// One attempt that may be made now.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) id: i64,
    pub(super) rua: String,
    pub(super) content: Vec<u8>,
}

impl Ledger {
    /// When the domain may be asked where it wants the report of that day, if it was asked in vain before.
    pub(super) fn ask_at(&self, day: Day, domain: &str) -> Result<Option<i64>, LedgerError> {
        let mut asked =
            self.database.prepare_cached("SELECT next FROM tlsrpt_asked WHERE day = ?1 AND domain = ?2")?;
        Ok(asked.query_row(params![day.0, domain], |row| row.get(0)).optional()?)
    }

    /// The domain was asked in vain.
    pub(super) fn asked_in_vain(&mut self, day: Day, domain: &str, now: i64) -> Result<(), LedgerError> {
        let mut tries =
            self.database.prepare_cached("SELECT tries FROM tlsrpt_asked WHERE day = ?1 AND domain = ?2")?;
        let tries: u32 = tries.query_row(params![day.0, domain], |row| row.get(0)).optional()?.unwrap_or(0);
        let mut put =
            self.database.prepare_cached("INSERT OR REPLACE INTO tlsrpt_asked VALUES (?1, ?2, ?3, ?4)")?;
        put.execute(params![day.0, domain, now.saturating_add(pause(tries)), tries.saturating_add(1)])?;
        Ok(())
    }

    /// Puts a report into the outbox in place of what it was built from. A second one for the same day and
    /// domain is not taken.
    pub(super) fn post(&mut self, built: &Built<'_>, now: i64) -> Result<(), LedgerError> {
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Built { day, domain, report_id, file_name, packed, letters } = built;
        let new = transaction.execute(
            "INSERT OR IGNORE INTO tlsrpt_report VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![report_id, day.0, domain, now, file_name, packed],
        )?;
        if new > 0 {
            let mut put = transaction.prepare_cached(
                "INSERT OR IGNORE INTO tlsrpt_delivery (report, rua, content, state, next)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for (rua, content) in letters {
                put.execute(params![report_id, rua, content, State::Waiting.as_str(), now])?;
            }
        }
        tally::forget(&transaction, *day, domain)?;
        transaction.commit()?;
        Ok(())
    }

    /// Deliveries that are due.
    pub(super) fn due(&self, now: i64) -> Result<Vec<i64>, LedgerError> {
        let mut due = self.database.prepare_cached(
            "SELECT id FROM tlsrpt_delivery WHERE state = ?1 AND next <= ?2 ORDER BY next, id",
        )?;
        let rows = due.query_map(params![State::Waiting.as_str(), now], |row| row.get(0))?;
        rows.map(|row| row.map_err(LedgerError::from)).collect()
    }

    /// Claims a delivery for one attempt: nobody else can before the pause is over, and if this process dies, it
    /// is tried again after it. Nothing if somebody else has it.
    pub(super) fn claim(&mut self, id: i64, now: i64) -> Result<Option<Attempt>, LedgerError> {
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: Option<(u32, Attempt)> = transaction
            .prepare_cached(
                "SELECT tries, rua, content FROM tlsrpt_delivery WHERE id = ?1 AND state = ?2 AND next <= ?3",
            )?
            .query_row(params![id, State::Waiting.as_str(), now], |row| {
                Ok((row.get(0)?, Attempt { id, rua: row.get(1)?, content: row.get(2)? }))
            })
            .optional()?;
        let Some((tries, attempt)) = found else { return Ok(None) };
        transaction
            .prepare_cached(
                "UPDATE tlsrpt_delivery SET tries = tries + 1, first = ifnull(first, ?2), next = ?3 WHERE id = ?1",
            )?
            .execute(params![id, now, now.saturating_add(pause(tries))])?;
        transaction.commit()?;
        Ok(Some(attempt))
    }

    /// The attempt succeeded.
    pub(super) fn sent(&mut self, id: i64) -> Result<(), LedgerError> {
        let mut settle = self.database.prepare_cached(
            "UPDATE tlsrpt_delivery SET state = ?2, remark = '', content = x'' WHERE id = ?1",
        )?;
        settle.execute(params![id, State::Sent.as_str()])?;
        Ok(())
    }

    /// The attempt failed. Returns whether there will be another.
    pub(super) fn failed(&mut self, id: i64, remark: &str) -> Result<bool, LedgerError> {
        let mut settle = self.database.prepare_cached(
            "UPDATE tlsrpt_delivery SET remark = ?2, state = CASE WHEN next > first + ?3 THEN ?4 ELSE state END
             WHERE id = ?1 RETURNING state",
        )?;
        let state: String =
            settle.query_row(params![id, remark, RETRY_FOR, State::GivenUp.as_str()], |row| row.get(0))?;
        Ok(State::read(&state) == State::Waiting)
    }

    /// Reports of the last days and their destinations, newest first.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn outbox(&self) -> Result<Vec<Pending>, LedgerError> {
        let mut all = self.database.prepare_cached(
            "SELECT day, domain, tlsrpt_report.id, rua, state, tries, remark
             FROM tlsrpt_report JOIN tlsrpt_delivery ON report = tlsrpt_report.id
             ORDER BY day DESC, domain, rua",
        )?;
        let rows = all.query_map([], |row| {
            Ok(Pending {
                day: Day(row.get(0)?),
                domain: row.get(1)?,
                report_id: row.get(2)?,
                rua: row.get(3)?,
                state: State::read(&row.get::<_, String>(4)?),
                tries: row.get(5)?,
                remark: row.get(6)?,
            })
        })?;
        rows.map(|row| row.map_err(LedgerError::from)).collect()
    }

    /// Drops what is too old to be told or shown.
    pub(super) fn prune(&mut self, now: i64) -> Result<(), LedgerError> {
        let today = Day::of(now);
        for (table, days) in
            [("tlsrpt_session", COUNTED_DAYS), ("tlsrpt_asked", COUNTED_DAYS), ("tlsrpt_report", SHOWN_DAYS)]
        {
            let statement = format!("DELETE FROM {table} WHERE day < ?1");
            self.database.prepare_cached(&statement)?.execute(params![today.before(days).0])?;
        }
        Ok(())
    }
}

/// The pause after so many failures before.
fn pause(tries: u32) -> i64 {
    PAUSE << tries.min(DOUBLINGS_MAX)
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::GivenUp => "given up",
            Self::Sent => "sent",
            Self::Waiting => "waiting",
        }
    }

    fn read(text: &str) -> Self {
        match text {
            "given up" => Self::GivenUp,
            "sent" => Self::Sent,
            _ => Self::Waiting,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
