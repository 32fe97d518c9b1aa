//! A redis server that several gateways share.
//!
//! Answers are strings that expire by themselves; sightings are a hash for each address, without end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::AsyncCommands;
use ::redis::AsyncConnectionConfig;
use ::redis::Client;
use ::redis::RedisError;
use ::redis::aio::MultiplexedConnection;
use keydir::Origin;
use serde::Deserialize;
use serde::Serialize;
use tokio::sync::Mutex;

use super::Doing;
use super::HELD_FOR;
use super::Kept;
use super::NEWS_EACH;
use super::Remembered;
use super::SILENCE;
use super::Shelf;
use super::ShelfError;
use super::surplus;
use crate::trust::Sighting;

/// The server has this long for one answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The memory that several gateways share. One connection, made when it is needed and again when it broke.
pub(crate) struct RedisShelf {
    client: Client,
    prefix: String,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl fmt::Debug for RedisShelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("RedisShelf").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A sighting as it is written down.
#[derive(Serialize, Deserialize)]
struct Written {
    origin: Origin,
    first: i64,
    last: i64,
    revoked: bool,
    #[serde(with = "super::base64")]
    bytes: Arc<[u8]>,
}

impl RedisShelf {
    /// Reads the URL; nothing is sent yet.
    pub(crate) fn new(url: &str, prefix: &str) -> Result<Self, String> {
        // The error may quote the URL, which may hold a password.
        let client =
            Client::open(url).map_err(|_| "the URL of the redis server cannot be used".to_owned())?;
        Ok(Self { client, prefix: prefix.to_owned(), connection: Mutex::new(None) })
    }

    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}:{name}", self.prefix)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        *kept = Some(connection.clone());
        Ok(connection)
    }

    /// Does something with the connection, once more with a new one if the old one is broken.
    async fn run<T, F>(&self, work: impl Fn(MultiplexedConnection) -> F) -> Result<T, ShelfError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        match work(self.connect().await?).await {
            Err(error) if error.is_connection_dropped() || error.is_io_error() => {
                *self.connection.lock().await = None;
                Ok(work(self.connect().await?).await?)
            }
            other => Ok(other?),
        }
    }

    async fn read(&self, who: &str) -> Result<Vec<Remembered>, ShelfError> {
        let key = self.key("seen", who);
        let rows: Vec<(String, Vec<u8>)> = self
            .run(|mut connection| {
                let key = key.clone();
                async move { connection.hgetall(key).await }
            })
            .await?;
        let rows = rows.into_iter().map(|(fingerprint, written)| {
            let Written { origin, first, last, revoked, bytes } = serde_json::from_slice(&written)?;
            Ok(Remembered { sighting: Sighting { fingerprint, origin, first, last, revoked }, bytes })
        });
        rows.collect()
    }
}

impl Shelf for RedisShelf {
    fn get<'a>(&'a self, key: &'a str) -> Doing<'a, Option<Kept>> {
        let key = self.key("answer", key);
        Box::pin(async move {
            let said: Option<Vec<u8>> = self
                .run(|mut connection| {
                    let key = key.clone();
                    async move { connection.get(key).await }
                })
                .await?;
            // Written by another version, perhaps: then it was never there.
            Ok(said.and_then(|said| serde_json::from_slice(&said).ok()))
        })
    }

    fn put<'a>(&'a self, key: &'a str, kept: &'a Kept, now: i64) -> Doing<'a, ()> {
        let key = self.key("answer", key);
        Box::pin(async move {
            let said = serde_json::to_vec(kept)?;
            let life =
                u64::try_from(kept.until.max(kept.stale_until).saturating_sub(now)).unwrap_or(0).max(1);
            self.run(|mut connection| {
                let (key, said) = (key.clone(), said.clone());
                async move { connection.set_ex(key, said, life).await }
            })
            .await
        })
    }

    fn used<'a>(&'a self, key: &'a str, until: i64) -> Doing<'a, ()> {
        let due = self.key("due", "");
        Box::pin(async move {
            self.run(|mut connection| {
                let due = due.clone();
                async move { connection.zadd(due, key, until).await }
            })
            .await
        })
    }

    fn due(&self, before: i64, most: usize) -> Doing<'_, Vec<String>> {
        let due = self.key("due", "");
        Box::pin(async move {
            let most = isize::try_from(most).unwrap_or(isize::MAX);
            let keys: Vec<String> = self
                .run(|mut connection| {
                    let due = due.clone();
                    async move { connection.zrangebyscore_limit(due, "-inf", before, 0, most).await }
                })
                .await?;
            let mut taken = Vec::new();
            for key in keys {
                // Whoever takes it off the list refreshes it.
                let removed: i64 = self
                    .run(|mut connection| {
                        let (due, key) = (due.clone(), key.clone());
                        async move { connection.zrem(due, key).await }
                    })
                    .await?;
                if removed > 0 {
                    taken.push(key);
                }
            }
            Ok(taken)
        })
    }

    fn seen<'a>(&'a self, who: &'a str) -> Doing<'a, Vec<Remembered>> {
        Box::pin(self.read(who))
    }

    fn see<'a>(&'a self, who: &'a str, remembered: &'a Remembered) -> Doing<'a, ()> {
        let key = self.key("seen", who);
        Box::pin(async move {
            let Remembered { sighting, bytes } = remembered;
            let Sighting { fingerprint, origin, first, last, revoked } = sighting.clone();
            let written =
                serde_json::to_vec(&Written { origin, first, last, revoked, bytes: Arc::clone(bytes) })?;
            let () = self
                .run(|mut connection| {
                    let (key, fingerprint, written) = (key.clone(), fingerprint.clone(), written.clone());
                    async move { connection.hset(key, fingerprint, written).await }
                })
                .await?;
            for surplus in surplus(self.read(who).await?) {
                let () = self
                    .run(|mut connection| {
                        let (key, fingerprint) = (key.clone(), surplus.sighting.fingerprint.clone());
                        async move { connection.hdel(key, fingerprint).await }
                    })
                    .await?;
            }
            Ok(())
        })
    }

    fn hold<'a>(&'a self, who: &'a str, fingerprint: &'a str, now: i64) -> Doing<'a, bool> {
        let key = self.key("held", who);
        Box::pin(async move {
            self.run(|mut connection| {
                let key = key.clone();
                async move {
                    let told: Vec<i64> = connection.hvals(&key).await?;
                    let new: bool = connection.hset_nx(&key, fingerprint, now).await?;
                    if new {
                        let () = connection.expire(&key, HELD_FOR).await?;
                    }
                    Ok(new && !told.iter().any(|since| *since > now.saturating_sub(NEWS_EACH)))
                }
            })
            .await
        })
    }

    fn unanswered<'a>(&'a self, who: &'a str, now: i64) -> Doing<'a, i64> {
        let key = self.key("unanswered", who);
        Box::pin(async move {
            let since: Option<i64> = self
                .run(|mut connection| {
                    let key = key.clone();
                    async move { connection.get(key).await }
                })
                .await?;
            let since = since.filter(|since| *since <= now).unwrap_or(now);
            // It expires by itself when nobody asks any more.
            let life = SILENCE.unsigned_abs();
            let () = self
                .run(|mut connection| {
                    let key = key.clone();
                    async move { connection.set_ex(key, since, life).await }
                })
                .await?;
            Ok(since)
        })
    }

    fn answered<'a>(&'a self, who: &'a str) -> Doing<'a, ()> {
        let key = self.key("unanswered", who);
        Box::pin(async move {
            self.run(|mut connection| {
                let key = key.clone();
                async move { connection.del(key).await }
            })
            .await
        })
    }

    fn release<'a>(&'a self, who: &'a str) -> Doing<'a, ()> {
        let key = self.key("held", who);
        Box::pin(async move {
            self.run(|mut connection| {
                let key = key.clone();
                async move { connection.del(key).await }
            })
            .await
        })
    }

    fn forget<'a>(&'a self, who: &'a str, keys: &'a [String]) -> Doing<'a, ()> {
        let answers = keys.iter().map(|key| self.key("answer", key));
        let all: Vec<String> = ["seen", "held", "unanswered"]
            .map(|kind| self.key(kind, who))
            .into_iter()
            .chain(answers)
            .collect();
        let due = self.key("due", "");
        Box::pin(async move {
            let () = self
                .run(|mut connection| {
                    let all = all.clone();
                    async move { connection.del(all).await }
                })
                .await?;
            if keys.is_empty() {
                return Ok(());
            }
            self.run(|mut connection| {
                let (due, keys) = (due.clone(), keys.to_vec());
                async move { connection.zrem(due, keys).await }
            })
            .await
        })
    }

    fn purge(&self, _now: i64) -> Doing<'_, ()> {
        // The server does.
        Box::pin(async { Ok(()) })
    }
}
