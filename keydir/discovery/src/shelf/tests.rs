use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use keydir::Origin;

use super::*;

fn kept(until: i64, said: KeptSaid) -> Kept {
    Kept { at: until - 100, until, stale_until: until, said, notes: vec!["a note".to_owned()] }
}

fn some() -> KeptSaid {
    let bytes = vec![0x99, 0, 255].into();
    let (fingerprint, succeeds) = ("B".to_owned(), vec!["A".to_owned()]);
    KeptSaid::Some(vec![KeptCertificate { fingerprint, bytes, succeeds, announced: true }])
}

fn remembered(fingerprint: &str, last: i64, revoked: bool) -> Remembered {
    let fingerprint = fingerprint.to_owned();
    let sighting = Sighting { fingerprint, origin: Origin::Wkd, first: 1, last, revoked };
    Remembered { sighting, bytes: vec![1, 2, 3].into() }
}

/// Everything that both kinds of shelf promise.
async fn promises(shelf: &dyn Shelf) {
    assert_eq!(shelf.get("k").await.unwrap(), None);
    for said in [some(), KeptSaid::None(vec!["x".to_owned()]), KeptSaid::Trouble("y".to_owned())] {
        let kept = kept(2_000, said);
        shelf.put("k", &kept, 1_000).await.unwrap();
        assert_eq!(shelf.get("k").await.unwrap(), Some(kept));
    }
    shelf.put("later", &kept(9_000, some()), 1_000).await.unwrap();
    for key in ["k", "later", "k"] {
        shelf.used(key, if key == "k" { 2_000 } else { 9_000 }).await.unwrap();
    }
    assert_eq!(shelf.due(3_000, 10).await.unwrap(), ["k"]);
    assert_eq!(shelf.due(3_000, 10).await.unwrap(), [""; 0], "each is given once");

    assert_eq!(shelf.seen("a@b").await.unwrap(), []);
    shelf.see("a@b", &remembered("A", 1, false)).await.unwrap();
    shelf.see("a@b", &remembered("A", 5, true)).await.unwrap();
    assert_eq!(shelf.seen("a@b").await.unwrap(), [remembered("A", 5, true)]);
    for number in 0..40 {
        shelf.see("a@b", &remembered(&format!("N{number}"), 10 + number, false)).await.unwrap();
    }
    let all = shelf.seen("a@b").await.unwrap();
    assert_eq!(all.len(), SIGHTINGS_MAX);
    assert!(all.contains(&remembered("A", 5, true)), "revocations stay");
    assert!(all.contains(&remembered("N39", 49, false)), "what is in use stays");
    assert_eq!(shelf.seen("other@b").await.unwrap(), []);

    assert!(shelf.hold("a@b", "A", 1).await.unwrap());
    assert!(!shelf.hold("a@b", "A", 2).await.unwrap());
    assert!(
        !shelf.hold("a@b", "B", 2).await.unwrap(),
        "one certificate after the other is one piece of news"
    );
    assert!(!shelf.hold("a@b", "C", NEWS_EACH + 1).await.unwrap());
    assert!(shelf.hold("a@b", "D", 2 * NEWS_EACH + 1).await.unwrap());
    assert!(!shelf.hold("a@b", "B", 9 * NEWS_EACH).await.unwrap());
    assert!(shelf.hold("b@b", "B", 2).await.unwrap());
    shelf.release("a@b").await.unwrap();
    assert!(shelf.hold("a@b", "A", 3).await.unwrap());

    for (who, now, since) in
        [("a@b", 100, 100), ("a@b", 5_000, 100), ("c@d", 5_100, 5_100), ("a@b", 90, 90), ("a@b", 95, 90)]
    {
        assert_eq!(shelf.unanswered(who, now).await.unwrap(), since, "{who} {now}");
    }
    shelf.answered("a@b").await.unwrap();
    shelf.answered("a@b").await.unwrap();
    assert_eq!(shelf.unanswered("a@b", 6_000).await.unwrap(), 6_000);

    shelf.put("wkd c@d", &kept(9_000, some()), 0).await.unwrap();
    shelf.hold("c@d", "A", 1).await.unwrap();
    shelf.forget("c@d", &["wkd c@d".to_owned()]).await.unwrap();
    assert_eq!(shelf.get("wkd c@d").await.unwrap(), None);
    assert_eq!(shelf.unanswered("c@d", 6_000).await.unwrap(), 6_000);
    assert!(shelf.hold("c@d", "A", 2).await.unwrap());
    assert!(!shelf.hold("a@b", "A", 4).await.unwrap(), "of others nothing is forgotten");
}

#[tokio::test]
async fn sqlite_keeps_its_promises_and_survives_a_restart() {
    promises(&SqliteShelf::in_memory(100).unwrap()).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("discovery.db");
    promises(&SqliteShelf::open(&path, 100).unwrap()).await;
    let again = SqliteShelf::open(&path, 100).unwrap();
    assert_eq!(again.get("later").await.unwrap(), Some(kept(9_000, some())));
    assert_eq!(again.seen("a@b").await.unwrap().len(), SIGHTINGS_MAX);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o077, 0);
}

#[tokio::test]
async fn sqlite_stays_small_and_what_ended_goes() {
    let shelf = SqliteShelf::in_memory(20).unwrap();
    for number in 0..100 {
        shelf.put(&format!("{number}"), &kept(1_000 + number, some()), 0).await.unwrap();
    }
    let mut left = 0;
    for number in 0..100 {
        left += usize::from(shelf.get(&format!("{number}")).await.unwrap().is_some());
    }
    assert!((20..=22).contains(&left), "{left}");
    assert!(shelf.get("99").await.unwrap().is_some());
    shelf.purge(5_000).await.unwrap();
    assert!(shelf.get("99").await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_held_or_unanswered_for_too_long_is_forgotten() {
    let shelf = SqliteShelf::in_memory(20).unwrap();
    shelf.hold("a@b", "A", 1_000).await.unwrap();
    shelf.purge(1_000 + HELD_FOR).await.unwrap();
    assert!(!shelf.hold("a@b", "A", 2_000).await.unwrap());
    shelf.purge(1_001 + HELD_FOR).await.unwrap();
    assert!(shelf.hold("a@b", "A", 2_000).await.unwrap());
    assert_eq!(shelf.unanswered("a@b", 1_000).await.unwrap(), 1_000);
    assert_eq!(shelf.unanswered("a@b", 1_000 + SILENCE).await.unwrap(), 1_000);
    let later = 1_001 + 2 * SILENCE;
    assert_eq!(shelf.unanswered("a@b", later).await.unwrap(), later, "nobody asked in between");
}

/// Debian's redis-server on a unix socket of its own.
struct Server {
    process: Child,
    directory: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Self { process: Self::run(directory.path()), directory };
        server.wait().await;
        server
    }

    fn run(directory: &std::path::Path) -> Child {
        Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "socket", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--dir"])
            .arg(directory)
            .current_dir(directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server of Debian's package redis-server")
    }

    async fn wait(&mut self) {
        let socket = self.directory.path().join("socket");
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert_eq!(self.process.try_wait().unwrap(), None);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        // It may still read its file.
        let shelf = self.shelf();
        while shelf.get("x").await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    fn end(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn shelf(&self) -> RedisShelf {
        let url = format!("redis+unix://{}/socket", self.directory.path().display());
        RedisShelf::new(&url, "gatepost:").unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

#[tokio::test]
async fn redis_keeps_its_promises_and_is_shared() {
    let server = Server::start().await;
    let shelf = server.shelf();
    promises(&shelf).await;
    let other = server.shelf();
    assert_eq!(other.get("later").await.unwrap(), Some(kept(9_000, some())));
    assert!(!other.hold("a@b", "A", 9).await.unwrap(), "one gateway tells, not both");
}

#[tokio::test]
async fn redis_that_is_away_is_an_error_and_comes_back() {
    let mut server = Server::start().await;
    let shelf = server.shelf();
    shelf.put("k", &kept(i64::MAX / 2, some()), i64::MAX / 2 - 500).await.unwrap();
    server.end();
    assert!(shelf.get("k").await.is_err());
    assert!(shelf.seen("a@b").await.is_err());
    server.process = Server::run(server.directory.path());
    server.wait().await;
    assert!(shelf.get("k").await.unwrap().is_some());
}

#[test]
fn a_redis_url_that_cannot_be_used_is_not_repeated() {
    let error = RedisShelf::new("nonsense://user:secret@host", "x").unwrap_err();
    assert!(!error.contains("secret"));
}
