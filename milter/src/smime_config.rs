//! The `[smime]` section: whose S/MIME certificates are trusted.

use std::path::PathBuf;

use keydir::AnchorSources;
use policy::Section;

use crate::config::absolute;
use crate::revocation::Revocation;

/// Values of `revocation`: whether it is fetched.
const CHOICES: [(&str, bool); 2] = [("fetch", true), ("files", false)];

/// The `[smime]` section.
#[derive(Clone, Debug, Default)]
pub struct SmimeConfig {
    /// Trust anchors, known intermediates and revocation lists: files, or directories of files. The roots of our
    /// own authority are trusted without being named.
    pub sources: AnchorSources,
    /// Whether it is fetched what authorities revoked.
    pub revocation: Revocation,
}

impl SmimeConfig {
    /// Takes the section; nothing in it is needed.
    pub fn take(section: &mut Section) -> Self {
        let mut paths = |key| -> Vec<PathBuf> {
            let paths = section.take_parsed_list(key, absolute).unwrap_or_default();
            paths.into_iter().map(|path| path.value).collect()
        };
        let sources = AnchorSources {
            anchors: paths("anchors"),
            intermediates: paths("intermediates"),
            crls: paths("crls"),
        };
        let revocation = Revocation {
            fetch: section.take_choice("revocation", &CHOICES).is_some_and(|v| v.value),
            private_hosts: section.take_boolean("revocation_private_hosts").is_some_and(|v| v.value),
        };
        Self { sources, revocation }
    }
}
