use super::*;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;

use rusqlite::Connection;
use serde_json::Map;
use serde_json::json;
use tempfile::TempDir;

use tlog::merkle;

const KEY: [u8; 32] = [42; 32];

fn options(directory: &TempDir) -> Options {
    Options {
        path: directory.path().join("notary.sqlite"),
        origin: "mx.example/gatepost".into(),
        key: Zeroizing::new(KEY),
        software: "gatepost test".into(),
        clock: system_clock,
    }
}

fn open() -> (TempDir, Notary) {
    let directory = tempfile::tempdir().unwrap();
    let notary = Notary::open(options(&directory)).unwrap();
    (directory, notary)
}

fn entry(number: usize) -> Entry {
    let mut public = Map::new();
    public.insert("direction".into(), json!("outbound"));
    public.insert("size".into(), json!(2048));
    Entry {
        txid: format!("tx-{number}"),
        event: "screened".into(),
        public,
        committed: vec![
            ("mail-from".into(), b"alice@alpha.example".to_vec()),
            ("rcpt".into(), format!("bob{number}@beta.example").into_bytes()),
        ],
        private: json!({"subject": "Quarterly figures", "queue": format!("Q{number}")}).into(),
        lookup: vec![
            ("queue-id".into(), format!("Q{number}")),
            ("message-id".into(), format!("<{number}@alpha.example>")),
        ],
    }
}

fn append(notary: &Notary, numbers: std::ops::Range<usize>) {
    for number in numbers {
        notary.append(entry(number)).wait().unwrap();
    }
}

fn faults(directory: &TempDir) -> Vec<String> {
    let reader = Reader::open(&options(directory).path, Some(&KEY)).unwrap();
    reader
        .verify()
        .unwrap()
        .faults
        .into_iter()
        .map(|fault| format!("{}: {}", fault.seq, fault.what))
        .collect()
}

fn sql(directory: &TempDir, statement: &str) {
    let database = Connection::open(options(directory).path).unwrap();
    assert!(database.execute(statement, []).unwrap() > 0, "{statement}");
}

#[test]
fn a_message_is_found_by_queue_id_message_id_and_txid() {
    let (_directory, notary) = open();
    let first = notary.append(entry(1)).wait().unwrap();
    notary.append(entry(2)).wait().unwrap();
    let relayed = Entry { event: "relayed".into(), lookup: Vec::new(), ..entry(1) };
    let second = notary.append(relayed).wait().unwrap();
    for (kind, value) in [("queue-id", "Q1"), ("message-id", "<1@alpha.example>"), ("txid", "tx-1")] {
        let stories = notary.find(kind, value).unwrap();
        let told: Vec<_> = stories.iter().map(|story| (story.seq, story.event.as_str())).collect();
        assert_eq!(told, [(first.seq, "screened"), (second.seq, "relayed")]);
        assert_eq!(stories[0].leaf_hash, first.leaf_hash);
        assert_eq!(stories[0].private.as_ref().unwrap()["subject"], "Quarterly figures");
        assert_eq!(stories[0].leaf["public"]["direction"], "outbound");
        assert_eq!(stories[0].leaf["prev"], Value::Null);
        assert_eq!(stories[1].leaf["prev"], crate::hex(&first.leaf_hash));
        assert_eq!(stories[1].openings[1].value, b"bob1@beta.example");
    }
    assert!(notary.find("queue-id", "Q3").unwrap().is_empty());
    assert!(notary.find("message-id", "Q1").unwrap().is_empty());
}

#[test]
fn one_recipient_can_be_shown_without_the_others() {
    let (_directory, notary) = open();
    notary.append(entry(1)).wait().unwrap();
    let story = notary.find("txid", "tx-1").unwrap().remove(0);
    let shown = &story.openings[1];
    let commitment = crate::commitment::commit(&shown.salt, &shown.value);
    assert_eq!(story.leaf["committed"][1], json!(["rcpt", crate::hex(&commitment)]));
}

#[test]
fn fifty_threads_share_commits_and_get_gapless_receipts() {
    let (directory, notary) = open();
    let start = Barrier::new(50);
    let mut seqs: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..50)
            .map(|thread| {
                let (notary, start) = (&notary, &start);
                scope.spawn(move || {
                    start.wait();
                    (0..20)
                        .map(|n| notary.append(entry(thread * 100 + n)).wait().unwrap().seq)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=1000).collect::<Vec<_>>());
    let counts = notary.counts();
    assert_eq!((counts.size, counts.recorded, counts.failed), (1001, 1001, 0));
    assert!(counts.batches < 500, "{} commits for 1001 records", counts.batches);
    assert_eq!(faults(&directory), [""; 0]);
}

#[tokio::test]
async fn a_receipt_can_be_awaited() {
    let (_directory, notary) = open();
    assert_eq!(notary.append(entry(1)).await.unwrap().seq, 1);
    let mut reserved = entry(2);
    reserved.event = "epoch-close".into();
    assert!(matches!(notary.append(reserved).await, Err(AppendError::Entry(_))));
}

#[test]
fn after_a_read_only_database_everybody_is_told_and_no_index_is_lost() {
    let (directory, notary) = open();
    assert_eq!(notary.append(entry(1)).wait().unwrap().seq, 1);
    notary.disturb(|database| database.pragma_update(None, "query_only", "ON").unwrap());
    let waiting: Vec<_> = (2..30).map(|number| notary.append(entry(number))).collect();
    let outcomes: Vec<_> = waiting.into_iter().map(Pending::wait).collect();
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count() as u64;
    assert!(failed > 0);
    let error = outcomes.iter().find_map(|outcome| outcome.as_ref().err()).unwrap();
    assert!(matches!(error, AppendError::Storage(_)) && error.is_temporary());
    let receipt = notary.append(entry(99)).wait().unwrap();
    assert_eq!(receipt.seq, 2 + 28 - failed);
    assert_eq!(notary.counts().failed, failed);
    assert_eq!(faults(&directory), [""; 0]);
}

#[test]
fn a_full_database_fails_the_whole_batch_and_recovers() {
    let (directory, notary) = open();
    for round in 1..4 {
        let before = notary.append(entry(round)).wait().unwrap().seq;
        notary.disturb(|database| {
            let pages: i64 = database.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
            database.pragma_update(None, "max_page_count", pages + 1).unwrap();
        });
        let mut large = entry(round + 100);
        large.private = json!("x".repeat(100_000)).into();
        assert!(matches!(notary.append(large).wait(), Err(AppendError::Storage(_))));
        assert_eq!(notary.append(entry(round + 200)).wait().unwrap().seq, before + 1);
    }
    assert!(notary.find("txid", "tx-101").unwrap().is_empty());
    assert_eq!(faults(&directory), [""; 0]);
}

#[test]
fn a_notary_stops_while_its_database_fails() {
    let (directory, notary) = open();
    notary.disturb(|database| database.pragma_update(None, "query_only", "ON").unwrap());
    assert!(notary.append(entry(1)).wait().is_err());
    fs::rename(options(&directory).path, directory.path().join("aside")).unwrap();
    assert!(notary.close().is_err());
    let waiting: Vec<_> = (2..100).map(|number| notary.append(entry(number))).collect();
    drop(notary);
    assert!(waiting.into_iter().all(|pending| pending.wait().is_err()));
}

#[test]
fn a_removed_or_replaced_database_is_noticed_and_its_return_too() {
    let (directory, notary) = open();
    let before = notary.append(entry(1)).wait().unwrap().seq;
    let (path, aside) = (options(&directory).path, directory.path().join("aside"));
    let moved = |from: &Path, to: &Path| {
        for end in ["", "-wal", "-shm"] {
            let with = |path: &Path| format!("{}{end}", path.display());
            let _ = fs::rename(with(from), with(to));
        }
    };
    moved(&path, &aside);
    assert!(matches!(notary.append(entry(2)).wait(), Err(AppendError::Replaced)));
    assert!(matches!(notary.append(entry(3)).wait(), Err(AppendError::Storage(_))));
    assert!(!path.exists(), "no second log was begun in its place");

    // Another log in its place, even under the same key, is not continued.
    store::create(&path).unwrap();
    store::migrate(&mut store::connect(&path).unwrap(), "mx.example/gatepost", &Keys::new(&KEY)).unwrap();
    assert!(matches!(notary.append(entry(4)).wait(), Err(AppendError::Replaced)));
    fs::remove_file(&path).unwrap();

    moved(&aside, &path);
    assert_eq!(notary.append(entry(5)).wait().unwrap().seq, before + 1);
    assert_eq!(faults(&directory), [""; 0]);
}

#[test]
fn a_second_writer_is_refused_while_readers_are_not() {
    let (directory, notary) = open();
    notary.append(entry(1)).wait().unwrap();
    let refused = Notary::open(options(&directory)).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { pid: Some(_), .. }), "{refused}");
    assert!(refused.to_string().contains("in use by another writer (process "));
    let reader = Reader::open(&options(&directory).path, Some(&KEY)).unwrap();
    assert_eq!(reader.find("queue-id", "Q1").unwrap().len(), 1);
    notary.append(entry(2)).wait().unwrap();
    assert_eq!(reader.find("queue-id", "Q2").unwrap().len(), 1);
    notary.close().unwrap();
    assert_eq!(reader.find("queue-id", "Q2").unwrap().len(), 1);
    assert!(Notary::open(options(&directory)).is_ok());
}

#[test]
fn each_run_says_how_the_former_one_ended() {
    let (directory, notary) = open();
    notary.append(entry(1)).wait().unwrap();
    drop(notary);
    let notary = Notary::open(options(&directory)).unwrap();
    notary.close().unwrap();
    assert!(matches!(notary.append(entry(2)).wait(), Err(AppendError::Closed)));
    assert!(matches!(notary.close(), Err(AppendError::Closed)));
    let notary = Notary::open(options(&directory)).unwrap();
    let found = notary.verify().unwrap();
    assert_eq!((found.epochs, found.unclean, found.size), (3, 1, 5));
    assert_eq!(found.faults, []);
    let former = |seq| notary.reader().unwrap().story(seq).unwrap().unwrap().leaf["public"]["former"].clone();
    assert_eq!([former(0), former(2), former(4)], ["none", "unclean", "clean"]);
}

#[test]
fn another_key_or_another_log_is_refused() {
    let (directory, notary) = open();
    notary.close().unwrap();
    let key = Options { key: Zeroizing::new([1; 32]), ..options(&directory) };
    assert!(matches!(Notary::open(key), Err(OpenError::WrongKey)));
    let origin = Options { origin: "other".into(), ..options(&directory) };
    assert!(matches!(Notary::open(origin), Err(OpenError::Origin { .. })));
    let path = options(&directory).path;
    assert!(matches!(Reader::open(&path, Some(&[1; 32])), Err(OpenError::WrongKey)));
    assert!(matches!(Reader::open(&directory.path().join("none"), None), Err(OpenError::File { .. })));
    sql(&directory, "UPDATE log SET key_check = x'00'");
    assert!(matches!(Notary::open(options(&directory)), Err(OpenError::WrongKey)));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    assert!(matches!(Notary::open(options(&directory)), Err(OpenError::Format(2))));
    drop(notary);
    fs::remove_file(path.with_extension("sqlite-wal")).unwrap();
    fs::write(&path, [7; 8192]).unwrap();
    let damaged = Notary::open(options(&directory)).unwrap_err();
    assert!(matches!(damaged, OpenError::Storage(_)), "{damaged:?}");
}

#[test]
fn without_the_key_the_public_half_is_verified() {
    let (directory, notary) = open();
    notary.append(entry(1)).wait().unwrap();
    let reader = Reader::open(&options(&directory).path, None).unwrap();
    let found = reader.verify().unwrap();
    assert_eq!((found.opened, found.is_clean()), (0, true));
    assert_eq!(found.root, notary.verify().unwrap().root);
    assert!(matches!(reader.find("queue-id", "Q1"), Err(ReadError::NeedsKey)));
    let story = reader.find("txid", "tx-1").unwrap().remove(0);
    assert_eq!((story.private, story.erased), (None, false));
}

#[test]
fn every_edit_of_the_file_is_a_fault() {
    for (statement, fault) in [
        (
            "UPDATE leaf SET encoding = CAST(encoding || x'00' AS BLOB) WHERE seq = 1",
            "not the one its hash was taken of",
        ),
        ("UPDATE leaf SET encoding = x'a0', hash = x'00' WHERE seq = 1", "cannot be read"),
        ("UPDATE leaf SET hash = zeroblob(32) WHERE seq = 1", "not the one its hash was taken of"),
        ("UPDATE leaf SET txid = 'tx-2' WHERE seq = 1", "stands in the wrong row"),
        ("DELETE FROM leaf WHERE seq = 2", "are missing"),
        ("DELETE FROM leaf WHERE seq = 0", "are missing"),
        ("UPDATE leaf SET seq = -1 WHERE seq = 2", "before the first"),
        (
            "UPDATE leaf SET (encoding, hash) = (SELECT encoding, hash FROM leaf WHERE seq = 1) WHERE seq = 2",
            "wrong row",
        ),
        ("UPDATE private SET ciphertext = zeroblob(99) WHERE seq = 1", "not the one the leaf was made for"),
        ("DELETE FROM private WHERE seq = 1", "its key is not"),
        ("DELETE FROM record_key WHERE seq = 1", "key of the private half is gone"),
        ("UPDATE record_key SET wrapped = zeroblob(60) WHERE seq = 1", "does not open"),
        ("INSERT INTO private VALUES (77, x'00')", "private half without a leaf"),
        ("INSERT INTO private VALUES (0, x'00')", "that the leaf does not know of"),
        ("DELETE FROM lookup WHERE seq = 1", "cannot be found by all"),
        ("UPDATE log SET origin = 'other'", "belongs to log"),
    ] {
        let (directory, notary) = open();
        append(&notary, 1..4);
        let root = notary.verify().unwrap().root;
        drop(notary);
        assert_eq!(faults(&directory), [""; 0]);
        sql(&directory, statement);
        let found = faults(&directory);
        assert!(found.iter().any(|found| found.contains(fault)), "{statement}: {found:?}");
        let reader = Reader::open(&options(&directory).path, None).unwrap();
        let changes_log = ["encoding", "SET seq"].iter().any(|part| statement.contains(part))
            || statement.starts_with("DELETE FROM leaf");
        assert_eq!(reader.verify().unwrap().root != root, changes_log, "{statement}");
    }
}

#[test]
fn deleting_a_private_half_by_hand_is_not_an_erasure() {
    let (directory, notary) = open();
    notary.append(entry(1)).wait().unwrap();
    sql(&directory, "DELETE FROM private");
    sql(&directory, "DELETE FROM record_key");
    sql(&directory, "DELETE FROM lookup");
    assert_eq!(faults(&directory), ["1: the private half is gone and no leaf says it was erased"]);
}

#[test]
fn a_run_that_denies_a_crash_is_a_fault() {
    let (directory, notary) = open();
    drop(notary);
    sql(&directory, "UPDATE epoch SET closed = 0");
    drop(Notary::open(options(&directory)).unwrap());
    assert_eq!(faults(&directory), ["1: the former run ended unclean, which the leaf denies"]);
}

#[test]
fn cutting_off_the_end_shows_against_a_root_kept_elsewhere() {
    let (directory, notary) = open();
    append(&notary, 1..6);
    let kept = notary.verify().unwrap();
    let reader = notary.reader().unwrap();
    append(&notary, 6..9);
    let now = notary.verify().unwrap();
    let proof = reader.prove_consistency(kept.size, now.size).unwrap();
    assert!(merkle::verify_consistency((kept.size, &kept.root), (now.size, &now.root), &proof));
    drop(notary);
    for table in ["lookup", "record_key", "private", "leaf"] {
        sql(&directory, &format!("DELETE FROM {table} WHERE seq >= 4"));
    }
    assert_eq!(faults(&directory), [""; 0], "nothing inside shows it");
    assert!(matches!(reader.prove_consistency(kept.size, now.size), Err(ReadError::OutOfRange(4))));
    assert!(matches!(reader.root(kept.size), Err(ReadError::OutOfRange(4))));
}

#[test]
fn an_erased_record_is_gone_and_the_proofs_of_all_others_hold() {
    let (directory, notary) = open();
    append(&notary, 1..8);
    let before = notary.verify().unwrap();
    let reader = notary.reader().unwrap();
    let proofs: Vec<_> = (0..8).map(|seq| reader.prove_inclusion(seq, 8).unwrap()).collect();
    let database = Connection::open(options(&directory).path).unwrap();
    let wrapped: Vec<u8> =
        database.query_row("SELECT wrapped FROM record_key WHERE seq = 3", [], |row| row.get(0)).unwrap();
    drop(database);

    let receipt = notary.erase(3, "GDPR Article 17", json!({"operator": "carol"})).wait().unwrap();
    assert_eq!(receipt.seq, 8);
    assert!(notary.find("queue-id", "Q3").unwrap().is_empty());
    let stories = notary.find("txid", "tx-3").unwrap();
    assert_eq!((stories[0].private.as_ref(), stories[0].erased, stories[0].openings.len()), (None, true, 0));
    assert_eq!((stories[1].event.as_str(), &stories[1].leaf["public"]["index"]), ("erased", &json!(3)));
    assert_eq!(stories[1].private, Some(json!({"operator": "carol"})));
    assert!(matches!(notary.erase(3, "again", json!(null)).wait(), Err(AppendError::NothingToErase(3))));
    assert!(matches!(notary.erase(0, "x", json!(null)).wait(), Err(AppendError::NothingToErase(0))));
    assert!(matches!(notary.erase(99, "x", json!(null)).wait(), Err(AppendError::NothingToErase(99))));

    let after = notary.verify().unwrap();
    assert_eq!((after.faults.len(), after.erased, after.size), (0, 1, 9));
    assert_eq!(reader.root(8).unwrap(), before.root);
    for (seq, proof) in (0..).zip(proofs) {
        let hash = reader.story(seq).unwrap().unwrap().leaf_hash;
        assert_eq!(reader.prove_inclusion(seq, 8).unwrap(), proof);
        assert!(merkle::verify_inclusion(&hash, seq, 8, &before.root, &proof));
    }
    assert_eq!(occurrences(&directory, &wrapped), 0, "the wrapped key is nowhere on disk");
}

#[test]
fn nothing_personal_stands_in_the_files_in_clear() {
    let (directory, notary) = open();
    append(&notary, 1..50);
    for word in ["bob7@beta.example", "alice@alpha.example", "<7@alpha.example>", "Quarterly", "Q17"] {
        assert_eq!(occurrences(&directory, word.as_bytes()), 0, "{word} before closing");
    }
    assert!(occurrences(&directory, b"outbound") >= 49);
    notary.close().unwrap();
    for word in ["bob7@beta.example", "alice@alpha.example", "<7@alpha.example>", "Quarterly", "Q17"] {
        assert_eq!(occurrences(&directory, word.as_bytes()), 0, "{word} after closing");
    }
    assert_eq!(occurrences(&directory, &KEY), 0);
}

fn occurrences(directory: &TempDir, needle: &[u8]) -> usize {
    let files = fs::read_dir(directory.path()).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    files.map(|bytes| bytes.windows(needle.len()).filter(|window| *window == needle).count()).sum()
}

#[test]
fn every_file_is_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = options(&directory).path;
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let notary = Notary::open(options(&directory)).unwrap();
    notary.append(entry(1)).wait().unwrap();
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 4, "database, write-ahead log, its index, lock");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[test]
fn secrets_are_not_printed() {
    let (directory, notary) = open();
    let printed = format!("{:?} {:?} {:?}", options(&directory), notary, entry(1));
    assert!(
        !printed.contains("42") && !printed.contains("bob") && !printed.contains("Quarterly"),
        "{printed}"
    );
}
