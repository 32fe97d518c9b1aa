//! What is kept between look-ups: answers of sources for a while, sightings for ever.

mod redis;
mod sqlite;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

pub(crate) use self::redis::RedisShelf;
pub(crate) use self::sqlite::SqliteShelf;
use crate::trust::Sighting;

/// A certificate that nobody approved in this time is forgotten, seconds; offered again it is held and told again.
pub const HELD_FOR: i64 = 90 * 86_400;
/// News of one address are told no more often than this, seconds.
pub(crate) const NEWS_EACH: i64 = 86_400;
/// Whoever is not asked about for this time is not said to have given no answer all the time, seconds.
pub(crate) const SILENCE: i64 = 86_400;
/// Most certificates that are remembered for one address and kind.
pub(crate) const SIGHTINGS_MAX: usize = 16;

/// Why the memory gives or takes nothing. A look-up that meets it is "could not tell".
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShelfError {
    /// The database.
    #[error("the memory of discovery cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The server.
    #[error("the memory of discovery cannot be used: {0}")]
    Redis(#[from] ::redis::RedisError),
    /// What was written there is not ours.
    #[error("the memory of discovery holds something that it cannot read: {0}")]
    Damaged(#[from] serde_json::Error),
    /// The thread that worked for us died.
    #[error("the memory of discovery gave no answer")]
    Gone,
}

/// The answer of one source about one address and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// When it was given, Unix seconds.
    pub(crate) at: i64,
    /// Until when it is used, Unix seconds.
    pub(crate) until: i64,
    /// Until when it may serve while its source is in trouble, Unix seconds; only for certificates.
    pub(crate) stale_until: i64,
    /// What the source said.
    pub(crate) said: KeptSaid,
    /// What was noticed then.
    pub(crate) notes: Vec<String>,
}

/// What a source said, in the form in which it is kept: screened and minimised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeptSaid {
    /// It has certificates that could be used then; each is screened again whenever it is used.
    Some(Vec<KeptCertificate>),
    /// It certainly has none; why what it has cannot be used.
    None(Vec<String>),
    /// Nobody knows.
    Trouble(String),
}

/// A certificate of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptCertificate {
    /// Upper-case hexadecimal.
    pub(crate) fingerprint: String,
    /// Binary OpenPGP or DER.
    #[serde(with = "base64")]
    pub(crate) bytes: Arc<[u8]>,
    /// Who vouched for it when it was fetched; the signatures are not kept.
    pub(crate) succeeds: Vec<String>,
    /// The domain's log announced it when it was fetched.
    pub(crate) announced: bool,
}

/// A sighting with its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) sighting: Sighting,
    pub(crate) bytes: Arc<[u8]>,
}

/// What a shelf does, later.
pub(crate) type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, ShelfError>> + Send + 'a>>;

/// A memory for answers and sightings.
pub(crate) trait Shelf: fmt::Debug + Send + Sync {
    /// The answer under a key, however old.
    fn get<'a>(&'a self, key: &'a str) -> Doing<'a, Option<Kept>>;
    /// Keeps an answer in place of an older one; at `now`.
    fn put<'a>(&'a self, key: &'a str, kept: &'a Kept, now: i64) -> Doing<'a, ()>;
    /// Notes that a kept answer with certificates was used, so that it is worth refreshing before `until`.
    fn used<'a>(&'a self, key: &'a str, until: i64) -> Doing<'a, ()>;
    /// Used answers that end before `before`; each is given once.
    fn due(&self, before: i64, most: usize) -> Doing<'_, Vec<String>>;
    /// All certificates that were seen for `who`.
    fn seen<'a>(&'a self, who: &'a str) -> Doing<'a, Vec<Remembered>>;
    /// Remembers a certificate, in place of what was remembered of it.
    fn see<'a>(&'a self, who: &'a str, remembered: &'a Remembered) -> Doing<'a, ()>;
    /// Notes that a certificate is held; true the first time, but at most once a day for `who`: whoever makes one
    /// certificate after the other makes no more than one piece of news.
    fn hold<'a>(&'a self, who: &'a str, fingerprint: &'a str, now: i64) -> Doing<'a, bool>;
    /// Forgets that any certificate of `who` is held.
    fn release<'a>(&'a self, who: &'a str) -> Doing<'a, ()>;
    /// Notes that nobody could tell about `who` at `now`; since when that is so without a break.
    fn unanswered<'a>(&'a self, who: &'a str, now: i64) -> Doing<'a, i64>;
    /// Notes that there was an answer about `who`.
    fn answered<'a>(&'a self, who: &'a str) -> Doing<'a, ()>;
    /// Forgets everything about `who`, and the answers under these keys.
    fn forget<'a>(&'a self, who: &'a str, keys: &'a [String]) -> Doing<'a, ()>;
    /// Removes answers that nobody may use any more, and the oldest above the limit; and what is held for too long.
    fn purge(&self, now: i64) -> Doing<'_, ()>;
}

/// Keeps the newest [`SIGHTINGS_MAX`], and what was revoked before what was merely used.
pub(crate) fn surplus(mut all: Vec<Remembered>) -> Vec<Remembered> {
    all.sort_by_key(|remembered| std::cmp::Reverse((remembered.sighting.last, remembered.sighting.first)));
    // The one in use stays, whatever else there is.
    if let Some(rest) = all.get_mut(1..) {
        rest.sort_by_key(|remembered| !remembered.sighting.revoked);
    }
    all.split_off(SIGHTINGS_MAX.min(all.len()))
}

/// Bytes in JSON.
pub(crate) mod base64 {
    use std::sync::Arc;

    use base64_simd::STANDARD;
    use serde::Deserialize;
    use serde::Deserializer;
    use serde::Serializer;
    use serde::de::Error;

    pub(crate) fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode_to_string(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode_to_vec(text.as_bytes()).map(Arc::from).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
