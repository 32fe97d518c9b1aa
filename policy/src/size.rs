//! Sizes as people write them.

/// Units of a size: decimal ones as disks and mail providers count, binary ones as memory counts.
const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("", 1),
];

/// Reads a size in bytes: digits, and a unit after an optional space.
///
/// # Errors
/// Words that follow the name of the key, for example "must be a size such as …".
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let unit = unit.trim();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let (Ok(number), Some(factor)) = (number.parse::<u64>(), factor) else {
        return Err(format!(
            "cannot be `{text}`; a size is a whole number of bytes, or one with a unit: B, kB, MB, GB, KiB, MiB, GiB"
        ));
    };
    number.checked_mul(factor).ok_or_else(|| format!("cannot be `{text}`; that is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("10 MB", 10_000_000),
            ("10MB", 10_000_000),
            ("512 KiB", 524_288),
            ("1 kB", 1000),
            ("2 GiB", 2_147_483_648),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn bad_sizes_are_errors() {
        for text in
            ["", "MB", "-1", "1.5 MB", "10 mb", "10 MB extra", "99999999999 GiB", "99999999999999999999"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
