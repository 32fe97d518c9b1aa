//! Where a stranger may lead us: the public Internet, port 443, and what the administrator adds.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use ipnet::IpNet;
use url::Host;
use url::Url;

use super::FetchError;

/// What may be reached beyond the public Internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Networks whose addresses may be connected to although they are private, loopback or otherwise not public.
    pub networks: Vec<IpNet>,
    /// Ports besides 443 that may be connected to.
    pub ports: Vec<u16>,
    /// Domains whose hosts may be asked although no public host has such a name: `corp.internal`, `localhost`.
    pub names: Vec<String>,
    /// For tests: every connection goes here, after all checks of the address that was looked up.
    pub connect_to: Option<SocketAddr>,
}

impl Reach {
    /// Whether this address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        is_public(address) || self.networks.iter().any(|network| network.contains(&address))
    }

    /// The host and port of a URL that a stranger may have written.
    pub(super) fn host(&self, url: &Url) -> Result<(String, u16), FetchError> {
        if url.scheme() != "https" {
            return Err(FetchError::Url("its scheme is not https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Url("it holds a user name"));
        }
        let Some(Host::Domain(host)) = url.host() else {
            return Err(FetchError::Url("its host is an address"));
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if !crate::dns::is_host_name(&host) {
            return Err(FetchError::Url("its host is no host name"));
        }
        let named = self.names.iter().any(|name| {
            host.strip_suffix(name.as_str()).is_some_and(|front| front.is_empty() || front.ends_with('.'))
        });
        let last = host.rsplit('.').next().unwrap_or_default();
        let special = ["localhost", "local", "onion", "internal", "invalid", "arpa"].contains(&last)
            || !host.contains('.');
        if special && !named {
            return Err(FetchError::Url("its host is none of the public Internet"));
        }
        let port = url.port_or_known_default().unwrap_or(443);
        match port == 443 || self.ports.contains(&port) {
            true => Ok((host, port)),
            false => Err(FetchError::Url("its port is not 443")),
        }
    }
}

/// Whether an address belongs to the public Internet (the special-purpose registries of RFC 6890, and multicast).
///
/// Addresses that carry an IPv4 address within (mapped, NAT64, 6to4, Teredo) are not public: a translator may turn
/// them into anything.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => !NOT_PUBLIC_4.iter().any(|(net, bits)| within_4(four, *net, *bits)),
        IpAddr::V6(six) => {
            within_6(six, Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
                && !NOT_PUBLIC_6.iter().any(|(net, bits)| within_6(six, *net, *bits))
        }
    }
}

fn within_4(address: Ipv4Addr, net: [u8; 4], bits: u32) -> bool {
    let differ = u32::from(address) ^ u32::from(Ipv4Addr::from(net));
    differ.checked_shr(32 - bits).unwrap_or(0) == 0
}

fn within_6(address: Ipv6Addr, net: Ipv6Addr, bits: u32) -> bool {
    let differ = u128::from(address) ^ u128::from(net);
    differ.checked_shr(128 - bits).unwrap_or(0) == 0
}

/// Special-purpose IPv4 networks.
const NOT_PUBLIC_4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),       // this network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // carrier-grade NAT
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local, and the metadata services of clouds
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // IETF protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 88, 99, 0], 24),  // 6to4 relays
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, broadcast
];

/// Special-purpose networks within 2000::/3; all else outside of it is not public.
const NOT_PUBLIC_6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // IETF protocol assignments, Teredo, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_the_administrator_adds_is_reached() {
        let reach = Reach { networks: vec!["10.1.0.0/16".parse().unwrap()], ..Reach::default() };
        assert!(reach.allows("10.1.2.3".parse().unwrap()));
        assert!(!reach.allows("10.2.2.3".parse().unwrap()));
        assert!(!reach.allows("::ffff:10.1.2.3".parse().unwrap()));
    }

    #[test]
    fn urls_that_lead_elsewhere_are_not_asked() {
        let reach = Reach { ports: vec![8443], ..Reach::default() };
        for url in [
            "http://a.example/",
            "ftp://a.example/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://localhost/",
            "https://a.localhost/",
            "https://intranet/",
            "https://a.onion/",
            "https://printer.local/",
            "https://a.example:22/",
            "https://user@a.example/",
            "https://user:x@a.example/",
            "https://metadata.google.internal/",
            "https://a_b..example/",
            "https://LOCALHOST./",
        ] {
            if let Ok(url) = Url::parse(url) {
                assert!(reach.host(&url).is_err(), "{url}");
            }
        }
        for url in [
            "https://a.example/",
            "https://A.Example./",
            "https://a.example:443/x",
            "https://b\u{fc}.example/",
        ] {
            assert!(reach.host(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
        assert_eq!(reach.host(&Url::parse("https://a.example:8443/").unwrap()).unwrap().1, 8443);
        let names = vec!["corp.internal".to_owned(), "intranet".to_owned()];
        let reach = Reach { names, ..Reach::default() };
        for (url, asked) in [
            ("https://openpgpkey.corp.internal/", true),
            ("https://corp.internal/", true),
            ("https://intranet/", true),
            ("https://notcorp.internal/", false),
            ("https://localhost/", false),
            ("https://127.0.0.1/", false),
        ] {
            assert_eq!(reach.host(&Url::parse(url).unwrap()).is_ok(), asked, "{url}");
        }
    }
}
