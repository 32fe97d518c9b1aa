//! Cosignatures that we get and give.

use prometheus::{Gauge, IntCounterVec, IntGauge, Registry, Result};

use super::metrics::{counters, gauge, timestamp};

const RESULTS: [&str; 7] =
    ["cosigned", "unreachable", "refused", "invalid", "contradicted", "rolled_back", "unreadable"];
const STATUSES: [&str; 7] = ["200", "400", "403", "404", "409", "422", "503"];

/// Cosignatures of the key logs: of ours by others, of others' by us.
#[derive(Debug)]
pub(super) struct WitnessMetrics {
    pub(super) asked: IntCounterVec,
    pub(super) quorum: IntGauge,
    pub(super) cosigned: Gauge,
    pub(super) given: IntCounterVec,
}

impl WitnessMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let name = "gatepost_key_log_cosignatures_total";
        let asked =
            counters(registry, name, "Witnesses asked to cosign our key log, by result.", &["result"])?;
        for result in RESULTS {
            asked.with_label_values(&[result]);
        }
        let name = "gatepost_key_log_quorum";
        let quorum = gauge(registry, name, "1 if a quorum cosigned the newest checkpoint of our key log.")?;
        let name = "gatepost_key_log_cosigned_timestamp_seconds";
        let help = "Time of the oldest cosignature of the last checkpoint that had a quorum; 0 before there was one.";
        let cosigned = timestamp(registry, name, help)?;
        let name = "gatepost_witness_answers_total";
        let help = "What we answered as a witness of partners' key logs, by HTTP status.";
        let given = counters(registry, name, help, &["status"])?;
        for status in STATUSES {
            given.with_label_values(&[status]);
        }
        Ok(Self { asked, quorum, cosigned, given })
    }
}
