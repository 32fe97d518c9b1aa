//! The `[limits]` section.

use std::time::Duration;

use policy::Section;

/// What one client network, and all together, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Look-ups that one client network (an IPv4 /24, an IPv6 /56) may make in a minute, in the long run.
    pub requests_per_minute: u32,
    /// Look-ups that it may make at once after a pause.
    pub burst: u32,
    /// Look-ups of all clients in a minute.
    pub requests_per_minute_of_all: u32,
    /// Certificates that one client network may submit in an hour.
    pub submissions_per_hour: u32,
    /// Connections of all clients at the same time.
    pub connections: usize,
    /// Connections of one client network at the same time.
    pub connections_per_network: u32,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the header section of a request; an idle connection is closed after it, too.
    pub header: Duration,
    /// For a request and its answer.
    pub request: Duration,
    /// Age at which a connection takes no further request.
    pub connection: Duration,
    /// For requests under way when the process is told to end.
    pub drain: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            requests_per_minute: 120,
            burst: 240,
            requests_per_minute_of_all: 60_000,
            submissions_per_hour: 20,
            connections: 2000,
            connections_per_network: 64,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            request: Duration::from_secs(30),
            connection: Duration::from_secs(300),
            drain: Duration::from_secs(20),
        }
    }
}

impl LimitsConfig {
    pub(super) fn take(section: &mut Section) -> Self {
        let safe = Self::default();
        let mut number = |key, most: i64, otherwise: u32| {
            let taken = section.take_integer(key, 1, most);
            taken.and_then(|number| u32::try_from(number.value).ok()).unwrap_or(otherwise)
        };
        let requests_per_minute = number("requests_per_minute", 100_000_000, safe.requests_per_minute);
        let burst = number("burst", 10_000_000, safe.burst);
        let requests_per_minute_of_all =
            number("requests_per_minute_of_all", 100_000_000, safe.requests_per_minute_of_all);
        let submissions_per_hour = number("submissions_per_hour", 1_000_000, safe.submissions_per_hour);
        let connections = number("connections", 100_000, u32::try_from(safe.connections).unwrap_or(u32::MAX));
        let connections_per_network =
            number("connections_per_network", 100_000, safe.connections_per_network);
        let mut seconds = |key, most, otherwise| {
            let taken = section.take_integer(key, 1, most);
            taken.map_or(otherwise, |seconds| Duration::from_secs(seconds.value.unsigned_abs()))
        };
        Self {
            requests_per_minute,
            burst,
            requests_per_minute_of_all,
            submissions_per_hour,
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            connections_per_network,
            handshake: seconds("handshake_seconds", 300, safe.handshake),
            header: seconds("header_seconds", 300, safe.header),
            request: seconds("request_seconds", 600, safe.request),
            connection: seconds("connection_seconds", 86_400, safe.connection),
            drain: seconds("drain_seconds", 600, safe.drain),
        }
    }
}
