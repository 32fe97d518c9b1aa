//! Replies: those of the other side, and those that we make of them.

use std::fmt;

use mail::EnhancedCode;

/// A complete SMTP reply (RFC 5321 section 4.2).
///
/// The text is what the other side wrote, joined to one line, every character that does not belong into a reply
/// replaced; so it can be handed on without a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits, 200 to 599.
    pub code: u16,
    /// The enhanced code, if the reply has one whose class agrees (RFC 2034 section 4).
    pub enhanced: Option<EnhancedCode>,
    /// Everything else, on one line.
    pub text: String,
}

impl Reply {
    /// A reply of our own.
    pub fn own(code: u16, enhanced: EnhancedCode, text: impl AsRef<str>) -> Self {
        Self { code, enhanced: Some(enhanced), text: clean(text.as_ref()) }
    }

    /// 2xx.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The enhanced code, or the general one of its class.
    pub fn enhanced_or_default(&self) -> EnhancedCode {
        let class = u8::try_from(self.code / 100).unwrap_or(4);
        self.enhanced.unwrap_or(EnhancedCode(class, 0, 0))
    }

    /// Puts a reply together from its lines, without line ends.
    ///
    /// Nothing if a line is no reply line, or the codes differ.
    pub(super) fn from_lines(lines: &[Vec<u8>]) -> Option<Self> {
        let (code, _, _) = split(lines.first()?)?;
        let mut enhanced = None;
        let mut text = String::new();
        for line in lines {
            let (own, _, rest) = split(line)?;
            if own != code {
                return None;
            }
            let rest = clean(&String::from_utf8_lossy(rest));
            let (own, rest) = split_enhanced(&rest, code);
            enhanced = enhanced.or(own);
            if !text.is_empty() && !rest.is_empty() && text.len() < TEXT {
                text.push(' ');
            }
            if text.len() < TEXT {
                text.push_str(rest);
            }
        }
        text.truncate(TEXT);
        Some(Self { code, enhanced, text })
    }

    /// Whether this line is the last of its reply; nothing if it is no reply line.
    pub(super) fn is_last(line: &[u8]) -> Option<bool> {
        split(line).map(|(_, last, _)| last)
    }
}

/// As it stands on the wire, without line end.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, " {}", self.text) }
    }
}

/// Code, whether it is the last line, and what follows the separator.
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    let code: u16 = std::str::from_utf8(code).ok()?.parse().ok()?;
    if !(200..600).contains(&code) {
        return None;
    }
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', rest)) => Some((code, true, rest)),
        Some((b'-', rest)) => Some((code, false, rest)),
        Some(_) => None,
    }
}

/// `5.1.1 text` into its parts; the code is taken only if its class is that of the reply.
fn split_enhanced(text: &str, code: u16) -> (Option<EnhancedCode>, &str) {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut numbers = first.split('.');
    let mut next =
        || numbers.next().filter(|digits| (1..=3).contains(&digits.len())).and_then(|n| n.parse().ok());
    let (Some(class), Some(subject), Some(detail)) = (next(), next(), next()) else { return (None, text) };
    let agrees = u16::from(class_of(class)) == code / 100;
    if numbers.next().is_some() || !agrees {
        return (None, text);
    }
    (Some(EnhancedCode(class_of(class), subject, detail)), rest)
}

fn class_of(number: u16) -> u8 {
    u8::try_from(number).unwrap_or(0)
}

/// Printable ASCII only, no blanks at the ends, cut to [`TEXT`].
pub(super) fn clean(text: &str) -> String {
    let printable = text.trim().chars().map(|c| match c {
        ' '..='~' => c,
        c if c.is_whitespace() => ' ',
        _ => '?',
    });
    printable.take(TEXT).collect()
}

/// Longest text kept: a reply line has 512 octets (RFC 5321 section 4.5.3.1.5).
pub(super) const TEXT: usize = 460;

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(lines: &[&str]) -> Option<Reply> {
        Reply::from_lines(&lines.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn replies_keep_the_text_of_the_other_side() {
        let parsed = reply(&["550-5.1.1 no such user", "550 5.1.1 see https://example.org/help"]).unwrap();
        assert_eq!(parsed.enhanced, Some(EnhancedCode(5, 1, 1)));
        assert_eq!(parsed.to_string(), "550 5.1.1 no such user see https://example.org/help");
        assert_eq!(reply(&["250"]).unwrap().to_string(), "250");
        assert_eq!(reply(&["250 "]).unwrap().to_string(), "250");
        // A class that contradicts the code is text.
        assert_eq!(reply(&["450 5.1.1 x"]).unwrap().enhanced, None);
        assert_eq!(reply(&["450 4.1 x"]).unwrap().text, "4.1 x");
        assert_eq!(reply(&["250 1.2.3.4 x"]).unwrap().enhanced, None);
    }

    #[test]
    fn nonsense_is_no_reply() {
        for lines in [
            &["hello"][..],
            &["25"],
            &["099 x"],
            &["600 x"],
            &["250x"],
            &["250-a", "251 b"],
            &[],
            &["2\u{e9}0 x"],
        ] {
            assert_eq!(reply(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn control_characters_and_length_are_tamed() {
        let parsed = reply(&[&format!("250 a\rb\0c\u{e9}{}", "x".repeat(2000))]).unwrap();
        assert!(parsed.text.starts_with("a b?c?xx"), "{}", parsed.text);
        assert!(parsed.text.len() <= TEXT);
        assert_eq!(Reply::own(451, EnhancedCode(4, 7, 5), "a\r\n250 ok").to_string(), "451 4.7.5 a  250 ok");
    }
}
