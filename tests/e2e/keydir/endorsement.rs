//! A domain vouches for its users: gpg sees them as valid, and nobody whom the domain has no business with.

use std::process::Command;

use tests::Gatepost;
use tests::GatepostPlan;
use tests::Gpg;
use tests::KeyDirectory;
use tests::Ran;
use tests::curl;
use tests::directory;
use tests::free_port;
use tests::run;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@alpha.example";
const EVE: &str = "eve@evil.example";
const CLOSE: &str = "eve@notalpha.example";

#[test]
fn gpg_trusts_a_domain_for_its_own_users_and_for_nobody_else() {
    let scratch = directory("endorsement");
    let place = scratch.path().join("publication");
    let gatepost = GatepostPlan::new("alpha.example")
        .policy(&format!("[keydir]\npublication = \"{}\"\n", place.display()))
        .prepare();
    gatepost.generate(&["--domain", "alpha.example"]);
    gatepost.generate(&["--user", ALICE]);
    gatepost.generate(&["--user", BOB]);
    gatepost.command(&["keys", "publish"]).success();
    let port = free_port();
    let mut served = KeyDirectory::of(&place);
    served.serve(&format!("listen = [\"http:127.0.0.1:{port}\"]"), "");

    let gpg = Gpg::new();
    gpg.import(&gatepost.command(&["keys", "export", ALICE, "--secret"]).success().stdout);
    let trust = format!("{}:6:\n", gpg.fingerprint(ALICE));
    // With `always` there is no database of trust at all.
    gpg.run(&["--trust-model=pgp", "--import-ownertrust"], trust.as_bytes()).success();
    gpg.import(&wkd(port, "bob"));
    gpg.import(&strangers(&gatepost));
    for address in [BOB, EVE, CLOSE] {
        assert!("-q".contains(validity(&gpg, address)), "{address} is valid before anybody vouched");
    }
    gpg.import(&gatepost.command(&["keys", "introduce", ALICE]).success().stdout);
    assert_eq!(validity(&gpg, BOB), 'f', "{}", list(&gpg, BOB).text());
    for address in [EVE, CLOSE] {
        assert!("-q".contains(validity(&gpg, address)), "{}", list(&gpg, address).text());
    }
    // What the domain published for Bob does not change as long as it holds.
    let before = wkd(port, "bob");
    let again = gatepost.command(&["keys", "publish", "--json"]).success().text();
    assert!(again.contains("\"changed\": 0"), "{again}");
    assert_eq!(wkd(port, "bob"), before);
}

/// Certificates of strangers that the domain's key has certified although it should not have.
fn strangers(gatepost: &Gatepost) -> Vec<u8> {
    let thief = Gpg::new();
    let secret = gatepost.command(&["keys", "export", "--domain", "alpha.example", "--secret"]).success();
    thief.import(&secret.stdout);
    let authority = thief.fingerprint("domain-signing-authority@alpha.example");
    let mut certificates = Vec::new();
    for address in [EVE, CLOSE] {
        let fingerprint = thief.generate(&format!("<{address}>"));
        thief.run(&["--local-user", &authority, "--quick-sign-key", &fingerprint], b"").success();
        certificates.extend(thief.certificate(address));
    }
    certificates
}

fn wkd(port: u16, local: &str) -> Vec<u8> {
    let hash = keydir::wkd_hash(local);
    let url = format!("http://127.0.0.1:{port}/.well-known/openpgpkey/hu/{hash}");
    let answer = curl(&["-H", "Host: alpha.example", &url]);
    assert_eq!(answer.status, 200, "{local}: {answer:?}");
    answer.body
}

/// The letter of validity that gpg gives to the User ID, by its usual trust model.
fn validity(gpg: &Gpg, address: &str) -> char {
    let listing = list(gpg, address).success().text();
    let line = listing.lines().find(|line| line.starts_with("uid:")).unwrap_or_else(|| panic!("{listing}"));
    line.split(':').nth(1).and_then(|field| field.chars().next()).unwrap_or('-')
}

fn list(gpg: &Gpg, address: &str) -> Ran {
    let mut command = Command::new("gpg");
    command.arg("--homedir").arg(gpg.home()).args(["--batch", "--trust-model", "pgp", "--with-colons"]);
    run(command.args(["--list-keys", address]), b"")
}
