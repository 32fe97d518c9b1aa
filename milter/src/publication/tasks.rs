//! What the daemon does for the publication by itself.

use std::sync::Arc;
use std::time::Duration;

use program::chain;
use tokio::task::spawn_blocking;
use tokio::time::{interval, timeout};

use super::cosigning::Cosigning;
use super::witness::WitnessRoom;
use super::{PublicationRoom, watch};
use crate::gateway::Gateway;

/// How often it is looked whether something changed; looking costs little where nothing did.
const PAUSE: Duration = Duration::from_secs(15);
/// So long publishing waits for witnesses after the start.
const FIRST_WORD: Duration = Duration::from_secs(15);

/// Keeps the publication up to date until the process ends. Witnesses are asked before anything is signed: if the log
/// is an old copy, they know.
pub async fn keep(
    gateway: Arc<Gateway>,
    room: Arc<PublicationRoom>,
    cosigning: Option<Cosigning>,
    witness: Option<Arc<WitnessRoom>>,
) {
    if let Some(mut cosigning) = cosigning {
        if timeout(FIRST_WORD, cosigning.round()).await.is_err() {
            tracing::warn!("the witnesses of the key log do not answer; publishing goes on without them");
        }
        tokio::spawn(cosigning.keep(gateway.clone()));
    }
    let mut tick = interval(PAUSE);
    loop {
        tick.tick().await;
        if let Some(witness) = &witness {
            witness.follow(&gateway.config());
        }
        let (gateway, room) = (gateway.clone(), room.clone());
        if spawn_blocking(move || round(&gateway, &room)).await.is_err() {
            tracing::error!("publishing certificates ended abnormally");
        }
    }
}

fn round(gateway: &Gateway, room: &PublicationRoom) {
    match room.take_submissions(&gateway.config(), gateway.now()) {
        Ok(new) => {
            for fingerprint in new {
                let config = gateway.config();
                let is_enough = config.keydir.as_ref().is_some_and(|keydir| keydir.verified);
                let also = if is_enough { "" } else { ", with `verified = true` in [keydir]" };
                tracing::warn!(
                    "held: certificate {fingerprint} was submitted; to publish it: gatepost keys trust {fingerprint} verified{also}"
                );
            }
        }
        Err(why) => tracing::error!("submitted certificates were not taken: {why}"),
    }
    match room.refresh(&gateway.config(), gateway.now()) {
        Ok(summary) if summary.changed > 0 || summary.withdrawn > 0 => {
            tracing::info!(
                "published: {} mailboxes changed, {} withdrawn, {} in all",
                summary.changed,
                summary.withdrawn,
                summary.mailboxes
            );
            for what in summary.omitted.iter().chain(&summary.warnings) {
                tracing::warn!("not published as it should be: {what}");
            }
        }
        Ok(_) => {}
        Err(error) => tracing::error!("the publication is not up to date: {}", chain(&error)),
    }
    watch::look(gateway, room);
}
