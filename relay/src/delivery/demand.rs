//! What the message itself asks of the road (RFC 8689).

use super::config::CourierConfig;
use super::fault::HopFault;
use super::transaction::Work;
use crate::road::Demand;
use crate::road::Hop;
use crate::road::Road;
use crate::road::Route;

/// The road to `hop` for this message, or why it must not go there.
pub(super) fn road(
    config: &CourierConfig,
    route: &Route,
    hop: &Hop,
    work: Work<'_>,
) -> Result<Road, HopFault> {
    if work.envelope.require_tls {
        return authenticated(hop);
    }
    let waived = config.honour_tls_required && work.letter.waives_tls() && route.demand == Demand::Dane;
    match &hop.road {
        road if waived && !hop.addresses.is_empty() => Ok(relaxed(road)),
        Road::Unreachable { why } => Err(HopFault::temporary((7, 5), why)),
        Road::StsMismatch { testing: false } => Err(not_listed()),
        road => Ok(road.clone()),
    }
}

/// REQUIRETLS: the name of the host must be secure or listed, and its certificate must prove it (RFC 8689
/// section 4.2.1).
fn authenticated(hop: &Hop) -> Result<Road, HopFault> {
    match &hop.road {
        Road::Dane { .. } if hop.mx_secure => Ok(hop.road.clone()),
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
