//! What a delivery of the relay has to tell.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::UdpSocket;

use super::session::Peer;
use super::session::ResultType;
use super::session::Session;
use crate::delivery::Attempt;
use crate::delivery::Report;
use crate::road::Road;
use crate::tls::Matched;
use crate::tls::SessionFailure;

/// A datagram socket wants a port; which one makes no difference to the route.
const SMTP: u16 = 25;

impl Session {
    /// The sessions of one delivery: one for each new connection, and one for each host, or for all of them, that
    /// was not connected to because of what was looked up before.
    ///
    /// Hosts that did not answer are no business of TLS reports ("Transient errors due to too-busy networks, TCP
    /// timeouts, etc., are not required to be reported", RFC 8460 section 4.3.4).
    ///
    /// A message that waives TLS was sent as if we knew neither DANE nor MTA-STS (RFC 8689 section 8.4), so nothing is
    /// told of it, whatever happened. TLS reports waive TLS; so they do not report on themselves.
    pub fn of_delivery(delivery: &Report) -> Vec<Self> {
        if delivery.waived {
            return Vec::new();
        }
        let route = &delivery.route;
        let mut sessions = Vec::new();
        for attempt in delivery.attempts.iter().filter(|attempt| !attempt.reused) {
            let Some(hop) = route.hosts.iter().find(|hop| hop.host == attempt.host) else { continue };
            let result = match verdict(&hop.road, attempt) {
                Verdict::Policy(result) => result,
                Verdict::NoPolicy => continue,
                Verdict::NoConnection => {
                    sessions.extend(Self::troubled(route, Some(&attempt.host)));
                    continue;
                }
            };
            sessions.push(match result {
                Some(result) => {
                    let peer = Peer {
                        sending_ip: attempt.address.and_then(source_for),
                        receiving_ip: attempt.address,
                        helo: attempt.greeting.clone(),
                        ..Peer::default()
                    };
                    Self::failed(route, hop, result, peer, attempt.why.as_deref().unwrap_or(result.as_str()))
                }
                None => Self::succeeded(route, hop),
            });
        }
        if sessions.is_empty() {
            sessions.extend(Self::troubled(route, None));
        }
        sessions
    }
}

/// The address that connections to this one come from: what the kernel's routes say. Nothing is sent.
fn source_for(peer: IpAddr) -> Option<IpAddr> {
    let any = match peer {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((peer, SMTP)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// What one attempt says about the policy of a road.
enum Verdict {
    /// It came to no connection, for no reason of TLS.
    NoConnection,
    /// It was made under other rules than the policy's: those of REQUIRETLS (RFC 8689) or of the configuration.
    NoPolicy,
    /// The policy was applied, with this failure or none.
    Policy(Option<ResultType>),
}

/// Only what was really applied is told: REQUIRETLS may ask for more than the policy does.
fn verdict(road: &Road, attempt: &Attempt) -> Verdict {
    let matched = attempt.channel.as_ref().map(|channel| &channel.matched);
    match (road, attempt.failure, matched) {
        (Road::Cleartext, ..) => Verdict::NoPolicy,
        // Where nobody need be authenticated, only REQUIRETLS can find fault with a certificate.
        (
            Road::DaneUnusable { .. } | Road::Encrypted | Road::Opportunistic,
            Some(
                SessionFailure::CertificateExpired
                | SessionFailure::CertificateHostMismatch
                | SessionFailure::CertificateNotTrusted,
            ),
            _,
        ) => Verdict::NoPolicy,
        (_, Some(failure), _) => Verdict::Policy(Some(failure.into())),
        (_, None, None) => Verdict::NoConnection,
        (Road::Dane { .. }, None, Some(Matched::Tlsa { .. })) => Verdict::Policy(None),
        (Road::Sts { .. }, None, Some(Matched::WebPki { .. })) => Verdict::Policy(None),
        (Road::Dane { .. } | Road::Sts { .. }, None, Some(_)) => Verdict::NoPolicy,
        (Road::Opportunistic, None, Some(Matched::Cleartext)) => {
            Verdict::Policy(Some(ResultType::StarttlsNotSupported))
        }
        (_, None, Some(Matched::Cleartext)) => Verdict::NoPolicy,
        (_, None, Some(_)) => Verdict::Policy(None),
    }
}
