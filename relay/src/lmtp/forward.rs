//! One message to all its recipients: by domain, side by side.

use std::sync::Arc;
use std::time::Duration;

use mail::EnhancedCode;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio::time::timeout;

use super::Relay;
use super::Relayed;
use super::Witness;
use crate::delivery::Abandon;
use crate::delivery::Envelope;
use crate::delivery::Letter;
use crate::delivery::Outcome;
use crate::delivery::Recipient;
use crate::delivery::Reply;
use crate::delivery::Report;
use crate::delivery::Routes;

/// What the client has said about one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Transaction {
    pub(super) ident: Option<String>,
    pub(super) envelope: Envelope,
    /// Recipients with their domains.
    pub(super) recipients: Vec<(Recipient, String)>,
}

/// The recipients in one domain.
struct Group {
    domain: String,
    recipients: Vec<Recipient>,
    /// Their places among all recipients of the message.
    places: Vec<usize>,
}

/// Starts the deliveries. Gives the place of a recipient and its reply, as they come, and ends when all have ended.
///
/// The deliveries go on when nobody listens any more; `abandon` ends those that still can be ended.
pub(super) fn forward<R, W>(
    relay: &Arc<Relay<R, W>>,
    transaction: Transaction,
    letter: Letter,
    abandon: &Abandon,
) -> mpsc::UnboundedReceiver<(usize, Reply)>
where
    R: Routes,
    W: Witness,
{
    // Not more than one message per recipient, so it needs no bound of its own.
    let (sender, receiver) = mpsc::unbounded_channel();
    let Transaction { ident, mut envelope, recipients } = transaction;
    envelope.require_tls |= letter.requires_tls();
    for group in group(recipients) {
        let (relay, sender, abandon) = (Arc::clone(relay), sender.clone(), abandon.clone());
        let (ident, envelope, letter) = (ident.clone(), envelope.clone(), letter.clone());
        tokio::spawn(async move {
            let replies = deliver(&relay, ident, envelope, group, letter, &abandon).await;
            for reply in replies {
                // The client has gone and its session with it.
                if sender.send(reply).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// Recipients by domain, in the order of the first of each.
fn group(recipients: Vec<(Recipient, String)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (place, (recipient, domain)) in recipients.into_iter().enumerate() {
        let at = *known.entry(domain).or_insert_with_key(|domain| {
            groups.push(Group { domain: domain.clone(), recipients: Vec::new(), places: Vec::new() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            group.recipients.push(recipient);
            group.places.push(place);
        }
    }
    groups
}

async fn deliver<R, W>(
    relay: &Relay<R, W>,
    ident: Option<String>,
    envelope: Envelope,
    group: Group,
    letter: Letter,
    abandon: &Abandon,
) -> Vec<(usize, Reply)>
where
    R: Routes,
    W: Witness,
{
    let begin = Instant::now();
    let Group { domain, recipients, places } = group;
    let Ok(route) = timeout(LOOK_UP, relay.routes.route(&domain)).await else {
        let reply = Reply::own(451, EnhancedCode(4, 4, 3), format!("{domain}: the look-ups took too long"));
        log(ident.as_deref(), &domain, &reply);
        return places.into_iter().map(|place| (place, reply.clone())).collect();
    };
    let letter = if relay.routes.is_promised(&route) { letter.without_waiver() } else { letter };
    let report = relay.courier.deliver(begin, route, &envelope, &recipients, &letter, abandon).await;
    log_all(ident.as_deref(), &domain, &report);
    let replies: Vec<Reply> = report.outcomes.iter().map(|Outcome { reply, .. }| reply.clone()).collect();
    let size = letter.len();
    relay.witness.relayed(Relayed { ident, envelope, recipients, size, took: begin.elapsed(), report }).await;
    places.into_iter().zip(replies).collect()
}

/// One line per different answer, at the level of a message.
fn log_all(ident: Option<&str>, domain: &str, report: &Report) {
    let mut told: Vec<&Reply> = Vec::new();
    for Outcome { reply, .. } in &report.outcomes {
        if !told.contains(&reply) {
            log(ident, domain, reply);
            told.push(reply);
        }
    }
}

fn log(ident: Option<&str>, domain: &str, reply: &Reply) {
    let ident = ident.unwrap_or("NOQUEUE");
    tracing::info!("{ident}: domain={domain}, reply={reply}");
}

/// Patience with look-ups; it counts into the time for the whole delivery.
const LOOK_UP: Duration = Duration::from_secs(40);
