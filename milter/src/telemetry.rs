//! One event type makes both the log line and the metric, so that they cannot disagree.
//!
//! Logging policy: one `info` line per message and outcome; `warn` for what the administrator
//! should look at; `error` for what we failed to do. No subjects and no bodies anywhere; metrics
//! carry neither addresses nor domains, only labels from closed sets.

mod event;
mod metrics;
mod witness;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use discovery::Outcome;
use keydir::Profile;
use policy::Verdict;
use prometheus::{Encoder, Registry, TextEncoder};

pub use self::event::{Event, MessageEvent, Unprotected};
use self::metrics::{CopyMetrics, KeyMetrics, MailMetrics, NotaryMetrics, UpkeepMetrics};
use self::witness::WitnessMetrics;
use crate::relay::metrics::RelayMetrics;

/// Counters, gauges and the log.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    mail: MailMetrics,
    copies: CopyMetrics,
    keys: KeyMetrics,
    notary: NotaryMetrics,
    upkeep: UpkeepMetrics,
    witness: WitnessMetrics,
    /// Those of the relay room.
    pub relay: RelayMetrics,
}

impl Telemetry {
    /// Registers every series and sets it to zero.
    ///
    /// # Errors
    /// A metric name that Prometheus does not allow; a mistake of ours.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        Ok(Self {
            mail: MailMetrics::register(&registry)?,
            copies: CopyMetrics::register(&registry)?,
            keys: KeyMetrics::register(&registry)?,
            notary: NotaryMetrics::register(&registry)?,
            upkeep: UpkeepMetrics::register(&registry)?,
            witness: WitnessMetrics::register(&registry)?,
            relay: RelayMetrics::register(&registry)?,
            registry,
        })
    }

    /// Writes the log line and counts.
    pub fn emit(&self, event: &Event<'_>) {
        match event {
            Event::Message(message) => self.message(message),
            Event::Recipient { id, from, to, reply } => {
                let class = if reply.starts_with('4') { "temporary" } else { "permanent" };
                self.mail.refused.with_label_values(&[class]).inc();
                tracing::info!(
                    "{}: from=<{}>, to=<{}>, verdict=refuse, reply={}",
                    clean(id),
                    clean(from),
                    clean(to),
                    clean(reply)
                );
            }
            Event::Copy { ticket, outcome, reason } => {
                self.copies.attempts.with_label_values(&[outcome]).inc();
                let to: Vec<String> = ticket.recipients.iter().map(|(path, _)| clean(path)).collect();
                tracing::info!(
                    "{}: copy={}, to={}, outcome={outcome}, reason={}",
                    ticket.queue_id,
                    ticket.id,
                    to.join(","),
                    clean(reason)
                );
            }
        }
    }

    fn message(&self, event: &MessageEvent<'_>) {
        let direction = event.direction.name();
        self.mail.messages.with_label_values(&[direction, event.verdict]).inc();
        self.mail.duration.with_label_values(&[direction]).observe(event.took.as_secs_f64());
        let Unprotected { signed, unsigned } = event.unprotected;
        self.mail.unprotected.with_label_values(&["yes"]).inc_by(signed);
        self.mail.unprotected.with_label_values(&["no"]).inc_by(unsigned);
        let mut line = String::with_capacity(256);
        let to: Vec<String> = event.to.iter().map(|to| format!("<{}>", clean(to))).collect();
        let _ = write!(
            line,
            "{}: from=<{}>, to={}, direction={direction}, rule={}, action={}, scheme={}, verdict={}, ms={:.1}",
            clean(event.id),
            clean(event.from),
            to.join(","),
            if event.rules.is_empty() { "-".to_owned() } else { event.rules.join("+") },
            event.action,
            if event.scheme.is_empty() { "-" } else { event.scheme },
            event.verdict,
            event.took.as_secs_f64() * 1e3,
        );
        if let Some(id) = event.message_id {
            let _ = write!(line, ", message-id=<{}>", clean(id));
        }
        if let Some(reason) = event.reason {
            let _ = write!(line, ", reason={}", clean(reason));
        }
        tracing::info!("{line}");
    }

    /// Counts a cryptographic operation of a standard, `openpgp` or `smime`.
    pub fn sealing(&self, scheme: &str, operation: &str, success: bool) {
        let result = if success { "success" } else { "failure" };
        self.keys.sealing.with_label_values(&[scheme, operation, result]).inc();
    }

    /// Counts a look-up in the certificate store.
    pub fn lookup(&self, result: &str) {
        self.keys.lookups.with_label_values(&["store", result]).inc();
    }

    /// Counts a look-up at the sources of strangers' certificates.
    pub fn discovered(&self, outcome: &Outcome) {
        let result = match outcome {
            Outcome::Found(_) => "found",
            Outcome::None { .. } => "none",
            Outcome::Held(_) => "held",
            Outcome::CouldNotTell { given_up: None, .. } => "could_not_tell",
            Outcome::CouldNotTell { given_up: Some(_), .. } => "given_up",
        };
        self.keys.lookups.with_label_values(&["discovery", result]).inc();
    }

    /// Counts a question whether a road can be authenticated.
    pub fn road_lookup(&self, result: &str) {
        self.keys.lookups.with_label_values(&["relay", result]).inc();
    }

    /// The MTA connected.
    pub fn connected(&self) {
        self.mail.connections.inc();
    }

    /// The MTA's connection ended.
    pub fn disconnected(&self) {
        self.mail.connections.dec();
    }

    /// Most connections that the MTA may have.
    pub fn connections_limited(&self, most: usize) {
        self.mail.connections_max.set(count(most));
    }

    /// Number of copies in the spool, and when the oldest of them was made, in unix seconds.
    pub fn spool_waiting(&self, copies: usize, oldest: Option<i64>) {
        self.copies.waiting.set(count(copies));
        self.copies.oldest.set(oldest.unwrap_or_default() as f64);
    }

    /// A record became durable; `seq` is its index, `now` the time in unix seconds.
    pub fn recorded(&self, seq: u64, now: i64) {
        self.notary.entries.inc();
        self.notary.tree.set(i64::try_from(seq).unwrap_or(i64::MAX).saturating_add(1));
        self.notary.written.set(now as f64);
    }

    /// The notary was opened with `size` leaves, the last of them (the begin of this run) written
    /// `now`, in unix seconds.
    pub fn notary_opened(&self, size: u64, now: i64) {
        self.notary.tree.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.notary.written.set(now as f64);
    }

    /// The configuration was read; `now` in unix seconds.
    pub fn reloaded(&self, success: bool, now: i64) {
        self.upkeep.reload_successful.set(i64::from(success));
        if success {
            self.upkeep.reload_timestamp.set(now as f64);
        }
    }

    /// Accounts and certificates agree, or do not for one of [`crate::accounts::REASONS`].
    pub fn accounts_synced(&self, failed: Option<&str>) {
        self.upkeep.accounts_synced(failed);
    }

    /// How many entries of the key log are not ours.
    pub fn key_log_watched(&self, strange: u64) {
        self.upkeep.key_log_strange.set(i64::try_from(strange).unwrap_or(i64::MAX));
    }

    /// When the first of our own certificates of each profile expires, Unix seconds.
    pub fn certificates_expire(&self, expiries: &BTreeMap<Profile, i64>) {
        self.upkeep.certificates_expire(expiries);
    }

    /// A witness that was asked to cosign our key log answered; one of the results of the metric.
    pub fn witness_answered(&self, result: &str) {
        self.witness.asked.with_label_values(&[result]).inc();
    }

    /// The newest checkpoint of our key log has a quorum of cosignatures, the oldest of them of this time in unix
    /// seconds; or it has none.
    pub fn key_log_cosigned(&self, time: Option<i64>) {
        self.witness.quorum.set(i64::from(time.is_some()));
        if let Some(time) = time {
            self.witness.cosigned.set(time as f64);
        }
    }

    /// As a witness we answered with this status.
    pub fn witness_gave(&self, status: u16) {
        self.witness.given.with_label_values(&[&status.to_string()]).inc();
    }

    /// All metrics in the Prometheus text format.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The verdict as log, metric and record name it.
pub fn verdict_name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "continue",
        Verdict::Reject { .. } => "reject",
        Verdict::Tempfail { .. } => "tempfail",
        Verdict::Discard => "discard",
        Verdict::Quarantine { .. } => "quarantine",
    }
}

/// Text from outside for a log line: control characters cannot forge a second line.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use policy::Direction;

    use super::*;

    #[test]
    fn every_series_starts_at_zero_and_carries_help() {
        let text = String::from_utf8(Telemetry::new().unwrap().render().unwrap()).unwrap();
        assert!(
            text.contains("gatepost_milter_messages_total{direction=\"inbound\",verdict=\"tempfail\"} 0")
        );
        assert!(text.contains(
            "gatepost_sealing_operations_total{operation=\"sign\",result=\"success\",scheme=\"openpgp\"} 0"
        ));
        assert!(text.contains("gatepost_build_info{version="));
    }

    #[test]
    fn a_line_end_from_outside_cannot_forge_a_log_line() {
        assert_eq!(clean("a\r\nB: from=<x>"), "a??B: from=<x>");
    }

    #[test]
    fn an_event_counts_what_it_logs() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.emit(&Event::Message(MessageEvent {
            id: "Q1",
            message_id: None,
            from: "a@alpha.example",
            to: vec!["b@beta.example"],
            direction: Direction::Outbound,
            rules: &[],
            action: "pass".to_owned(),
            scheme: "",
            verdict: "continue",
            reason: None,
            unprotected: Unprotected { signed: 0, unsigned: 2 },
            took: Duration::from_millis(2),
        }));
        let text = String::from_utf8(telemetry.render().unwrap()).unwrap();
        assert!(
            text.contains("gatepost_milter_messages_total{direction=\"outbound\",verdict=\"continue\"} 1")
        );
        assert!(text.contains("gatepost_milter_unprotected_recipients_total{signed=\"no\"} 2"));
        assert!(text.contains("gatepost_milter_unprotected_recipients_total{signed=\"yes\"} 0"));
    }
}
