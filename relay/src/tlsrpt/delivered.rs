//! What a delivery of the relay has to tell.

use super::session::Peer;
use super::session::ResultType;
use super::session::Session;
use crate::delivery::Attempt;
use crate::delivery::Report;
use crate::road::Road;
use crate::tls::Matched;

impl Session {
    /// The sessions of one delivery: one for each new connection, and one for each host, or for all of them, that
    /// was not connected to because of what was looked up before.
    ///
    /// Hosts that did not answer are no business of TLS reports ("Transient errors due to too-busy networks, TCP
    /// timeouts, etc., are not required to be reported", RFC 8460 section 4.3.4). A message that waives TLS
    /// (`TLS-Required: No`, as TLS reports themselves do) was delivered under no policy and is not to be recorded.
    pub fn of_delivery(delivery: &Report) -> Vec<Self> {
        let route = &delivery.route;
        let mut sessions = Vec::new();
        for attempt in delivery.attempts.iter().filter(|attempt| !attempt.reused) {
            let Some(hop) = route.hosts.iter().find(|hop| hop.host == attempt.host) else { continue };
            let Attempt { failure, why, channel, .. } = attempt;
            let encrypted = channel.as_ref().map(|channel| channel.matched != Matched::Cleartext);
            let result = match (failure, encrypted) {
                (Some(failure), _) => Some(ResultType::from(*failure)),
                (None, Some(false)) if hop.road != Road::Cleartext => Some(ResultType::StarttlsNotSupported),
                (None, Some(true)) => None,
                (None, Some(false)) => continue,
                (None, None) => {
                    sessions.extend(Self::troubled(route, Some(&attempt.host)));
                    continue;
                }
            };
            sessions.push(match result {
                Some(result) => {
                    let peer = Peer {
                        receiving_ip: attempt.address,
                        helo: attempt.greeting.clone(),
                        ..Peer::default()
                    };
                    Self::failed(route, hop, result, peer, why.as_deref().unwrap_or(result.as_str()))
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
