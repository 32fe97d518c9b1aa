//! What the daemon does for discovery by itself: refreshing, and telling of certificates that are held.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::interval;

use super::{DiscoveryRoom, Holds};
use crate::gateway::Gateway;
use crate::notice;
use crate::spool::Prepared;

/// How often the memory is tended.
const PAUSE: Duration = Duration::from_secs(120);

/// Refreshes answers that are about to end and keeps the memory small, until the process ends.
pub async fn tend(room: Arc<DiscoveryRoom>) {
    let mut tick = interval(PAUSE);
    loop {
        tick.tick().await;
        if let Err(why) = room.sources().tend().await {
            tracing::warn!("the memory of discovery cannot be tended: {why}");
        }
        room.expire_held().await;
    }
}

/// Tells the administrator of certificates that are held, until the process ends.
pub async fn tell(gateway: Arc<Gateway>, mut held: Holds) {
    while let Some(hold) = held.recv().await {
        let config = gateway.config();
        let Some(to) = config.discovery.as_ref().and_then(|section| section.tell.clone()) else { continue };
        let copy = notice::held(&hold, &to.to_string(), &config.gateway.name, gateway.now());
        let spool = gateway.spool.clone();
        let put = spawn_blocking(move || {
            let mark = [copy.ticket.idempotency.clone()];
            spool.prepare(&[copy]).and_then(Prepared::commit).map(|()| spool.answered(&mark))
        })
        .await;
        match put {
            Ok(Ok(())) => gateway.bell.notify_one(),
            Ok(Err(error)) => tracing::warn!(%error, "nobody was told of a certificate that is held"),
            Err(_) => tracing::warn!("telling of a certificate that is held ended abnormally"),
        }
    }
}
