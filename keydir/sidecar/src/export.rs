//! What the exporting commands share: where the publication is, and which domains are meant.

use std::path::{Path, PathBuf};

use clap::Args;
use keydir::{Mailbox, Publication, PublicationError};
use program::Exit;

use crate::config::Config;
use crate::progress::Progress;

/// What is exported, and from where.
#[derive(Args, Clone, Debug, Default)]
pub struct Source {
    /// The publication directory; by default the one of the configuration file.
    #[arg(long, value_name = "DIR")]
    pub publication: Option<PathBuf>,
    /// Only this domain; may be given several times. By default all of ours.
    #[arg(long = "domain", value_name = "DOMAIN")]
    pub domains: Vec<String>,
}

impl Source {
    /// Opens the publication.
    ///
    /// # Errors
    /// Exit 78 if the configuration is wrong, 66 if there is no publication.
    pub fn open(&self, config: &Path) -> Result<Publication, Exit> {
        let directory = match &self.publication {
            Some(directory) => directory.clone(),
            None => Config::load(config)?.publication,
        };
        let file = directory.join("publication.db");
        Publication::open(&file).map_err(|error| Exit::input("cannot export", error))
    }

    /// The domains that are meant, in A-labels.
    ///
    /// # Errors
    /// Exit 66 if one is not ours.
    pub fn domains(&self, publication: &Publication) -> Result<Vec<String>, Exit> {
        let all = publication.domains().map_err(unreadable)?;
        if self.domains.is_empty() {
            return Ok(all);
        }
        let mut meant = Vec::new();
        for name in &self.domains {
            let mut named = None;
            for known in &all {
                if same(publication, name, known)? {
                    named = Some(known.clone());
                }
            }
            meant.push(named.ok_or_else(|| Exit::not_found(format!("{name} is not one of our domains")))?);
        }
        Ok(meant)
    }
}

/// Whether a name in any spelling is the domain `known`.
fn same(publication: &Publication, name: &str, known: &str) -> Result<bool, Exit> {
    let is_ours = publication.serves(name).map_err(unreadable)?;
    let canonical = keydir::Subject::domain(name);
    Ok(is_ours && canonical == keydir::Subject::domain(known))
}

/// The domain of a mailbox.
pub fn domain_of(mailbox: &Mailbox) -> &str {
    mailbox.address.split_once('@').map_or("", |(_, domain)| domain)
}

/// Shows every mailbox of the publication to `each`, and the administrator how far that is.
///
/// # Errors
/// Exit 75 if the publication cannot be read, and what `each` gives; then nothing further is read.
pub fn each_mailbox(
    publication: &Publication,
    mut each: impl FnMut(Mailbox) -> Result<(), Exit>,
) -> Result<(), Exit> {
    let mut progress = Progress::new("mailboxes", publication.counts().map_err(unreadable)?.mailboxes);
    let mut step = |mailbox| {
        progress.step();
        each(mailbox).map_err(Stopped)
    };
    publication.for_each(&mut step).map_err(|Stopped(exit)| exit)?;
    progress.end();
    Ok(())
}

/// Carries an [`Exit`] through [`Publication::for_each`].
struct Stopped(Exit);

impl From<PublicationError> for Stopped {
    fn from(error: PublicationError) -> Self {
        Self(unreadable(error))
    }
}

/// Exit 75: the publication cannot be read now.
pub fn unreadable(error: PublicationError) -> Exit {
    Exit::later(program::chain(&error))
}
