//! A transaction that is still being told: what the session collects between MAIL and the end of
//! the message.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mail::{BodyWriter, Failure, Message};
use policy::{Direction, Facts, KeyAnswer, KeyFacts, KeyKind, RcptDecision, RecipientFacts};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config::{Config, GatewayConfig};
use crate::discovery::DiscoveryRoom;
use crate::facts::{facts_at_rcpt, recipient_direction};
use crate::gateway::Gateway;
use crate::keyring::Lookup;
use crate::relay::room::RelayRoom;
use crate::reply::Refusal;
use crate::telemetry::Event;
use crate::transaction::{
    EGRESS, Envelope, Peer, Recipient, Transaction, address_of_path, domain_of, new_id,
};

/// Most bytes of header section we take; Postfix cuts single fields at 100 kB by default.
const HEADER_LIMIT: usize = 8 << 20;

/// Whether the client sends as one of ours: the name of the MTA's service decides, else
/// authentication, else the network.
pub fn is_originating(gateway: &GatewayConfig, peer: &Peer, authenticated: bool) -> bool {
    match peer.daemon.as_deref() {
        Some("ORIGINATING") => true,
        Some("INBOUND" | EGRESS) => false,
        _ => authenticated || peer.ip.is_some_and(|ip| gateway.is_trusted(ip)),
    }
}

/// What is known so far of a message.
pub struct Draft {
    /// The configuration when the message began; a reload does not change it half-way.
    pub config: Arc<Config>,
    /// The MTA's queue id, when it told one.
    pub queue_id: Option<String>,
    /// Who sends to whom.
    pub envelope: Envelope,
    /// Nobody waits at RCPT: sendmail(1) or a bounce.
    pub no_smtp_client: bool,
    id: String,
    peer: Peer,
    authenticated: Option<String>,
    originating: bool,
    /// The copy of ours that comes back, if the client says so and we are submitting it.
    returning: bool,
    lookups: Vec<PendingLookup>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    header_bytes: usize,
    body: BodyWriter,
    fault: Option<Failure>,
    under_way: UnderWay,
}

/// A complete transaction with all that was gathered on the way.
#[derive(Debug)]
pub struct Completed {
    /// The configuration when the message began.
    pub config: Arc<Config>,
    /// What the MTA told.
    pub transaction: Arc<Transaction>,
    /// Keys of each recipient, see [`wait_all`].
    pub lookups: Vec<PendingLookup>,
    /// Whether header and body could be stored.
    pub stored: Result<(), Failure>,
}

/// Counts a message as under way from MAIL until its answer.
#[derive(Debug)]
pub struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The keys of one recipient: known, or being looked up while the message arrives.
#[derive(Debug)]
pub enum PendingLookup {
    /// They were needed at RCPT.
    Known(Lookup),
    /// Another thread asks.
    UnderWay(JoinHandle<Lookup>),
}

impl PendingLookup {
    async fn wait(self, kinds: &[KeyKind]) -> Lookup {
        match self {
            Self::Known(lookup) => lookup,
            Self::UnderWay(task) => {
                task.await.unwrap_or_else(|_| Lookup::failed(kinds, "the look-up ended abnormally"))
            }
        }
    }
}

/// The keys of all recipients, once all look-ups are done.
pub async fn wait_all(lookups: Vec<PendingLookup>, kinds: &[KeyKind]) -> Vec<Lookup> {
    let mut known = Vec::with_capacity(lookups.len());
    for lookup in lookups {
        known.push(lookup.wait(kinds).await);
    }
    known
}

/// Adds what the sources of discovery know to what the store said about the recipient of `facts`.
async fn with_strangers(stored: JoinHandle<Lookup>, room: Arc<DiscoveryRoom>, facts: Facts) -> Lookup {
    // What the look-up in the store leaves unanswered counts as not known.
    let lookup = stored.await.unwrap_or_default();
    match facts.recipients.first() {
        Some(recipient) => room.complete(&recipient.address, lookup, facts.now).await,
        None => lookup,
    }
}

/// Adds to the keys of a recipient whether the road to its domain is authenticated.
async fn with_road(stored: JoinHandle<Lookup>, relay: Option<Arc<RelayRoom>>, domain: String) -> Lookup {
    let answer = match relay {
        Some(relay) => relay.enforced_tls(&domain).await,
        None => KeyAnswer::CouldNotTell { why: "the relay starts with the next restart".to_owned() },
    };
    // What the look-up in the store leaves unanswered counts as not known.
    let mut lookup = stored.await.unwrap_or_default();
    lookup.facts.push(KeyFacts { kind: KeyKind::EnforcedTls, answer });
    lookup
}

impl Draft {
    /// A message begins.
    pub fn begin(gateway: &Gateway, peer: &Peer, authenticated: Option<String>) -> Self {
        let config = gateway.config();
        let originating = is_originating(&config.gateway, peer, authenticated.is_some());
        let returning = peer.helo.as_deref().is_some_and(|helo| gateway.expects_copy(helo));
        Self {
            body: BodyWriter::new(&config.gateway.spill()),
            config,
            queue_id: None,
            envelope: Envelope::default(),
            no_smtp_client: false,
            id: new_id(),
            peer: peer.clone(),
            authenticated,
            originating,
            returning,
            lookups: Vec::new(),
            fields: Vec::new(),
            header_bytes: 0,
            fault: None,
            under_way: UnderWay::begin(&gateway.under_way),
        }
    }

    /// Adds a recipient, or says why it is refused now. Its keys are looked up while the rest of
    /// the message arrives.
    pub async fn add_recipient(
        &mut self,
        gateway: &Gateway,
        path: String,
        parameters: Vec<String>,
    ) -> Option<Refusal> {
        let recipient = Recipient { address: address_of_path(&path), path, parameters };
        // The same recipient twice is one recipient: removing the second from the original would
        // remove the first as well.
        if self.envelope.recipients.iter().any(|other| other.address == recipient.address) {
            return None;
        }
        let mut lookup = self.look_up(gateway, &recipient.address);
        let kinds = self.config.policy.wanted_kinds();
        // Our own copies were decided already; their token is checked at end of message.
        if self.config.policy.may_refuse_recipients() && !self.no_smtp_client && !self.returning {
            let answer = lookup.wait(kinds).await;
            let decision = self.decide_recipient(gateway, &recipient, &answer);
            if let Some(refusal) = Refusal::of_recipient(decision) {
                gateway.telemetry().emit(&Event::Recipient {
                    id: self.queue_id.as_deref().unwrap_or("NOQUEUE"),
                    from: &self.envelope.reverse_path,
                    to: &recipient.address,
                    reply: &refusal.to_string(),
                });
                return Some(refusal);
            }
            lookup = PendingLookup::Known(answer);
        }
        self.lookups.push(lookup);
        self.envelope.recipients.push(recipient);
        None
    }

    fn look_up(&self, gateway: &Gateway, address: &str) -> PendingLookup {
        let kinds = self.config.policy.wanted_kinds().to_vec();
        if kinds.is_empty() {
            return PendingLookup::Known(Lookup::default());
        }
        let facts = self.facts(gateway, address, Vec::new());
        // Whether it can matter for this recipient which road leads to its domain.
        let road = self.config.policy.wants(KeyKind::EnforcedTls, &facts, 0);
        let road = road.then(|| (gateway.relay.clone(), domain_of(address)));
        let password = self.config.policy.password_for(&facts, 0);
        let (keys, address, now) = (gateway.keys().clone(), address.to_owned(), gateway.now());
        let stored = spawn_blocking(move || keys.encryption(&address, &kinds, &password, now));
        let stored = match &gateway.discovery {
            Some(room) if self.asks_strangers(&facts) => {
                tokio::spawn(with_strangers(stored, room.clone(), facts))
            }
            _ => stored,
        };
        PendingLookup::UnderWay(match road {
            None => stored,
            Some((relay, domain)) => tokio::spawn(with_road(stored, relay, domain)),
        })
    }

    /// Whether certificates of this recipient are looked for outside: not for our own users, and not for mail that
    /// will certainly not be encrypted, for whoever is asked learns who gets mail.
    fn asks_strangers(&self, facts: &Facts) -> bool {
        let kinds = self.config.policy.wanted_kinds().iter().filter(|kind| kind.scheme().is_some());
        facts.recipients.iter().all(|recipient| recipient.direction == Direction::Outbound)
            && kinds.into_iter().any(|kind| self.config.policy.wants(*kind, facts, 0))
    }

    fn decide_recipient(&self, gateway: &Gateway, recipient: &Recipient, lookup: &Lookup) -> RcptDecision {
        let facts = self.facts(gateway, &recipient.address, lookup.facts.clone());
        self.config.policy.decide_recipient(&facts, 0)
    }

    /// What is known at RCPT about one recipient.
    fn facts(&self, gateway: &Gateway, address: &str, keys: Vec<KeyFacts>) -> Facts {
        let recipient = RecipientFacts {
            address: address.to_owned(),
            direction: recipient_direction(&self.config.gateway, self.originating, address),
            disclosed: false,
            keys,
            at_rest: Vec::new(),
        };
        facts_at_rcpt(
            self.originating,
            self.authenticated.clone(),
            self.peer.ip,
            &self.envelope,
            recipient,
            gateway.now(),
        )
    }

    /// Adds a header field as the milter protocol gives it.
    pub fn add_field(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.header_bytes += name.len() + value.len();
        if self.header_bytes > HEADER_LIMIT {
            self.fail(Failure::permanent((3, 4), "the header section is too large"));
            return;
        }
        self.fields.push((name, value));
    }

    /// Adds a piece of the body.
    pub fn add_body(&mut self, chunk: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        if let Err(error) = std::io::Write::write_all(&mut self.body, chunk) {
            self.fail(Failure::temporary((3, 1), "cannot store the message").because(error));
        }
    }

    /// Remembers the first thing that went wrong; it is answered at end of message, since earlier
    /// stages have no reply.
    pub fn fail(&mut self, failure: Failure) {
        self.fault.get_or_insert(failure);
    }

    /// The whole transaction, once the MTA said that the message is complete, and the counter: the
    /// message is under way until the caller drops that.
    pub fn complete(self) -> (Completed, UnderWay) {
        let mut fault = self.fault;
        let body = self.body.finish().unwrap_or_else(|error| {
            fault.get_or_insert(Failure::temporary((3, 1), "cannot store the message").because(error));
            mail::Body::empty()
        });
        let transaction = Transaction {
            id: self.id,
            queue_id: self.queue_id,
            body_seen: self.config.needs_body(),
            peer: self.peer,
            authenticated: self.authenticated,
            originating: self.originating,
            envelope: self.envelope,
            message: Message::from_milter(self.fields, body),
        };
        let completed = Completed {
            config: self.config,
            transaction: Arc::new(transaction),
            lookups: self.lookups,
            stored: fault.map_or(Ok(()), Err),
        };
        (completed, self.under_way)
    }
}
