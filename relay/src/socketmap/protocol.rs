//! Requests and answers of the socketmap protocol (socketmap_table(5)).

use crate::netstring;

/// Postfix takes no reply above 100,000 bytes; ours stay below, the status word included.
const LONGEST_ANSWER: usize = 90_000;

/// A question: which map, and what to look up in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'r> {
    /// The name of the map, as in `socketmap:inet:127.0.0.1:8461:NAME`.
    pub map: &'r str,
    /// What is looked up; may be empty and may hold spaces.
    pub key: &'r str,
}

impl<'r> Request<'r> {
    /// Reads `NAME KEY`; nothing if it is not UTF-8 or has no space.
    pub fn parse(data: &'r [u8]) -> Option<Self> {
        let (map, key) = std::str::from_utf8(data).ok()?.split_once(' ')?;
        Some(Self { map, key })
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value.
    Ok(String),
    /// There is nothing under this key.
    NotFound,
    /// The look-up failed for now; Postfix defers the mail and logs the reason.
    Temp(String),
    /// The request makes no sense; Postfix defers the mail and logs the reason.
    Perm(String),
}

impl Answer {
    /// Appends the answer as it goes over the wire.
    pub fn put(&self, output: &mut Vec<u8>) {
        let (status, text) = match self {
            Self::Ok(value) => ("OK ", value.as_str()),
            // The space is part of the protocol, see socketmap_table(5).
            Self::NotFound => ("NOTFOUND ", ""),
            Self::Temp(why) => ("TEMP ", why.as_str()),
            Self::Perm(why) => ("PERM ", why.as_str()),
        };
        if text.len() > LONGEST_ANSWER {
            return Self::Temp("the answer is too long".to_owned()).put(output);
        }
        netstring::put(&[status.as_bytes(), text.as_bytes()], output);
    }

    /// An answer that asks to try again, with a reason that is safe to log: one line, not too long.
    pub fn temporary(why: &str) -> Self {
        Self::Temp(one_line(why))
    }

    /// An answer that refuses the request, with a reason that is safe to log.
    pub fn permanent(why: &str) -> Self {
        Self::Perm(one_line(why))
    }
}

/// At most 300 characters, none of them a control character.
fn one_line(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(answer: &Answer) -> String {
        let mut output = Vec::new();
        answer.put(&mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn answers_are_written_as_postfix_reads_them() {
        assert_eq!(wire(&Answer::Ok("dane-only".to_owned())), "12:OK dane-only,");
        assert_eq!(wire(&Answer::NotFound), "9:NOTFOUND ,");
        assert_eq!(wire(&Answer::temporary("no\r\nsense")), "14:TEMP no??sense,");
        assert_eq!(wire(&Answer::permanent("no such map")), "16:PERM no such map,");
    }

    #[test]
    fn an_answer_above_the_limit_of_postfix_is_never_sent() {
        assert_eq!(wire(&Answer::Ok("x".repeat(100_000))), "27:TEMP the answer is too long,");
    }

    #[test]
    fn a_request_is_a_name_and_a_key() {
        let parse = |text: &'static str| Request::parse(text.as_bytes()).map(|r| (r.map, r.key));
        assert_eq!(parse("QUERY example.org"), Some(("QUERY", "example.org")));
        assert_eq!(parse("QUERY "), Some(("QUERY", "")));
        assert_eq!(parse("QUERY a b"), Some(("QUERY", "a b")));
        assert_eq!(parse("QUERY"), None);
        assert_eq!(Request::parse(b"QUERY \xff"), None);
    }
}
