//! The commands of LMTP and their parameters.

use std::net::IpAddr;

use mail::EnhancedCode;

use crate::delivery::Envelope;
use crate::delivery::Recipient;
use crate::delivery::Reply;
use crate::dns::a_labels;

/// One command of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The next so many octets are content (RFC 3030).
    Bdat {
        /// How many.
        size: u64,
        /// They are the last.
        last: bool,
    },
    /// Content follows.
    Data,
    /// Who the client is (RFC 2033 section 4.1).
    Lhlo,
    /// A message begins.
    Mail {
        /// Sender and options.
        envelope: Envelope,
        /// SIZE as announced.
        size: Option<u64>,
    },
    /// Nothing.
    Noop,
    /// The client leaves.
    Quit,
    /// A recipient.
    Rcpt {
        /// Address and options.
        recipient: Recipient,
        /// Where it leads: a domain in lower-case A-labels where it has them, or an address literal.
        domain: String,
    },
    /// The message is forgotten.
    Rset,
    /// Nothing is told about addresses.
    Vrfy,
    /// Where the message came from (Postfix's XFORWARD); the queue id is all we take.
    Xforward {
        /// IDENT.
        ident: Option<String>,
    },
}

/// Reads one command line without its end.
///
/// # Errors
/// The reply to give instead.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    let line = std::str::from_utf8(line).map_err(|_| syntax("the command is not UTF-8"))?;
    if line.chars().any(char::is_control) {
        return Err(syntax("the command has a control character"));
    }
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_matches(' ');
    match verb.to_ascii_uppercase().as_str() {
        "BDAT" => bdat(rest),
        "DATA" if rest.is_empty() => Ok(Command::Data),
        "LHLO" if rest.is_empty() => Err(arguments("LHLO needs a name")),
        "LHLO" => Ok(Command::Lhlo),
        "MAIL" => mail(rest),
        "NOOP" => Ok(Command::Noop),
        "QUIT" if rest.is_empty() => Ok(Command::Quit),
        "RCPT" => rcpt(rest),
        "RSET" if rest.is_empty() => Ok(Command::Rset),
        "VRFY" => Ok(Command::Vrfy),
        "XFORWARD" => xforward(rest),
        "DATA" | "QUIT" | "RSET" => Err(arguments("this command has no arguments")),
        // RFC 2033 section 4.1: the server must not answer these positively.
        "EHLO" | "HELO" => Err(unknown("this is LMTP: say LHLO")),
        _ => Err(unknown("unknown command")),
    }
}

fn bdat(rest: &str) -> Result<Command, Reply> {
    let mut words = rest.split_ascii_whitespace();
    let size = words.next().and_then(decimal).ok_or_else(|| arguments("BDAT needs a size"))?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(arguments("BDAT knows LAST only")),
    };
    match words.next() {
        None => Ok(Command::Bdat { size, last }),
        Some(_) => Err(arguments("BDAT knows LAST only")),
    }
}

fn mail(rest: &str) -> Result<Command, Reply> {
    let (path, parameters) = path(rest, "FROM:")?;
    let mut envelope = Envelope { reverse_path: path.to_owned(), ..Envelope::default() };
    let mut announced = None;
    for (name, value) in pairs(parameters) {
        match (name.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) => {
                announced = Some(decimal(value).ok_or_else(|| arguments("SIZE is no number"))?);
            }
            ("BODY", Some(value)) if is_one_of(value, &["7BIT", "8BITMIME"]) => {}
            ("SMTPUTF8", None) => envelope.smtputf8 = true,
            ("REQUIRETLS", None) => envelope.require_tls = true,
            ("RET", Some(value)) if is_one_of(value, &["FULL", "HDRS"]) => {
                envelope.ret = Some(value.to_ascii_uppercase());
            }
            ("ENVID", Some(value)) if value.is_ascii() && value.len() <= ENVID => {
                envelope.envid = Some(value.to_owned());
            }
            // We neither trust nor pass on who the sender claims to be.
            ("AUTH", Some(_)) => {}
            ("SIZE" | "BODY" | "RET" | "ENVID" | "SMTPUTF8" | "REQUIRETLS" | "AUTH", _) => {
                return Err(arguments(&format!("bad value for {name}")));
            }
            _ => return Err(parameter(name)),
        }
    }
    if !path.is_ascii() && !envelope.smtputf8 {
        return Err(Reply::own(553, EnhancedCode(5, 6, 7), "an international address needs SMTPUTF8"));
    }
    Ok(Command::Mail { envelope, size: announced })
}

fn rcpt(rest: &str) -> Result<Command, Reply> {
    let (path, parameters) = path(rest, "TO:")?;
    // A source route is skipped (RFC 5321 appendix C).
    let path = match path.strip_prefix('@') {
        Some(route) => {
            route.split_once(':').map(|(_, path)| path).ok_or_else(|| address("bad source route"))?
        }
        None => path,
    };
    let domain = domain_of(path)?;
    let mut recipient = Recipient { address: path.to_owned(), ..Recipient::default() };
    for (name, value) in pairs(parameters) {
        match (name.to_ascii_uppercase().as_str(), value) {
            ("NOTIFY", Some(value)) if is_notify(value) => {
                recipient.notify = Some(value.to_ascii_uppercase())
            }
            ("ORCPT", Some(value)) if value.contains(';') && value.len() <= ORCPT => {
                recipient.orcpt = Some(value.to_owned());
            }
            ("NOTIFY" | "ORCPT", _) => return Err(arguments(&format!("bad value for {name}"))),
            _ => return Err(parameter(name)),
        }
    }
    Ok(Command::Rcpt { recipient, domain })
}

fn xforward(rest: &str) -> Result<Command, Reply> {
    let mut ident = None;
    for (name, value) in pairs(rest) {
        let value = value.ok_or_else(|| arguments("XFORWARD needs NAME=value"))?;
        // A queue id, not more: it goes into log lines and records.
        let sane = value.len() <= IDENT && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if name.eq_ignore_ascii_case("IDENT") && sane && !value.is_empty() {
            ident = Some(value.to_owned());
        }
    }
    Ok(Command::Xforward { ident })
}

/// The path behind `keyword`, without brackets, and what follows it.
fn path<'a>(rest: &'a str, keyword: &str) -> Result<(&'a str, &'a str), Reply> {
    let bad = || address(&format!("expected {keyword}<address>"));
    let start = rest.get(..keyword.len()).filter(|start| start.eq_ignore_ascii_case(keyword));
    let rest = start.and_then(|_| rest.get(keyword.len()..)).ok_or_else(bad)?;
    // A blank behind the colon is wrong and common.
    let rest = rest.trim_start_matches(' ').strip_prefix('<').ok_or_else(bad)?;
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let (path, after) = rest.split_at(at);
                let after = after.strip_prefix('>').unwrap_or_default();
                if path.len() > PATH {
                    return Err(address("the address is too long"));
                }
                if !after.is_empty() && !after.starts_with(' ') {
                    return Err(bad());
                }
                return Ok((path, after));
            }
            ' ' | '<' if !quoted => return Err(bad()),
            _ => {}
        }
    }
    Err(bad())
}

/// The domain of a recipient. Whether there is such a domain is not decided here.
fn domain_of(path: &str) -> Result<String, Reply> {
    let (local, domain) = path.rsplit_once('@').ok_or_else(|| address("the address has no domain"))?;
    let domain = domain.strip_suffix('.').unwrap_or(domain).to_lowercase();
    if local.is_empty() || domain.is_empty() {
        return Err(address("the address is incomplete"));
    }
    let Some(literal) = domain.strip_prefix('[') else {
        // Anything else could mean something to those who read next-hops.
        let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c) || !c.is_ascii();
        if !domain.chars().all(plain) {
            return Err(address("bad domain"));
        }
        // Both forms of an international name are one domain.
        return Ok(a_labels(&domain).unwrap_or(domain));
    };
    // An address, and nothing else that a next-hop in brackets could be: no host, no port.
    let literal = literal.strip_suffix(']').ok_or_else(|| address("bad address literal"))?;
    let is_address = match literal.strip_prefix("ipv6:") {
        Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
        None => matches!(literal.parse(), Ok(IpAddr::V4(_))),
    };
    if is_address { Ok(domain) } else { Err(address("bad address literal")) }
}

/// `NAME=value` and `NAME`.
fn pairs(parameters: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    parameters.split_ascii_whitespace().map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (pair, None),
    })
}

fn decimal(text: &str) -> Option<u64> {
    (text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn is_one_of(value: &str, known: &[&str]) -> bool {
    known.iter().any(|known| value.eq_ignore_ascii_case(known))
}

/// RFC 3461 section 4.1.
fn is_notify(value: &str) -> bool {
    value.eq_ignore_ascii_case("NEVER")
        || value.split(',').all(|word| is_one_of(word, &["SUCCESS", "FAILURE", "DELAY"]))
}

fn syntax(text: &str) -> Reply {
    Reply::own(500, EnhancedCode(5, 5, 2), text)
}

fn unknown(text: &str) -> Reply {
    Reply::own(500, EnhancedCode(5, 5, 1), text)
}

fn arguments(text: &str) -> Reply {
    Reply::own(501, EnhancedCode(5, 5, 4), text)
}

fn parameter(name: &str) -> Reply {
    let name: String = name.chars().take(32).collect();
    Reply::own(555, EnhancedCode(5, 5, 4), format!("unknown parameter {name}"))
}

fn address(text: &str) -> Reply {
    Reply::own(501, EnhancedCode(5, 1, 3), text)
}

/// Longest path; RFC 5321 has 256, and 320 are on the road.
const PATH: usize = 512;
/// RFC 3461 section 4.4.
const ENVID: usize = 100;
/// RFC 3461 section 4.2.
const ORCPT: usize = 500;
const IDENT: usize = 64;

#[cfg(test)]
mod tests;
