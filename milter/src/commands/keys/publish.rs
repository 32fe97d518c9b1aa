//! `gatepost keys publish`.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use program::{Exit, output};

use crate::config::Config;
use crate::keyring::KeyRing;
use crate::publication::PublicationRoom;

/// Brings the publication up to date.
///
/// # Errors
/// Nothing is to be published, or it cannot be written.
pub(super) fn run(config: &Config, keys: KeyRing, json: bool, now: i64) -> Result<(), Exit> {
    let Some(room) = PublicationRoom::open(config, Arc::new(keys))? else {
        return Err(Exit::config("nothing is published: write a section [keydir] into the configuration"));
    };
    if std::io::stderr().is_terminal() {
        room.on_progress(|done, all| {
            let _ = write!(std::io::stderr(), "\r{done} of {all} mailboxes");
        });
    }
    let summary = room
        .refresh(config, now)
        .map_err(|error| Exit::unavailable("the publication is not up to date", error))?;
    if json {
        return output::json(&summary);
    }
    output::line(&format!(
        "{} mailboxes published; {} changed, {} withdrawn",
        summary.mailboxes, summary.changed, summary.withdrawn
    ))?;
    for what in &summary.omitted {
        output::line(&format!("not published: {what}"))?;
    }
    for what in &summary.warnings {
        output::line(&format!("warning: {what}"))?;
    }
    Ok(())
}
