//! What the message itself asks of the road (RFC 8689).

use super::fault::HopFault;
use super::report::Via;
use super::transaction::Work;
use crate::road::Demand;
use crate::road::Hop;
use crate::road::Road;
use crate::road::Route;
use crate::sts::Mode;
use crate::tls::Matched;
use crate::tls::SessionFailure;

/// `TLS-Required: No` sets the domain's policies aside for this message. REQUIRETLS wins over it (RFC 8689 section
/// 4.1), and so does what the administrator asks for.
pub(super) fn is_waived(route: &Route, work: Work<'_>) -> bool {
    work.config.honour_tls_required
        && work.letter.waives_tls()
        && !work.envelope.require_tls
        && route.demand == Demand::Dane
}

/// The road to `hop` for this message, or why it must not go there.
pub(super) fn road(route: &Route, hop: &Hop, work: Work<'_>) -> Result<Road, HopFault> {
    match work.envelope.require_tls {
        true if work.envelope.is_bounce() => return for_bounce(hop),
        true => return authenticated(route, hop),
        false => {}
    }
    match &hop.road {
        road if is_waived(route, work) && !hop.addresses.is_empty() => Ok(relaxed(road)),
        Road::Unreachable { why } => Err(HopFault::temporary((7, 5), why)),
        Road::StsMismatch { testing: false } => Err(not_listed()),
        road => Ok(road.clone()),
    }
}

/// REQUIRETLS: the name of the host must be secure or listed, and its certificate must prove it (RFC 8689
/// section 2).
fn authenticated(route: &Route, hop: &Hop) -> Result<Road, HopFault> {
    let listed = || route.sts.as_ref().is_some_and(|sts| sts.mode != Mode::None && sts.lists(&hop.host));
    match &hop.road {
        Road::Dane { .. } if hop.mx_secure || listed() => Ok(hop.road.clone()),
        Road::Sts { name, .. } => Ok(Road::Sts { name: name.clone(), testing: false }),
        Road::StsMismatch { .. } => Err(not_listed()),
        Road::Unreachable { why } => Err(HopFault::temporary((7, 5), why)),
        Road::DaneUnusable { .. } | Road::Encrypted | Road::Opportunistic if hop.mx_secure => {
            Ok(Road::Sts { name: hop.host.clone(), testing: false })
        }
        Road::Dane { .. }
        | Road::DaneUnusable { .. }
        | Road::Encrypted
        | Road::Opportunistic
        | Road::Cleartext => {
            let text =
                "the sender demands REQUIRETLS, and neither DNSSEC nor MTA-STS vouches for this host's name";
            Err(HopFault::permanent((7, 10), text))
        }
    }
}

/// A bounce of a message with REQUIRETLS should not be lost where REQUIRETLS is not to be had (RFC 8689 section 5), but
/// it never travels in clear.
fn for_bounce(hop: &Hop) -> Result<Road, HopFault> {
    match &hop.road {
        Road::Unreachable { why } => Err(HopFault::temporary((7, 5), why)),
        Road::StsMismatch { testing: false } => Err(not_listed()),
        Road::Cleartext => Err(HopFault::permanent((7, 10), "the sender demands REQUIRETLS")),
        Road::Opportunistic | Road::Sts { testing: true, .. } | Road::StsMismatch { testing: true } => {
            Ok(Road::Encrypted)
        }
        Road::Dane { .. }
        | Road::DaneUnusable { .. }
        | Road::Encrypted
        | Road::Sts { testing: false, .. } => Ok(hop.road.clone()),
    }
}

/// Whether REQUIRETLS may be said in a session (RFC 8689 section 2). Only a bounce may go where it may not.
pub(super) fn may_say_requiretls(work: Work<'_>, via: &Via) -> bool {
    let proven = match &via.channel.matched {
        Matched::Tlsa { .. } => via.mx_secure,
        Matched::WebPki { .. } => true,
        Matched::Unauthenticated | Matched::Cleartext => false,
    };
    work.envelope.require_tls && (proven || !work.envelope.is_bounce())
}

/// What a host's failure means to this message. What a policy in force asks for may come back, so it is waited for; what
/// only REQUIRETLS asks for is lacking for good, and the sender is told at once (RFC 8689 section 4.2.1).
pub(super) fn objection(hop: &Hop, work: Work<'_>, fault: HopFault) -> HopFault {
    let in_force = matches!(hop.road, Road::Dane { .. } | Road::Sts { testing: false, .. });
    let lacking = matches!(
        fault.failure,
        Some(
            SessionFailure::StarttlsNotSupported
                | SessionFailure::CertificateExpired
                | SessionFailure::CertificateHostMismatch
                | SessionFailure::CertificateNotTrusted
        )
    );
    if !work.envelope.require_tls || work.envelope.is_bounce() || in_force || !lacking {
        return fault;
    }
    let text = format!("the sender demands REQUIRETLS: {}", fault.text);
    HopFault { failure: fault.failure, ..HopFault::permanent((7, 10), text) }
}

/// `TLS-Required: No`: TLS if offered, whoever the peer is.
fn relaxed(road: &Road) -> Road {
    match road {
        Road::Cleartext => Road::Cleartext,
        _ => Road::Opportunistic,
    }
}

fn not_listed() -> HopFault {
    HopFault::temporary((7, 5), "MTA-STS: the policy of the domain does not list this host")
}
