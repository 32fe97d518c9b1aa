//! Encryption subkeys for a week: gpg follows them through the Web Key Directory, and what was encrypted to those that
//! are over can be read by nobody, whatever he has.

use std::process::Command;
use std::time::SystemTime;

use tests::Gatepost;
use tests::GatepostPlan;
use tests::Gpg;
use tests::KeyDirectory;
use tests::TlsIdentity;
use tests::directory;
use tests::messages;
use tests::run;
use tests::world::World;
use tests::world::in_private_network;

const ALICE: &str = "alice@alpha.world";
const WEEK: i64 = 7 * 86_400;
const EPOCHS: i64 = 10;

#[test]
fn gpg_follows_ten_epochs_and_old_mail_cannot_be_read_with_the_whole_disk() {
    in_private_network(
        "keydir::rotation::gpg_follows_ten_epochs_and_old_mail_cannot_be_read_with_the_whole_disk",
        ten_epochs,
    );
}

fn ten_epochs() {
    let mut world = World::new();
    world.zone("world").record("openpgpkey.alpha.world. A 127.5.0.1");
    let world = world.start();
    let section = TlsIdentity::new(&["openpgpkey.alpha.world"]).write(world.path());
    let authority = world.path().join("ca.pem");
    run(Command::new("mount").arg("--bind").arg(&authority).arg("/etc/ssl/certs/ca-certificates.crt"), b"")
        .success();
    let place = world.path().join("publication");
    let mut gatepost = GatepostPlan::new("alpha.world")
        .policy(&format!("[keydir]\npublication = \"{}\"\n[rotation]\n", place.display()))
        .prepare();
    gatepost.generate(&["--user", ALICE]);
    gatepost.command(&["keys", "publish"]).success();
    let mut served = KeyDirectory::of(&place);
    served.serve("listen = [\"https:127.5.0.1:443\"]", &section);

    let writer = Gpg::new();
    let mut letters: Vec<Vec<u8>> = Vec::new();
    let mut subkeys: Vec<String> = Vec::new();
    for epoch in 0..EPOCHS {
        let offset = epoch * WEEK + 3600;
        gatepost.set_clock(&format!("+{offset}s"));
        let rotated = gatepost.command(&["keys", "rotate", "--json"]).success().text();
        assert!(rotated.contains("\"rotated\": [\n"), "epoch {epoch}: {rotated}");
        gatepost.command(&["keys", "publish"]).success();
        let letter = write(&writer, now() + offset, epoch);
        subkeys.push(named(&writer, &letter));
        letters.push(letter);
        // A subkey lives to the end of the next epoch, and its secret half five days longer.
        for (written, letter) in (0..).zip(&letters) {
            let (opened, told) = opens(&gatepost, letter, &text(written));
            match epoch - written {
                0 | 1 => assert!(opened, "epoch {epoch}: what was written in {written} must be read: {told}"),
                2 => {}
                _ => assert!(!opened, "epoch {epoch}: what was written in {written} is read"),
            }
        }
    }
    let mut distinct = subkeys.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), subkeys.len(), "each epoch has a subkey of its own: {subkeys:?}");
    with_the_whole_disk(&gatepost, &letters);
}

/// Whoever has everything that the gateway has: configuration, state, master key.
fn with_the_whole_disk(gatepost: &Gatepost, letters: &[Vec<u8>]) {
    let thief = Gpg::new();
    let secret = gatepost.command(&["keys", "export", ALICE, "--secret"]).success().stdout;
    thief.import(&secret);
    let readable: Vec<bool> = letters.iter().map(|letter| thief.decrypt(letter).decrypted()).collect();
    let past = letters.len() - 3;
    assert!(readable[..past].iter().all(|readable| !readable), "{readable:?}");
    assert!(readable[letters.len() - 1], "{readable:?}");
    let kept = std::fs::read_dir(gatepost.state().join("secrets/epochs")).unwrap().count();
    assert!(kept <= 4, "{kept} epochs are kept");
}

fn text(epoch: i64) -> String {
    format!("written in epoch {epoch}\n")
}

/// Looks the certificate up again and encrypts, both at a time of the test's own.
fn write(gpg: &Gpg, at: i64, epoch: i64) -> Vec<u8> {
    let clock = format!("--faked-system-time={at}");
    let mut command = Command::new("gpg");
    command.arg("--homedir").arg(gpg.home()).args(["--batch", "--no-auto-check-trustdb", &clock]);
    command.args(["--auto-key-locate", "clear,wkd,nodefault", "--locate-external-keys", ALICE]);
    let located = run(&mut command, b"");
    let arguments = [&clock, "--armor", "--encrypt", "--recipient", ALICE];
    let ran = gpg.run(&arguments, text(epoch).as_bytes());
    assert!(ran.code == 0, "epoch {epoch}: {}{}", located.stderr, ran.stderr);
    ran.stdout
}

/// The key id that a message names.
fn named(gpg: &Gpg, letter: &[u8]) -> String {
    let listing = gpg.run(&["--list-packets", "--list-only"], letter).text();
    let at = listing.find("keyid ").unwrap_or_else(|| panic!("{listing}"));
    listing[at + 6..].chars().take(16).collect()
}

/// Whether the gateway opens the letter for Alice.
fn opens(gatepost: &Gatepost, letter: &[u8], text: &str) -> (bool, String) {
    let message = messages::pgp_mime("bob@beta.world", ALICE, "letter", letter);
    let out = directory("out");
    let words = ["filter", "--from", "bob@beta.world", "--to", ALICE, "--out", out.path().to_str().unwrap()];
    let ran = gatepost.command_with(&words, &message);
    let form = std::fs::read(out.path().join("0.eml")).unwrap_or_default();
    let form = String::from_utf8_lossy(&form).into_owned();
    (form.contains(text.trim_end()), format!("{}{}\n{form}", ran.stderr, ran.text()))
}

fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(elapsed.as_secs()).unwrap()
}
