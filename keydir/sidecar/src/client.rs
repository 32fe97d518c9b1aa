//! Who asks: the address behind a connection or behind a trusted proxy.

use std::net::IpAddr;

use axum::http::HeaderMap;

use crate::config::Proxies;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Somebody with an address.
    Address(IpAddr),
    /// Somebody on this machine, over a unix socket.
    Local,
}

impl Client {
    /// Who is at the other end of a connection; `None` is a unix socket.
    pub fn peer(address: Option<IpAddr>) -> Self {
        address.map_or(Self::Local, Self::Address)
    }

    /// Who a request is from. What a trusted proxy says (`X-Forwarded-For`) is believed, from the right, up to the first
    /// address that is no trusted proxy.
    pub fn of_request(peer: Option<IpAddr>, headers: &HeaderMap, proxies: &Proxies) -> Self {
        let mut client = peer;
        if !proxies.trusts(peer) {
            return Self::peer(client);
        }
        let lists = headers.get_all("x-forwarded-for").iter().rev();
        let said = lists.filter_map(|value| value.to_str().ok()).flat_map(|list| list.rsplit(','));
        for text in said {
            // An entry that is no address ends the trust in what stands before it.
            let Ok(address) = text.trim().parse::<IpAddr>() else { break };
            client = Some(address);
            if !proxies.trusts(client) {
                break;
            }
        }
        Self::peer(client)
    }

    /// The network that the client counts with: the /24 of an IPv4 address, the /56 of an IPv6 address.
    pub fn network(self) -> u64 {
        match self {
            Self::Local => u64::MAX,
            Self::Address(address) => match address.to_canonical() {
                // ::/56 holds no client, so version 4 cannot meet version 6 here.
                IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
                IpAddr::V6(address) => u64::try_from(address.to_bits() >> 72).unwrap_or(u64::MAX) << 8,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn proxies() -> Proxies {
        let text = "[directory]\npublication = \"/p\"\nlisten = [\"http:127.0.0.1:1\"]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n";
        Config::parse("keydir.toml", text).unwrap().trusted_proxies
    }

    fn asks(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        match Client::of_request(peer.parse().ok(), &headers, &proxies()) {
            Client::Address(address) => address.to_string(),
            Client::Local => "local".to_owned(),
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_who_asks() {
        assert_eq!(asks("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(asks("127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(asks("127.0.0.1", &["1.1.1.1, 198.51.100.7", "10.1.1.1"]), "198.51.100.7");
        assert_eq!(asks("127.0.0.1", &["1.1.1.1, nonsense, 10.1.1.1"]), "10.1.1.1");
        assert_eq!(asks("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(asks("127.0.0.1", &["2001:db8::1"]), "2001:db8::1");
    }

    #[test]
    fn networks_of_both_versions_are_apart() {
        let network = |text: &str| Client::Address(text.parse().unwrap()).network();
        assert_eq!(network("192.0.2.1"), network("192.0.2.255"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("2001:db8:0:ff::1"), network("2001:db8:0:0::2"));
        assert_ne!(network("2001:db8:0:100::1"), network("2001:db8::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.9"));
    }
}
