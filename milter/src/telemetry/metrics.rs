//! The metrics by what they are about. Every series is there from the start, at zero, and all labels are from closed
//! sets.

use std::collections::BTreeMap;

use keydir::Profile;
use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    Result,
};

use crate::accounts;

const DIRECTIONS: [&str; 3] = ["inbound", "outbound", "internal"];
const VERDICTS: [&str; 6] = ["continue", "reject", "tempfail", "discard", "quarantine", "reinjected"];
const OPERATIONS: [&str; 5] = ["encrypt", "sign", "sign+encrypt", "decrypt", "verify"];
const RESULTS: [&str; 2] = ["success", "failure"];
const LOOKUP_RESULTS: [&str; 3] = ["found", "none", "could_not_tell"];
const DISCOVERY_RESULTS: [&str; 5] = ["found", "none", "held", "could_not_tell", "given_up"];
const COPY_OUTCOMES: [&str; 4] = ["taken", "later", "refused", "kept"];
const DURATIONS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 300.0];

/// Messages and the connections on which they come.
#[derive(Debug)]
pub(super) struct MailMetrics {
    pub(super) messages: IntCounterVec,
    pub(super) duration: HistogramVec,
    pub(super) refused: IntCounterVec,
    pub(super) unprotected: IntCounterVec,
    pub(super) connections: IntGauge,
    pub(super) connections_max: IntGauge,
}

impl MailMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let name = "gatepost_milter_message_duration_seconds";
        let duration = HistogramOpts::new(name, "Time from end of message to the answer.");
        let duration = HistogramVec::new(duration.buckets(DURATIONS.to_vec()), &["direction"])?;
        registry.register(Box::new(duration.clone()))?;
        let (name, help) = ("gatepost_milter_messages_total", "Messages answered, by direction and verdict.");
        let messages = counters(registry, name, help, &["direction", "verdict"])?;
        let name = "gatepost_milter_recipients_refused_total";
        let refused =
            counters(registry, name, "Recipients refused at RCPT, by class of the reply.", &["class"])?;
        let name = "gatepost_milter_unprotected_recipients_total";
        let help = "Recipients elsewhere to whom mail left neither encrypted nor over an authenticated road, because \
                    policy allows it; by whether we signed it.";
        let unprotected = counters(registry, name, help, &["signed"])?;
        for direction in DIRECTIONS {
            for verdict in VERDICTS {
                messages.with_label_values(&[direction, verdict]);
            }
            duration.with_label_values(&[direction]);
        }
        for class in ["temporary", "permanent"] {
            refused.with_label_values(&[class]);
        }
        for signed in ["yes", "no"] {
            unprotected.with_label_values(&[signed]);
        }
        let connections = gauge(registry, "gatepost_milter_connections", "Open connections from the MTA.")?;
        let (name, help) =
            ("gatepost_milter_connections_max", "Most connections that the MTA may have open.");
        let connections_max = gauge(registry, name, help)?;
        Ok(Self { messages, duration, refused, unprotected, connections, connections_max })
    }
}

/// Copies on their way back into the MTA.
#[derive(Debug)]
pub(super) struct CopyMetrics {
    pub(super) attempts: IntCounterVec,
    pub(super) waiting: IntGauge,
    pub(super) oldest: Gauge,
}

impl CopyMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let (name, help) = ("gatepost_milter_copies_total", "Attempts to re-inject a copy, by outcome.");
        let attempts = counters(registry, name, help, &["outcome"])?;
        for outcome in COPY_OUTCOMES {
            attempts.with_label_values(&[outcome]);
        }
        let waiting = gauge(registry, "gatepost_milter_copies_waiting", "Copies in the spool.")?;
        let name = "gatepost_milter_copies_oldest_timestamp_seconds";
        let oldest =
            timestamp(registry, name, "When the oldest copy in the spool was made; 0 when there is none.")?;
        Ok(Self { attempts, waiting, oldest })
    }
}

/// What is done with keys.
#[derive(Debug)]
pub(super) struct KeyMetrics {
    pub(super) sealing: IntCounterVec,
    pub(super) lookups: IntCounterVec,
}

impl KeyMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let (name, help) = ("gatepost_sealing_operations_total", "Cryptographic operations on messages.");
        let sealing = counters(registry, name, help, &["scheme", "operation", "result"])?;
        for scheme in ["openpgp", "smime"] {
            for operation in OPERATIONS {
                for result in RESULTS {
                    sealing.with_label_values(&[scheme, operation, result]);
                }
            }
        }
        let (name, help) =
            ("gatepost_keydir_lookups_total", "Look-ups of certificates, by source and result.");
        let lookups = counters(registry, name, help, &["source", "result"])?;
        for source in ["store", "relay"] {
            for result in LOOKUP_RESULTS {
                lookups.with_label_values(&[source, result]);
            }
        }
        for result in DISCOVERY_RESULTS {
            lookups.with_label_values(&["discovery", result]);
        }
        Ok(Self { sealing, lookups })
    }
}

/// The notary's log.
#[derive(Debug)]
pub(super) struct NotaryMetrics {
    pub(super) entries: IntCounter,
    pub(super) tree: IntGauge,
    pub(super) written: Gauge,
}

impl NotaryMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let entries = IntCounter::new("gatepost_notary_entries_total", "Records made durable.")?;
        registry.register(Box::new(entries.clone()))?;
        let tree = gauge(registry, "gatepost_notary_tree_size", "Leaves in the notary's log.")?;
        let name = "gatepost_notary_last_entry_timestamp_seconds";
        let written = timestamp(registry, name, "When the last record became durable.")?;
        Ok(Self { entries, tree, written })
    }
}

/// What the daemon looks after by itself: configuration, accounts, certificates; and its version.
#[derive(Debug)]
pub(super) struct UpkeepMetrics {
    pub(super) reload_successful: IntGauge,
    pub(super) reload_timestamp: Gauge,
    accounts_failed: IntGaugeVec,
    certificate_expiry: IntGaugeVec,
    pub(super) key_log_strange: IntGauge,
}

impl UpkeepMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let info = Opts::new("gatepost_build_info", "The running version; always 1.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        let info = IntGauge::with_opts(info)?;
        registry.register(Box::new(info.clone()))?;
        info.set(1);
        let name = "gatepost_config_last_reload_successful";
        let reload_successful =
            gauge(registry, name, "1 if the last reading of the configuration succeeded.")?;
        let name = "gatepost_config_last_reload_timestamp_seconds";
        let reload_timestamp =
            timestamp(registry, name, "When the configuration was last read successfully.")?;
        let name = "gatepost_accounts_sync_failed";
        let help = "1 if accounts and certificates could not be brought into agreement, by reason.";
        let accounts_failed = gauges(registry, name, help, "reason")?;
        let name = "gatepost_certificate_expiry_timestamp_seconds";
        let help = "When the first of our own certificates in use expires, by profile; 0 when there is none.";
        let certificate_expiry = gauges(registry, name, help, "profile")?;
        let name = "gatepost_key_log_strange";
        let key_log_strange =
            gauge(registry, name, "What the key log holds and this gateway did not write.")?;
        let this = Self {
            reload_successful,
            reload_timestamp,
            accounts_failed,
            certificate_expiry,
            key_log_strange,
        };
        this.accounts_synced(None);
        this.certificates_expire(&BTreeMap::new());
        Ok(this)
    }

    pub(super) fn accounts_synced(&self, failed: Option<&str>) {
        for reason in accounts::REASONS {
            self.accounts_failed.with_label_values(&[reason]).set(i64::from(failed == Some(reason)));
        }
    }

    pub(super) fn certificates_expire(&self, expiries: &BTreeMap<Profile, i64>) {
        for profile in Profile::ALL {
            let until = expiries.get(profile).copied().unwrap_or_default();
            self.certificate_expiry.with_label_values(&[profile.as_str()]).set(until);
        }
    }
}

pub(super) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn gauges(registry: &Registry, name: &str, help: &str, label: &str) -> Result<IntGaugeVec> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), &[label])?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

pub(super) fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

pub(super) fn timestamp(registry: &Registry, name: &str, help: &str) -> Result<Gauge> {
    let gauge = Gauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}
