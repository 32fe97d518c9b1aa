//! Why one host did not take the message.

use mail::Class;
use mail::EnhancedCode;

use super::reply::Reply;
use super::wire::WireFault;
use crate::tls::SessionFailure;
use crate::tls::TlsFault;

/// Why one host, or the road to it, was of no use. Another one may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HopFault {
    /// The code to answer with.
    pub(super) code: u16,
    pub(super) class: Class,
    pub(super) subject: u16,
    pub(super) detail: u16,
    /// What happened, for a person; does not name the host.
    pub(super) text: String,
    /// What TLS reports call it, if it concerns TLS.
    pub(super) failure: Option<SessionFailure>,
}

impl HopFault {
    pub(super) fn temporary(code: (u16, u16), text: impl Into<String>) -> Self {
        let (subject, detail) = code;
        Self { code: 451, class: Class::Temporary, subject, detail, text: text.into(), failure: None }
    }

    pub(super) fn permanent(code: (u16, u16), text: impl Into<String>) -> Self {
        Self { code: 550, class: Class::Permanent, ..Self::temporary(code, text) }
    }

    /// The connection failed at a step.
    pub(super) fn wire(fault: &WireFault, during: &str) -> Self {
        let code = match fault {
            WireFault::Nonsense => (5, 0),
            WireFault::Closed | WireFault::Io(_) | WireFault::Late => (4, 2),
        };
        Self::temporary(code, format!("{fault} ({during})"))
    }

    /// The host refused a step that is no business of the message.
    pub(super) fn refused(reply: &Reply, during: &str) -> Self {
        let EnhancedCode(_, subject, detail) = reply.enhanced.unwrap_or(EnhancedCode(4, 3, 0));
        Self::temporary((subject, detail), format!("host said: {reply} (in reply to {during})"))
    }

    /// The host refused the message, or a recipient, for now.
    pub(super) fn deferred(reply: &Reply, during: &str) -> Self {
        // 421 would end the session with our own client.
        let code = if reply.code / 100 == 4 && reply.code != 421 { reply.code } else { 451 };
        Self { code, ..Self::refused(reply, during) }
    }

    /// TLS is mandatory and did not come about. Always temporary (RFC 7672 section 2.2, RFC 8461 section 5).
    pub(super) fn tls(fault: &TlsFault, policy: &str) -> Self {
        let kind = fault.kind();
        Self { failure: Some(kind), ..Self::temporary((7, 5), format!("{policy}: {fault}")) }
    }

    /// TLS is mandatory and STARTTLS is not to be had.
    pub(super) fn no_starttls(policy: &str, how: &str) -> Self {
        let text = format!("{policy}: TLS is required, but {how}");
        Self { failure: Some(SessionFailure::StarttlsNotSupported), ..Self::temporary((7, 4), text) }
    }

    /// The connection came about and was lost.
    pub(super) fn is_broken_connection(&self) -> bool {
        (self.subject, self.detail) == (4, 2)
    }

    pub(super) fn is_permanent(&self) -> bool {
        self.class == Class::Permanent
    }

    /// How much it tells the sender, if there are several: a refused road more than a host that is down.
    fn weight(&self) -> u8 {
        match (self.class, self.subject) {
            (Class::Temporary, 7) => 3,
            (Class::Temporary, 4) => 1,
            (Class::Temporary, _) => 2,
            (Class::Permanent, _) => 0,
        }
    }

    /// The reply for a recipient whom no host took. Temporary if any of the faults is.
    pub(super) fn summary(faults: &[(String, Self)]) -> Reply {
        let mut chosen: Option<&(String, Self)> = None;
        for candidate in faults {
            // The first of equal weight: it is the preferred host.
            if chosen.is_none_or(|(_, best)| candidate.1.weight() > best.weight()) {
                chosen = Some(candidate);
            }
        }
        let Some((place, fault)) = chosen else {
            return Reply::own(451, EnhancedCode(4, 4, 0), "no host could be tried");
        };
        let others = match faults.iter().filter(|(other, _)| other != place).count() {
            0 => String::new(),
            1 => " (another host failed too)".to_owned(),
            count => format!(" ({count} other hosts failed too)"),
        };
        let class = if fault.is_permanent() { 5 } else { 4 };
        // The text first is cut where it must be, so that what follows it stays.
        let room = super::reply::TEXT.saturating_sub(others.len());
        let text: String = format!("{place}: {}", fault.text).chars().take(room).collect();
        Reply::own(fault.code, EnhancedCode(class, fault.subject, fault.detail), text + &others)
    }
}
