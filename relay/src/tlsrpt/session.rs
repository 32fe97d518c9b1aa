//! What one connection, or the attempt of one, has to tell (RFC 8460 sections 4.2 to 4.4).

use std::net::IpAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::dns;
use crate::dns::Tlsa;
use crate::road::Hop;
use crate::road::Road;
use crate::road::Route;
use crate::road::Trouble;
use crate::road::TroubleKind;
use crate::sts::StsPolicy;
use crate::tls::SessionFailure;

/// Longest text that is kept of a reason, a greeting or a policy line, octets.
const TEXT_MAX: usize = 256;
/// Most lines of a policy that are kept.
const LINES_MAX: usize = 64;

/// Result types, in the order of RFC 8460 section 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultType {
    /// The MX did not offer STARTTLS.
    StarttlsNotSupported,
    /// The certificate is for other hosts than policy asks.
    CertificateHostMismatch,
    /// The certificate has expired.
    CertificateExpired,
    /// Nobody we trust vouches for the certificate.
    CertificateNotTrusted,
    /// Any other failure of the negotiation; the reason says which.
    ValidationFailure,
    /// No TLSA record of the RRset was valid.
    TlsaInvalid,
    /// The resolver found no valid records.
    DnssecInvalid,
    /// We are configured to require DANE for this domain and there is none.
    DaneRequired,
    /// The MTA-STS policy could not be fetched.
    StsPolicyFetchError,
    /// The MTA-STS policy is not valid, or does not list the host.
    StsPolicyInvalid,
    /// The MTA-STS policy host could not be authenticated.
    StsWebpkiInvalid,
}

impl ResultType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::StarttlsNotSupported,
        Self::CertificateHostMismatch,
        Self::CertificateExpired,
        Self::CertificateNotTrusted,
        Self::ValidationFailure,
        Self::TlsaInvalid,
        Self::DnssecInvalid,
        Self::DaneRequired,
        Self::StsPolicyFetchError,
        Self::StsPolicyInvalid,
        Self::StsWebpkiInvalid,
    ];

    /// As a report writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::DaneRequired => "dane-required",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}

impl From<SessionFailure> for ResultType {
    fn from(failure: SessionFailure) -> Self {
        match failure {
            SessionFailure::StarttlsNotSupported => Self::StarttlsNotSupported,
            SessionFailure::CertificateHostMismatch => Self::CertificateHostMismatch,
            SessionFailure::CertificateExpired => Self::CertificateExpired,
            SessionFailure::CertificateNotTrusted => Self::CertificateNotTrusted,
            SessionFailure::ValidationFailure => Self::ValidationFailure,
        }
    }
}

impl From<TroubleKind> for ResultType {
    fn from(kind: TroubleKind) -> Self {
        match kind {
            TroubleKind::DnssecInvalid => Self::DnssecInvalid,
            TroubleKind::TlsaInvalid => Self::TlsaInvalid,
            TroubleKind::DaneRequired => Self::DaneRequired,
            TroubleKind::StsPolicyFetchError => Self::StsPolicyFetchError,
            TroubleKind::StsPolicyInvalid => Self::StsPolicyInvalid,
            TroubleKind::StsWebpkiInvalid => Self::StsWebpkiInvalid,
        }
    }
}

/// The kind of policy that was applied (RFC 8460 section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyType {
    /// DANE.
    Tlsa,
    /// MTA-STS.
    Sts,
    /// Neither.
    NoPolicyFound,
}

impl PolicyType {
    /// As a report writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
            Self::NoPolicyFound => "no-policy-found",
        }
    }
}

/// A policy as it was applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppliedPolicy {
    /// Its kind.
    pub kind: PolicyType,
    /// The policy domain: the recipient domain, or for DANE the TLSA base domain (RFC 8460 section 1.1).
    pub domain: String,
    /// The TLSA records, or the lines of the MTA-STS policy.
    pub strings: Vec<String>,
    /// The MX patterns of an MTA-STS policy.
    pub mx_hosts: Vec<String>,
}

impl AppliedPolicy {
    /// Neither DANE nor MTA-STS.
    pub fn none(domain: &str) -> Self {
        Self::bare(PolicyType::NoPolicyFound, domain)
    }

    /// DANE with these records.
    pub fn tlsa(base: &str, records: &[Tlsa]) -> Self {
        let strings = records.iter().take(LINES_MAX).map(tlsa_string).collect();
        Self { strings, ..Self::bare(PolicyType::Tlsa, base) }
    }

    /// MTA-STS.
    pub fn sts(domain: &str, policy: &StsPolicy) -> Self {
        let strings = policy.lines.iter().take(LINES_MAX).map(|line| clip(line)).collect();
        let mx_hosts = policy.mx.iter().take(LINES_MAX).map(|pattern| clip(pattern)).collect();
        Self { strings, mx_hosts, ..Self::bare(PolicyType::Sts, domain) }
    }

    /// A policy of which nothing but its kind is known, as when its fetch failed.
    pub fn bare(kind: PolicyType, domain: &str) -> Self {
        Self { kind, domain: domain.to_owned(), strings: Vec::new(), mx_hosts: Vec::new() }
    }

    /// What is applied to one host of a route.
    fn of(route: &Route, hop: &Hop) -> Self {
        match &hop.road {
            Road::Dane { base, records, .. } => Self::tlsa(base, records),
            Road::DaneUnusable { base } => Self::bare(PolicyType::Tlsa, base),
            Road::Sts { .. } | Road::StsMismatch { .. } => match &route.sts {
                Some(policy) => Self::sts(&route.domain, policy),
                None => Self::bare(PolicyType::Sts, &route.domain),
            },
            Road::Encrypted | Road::Opportunistic | Road::Cleartext | Road::Unreachable { .. } => {
                Self::none(&route.domain)
            }
        }
    }
}

/// One failure under a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// What failed.
    pub result: ResultType,
    /// With whom, as far as known.
    pub peer: Peer,
    /// `failure-reason-code`: a code or a short text.
    pub reason: Option<String>,
    /// `additional-information`: a URI.
    pub more: Option<String>,
}

/// The two ends of a connection, as far as known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Our address.
    pub sending_ip: Option<IpAddr>,
    /// The MX host, A-labels.
    pub mx: Option<String>,
    /// What the MX calls itself.
    pub helo: Option<String>,
    /// Its address.
    pub receiving_ip: Option<IpAddr>,
}

/// How a session ended under one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The policy.
    pub policy: AppliedPolicy,
    /// A connection that complies with the policy came about.
    pub succeeded: bool,
    /// What failed; a session may fail in several ways at once, and under a policy in mode testing it may fail
    /// although mail was delivered.
    pub failures: Vec<Failure>,
}

/// One session, or the attempt of one, with a domain.
///
/// The session that carries a TLS report itself is not to be recorded (RFC 8460 section 3); a message of ours
/// that is a report has the header field TLS-Report-Domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The domain that mail was for, or the smart host it was routed to: whose `_smtp._tls` record is asked for.
    pub domain: String,
    /// One for each policy that was applied, or could not be.
    pub outcomes: Vec<Outcome>,
}

impl Session {
    /// TLS with `hop` came about as its road demands.
    ///
    /// What went wrong before (a policy that could not be fetched, say) is told as well, under its own policy.
    pub fn succeeded(route: &Route, hop: &Hop) -> Self {
        Self::of(route, hop, Vec::new())
    }

    /// No TLS with `hop` as its road demands, whether mail was delivered all the same or not.
    pub fn failed(route: &Route, hop: &Hop, result: ResultType, peer: Peer, why: &str) -> Self {
        let peer = Peer { mx: Some(peer.mx.unwrap_or_else(|| hop.host.clone())), ..peer };
        Self::of(route, hop, vec![Failure { result, peer, reason: Some(clip(why)), more: None }])
    }

    /// There was no connection, and the troubles of the look-ups are why: those of one host, or all of them.
    /// Nothing if there are none.
    pub fn troubled(route: &Route, host: Option<&str>) -> Option<Self> {
        let mut session = Self { domain: route.domain.clone(), outcomes: Vec::new() };
        for trouble in
            route.troubles.iter().filter(|trouble| host.is_none() || trouble.host.as_deref() == host)
        {
            session.add_trouble(route, trouble);
        }
        (!session.outcomes.is_empty()).then_some(session)
    }

    /// A reason by another policy than the one applied to `hop` is told beside it.
    fn of(route: &Route, hop: &Hop, failures: Vec<Failure>) -> Self {
        let policy = AppliedPolicy::of(route, hop);
        let outcome = Outcome { policy, succeeded: failures.is_empty(), failures };
        let mut session = Self { domain: route.domain.clone(), outcomes: vec![outcome] };
        let relevant = |trouble: &&Trouble| trouble.host.as_ref().is_none_or(|host| *host == hop.host);
        for trouble in route.troubles.iter().filter(relevant) {
            session.add_trouble(route, trouble);
        }
        session
    }

    fn add_trouble(&mut self, route: &Route, trouble: &Trouble) {
        let result = ResultType::from(trouble.kind);
        let peer = Peer { mx: trouble.host.clone(), ..Peer::default() };
        let failure = Failure { result, peer, reason: Some(clip(&trouble.why)), more: None };
        let (kind, domain) = match result {
            ResultType::StsPolicyFetchError | ResultType::StsPolicyInvalid | ResultType::StsWebpkiInvalid => {
                (PolicyType::Sts, &route.domain)
            }
            _ => (PolicyType::Tlsa, trouble.host.as_ref().unwrap_or(&route.domain)),
        };
        let same = |outcome: &&mut Outcome| outcome.policy.kind == kind && outcome.policy.domain == *domain;
        if let Some(outcome) = self.outcomes.iter_mut().find(same) {
            outcome.succeeded = false;
            outcome.failures.push(failure);
            return;
        }
        let policy = match (&route.sts, kind) {
            (Some(policy), PolicyType::Sts) => AppliedPolicy::sts(domain, policy),
            _ => AppliedPolicy::bare(kind, domain),
        };
        self.outcomes.push(Outcome { policy, succeeded: false, failures: vec![failure] });
    }

    /// Names made canonical and texts cut to what is kept; nothing if the domain is no name.
    pub(super) fn tidy(mut self) -> Option<Self> {
        self.domain = dns::a_labels(&self.domain).ok().filter(|domain| dns::is_host_name(domain))?;
        for outcome in &mut self.outcomes {
            let policy = &mut outcome.policy;
            policy.domain = dns::a_labels(&policy.domain).unwrap_or_else(|_| self.domain.clone());
            for texts in [&mut policy.strings, &mut policy.mx_hosts] {
                texts.truncate(LINES_MAX);
                texts.iter_mut().for_each(|text| *text = clip(text));
            }
            outcome.failures.truncate(LINES_MAX);
            for failure in &mut outcome.failures {
                let Failure { peer, reason, more, .. } = failure;
                for text in [&mut peer.mx, &mut peer.helo, reason, more].into_iter().flatten() {
                    *text = clip(text);
                }
            }
        }
        Some(self)
    }
}

/// RFC 6698 section 2.2, the data in upper-case hexadecimal as in the examples of RFC 8460 section 4.5.
fn tlsa_string(record: &Tlsa) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{} {} {} ", record.usage, record.selector, record.matching);
    for byte in &record.data {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// A text with blanks for control characters, cut to [`TEXT_MAX`] octets.
pub(super) fn clip(text: &str) -> String {
    let mut clipped = String::with_capacity(text.len().min(TEXT_MAX));
    for char in text.trim().chars().map(|char| if char.is_control() { ' ' } else { char }) {
        if clipped.len() + char.len_utf8() > TEXT_MAX {
            break;
        }
        clipped.push(char);
    }
    clipped
}
