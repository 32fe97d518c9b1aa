//! What a request asks of the Web Key Directory.

use crate::percent;

use super::PREFIX;

/// A question to the Web Key Directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The domain as the client wrote it, decoded: in A- or U-labels, any case, perhaps with a final dot.
    pub domain: String,
    /// What is asked about it.
    pub what: What,
}

/// What is asked about a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The certificates of a mailbox.
    Key {
        /// Hash of the local part: 32 characters of z-base-32.
        hash: String,
        /// What the client says that the local part is. Not to be trusted unless it has that hash.
        local: Option<String>,
    },
    /// The policy file.
    Policy,
    /// The file with the address for submissions.
    SubmissionAddress,
}

/// Longest domain name as text; labels of Unicode take more octets than 255.
const DOMAIN_BYTES: usize = 1024;
/// Longest local part that is looked at, bytes.
const LOCAL_BYTES: usize = 512;

impl Asked {
    /// Reads path, query and host of a request. The domain is the one in the path (advanced method), or else the host
    /// (direct method). `None` is no question that has an answer.
    pub fn parse(path: &str, query: Option<&str>, host: Option<&[u8]>) -> Option<Self> {
        let rest = path.strip_prefix(PREFIX)?;
        let mut parts = rest.split('/');
        let (domain, what) = match [parts.next(), parts.next(), parts.next(), parts.next()] {
            [Some("policy"), None, ..] => (of_host(host?)?, What::Policy),
            [Some("submission-address"), None, ..] => (of_host(host?)?, What::SubmissionAddress),
            [Some("hu"), Some(hash), None, _] if is_hash(hash) => (of_host(host?)?, key(hash, query)),
            [Some(domain), Some("policy"), None, _] => (of_path(domain)?, What::Policy),
            [Some(domain), Some("submission-address"), None, _] => {
                (of_path(domain)?, What::SubmissionAddress)
            }
            [Some(domain), Some("hu"), Some(hash), None] if is_hash(hash) => {
                (of_path(domain)?, key(hash, query))
            }
            _ => return None,
        };
        Some(Self { domain, what })
    }
}

fn key(hash: &str, query: Option<&str>) -> What {
    // A plus sign is one: local parts have no spaces.
    let local = query.and_then(|query| percent::parameter(query, "l")).and_then(percent::decode);
    What::Key { hash: hash.to_owned(), local: local.filter(|local| local.len() <= LOCAL_BYTES) }
}

/// z-base-32 (RFC 6189, 5.1.6), as directories of files have it: lower case, always 32 characters.
fn is_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| b"ybndrfg8ejkmcpqxot1uwisza345h769".contains(&byte))
}

fn of_path(segment: &str) -> Option<String> {
    domain(&percent::decode(segment)?)
}

/// The name of a Host field or of the request target, without its port.
fn of_host(host: &[u8]) -> Option<String> {
    let host = std::str::from_utf8(host).ok()?;
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) => return None,
        None => host,
    };
    domain(name)
}

fn domain(name: &str) -> Option<String> {
    let labels = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_') || is_mark(c))
    };
    (name.len() <= DOMAIN_BYTES && labels.split('.').all(is_label)).then(|| name.to_owned())
}

/// Combining marks and joiners of scripts that need them; which of them a name may have is IDNA's to say.
fn is_mark(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "iy9q119eutrkn8s1mk4r39qejnbu3n5q";

    fn asked(rest: &str, host: &str) -> Option<Asked> {
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        Asked::parse(&format!("{PREFIX}{path}"), query, Some(host.as_bytes()))
    }

    fn domain_of(rest: &str, host: &str) -> Option<String> {
        asked(rest, host).map(|asked| asked.domain)
    }

    #[test]
    fn both_methods_are_understood() {
        let advanced = asked(&format!("a.example/hu/{HASH}?l=Joe.Doe"), "openpgpkey.a.example").unwrap();
        let key = What::Key { hash: HASH.to_owned(), local: Some("Joe.Doe".to_owned()) };
        assert_eq!(advanced, Asked { domain: "a.example".to_owned(), what: key.clone() });
        assert_eq!(asked(&format!("hu/{HASH}?l=Joe.Doe"), "a.example"), Some(advanced));
        assert_eq!(asked("policy", "a.example").unwrap().what, What::Policy);
        assert_eq!(asked("a.example/policy", "x").unwrap().what, What::Policy);
        assert_eq!(asked("a.example/submission-address", "x").unwrap().what, What::SubmissionAddress);
        assert_eq!(asked("submission-address", "a.example").unwrap().what, What::SubmissionAddress);
    }

    #[test]
    fn domains_are_taken_as_clients_write_them() {
        let direct = format!("hu/{HASH}");
        for host in [
            "a.example",
            "A.Example",
            "a.example.",
            "a.example:443",
            "a.example.:8443",
            "xn--bcher-kva.example",
        ] {
            let name = host.split(':').next().map(str::to_owned);
            assert_eq!(domain_of(&direct, host), name);
        }
        assert_eq!(domain_of(&direct, "bücher.example").as_deref(), Some("bücher.example"));
        assert_eq!(
            domain_of(&format!("b%C3%BCcher.example/hu/{HASH}"), "x").as_deref(),
            Some("bücher.example")
        );
        assert_eq!(domain_of("hu/policy", "x").as_deref(), Some("hu"));
    }

    #[test]
    fn a_local_part_that_cannot_be_read_is_as_none() {
        let local = |query: &str| match asked(&format!("hu/{HASH}{query}"), "a.example").unwrap().what {
            What::Key { local, .. } => local,
            _ => unreachable!(),
        };
        assert_eq!(local(""), None);
        assert_eq!(local("?l=a%2Bb").as_deref(), Some("a+b"));
        assert_eq!(local("?l=a+b").as_deref(), Some("a+b"));
        assert_eq!(local("?x=1&l=%C3%84RGER").as_deref(), Some("ÄRGER"));
        assert_eq!(local("?l=%c0%af"), None);
        assert_eq!(local(&format!("?l={}", "a".repeat(600))), None);
    }

    #[test]
    fn bad_paths_have_no_answer() {
        for rest in [
            "",
            "hu",
            "hu/",
            "policy/",
            "/policy",
            "a.example",
            "a.example/",
            "a.example//hu/x",
            &format!("hu/{HASH}y"),
            &format!("hu/{}", HASH.to_uppercase()),
            &format!("hu/{HASH}/"),
            &format!("hu//{HASH}"),
            &format!("%2e%2e/hu/{HASH}"),
            &format!("../hu/{HASH}"),
            &format!("a.example/HU/{HASH}"),
            &format!("a%00.example/hu/{HASH}"),
            &format!("a%2fb/hu/{HASH}"),
            &format!("%c0%ae/hu/{HASH}"),
            &format!("a..example/hu/{HASH}"),
            &format!("a.example/hu/{}%00", &HASH[1..]),
            &format!("a%20b/hu/{HASH}"),
            "submission-address/x",
        ] {
            assert_eq!(asked(rest, "a.example"), None, "{rest}");
        }
        for host in ["", ".", "a.example:x", "[::1]:443", "a b", "a.example/", "user@a.example"] {
            assert_eq!(asked(&format!("hu/{HASH}"), host), None, "{host}");
        }
        assert_eq!(Asked::parse(&format!("{PREFIX}policy"), None, None), None);
        assert_eq!(Asked::parse(&format!("{PREFIX}policy"), None, Some(b"\xff")), None);
    }
}
