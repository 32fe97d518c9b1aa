//! What Postfix and the administrator call a next-hop: `domain`, `[host]`, `[address]`, each with or without a port.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;

use crate::dns::BadName;
use crate::dns::a_labels;
use crate::dns::is_host_name;

/// The port of SMTP between servers (RFC 5321 section 4.5.4.2).
const SMTP: u16 = 25;

/// A next-hop that makes sense. Its text is unique: lower-case A-labels, the port only if it is not 25.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Where to.
    pub target: Target,
    /// The port of every host.
    pub port: u16,
}

/// The part without the port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// An address literal (RFC 5321 section 4.1.3).
    Address(IpAddr),
    /// A mail domain: its MX records decide.
    Domain(String),
    /// A host in brackets: no MX look-up.
    Host(String),
}

/// Why a text is no next-hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNextHop {
    /// An address that is not in brackets.
    #[error("an address must be in brackets")]
    Bare,
    /// A bracket without its partner, or something between the bracket and the port.
    #[error("the brackets do not fit")]
    Brackets,
    /// The name is none.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The port is no number from 1 to 65535, nor one of the names that mail has.
    #[error("the port is none")]
    Port,
}

impl NextHop {
    /// Reads a next-hop.
    ///
    /// # Errors
    /// [`BadNextHop`]: mail for it can never be delivered.
    pub fn parse(text: &str) -> Result<Self, BadNextHop> {
        let Some(rest) = text.strip_prefix('[') else {
            let (name, port) = match text.split_once(':') {
                Some((name, port)) => (name, parse_port(port)?),
                None => (text, SMTP),
            };
            let domain = a_labels(name)?;
            if !is_host_name(&domain) {
                return Err(BadNextHop::Bare);
            }
            return Ok(Self { target: Target::Domain(domain), port });
        };
        let (inside, after) = rest.split_once(']').ok_or(BadNextHop::Brackets)?;
        let port = match after.strip_prefix(':') {
            Some(port) => parse_port(port)?,
            None if after.is_empty() => SMTP,
            None => return Err(BadNextHop::Brackets),
        };
        let target = match parse_address(inside) {
            Some(address) => Target::Address(address),
            None => {
                let host = a_labels(inside)?;
                if !is_host_name(&host) {
                    return Err(BadName::Character.into());
                }
                Target::Host(host)
            }
        };
        Ok(Self { target, port })
    }

    /// The domain, host or address without brackets and port.
    pub fn domain(&self) -> String {
        match &self.target {
            Target::Domain(name) | Target::Host(name) => name.clone(),
            Target::Address(address) => address.to_string(),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Domain(name) => f.write_str(name)?,
            Target::Host(name) => write!(f, "[{name}]")?,
            Target::Address(address) => write!(f, "[{address}]")?,
        }
        if self.port == SMTP { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

fn parse_port(text: &str) -> Result<u16, BadNextHop> {
    match text {
        "smtp" => Ok(SMTP),
        "smtps" | "submissions" => Ok(465),
        "submission" => Ok(587),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().ok().filter(|port| *port != 0).ok_or(BadNextHop::Port)
        }
        _ => Err(BadNextHop::Port),
    }
}

/// `192.0.2.1`, `2001:db8::1` or `IPv6:2001:db8::1`.
fn parse_address(text: &str) -> Option<IpAddr> {
    let tagged = text.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("ipv6:"));
    if tagged {
        return text.get(5..)?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_has_one_text() {
        for (text, canonical) in [
            ("Example.ORG.", "example.org"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("example.org:25", "example.org"),
            ("example.org:smtp", "example.org"),
            ("example.org:submission", "example.org:587"),
            ("[mx.example.org]:smtps", "[mx.example.org]:465"),
            ("[MX.example.org]", "[mx.example.org]"),
            ("[mx.example.org]:2525", "[mx.example.org]:2525"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("[IPv6:2001:DB8::1]:26", "[2001:db8::1]:26"),
            ("[2001:db8:0::1]", "[2001:db8::1]"),
        ] {
            let next_hop = NextHop::parse(text).unwrap();
            assert_eq!(next_hop.to_string(), canonical);
            assert_eq!(NextHop::parse(canonical), Ok(next_hop));
        }
    }

    #[test]
    fn what_is_no_next_hop_says_why() {
        for (text, why) in [
            ("", BadNextHop::Name(BadName::EmptyLabel)),
            (".example.org", BadNextHop::Name(BadName::EmptyLabel)),
            ("192.0.2.1", BadNextHop::Bare),
            ("2001:db8::1", BadNextHop::Port),
            ("[mx.example.org", BadNextHop::Brackets),
            ("[mx.example.org]x", BadNextHop::Brackets),
            ("mx.example.org]", BadNextHop::Name(BadName::Character)),
            ("[]", BadNextHop::Name(BadName::EmptyLabel)),
            ("[300.1.1.1]", BadNextHop::Name(BadName::Character)),
            ("[IPv6:x]", BadNextHop::Name(BadName::Character)),
            ("example.org:0", BadNextHop::Port),
            ("example.org:65536", BadNextHop::Port),
            ("example.org:", BadNextHop::Port),
            ("example.org:+25", BadNextHop::Port),
            ("a b.example", BadNextHop::Name(BadName::Character)),
        ] {
            assert_eq!(NextHop::parse(text), Err(why), "{text}");
        }
        assert_eq!(NextHop::parse(&"a".repeat(64)), Err(BadName::LabelTooLong.into()));
        assert_eq!(NextHop::parse(&"a.".repeat(200)), Err(BadName::NameTooLong.into()));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_writing_gives_it_back(text in "\\PC*|\\[?[a-zA-Z0-9.:\\-]{0,20}\\]?(:[0-9]{0,6})?") {
            if let Ok(next_hop) = NextHop::parse(&text) {
                prop_assert_eq!(NextHop::parse(&next_hop.to_string()), Ok(next_hop));
            }
        }
    }
}
