//! What is issued is what the profile says, and other programs agree.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use keydir::Anchors;
use keydir::Answer;
use keydir::Authority;
use keydir::AuthorityError;
use keydir::AuthoritySettings;
use keydir::Custody;
use keydir::Import;
use keydir::LeafRequest;
use keydir::Origin;
use keydir::Profile;
use keydir::Purpose;
use keydir::RevocationReason;
use keydir::Speaks;
use keydir::Store;
use keydir::Subject;
use keydir::Trust;
use keydir::Use;

use crate::world::DAY;
use crate::world::Key;
use crate::world::World;
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

/// The name may come from a directory where people write it themselves.
#[test]
fn a_person_who_is_called_like_an_authority_is_none() {
    let world = World::new();
    for (name, shown) in [
        ("Domain-Signing-Authority", "domain-signing-authority@alpha.example"),
        (" review-authority", "domain-signing-authority@alpha.example"),
        ("Alice", "Alice"),
    ] {
        let request = LeafRequest {
            profile: Profile::UserSign,
            subject: "domain-signing-authority@alpha.example",
            name: Some(name),
            public_key: &Key::p256().info(),
            now: world.now,
        };
        let made = world.authority.issue(&world.issuing_key, &request).unwrap();
        assert_eq!((made.common_names(), made.authority()), (&[shown.to_owned()][..], None));
        assert_eq!(made.speaks_for("alice@alpha.example"), None);
    }
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
    let due = world.authority.due(later).unwrap();
    let of_users: Vec<bool> =
        due.iter().map(|due| matches!(due.profile, Profile::UserSign | Profile::UserEncrypt)).collect();
    assert_eq!(of_users, [false, false, true, true], "those of whole domains first");
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
