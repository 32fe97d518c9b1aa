//! A failure or a kill on the way leaves nothing half done.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::process::Stdio;

use keydir::AuthorityError;
use keydir::LeafRequest;
use keydir::LocalAuthority;
use keydir::Profile;
use keydir::RevocationReason;
use keydir::SignsError;

use crate::world::DAY;
use crate::world::Key;
use crate::world::World;
use crate::world::now;
use crate::world::settings;

#[test]
fn a_failure_on_the_way_leaves_nothing_behind_and_the_state_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.db");
    let (root, issuing) = (Key::p384(), Key::p384());
    {
        let authority = LocalAuthority::open(&path).unwrap();
        let failed =
            authority.init(&settings(), &root, &issuing, now(), |_, _| Err(SignsError::new("no room")));
        assert!(matches!(failed, Err(AuthorityError::Keeping(_))), "{failed:?}");
        assert!(matches!(authority.root(), Err(AuthorityError::NoAuthority)));
        assert!(matches!(authority.settings(), Err(AuthorityError::NoAuthority)));
        authority.init(&settings(), &root, &issuing, now(), |_, _| Ok(())).unwrap();
        let again = authority.init(&settings(), &root, &issuing, now(), |_, _| Ok(()));
        assert!(matches!(again, Err(AuthorityError::Exists)), "{again:?}");
    }
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    let (one, other) = (LocalAuthority::open(&path).unwrap(), LocalAuthority::open(&path).unwrap());
    let info = Key::p256().info();
    let request = LeafRequest {
        profile: Profile::UserSign,
        subject: "alice@alpha.example",
        name: Some("Alice Ångström"),
        public_key: &info,
        now: now(),
    };
    let leaf = one.issue(&issuing, &request).unwrap();
    assert_eq!(leaf.common_names(), ["Alice Ångström"]);
    assert_eq!(other.find(&leaf.fingerprint()).unwrap().unwrap().certificate, leaf);
    assert_eq!(other.issued(Some("ALICE@Alpha.Example")).unwrap().len(), 1);
    assert_eq!(other.settings().unwrap().domains, ["alpha.example", "xn--mnchen-3ya.example"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(LocalAuthority::open(&path), Err(AuthorityError::Exposed { mode: 0o644, .. })));
}

#[test]
fn a_leaf_whose_key_could_not_be_kept_was_never_issued() {
    let world = World::new();
    let info = Key::p256().info();
    let request = LeafRequest {
        profile: Profile::UserSign,
        subject: "alice@alpha.example",
        name: None,
        public_key: &info,
        now: world.now,
    };
    let no_room = |_: &keydir::Certificate| Err(SignsError::new("no room"));
    let failed = world.authority.issue_kept(&world.issuing_key, &request, no_room);
    assert!(matches!(failed, Err(AuthorityError::Keeping(_))), "{failed:?}");
    assert!(world.authority.issued(Some("alice@alpha.example")).unwrap().is_empty());
    let mut kept = None;
    let keep = |certificate: &keydir::Certificate| {
        kept = Some(certificate.clone());
        Ok(())
    };
    let made = world.authority.issue_kept(&world.issuing_key, &request, keep).unwrap();
    assert_eq!(kept, Some(made.clone()));
    assert_eq!(world.authority.in_use(world.now).unwrap(), [made.fingerprint()]);
    assert!(world.authority.in_use(world.now + 91 * DAY).unwrap().is_empty());
    world.authority.revoke(&made.fingerprint(), RevocationReason::Superseded, world.now).unwrap();
    assert!(world.authority.in_use(world.now).unwrap().is_empty());
}

/// Tells the test that it is the process to be killed, and where its state lies.
const VICTIM: &str = "GATEPOST_TEST_VICTIM";

#[test]
fn what_was_handed_out_is_recorded_even_if_the_process_is_killed() {
    if let Ok(dir) = std::env::var(VICTIM) {
        issue_for_ever(std::path::Path::new(&dir));
    }
    let world = World::new();
    world.write("issuing.key", world.issuing_key.0.private_key_to_pem_pkcs8().unwrap());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "crash::what_was_handed_out_is_recorded_even_if_the_process_is_killed",
                "--exact",
                "--nocapture",
            ])
            .env(VICTIM, world.dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_fingerprint =
            |line: &String| line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        seen.extend(lines.by_ref().map(Result::unwrap).filter(is_fingerprint).take(20));
        child.kill().unwrap();
        // What it had still printed before it died.
        seen.extend(lines.map_while(Result::ok).filter(is_fingerprint));
        child.wait().unwrap();
        let authority = LocalAuthority::open(&world.path("ca.db")).unwrap();
        for fingerprint in &seen {
            assert!(
                authority.find(fingerprint).unwrap().is_some(),
                "{fingerprint} was handed out and forgotten"
            );
        }
        authority.crl(&world.issuing.fingerprint(), &world.issuing_key, world.now).unwrap();
    }
    assert!(seen.len() >= 60, "{}", seen.len());
}

fn issue_for_ever(dir: &std::path::Path) -> ! {
    let authority = LocalAuthority::open(&dir.join("ca.db")).unwrap();
    let key = fs::read(dir.join("issuing.key")).unwrap();
    let key = Key(openssl::pkey::PKey::private_key_from_pem(&key).unwrap());
    let info = Key::p256().info();
    loop {
        let request = LeafRequest {
            profile: Profile::UserSign,
            subject: "alice@alpha.example",
            name: None,
            public_key: &info,
            now: now(),
        };
        println!("{}", authority.issue(&key, &request).unwrap().fingerprint());
    }
}
