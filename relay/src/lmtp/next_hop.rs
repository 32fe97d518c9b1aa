//! The loopback address that stands for a domain.

use std::net::Ipv4Addr;

use sha2::Digest;
use sha2::Sha256;

/// The answer of a transport map for mail to `domain`: `gw:inet:[127.100.17.4]:2424`.
///
/// Postfix's queue manager keeps concurrency and back-off per next-hop. With one next-hop for all, a dead domain
/// would hold up every other; so each gets an address of its own in 127.64.0.0/10, which all lead to the relay
/// when it listens on 0.0.0.0. Two domains that share one of the four million share their fate, nothing else.
/// The domain counts in lower case and without a final dot.
pub fn next_hop_for(domain: &str, transport: &str, port: u16) -> String {
    let domain = domain.strip_suffix('.').unwrap_or(domain).to_lowercase();
    let digest = Sha256::digest(domain.as_bytes());
    let mut octets = digest.iter().copied();
    let mut next = || octets.next().unwrap_or_default();
    let address = Ipv4Addr::new(127, 64 | (next() & 0x3f), next(), next());
    format!("{transport}:inet:[{address}]:{port}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn domains_have_addresses_of_their_own_that_never_change() {
        let one = next_hop_for("example.org", "gw", 2424);
        assert_eq!(one, next_hop_for("Example.ORG.", "gw", 2424));
        assert_eq!(one, "gw:inet:[127.127.171.195]:2424");
        let many: HashSet<_> =
            (0..2000).map(|n| next_hop_for(&format!("d{n}.example"), "gw", 2424)).collect();
        assert!(many.len() >= 1998, "{}", many.len());
        for hop in many {
            let second: u8 = hop.split('.').nth(1).unwrap().parse().unwrap();
            assert!((64..128).contains(&second), "{hop}");
        }
    }
}
