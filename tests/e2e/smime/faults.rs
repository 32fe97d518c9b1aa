//! Keys, certificates, anchors or revocation lists that cannot be had: mail waits or is refused, and never leaves
//! in clear.

use std::fs;
use std::fs::rename;

use rusqlite::Connection;
use tests::GatepostPlan;
use tests::PATIENCE;
use tests::Pki;
use tests::Site;
use tests::SitePlan;
use tests::SmtpSink;
use tests::messages;
use tests::pki::Issued;
use tests::pki::Leaf;
use tests::wait_for;

use super::domains::authorities;
use super::people::{find, openssl_encrypted, openssl_signed};

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const EVE: &str = "eve@gamma.example";
const TEXT: &str = "the vault opens at nine\r\n";

struct World {
    pki: Pki,
    alpha: Site,
    sink: SmtpSink,
    bob: Issued,
}

/// Alpha signs everything for its domain and encrypts to Bob's certificate; what leaves is in the sink.
fn world(smime: &str) -> World {
    let pki = Pki::new();
    fs::create_dir(pki.path("lists")).unwrap();
    let sink = SmtpSink::start();
    let addresses = [BOB];
    let bob = pki.issue("bob", &Leaf::user(&addresses));
    let policy = format!(
        "[policy]\nsign = \"always\"\nencrypt = \"opportunistic\"\n[smime]\nanchors = [\"{}\"]\n{}",
        pki.root().display(),
        smime.replace("DIR", &pki.dir().to_string_lossy())
    );
    let alpha = SitePlan::new("alpha.example").policy(&policy).route("beta.example", sink.port()).prepare();
    authorities(&pki, &alpha, &[]);
    alpha.gatepost.command(&["keys", "import", &bob.certificate.to_string_lossy()]).success();
    World { pki, alpha, sink, bob }
}

impl World {
    fn send(&self) -> tests::Outcome {
        self.alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "offer", TEXT))
    }

    /// That a message waits, at RCPT or at its end, and nothing left.
    #[track_caller]
    fn assert_waits(&self) {
        let before = self.sink.received().len();
        let outcome = self.send();
        assert!(outcome.end.is_temporary(), "{outcome:?}\n{}", self.alpha.gatepost.log());
        assert_eq!(self.sink.received().len(), before);
    }

    /// That a message leaves, and sealed.
    #[track_caller]
    fn assert_sealed(&self) {
        let before = self.sink.received().len();
        let outcome = self.send();
        assert!(outcome.accepted(), "{outcome:?}\n{}", self.alpha.gatepost.log());
        let data = self.sink.wait(before + 1).pop().unwrap().data;
        assert!(find(&data, b"pkcs7-mime") && !find(&data, b"vault"), "{}", String::from_utf8_lossy(&data));
    }
}

#[test]
fn without_its_secret_keys_the_gateway_neither_signs_nor_opens_nor_lets_pass() {
    let mut world = world("");
    world.alpha.gatepost.start();
    world.assert_sealed();
    let secrets = world.alpha.gatepost.state().join("secrets");
    let away = secrets.with_extension("away");
    rename(&secrets, &away).unwrap();
    world.assert_waits();
    // Mail to us is not opened, so it waits; it is not delivered closed, as if it were somebody else's.
    let domain = Issued {
        certificate: world.pki.path("domain-confidentiality-authority-alpha.example.pem"),
        ..world.bob.clone()
    };
    let sealed = openssl_encrypted(&world.pki, &domain, "-aes-256-gcm", EVE, ALICE, TEXT.as_bytes());
    let outcome = world.alpha.receive(EVE, &[ALICE], &sealed);
    assert!(outcome.end.is_temporary(), "{outcome:?}\n{}", world.alpha.gatepost.log());
    rename(&away, &secrets).unwrap();
    world.assert_sealed();
    assert!(world.alpha.receive(EVE, &[ALICE], &sealed).accepted());
    let mail = world.alpha.postfix.wait_mail("alice", 1).pop().unwrap();
    assert!(mail.text().contains("decrypted=smime"), "{mail:?}");

    let key = world.alpha.gatepost.config().with_file_name("master.key");
    let away = key.with_extension("away");
    rename(&key, &away).unwrap();
    world.alpha.gatepost.term();
    let ended = world.alpha.gatepost.command(&["run"]);
    assert_eq!(ended.code, 77, "{}", ended.stderr);
    world.assert_waits();
    rename(&away, &key).unwrap();
    world.alpha.gatepost.start();
    world.assert_sealed();
}

#[test]
fn a_certificate_store_that_is_locked_or_damaged_is_never_no_key() {
    let mut world = world("");
    world.alpha.gatepost.start();
    let database = world.alpha.gatepost.state().join("certificates.db");
    world.assert_sealed();
    // Somebody who writes keeps nobody from reading.
    let other = Connection::open(&database).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    world.assert_sealed();
    world.alpha.gatepost.kill9();
    other.execute_batch("ROLLBACK; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let ended = world.alpha.gatepost.command(&["run"]);
    assert_eq!(ended.code, 69, "{}", ended.stderr);
    world.assert_waits();
    drop(other);
    world.alpha.gatepost.start();
    world.assert_sealed();
    world.alpha.gatepost.term();
    let good = fs::read(&database).unwrap();
    for name in ["certificates.db-wal", "certificates.db-shm"] {
        let _ = fs::remove_file(database.with_file_name(name));
    }
    fs::write(&database, vec![0x5a; good.len()]).unwrap();
    let ended = world.alpha.gatepost.command(&["run"]);
    assert_eq!(ended.code, 69, "{}", ended.stderr);
    assert!(ended.stderr.contains("certificate store"), "{}", ended.stderr);
    world.assert_waits();
    fs::write(&database, good).unwrap();
    world.alpha.gatepost.start();
    world.assert_sealed();
}

#[test]
fn a_damaged_authority_stops_the_gateway_with_a_clear_error() {
    let beta = GatepostPlan::new("beta.example").policy("[ca]\norganisation = \"Beta\"\n").prepare();
    beta.command(&["ca", "init"]).success();
    let database = beta.state().join("ca.db");
    let length = fs::metadata(&database).unwrap().len();
    for name in ["ca.db-wal", "ca.db-shm"] {
        let _ = fs::remove_file(database.with_file_name(name));
    }
    fs::write(&database, vec![0x5a; usize::try_from(length).unwrap()]).unwrap();
    for words in [&["run"][..], &["ca", "list"]] {
        let ended = beta.command(words);
        assert_eq!(ended.code, 69, "{words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("authority"), "{words:?}: {}", ended.stderr);
    }
}

#[test]
fn anchors_that_cannot_be_read_stop_the_start_and_change_nothing_at_a_reload() {
    let mut world = world("");
    world.alpha.gatepost.start();
    let root = world.pki.root();
    let away = world.pki.path("root.away");
    rename(&root, &away).unwrap();
    world.alpha.gatepost.reload();
    let line = world.alpha.gatepost.wait_log(&["trust anchors stay as they were"]);
    assert!(line.contains("root.pem"), "{line}");
    world.assert_sealed();
    assert_eq!(world.alpha.gatepost.metric("gatepost_config_last_reload_successful"), Some(0.0));
    world.alpha.gatepost.term();
    let ended = world.alpha.gatepost.command(&["run"]);
    assert_eq!(ended.code, 69, "{}", ended.stderr);
    assert!(ended.stderr.contains("anchors") && ended.stderr.contains("root.pem"), "{}", ended.stderr);
    world.assert_waits();
    rename(&away, &root).unwrap();
    world.alpha.gatepost.start();
    world.assert_sealed();
}

#[test]
fn a_revocation_list_out_of_date_makes_mail_wait_until_there_is_a_new_one() {
    let mut world = world("crls = [\"DIR/lists\"]\n");
    world.alpha.gatepost.start();
    world.assert_sealed();
    let stale = ["-crl_lastupdate", "20250101000000Z", "-crl_nextupdate", "20250102000000Z"];
    // Nobody tells the gateway: it looks after the files by itself.
    let read = || world.alpha.gatepost.log().matches("revocation lists read again").count();
    let list = |more: &[&str]| {
        let before = read();
        world.pki.openssl(&[&["ca", "-config", "ca.cnf", "-gencrl", "-out", "new.crl"], more].concat());
        rename(world.pki.path("new.crl"), world.pki.path("lists/root.crl")).unwrap();
        wait_for("the list to be read", PATIENCE, || (read() > before).then_some(()));
    };
    list(&stale);
    world.assert_waits();
    // A signature about which nothing is known does not pass.
    let addresses = [EVE];
    let eve = world.pki.issue("eve", &Leaf::user(&addresses));
    let outcome = world.alpha.receive(EVE, &[ALICE], &openssl_signed(&world.pki, &eve, EVE, ALICE, TEXT));
    assert!(outcome.accepted(), "{outcome:?}");
    let mail = world.alpha.postfix.wait_mail("alice", 1).pop().unwrap();
    assert!(mail.fields("Authentication-Results").iter().all(|result| !result.contains("pass")), "{mail:?}");
    list(&[]);
    world.assert_sealed();
    world.pki.openssl(&["ca", "-config", "ca.cnf", "-revoke", &world.bob.certificate.to_string_lossy()]);
    list(&[]);
    // Bob's only certificate is revoked: certainly no key, which opportunistic encryption passes over; here every
    // mail is signed, so nothing of it is claimed to be hidden.
    let outcome = world.send();
    assert!(outcome.accepted(), "{outcome:?}");
    let data = world.sink.wait(3).pop().unwrap().data;
    assert!(find(&data, b"multipart/signed") && !find(&data, b"enveloped-data"));
}
