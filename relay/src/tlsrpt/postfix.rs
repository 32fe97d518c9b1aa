//! What Postfix 3.10 and newer tells: one datagram for each new TLS connection, by libtlsrpt to a unix socket.
//!
//! A datagram is a JSON object with `d` (domain), `pr` (the TLSRPT record) and `policies`; each policy has
//! `policy-type` (1 TLSA, 2 STS, 9 none), `policy-domain`, `policy-string`, `mx-host`, `failure-details` and `f`
//! (0 if a connection that complies came about). A failure has `c` (the code of the result type) and, where
//! known, `s` and `r` (addresses of sender and receiver), `n` (MX host), `h` (its greeting), `a` (additional
//! information) and `f` (reason).

use std::fs;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Deserialize;
use tokio::net::UnixDatagram;

use super::collector::Collector;
use super::session::AppliedPolicy;
use super::session::Failure;
use super::session::Outcome;
use super::session::Peer;
use super::session::PolicyType;
use super::session::ResultType;
use super::session::Session;

/// Longest datagram; Linux sends none that is longer than its default buffer.
const DATAGRAM_MAX: usize = 256 * 1024;
/// Most policies of one datagram that are counted.
const POLICIES_MAX: usize = 16;

/// The socket that `smtp_tlsrpt_socket_name` of Postfix names.
#[derive(Debug)]
pub struct PostfixSocket {
    socket: UnixDatagram,
}

/// Why a datagram is not counted.
#[derive(Debug, thiserror::Error)]
pub enum BadDatagram {
    /// Not the JSON that is expected.
    #[error("the datagram is not what libtlsrpt sends")]
    Json(#[from] serde_json::Error),
    /// A policy type or result type that nobody knows.
    #[error("the datagram has an unknown code {0}")]
    Code(u16),
}

impl PostfixSocket {
    /// Makes the socket, in place of one that an earlier process left. Postfix must be able to write to it, by
    /// `mode` and by the rights of its directory; its smtp client may run in a chroot.
    ///
    /// # Errors
    /// The directory is not ours, or something that is no socket has that name.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = UnixDatagram::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        Ok(Self { socket })
    }

    /// Counts what comes, for as long as the future is polled.
    pub async fn run(&self, collector: &Collector) {
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            match self.socket.recv(&mut buffer).await {
                Ok(length) => match parse(buffer.get(..length).unwrap_or_default()) {
                    Ok(session) => collector.record(session),
                    Err(error) => tracing::warn!(%error, length, "not counted in TLS reports"),
                },
                Err(error) => {
                    tracing::error!(%error, "the socket for Postfix's TLS results failed");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct Datagram {
    d: String,
    #[serde(default)]
    policies: Vec<Policy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Policy {
    policy_type: u16,
    #[serde(default)]
    policy_domain: Option<String>,
    #[serde(default)]
    policy_string: Vec<String>,
    #[serde(default)]
    mx_host: Vec<String>,
    #[serde(default)]
    failure_details: Vec<Detail>,
    #[serde(default)]
    f: u8,
}

#[derive(Deserialize)]
struct Detail {
    c: u16,
    #[serde(default)]
    s: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    h: Option<String>,
    #[serde(default)]
    r: Option<String>,
    #[serde(default)]
    a: Option<String>,
    #[serde(default)]
    f: Option<String>,
}

/// Reads one datagram.
///
/// # Errors
/// [`BadDatagram`].
pub fn parse(datagram: &[u8]) -> Result<Session, BadDatagram> {
    let Datagram { d: domain, policies } = serde_json::from_slice(datagram)?;
    let outcomes = policies
        .into_iter()
        .take(POLICIES_MAX)
        .map(|policy| outcome(&domain, policy))
        .collect::<Result<_, _>>()?;
    Ok(Session { domain, outcomes })
}

fn outcome(domain: &str, policy: Policy) -> Result<Outcome, BadDatagram> {
    let kind = match policy.policy_type {
        1 => PolicyType::Tlsa,
        2 => PolicyType::Sts,
        9 => PolicyType::NoPolicyFound,
        other => return Err(BadDatagram::Code(other)),
    };
    let failures = policy.failure_details.into_iter().map(failure).collect::<Result<_, _>>()?;
    let applied = AppliedPolicy {
        kind,
        domain: policy.policy_domain.unwrap_or_else(|| domain.to_owned()),
        strings: policy.policy_string,
        mx_hosts: policy.mx_host,
    };
    Ok(Outcome { policy: applied, succeeded: policy.f == 0, failures })
}

fn failure(detail: Detail) -> Result<Failure, BadDatagram> {
    let result = match detail.c {
        201 => ResultType::StarttlsNotSupported,
        202 => ResultType::CertificateHostMismatch,
        203 => ResultType::CertificateNotTrusted,
        204 => ResultType::CertificateExpired,
        205 => ResultType::ValidationFailure,
        301 => ResultType::StsPolicyFetchError,
        302 => ResultType::StsPolicyInvalid,
        303 => ResultType::StsWebpkiInvalid,
        304 => ResultType::TlsaInvalid,
        305 => ResultType::DnssecInvalid,
        306 => ResultType::DaneRequired,
        other => return Err(BadDatagram::Code(other)),
    };
    let ip = |text: Option<String>| text.and_then(|text| text.parse().ok());
    let helo = detail.h.map(|answer| name_in(&answer));
    let peer = Peer { sending_ip: ip(detail.s), mx: detail.n, helo, receiving_ip: ip(detail.r) };
    Ok(Failure { result, peer, reason: detail.f, more: detail.a })
}

/// What a server calls itself: the first word of its answer to EHLO, of which Postfix tells all lines.
fn name_in(answer: &str) -> String {
    let first = answer.strip_prefix("250-").or_else(|| answer.strip_prefix("250 ")).unwrap_or(answer);
    first.split_ascii_whitespace().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In the form that libtlsrpt 0.5 writes: one policy with a failure, one without.
    const DATAGRAM: &str = r#"{"d": "company-y.example","pr": "v=TLSRPTv1;rua=mailto:reports@company-y.example","policies":[{"policy-type":2,"policy-domain": "company-y.example","policy-string":["version: STSv1","mode: testing"],"mx-host":["*.mail.company-y.example"],"failure-details":[{"c":204,"s": "192.0.2.1","n": "mx1.mail.company-y.example","h": "mx1","r": "2001:db8::1","a": "","f": "expired"}],"t":1,"f":1},{"policy-type":1,"policy-domain": "mx2.mail.company-y.example","policy-string":["3 1 1 AB"],"t":0,"f":0}]}"#;

    #[test]
    fn a_datagram_of_libtlsrpt_is_read() {
        let session = parse(DATAGRAM.as_bytes()).unwrap();
        assert_eq!(session.domain, "company-y.example");
        let [sts, tlsa] = session.outcomes.as_slice() else { panic!() };
        assert_eq!((sts.policy.kind, sts.succeeded, sts.failures.len()), (PolicyType::Sts, false, 1));
        assert_eq!(sts.failures[0].result, ResultType::CertificateExpired);
        assert_eq!(sts.failures[0].peer.receiving_ip, Some("2001:db8::1".parse().unwrap()));
        assert_eq!((tlsa.policy.kind, tlsa.succeeded), (PolicyType::Tlsa, true));
        assert_eq!(tlsa.policy.domain, "mx2.mail.company-y.example");
    }

    #[test]
    fn of_an_answer_to_ehlo_the_name_is_told() {
        for answer in ["mx1", "250 mx1", "250-mx1 at your service\r\n250-STARTTLS\r\n250 SIZE 0"] {
            assert_eq!(name_in(answer), "mx1");
        }
        assert_eq!(name_in("250-"), "");
    }

    #[test]
    fn unknown_codes_and_other_json_are_refused() {
        for (from, to) in [("\"c\":204", "\"c\":999"), ("\"policy-type\":2", "\"policy-type\":3")] {
            assert!(matches!(parse(DATAGRAM.replace(from, to).as_bytes()), Err(BadDatagram::Code(_))));
        }
        for text in ["", "{}", "[]", "{\"d\":1}", "{\"d\":\"a\",\"policies\":{}}"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(cut in 0..DATAGRAM.len(), octet in any::<u8>()) {
            let mut datagram = DATAGRAM.as_bytes().to_vec();
            datagram[cut] = octet;
            let _ = parse(&datagram);
            let _ = parse(&datagram[..cut]);
        }
    }
}
