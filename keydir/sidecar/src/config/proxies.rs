//! Proxies that may say for whom they ask.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whose `X-Forwarded-For` is believed; nobody's by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    networks: Vec<IpNet>,
    unix: bool,
}

/// One entry of the list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry {
    Network(IpNet),
    Unix,
}

/// Reads an address, a network, or `unix` for all who connect over a unix socket.
pub(super) fn entry(text: &str) -> Result<Entry, String> {
    if text == "unix" {
        return Ok(Entry::Unix);
    }
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(Entry::Network)
        .map_err(|_| format!("`{text}` is not an address, a network such as 192.0.2.0/24, or `unix`"))
}

impl FromIterator<Entry> for Proxies {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut proxies = Self::default();
        for entry in entries {
            match entry {
                Entry::Network(network) => proxies.networks.push(network),
                Entry::Unix => proxies.unix = true,
            }
        }
        proxies
    }
}

impl Proxies {
    /// Whether the peer of a connection is one; `None` is a unix socket.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(peer) => {
                let peer = peer.to_canonical();
                self.networks.iter().any(|network| network.contains(&peer))
            }
            None => self.unix,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_are_named_are_trusted() {
        let proxies: Proxies =
            ["127.0.0.1", "2001:db8::/32"].map(|text| entry(text).unwrap()).into_iter().collect();
        assert!(proxies.trusts("127.0.0.1".parse().ok()));
        assert!(proxies.trusts("::ffff:127.0.0.1".parse().ok()));
        assert!(proxies.trusts("2001:db8:1::1".parse().ok()));
        assert!(!proxies.trusts("127.0.0.2".parse().ok()) && !proxies.trusts(None));
        assert!(Proxies::from_iter([entry("unix").unwrap()]).trusts(None));
        assert!(entry("nginx").is_err());
    }
}
