//! Where files of a Web Key Directory lie below the root of a web server.

/// One of the two methods (Web Key Directory draft, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// The host `openpgpkey.DOMAIN`, with the domain in the path.
    Advanced,
    /// The host `DOMAIN`.
    Direct,
}

impl Layout {
    /// The path of a file relative to the export, beginning with the host.
    pub(super) fn file(self, domain: &str, name: &str) -> String {
        match self {
            Self::Advanced => format!("openpgpkey.{domain}/.well-known/openpgpkey/{domain}/{name}"),
            Self::Direct => format!("{domain}/.well-known/openpgpkey/{name}"),
        }
    }
}

/// The domain of a path that [`Layout::file`] made.
pub(super) fn domain(path: &str) -> Option<&str> {
    let (host, rest) = path.split_once('/')?;
    let inner = rest.strip_prefix(".well-known/openpgpkey/")?;
    match host.strip_prefix("openpgpkey.") {
        Some(domain) if inner.split_once('/').is_some_and(|(name, _)| name == domain) => Some(domain),
        _ => Some(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_found_again() {
        for layout in [Layout::Advanced, Layout::Direct] {
            for name in ["policy", "hu/abc", "submission-address"] {
                assert_eq!(domain(&layout.file("gate.example", name)), Some("gate.example"));
                assert_eq!(domain(&layout.file("openpgpkey.example", name)), Some("openpgpkey.example"));
            }
        }
        assert_eq!(domain("index.html"), None);
    }
}
