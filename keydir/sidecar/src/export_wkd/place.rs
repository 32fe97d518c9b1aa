//! Where files of a Web Key Directory lie below the root of a web server.

use std::iter::once;

/// One of the two methods (Web Key Directory draft, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// The host `openpgpkey.DOMAIN`, with the domain in the path.
    Advanced,
    /// The host `DOMAIN`.
    Direct,
}

impl Layout {
    /// The paths of a file relative to the export, beginning with the host. With the advanced method the domain stands in
    /// the path, and some write it there as people do: GnuPG asks for `bücher.example`, not `xn--bcher-kva.example`.
    pub(super) fn files(self, domain: &str, name: &str) -> Vec<String> {
        match self {
            Self::Advanced => once(domain)
                .chain(in_unicode(domain).as_deref())
                .map(|written| format!("openpgpkey.{domain}/.well-known/openpgpkey/{written}/{name}"))
                .collect(),
            Self::Direct => vec![format!("{domain}/.well-known/openpgpkey/{name}")],
        }
    }
}

/// The domain in U-labels, if it has any.
fn in_unicode(domain: &str) -> Option<String> {
    let (unicode, valid) = idna::domain_to_unicode(domain);
    (valid.is_ok() && unicode != domain).then_some(unicode)
}

/// The domain of a path that [`Layout::files`] made.
pub(super) fn domain(path: &str) -> Option<&str> {
    let (host, rest) = path.split_once('/')?;
    let inner = rest.strip_prefix(".well-known/openpgpkey/")?;
    match host.strip_prefix("openpgpkey.") {
        Some(domain)
            if inner
                .split_once('/')
                .is_some_and(|(name, _)| name == domain || Some(name) == in_unicode(domain).as_deref()) =>
        {
            Some(domain)
        }
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
                for ours in ["gate.example", "openpgpkey.example", "xn--bcher-kva.example"] {
                    for file in layout.files(ours, name) {
                        assert_eq!(domain(&file), Some(ours), "{file}");
                    }
                }
            }
        }
        assert_eq!(domain("index.html"), None);
    }

    #[test]
    fn an_international_domain_has_both_of_its_names_in_paths_and_one_as_a_host() {
        let files = |layout: Layout, domain| layout.files(domain, "policy");
        let host = "openpgpkey.xn--bcher-kva.example/.well-known/openpgpkey";
        assert_eq!(
            files(Layout::Advanced, "xn--bcher-kva.example"),
            [format!("{host}/xn--bcher-kva.example/policy"), format!("{host}/bücher.example/policy")]
        );
        assert_eq!(files(Layout::Advanced, "gate.example").len(), 1);
        assert_eq!(
            files(Layout::Direct, "xn--bcher-kva.example"),
            ["xn--bcher-kva.example/.well-known/openpgpkey/policy"]
        );
    }
}
