//! The `[ldap]` section.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use policy::Section;

/// The `[ldap]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapConfig {
    /// Where LDAP clients connect; nowhere by default.
    pub listen: Vec<LdapEndpoint>,
}

/// A listener, written `ldap:[::]:389` or `ldaps:[::]:636`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapEndpoint {
    /// TLS from the first octet on; the other kind offers StartTLS.
    pub tls: bool,
    /// The place.
    pub address: SocketAddr,
}

impl LdapConfig {
    pub(super) fn take(section: &mut Section, has_tls: bool) -> Self {
        let at = section.position_of("listen");
        let listen = section.take_parsed_list("listen", str::parse::<LdapEndpoint>).unwrap_or_default();
        let listen: Vec<LdapEndpoint> = listen.into_iter().map(|endpoint| endpoint.value).collect();
        if let Some(at) = at.filter(|_| !has_tls && listen.iter().any(|endpoint| endpoint.tls)) {
            section.reject(at, "listen", "`ldaps:` needs a section [[tls]] with `certificate` and `key`");
        }
        Self { listen }
    }
}

impl FromStr for LdapEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, rest) = match (text.strip_prefix("ldaps:"), text.strip_prefix("ldap:")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err("must begin with `ldap:` or `ldaps:`".to_owned()),
        };
        let address = rest.replacen("localhost:", "127.0.0.1:", 1);
        let address = address.parse().map_err(|_| format!("`{rest}` is not address:port with an IP address"));
        Ok(Self { tls, address: address? })
    }
}

impl fmt::Display for LdapEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", if self.tls { "ldaps" } else { "ldap" }, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in ["ldap:127.0.0.1:389", "ldaps:[::]:636"] {
            assert_eq!(text.parse::<LdapEndpoint>().unwrap().to_string(), text);
        }
        for text in ["127.0.0.1:389", "ldap:keys.example:389", "ldapi:/run/x", "ldap://127.0.0.1:389"] {
            assert!(text.parse::<LdapEndpoint>().is_err(), "{text}");
        }
    }
}
