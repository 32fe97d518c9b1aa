//! When a signer says it signed (signingTime, RFC 5652 section 11.3).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::element::reader;
use crate::cms::ber::Tag;
use crate::cms::der_write::element;

/// A Time: UTCTime from 1950 to 2049, GeneralizedTime otherwise. `None` for a time that has no such form.
pub(crate) fn encode(seconds: i64) -> Option<Vec<u8>> {
    let time = Timestamp::from_second(seconds).ok()?.to_zoned(TimeZone::UTC);
    match time.year() {
        1950..=2049 => {
            let text = time.strftime("%y%m%d%H%M%SZ").to_string();
            Some(element(Tag::UTC_TIME.primitive(), &[text.as_bytes()]))
        }
        0..=9999 => {
            let text = time.strftime("%Y%m%d%H%M%SZ").to_string();
            Some(element(Tag::GENERALIZED_TIME.primitive(), &[text.as_bytes()]))
        }
        _ => None,
    }
}

/// Unix seconds of a Time; `None` if it has not exactly the form that RFC 5652 asks for.
pub(crate) fn parse(value: &[u8]) -> Option<i64> {
    let mut time = reader(value);
    if let Ok(text) = time.primitive(Tag::UTC_TIME) {
        let (digits, rest) = numbers(&text, 2)?;
        let year = if digits < 50 { 2000 + digits } else { 1900 + digits };
        return civil(year, rest);
    }
    let text = reader(value).primitive(Tag::GENERALIZED_TIME).ok()?;
    let (year, rest) = numbers(&text, 4)?;
    civil(year, rest)
}

/// Month, day, hour, minute, second and `Z`.
fn civil(year: i16, rest: &[u8]) -> Option<i64> {
    let (month, rest) = small(rest)?;
    let (day, rest) = small(rest)?;
    let (hour, rest) = small(rest)?;
    let (minute, rest) = small(rest)?;
    let (second, rest) = small(rest)?;
    if rest != b"Z" {
        return None;
    }
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}

fn small(text: &[u8]) -> Option<(i8, &[u8])> {
    let (number, rest) = numbers(text, 2)?;
    Some((i8::try_from(number).ok()?, rest))
}

fn numbers(text: &[u8], digits: usize) -> Option<(i16, &[u8])> {
    let (head, rest) = text.split_at_checked(digits)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((std::str::from_utf8(head).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        for (seconds, tag, text) in [
            (0, 0x17, "700101000000Z"),
            (1_787_900_000, 0x17, "260828065320Z"),
            (2_524_607_999, 0x17, "491231235959Z"),
            (2_524_608_000, 0x18, "20500101000000Z"),
            (-631_152_001, 0x18, "19491231235959Z"),
        ] {
            let encoded = encode(seconds).unwrap();
            assert_eq!(encoded[0], tag);
            assert_eq!(&encoded[2..], text.as_bytes());
            assert_eq!(parse(&encoded), Some(seconds));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["7001010000Z", "700101000000+0100", "700101000000", "701301000000Z", "7001010000 0Z", ""]
        {
            assert_eq!(parse(&element(0x17, &[text.as_bytes()])), None, "{text}");
        }
        assert_eq!(parse(&element(0x18, &[b"20500101000000.5Z"])), None);
        assert_eq!(parse(&[]), None);
    }
}
