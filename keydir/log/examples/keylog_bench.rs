//! What the key log costs, for one number of labels: import, memory, disk, updates, proofs, audit.
//!
//! Prints one JSON object: `labels`; `import_seconds` (labels computed on all cores, entries, index, tiles, everything
//! on disk) and `label_us` (the VRF alone, one core); `rss_mb` (the most this process ever had) and `disk_mb`;
//! `update_us` with the time of one change in batches of 1, 100 and 1000, signature and disk included,
//! `update_cpu_us`, the processor time of one in batches of 1000, and `sync_us`, a write and fsync of 4 kB for
//! comparison; `proof_bytes` and `absence_bytes` (the larger of a
//! hundred, two witnesses, one certificate opened); `prove_us`, `verify_us` and `vrf_us` (the proof of the label,
//! which the gateway makes once); `audit_seconds` and `audit_rss_mb` (in a process of its own). Build it with
//! `--release`.
//!
//! Usage: `keylog_bench DIRECTORY LABELS`; the directory decides which disk is measured.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use keylog::Label;
use keylog::audit::audit;
use keylog::keyset::KeySet;
use keylog::keyset::Kind;
use keylog::mailbox::Mailbox;
use keylog::proof::Finding;
use keylog::proof::LookupProof;
use keylog::proof::Trust;
use keylog::proof::verify_lookup;
use keylog::reader::LogReader;
use keylog::vrf::VrfKey;
use keylog::writer::Change;
use keylog::writer::KeyLog;
use serde_json::json;
use tlog::key::Cosigner;
use tlog::key::Signer;
use tlog::policy::Policy;
use tlog::tiles::Directory;
use tlog::witness::Witness;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ORIGIN: &str = "keys.example.org/log";
const NOW: u64 = 1_800_000_000;
/// So many mailboxes are imported with one checkpoint.
const BATCH: u64 = 20_000;
/// The argument that makes this program the auditor.
const AUDIT: &str = "--audit";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [AUDIT, directory] => audit_alone(Path::new(directory)),
        [directory, labels] => measure(Path::new(directory), labels.parse()?),
        _ => Err("usage: keylog_bench DIRECTORY LABELS".into()),
    }
}

fn measure(parent: &Path, labels: u64) -> Outcome<()> {
    let home = tempfile::tempdir_in(parent)?;
    let directory = home.path().join("log");
    fs::create_dir(&directory)?;
    let mut log = KeyLog::open(&directory, &home.path().join("second"), signer()?, vrf(), NOW)?;
    let start = Instant::now();
    import(&mut log, labels)?;
    let (import_seconds, import_cpu_seconds) =
        (start.elapsed().as_secs_f64(), processor_time()?.as_secs_f64());
    let rss_mb = most_memory()?;
    let [one, hundred] = [1, 100].map(|size| updates(&mut log, labels, size));
    let cpu = processor_time()?;
    let thousand = updates(&mut log, labels, 1000)?;
    let update_cpu_us =
        (processor_time()? - cpu).as_secs_f64() * 1e6 / (7 * labels.min(1000)) as f64 - label_us()?;
    let policy = witnessed(&mut log, home.path())?;
    let proofs = proofs(&LogReader::open(&directory)?, &policy, labels)?;
    let output = Command::new(std::env::current_exe()?).arg(AUDIT).arg(&directory).output()?;
    let audited: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    println!(
        "{}",
        json!({
            "name": "keylog", "labels": labels, "import_seconds": import_seconds, "label_us": label_us()?,
            "import_cpu_seconds": import_cpu_seconds, "rss_mb": rss_mb, "disk_mb": size_of(&directory)? as f64 / 1e6,
            "update_us": [one?, hundred?, thousand], "update_cpu_us": update_cpu_us, "sync_us": sync_us(home.path())?,
            "proof_bytes": proofs.present, "absence_bytes": proofs.absent, "prove_us": proofs.prove,
            "verify_us": proofs.verify, "vrf_us": proofs.vrf,
            "audit_seconds": audited.get("seconds"), "audit_rss_mb": audited.get("rss_mb"),
        })
    );
    Ok(())
}

fn signer() -> Outcome<Signer> {
    Ok(Signer::from_seed(ORIGIN, &[3; 32])?)
}

fn vrf() -> VrfKey {
    VrfKey::from_bytes(&[4; 32])
}

fn mailbox(number: u64) -> Outcome<Mailbox> {
    Ok(Mailbox::parse(&format!("user{number}@example.org"))?)
}

fn keys(number: u64, version: u64) -> Change {
    let mut keys = KeySet::new();
    keys.add(Kind::OpenPgp, format!("{number} {version}").as_bytes());
    Change::Keys(keys)
}

fn import(log: &mut KeyLog, labels: u64) -> Outcome<()> {
    for first in (0..labels).step_by(BATCH as usize) {
        let numbers: Vec<u64> = (first..labels.min(first + BATCH)).collect();
        let labelled = label_all(&numbers)?;
        let changes: Vec<Change> = numbers.iter().map(|number| keys(*number, 0)).collect();
        let updates: Vec<(Label, &Change)> = labelled.into_iter().zip(&changes).collect();
        log.append_labelled(&updates, NOW)?;
    }
    Ok(())
}

/// The labels of these users, on all cores.
fn label_all(numbers: &[u64]) -> Outcome<Vec<Label>> {
    let cores = thread::available_parallelism()?.get();
    let share = numbers.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        let label = |numbers: &[u64]| -> Outcome<Vec<Label>> {
            let key = vrf();
            numbers.iter().map(|number| Ok(key.label(&mailbox(*number)?))).collect()
        };
        let running: Vec<_> = numbers.chunks(share).map(|part| scope.spawn(move || label(part))).collect();
        let mut labels = Vec::with_capacity(numbers.len());
        for thread in running {
            labels.extend(thread.join().map_err(|_| "a thread has panicked")??);
        }
        Ok(labels)
    })
}

/// Microseconds for one change, in batches of this size; the median of several.
fn updates(log: &mut KeyLog, labels: u64, size: u64) -> Outcome<f64> {
    let rounds = if size == 1000 { 7 } else { 21 };
    let mut times = Vec::new();
    for round in 0..rounds {
        let step = labels / size.min(labels);
        let numbers: Vec<u64> = (0..size.min(labels)).map(|n| (n * step + round) % labels).collect();
        let labelled = label_all(&numbers)?;
        let changes: Vec<Change> = numbers.iter().map(|n| keys(*n, 1 + round + 100 * size)).collect();
        let updates: Vec<(Label, &Change)> = labelled.into_iter().zip(&changes).collect();
        let start = Instant::now();
        log.append_labelled(&updates, NOW)?;
        times.push(start.elapsed() / u32::try_from(updates.len())?);
    }
    Ok(median(times))
}

/// Has two witnesses cosign, and demands both.
fn witnessed(log: &mut KeyLog, home: &Path) -> Outcome<Policy> {
    let mut policy = format!("log {}\n", signer()?.verifier());
    for name in ["a", "b"] {
        let cosigner = Cosigner::generate(&format!("witness-{name}.example.net"))?;
        let key = cosigner.verifier().clone();
        let state = home.join(name);
        fs::create_dir(&state)?;
        Witness::create(&state, &key)?;
        let witness = Witness::open(&state, cosigner, [signer()?.verifier().clone()])?;
        policy.push_str(&format!("witness {name} {key}\n"));
        log.witness(&key, 0, |body| {
            let answer = witness.add_checkpoint(body, NOW);
            Ok::<_, std::io::Error>((answer.status(), answer.body().into_bytes()))
        })?;
    }
    Ok(Policy::parse(format!("{policy}group both all a b\nquorum both\n").as_bytes())?)
}

struct Proofs {
    present: usize,
    absent: usize,
    prove: f64,
    verify: f64,
    vrf: f64,
}

fn proofs(reader: &LogReader, policy: &Policy, labels: u64) -> Outcome<Proofs> {
    let key = vrf();
    let trust =
        Trust { policy, vrf: key.public(), seen: None, now: Some(NOW), max_age: 86_400, max_skew: 300 };
    let (mut vrf, mut prove, mut verify) = (Vec::new(), Vec::new(), Vec::new());
    let (mut present, mut absent) = (0, 0);
    for n in 0..1000 {
        let is_there = n % 2 == 0;
        let number = if is_there { n * (labels / 1000).max(1) % labels } else { labels + n };
        let mailbox = mailbox(number)?;
        let start = Instant::now();
        let (label, proof) = key.prove(&mailbox);
        vrf.push(start.elapsed());
        let start = Instant::now();
        let bytes = reader.prove(&label, Some(proof))?.to_bytes();
        prove.push(start.elapsed());
        let start = Instant::now();
        let verdict = verify_lookup(&LookupProof::from_bytes(&bytes)?, &mailbox, &trust)?;
        verify.push(start.elapsed());
        match (is_there, verdict.finding) {
            (true, Finding::Keys { keys: Some(_), .. }) => present = present.max(bytes.len()),
            (false, Finding::Absent) => absent = absent.max(bytes.len()),
            _ => return Err("a proof says something else".into()),
        }
    }
    Ok(Proofs { present, absent, prove: median(prove), verify: median(verify), vrf: median(vrf) })
}

fn audit_alone(directory: &Path) -> Outcome<()> {
    let policy = Policy::parse(format!("log {}\nquorum none\n", signer()?.verifier()).as_bytes())?;
    let start = Instant::now();
    audit(Directory::new(directory), &policy, None, &mut |_| {}, &mut |_, _| {})?;
    println!("{}", json!({ "seconds": start.elapsed().as_secs_f64(), "rss_mb": most_memory()? }));
    Ok(())
}

fn label_us() -> Outcome<f64> {
    let key = vrf();
    let mut times = Vec::new();
    for number in 0..1000 {
        let mailbox = mailbox(number)?;
        let start = Instant::now();
        std::hint::black_box(key.label(&mailbox));
        times.push(start.elapsed());
    }
    Ok(median(times))
}

fn sync_us(directory: &Path) -> Outcome<f64> {
    let mut times = Vec::new();
    for number in 0..21 {
        let start = Instant::now();
        let mut file = fs::File::create(directory.join(format!("sync-{number}")))?;
        file.write_all(&[0; 4096])?;
        file.sync_all()?;
        times.push(start.elapsed());
    }
    Ok(median(times))
}

/// User and system time of this process, in ticks of ten milliseconds.
fn processor_time() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no process")?;
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(10 * ticks))
}

/// The peak of the resident set (`VmHWM`), in megabytes.
fn most_memory() -> Outcome<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kilobytes * 1024.0 / 1e6)
}

fn size_of(directory: &Path) -> Outcome<u64> {
    let mut pending: Vec<PathBuf> = vec![directory.to_owned()];
    let mut size = 0;
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else {
                size += entry.metadata()?.len();
            }
        }
    }
    Ok(size)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}
