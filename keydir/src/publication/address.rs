//! Which mailbox an asked address may mean.

use openssl::sha::sha256;

use crate::identity;
use crate::wkd;

/// An address in the form in which mailboxes are stored: ASCII lower case, the domain in A-labels.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Asked {
    pub(super) local: String,
    pub(super) domain: String,
}

impl Asked {
    pub(super) fn parse(address: &str) -> Option<Self> {
        let (local, domain) = identity::split_address(address)?;
        Some(Self { local: local.to_ascii_lowercase(), domain })
    }

    /// What a WKD client claims to ask for, if it does ask for that.
    pub(super) fn from_wkd(domain: &str, hash: &str, local: &str) -> Option<Self> {
        let asked = Self::parse(&format!("{local}@{domain}"))?;
        (wkd::wkd_hash(local) == hash).then_some(asked)
    }

    pub(super) fn key(&self) -> String {
        format!("{}@{}", self.local, self.domain)
    }

    /// The mailbox to which this is a sub-address, where any of the characters of `delimiter` divides the two:
    /// the first one counts.
    ///
    /// As in Postfix (local(8), address extension) some names are never divided: postmaster, mailer-daemon,
    /// double-bounce and, if a hyphen divides, `owner-list` and `list-request`.
    pub(super) fn base(&self, delimiter: &str) -> Option<String> {
        let local = self.local.as_str();
        let system = matches!(local, "postmaster" | "mailer-daemon" | "double-bounce");
        let list = local.starts_with("owner-") || (local.len() > 8 && local.ends_with("-request"));
        if system || (list && delimiter.contains('-')) {
            return None;
        }
        let at = local.find(|c| delimiter.contains(c)).filter(|at| *at > 0)?;
        Some(format!("{}@{}", local.get(..at)?, self.domain))
    }
}

/// The name under which an address that is nobody's sub-address is remembered; tells nobody the address.
pub(super) fn whole_name(key: &str) -> [u8; 32] {
    sha256(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(address: &str, delimiter: &str) -> Option<String> {
        Asked::parse(address).unwrap().base(delimiter)
    }

    #[test]
    fn the_first_delimiter_divides() {
        for (address, delimiter, expected) in [
            ("Bob+lists@gate.example", "+", Some("bob@gate.example")),
            ("bob+a-b@gate.example", "+-", Some("bob@gate.example")),
            ("bob-a+b@gate.example", "+-", Some("bob@gate.example")),
            ("bob-a@gate.example", "+", None),
            ("+a@gate.example", "+", None),
            ("bob@gate.example", "+-", None),
            ("bob+a@gate.example", "", None),
            ("owner-list@gate.example", "-", None),
            ("list-request@gate.example", "+-", None),
            ("owner+list@gate.example", "+", Some("owner@gate.example")),
            ("MAILER-DAEMON@gate.example", "-", None),
        ] {
            assert_eq!(base(address, delimiter).as_deref(), expected, "{address} {delimiter}");
        }
    }

    #[test]
    fn a_claimed_local_part_must_have_the_hash() {
        let hash = wkd::wkd_hash("bob+a");
        assert!(Asked::from_wkd("gate.example", &hash, "Bob+a").is_some());
        assert!(Asked::from_wkd("gate.example", &hash, "bob+b").is_none());
        assert!(Asked::from_wkd("gate.example", &hash, "bob+a@x").is_none());
        assert!(Asked::from_wkd("gate example", &hash, "bob+a").is_none());
    }
}
