//! UTC days, and time as reports and mail write it.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::Offset;

/// Seconds of a day.
const SECONDS: i64 = 86_400;

/// A UTC day. "The report SHOULD cover a full day, from 00:00-24:00 UTC" (RFC 8460 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub i64);

impl Day {
    /// The day of a time in Unix seconds.
    pub fn of(unix: i64) -> Self {
        Self(unix.div_euclid(SECONDS))
    }

    /// Its first second.
    pub fn start(self) -> i64 {
        self.0.saturating_mul(SECONDS)
    }

    /// Its last second.
    pub fn end(self) -> i64 {
        self.start().saturating_add(SECONDS - 1)
    }

    /// The day before by `days`.
    pub fn before(self, days: i64) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

impl fmt::Display for Day {
    /// As `2016-04-01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(rfc3339(self.start()).split('T').next().unwrap_or_default())
    }
}

/// As `2016-04-01T23:59:59Z` (RFC 3339 section 5.6).
pub(super) fn rfc3339(unix: i64) -> String {
    timestamp(unix).to_string()
}

/// Unix seconds of an RFC 3339 time.
pub(super) fn parse_rfc3339(text: &str) -> Option<i64> {
    text.trim().parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// As `Fri, 01 Apr 2016 23:59:59 +0000` (RFC 5322 section 3.3).
pub(super) fn rfc5322(unix: i64) -> String {
    let utc = Offset::UTC.to_datetime(timestamp(unix));
    format!("{} +0000", utc.strftime("%a, %d %b %Y %H:%M:%S"))
}

/// Times beyond what a calendar has become its ends.
fn timestamp(unix: i64) -> Timestamp {
    let most = if unix < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(unix).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_utc_and_its_ends_belong_to_it() {
        // date -u -d @1459511999: Fri Apr  1 11:59:59 UTC 2016
        let day = Day::of(1_459_511_999);
        assert_eq!(day.to_string(), "2016-04-01");
        assert_eq!(
            (rfc3339(day.start()), rfc3339(day.end())),
            ("2016-04-01T00:00:00Z".into(), "2016-04-01T23:59:59Z".into())
        );
        assert_eq!((Day::of(day.end()), Day::of(day.end() + 1)), (day, Day(day.0 + 1)));
        assert_eq!(Day::of(-1), Day(-1));
    }

    #[test]
    fn the_date_field_is_what_date_prints() {
        let output = std::process::Command::new("date")
            .args(["-u", "-R", "-d", "@1700000003"])
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        assert_eq!(rfc5322(1_700_000_003), String::from_utf8(output.stdout).unwrap().trim());
    }

    #[test]
    fn times_far_away_are_no_panic() {
        for unix in [i64::MIN, i64::MAX] {
            assert!(!rfc3339(Day::of(unix).end()).is_empty() && !rfc5322(unix).is_empty());
        }
        assert_eq!(parse_rfc3339("2016-04-01T02:00:00+02:00"), Some(1_459_468_800));
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
