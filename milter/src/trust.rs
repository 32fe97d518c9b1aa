//! Trust anchors and revocation lists, those of `[smime]` and those of our own authority, read again when their files
//! change.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keydir::{AnchorSources, Anchors};
use tokio::task::spawn_blocking;
use tokio::time::interval;

use crate::authority;
use crate::gateway::Gateway;
use crate::rooms;

/// How often the files are looked at; whoever fetches a revocation list need not tell us.
const PAUSE: Duration = Duration::from_secs(15);

/// Puts new anchors in force. What OCSP responders answered is kept.
pub fn put(gateway: &Gateway, anchors: Anchors) {
    let place = &gateway.keys().anchors;
    anchors.learn_from(&place.load());
    place.store(Arc::new(anchors));
}

/// Looks after the files until the process ends.
pub async fn watch(gateway: Arc<Gateway>) {
    let mut tick = interval(PAUSE);
    let mut seen = None;
    loop {
        tick.tick().await;
        let (gateway, before) = (gateway.clone(), seen.take());
        match spawn_blocking(move || look(&gateway, before)).await {
            Ok(now) => seen = Some(now),
            Err(_) => tracing::error!("looking after the trust anchors ended abnormally"),
        }
    }
}

/// A file, when it was changed, and its length.
type Stamp = (PathBuf, Option<SystemTime>, u64);

/// Reads everything again if a file is not as it was; gives how they are.
fn look(gateway: &Gateway, before: Option<Vec<Stamp>>) -> Vec<Stamp> {
    let config = gateway.config();
    let mut now = stamps(&config.smime.sources);
    // SQLite writes to the log beside the database first.
    now.push(stamp(config.gateway.state.join(format!("{}-wal", authority::FILE))));
    now.push(stamp(config.gateway.state.join(authority::FILE)));
    // At first too: nobody knows what changed since they were read at the start.
    if before.as_ref() != Some(&now) {
        match rooms::fresh_anchors(&config) {
            Ok(anchors) => {
                put(gateway, anchors);
                if before.is_some() {
                    tracing::info!("trust anchors and revocation lists read again");
                }
            }
            Err(error) => tracing::error!("the trust anchors stay as they were: {error}"),
        }
    }
    now
}

fn stamps(sources: &AnchorSources) -> Vec<Stamp> {
    let named = sources.anchors.iter().chain(&sources.intermediates).chain(&sources.crls);
    let mut stamps = Vec::new();
    for path in named {
        stamps.push(stamp(path.clone()));
        // A directory's own time does not change with the files in it.
        let Ok(entries) = fs::read_dir(path) else { continue };
        stamps.extend(entries.flatten().map(|entry| stamp(entry.path())));
    }
    stamps.sort();
    stamps
}

fn stamp(path: PathBuf) -> Stamp {
    match fs::metadata(&path) {
        Ok(about) => (path, about.modified().ok(), about.len()),
        Err(_) => (path, None, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_a_changed_one_and_a_lost_one_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("root.pem");
        let sources = AnchorSources {
            crls: vec![dir.path().to_owned()],
            anchors: vec![file.clone()],
            ..Default::default()
        };
        let mut seen = vec![stamps(&sources)];
        fs::write(&file, "one").unwrap();
        seen.push(stamps(&sources));
        fs::write(&file, "other").unwrap();
        seen.push(stamps(&sources));
        fs::write(dir.path().join("list.crl"), "").unwrap();
        seen.push(stamps(&sources));
        for (index, stamps) in seen.iter().enumerate() {
            assert!(seen.iter().skip(index + 1).all(|other| other != stamps));
        }
        fs::remove_file(dir.path().join("list.crl")).unwrap();
        assert!(seen.last() != Some(&stamps(&sources)));
    }
}
