//! How often one client network, and all together, may ask.
//!
//! Tokens are taken before anything is looked up, and as many for what is there as for what is not. Memory
//! is bounded whoever asks: a network has two places in two tables, chosen by keyed hashes, and may go on
//! while either has tokens. That somebody shares both with a busy network is unlikely, and nobody can
//! choose to.

mod bucket;
mod connections;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use crate::client::Client;
use crate::config::LimitsConfig;

use bucket::{Bucket, Rate};
pub use connections::{Connections, Seat};

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To look somebody up.
    LookUp,
    /// For a piece of something large and public, such as a tile of the key log: a tenth of a look-up.
    Piece,
    /// To submit a certificate.
    Submission,
}

/// Too often: the client may try again after so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub u32);

/// The limits in force and what was taken of them.
#[derive(Debug)]
pub struct Limits {
    rates: RwLock<Rates>,
    start: Instant,
    keys: [RandomState; 2],
    look_ups: [Table; 2],
    submissions: [Table; 2],
    all: Mutex<Bucket>,
    /// Who is connected.
    pub connections: Connections,
}

/// Tokens of a look-up.
const LOOK_UP: u32 = 10;
/// Places of a table.
const PLACES: usize = 1 << 15;
/// Locks of a table.
const SHARDS: usize = 1 << 6;

#[derive(Clone, Copy, Debug)]
struct Rates {
    network: Rate,
    all: Rate,
    submissions: Rate,
}

impl Rates {
    fn of(config: LimitsConfig) -> Self {
        let per_minute = |requests: u32, burst: u32| Rate {
            per_hour: u64::from(requests) * 60 * u64::from(LOOK_UP),
            most: u64::from(burst) * u64::from(LOOK_UP),
        };
        let all = config.requests_per_minute_of_all;
        let submissions = u64::from(config.submissions_per_hour);
        Self {
            network: per_minute(config.requests_per_minute, config.burst),
            // What all may do in two seconds, but at least as much as one network at once.
            all: per_minute(all, (all / 30).max(config.burst)),
            submissions: Rate { per_hour: submissions, most: submissions },
        }
    }
}

impl Limits {
    /// Nothing is taken yet.
    pub fn new(config: LimitsConfig) -> Self {
        Self {
            rates: RwLock::new(Rates::of(config)),
            start: Instant::now(),
            keys: [RandomState::new(), RandomState::new()],
            look_ups: [Table::new(), Table::new()],
            submissions: [Table::new(), Table::new()],
            all: Mutex::default(),
            connections: Connections::new(config),
        }
    }

    /// Puts other limits in force. What was taken stays taken.
    pub fn set(&self, config: LimitsConfig) {
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = Rates::of(config);
        self.connections.set(config);
    }

    /// Takes the tokens for what a client asks.
    ///
    /// # Errors
    /// [`Wait`] if its network, or all together, ask too often.
    pub fn admit(&self, client: Client, ask: Ask) -> Result<(), Wait> {
        let elapsed = self.start.elapsed().as_millis();
        self.admit_at(client, ask, u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// The same, so many milliseconds after the start.
    fn admit_at(&self, client: Client, ask: Ask, now: u64) -> Result<(), Wait> {
        let rates = *self.rates.read().unwrap_or_else(PoisonError::into_inner);
        let (tables, rate, tokens) = match ask {
            Ask::LookUp => (&self.look_ups, rates.network, LOOK_UP),
            Ask::Piece => (&self.look_ups, rates.network, 1),
            Ask::Submission => (&self.submissions, rates.submissions, 1),
        };
        let tokens = u64::from(tokens);
        let network = client.network();
        let mut waits = [None; 2];
        for ((table, key), wait) in tables.iter().zip(&self.keys).zip(&mut waits) {
            *wait = table.take(key.hash_one(network), rate, tokens, now).err();
        }
        if let [Some(one), Some(other)] = waits {
            return Err(Wait(one.min(other)));
        }
        if ask == Ask::Submission {
            return Ok(());
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.take(rates.all, tokens, now).map_err(Wait)
    }
}

/// Buckets, some behind each lock.
#[derive(Debug)]
struct Table {
    shards: Vec<Mutex<Vec<Bucket>>>,
}

impl Table {
    fn new() -> Self {
        let shard = || Mutex::new(vec![Bucket::default(); PLACES / SHARDS]);
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect() }
    }

    fn take(&self, hash: u64, rate: Rate, tokens: u64, now: u64) -> Result<(), u32> {
        let hash = usize::try_from(hash & 0xffff_ffff).unwrap_or(0);
        let Some(shard) = self.shards.get(hash % SHARDS) else { return Ok(()) };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = shard.get_mut((hash / SHARDS) % (PLACES / SHARDS)) else { return Ok(()) };
        bucket.take(rate, tokens, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(LimitsConfig {
            requests_per_minute: 60,
            burst: 5,
            submissions_per_hour: 2,
            ..LimitsConfig::default()
        })
    }

    fn client(text: &str) -> Client {
        Client::Address(text.parse().unwrap())
    }

    #[test]
    fn a_network_has_its_burst_and_then_its_rate() {
        let limits = limits();
        let ask = |address: &str, now| limits.admit_at(client(address), Ask::LookUp, now);
        for last in 1..=5 {
            assert_eq!(ask(&format!("192.0.2.{last}"), 0), Ok(()));
        }
        assert_eq!(ask("192.0.2.77", 0), Err(Wait(1)));
        // Another network has tokens of its own.
        assert_eq!(ask("192.0.3.1", 0), Ok(()));
        assert_eq!(ask("192.0.2.78", 1000), Ok(()));
        assert!(ask("192.0.2.78", 1000).is_err());
        // After a pause there is the burst, and no more.
        let after = (0..10).filter(|_| ask("192.0.2.79", 3_600_000).is_ok()).count();
        assert_eq!(after, 5);
    }

    #[test]
    fn a_client_of_version_6_counts_with_its_network() {
        let limits = limits();
        let ask = |address: &str| limits.admit_at(client(address), Ask::LookUp, 0);
        for host in 1..=5 {
            assert_eq!(ask(&format!("2001:db8:1:2{host:02x}::{host}")), Ok(()));
        }
        assert!(ask("2001:db8:1:2ff::9").is_err());
        assert_eq!(ask("2001:db8:1:300::1"), Ok(()));
        // The same client, seen through a socket for both versions.
        for _ in 0..5 {
            assert_eq!(ask("::ffff:198.51.100.1"), Ok(()));
        }
        assert!(ask("198.51.100.2").is_err());
    }

    #[test]
    fn submissions_are_counted_apart_and_pieces_are_cheap() {
        let limits = limits();
        let ask = |ask, now| limits.admit_at(client("192.0.2.1"), ask, now);
        assert_eq!((ask(Ask::Submission, 0), ask(Ask::Submission, 0)), (Ok(()), Ok(())));
        assert_eq!(ask(Ask::Submission, 0), Err(Wait(1800)));
        assert_eq!((0..60).filter(|_| ask(Ask::Piece, 0).is_ok()).count(), 50);
        assert_eq!(ask(Ask::Submission, 1_800_000), Ok(()));
    }

    #[test]
    fn all_together_have_a_limit_too() {
        let config = LimitsConfig { requests_per_minute_of_all: 300, burst: 10, ..LimitsConfig::default() };
        let limits = Limits::new(config);
        let networks = (0..200).map(|n| client(&format!("10.0.{n}.1")));
        let admitted = networks.filter(|client| limits.admit_at(*client, Ask::LookUp, 0).is_ok()).count();
        assert_eq!(admitted, 10);
    }

    #[test]
    fn a_flood_from_many_networks_does_not_shut_out_a_quiet_one() {
        let limits =
            Limits::new(LimitsConfig { requests_per_minute_of_all: 100_000_000, ..LimitsConfig::default() });
        for network in 0..2000_u32 {
            let flooder = client(&format!("10.{}.{}.1", network >> 8, network & 255));
            for _ in 0..250 {
                let _ = limits.admit_at(flooder, Ask::LookUp, 0);
            }
        }
        let quiet =
            (0..100).filter(|n| limits.admit_at(client(&format!("198.51.{n}.1")), Ask::LookUp, 0).is_ok());
        assert!(quiet.count() >= 95);
    }
}
