//! The page for people, as Chromium shows it and zbarimg reads it.

use std::path::PathBuf;
use std::process::Command;

use tests::PATIENCE;
use tests::Ran;
use tests::curl;
use tests::directory;
use tests::run;
use tests::wait_for;

use super::doors::{ALICE, Doors, FOREIGN, NOBODY};

/// A browser with a new profile that asks nobody but us.
fn chromium(words: &[&str]) -> Ran {
    let profile = directory("chromium");
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120", "chromium", "--headless", "--no-sandbox", "--disable-gpu"]);
    command.args([
        "--disable-background-networking",
        "--disable-quic",
        "--no-first-run",
        "--hide-scrollbars",
    ]);
    command.args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    run(command.args(words), b"")
}

impl Doors {
    /// A picture of a page.
    #[track_caller]
    fn picture(&self, path: &str, size: &str, more: &[&str]) -> PathBuf {
        let picture = self.directory.path().join("page.png");
        let (to, size, url) =
            (format!("--screenshot={}", picture.display()), format!("--window-size={size}"), self.url(path));
        let ran = chromium(&[&[to.as_str(), &size][..], more, &[&url]].concat());
        assert!(picture.exists(), "{}", ran.stderr);
        picture
    }

    fn fingerprint(&self) -> String {
        let listed = self.gateway.command(&["keys", "list", "--json"]).success().text();
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let openpgp = listed.as_array().unwrap().iter().find(|it| it["scheme"] == "openpgp").unwrap();
        openpgp["fingerprint"].as_str().unwrap().to_owned()
    }
}

/// In groups of four, as people compare them.
fn grouped(fingerprint: &str) -> String {
    let digits: Vec<char> = fingerprint.chars().collect();
    digits.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

#[test]
fn chromium_shows_fingerprints_states_and_the_proof_of_the_log() {
    let doors = Doors::open();
    let dom = chromium(&["--dump-dom", &doors.url(&format!("/?address={ALICE}"))]).text();
    for part in [
        grouped(&doors.fingerprint()).as_str(),
        &grouped(&doors.smime.to_uppercase()),
        "OpenPGP key",
        "S/MIME certificate",
        "Valid: mail can be encrypted to it",
        "The key log confirms exactly these certificates",
        "mx.alpha.example/keys",
        "<svg",
    ] {
        assert!(dom.contains(part), "{part}: {dom}");
    }
    assert!(!dom.contains("<script"), "{dom}");
}

#[test]
fn a_phone_reads_the_fingerprint_from_the_screen() {
    let doors = Doors::open();
    let expected = format!("OPENPGP4FPR:{}#a=alice%40alpha.example", doors.fingerprint());
    for (size, more) in [
        ("1000,1800", &[][..]),
        ("390,2400", &["--force-dark-mode", "--enable-features=WebContentsForceDark"]),
    ] {
        let picture = doors.picture(&format!("/?address={ALICE}"), size, more);
        let read = run(Command::new("zbarimg").args(["--quiet", "--raw"]).arg(picture), b"").text();
        assert!(read.starts_with(&expected), "{size}: {read}");
    }
}

#[test]
fn a_revoked_key_is_said_to_be_revoked_and_cannot_be_scanned() {
    let doors = Doors::open();
    doors.gateway.command(&["keys", "revoke", &doors.fingerprint()]).success();
    doors.gateway.command(&["keys", "publish"]).success();
    let page = doors.get(&format!("/?address={ALICE}")).text();
    assert!(page.contains("Revoked by its holder") && !page.contains("<svg"), "{page}");
    assert!(page.contains("The key log confirms exactly"), "{page}");
}

#[test]
fn a_proof_that_does_not_fit_is_never_called_one() {
    let doors = Doors::open();
    let alice = format!("/?address={ALICE}");
    assert!(doors.get(&alice).text().contains("The key log confirms"));
    // The log is signed, but not by the key that strangers know.
    let place = doors.directory.publication().join("log/keys.json");
    let own = std::fs::read_to_string(&place).unwrap();
    let keys: serde_json::Value = serde_json::from_str(&own).unwrap();
    let other = "mx.alpha.example/keys+c4b5ba1d+AbWnDm1bJf2ROkPGRpeNyYGbAUI+5ziPyAiOnh8KoaHA";
    std::fs::write(&place, own.replace(keys["log_key"].as_str().unwrap(), other)).unwrap();
    let page = doors.get(&alice).text();
    assert!(!page.contains("The key log confirms"), "{page}");
    // Another key for labels: the proof is somebody else's.
    let vrf = keys["vrf_key"].as_str().unwrap();
    std::fs::write(
        &place,
        own.replace(vrf, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
    )
    .unwrap();
    let page = doors.get(&alice).text();
    assert!(page.contains("does NOT fit") && !page.contains("The key log confirms"), "{page}");
    std::fs::write(&place, own).unwrap();
    assert!(doors.get(&alice).text().contains("The key log confirms"));
    // What is shown is not what was logged.
    let database = rusqlite::Connection::open(doors.directory.publication().join("publication.db")).unwrap();
    assert!(database.execute("DELETE FROM published WHERE id % 256 >= 128", []).unwrap() > 0);
    let page = doors.get(&alice).text();
    assert!(page.contains("does NOT fit") && !page.contains("The key log confirms"), "{page}");
}

#[test]
fn nobody_learns_from_the_page_why_there_is_nothing() {
    let mut doors = Doors::open();
    let nothing = |doors: &Doors, address| doors.bare(&format!("/?address={address}"), address);
    let reference = nothing(&doors, NOBODY);
    assert_eq!(reference.status, 404);
    assert!(reference.text().contains("No key is published for this address."), "{}", reference.text());
    assert!(reference.text().contains("confirms that there is no certificate"), "{}", reference.text());
    assert_eq!(nothing(&doors, FOREIGN), reference);
    doors.gateway.term();
    let reference = nothing(&doors, NOBODY);
    assert!(reference.text().contains("cannot give a proof at the moment"), "{}", reference.text());
    assert_eq!(nothing(&doors, FOREIGN), reference);
}

#[test]
fn the_page_is_strict_speaks_german_and_hands_out_what_it_shows() {
    let doors = Doors::open();
    let url = doors.url(&format!("/?address={ALICE}"));
    let page = curl(&["-H", "Accept-Language: de-DE,de;q=0.9,en;q=0.5", &url]);
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(
        page.text().contains("<html lang=\"de\">") && page.text().contains("Fingerabdruck"),
        "{}",
        page.text()
    );
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self';"), "{policy}");
    assert_eq!((page.header("referrer-policy"), page.header("cache-control")), ("no-referrer", "no-store"));
    assert_eq!(doors.get("/style.css").header("content-type"), "text/css; charset=utf-8");
    let wanted = format!("/key.asc?address={ALICE}&fingerprint={}", doors.fingerprint());
    let key = doors.get(&wanted);
    assert_eq!((key.status, key.header("content-type")), (200, "application/pgp-keys"));
    assert_eq!(tests::Gpg::new().fingerprint_in(&key.body), doors.fingerprint());
    let leaf = doors.get(&format!("/key.cer?address={ALICE}&fingerprint={}", doors.smime.to_uppercase()));
    let words = ["x509", "-inform", "DER", "-noout", "-fingerprint", "-sha256"];
    let leaf = run(Command::new("openssl").args(words), &leaf.body).success().text();
    assert!(leaf.replace(':', "").trim().ends_with(&doors.smime.to_uppercase()), "{leaf}");
    assert_eq!(doors.get(&wanted.replace("alice", "bobby")).status, 404);
    let wrong = doors.get("/?address=%3Cscript%3Ealert(1)%3C/script%3E%22%27");
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;"), "{}", wrong.text());
    assert_eq!(doors.get("/").status, 200);
}

#[test]
fn an_address_without_its_own_key_has_the_key_of_the_domain_if_the_gateway_says_so() {
    let doors = Doors::open();
    let config = std::fs::read_to_string(doors.gateway.config()).unwrap();
    let config =
        config.replace("recipient_delimiter", "catch_all = [\"alpha.example\"]\nrecipient_delimiter");
    std::fs::write(doors.gateway.config(), config).unwrap();
    doors.gateway.generate(&["--domain", "alpha.example"]);
    doors.gateway.reload();
    doors.gateway.command(&["keys", "publish"]).success();
    let page = wait_for("the domain's key", PATIENCE, || {
        let page = doors.get(&format!("/?address={NOBODY}"));
        (page.status == 200).then(|| page.text())
    });
    assert!(page.contains("This is the key of the whole domain"), "{page}");
    assert!(page.contains("The key log confirms exactly"), "{page}");
    let proof = doors.get(&format!("/.well-known/tmg/v1/proof?address={NOBODY}")).body;
    doors.verify(&proof, "*@alpha.example", &[]).success();
    // The mailbox of the domain itself (RFC 3183) has the same key, and an entry of its own.
    let page = doors.get("/?address=domain-confidentiality-authority@alpha.example").text();
    assert!(page.contains("The key log confirms exactly"), "{page}");
}
