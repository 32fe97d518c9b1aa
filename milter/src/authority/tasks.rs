//! What the daemon does for the authority by itself: new revocation lists and renewals.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use keydir::AuthorityError;
use program::chain;
use tokio::task::spawn_blocking;
use tokio::time::interval;

use super::{AuthorityRoom, RoomError};
use crate::gateway::Gateway;
use crate::{rooms, trust};

/// How often it looks; a revocation made by a command is in force after this time.
const PAUSE: Duration = Duration::from_secs(15);

/// After a long rest our own revocation lists are out of date: there are new ones before the first message comes.
pub async fn begin(gateway: Arc<Gateway>, room: Arc<AuthorityRoom>) {
    let begun = spawn_blocking(move || match room.publish_due(gateway.now()) {
        Ok(0) | Err(RoomError::Authority(AuthorityError::NoAuthority)) => {}
        Ok(_) => match rooms::fresh_anchors(&gateway.config()) {
            Ok(anchors) => trust::put(&gateway, anchors),
            Err(error) => tracing::error!("the trust anchors stay as they were: {error}"),
        },
        Err(error) => tracing::error!("a revocation list is due and was not made: {}", chain(&error)),
    });
    if begun.await.is_err() {
        tracing::error!("looking after the local authority ended abnormally");
    }
}

/// Looks after the authority until the process ends.
pub async fn look_after(gateway: Arc<Gateway>, room: Arc<AuthorityRoom>) {
    let mut tick = interval(PAUSE);
    let mut whole = HashSet::new();
    loop {
        tick.tick().await;
        let (gateway, room, mut taken) = (gateway.clone(), room.clone(), mem::take(&mut whole));
        let looked = spawn_blocking(move || {
            round(&gateway, &room, &mut taken);
            taken
        });
        match looked.await {
            Ok(kept) => whole = kept,
            Err(_) => tracing::error!("looking after the local authority ended abnormally"),
        }
    }
}

fn round(gateway: &Gateway, room: &AuthorityRoom, whole: &mut HashSet<String>) {
    let now = gateway.now();
    if room.authority.root().is_err() {
        // `gatepost ca init` was not called yet.
        return;
    }
    // Whatever is written here, or by a command, the watch over trust anchors sees.
    if let Err(error) = room.publish_due(now) {
        tracing::error!("a revocation list is due and was not made: {}", chain(&error));
    }
    match room.complete(whole, now) {
        Ok(completed) => {
            for certificate in completed {
                tracing::warn!(
                    "the certificate of {} was issued and not put into the store; it is there now: {}",
                    certificate.addresses().join(" "),
                    certificate.fingerprint()
                );
            }
        }
        Err(error) => tracing::error!("cannot tell whether all that was issued is usable: {}", chain(&error)),
    }
    match room.renew_due(now) {
        Ok(renewed) => {
            for certificate in renewed {
                tracing::info!(
                    "renewed the certificate of {}: {}",
                    certificate.addresses().join(" "),
                    certificate.fingerprint()
                );
            }
        }
        Err(error) => tracing::error!("a certificate is due and was not renewed: {}", chain(&error)),
    }
    match room.expiries() {
        Ok(expiries) => gateway.telemetry().certificates_expire(&expiries),
        Err(error) => tracing::error!("cannot tell when certificates expire: {}", chain(&error)),
    }
}
