//! What is issued is what the profile says, and other programs agree.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::process::Stdio;

use keydir::Anchors;
use keydir::Answer;
use keydir::Authority;
use keydir::AuthorityError;
use keydir::AuthoritySettings;
use keydir::Custody;
use keydir::Import;
use keydir::LeafRequest;
use keydir::LocalAuthority;
use keydir::Origin;
use keydir::Profile;
use keydir::Purpose;
use keydir::RevocationReason;
use keydir::SignsError;
use keydir::Speaks;
use keydir::Store;
use keydir::Subject;
use keydir::Trust;
use keydir::Use;

use crate::world::DAY;
use crate::world::Key;
use crate::world::World;
use crate::world::now;
use crate::world::settings;

#[test]
fn openssl_verifies_every_profile_under_every_kind_of_authority_key() {
    let rsa = Key::rsa(2048);
    for (root, issuing) in
        [(Key::p384(), Key::p384()), (Key::rsa(4096), Key::rsa(3072)), (Key::p384(), Key::p256())]
    {
        let world = World::with(root, issuing, &settings());
        let mut anchors = Anchors::none();
        world.authority.add_to(&mut anchors).unwrap();
        for (profile, subject, key, purpose) in [
            (Profile::UserSign, "alice@alpha.example", Key::p256(), "smimesign"),
            (Profile::UserSign, "alice@alpha.example", Key::ed25519(), "smimesign"),
            (Profile::UserEncrypt, "alice@alpha.example", rsa.clone(), "smimeencrypt"),
            (Profile::UserEncrypt, "alice@alpha.example", Key::x25519(), "any"),
            (Profile::User, "alice@sub.alpha.example", rsa.clone(), "smimesign"),
            (Profile::User, "alice@münchen.example", Key::p256(), "smimesign"),
            (Profile::User, "jörg@alpha.example", Key::p256(), "smimesign"),
            (Profile::SigningAuthority, "alpha.example", Key::p256(), "smimesign"),
            (Profile::ConfidentialityAuthority, "alpha.example", rsa.clone(), "smimeencrypt"),
            (Profile::ReviewAuthority, "alpha.example", Key::p256(), "smimesign"),
            (Profile::AttributeAuthority, "alpha.example", Key::p256(), "smimesign"),
            (Profile::Gateway, "gate.alpha.example", Key::p256(), "sslserver"),
            (Profile::Gateway, "gate.alpha.example", rsa.clone(), "sslclient"),
        ] {
            let leaf = world.leaf(profile, subject, &key);
            world.write("leaf.pem", leaf.pem());
            let (ok, text) = world.openssl(&format!(
                "verify -CAfile root.pem -untrusted issuing.pem -purpose {purpose} leaf.pem"
            ));
            assert!(ok, "{profile} {subject}: {text}");
            for (fits, use_) in [(profile.signs(), Use::Sign), (profile.encrypts(), Use::Encrypt)] {
                if profile != Profile::Gateway {
                    let verdict = anchors.verify(&leaf, &[], world.now, use_);
                    assert_eq!(verdict.is_ok(), fits, "{profile} {subject} {use_:?}: {verdict:?}");
                }
            }
        }
    }
}

#[test]
fn openssl_prints_what_was_asked_for() {
    let world = World::new();
    let (_, text) = world.openssl("x509 -in issuing.pem -noout -text");
    for part in [
        "X509v3 Name Constraints: critical",
        "email:alpha.example",
        "email:.alpha.example",
        "DNS:alpha.example",
        "email:xn--mnchen-3ya.example",
        "CA:TRUE, pathlen:0",
        "URI:http://pki.alpha.example/root.crl",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("OCSP"), "the root answers no OCSP: {text}");
    let alice = world.leaf(Profile::User, "Alice@alpha.example", &Key::rsa(2048));
    world.write("leaf.pem", alice.pem());
    let (_, text) = world.openssl("x509 -in leaf.pem -noout -text");
    for part in [
        "email:Alice@alpha.example",
        "E-mail Protection",
        "Digital Signature, Non Repudiation, Key Encipherment",
        "URI:http://pki.alpha.example/issuing-1.crl",
        "OCSP - URI:http://pki.alpha.example/ocsp",
        "CA Issuers - URI:http://pki.alpha.example/issuing-1.cer",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(alice.not_after() - world.now, 90 * DAY);
    let jorg = world.leaf(Profile::UserSign, "jörg@alpha.example", &Key::p256());
    world.write("leaf.pem", jorg.pem());
    let (_, text) = world.openssl("x509 -in leaf.pem -noout -ext subjectAltName");
    assert!(text.contains("SmtpUTF8Mailbox:") && text.contains("jörg@alpha.example"), "{text}");
    assert_eq!(jorg.addresses(), ["jörg@alpha.example"]);
}

#[test]
fn serial_numbers_are_random_and_long() {
    let world = World::new();
    let key = Key::p256();
    let mut serials: Vec<Vec<u8>> = (0..20)
        .map(|_| world.leaf(Profile::UserSign, "alice@alpha.example", &key).serial().to_vec())
        .collect();
    assert!(serials.iter().all(|serial| (14..=17).contains(&serial.len())), "{serials:?}");
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 20);
}

#[test]
fn names_outside_of_the_domains_and_keys_that_do_not_fit_are_refused() {
    let world = World::new();
    let rsa = Key::rsa(2048).info();
    let request =
        |profile, subject| LeafRequest { profile, subject, name: None, public_key: &rsa, now: world.now };
    for (profile, subject) in [
        (Profile::User, "eve@evil.example"),
        (Profile::User, "eve@evilalpha.example"),
        (Profile::SigningAuthority, "example"),
        (Profile::Gateway, "gate.evil.example"),
    ] {
        let refused = world.authority.issue(&world.issuing_key, &request(profile, subject));
        assert!(matches!(refused, Err(AuthorityError::OutsideDomains(_))), "{subject}: {refused:?}");
    }
    for subject in ["alpha.example", "a b@alpha.example", "a\0@alpha.example", "@alpha.example", ""] {
        let refused = world.authority.issue(&world.issuing_key, &request(Profile::User, subject));
        assert!(matches!(refused, Err(AuthorityError::Invalid { .. })), "{subject:?}: {refused:?}");
    }
    for (profile, key) in [
        (Profile::UserSign, Key::x25519()),
        (Profile::UserEncrypt, Key::ed25519()),
        (Profile::User, Key::ed25519()),
        (Profile::User, Key::rsa(1024)),
    ] {
        let info = key.info();
        let subject = "alice@alpha.example";
        let request = LeafRequest { profile, subject, name: None, public_key: &info, now: world.now };
        let refused = world.authority.issue(&world.issuing_key, &request);
        assert!(matches!(refused, Err(AuthorityError::Unfit(_))), "{profile}: {refused:?}");
    }
    let stranger = world.authority.issue(&Key::p384(), &request(Profile::User, "alice@alpha.example"));
    assert!(matches!(stranger, Err(AuthorityError::KeyMismatch(_))), "{stranger:?}");
    assert_eq!(world.authority.issued(None).unwrap().len(), 2, "nothing refused was recorded");
}

#[test]
fn authorities_of_a_domain_speak_for_it_and_what_lies_below() {
    let world = World::new();
    for (profile, authority) in [
        (Profile::SigningAuthority, Authority::Signing),
        (Profile::ConfidentialityAuthority, Authority::Confidentiality),
        (Profile::ReviewAuthority, Authority::Review),
        (Profile::AttributeAuthority, Authority::Attribute),
    ] {
        let leaf = world.leaf(profile, "alpha.example", &Key::p256());
        assert_eq!(leaf.authority(), Some((authority, "alpha.example".to_owned())));
        let signing = authority == Authority::Signing;
        for (address, expected) in [
            ("bob@alpha.example", signing),
            ("bob@sub.alpha.example", signing),
            ("bob@evilalpha.example", false),
            ("bob@example", false),
            ("bob@beta.example", false),
        ] {
            let speaks = leaf.speaks_for(address);
            assert_eq!(speaks == Some(Speaks::Domain), expected, "{authority:?} {address}: {speaks:?}");
        }
    }
}

#[test]
fn the_store_finds_users_and_domains_and_prefers_the_renewed_certificate() {
    let world = World::new();
    let store = Store::open_in_memory().unwrap();
    let mut anchors = Anchors::none();
    world.authority.add_to(&mut anchors).unwrap();
    let keep = |certificate: &keydir::Certificate| {
        let import = Import {
            bytes: certificate.der(),
            subjects: None,
            origin: Origin::Generated,
            trust: Trust::Own,
            custody: Custody::Local,
            now: world.now,
        };
        store.import_certificates(&import).unwrap();
    };
    let (alice, domain) =
        (Subject::address("alice@alpha.example").unwrap(), Subject::domain("alpha.example").unwrap());
    let signs = world.leaf(Profile::UserSign, "alice@alpha.example", &Key::p256());
    let encrypts = world.leaf(Profile::UserEncrypt, "alice@alpha.example", &Key::rsa(2048));
    let gate_signs = world.leaf(Profile::SigningAuthority, "alpha.example", &Key::p256());
    let gate_encrypts = world.leaf(Profile::ConfidentialityAuthority, "alpha.example", &Key::p256());
    for certificate in [&signs, &encrypts, &gate_signs, &gate_encrypts] {
        keep(certificate);
    }
    let ask = |subject: &Subject, purpose, now| match store.find_certificate(subject, purpose, now, &anchors)
    {
        Answer::Found(usable) => usable.certificate().clone(),
        other => panic!("{subject} {purpose:?}: {other:?}"),
    };
    assert_eq!(ask(&alice, Purpose::Sign, world.now), signs);
    assert_eq!(ask(&alice, Purpose::Encrypt, world.now), encrypts);
    assert_eq!(ask(&domain, Purpose::Sign, world.now), gate_signs);
    assert_eq!(ask(&domain, Purpose::Encrypt, world.now), gate_encrypts);

    // Renewal: nothing is due for 83 days, then all four are, once each.
    assert!(world.authority.due(world.now + 82 * DAY).unwrap().is_empty());
    let later = world.now + 84 * DAY;
    assert_eq!(world.authority.due(later).unwrap().len(), 4);
    let info = Key::p256().info();
    let request = LeafRequest {
        profile: Profile::UserSign,
        subject: "alice@alpha.example",
        name: None,
        public_key: &info,
        now: later,
    };
    let renewed = world.authority.issue(&world.issuing_key, &request).unwrap();
    assert_eq!(world.authority.due(later).unwrap().len(), 3);
    keep(&renewed);
    assert_eq!(ask(&alice, Purpose::Sign, later), renewed, "the new one signs");
    assert_eq!(ask(&alice, Purpose::Encrypt, later), encrypts);
    assert_eq!(store.records().unwrap().len(), 5, "the old one stays");
    let revoked =
        world.authority.revoke(&encrypts.fingerprint(), RevocationReason::Superseded, later).unwrap();
    assert_eq!(revoked.revoked, Some((later, 4)));
    assert!(world.authority.due(later).unwrap().iter().all(|due| due.fingerprint != encrypts.fingerprint()));
}

#[test]
fn gpgsm_imports_the_chain_and_a_leaf() {
    let world = World::new();
    let home = world.path("gnupg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    // gpgsm 2.2 does not know name constraints and refuses what it does not know.
    fs::write(home.join("gpgsm.conf"), "ignore-cert-extension 2.5.29.30\n").unwrap();
    fs::write(home.join("trustlist.txt"), format!("{} S\n", sha1(&world.root))).unwrap();
    let alice = world.leaf(Profile::User, "alice@alpha.example", &Key::rsa(2048));
    world.write("leaf.pem", alice.pem());
    let gpgsm = |arguments: &str| {
        let words = arguments.split_whitespace();
        world.run(Command::new("gpgsm").arg("--homedir").arg(&home).arg("--batch").args(words))
    };
    for file in ["root.pem", "issuing.pem", "leaf.pem"] {
        let (ok, text) = gpgsm(&format!("--import {file}"));
        assert!(ok && text.contains("imported: 1"), "{file}: {text}");
    }
    let (ok, text) = gpgsm("--disable-crl-checks --with-validation --with-colons -k alice@alpha.example");
    let _ = Command::new("gpgconf").arg("--homedir").arg(&home).args(["--kill", "all"]).status();
    assert!(ok && text.contains("<alice@alpha.example>"), "{text}");
    // Second field of the crt record: f, fully valid.
    assert!(text.lines().any(|line| line.starts_with("crt:f:") || line.starts_with("crt:u:")), "{text}");
}

fn sha1(certificate: &keydir::Certificate) -> String {
    let digest = certificate.x509().digest(openssl::hash::MessageDigest::sha1()).unwrap();
    digest.iter().map(|byte| format!("{byte:02X}")).collect()
}

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
fn a_new_issuing_certificate_takes_over_and_the_old_leaves_stay_valid() {
    let world = World::new();
    let old = world.leaf(Profile::User, "alice@alpha.example", &Key::p256());
    let key = Key::p256();
    let wider = AuthoritySettings::new("Alpha", &["alpha.example", "gamma.example"]);
    let refused = world.authority.renew_issuing(&wider, &key, &key, world.now, |_| Ok(()));
    assert!(matches!(refused, Err(AuthorityError::KeyMismatch(_))), "{refused:?}");
    let second =
        world.authority.renew_issuing(&wider, &world.root_key, &key, world.now + 1, |_| Ok(())).unwrap();
    assert_eq!(world.authority.issuing().unwrap(), second);
    let info = Key::p256().info();
    let subject = "bob@gamma.example";
    let request =
        LeafRequest { profile: Profile::User, subject, name: None, public_key: &info, now: world.now };
    let new = world.authority.issue(&key, &request).unwrap();
    let mut anchors = Anchors::none();
    world.authority.add_to(&mut anchors).unwrap();
    for leaf in [&old, &new] {
        let chain = anchors.verify(leaf, &[], world.now, Use::Sign).unwrap();
        assert_eq!(chain.intermediates().len(), 1);
        assert_eq!(chain.anchor(), Some(&world.root));
    }
}

#[test]
fn a_short_life_is_renewed_in_its_last_third_and_not_all_the_time() {
    let short = AuthoritySettings { leaf_days: 6, ..settings() };
    let world = World::with(Key::p256(), Key::p256(), &short);
    world.leaf(Profile::UserSign, "alice@alpha.example", &Key::p256());
    assert!(world.authority.due(world.now + 3 * DAY).unwrap().is_empty());
    assert_eq!(world.authority.due(world.now + 4 * DAY).unwrap().len(), 1);
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
                "issuing::what_was_handed_out_is_recorded_even_if_the_process_is_killed",
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
