use std::path::Path;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use keylog::writer::KeyLogError;
use tempfile::TempDir;
use tlog::key::{Cosigner, VerifierKey};
use tlog::witness::Witness;
use tokio::net::TcpListener;

use super::super::log::LogKeys;
use super::*;

const NOW: i64 = 1_700_000_000;

/// A log, and a place for witnesses.
fn world() -> (TempDir, Arc<Log>) {
    let dir = tempfile::tempdir().unwrap();
    let log = Log {
        directory: dir.path().join("log"),
        memory: dir.path().join("memory"),
        keys: LogKeys::scripted("mx.alpha.example/keys"),
    };
    std::fs::create_dir(&log.directory).unwrap();
    let log = Arc::new(log);
    grow(&log);
    (dir, log)
}

/// One more entry.
fn grow(log: &Log) {
    log.session(NOW).wait_for_log().unwrap().refresh(NOW.unsigned_abs()).unwrap();
}

fn checkpoint(log: &Log) -> String {
    std::fs::read_to_string(log.directory.join("checkpoint")).unwrap()
}

/// A web server that answers every request so.
async fn serve(answer: impl Fn(&[u8]) -> (u16, String) + Clone + Send + Sync + 'static) -> u16 {
    let router = Router::new().fallback(move |body: Bytes| {
        let (status, body) = answer(&body);
        async move { (StatusCode::from_u16(status).unwrap(), body) }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

/// A true witness of the log.
async fn witness(dir: &Path, name: &str, log: &Log) -> (VerifierKey, u16) {
    let (cosigner, place) = (Cosigner::generate(name).unwrap(), dir.join(name));
    std::fs::create_dir(&place).unwrap();
    let key = cosigner.verifier().clone();
    Witness::create(&place, &key).unwrap();
    let witness = Witness::open(&place, cosigner, [log.keys.signer().unwrap().verifier().clone()]).unwrap();
    let witness = Arc::new(witness);
    let port = serve(move |body| {
        let answer = witness.add_checkpoint(body, NOW.unsigned_abs());
        (answer.status(), answer.body())
    });
    (key, port.await)
}

fn cosigning(log: &Arc<Log>, quorum: usize, witnesses: &[(VerifierKey, u16)]) -> Cosigning {
    let mut text = String::new();
    for (name, (key, port)) in witnesses.iter().enumerate() {
        text.push_str(&format!("witness {name} {key} http://127.0.0.1:{port}/\n"));
    }
    let names: Vec<String> = (0..witnesses.len()).map(|name| name.to_string()).collect();
    text.push_str(&format!("group all {quorum} {}\nquorum all\n", names.join(" ")));
    Cosigning {
        log: log.clone(),
        https: Https::new(Dns::new(DnsConfig::default()), None, Reach::default()).unwrap(),
        telemetry: Arc::new(Telemetry::new().unwrap()),
        clock: Clock::fixed(NOW),
        witnesses: Witnesses::parse(text.into_bytes()).unwrap(),
        standings: vec![Standing::default(); witnesses.len()],
        weighed: None,
    }
}

fn metrics(cosigning: &Cosigning) -> String {
    String::from_utf8(cosigning.telemetry.render().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_new_checkpoint_is_cosigned_by_those_who_are_there() {
    let (dir, log) = world();
    let one = witness(dir.path(), "one", &log).await;
    let two = witness(dir.path(), "two", &log).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let down = (Cosigner::generate("down").unwrap().verifier().clone(), closed);
    let mut cosigning = cosigning(&log, 2, &[one, two, down]);
    for _ in 0..3 {
        grow(&log);
        assert_eq!(checkpoint(&log).matches("\n— ").count(), 1);
        cosigning.round().await;
        let published = checkpoint(&log);
        assert!(published.contains("\n— one ") && published.contains("\n— two "), "{published}");
    }
    let metrics = metrics(&cosigning);
    for expected in [
        "gatepost_key_log_cosignatures_total{result=\"cosigned\"} 6\n",
        // It is left alone after the first time.
        "gatepost_key_log_cosignatures_total{result=\"unreachable\"} 1\n",
        "gatepost_key_log_quorum 1\n",
        "gatepost_key_log_cosigned_timestamp_seconds 1700000000\n",
    ] {
        assert!(metrics.contains(expected), "{expected}{metrics}");
    }
    // Nothing new: nobody is asked before it is time.
    let before = checkpoint(&log);
    cosigning.round().await;
    assert_eq!(checkpoint(&log), before);
    cosigning.clock = Clock::fixed(NOW + RENEW);
    cosigning.round().await;
    assert!(self::metrics(&cosigning).contains("{result=\"cosigned\"} 8\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_that_is_missed_is_told_and_what_was_given_is_published() {
    let (dir, log) = world();
    let one = witness(dir.path(), "one", &log).await;
    let refusing =
        (Cosigner::generate("refusing").unwrap().verifier().clone(), serve(|_| (403, String::new())).await);
    let mut cosigning = cosigning(&log, 2, &[one, refusing]);
    cosigning.round().await;
    assert!(checkpoint(&log).contains("\n— one "));
    let metrics = metrics(&cosigning);
    assert!(
        metrics.contains("gatepost_key_log_quorum 0\n") && metrics.contains("{result=\"refused\"} 1\n"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cosignature_that_is_not_valid_is_not_published() {
    let (_dir, log) = world();
    let cosigner = Arc::new(Cosigner::generate("liar").unwrap());
    let key = cosigner.verifier().clone();
    // By the right key, but for another tree.
    let other = "mx.alpha.example/keys\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    let port =
        serve(move |_| (200, format!("{}\n", cosigner.cosign(other, NOW.unsigned_abs()).unwrap()))).await;
    let before = checkpoint(&log);
    let mut cosigning = cosigning(&log, 1, &[(key, port)]);
    cosigning.round().await;
    assert_eq!(checkpoint(&log), before);
    assert!(metrics(&cosigning).contains("{result=\"invalid\"} 1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_has_seen_more_stops_the_log_until_somebody_lifts_it() {
    let (_dir, log) = world();
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let port = serve(move |_| {
        *count.lock().unwrap() += 1;
        (409, "1000\n".to_owned())
    });
    let key = Cosigner::generate("ahead").unwrap().verifier().clone();
    let mut cosigning = cosigning(&log, 1, &[(key, port.await)]);
    cosigning.round().await;
    assert_eq!(*asked.lock().unwrap(), 1);
    assert!(metrics(&cosigning).contains("{result=\"rolled_back\"} 1\n"));
    let refused = log.session(NOW).wait_for_log().unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().downcast_ref::<KeyLogError>();
    assert!(matches!(cause, Some(KeyLogError::RolledBack { known: 1000, .. })), "{refused:?}");
    assert!(refused.to_string().contains("gatepost keys log --resume"), "{refused}");
    let signer = log.keys.signer().unwrap();
    let lifted = keylog::writer::KeyLog::absolve(&log.directory, signer.verifier()).unwrap();
    assert_eq!(lifted, Some(1000));
    grow(&log);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_overtaken_stops_nothing() {
    let (dir, log) = world();
    let one = witness(dir.path(), "one", &log).await;
    let cosigning = cosigning(&log, 1, &[one]);
    let old = published(&log).unwrap().unwrap();
    grow(&log);
    let newer = published(&log).unwrap().unwrap().checkpoint().size();
    // The witness was told of the newer one in the meantime.
    let done = publish(&log, &old, &cosigning.witnesses, Vec::new(), Some(newer), NOW).unwrap();
    assert!(done.is_none());
    grow(&log);
}

#[test]
fn a_witness_that_fails_is_left_alone_for_longer_and_longer() {
    let mut standing = Standing::default();
    assert!(standing.is_due("a", NOW));
    for _ in 0..40 {
        standing.failed();
        assert!(!standing.is_due("a", NOW));
    }
    let until = standing.not_before.unwrap().duration_since(Instant::now());
    assert!(until <= LONGEST_PAUSE && until > LONGEST_PAUSE / 2);
    let cosigned = Standing { cosigned: Some("a".to_owned()), at: NOW, ..Standing::default() };
    assert!(!cosigned.is_due("a", NOW + RENEW - 1));
    assert!(cosigned.is_due("a", NOW + RENEW) && cosigned.is_due("b", NOW));
}
