//! One HTTPS request to a host that a stranger named, without being led into our own network.

use ipnet::IpNet;

/// What may be reached beyond the public Internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Networks whose addresses may be connected to although they are private, loopback or otherwise not public.
    pub networks: Vec<IpNet>,
    /// Ports besides 443 that may be connected to.
    pub ports: Vec<u16>,
}
