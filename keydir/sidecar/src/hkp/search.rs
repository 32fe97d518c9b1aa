//! What a key server look-up asks for.

use crate::percent;

/// A look-up of version 1: the parameters of `/pks/lookup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// What to give.
    pub operation: Operation,
    /// Of which certificates.
    pub search: Search,
}

/// What to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The certificates.
    Get,
    /// A list of them.
    Index,
}

/// Exactly which certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// By fingerprint (40 or 64 digits) or key id (16 digits); upper-case hexadecimal.
    Handle(String),
    /// By address.
    Mailbox(String),
}

/// Why a look-up is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// No or an unreadable `search`.
    Malformed,
    /// An operation that this server does not have.
    Operation,
    /// A short key id; everybody can make a key with a given one.
    Short,
    /// Something that is neither a whole address nor a fingerprint or long key id.
    Vague,
}

/// Longest search, bytes: an address of the longest domain as Unicode.
const SEARCH_BYTES: usize = 1024;

impl Lookup {
    /// Reads a query. All parameters but `op` and `search` are without effect: answers are always exact and for
    /// machines.
    ///
    /// # Errors
    /// [`Wrong`] says why it is refused.
    pub fn parse(query: &str) -> Result<Self, Wrong> {
        let value = |name| percent::parameter(query, name).and_then(percent::decode_form);
        let operation = match value("op").as_deref() {
            Some("get") => Operation::Get,
            Some("index") => Operation::Index,
            Some(_) => return Err(Wrong::Operation),
            None => return Err(Wrong::Malformed),
        };
        let search = Search::parse(&value("search").ok_or(Wrong::Malformed)?)?;
        Ok(Self { operation, search })
    }
}

impl Search {
    /// Reads `0x` with digits, digits alone, or an address, which may stand in angle brackets.
    ///
    /// # Errors
    /// [`Wrong`] says why it is refused.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        if text.is_empty() || text.len() > SEARCH_BYTES {
            return Err(Wrong::Malformed);
        }
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        if let Some(digits) = digits {
            return Self::handle(digits);
        }
        if text.contains('@') {
            return Self::mailbox(text);
        }
        Self::handle(text)
    }

    /// Reads the digits of a fingerprint or long key id.
    ///
    /// # Errors
    /// They are too few, or no digits.
    pub fn handle(digits: &str) -> Result<Self, Wrong> {
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match digits.len() {
            16 | 40 | 64 if is_hex => Ok(Self::Handle(digits.to_ascii_uppercase())),
            8 if is_hex => Err(Wrong::Short),
            _ => Err(Wrong::Vague),
        }
    }

    /// Reads a whole address.
    ///
    /// # Errors
    /// It is none.
    pub fn mailbox(text: &str) -> Result<Self, Wrong> {
        let bare = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
        let is_whole = bare.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !local.contains('@') && !domain.is_empty() && !domain.contains(['*', '%'])
        });
        let is_plain = !bare.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>'));
        if is_whole && is_plain && bare.len() <= SEARCH_BYTES {
            Ok(Self::Mailbox(bare.to_owned()))
        } else {
            Err(Wrong::Vague)
        }
    }
}

impl Wrong {
    /// For the client.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Malformed => "the request has no search that can be read\n",
            Self::Operation => "this operation is not offered\n",
            Self::Short => "short key ids are not offered: ask by fingerprint or address\n",
            Self::Vague => "only a whole address, a fingerprint or a long key id can be looked up\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "D1A66E1A23B182C9980F788CFBFCC82A015E7330";

    #[test]
    fn what_clients_send_is_understood() {
        let get = |search: &str| {
            Lookup::parse(&format!("op=get&options=mr&search={search}")).map(|lookup| lookup.search)
        };
        let handle = Ok(Search::Handle(FINGERPRINT.to_owned()));
        assert_eq!(get(&format!("0x{FINGERPRINT}")), handle);
        assert_eq!(get(&FINGERPRINT.to_lowercase()), handle);
        assert_eq!(get("0xfbfcc82a015e7330"), Ok(Search::Handle("FBFCC82A015E7330".to_owned())));
        let mailbox = |address: &str| Ok(Search::Mailbox(address.to_owned()));
        assert_eq!(get("a%40b.example&exact=on"), mailbox("a@b.example"));
        assert_eq!(get("%3Ca%2Bb@b.example%3E"), mailbox("a+b@b.example"));
        assert_eq!(get("%C3%A4@b.example"), mailbox("ä@b.example"));
        let index = Lookup::parse("search=a%40b.example&fingerprint=on&op=index").unwrap();
        assert_eq!(index.operation, Operation::Index);
        // Whatever is wished for, the answer is exact.
        assert_eq!(get("a%40b.example&exact=off"), mailbox("a@b.example"));
    }

    #[test]
    fn nothing_short_or_vague_is_looked_up() {
        let get = |search: &str| Lookup::parse(&format!("op=get&search={search}"));
        for short in ["0x015E7330", "015e7330"] {
            assert_eq!(get(short), Err(Wrong::Short), "{short}");
        }
        let long = format!("{}@b.example", "a".repeat(4096));
        let no_address = ["*", "%25", "@b.example", "alice", "a@", "a@*", "a@%25", "a@b@c", "a@b.example%00"];
        for vague in no_address {
            assert_eq!(get(vague), Err(Wrong::Vague), "{vague}");
        }
        for vague in
            ["Alice+%3Ca@b.example%3E", "a@b%0d%0ac.example", "0xZZ", "0x0123456789", &FINGERPRINT[1..]]
        {
            assert_eq!(get(vague), Err(Wrong::Vague), "{vague}");
        }
        for malformed in ["", "+", "%c0%af", "%4", &long] {
            assert_eq!(get(malformed), Err(Wrong::Malformed), "{malformed}");
        }
        assert_eq!(Lookup::parse("op=get"), Err(Wrong::Malformed));
        assert_eq!(Lookup::parse("search=a@b.example"), Err(Wrong::Malformed));
        for operation in ["vindex", "stats", "x-list", "hget", "GET", ""] {
            let lookup = Lookup::parse(&format!("op={operation}&search=a@b.example"));
            assert_eq!(lookup, Err(Wrong::Operation), "{operation}");
        }
    }
}
