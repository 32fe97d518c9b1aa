//! Counters for `/metrics`: by door and class of answer, never by address or domain.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What somebody came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The certification authority: lists, certificates, OCSP.
    Authority,
    /// Key server look-ups, version 1.
    Hkp,
    /// Key server look-ups, version 2.
    Hkp2,
    /// LDAP.
    Ldap,
    /// The key log.
    Log,
    /// Look-ups of other gateways.
    LookUp,
    /// The page for people.
    Page,
    /// Submissions by strangers.
    Submission,
    /// Nothing that is here.
    Unknown,
    /// Checkpoints of partners' key logs, to be cosigned.
    Witness,
    /// The Web Key Directory.
    Wkd,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It was there.
    Found,
    /// It was not there, or not ours.
    Nothing,
    /// The request was wrong or not allowed.
    Refused,
    /// Too many requests.
    Limited,
    /// We could not.
    Failed,
}

impl Door {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 11] = [
        Self::Authority,
        Self::Hkp,
        Self::Hkp2,
        Self::Ldap,
        Self::Log,
        Self::LookUp,
        Self::Page,
        Self::Submission,
        Self::Unknown,
        Self::Witness,
        Self::Wkd,
    ];

    /// Its name in the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Hkp => "hkp",
            Self::Hkp2 => "hkp2",
            Self::Ldap => "ldap",
            Self::Log => "log",
            Self::LookUp => "lookup",
            Self::Page => "page",
            Self::Submission => "submission",
            Self::Unknown => "unknown",
            Self::Witness => "witness",
            Self::Wkd => "wkd",
        }
    }
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Found, Self::Nothing, Self::Refused, Self::Limited, Self::Failed];

    /// Its name in the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Nothing => "nothing",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Failed => "failed",
        }
    }

    /// The class of an HTTP status.
    pub const fn of_status(status: u16) -> Self {
        match status {
            404 => Self::Nothing,
            429 => Self::Limited,
            400..=499 | 501 => Self::Refused,
            500..=599 => Self::Failed,
            _ => Self::Found,
        }
    }
}

/// Counts answers.
#[derive(Debug, Default)]
pub struct Counters {
    answers: [[AtomicU64; Class::ALL.len()]; Door::ALL.len()],
    refused_connections: AtomicU64,
    failed_handshakes: AtomicU64,
    connections: AtomicU64,
    reload: [AtomicU64; 2],
    certificate_ends: AtomicU64,
}

impl Counters {
    /// Counts an answer.
    pub fn count(&self, door: Door, class: Class) {
        if let Some(counter) = self.answers.get(door as usize).and_then(|row| row.get(class as usize)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection beyond the limit of its network was closed at once.
    pub fn refused_connection(&self) {
        self.refused_connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A TLS handshake did not succeed.
    pub fn failed_handshake(&self) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections are open.
    pub fn set_connections(&self, open: u64) {
        self.connections.store(open, Ordering::Relaxed);
    }

    /// The configuration or the certificates were read again at `now` (Unix seconds).
    pub fn reloaded(&self, success: bool, now: i64) {
        let [worked, when] = &self.reload;
        worked.store(u64::from(success), Ordering::Relaxed);
        if success {
            when.store(u64::try_from(now).unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// The text for Prometheus (exposition format 0.0.4).
    pub fn render(&self) -> String {
        let mut out = String::from(
            "# HELP gatepost_keydir_requests_total Requests answered, by door and class of answer.\n\
             # TYPE gatepost_keydir_requests_total counter\n",
        );
        for (door, row) in Door::ALL.iter().zip(&self.answers) {
            for (class, counter) in Class::ALL.iter().zip(row) {
                let (door, class, value) = (door.name(), class.name(), counter.load(Ordering::Relaxed));
                let _ = writeln!(
                    out,
                    "gatepost_keydir_requests_total{{door=\"{door}\",answer=\"{class}\"}} {value}"
                );
            }
        }
        let [worked, when] = &self.reload;
        for (name, kind, help, value) in [
            ("connections", "gauge", "Open connections.", &self.connections),
            (
                "connections_refused_total",
                "counter",
                "Connections closed at once because their network had too many.",
                &self.refused_connections,
            ),
            (
                "handshakes_failed_total",
                "counter",
                "TLS handshakes that did not succeed.",
                &self.failed_handshakes,
            ),
            (
                "config_last_reload_successful",
                "gauge",
                "1 if the last reading of the configuration succeeded.",
                worked,
            ),
            (
                "config_last_reload_timestamp_seconds",
                "gauge",
                "When the configuration was last read with success.",
                when,
            ),
            (
                "tls_certificate_expiry_timestamp_seconds",
                "gauge",
                "When the first of our TLS certificates expires; 0 without TLS.",
                &self.certificate_ends,
            ),
        ] {
            let value = value.load(Ordering::Relaxed);
            let _ = write!(
                out,
                "# HELP gatepost_keydir_{name} {help}\n# TYPE gatepost_keydir_{name} {kind}\ngatepost_keydir_{name} {value}\n"
            );
        }
        out
    }

    /// When the first of the TLS certificates in use expires, Unix seconds.
    pub fn set_certificate_end(&self, end: i64) {
        self.certificate_ends.store(u64::try_from(end).unwrap_or(0), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_from_the_start_and_counts_its_own() {
        let counters = Counters::default();
        counters.count(Door::Wkd, Class::of_status(200));
        counters.count(Door::Wkd, Class::of_status(404));
        counters.count(Door::Hkp, Class::of_status(501));
        let text = counters.render();
        assert!(text.contains("gatepost_keydir_requests_total{door=\"wkd\",answer=\"found\"} 1\n"), "{text}");
        assert!(text.contains("{door=\"wkd\",answer=\"nothing\"} 1\n"), "{text}");
        assert!(text.contains("{door=\"hkp\",answer=\"refused\"} 1\n"), "{text}");
        assert_eq!(text.matches("gatepost_keydir_requests_total{").count(), 55);
        for (index, door) in Door::ALL.into_iter().enumerate() {
            assert_eq!(door as usize, index);
        }
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, index);
        }
    }
}
