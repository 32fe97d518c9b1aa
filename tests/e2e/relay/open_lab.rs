//! The open DNSSEC lab, where it is at hand: other people's cases and expectations, as extra data.

use std::path::PathBuf;
use std::process::Command;

use tests::directory;
use tests::gatepost_binary;
use tests::need_root;
use tests::run;

use super::room::gatepost;

/// Servers that rustls cannot talk to, with what they insist on.
const UNREACHABLE: [&str; 4] = ["g12dhe", "g12rsa", "g12cbc", "grsa1024"];
/// What the reply of the relay says when, and only when, the peer was authenticated.
const VERIFIED: &str = r" (DANE-verified|DANE-matched \(insecure MX\)|WebPKI-verified) ";

#[test]
fn the_open_lab_agrees() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/lab/dane");
    let lab = std::env::var_os("GATEPOST_LAB").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if !lab.join("up.sh").exists() {
        println!("skipped: there is no lab at {}; GATEPOST_LAB names its folder", lab.display());
        return;
    }
    need_root();
    let dir = directory("lab");
    let world = dir.path().join("world");
    let gatepost = gatepost(&world.join("certs/webpki.pem"));
    let room =
        format!("{} relay serve --config {}", gatepost_binary().display(), gatepost.config().display());
    let check = |words: &[&str]| {
        let mut up = Command::new(lab.join("up.sh"));
        let ran = run(up.current_dir(&lab).env("LAB_WORLD", &world).args(words), b"");
        let text = ran.text();
        println!("{text}{}", ran.stderr);
        assert!(text.contains(" verdicts: "), "the lab did not run: {}", ran.stderr);
        let wrong = text.lines().filter(|line| line.contains(" WRONG ") && !line.contains(" verdicts: "));
        wrong.map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<String>>()
    };
    let wrong = check(&["./policycheck.py", "--start", &room, "--twice", "inet:127.0.0.1:8461:QUERY"]);
    assert_eq!(wrong, Vec::<String>::new(), "policy server");
    // Whatever level the administrator chose where nothing is published.
    let wrong = check(&["./policycheck.py", "--start", &room, "--level", "may", "inet:127.0.0.1:8461:QUERY"]);
    assert_eq!(wrong, Vec::<String>::new(), "policy server before a Postfix whose own level is `may`");
    let wrong = check(&["./relaycheck.py", "--start", &room, "--verified", VERIFIED, "127.0.0.1:2424"]);
    assert_eq!(wrong, UNREACHABLE, "relay; these insist on DHE, RSA key exchange, CBC, RSA-1024");
}
