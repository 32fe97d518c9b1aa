//! `gatepost-keydir export-wkd`: the Web Key Directory as static files, for any web server.

mod manifest;
mod place;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use keydir::{Publication, wkd_hash};
use program::{Exit, output};

use crate::export::{self, Source};
use manifest::Manifest;
use place::Layout;

/// Options of `export-wkd`.
#[derive(Args, Clone, Debug)]
pub struct ExportWkd {
    /// What is exported.
    #[command(flatten)]
    pub source: Source,
    /// Write for the direct method: below DIR/DOMAIN instead of DIR/openpgpkey.DOMAIN. May be given to make
    /// both with `--advanced`.
    #[arg(long)]
    pub direct: bool,
    /// Write for the advanced method; the default.
    #[arg(long)]
    pub advanced: bool,
    /// The directory; in it, the root of the web server of each domain.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// What an export did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// Files that are there now.
    pub files: usize,
    /// Files that were written, because they are new or differ.
    pub written: usize,
    /// Files of an earlier export that were removed.
    pub removed: usize,
}

/// Writes the directory, and tells in one line what it did.
///
/// # Errors
/// As [`export`].
pub fn run(config: &Path, options: &ExportWkd) -> Result<(), Exit> {
    let publication = options.source.open(config)?;
    let done = export(&publication, options)?;
    output::line(&format!(
        "{}: {} files, {} written, {} removed",
        options.directory.display(),
        done.files,
        done.written,
        done.removed
    ))
}

/// Writes for each domain the policy, the submission address and a file for each mailbox; each file is replaced
/// as a whole, and only if it differs. Then removes what an earlier export made and this one did not. Other files
/// are left alone.
///
/// # Errors
/// The publication cannot be read, files cannot be written, or another export is under way.
pub fn export(publication: &Publication, options: &ExportWkd) -> Result<Exported, Exit> {
    let layouts = match (options.advanced, options.direct) {
        (false, true) => vec![Layout::Direct],
        (true, true) => vec![Layout::Advanced, Layout::Direct],
        (_, false) => vec![Layout::Advanced],
    };
    let domains = options.source.domains(publication)?;
    let mut manifest = Manifest::open(&options.directory)?;
    for domain in &domains {
        for layout in &layouts {
            about_domain(publication, &mut manifest, *layout, domain)?;
        }
    }
    export::each_mailbox(publication, |mailbox| {
        let domain = export::domain_of(&mailbox).to_owned();
        let (local, _) = mailbox.address.split_once('@').unwrap_or_default();
        // A file answers for one mailbox; the key of a whole domain needs the live directory.
        if local.is_empty() || mailbox.openpgp.is_empty() || !domains.contains(&domain) {
            return Ok(());
        }
        let parts: Vec<&[u8]> = mailbox.openpgp.iter().map(|published| &*published.bytes).collect();
        let answer = parts.concat();
        for layout in &layouts {
            for file in layout.files(&domain, &format!("hu/{}", wkd_hash(local))) {
                manifest.put(&file, &answer)?;
            }
        }
        Ok(())
    })?;
    manifest.finish(&domains, !options.source.domains.is_empty())
}

/// The files that a domain has beside those of its mailboxes.
fn about_domain(
    publication: &Publication,
    manifest: &mut Manifest,
    layout: Layout,
    domain: &str,
) -> Result<(), Exit> {
    let policy = publication.wkd_policy(domain).map_err(export::unreadable)?.unwrap_or_default();
    for file in layout.files(domain, "policy") {
        manifest.put(&file, policy.as_bytes())?;
    }
    // gpg and others look whether there is a directory before they look for a file.
    for place in layout.files(domain, "hu") {
        let place = manifest.directory().join(place);
        fs::create_dir_all(&place)
            .map_err(|error| Exit::output(format!("cannot make {}", place.display()), error))?;
    }
    if let Some(address) = publication.submission_address(domain).map_err(export::unreadable)? {
        for file in layout.files(domain, "submission-address") {
            manifest.put(&file, format!("{address}\n").as_bytes())?;
        }
    }
    Ok(())
}
