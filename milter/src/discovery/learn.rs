//! Taking in what came with mail, at a pace that strangers cannot set.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use ::discovery::{Held, Outcome};
use keydir::{Certificate, Trust};
use program::chain;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::DiscoveryRoom;
use crate::harvest::{Carrier, Gleaning};

/// So many messages are harvested at one time; of more nothing is taken, their successors bring it again.
const AT_ONCE: usize = 4;
/// So many certificates are remembered to have been looked at today.
const REMEMBERED: usize = 20_000;
/// So many new certificates that nobody signed are looked at in one hour: whoever writes in many names fills the store
/// with them no faster.
const UNSIGNED_PER_HOUR: u32 = 20;
const HOUR: i64 = 3600;

/// What keeps harvesting small.
#[derive(Debug)]
pub(super) struct Barn {
    room: Arc<Semaphore>,
    pace: Mutex<Pace>,
}

#[derive(Debug, Default)]
struct Pace {
    hour: i64,
    unsigned: u32,
    day: i64,
    looked_at: HashSet<[u8; 32]>,
}

impl Default for Barn {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(AT_ONCE)), pace: Mutex::default() }
    }
}

impl Pace {
    /// Whether to look at it: it is new today, and not one too many.
    fn admits(&mut self, gleaning: &Gleaning, now: i64) -> bool {
        let (hour, day) = (now.div_euclid(HOUR), now.div_euclid(24 * HOUR));
        if hour != self.hour {
            (self.hour, self.unsigned) = (hour, 0);
        }
        if day != self.day || self.looked_at.len() >= REMEMBERED {
            self.day = day;
            self.looked_at.clear();
        }
        let digest = openssl::sha::sha256(&[gleaning.address.as_bytes(), b"\0", &gleaning.bytes].concat());
        if self.looked_at.contains(&digest) {
            return false;
        }
        if matches!(gleaning.carrier, Carrier::Autocrypt | Carrier::Gossip) {
            if self.unsigned >= UNSIGNED_PER_HOUR {
                return false;
            }
            self.unsigned += 1;
        }
        self.looked_at.insert(digest);
        true
    }
}

impl DiscoveryRoom {
    /// Takes in what came with a message, in the background. `now` in Unix seconds.
    pub fn harvest(self: &Arc<Self>, gleaned: Vec<Gleaning>, now: i64) {
        let admitted =
            |one: &Gleaning| self.barn.pace.lock().unwrap_or_else(PoisonError::into_inner).admits(one, now);
        let Ok(permit) = self.barn.room.clone().try_acquire_owned() else { return };
        let gleaned: Vec<Gleaning> = gleaned.into_iter().filter(admitted).collect();
        if gleaned.is_empty() {
            return;
        }
        let room = self.clone();
        tokio::spawn(async move {
            for one in gleaned {
                room.learn(one, now).await;
            }
            drop(permit);
        });
    }

    async fn learn(&self, gleaning: Gleaning, now: i64) {
        let Gleaning { address, subject, scheme, bytes, above, carrier } = gleaning;
        let found = self.discovery.harvest(&address, scheme, &bytes).await;
        for revoked in found.revoked {
            if let Err(why) = self.merge(revoked, now).await {
                tracing::warn!("a revocation that came with mail was not stored: {why}");
            }
        }
        let what =
            |fingerprint: &str| format!("certificate {fingerprint} of {subject}, from {}", carrier.name());
        match found.outcome {
            Outcome::Found(candidate) => {
                let fingerprint = &candidate.fingerprint;
                let kept = match self.add_above(above).await {
                    Ok(()) => self.store(&candidate, subject.clone(), Trust::Accepted, now).await,
                    Err(why) => Err(why),
                };
                match kept {
                    Ok(true) => tracing::info!("harvested: {}", what(fingerprint)),
                    Ok(false) => {}
                    Err(why) => tracing::warn!("not harvested: {}: {why}", what(fingerprint)),
                }
            }
            Outcome::Held(held) => {
                if let Err(why) = self.add_above(above).await {
                    tracing::warn!("not harvested: {}: {why}", what(&held.new.fingerprint));
                }
                self.hold_harvested(&held, &subject, &what(&held.new.fingerprint), now).await;
            }
            Outcome::None { why } => tracing::debug!("not harvested: {address}: {}", why.join("; ")),
            Outcome::CouldNotTell { why, .. } => tracing::warn!("not harvested: {address}: {why}"),
        }
    }

    /// A first contact waits in the store and stands in the log; only of a change somebody is told by mail. Otherwise
    /// everybody who writes for the first time would send the administrator a mail.
    async fn hold_harvested(&self, held: &Held, subject: &keydir::Subject, what: &str, now: i64) {
        if held.old.is_some() {
            return self.hold(held, subject, now).await;
        }
        match self.store(&held.new, subject.clone(), Trust::Held, now).await {
            Ok(_) if held.news => {
                let fingerprint = &held.new.fingerprint;
                tracing::info!("held: {what}. To use it: gatepost keys trust {fingerprint} accepted");
            }
            Ok(_) => {}
            Err(why) => tracing::warn!("held, but not stored: {what}: {why}"),
        }
    }

    /// The authorities above a certificate, as links of its chain; they are trusted by nobody for that.
    async fn add_above(&self, above: Vec<Certificate>) -> Result<(), String> {
        if above.is_empty() {
            return Ok(());
        }
        let keys = self.keys.clone();
        let added = spawn_blocking(move || {
            above.iter().try_for_each(|one| keys.store.add_link(one)).map_err(|error| chain(&error))
        });
        added.await.map_err(|_| "it ended abnormally".to_owned())?
    }
}

#[cfg(test)]
mod tests {
    use keydir::{Scheme, Subject};

    use super::*;

    fn gleaning(number: u32, carrier: Carrier) -> Gleaning {
        Gleaning {
            address: "a@b.example".to_owned(),
            subject: Subject::address("a@b.example").unwrap(),
            scheme: Scheme::Openpgp,
            bytes: number.to_be_bytes().to_vec(),
            above: Vec::new(),
            carrier,
        }
    }

    #[test]
    fn the_same_is_looked_at_once_a_day_and_what_nobody_signed_at_a_pace() {
        let mut pace = Pace::default();
        let now = 1_800_000_000;
        let many = (0..100).filter(|n| pace.admits(&gleaning(*n, Carrier::Autocrypt), now)).count();
        assert_eq!(many, UNSIGNED_PER_HOUR as usize);
        assert!(pace.admits(&gleaning(1000, Carrier::Signature), now));
        assert!(!pace.admits(&gleaning(1000, Carrier::Signature), now + HOUR));
        assert!(pace.admits(&gleaning(99, Carrier::Autocrypt), now + HOUR));
        assert!(pace.admits(&gleaning(1000, Carrier::Signature), now + 24 * HOUR));
    }
}
