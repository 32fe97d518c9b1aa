//! Where clients connect.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A listener, written `https:[::]:443`, `http:127.0.0.1:8080`, `unix:/run/gatepost-keydir/http`, or with the name of a
/// socket that systemd opened, `https:systemd:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether we speak TLS there.
    pub tls: bool,
    /// The place.
    pub place: Place,
}

/// The place of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A TCP address.
    Inet(SocketAddr),
    /// Sockets that systemd hands over under this name (`FileDescriptorName=`).
    Systemd(String),
    /// A unix socket; created with mode 0660.
    Unix(PathBuf),
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(format!("`{path}` must be an absolute path"));
            }
            return Ok(Self { tls: false, place: Place::Unix(PathBuf::from(path)) });
        }
        let (tls, rest) = match (text.strip_prefix("https:"), text.strip_prefix("http:")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err("must begin with `https:`, `http:` or `unix:`".to_owned()),
        };
        match rest.strip_prefix("systemd:") {
            Some("") => return Err("`systemd:` needs the name of a socket".to_owned()),
            Some(name) => return Ok(Self { tls, place: Place::Systemd(name.to_owned()) }),
            None => {}
        }
        let address = rest.replacen("localhost:", "127.0.0.1:", 1);
        let address = address.parse().map_err(|_| format!("`{rest}` is not address:port with an IP address"));
        Ok(Self { tls, place: Place::Inet(address?) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        match &self.place {
            Place::Inet(address) => write!(f, "{scheme}:{address}"),
            Place::Systemd(name) => write!(f, "{scheme}:systemd:{name}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in ["https:[::]:443", "http:127.0.0.1:8080", "unix:/run/keydir/http", "https:systemd:web"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_listener_without_a_scheme_or_with_a_host_name_is_refused() {
        for text in ["0.0.0.0:443", "https:keys.example:443", "unix:relative", "https:systemd:", "ftp:x"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
