//! A mailbox is forgotten: by the store, by what is published, by discovery. The key log keeps its proofs, and nobody can
//! open what they were about. And whoever gets an address next inherits nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use keydir::Publication;
use keylog::Label;
use keylog::mailbox::Mailbox;
use keylog::reader::LogReader;
use keylog::vrf::VrfProof;
use keylog::vrf::VrfPublic;
use serde_json::Value;
use tests::Gatepost;
use tests::GatepostPlan;
use tests::Gpg;
use tests::Ran;
use tests::directory;
use tests::run;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@alpha.example";
const VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/verifiers/keylog.py");

/// A gateway that publishes, and the directory that it publishes in.
fn world(lines: &str) -> (Gatepost, tempfile::TempDir) {
    let scratch = directory("erase");
    let place = scratch.path().join("publication");
    let section =
        format!("[keydir]\npublication = \"{}\"\n[discovery]\nsources = []\n{lines}", place.display());
    (GatepostPlan::new("alpha.example").policy(&section).prepare(), scratch)
}

fn json(gatepost: &Gatepost, words: &[&str]) -> Value {
    let ran = gatepost.command(&[words, &["--json"]].concat()).success();
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.text()))
}

fn published(place: &Path, address: &str) -> Option<keydir::Mailbox> {
    Publication::open(&place.join("publication.db")).unwrap().mailbox(address).unwrap()
}

/// The fingerprints published for an address.
fn fingerprints(place: &Path, address: &str) -> Vec<String> {
    let mailbox = published(place, address);
    let all = mailbox.iter().flat_map(|mailbox| mailbox.openpgp.iter().chain(&mailbox.smime));
    all.map(|one| one.fingerprint.clone()).collect()
}

fn python(words: &[&str]) -> Ran {
    run(Command::new("/usr/bin/python3").arg(VERIFIER).args(words), b"")
}

/// The log's word about a label, as a file for somebody else's verifier.
fn prove(place: &Path, label: &Label, vrf: VrfProof, file: &Path) {
    let proof = LogReader::open(&place.join("log")).unwrap().prove(label, Some(vrf)).unwrap();
    fs::write(file, proof.to_bytes()).unwrap();
}

/// Whether any file below a directory has these bytes in it.
fn found_below(directory: &Path, text: &str) -> Vec<String> {
    let ran = run(Command::new("grep").args(["-rlai", text]).arg(directory), b"");
    ran.text().lines().map(str::to_owned).collect()
}

#[test]
fn nothing_is_left_of_an_erased_mailbox_and_every_proof_stays_valid() {
    let (alpha, scratch) = world("");
    let place = scratch.path().join("publication");
    alpha.generate(&["--user", ALICE]);
    alpha.generate(&["--user", BOB]);
    alpha.command(&["keys", "publish"]).success();
    let pinned = json(&alpha, &["keys", "log"]);
    let key = |name: &str| pinned[name].as_str().unwrap().to_owned();
    let (log_key, vrf_key) = (key("log_key"), key("vrf_key"));
    assert_eq!(key("origin"), "mx.alpha.example/keys");
    assert!(pinned["records"].to_string().contains(&vrf_key), "{pinned}");

    let vrf = published(&place, ALICE).unwrap().label_proof.unwrap();
    let vrf = VrfProof(vrf.try_into().unwrap());
    let public = VrfPublic::from_bytes(&vrf_key.parse::<Label>().unwrap().0).unwrap();
    let label = public.verify(&Mailbox::parse(ALICE).unwrap(), &vrf).unwrap();
    let (old, new) = (scratch.path().join("old"), scratch.path().join("new"));
    prove(&place, &label, vrf, &old);
    let look_up = |file: &Path, expected: &str| {
        python(&["lookup", file.to_str().unwrap(), ALICE, &log_key, &vrf_key, "--expect", expected])
            .success();
    };
    look_up(&old, "keys");
    let checkpoint = scratch.path().join("checkpoint");
    fs::copy(place.join("log/checkpoint"), &checkpoint).unwrap();
    // A stranger has submitted a key for her, which nobody has looked at yet.
    let stranger = Gpg::new();
    stranger.generate(ALICE);
    fs::write(place.join("submissions/one"), stranger.certificate(ALICE)).unwrap();

    let erased = json(&alpha, &["keys", "erase", ALICE, "--secrets"]);
    assert_eq!(erased["removed"].as_array().unwrap().len(), 1, "{erased}");
    assert_eq!(
        (&erased["logged"], &erased["submissions"]),
        (&Value::Bool(true), &Value::from(1)),
        "{erased}"
    );
    assert_eq!(published(&place, ALICE), None);
    assert_eq!(fingerprints(&place, BOB).len(), 1);
    assert_eq!(json(&alpha, &["keys", "list", ALICE]), Value::Array(Vec::new()));
    for directory in [&place, &alpha.state()] {
        assert_eq!(found_below(directory, ALICE), [] as [String; 0]);
    }

    look_up(&old, "keys");
    prove(&place, &label, vrf, &new);
    look_up(&new, "erased");
    let log = place.join("log");
    let log = log.to_str().unwrap();
    python(&["audit", log, &log_key]).success();
    python(&["consistent", log, &log_key, checkpoint.to_str().unwrap()]).success();

    // Again, it is nothing new; and a later key of the same address continues the label.
    assert_eq!(json(&alpha, &["keys", "erase", ALICE])["logged"], Value::Bool(false));
    alpha.generate(&["--user", ALICE]);
    alpha.command(&["keys", "publish"]).success();
    let vrf = VrfProof(published(&place, ALICE).unwrap().label_proof.unwrap().try_into().unwrap());
    prove(&place, &label, vrf, &new);
    look_up(&new, "keys");
    python(&["audit", log, &log_key]).success();
}

#[test]
fn secret_keys_stay_unless_they_are_meant_too() {
    let (alpha, _scratch) = world("");
    alpha.generate(&["--user", ALICE]);
    let erased = json(&alpha, &["keys", "erase", ALICE]);
    let fingerprint = erased["secrets"][0].as_str().unwrap().to_owned();
    assert!(
        alpha.command(&["keys", "export", &fingerprint, "--secret"]).success().text().contains("PRIVATE")
    );
}

#[test]
fn a_renamed_or_reused_address_never_inherits_a_key() {
    let accounts = tempfile::NamedTempFile::new().unwrap();
    let write = |lines: &str| fs::write(accounts.path(), lines).unwrap();
    let (alpha, scratch) =
        world(&format!("[ca]\n[accounts]\nsource = \"file:{}\"\n", accounts.path().display()));
    let place = scratch.path().join("publication");
    let follow = || {
        alpha.command(&["accounts", "sync", "--accept-loss"]).success();
        alpha.command(&["keys", "publish"]).success();
    };
    alpha.command(&["ca", "init"]).success();
    write("bob@alpha.example id=7\n");
    follow();
    // One of each kind: one by the authority, one that an administrator made.
    alpha.generate(&["--user", BOB]);
    alpha.command(&["keys", "publish"]).success();
    let of_bob = fingerprints(&place, BOB);
    assert_eq!(of_bob.len(), 2, "{of_bob:?}");
    let usable = |address: &str| {
        let mailbox = published(&place, address);
        let all = mailbox.into_iter().flat_map(|mailbox| [mailbox.openpgp, mailbox.smime].concat());
        all.filter(|one| !one.revoked).map(|one| one.fingerprint).collect::<Vec<_>>()
    };

    // He is called Rob now, and gets other keys; at his old address there is nobody.
    write("rob@alpha.example id=7\n");
    follow();
    assert_eq!(usable(BOB), [] as [String; 0]);
    let of_rob = usable("rob@alpha.example");
    assert!(of_rob.len() == 1 && !of_bob.contains(&of_rob[0]), "{of_rob:?}");
    // Another Bob comes.
    write("rob@alpha.example id=7\nbob@alpha.example id=8\n");
    follow();
    let of_other = usable(BOB);
    assert!(of_other.len() == 1 && !of_bob.contains(&of_other[0]), "{of_other:?}");
    assert!(published(&place, BOB).unwrap().openpgp.is_empty());
    // And hands the address over without a pause.
    alpha.generate(&["--user", BOB]);
    alpha.command(&["keys", "publish"]).success();
    let second = usable(BOB);
    assert_eq!(second.len(), 2);
    write("rob@alpha.example id=7\nbob@alpha.example id=9\n");
    follow();
    let third = usable(BOB);
    assert!(third.len() == 1 && !second.contains(&third[0]), "{third:?}");
}
