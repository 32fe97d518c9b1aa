//! Takes down what became of each relayed message, before Postfix is told.

use std::fmt;
use std::sync::Arc;

use ::relay::lmtp::{Relayed, Witness};
use ::relay::tlsrpt::Session;
use notary::{Entry, Notary, Pending};
use program::chain;

use crate::relay::record;
use crate::relay::room::RelayRoom;

/// Where records go.
#[derive(Clone)]
pub struct Recorder(Arc<dyn Fn(Entry) -> Pending + Send + Sync>);

impl Recorder {
    /// Records by `append`, which gives [`Notary::append`] of whoever owns the notary.
    pub fn new(append: impl Fn(Entry) -> Pending + Send + Sync + 'static) -> Self {
        Self(Arc::new(append))
    }

    /// Records in a notary of our own.
    pub fn of(notary: Arc<Notary>) -> Self {
        Self::new(move |entry| notary.append(entry))
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

/// Metrics, relay map, TLS reports and the notary's record.
#[derive(Debug)]
pub struct RelayWitness {
    /// The room.
    pub room: Arc<RelayRoom>,
    /// The notary; `None` where nothing is recorded.
    pub recorder: Option<Recorder>,
}

impl Witness for RelayWitness {
    async fn relayed(&self, relayed: Relayed) {
        let room = &self.room;
        room.telemetry.relay.delivered(&relayed.report, relayed.took);
        room.map.delivered(&relayed.report);
        // Nothing if the message waived TLS, as our own TLS reports do.
        for session in Session::of_delivery(&relayed.report) {
            room.collector.record(session);
        }
        // Too late to refuse: the remote host has the message. Saying that it has not would send it twice.
        let queue_id = relayed.ident.as_deref().unwrap_or("NOQUEUE");
        let Some(recorder) = &self.recorder else { return };
        match record::relayed(&relayed) {
            Ok(entry) => match (recorder.0)(entry).await {
                Ok(receipt) => room.telemetry.recorded(receipt.seq, room.clock.now()),
                Err(error) => tracing::error!("{queue_id}: cannot record a delivery: {}", chain(&error)),
            },
            Err(error) => tracing::error!("{queue_id}: cannot record a delivery: {}", chain(&error)),
        }
    }
}
