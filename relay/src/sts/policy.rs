//! The policy file (RFC 8461 section 3.2).

use serde::Deserialize;
use serde::Serialize;

/// Longest life time, seconds (RFC 8461 section 3.2: "maximum value of 31557600"); larger values are taken for it.
pub const MAX_AGE_MAX: u32 = 31_557_600;

/// What a sender does with a host that does not match or cannot be authenticated (RFC 8461 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It must not deliver there.
    Enforce,
    /// It delivers and reports.
    Testing,
    /// There is no policy.
    None,
}

/// A valid policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StsPolicy {
    /// The `id` of the TXT record under which it was fetched.
    pub id: String,
    /// Enforcement.
    pub mode: Mode,
    /// Life time, seconds.
    pub max_age: u32,
    /// Patterns for MX names, lower case; a first label may be `*`.
    pub mx: Vec<String>,
    /// The lines of the file, unchanged, for TLS reports (RFC 8460 section 4.4, `policy-string`).
    pub lines: Vec<String>,
}

/// Why a file is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPolicy {
    /// A line is no `key: value`.
    #[error("line {0} is no key: value")]
    Line(usize),
    /// A required key is missing.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// The version is not STSv1.
    #[error("the version is not STSv1")]
    Version,
    /// The mode is none of the three.
    #[error("the mode is not enforce, testing or none")]
    Mode,
    /// The life time is not one to ten digits.
    #[error("max_age is not a number of one to ten digits")]
    MaxAge,
    /// An MX pattern is no host name, with `*.` before it or not.
    #[error("an mx is no host name or *.host name")]
    Mx,
}

impl StsPolicy {
    /// Reads a policy file that was fetched under `id`.
    ///
    /// Lines end in CRLF or LF. Unknown keys are ignored; of a key that may not be repeated the first counts
    /// (RFC 8461 section 3.2). Blank lines and the case of the mode and of MX patterns do not matter.
    ///
    /// # Errors
    /// [`BadPolicy`]: a line is no `key: value`, or version, mode, `max_age` or (but for mode none) mx is missing or wrong.
    pub fn parse(text: &str, id: &str) -> Result<Self, BadPolicy> {
        let (mut version, mut mode, mut max_age) = (None, None, None);
        let mut mx = Vec::new();
        let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        for (number, line) in lines.iter().enumerate() {
            if line.trim_matches([' ', '\t']).is_empty() {
                continue;
            }
            let (key, value) = line.split_once(':').ok_or(BadPolicy::Line(number + 1))?;
            let value = value.trim_matches([' ', '\t']);
            match key {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" => mx.push(pattern(value)?),
                _ => {}
            }
        }
        if version.ok_or(BadPolicy::Missing("version"))? != "STSv1" {
            return Err(BadPolicy::Version);
        }
        let mode = parse_mode(mode.ok_or(BadPolicy::Missing("mode"))?)?;
        let max_age = parse_max_age(max_age.ok_or(BadPolicy::Missing("max_age"))?)?;
        if mx.is_empty() && mode != Mode::None {
            return Err(BadPolicy::Missing("mx"));
        }
        let lines = lines.into_iter().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Ok(Self { id: id.to_owned(), mode, max_age, mx, lines })
    }

    /// Whether `host` is listed (RFC 8461 section 4.1): `*.example.com` matches `mail.example.com` but neither
    /// `example.com` nor `foo.bar.example.com`.
    pub fn lists(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(suffix) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix)),
            None => pattern.eq_ignore_ascii_case(host),
        })
    }
}

impl StsPolicy {
    /// About how much memory it takes.
    pub(crate) fn octets(&self) -> usize {
        let texts = self.lines.iter().chain(&self.mx).map(|text| 32 + text.len());
        256 + texts.sum::<usize>()
    }
}

fn parse_mode(value: &str) -> Result<Mode, BadPolicy> {
    [("enforce", Mode::Enforce), ("testing", Mode::Testing), ("none", Mode::None)]
        .into_iter()
        .find_map(|(word, mode)| value.eq_ignore_ascii_case(word).then_some(mode))
        .ok_or(BadPolicy::Mode)
}

fn parse_max_age(value: &str) -> Result<u32, BadPolicy> {
    if !(1..=10).contains(&value.len()) || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadPolicy::MaxAge);
    }
    // Ten digits may exceed 32 bits, but not 64.
    let seconds: u64 = value.parse().map_err(|_| BadPolicy::MaxAge)?;
    Ok(u32::try_from(seconds).map_or(MAX_AGE_MAX, |seconds| seconds.min(MAX_AGE_MAX)))
}

/// `["*."] *(label ".") toplabel`, where the last label begins with a letter. Underscores are let through.
fn pattern(value: &str) -> Result<String, BadPolicy> {
    let name = value.strip_prefix("*.").unwrap_or(value);
    let labels_good = name.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    });
    let top_good =
        name.rsplit('.').next().is_some_and(|top| top.starts_with(|c: char| c.is_ascii_alphabetic()));
    if labels_good && top_good && name.len() <= 253 {
        Ok(value.to_ascii_lowercase())
    } else {
        Err(BadPolicy::Mx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmax_age: 604800\r\n";

    fn parse(text: &str) -> Result<StsPolicy, BadPolicy> {
        StsPolicy::parse(text, "1")
    }

    #[test]
    fn the_example_of_the_rfc() {
        // RFC 8461 section 3.2.
        let policy = parse(
            "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\n\
             mx: backupmx.example.com\r\nmax_age: 604800\r\n",
        )
        .unwrap();
        assert_eq!((policy.mode, policy.max_age, policy.mx.len()), (Mode::Enforce, 604_800, 3));
        assert_eq!(policy.lines.len(), 6);
        assert_eq!(policy.lines[3], "mx: *.example.net");
    }

    #[test]
    fn a_wildcard_is_exactly_the_first_label() {
        // RFC 8461 section 4.1.
        let policy = parse(&GOOD.replace("mail.example.com", "*.Example.com")).unwrap();
        assert!(policy.lists("mail.example.com") && policy.lists("MAIL.EXAMPLE.COM."));
        assert!(
            !policy.lists("example.com")
                && !policy.lists("foo.bar.example.com")
                && !policy.lists(".example.com")
        );
        assert!(!policy.lists("mail.example.com.evil.example"));
        assert!(!parse(GOOD).unwrap().lists("mail2.example.com"));
    }

    #[test]
    fn line_ends_blanks_case_order_and_unknown_keys_do_not_matter() {
        for text in [
            GOOD.replace("\r\n", "\n"),
            GOOD.trim_end().to_owned(),
            format!("{GOOD}\r\n\r\n"),
            GOOD.replace("mode: enforce", "mode:enforce  "),
            GOOD.replace("enforce", "Enforce"),
            GOOD.replace("mail.example.com", "Mail.Example.COM"),
            format!("foo: bar\r\nempty:\r\nmx2: ü\r\n{GOOD}"),
            "max_age: 604800\nmx: mail.example.com\nmode: enforce\nversion: STSv1".to_owned(),
        ] {
            let policy = parse(&text).unwrap();
            assert!(policy.mode == Mode::Enforce && policy.lists("mail.example.com"), "{text:?}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_makes_the_policy_invalid() {
        for (from, to, why) in [
            ("version: STSv1\r\n", "", BadPolicy::Missing("version")),
            ("mode: enforce\r\n", "", BadPolicy::Missing("mode")),
            ("max_age: 604800\r\n", "", BadPolicy::Missing("max_age")),
            ("mx: mail.example.com\r\n", "", BadPolicy::Missing("mx")),
            ("STSv1", "STSv2", BadPolicy::Version),
            ("enforce", "enforced", BadPolicy::Mode),
            ("604800", "-1", BadPolicy::MaxAge),
            ("604800", "1.5", BadPolicy::MaxAge),
            ("604800", "12345678901", BadPolicy::MaxAge),
            ("604800", "", BadPolicy::MaxAge),
            ("mode", " mode", BadPolicy::Missing("mode")),
            ("mode", "Mode", BadPolicy::Missing("mode")),
            ("mx: mail.example.com", "nonsense", BadPolicy::Line(3)),
            ("version", "\u{feff}version", BadPolicy::Missing("version")),
            ("\r\n", "\r", BadPolicy::Version),
        ] {
            assert_eq!(parse(&GOOD.replace(from, to)), Err(why), "{from:?} -> {to:?}");
        }
        assert_eq!(parse(""), Err(BadPolicy::Missing("version")));
    }

    #[test]
    fn patterns_have_a_form() {
        for bad in [
            "*",
            "*.",
            "mail.*.com",
            "*mail.example.com",
            "**.example.com",
            "a..b",
            ".a",
            "a.",
            "-a.example",
            "192.0.2.1",
            "bücher.example",
            "mail example",
            "a,b",
            "",
        ] {
            assert_eq!(parse(&GOOD.replace("mail.example.com", bad)), Err(BadPolicy::Mx), "{bad}");
        }
        assert!(parse(&GOOD.replace("mail.example.com", &format!("{}.example", "a".repeat(64)))).is_err());
        assert!(parse(&GOOD.replace("mail.example.com", "localhost")).is_ok());
    }

    #[test]
    fn mode_none_needs_no_mx_and_of_repeated_keys_the_first_counts() {
        assert_eq!(parse("version: STSv1\nmode: none\nmax_age: 0\n").unwrap().mode, Mode::None);
        let twice = parse(&format!("{GOOD}mode: none\r\nmax_age: 5\r\nversion: x\r\n")).unwrap();
        assert_eq!((twice.mode, twice.max_age), (Mode::Enforce, 604_800));
    }

    #[test]
    fn max_age_is_bounded() {
        assert_eq!(parse(&GOOD.replace("604800", "0")).unwrap().max_age, 0);
        assert_eq!(parse(&GOOD.replace("604800", "31557601")).unwrap().max_age, MAX_AGE_MAX);
        assert_eq!(parse(&GOOD.replace("604800", "9999999999")).unwrap().max_age, MAX_AGE_MAX);
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>(), host in any::<String>()) {
            if let Ok(policy) = StsPolicy::parse(&text, "1") {
                policy.lists(&host);
            }
        }

        #[test]
        fn lines_give_the_same_policy_again(
            mode in "(enforce|testing|none)", age in 0u32..MAX_AGE_MAX, labels in "(\\*\\.)?[a-z]{1,9}\\.[a-z]{2,5}",
        ) {
            let text = format!("version: STSv1\nmode: {mode}\nmx: {labels}\nmax_age: {age}\n");
            let policy = StsPolicy::parse(&text, "1").unwrap();
            prop_assert_eq!(StsPolicy::parse(&policy.lines.join("\r\n"), "1").unwrap(), policy);
        }
    }
}
