//! Metrics of the relay room: by kind of policy, road and outcome, never by domain.

use std::time::Duration;

use ::relay::delivery::{Outcome, Report};
use ::relay::socketmap::Answer;
use ::relay::tls::{Matched, SessionFailure};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// First words of answers of the policy server.
const POLICIES: [&str; 9] =
    ["dane", "dane-only", "encrypt", "may", "none", "not-found", "permanent", "secure", "temporary"];
const ROADS: [&str; 5] = ["cleartext", "dane", "no-road", "sts", "unauthenticated"];
const OUTCOMES: [&str; 3] = ["deferred", "delivered", "refused"];
const FAILURES: [(SessionFailure, &str); 5] = [
    (SessionFailure::StarttlsNotSupported, "starttls-not-supported"),
    (SessionFailure::CertificateHostMismatch, "certificate-host-mismatch"),
    (SessionFailure::CertificateExpired, "certificate-expired"),
    (SessionFailure::CertificateNotTrusted, "certificate-not-trusted"),
    (SessionFailure::ValidationFailure, "validation-failure"),
];
const REPORT_OUTCOMES: [&str; 2] = ["failed", "sent"];
const DURATIONS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0];

/// Counters and gauges; present, at zero, also where no relay is configured.
#[derive(Debug)]
pub struct RelayMetrics {
    enabled: IntGauge,
    validating: IntGauge,
    routes: IntGauge,
    policies: IntCounterVec,
    deliveries: IntCounterVec,
    duration: HistogramVec,
    failures: IntCounterVec,
    reports: IntCounterVec,
}

impl RelayMetrics {
    /// Registers every series and sets it to zero.
    ///
    /// # Errors
    /// A metric name that Prometheus does not allow; a mistake of ours.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
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
        let duration = HistogramOpts::new(
            "gatepost_relay_delivery_duration_seconds",
            "Time from the end of a message to the last word of its domain's hosts.",
        );
        let duration = HistogramVec::new(duration.buckets(DURATIONS.to_vec()), &["outcome"])?;
        registry.register(Box::new(duration.clone()))?;
        let this = Self {
            enabled: gauge("gatepost_relay_enabled", "1 if this process has a relay room.")?,
            validating: gauge(
                "gatepost_relay_resolver_validating",
                "1 if the resolver validated DNSSEC when it was last probed; without it every answer is temporary.",
            )?,
            routes: gauge("gatepost_relay_routes", "Decisions about next-hops that are kept.")?,
            policies: counters(
                "gatepost_relay_policies_total",
                "Answers of the policy server, by policy.",
                &["policy"],
            )?,
            deliveries: counters(
                "gatepost_relay_deliveries_total",
                "Recipients answered by the synchronous relay, by road and outcome.",
                &["road", "outcome"],
            )?,
            duration,
            failures: counters(
                "gatepost_relay_tls_failures_total",
                "Connections of the synchronous relay on which TLS did not come about as the road asks.",
                &["failure"],
            )?,
            reports: counters(
                "gatepost_relay_tls_reports_total",
                "Attempts to send a TLS report, by outcome.",
                &["outcome"],
            )?,
        };
        this.start_at_zero();
        Ok(this)
    }

    fn start_at_zero(&self) {
        for policy in POLICIES {
            self.policies.with_label_values(&[policy]);
        }
        for outcome in OUTCOMES {
            for road in ROADS {
                self.deliveries.with_label_values(&[road, outcome]);
            }
            self.duration.with_label_values(&[outcome]);
        }
        for (_, failure) in FAILURES {
            self.failures.with_label_values(&[failure]);
        }
        for outcome in REPORT_OUTCOMES {
            self.reports.with_label_values(&[outcome]);
        }
    }

    /// A relay room was opened.
    pub fn enable(&self) {
        self.enabled.set(1);
    }

    /// What the last probe of the resolver showed.
    pub fn validating(&self, validating: bool) {
        self.validating.set(i64::from(validating));
    }

    /// So many decisions are kept.
    pub fn routes(&self, routes: usize) {
        self.routes.set(i64::try_from(routes).unwrap_or(i64::MAX));
    }

    /// The policy server answered.
    pub fn answered(&self, answer: &Answer) {
        let policy = match answer {
            Answer::Ok(text) => {
                let word = text.split(' ').next().unwrap_or_default();
                POLICIES.into_iter().find(|policy| *policy == word).unwrap_or("none")
            }
            Answer::NotFound => "not-found",
            Answer::Perm(_) => "permanent",
            Answer::Temp(_) => "temporary",
        };
        self.policies.with_label_values(&[policy]).inc();
    }

    /// The relay has told its client what became of one message to one domain.
    pub fn delivered(&self, report: &Report, took: Duration) {
        let mut worst = "delivered";
        for outcome in &report.outcomes {
            let (road, result) = (road_of(outcome), result_of(outcome));
            self.deliveries.with_label_values(&[road, result]).inc();
            if result != "delivered" {
                worst = result;
            }
        }
        self.duration.with_label_values(&[worst]).observe(took.as_secs_f64());
        for failure in report.attempts.iter().filter_map(|attempt| attempt.failure) {
            if let Some((_, name)) = FAILURES.into_iter().find(|(known, _)| *known == failure) {
                self.failures.with_label_values(&[name]).inc();
            }
        }
    }

    /// TLS reports were sent, or not.
    pub fn reported(&self, sent: u64, failed: u64) {
        self.reports.with_label_values(&["sent"]).inc_by(sent);
        self.reports.with_label_values(&["failed"]).inc_by(failed);
    }
}

/// The road that a recipient's mail took, as label and record name it.
pub fn road_of(outcome: &Outcome) -> &'static str {
    outcome.via.as_ref().map_or("no-road", |via| road_named(&via.channel.matched))
}

/// What was proven on a road, as label and record name it.
pub fn road_named(matched: &Matched) -> &'static str {
    match matched {
        Matched::Tlsa { .. } => "dane",
        Matched::WebPki { .. } => "sts",
        Matched::Unauthenticated => "unauthenticated",
        Matched::Cleartext => "cleartext",
    }
}

/// What became of a recipient's mail, as label and record name it.
pub fn result_of(outcome: &Outcome) -> &'static str {
    match (outcome.reply.is_positive(), outcome.reply.is_permanent()) {
        (true, _) => "delivered",
        (false, true) => "refused",
        (false, false) => "deferred",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_starts_at_zero_and_answers_are_counted_by_their_first_word() {
        let registry = Registry::new();
        let metrics = RelayMetrics::register(&registry).unwrap();
        let value = |name: &str, label: &str| {
            let families = registry.gather();
            let family = families.iter().find(|family| family.name() == name).unwrap();
            let with =
                |metric: &&prometheus::proto::Metric| metric.get_label().iter().any(|l| l.value() == label);
            family.get_metric().iter().find(with).unwrap().get_counter().get_value()
        };
        for policy in POLICIES {
            assert_eq!(value("gatepost_relay_policies_total", policy), 0.0);
        }
        metrics.answered(&Answer::Ok("secure match=mx.example.org servername=hostname".to_owned()));
        metrics.answered(&Answer::NotFound);
        assert_eq!(value("gatepost_relay_policies_total", "secure"), 1.0);
        assert_eq!(value("gatepost_relay_policies_total", "not-found"), 1.0);
        metrics.reported(2, 1);
        assert_eq!(value("gatepost_relay_tls_reports_total", "sent"), 2.0);
    }
}
