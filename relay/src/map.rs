//! The relay map: which road leads to each domain, when mail last went over it, and what failed last.
//!
//! It is for people. Notes are taken by a thread of its own, so that nobody ever waits for the disk; when the
//! thread cannot keep up, notes are dropped. The table lives in the relay's SQLite file beside others.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use net::Clock;
use rusqlite::Connection;
use rusqlite::OpenFlags;
use serde::Deserialize;
use serde::Serialize;

use crate::delivery::Report;
use crate::road::Hop;
use crate::road::Road;
use crate::road::Route;
use crate::road::RouteVerdict;
use crate::tls::Channel;

/// Notes that may wait for the thread.
const WAITING: usize = 4096;
/// Notes written at once.
const AT_ONCE: usize = 512;
/// How long to wait for somebody else's lock.
const BUSY: Duration = Duration::from_secs(5);
/// A domain that nobody sent to for so long is forgotten, seconds.
const FORGOTTEN: i64 = 90 * 24 * 3600;
/// Next-hops whose last note is remembered.
const REMEMBERED: usize = 100_000;

/// Lists are JSON texts.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS road (
        next_hop TEXT PRIMARY KEY, kind TEXT NOT NULL, verdict TEXT NOT NULL, hosts TEXT NOT NULL,
        decided INTEGER NOT NULL, delivered INTEGER, host TEXT, channel TEXT, failed INTEGER, failure TEXT) STRICT;
    CREATE INDEX IF NOT EXISTS road_decided ON road (decided);
";

/// Takes notes. Dropping it writes what is waiting.
#[derive(Debug)]
pub struct RoadMap {
    notes: Option<SyncSender<Note>>,
    writer: Option<JoinHandle<()>>,
    noted: Mutex<HashMap<String, i64>>,
    clock: Clock,
}

/// Why the map cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// SQLite says so.
    #[error("the relay map cannot be used")]
    Database(#[from] rusqlite::Error),
    /// The thread could not be started.
    #[error("the relay map has no thread")]
    Thread(#[from] io::Error),
}

/// One domain of the map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The next-hop: a domain, or a host in brackets.
    pub next_hop: String,
    /// The strictest policy found: `dane`, `sts`, `sts-testing` or `none`.
    pub kind: String,
    /// `hosts`, or why there is nothing to connect to.
    pub verdict: String,
    /// The hosts in order.
    pub hosts: Vec<HostRoad>,
    /// When this was decided last, Unix seconds.
    pub decided: i64,
    /// When mail was last delivered, Unix seconds.
    pub delivered: Option<i64>,
    /// To which host that was.
    pub host: Option<String>,
    /// Over which channel.
    pub channel: Option<Channel>,
    /// When something last failed, Unix seconds.
    pub failed: Option<i64>,
    /// What it was.
    pub failure: Option<String>,
}

/// The road to one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoad {
    /// Its name.
    pub host: String,
    /// Its MX preference.
    pub preference: u16,
    /// One word for the road, see [`road_name`].
    pub road: String,
    /// Why it cannot be used, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// One word for a road.
pub fn road_name(road: &Road) -> &'static str {
    match road {
        Road::Dane { .. } => "dane",
        Road::DaneUnusable { .. } => "dane-unusable",
        Road::Encrypted => "encrypted",
        Road::Opportunistic => "opportunistic",
        Road::Cleartext => "cleartext",
        Road::Sts { testing: false, .. } => "sts",
        Road::Sts { testing: true, .. } => "sts-testing",
        Road::StsMismatch { testing: false } => "sts-mismatch",
        Road::StsMismatch { testing: true } => "sts-testing-mismatch",
        Road::Unreachable { .. } => "unreachable",
    }
}

/// One word for the verdict of a route.
pub fn verdict_name(verdict: &RouteVerdict) -> &'static str {
    match verdict {
        RouteVerdict::Hosts => "hosts",
        RouteVerdict::NullMx => "null-mx",
        RouteVerdict::NoSuchDomain => "no-such-domain",
        RouteVerdict::Temporary { .. } => "temporary",
        RouteVerdict::Malformed { .. } => "malformed",
    }
}

#[derive(Debug)]
enum Note {
    Decided { route: Arc<Route>, at: i64 },
    Delivered { next_hop: String, at: i64, host: String, channel: Box<Channel> },
    Failed { next_hop: String, at: i64, failure: String },
}

impl RoadMap {
    /// Opens the table in the SQLite file `path`, which is made if it is not there.
    ///
    /// # Errors
    /// The file is no database of ours, or cannot be written.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, MapError> {
        let database = Connection::open(path)?;
        database.busy_timeout(BUSY)?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "NORMAL")?;
        database.pragma_update(None, "trusted_schema", "OFF")?;
        database.execute_batch(SCHEMA)?;
        database.execute("DELETE FROM road WHERE decided < ?1", [clock.now() - FORGOTTEN])?;
        let (notes, waiting) = sync_channel(WAITING);
        let writer = std::thread::Builder::new()
            .name("relay-map".to_owned())
            .spawn(move || write_all(database, &waiting))?;
        Ok(Self { notes: Some(notes), writer: Some(writer), noted: Mutex::default(), clock })
    }

    /// Notes a decision, if it is another one than was noted last. Never waits.
    pub fn decided(&self, route: &Arc<Route>) {
        if matches!(route.verdict, RouteVerdict::Malformed { .. }) {
            return;
        }
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        match noted.get_mut(&route.next_hop) {
            Some(expires) if *expires == route.expires => return,
            Some(expires) => *expires = route.expires,
            None => {
                if noted.len() >= REMEMBERED {
                    noted.clear();
                }
                noted.insert(route.next_hop.clone(), route.expires);
            }
        }
        drop(noted);
        self.note(Note::Decided { route: route.clone(), at: self.clock.now() });
    }

    /// Notes what became of one message. Never waits.
    pub fn delivered(&self, report: &Report) {
        self.decided(&report.route);
        let (next_hop, at) = (&report.route.next_hop, self.clock.now());
        let took = |outcome: &&crate::delivery::Outcome| outcome.reply.is_positive();
        let via = report.outcomes.iter().filter(took).find_map(|outcome| outcome.via.as_ref());
        if let Some(via) = via {
            let (host, channel) = (via.host.clone(), Box::new(via.channel.clone()));
            self.note(Note::Delivered { next_hop: next_hop.clone(), at, host, channel });
        }
        let mut of_host = report
            .attempts
            .iter()
            .filter_map(|attempt| attempt.why.as_ref().map(|why| format!("{}: {why}", attempt.host)));
        let of_us = report.outcomes.iter().filter(|outcome| !took(outcome) && outcome.via.is_none());
        let mut of_us = of_us.map(|outcome| outcome.reply.to_string());
        if let Some(failure) = of_host.next_back().or_else(|| of_us.next_back()) {
            self.note(Note::Failed { next_hop: next_hop.clone(), at, failure });
        }
    }

    fn note(&self, note: Note) {
        if let Some(notes) = &self.notes
            && notes.try_send(note).is_err()
        {
            tracing::debug!("the relay map cannot keep up; a note is dropped");
        }
    }

    /// Reads the map, beside a daemon that writes it or without one; the domains in order.
    ///
    /// # Errors
    /// There is no such file, or it is no database of ours.
    pub fn read(path: &Path) -> Result<Vec<Entry>, MapError> {
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        database.busy_timeout(BUSY)?;
        database.execute_batch(SCHEMA)?;
        let mut rows = database.prepare(
            "SELECT next_hop, kind, verdict, hosts, decided, delivered, host, channel, failed, failure FROM road \
             ORDER BY next_hop",
        )?;
        let entries = rows.query_map([], |row| {
            let hosts: String = row.get(3)?;
            let channel: Option<String> = row.get(7)?;
            Ok(Entry {
                next_hop: row.get(0)?,
                kind: row.get(1)?,
                verdict: row.get(2)?,
                hosts: serde_json::from_str(&hosts).unwrap_or_default(),
                decided: row.get(4)?,
                delivered: row.get(5)?,
                host: row.get(6)?,
                channel: channel.and_then(|text| serde_json::from_str(&text).ok()),
                failed: row.get(8)?,
                failure: row.get(9)?,
            })
        })?;
        Ok(entries.collect::<Result<_, _>>()?)
    }
}

impl Drop for RoadMap {
    fn drop(&mut self) {
        self.notes.take();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Writes notes until nobody can send any more.
fn write_all(mut database: Connection, waiting: &Receiver<Note>) {
    while let Ok(first) = waiting.recv() {
        let notes = std::iter::once(first).chain(waiting.try_iter()).take(AT_ONCE);
        if let Err(error) = write(&mut database, notes) {
            tracing::warn!(%error, "the relay map cannot be written");
        }
    }
}

fn write(database: &mut Connection, notes: impl Iterator<Item = Note>) -> rusqlite::Result<()> {
    let transaction = database.transaction()?;
    for note in notes {
        match note {
            Note::Decided { route, at } => write_route(&transaction, &route, at)?,
            Note::Delivered { next_hop, at, host, channel } => {
                let channel = serde_json::to_string(&channel).unwrap_or_default();
                transaction
                    .prepare_cached(
                        "UPDATE road SET delivered = ?2, host = ?3, channel = ?4 WHERE next_hop = ?1",
                    )?
                    .execute((next_hop, at, host, channel))?;
            }
            Note::Failed { next_hop, at, failure } => {
                transaction
                    .prepare_cached("UPDATE road SET failed = ?2, failure = ?3 WHERE next_hop = ?1")?
                    .execute((next_hop, at, failure))?;
            }
        }
    }
    transaction.commit()
}

fn write_route(database: &Connection, route: &Route, at: i64) -> rusqlite::Result<()> {
    let hosts: Vec<HostRoad> = route.hosts.iter().map(host_road).collect();
    let hosts = serde_json::to_string(&hosts).unwrap_or_else(|_| "[]".to_owned());
    let kind = serde_json::to_value(route.kind).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("none");
    let verdict = verdict_name(&route.verdict);
    let trouble = match &route.verdict {
        RouteVerdict::Temporary { why } => Some(why),
        _ => None,
    };
    database
        .prepare_cached(
            "INSERT INTO road (next_hop, kind, verdict, hosts, decided, failed, failure) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (next_hop) DO UPDATE SET kind = ?2, verdict = ?3, hosts = ?4, decided = ?5, \
             failed = coalesce(?6, failed), failure = coalesce(?7, failure)",
        )?
        .execute((&route.next_hop, kind, verdict, hosts, at, trouble.map(|_| at), trouble))?;
    Ok(())
}

fn host_road(hop: &Hop) -> HostRoad {
    let why = match &hop.road {
        Road::Unreachable { why } => Some(why.clone()),
        _ => None,
    };
    HostRoad {
        host: hop.host.clone(),
        preference: hop.preference,
        road: road_name(&hop.road).to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests;
