//! One event type makes both the log line and the metric, so that they cannot disagree.
//!
//! Logging policy: one `info` line per message and outcome; `warn` for what the administrator
//! should look at; `error` for what we failed to do. No subjects and no bodies anywhere; metrics
//! carry neither addresses nor domains, only labels from closed sets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use keydir::Profile;
use policy::{Direction, Verdict};
use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::accounts;
use crate::relay::metrics::RelayMetrics;
use crate::spool::Ticket;

/// Something worth a log line and a count.
#[derive(Debug)]
pub enum Event<'e> {
    /// A message got its answer.
    Message(MessageEvent<'e>),
    /// A recipient was refused at RCPT.
    Recipient {
        /// Queue id or `NOQUEUE`.
        id: &'e str,
        /// Reverse-path.
        from: &'e str,
        /// The recipient.
        to: &'e str,
        /// The reply, e.g. `550 5.7.1 …`.
        reply: &'e str,
    },
    /// A copy was submitted, deferred, refused or kept.
    Copy {
        /// The copy.
        ticket: &'e Ticket,
        /// `taken`, `later`, `refused` or `kept`.
        outcome: &'e str,
        /// The MTA's reply or our error.
        reason: &'e str,
    },
}

/// What the line and the counters of one message say.
#[derive(Debug)]
pub struct MessageEvent<'e> {
    /// Queue id or `NOQUEUE`.
    pub id: &'e str,
    /// Message-ID, if the message has one.
    pub message_id: Option<&'e str>,
    /// Reverse-path.
    pub from: &'e str,
    /// Recipients.
    pub to: Vec<&'e str>,
    /// Direction of the message as a whole.
    pub direction: Direction,
    /// Ids of the rules that fired.
    pub rules: &'e [String],
    /// What was done, e.g. `sign+encrypt`, `open`, `pass`; one word per group.
    pub action: String,
    /// `openpgp`, or empty when nothing was sealed or opened.
    pub scheme: &'e str,
    /// The verdict given to the MTA.
    pub verdict: &'e str,
    /// Reply text when it was refused.
    pub reason: Option<&'e str>,
    /// Time the gateway took at end of message.
    pub took: Duration,
}

impl<'e> Event<'e> {
    /// What became of a copy.
    pub fn copy(ticket: &'e Ticket, outcome: &'e str, reason: &'e str) -> Self {
        Self::Copy { ticket, outcome, reason }
    }
}

/// Counters, gauges and the log.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    messages: IntCounterVec,
    duration: HistogramVec,
    connections: IntGauge,
    recipients_refused: IntCounterVec,
    sealing: IntCounterVec,
    lookups: IntCounterVec,
    copies: IntCounterVec,
    copies_waiting: IntGauge,
    notary_entries: IntCounter,
    notary_tree: IntGauge,
    notary_written: Gauge,
    reload_successful: IntGauge,
    reload_timestamp: Gauge,
    accounts_failed: IntGaugeVec,
    certificate_expiry: IntGaugeVec,
    /// Those of the relay room.
    pub relay: RelayMetrics,
}

const DIRECTIONS: [&str; 3] = ["inbound", "outbound", "internal"];
const VERDICTS: [&str; 6] = ["continue", "reject", "tempfail", "discard", "quarantine", "reinjected"];
const OPERATIONS: [&str; 5] = ["encrypt", "sign", "sign+encrypt", "decrypt", "verify"];
const RESULTS: [&str; 2] = ["success", "failure"];
const LOOKUP_RESULTS: [&str; 3] = ["found", "none", "could_not_tell"];
const COPY_OUTCOMES: [&str; 4] = ["taken", "later", "refused", "kept"];
const DURATIONS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 300.0];

impl Telemetry {
    /// Registers every series and sets it to zero.
    ///
    /// # Errors
    /// A metric name that Prometheus does not allow; a mistake of ours.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let timestamp = |name: &str, help: &str| -> prometheus::Result<Gauge> {
            let gauge = Gauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "gatepost_milter_message_duration_seconds",
                "Time from end of message to the answer.",
            )
            .buckets(DURATIONS.to_vec()),
            &["direction"],
        )?;
        registry.register(Box::new(duration.clone()))?;
        let notary_entries = IntCounter::new("gatepost_notary_entries_total", "Records made durable.")?;
        registry.register(Box::new(notary_entries.clone()))?;
        let accounts_failed = IntGaugeVec::new(
            Opts::new(
                "gatepost_accounts_sync_failed",
                "1 if accounts and certificates could not be brought into agreement, by reason.",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(accounts_failed.clone()))?;
        let certificate_expiry = IntGaugeVec::new(
            Opts::new(
                "gatepost_certificate_expiry_timestamp_seconds",
                "When the first of our own certificates in use expires, by profile; 0 when there is none.",
            ),
            &["profile"],
        )?;
        registry.register(Box::new(certificate_expiry.clone()))?;
        let info = Opts::new("gatepost_build_info", "The running version; always 1.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let info = IntGauge::with_opts(info)?;
        registry.register(Box::new(info.clone()))?;
        info.set(1);
        let this = Self {
            messages: counters(
                "gatepost_milter_messages_total",
                "Messages answered, by direction and verdict.",
                &["direction", "verdict"],
            )?,
            duration,
            connections: gauge("gatepost_milter_connections", "Open connections from the MTA.")?,
            recipients_refused: counters(
                "gatepost_milter_recipients_refused_total",
                "Recipients refused at RCPT, by class of the reply.",
                &["class"],
            )?,
            sealing: counters(
                "gatepost_sealing_operations_total",
                "Cryptographic operations on messages.",
                &["scheme", "operation", "result"],
            )?,
            lookups: counters(
                "gatepost_keydir_lookups_total",
                "Look-ups of certificates, by source and result.",
                &["source", "result"],
            )?,
            copies: counters(
                "gatepost_milter_copies_total",
                "Attempts to re-inject a copy, by outcome.",
                &["outcome"],
            )?,
            copies_waiting: gauge("gatepost_milter_copies_waiting", "Copies in the spool.")?,
            notary_entries,
            notary_tree: gauge("gatepost_notary_tree_size", "Leaves in the notary's log.")?,
            notary_written: timestamp(
                "gatepost_notary_last_entry_timestamp_seconds",
                "When the last record became durable.",
            )?,
            reload_successful: gauge(
                "gatepost_config_last_reload_successful",
                "1 if the last reading of the configuration succeeded.",
            )?,
            reload_timestamp: timestamp(
                "gatepost_config_last_reload_timestamp_seconds",
                "When the configuration was last read successfully.",
            )?,
            accounts_failed,
            certificate_expiry,
            relay: RelayMetrics::register(&registry)?,
            registry,
        };
        this.start_at_zero();
        Ok(this)
    }

    fn start_at_zero(&self) {
        self.certificates_expire(&BTreeMap::new());
        for direction in DIRECTIONS {
            for verdict in VERDICTS {
                self.messages.with_label_values(&[direction, verdict]);
            }
            self.duration.with_label_values(&[direction]);
        }
        for class in ["temporary", "permanent"] {
            self.recipients_refused.with_label_values(&[class]);
        }
        for scheme in ["openpgp", "smime"] {
            for operation in OPERATIONS {
                for result in RESULTS {
                    self.sealing.with_label_values(&[scheme, operation, result]);
                }
            }
        }
        for result in LOOKUP_RESULTS {
            self.lookups.with_label_values(&["store", result]);
            self.lookups.with_label_values(&["relay", result]);
        }
        for outcome in COPY_OUTCOMES {
            self.copies.with_label_values(&[outcome]);
        }
        self.accounts_synced(None);
    }

    /// Writes the log line and counts.
    pub fn emit(&self, event: &Event<'_>) {
        match event {
            Event::Message(message) => self.message(message),
            Event::Recipient { id, from, to, reply } => {
                let class = if reply.starts_with('4') { "temporary" } else { "permanent" };
                self.recipients_refused.with_label_values(&[class]).inc();
                tracing::info!(
                    "{}: from=<{}>, to=<{}>, verdict=refuse, reply={}",
                    clean(id),
                    clean(from),
                    clean(to),
                    clean(reply)
                );
            }
            Event::Copy { ticket, outcome, reason } => {
                self.copies.with_label_values(&[outcome]).inc();
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
        self.messages.with_label_values(&[direction, event.verdict]).inc();
        self.duration.with_label_values(&[direction]).observe(event.took.as_secs_f64());
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
        self.sealing.with_label_values(&[scheme, operation, result]).inc();
    }

    /// Counts a look-up in the certificate store.
    pub fn lookup(&self, result: &str) {
        self.lookups.with_label_values(&["store", result]).inc();
    }

    /// Counts a question whether a road can be authenticated.
    pub fn road_lookup(&self, result: &str) {
        self.lookups.with_label_values(&["relay", result]).inc();
    }

    /// The MTA connected.
    pub fn connected(&self) {
        self.connections.inc();
    }

    /// The MTA's connection ended.
    pub fn disconnected(&self) {
        self.connections.dec();
    }

    /// Number of copies in the spool.
    pub fn spool_waiting(&self, copies: usize) {
        self.copies_waiting.set(i64::try_from(copies).unwrap_or(i64::MAX));
    }

    /// A record became durable; `seq` is its index, `now` the time in unix seconds.
    pub fn recorded(&self, seq: u64, now: i64) {
        self.notary_entries.inc();
        self.notary_tree.set(i64::try_from(seq).unwrap_or(i64::MAX).saturating_add(1));
        self.notary_written.set(now as f64);
    }

    /// The notary was opened with `size` leaves, the last of them (the begin of this run) written
    /// `now`, in unix seconds.
    pub fn notary_opened(&self, size: u64, now: i64) {
        self.notary_tree.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.notary_written.set(now as f64);
    }

    /// The configuration was read; `now` in unix seconds.
    pub fn reloaded(&self, success: bool, now: i64) {
        self.reload_successful.set(i64::from(success));
        if success {
            self.reload_timestamp.set(now as f64);
        }
    }

    /// Accounts and certificates agree, or do not for one of [`accounts::REASONS`].
    pub fn accounts_synced(&self, failed: Option<&str>) {
        for reason in accounts::REASONS {
            self.accounts_failed.with_label_values(&[reason]).set(i64::from(failed == Some(reason)));
        }
    }

    /// When the first of our own certificates of each profile expires, Unix seconds.
    pub fn certificates_expire(&self, expiries: &BTreeMap<Profile, i64>) {
        for profile in Profile::ALL {
            let until = expiries.get(profile).copied().unwrap_or_default();
            self.certificate_expiry.with_label_values(&[profile.as_str()]).set(until);
        }
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
            took: Duration::from_millis(2),
        }));
        let text = String::from_utf8(telemetry.render().unwrap()).unwrap();
        assert!(
            text.contains("gatepost_milter_messages_total{direction=\"outbound\",verdict=\"continue\"} 1")
        );
    }
}
