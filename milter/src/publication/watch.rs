//! Who is told what the key log says: the administrator of what is not ours, users of changes of their keys.

use keylog::ledger::{OwnChange, Watched};
use program::chain;

use super::{AUTHORITIES, PublicationRoom};
use crate::config::Config;
use crate::gateway::Gateway;
use crate::notice;
use crate::spool::{Copy, Prepared};

/// If more users than these changed since the last look, the administrator did something to all of them: nobody gets a
/// mail for that.
const MOST_NOTICES: usize = 100;

/// Looks at the log and tells. Blocking.
pub(super) fn look(gateway: &Gateway, room: &PublicationRoom) {
    let watched = match room.watch() {
        Ok(Some(watched)) => watched,
        Ok(None) => return,
        Err(error) => return tracing::error!("the key log cannot be watched: {}", chain(&error)),
    };
    gateway.telemetry().key_log_watched(watched.strange_in_all);
    for what in &watched.strange {
        tracing::error!("KEY LOG: {what}");
    }
    let copies = notices(&gateway.config(), &watched, gateway.now());
    if copies.is_empty() {
        return;
    }
    if gateway.config().gateway.reinject.is_none() {
        return tracing::warn!("nobody is told of changes in the key log: there is no `reinject` listener");
    }
    let marks: Vec<String> = copies.iter().map(|copy| copy.ticket.idempotency.clone()).collect();
    match gateway.spool.prepare(&copies).and_then(Prepared::commit) {
        Ok(()) => {
            gateway.spool.answered(&marks);
            gateway.bell.notify_one();
        }
        Err(error) => tracing::error!(%error, "nobody was told of changes in the key log"),
    }
}

fn notices(config: &Config, watched: &Watched, now: i64) -> Vec<Copy> {
    let Some(section) = &config.keydir else { return Vec::new() };
    let name = &config.gateway.name;
    let mut copies = Vec::new();
    let from_discovery = || config.discovery.as_ref().and_then(|section| section.tell.as_ref());
    if let (Some(to), false) = (section.tell.as_ref().or_else(from_discovery), watched.strange.is_empty()) {
        copies.push(notice::strange_log(&watched.strange, &to.to_string(), name, now));
    }
    if !section.notify_users {
        return copies;
    }
    let users: Vec<&OwnChange> = watched.changes.iter().filter(|change| is_user(change)).collect();
    if users.len() > MOST_NOTICES {
        tracing::warn!("keys of {} users changed at once: none of them is told by mail", users.len());
        return copies;
    }
    copies.extend(users.iter().map(|change| notice::keys_changed(change, name, now)));
    copies
}

/// The mailboxes of a domain's authorities are read by nobody.
fn is_user(change: &OwnChange) -> bool {
    let local = change.mailbox.rsplit_once('@').map_or("", |(local, _)| local);
    AUTHORITIES.iter().all(|authority| authority.name() != local)
}
