//! How fast the notary records, against a bare file that one thread appends to and synchronises for
//! everybody who waits, and against the same SQLite with one commit per record.
//!
//! Prints one JSON object per line: `name`, `writers`, `records`, `seconds`, `per_second`,
//! `cpu_us_per_record` (user and system time of the whole process) and, for the notary, `batches`
//! and the waiting time `p50_us` and `p99_us`. The three take turns; a line for each number of
//! writers gives the medians of the ratios of each round. Build it with `--release`.
//!
//! Usage: `notary_bench [DIRECTORY [ROUNDS]]`; the directory decides which disk is measured.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use notary::Entry;
use notary::Notary;
use notary::Options;
use notary::system_clock;
use rusqlite::Connection;
use serde_json::Value;
use serde_json::json;
use zeroize::Zeroizing;

/// About as many bytes as one record of [`entry`] has on disk.
const RECORD: usize = 2048;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args_os().skip(1);
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(5);
    for (writers, records) in [(1, 500), (10, 5_000), (50, 20_000)] {
        let mut ratios = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            // A directory for each round: nobody inherits a large file.
            let directory = tempfile::tempdir_in(&parent)?;
            let path = |name: &str| directory.path().join(name);
            let notary = notary(&path("notary"), writers, records)?;
            let bare = bare_group_commit(&path("bare"), writers, records)?;
            let single = one_commit_each(&path("single"), writers, (records / 10).max(200))?;
            for (ratios, base) in ratios.iter_mut().zip([bare, single]) {
                ratios.push(notary / base);
            }
        }
        let [bare, single] = ratios.map(median);
        println!(
            "{}",
            json!({"name": "ratios", "writers": writers, "to_bare_group_commit": bare, "to_one_commit_each": single})
        );
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).map_or(0.0, |value| round(*value))
}

/// A record as the gateway makes it: eight commitments, a kilobyte of private detail.
fn entry(writer: usize, number: usize) -> Entry {
    let public = json!({"direction": "outbound", "disposition": "accept", "code": "2.0.0", "size": 20480,
        "recipients": 2, "policy": "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4",
        "scheme": "openpgp", "ms": 12});
    let Value::Object(public) = public else { return Entry::default() };
    let committed = ["received", "sent", "mail-from", "rcpt", "rcpt", "message-id", "client", "body"];
    Entry {
        txid: format!("0190163d-8694-739b-{writer:04x}-{number:012x}"),
        event: "screened".into(),
        public,
        committed: committed.map(|name| (name.into(), b"somebody@partner.example.org".to_vec())).into(),
        private:
            json!({"subject": "Quarterly figures", "from": "alice@alpha.example", "facts": "x".repeat(1000)})
                .into(),
        lookup: vec![
            ("queue-id".into(), format!("4{writer}Q{number}")),
            ("message-id".into(), format!("<{writer}.{number}@alpha.example>")),
        ],
    }
}

fn notary(path: &Path, writers: usize, records: usize) -> Outcome<f64> {
    let notary = Notary::open(Options {
        path: path.to_owned(),
        origin: "bench.example/gatepost".into(),
        key: Zeroizing::new([1; 32]),
        software: "bench".into(),
        clock: system_clock,
    })?;
    let waits = Mutex::new(Vec::with_capacity(records));
    let (seconds, cpu) = measured(writers, |writer| {
        let mut own = Vec::with_capacity(records / writers);
        for number in 0..records / writers {
            let entry = entry(writer, number);
            let start = Instant::now();
            notary.append(entry).wait()?;
            own.push(start.elapsed());
        }
        waits.lock().map_err(|_| "a writer failed")?.extend(own);
        Ok(())
    })?;
    let batches = notary.counts().batches;
    notary.close()?;
    let mut waits = waits.into_inner()?;
    waits.sort_unstable();
    let at = |part: usize| waits.get(waits.len() * part / 100).map_or(0, Duration::as_micros);
    let more = json!({"batches": batches, "p50_us": at(50), "p99_us": at(99)});
    Ok(report("notary", writers, records, seconds, cpu, more))
}

/// The least that durable records cost: one thread appends what waits to a file, in one call, and
/// synchronises once for all of them.
fn bare_group_commit(path: &Path, writers: usize, records: usize) -> Outcome<f64> {
    let mut file = File::create(path)?;
    let (orders, waiting) = mpsc::channel::<(Vec<u8>, mpsc::Sender<()>)>();
    let writer = thread::spawn(move || -> std::io::Result<()> {
        while let Ok(first) = waiting.recv() {
            let batch: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
            let bytes: Vec<u8> = batch.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect();
            file.write_all(&bytes)?;
            file.sync_data()?;
            for (_, reply) in batch {
                // Whoever gave up waiting need not be told.
                let _ = reply.send(());
            }
        }
        Ok(())
    });
    let (seconds, cpu) = measured(writers, |_| {
        for _ in 0..records / writers {
            let (reply, done) = mpsc::channel();
            orders.send((vec![7_u8; RECORD], reply))?;
            done.recv()?;
        }
        Ok(())
    })?;
    drop(orders);
    writer.join().map_err(|_| "the writer panicked")??;
    Ok(report("bare group commit", writers, records, seconds, cpu, json!({})))
}

/// What a logger without a writer thread does: every record its own transaction, same durability.
fn one_commit_each(path: &Path, writers: usize, records: usize) -> Outcome<f64> {
    let connect = || -> Outcome<Connection> {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_secs(60))?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        Ok(database)
    };
    connect()?.execute_batch("CREATE TABLE record (number INTEGER PRIMARY KEY, bytes BLOB)")?;
    let (seconds, cpu) = measured(writers, |_| {
        let database = connect()?;
        let bytes = vec![7_u8; RECORD];
        for _ in 0..records / writers {
            database.prepare_cached("INSERT INTO record (bytes) VALUES (?1)")?.execute([&bytes])?;
        }
        Ok(())
    })?;
    Ok(report("one commit each", writers, records, seconds, cpu, json!({})))
}

/// Runs the work in so many threads; wall time and processor time in seconds.
fn measured(writers: usize, work: impl Fn(usize) -> Outcome<()> + Sync) -> Outcome<(f64, f64)> {
    let (start, before) = (Instant::now(), processor_seconds()?);
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(move || work(writer))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a writer panicked")?)
    })?;
    Ok((start.elapsed().as_secs_f64(), processor_seconds()? - before))
}

/// User and system time of this process: fields 14 and 15 of /proc/self/stat, in 1/100 s (proc(5)).
fn processor_seconds() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("unknown form of /proc/self/stat")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

fn report(name: &str, writers: usize, records: usize, seconds: f64, cpu: f64, more: Value) -> f64 {
    let per_second = records as f64 / seconds;
    let mut line = json!({"name": name, "writers": writers, "records": records, "seconds": round(seconds),
        "per_second": per_second.round(), "cpu_us_per_record": round(cpu * 1e6 / records as f64)});
    if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
    println!("{line}");
    per_second
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
