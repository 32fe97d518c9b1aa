//! One line of a zone.

use std::fmt;

use crate::dns::Tlsa;

/// Longest string of a TXT record, octets (RFC 1035 section 3.3).
const STRING_MAX: usize = 255;

/// A record that should be published. Its text is a line of a zone file (RFC 1035 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Owner, without a final dot.
    pub name: String,
    /// Seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// Record data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// RFC 6698 section 2.
    Tlsa(Tlsa),
    /// Text, of any length.
    Txt(String),
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, ttl, data } = self;
        match data {
            Data::Tlsa(Tlsa { usage, selector, matching, data }) => {
                write!(f, "{name}. {ttl} IN TLSA {usage} {selector} {matching} ")?;
                data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Data::Txt(text) => {
                write!(f, "{name}. {ttl} IN TXT")?;
                text.as_bytes().chunks(STRING_MAX).try_for_each(|string| write!(f, " {}", Quoted(string)))
            }
        }
    }
}

/// A character string of a zone file.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for byte in self.0 {
            match byte {
                b'"' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                b' '..=b'~' => write!(f, "{}", char::from(*byte))?,
                _ => write!(f, "\\{byte:03}")?,
            }
        }
        f.write_str("\"")
    }
}
