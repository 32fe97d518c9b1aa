//! The `[smime]` section: whose S/MIME certificates are trusted.

use std::path::PathBuf;

use keydir::AnchorSources;
use policy::Section;

use crate::config::absolute;

/// The `[smime]` section.
#[derive(Clone, Debug, Default)]
pub struct SmimeConfig {
    /// Trust anchors, known intermediates and revocation lists: files, or directories of files. The roots of our
    /// own authority are trusted without being named.
    pub sources: AnchorSources,
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
        Self { sources }
    }
}
