//! Unix seconds to and from the times that Sequoia speaks.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Unix seconds as a point in time; OpenPGP has none before 1970.
pub(crate) fn system_time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.max(0).unsigned_abs())
}

/// A point in time as Unix seconds.
pub(crate) fn unix_seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
