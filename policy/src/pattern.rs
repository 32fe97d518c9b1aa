//! Patterns for addresses, domains and header values.

use serde::Deserialize;
use serde::Serialize;

/// A text with `*` (any characters) and `?` (one character), compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Glob(String);

impl Glob {
    /// A glob of any text.
    ///
    /// # Errors
    /// In words, when the text is empty: it would only match nothing.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty pattern matches nothing".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("a pattern cannot hold control characters".to_owned());
        }
        Ok(Self(text.to_lowercase()))
    }

    /// Whether the whole of `text` matches. Takes at most `pattern × text` steps.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        let text: Vec<char> = text.to_lowercase().chars().collect();
        matches_from(&pattern, &text)
    }

    /// The pattern in lower case.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Greedy matching with one point to return to: the last `*` seen.
fn matches_from(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(x) if *x == '?' || x == c => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// A glob for addresses: one part before the last `@` and one behind it; or `<>`, the null reverse-path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AddressPattern {
    /// The null reverse-path of bounces (RFC 5321 section 4.5.5).
    Null,
    /// Local part and domain.
    Address(Glob, Glob),
}

impl AddressPattern {
    /// Reads `local@domain`, where both may hold `*` and `?`; or `<>`.
    ///
    /// # Errors
    /// In words, when it is neither.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text == "<>" {
            return Ok(Self::Null);
        }
        let Some((local, domain)) = text.rsplit_once('@') else {
            let example = if text.is_empty() { "example.org" } else { text };
            return Err(format!(
                "`{text}` is no address pattern; write `user@example.org`, `*@{example}` or `<>`"
            ));
        };
        if local.is_empty() || domain.is_empty() {
            return Err(format!("`{text}` is no address pattern; both sides of the `@` need text or `*`"));
        }
        if text.contains([' ', '<', '>', ',', ';']) {
            return Err(format!("`{text}` is no address pattern; write one address without `<>`"));
        }
        Ok(Self::Address(Glob::new(local)?, Glob::new(domain)?))
    }

    /// Whether `address` (without angle brackets) matches; the empty address is the null reverse-path.
    pub(crate) fn matches(&self, address: &str) -> bool {
        match self {
            Self::Null => address.is_empty(),
            Self::Address(local, domain) => match address.rsplit_once('@') {
                Some((l, d)) => local.matches(l) && spellings(d).iter().any(|d| domain.matches(d)),
                // RFC 5321 section 4.5.1: the only recipient without a domain is postmaster.
                None => !address.is_empty() && domain.as_str() == "*" && local.matches(address),
            },
        }
    }
}

/// The domain of a partner: exactly one, or everything below one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DomainPattern {
    /// Sub-domains of this domain, at any depth; not the domain itself.
    Below(String),
    /// This domain only.
    Exactly(String),
}

impl DomainPattern {
    /// Reads `example.org`, or `.example.org` or `*.example.org` for what is below it.
    ///
    /// # Errors
    /// In words, when it is no domain name.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let below = text.strip_prefix("*.").or_else(|| text.strip_prefix('.'));
        let name = below.unwrap_or(text);
        check_domain(name).map_err(|why| format!("`{text}` is no domain: {why}"))?;
        let name = comparable(name);
        Ok(if below.is_some() { Self::Below(name) } else { Self::Exactly(name) })
    }

    /// Whether `domain`, in the form of [`comparable`], matches.
    pub(crate) fn matches(&self, domain: &str) -> bool {
        match self {
            Self::Exactly(name) => domain == name,
            Self::Below(name) => domain
                .strip_suffix(name.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|r| !r.is_empty()),
        }
    }

    /// How narrow it is: of two patterns that match the same domain the one with the larger number is
    /// more specific.
    pub(crate) fn specificity(&self) -> (bool, usize) {
        match self {
            Self::Below(name) => (false, name.len()),
            Self::Exactly(name) => (true, name.len()),
        }
    }
}

impl std::fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Below(name) => write!(f, ".{name}"),
            Self::Exactly(name) => f.write_str(name),
        }
    }
}

/// Checks the form of a domain name (RFC 1123 section 2.1; U-labels are allowed, RFC 6531).
pub(crate) fn check_domain(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.contains('@') {
        return Err("it holds an `@`");
    }
    if name.contains(['*', '?']) {
        return Err("`*` can only stand for everything below a domain, as in `*.example.org`");
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_' || !c.is_ascii())
    };
    if name.split('.').all(label) { Ok(()) } else { Err("it must be labels with dots between them") }
}

/// The domain of an address in the form of [`comparable`]; empty when it has none.
pub(crate) fn domain_of(address: &str) -> String {
    address.rsplit_once('@').map_or_else(String::new, |(_, domain)| comparable(domain))
}

/// A domain in the form in which domains are compared: A-labels in lower case (RFC 5890). What has no A-labels is
/// in lower case, and no name of the DNS.
pub(crate) fn comparable(domain: &str) -> String {
    // Far above any legal name: keeps conversion from working on megabytes.
    const LONGEST: usize = 1024;
    let international = !domain.is_ascii() && domain.len() <= LONGEST;
    let ascii = international.then(|| idna::domain_to_ascii(domain).ok()).flatten();
    ascii.unwrap_or_else(|| domain.to_lowercase())
}

/// An address with its domain in the form of [`comparable`], and its local part in lower case.
pub(crate) fn comparable_address(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{}", local.to_lowercase(), comparable(domain)),
        None => address.to_lowercase(),
    }
}

/// A domain as it may stand in a glob: as it is, in A-labels and in U-labels.
fn spellings(domain: &str) -> Vec<String> {
    let mut all = vec![domain.to_lowercase()];
    let compared = comparable(domain);
    if compared.len() <= 253 && compared.contains("xn--") {
        all.push(idna::domain_to_unicode(&compared).0);
        all.push(compared);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts_without_regard_to_case() {
        for (pattern, text, expected) in [
            ("company-confidential", "Company-Confidential", true),
            ("company-*", "company-", true),
            ("*", "", true),
            ("*a*b", "xxaxxbxxb", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("abc", "abcd", false),
            ("ÄRGER*", "ärger mit umlauten", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_glob_of_stars_is_not_slow() {
        let pattern = Glob::new(&"*a".repeat(50)).unwrap();
        assert!(!pattern.matches(&"a".repeat(20_000).replace("aa", "ab")[..39]));
        assert!(!pattern.matches(&"b".repeat(20_000)));
    }

    #[test]
    fn address_patterns_keep_the_sides_of_the_at_apart() {
        for (pattern, address, expected) in [
            ("*@alpha.example", "alice@ALPHA.example", true),
            ("*@alpha.example", "alice@sub.alpha.example", false),
            ("*@*.alpha.example", "alice@sub.alpha.example", true),
            ("*@alpha.example", "alice@alpha.example@evil.example", false),
            ("*@alpha.example", "\"x@alpha.example\"@evil.example", false),
            ("alice@*", "alice@anywhere.example", true),
            ("*@*", "", false),
            ("*@*", "postmaster", true),
            ("<>", "", true),
            ("<>", "alice@alpha.example", false),
        ] {
            assert_eq!(
                AddressPattern::new(pattern).unwrap().matches(address),
                expected,
                "{pattern} on {address}"
            );
        }
    }

    #[test]
    fn what_has_no_a_labels_is_compared_all_the_same() {
        for (text, expected) in [
            ("Alpha.Example", "alpha.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("", ""),
        ] {
            assert_eq!(comparable(text), expected);
        }
        let long = "ü".repeat(100_000);
        assert_eq!(comparable(&long), long);
        assert_eq!(spellings(&long), [long]);
        assert!(AddressPattern::new("*@*").unwrap().matches("jo@xn--\u{fffd}.example"));
    }

    #[test]
    fn bad_address_patterns_are_errors() {
        for text in ["", "alpha.example", "@alpha.example", "alice@", "<a@b>", "a@b, c@d"] {
            assert!(AddressPattern::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn domain_patterns_for_what_is_below_do_not_match_the_domain_itself() {
        for text in [".beta.example", "*.beta.example"] {
            let pattern = DomainPattern::new(text).unwrap();
            assert!(pattern.matches("a.beta.example") && pattern.matches("a.b.beta.example"));
            assert!(!pattern.matches("beta.example") && !pattern.matches("notbeta.example"));
        }
        assert!(DomainPattern::new("Beta.Example").unwrap().matches("beta.example"));
        for text in ["", ".", "*", "a..b", "be*ta.example", "bob@beta.example", "-a.example"] {
            assert!(DomainPattern::new(text).is_err(), "{text}");
        }
    }
}
