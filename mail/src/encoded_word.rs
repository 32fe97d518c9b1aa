//! Encoded words in header fields (RFC 2047), for reading only.

use std::borrow::Cow;

use encoding_rs::Encoding;
use encoding_rs::UTF_8;

/// Decodes every encoded word in an unfolded value. What is not one stays as it is; invalid UTF-8 is
/// replaced; control characters become blanks, so that a decoded value never forges a line.
pub(crate) fn decode(value: &[u8]) -> String {
    let mut out = Decoder::default();
    let mut rest = value;
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let (before, candidate) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        match Word::parse(candidate) {
            Some(word) => {
                out.plain(before);
                out.word(&word);
                rest = candidate.get(word.len..).unwrap_or_default();
            }
            None => {
                // No word starts here; the next one may start at the question mark.
                out.plain(rest.get(..at + 1).unwrap_or_default());
                rest = rest.get(at + 1..).unwrap_or_default();
            }
        }
    }
    out.plain(rest);
    out.finish()
}

/// Length of the encoded word at the start of `text`, if there is one.
pub(crate) fn word_len(text: &[u8]) -> Option<usize> {
    Word::parse(text).map(|word| word.len)
}

/// Decodes bytes in a named character set; unknown names are read as UTF-8 with replacement.
pub(crate) fn to_unicode(charset: &str, bytes: &[u8]) -> String {
    let encoding = Encoding::for_label(charset.as_bytes()).unwrap_or(UTF_8);
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

/// The parts of `=?charset?encoding?text?=`.
struct Word<'a> {
    charset: &'a str,
    base64: bool,
    text: &'a [u8],
    len: usize,
}

impl<'a> Word<'a> {
    fn parse(candidate: &'a [u8]) -> Option<Self> {
        let rest = candidate.strip_prefix(b"=?")?;
        let charset_len = rest.iter().take(CHARSET_LIMIT).position(|byte| *byte == b'?')?;
        let charset = str::from_utf8(rest.get(..charset_len)?).ok()?;
        // RFC 2231 section 5 allows a language after a star.
        let charset = charset.split('*').next()?;
        let base64 = match rest.get(charset_len + 1..charset_len + 3)? {
            b"B?" | b"b?" => true,
            b"Q?" | b"q?" => false,
            _ => return None,
        };
        let text = rest.get(charset_len + 3..)?;
        let text_len = memchr::memchr(b'?', text)?;
        let text = text.get(..text_len)?;
        let len = 2 + charset_len + 3 + text_len + 2;
        let is_word = candidate.get(len - 1) == Some(&b'=') && !charset.is_empty();
        is_word.then_some(Self { charset, base64, text, len })
    }

    fn bytes(&self) -> Vec<u8> {
        if self.base64 { crate::transfer::base64_to_vec(self.text) } else { q_to_vec(self.text) }
    }
}

/// Joins adjacent words of one character set before decoding, since senders cut characters in two.
#[derive(Default)]
struct Decoder<'a> {
    out: String,
    charset: &'a str,
    pending: Vec<u8>,
    /// Whether the last thing was a word: blanks between two words are not text (section 6.2).
    after_word: bool,
    blanks: Option<&'a [u8]>,
}

impl<'a> Decoder<'a> {
    fn plain(&mut self, text: &'a [u8]) {
        if text.is_empty() {
            return;
        }
        if self.after_word && self.blanks.is_none() && text.trim_ascii().is_empty() {
            self.blanks = Some(text);
            return;
        }
        self.flush();
        let text: Cow<'_, str> = String::from_utf8_lossy(text);
        self.out.push_str(&text);
    }

    fn word(&mut self, word: &Word<'a>) {
        self.blanks = None;
        if self.after_word && !self.charset.eq_ignore_ascii_case(word.charset) {
            self.flush();
        }
        self.charset = word.charset;
        self.pending.extend_from_slice(&word.bytes());
        self.after_word = true;
    }

    fn flush(&mut self) {
        if self.after_word {
            self.out.push_str(&to_unicode(self.charset, &self.pending));
            self.pending.clear();
            self.after_word = false;
        }
        if let Some(blanks) = self.blanks.take() {
            self.out.push_str(&String::from_utf8_lossy(blanks));
        }
    }

    fn finish(mut self) -> String {
        self.flush();
        if self.out.chars().any(char::is_control) {
            self.out = self.out.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        }
        self.out
    }
}

/// The Q encoding: underscore is a blank, `=XX` a byte (RFC 2047 section 4.2).
fn q_to_vec(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'_', _) => out.push(b' '),
            (b'=', [high, low, tail @ ..]) => match hex_pair(*high, *low) {
                Some(byte) => {
                    out.push(byte);
                    rest = tail;
                }
                None => out.push(b'='),
            },
            (byte, _) => out.push(*byte),
        }
    }
    out
}

/// The byte that two hexadecimal digits write.
pub(crate) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// The longest registered character set name has 45 characters; more is not a word.
const CHARSET_LIMIT: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_rfc_2047_section_8() {
        let pairs: &[(&str, &str)] = &[
            ("(=?ISO-8859-1?Q?a?=)", "(a)"),
            ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
            ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
            ("(=?ISO-8859-1?Q?a?=    =?ISO-8859-1?Q?b?=)", "(ab)"),
            ("(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
            ("(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
            ("=?ISO-8859-1?Q?Andr=E9?= Pirard", "André Pirard"),
            ("=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo"),
            ("=?US-ASCII*EN?Q?Keith_Moore?= x", "Keith Moore x"),
        ];
        for (value, expected) in pairs {
            assert_eq!(&decode(value.as_bytes()), expected);
        }
    }

    #[test]
    fn a_character_cut_in_two_words_is_whole_again() {
        assert_eq!(decode("=?utf-8?Q?=C3?= =?UTF-8?Q?=A4?=".as_bytes()), "ä");
    }

    #[test]
    fn what_is_no_word_stays() {
        for text in ["=?", "=?utf-8?Q?abc", "=?utf-8?X?abc?=", "a =?= b", "=??Q?a?=", "=?utf-8?Q?a?b?="] {
            assert_eq!(decode(text.as_bytes()), text);
        }
        assert_eq!(decode(b"=?utf-8?Q?a=ZZ=4?="), "a=ZZ=4");
        assert_eq!(decode(b"a\xffb"), "a\u{fffd}b");
    }

    #[test]
    fn decoded_control_characters_become_blanks() {
        assert_eq!(decode(b"=?utf-8?Q?a=0D=0ABcc:_x=00?="), "a  Bcc: x ");
    }

    #[test]
    fn hostile_openings_take_linear_time() {
        let value = b"=?utf-8?Q?".repeat(200_000);
        assert_eq!(decode(&value).len(), value.len());
    }
}
