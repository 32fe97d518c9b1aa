//! Tries the road to every host of a route without sending mail: what `gatepost relay test` shows.

use std::net::IpAddr;

use super::Courier;
use super::pool;
use super::report::Via;
use super::session::Opening;
use super::session::Session;
use super::targets;
use super::wire::Deadline;
use crate::road::Road;
use crate::road::Route;

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The host.
    pub host: String,
    /// The address; nothing if none was tried.
    pub address: Option<IpAddr>,
    /// How the host is reached, or why mail would not be sent to it.
    pub reached: Result<Via, String>,
    /// What was objected to and let pass, because a policy is not enforced.
    pub tolerated: Option<String>,
}

impl Courier {
    /// Connects to every address of every host, as far as EHLO after STARTTLS, one after the other.
    pub async fn probe(&self, route: &Route) -> Vec<Probe> {
        let mut probes = Vec::new();
        for hop in &route.hosts {
            let refused = match &hop.road {
                Road::Unreachable { why } => Some(why.clone()),
                Road::StsMismatch { testing: false } => {
                    Some("the MTA-STS policy does not list this host".to_owned())
                }
                _ if hop.addresses.is_empty() => Some("the host has no address".to_owned()),
                _ => None,
            };
            if let Some(why) = refused {
                let host = hop.host.clone();
                probes.push(Probe { host, address: None, reached: Err(why), tolerated: None });
                continue;
            }
            for target in targets(route, hop, &hop.road) {
                let deadline = Deadline::after(self.config.times.total);
                let opening = Opening { config: &self.config, tls: &self.tls, deadline };
                let (host, address) = (target.host.clone(), Some(target.address));
                probes.push(match opening.open(&target).await {
                    Ok(session) => {
                        let (via, tolerated) = seen(&session);
                        pool::end(session);
                        Probe { host, address, reached: Ok(via), tolerated }
                    }
                    Err(fault) => Probe { host, address, reached: Err(fault.text), tolerated: None },
                });
            }
        }
        probes
    }
}

fn seen(session: &Session) -> (Via, Option<String>) {
    (Via::clone(&session.via), session.tolerated.as_ref().map(|fault| fault.text.clone()))
}
