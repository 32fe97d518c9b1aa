//! Certificates that strangers made to do harm, one test for each kind: what enters, what is used, what leaves.
//!
//! OpenPGP first, then S/MIME. Everything is made in the tests. What such certificates do to answers that are
//! given out is also tested in `publication/`, and the rules for X.509 in `certificate.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::convert::Infallible;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use keydir::Answer;
use keydir::Certificate;
use keydir::CertificateError;
use keydir::CertificateId;
use keydir::Change;
use keydir::Custody;
use keydir::Import;
use keydir::IntakeError;
use keydir::Origin;
use keydir::Publication;
use keydir::PublicationRules;
use keydir::Publisher;
use keydir::Purpose;
use keydir::Reason;
use keydir::Scheme;
use keydir::Store;
use keydir::StoreError;
use keydir::Subject;
use keydir::Trust;
use keydir::read_certificates;
use openssl::asn1::Asn1Object;
use openssl::asn1::Asn1OctetString;
use openssl::x509::X509Extension;
use openssl::x509::extension::KeyUsage;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::Profile;
use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::cert::CertRevocationBuilder;
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::UserAttribute;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::key::Key4;
use sequoia_openpgp::packet::key::PublicParts;
use sequoia_openpgp::packet::key::SecretParts;
use sequoia_openpgp::packet::key::SubordinateRole;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::packet::signature::subpacket::NotationDataFlags;
use sequoia_openpgp::packet::signature::subpacket::Subpacket;
use sequoia_openpgp::packet::signature::subpacket::SubpacketValue;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::Curve;
use sequoia_openpgp::types::HashAlgorithm;
use sequoia_openpgp::types::KeyFlags;
use sequoia_openpgp::types::ReasonForRevocation;
use sequoia_openpgp::types::RevocationKey;
use sequoia_openpgp::types::SignatureType;

#[path = "support/draft.rs"]
mod draft;

use draft::Draft;
use draft::now;
use draft::p256;
use draft::raw_address;
use draft::rsa;

const NOW: i64 = 1_782_864_000;
const DAY: i64 = 86_400;
const BOB: &str = "bob@gate.example";

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.cast_unsigned())
}

fn secret(user_ids: &[&str]) -> Cert {
    let mut builder = CertBuilder::new().set_creation_time(time(NOW - 30 * DAY)).add_subkey(
        KeyFlags::empty().set_transport_encryption(),
        None,
        None,
    );
    for user_id in user_ids {
        builder = builder.add_userid(*user_id);
    }
    builder.generate().unwrap().0
}

fn signer(tsk: &Cert) -> KeyPair {
    tsk.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap()
}

fn public(tsk: &Cert) -> Vec<Packet> {
    tsk.clone().strip_secret_key_material().into_packets().collect()
}

fn bytes(packets: &[Packet]) -> Vec<u8> {
    packets.iter().flat_map(|packet| packet.to_vec().unwrap()).collect()
}

/// Certifications of `cert`'s only User ID by somebody else, each at another second.
fn certifications(cert: &Cert, count: i64) -> Vec<Packet> {
    let eve = secret(&["eve@evil.example"]);
    let (mut signer, uid) = (signer(&eve), cert.userids().next().unwrap().userid().clone());
    let make = |n: i64| -> Packet {
        let made = time(NOW - DAY - n);
        let mut signature = SignatureBuilder::new(SignatureType::GenericCertification)
            .set_signature_creation_time(made)
            .unwrap()
            .sign_userid_binding(&mut signer, cert.primary_key().key(), &uid)
            .unwrap();
        // As small as they come: many of them are wanted, not valid ones.
        signature.hashed_area_mut().clear();
        let created = SubpacketValue::SignatureCreationTime(made.try_into().unwrap());
        signature.hashed_area_mut().add(Subpacket::new(created, true).unwrap()).unwrap();
        signature.into()
    };
    (0..count).map(make).collect()
}

/// Imports as ours, publishes, and gives the answer for Bob and whether mail can be encrypted to him.
fn through(bytes: &[u8]) -> (Option<Vec<u8>>, Result<(), String>) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_in_memory().unwrap();
    import(&store, bytes).unwrap();
    let path = directory.path().join("publication.db");
    let mut publisher = Publisher::open(&path).unwrap();
    let rules = PublicationRules {
        domains: ["gate.example".to_owned()].into(),
        openpgp: true,
        ..PublicationRules::default()
    };
    let mut commit = |_: &mut [Change]| -> Result<(), Infallible> { Ok(()) };
    publisher.refresh(&store, &rules, NOW, &mut commit).unwrap();
    let publication = Publication::open(&path).unwrap();
    let answer = publication.wkd("gate.example", &keydir::wkd_hash("bob"), None).unwrap();
    (answer.map(|bytes| bytes.to_vec()), usable(&store))
}

fn import(store: &Store, bytes: &[u8]) -> Result<(), StoreError> {
    let import = Import {
        bytes,
        subjects: None,
        origin: Origin::Imported,
        trust: Trust::Own,
        custody: Custody::None,
        now: NOW,
    };
    store.import(&import).map(|_| ())
}

fn usable(store: &Store) -> Result<(), String> {
    match store.find(&Subject::address(BOB).unwrap(), Scheme::Openpgp, Purpose::Encrypt, NOW) {
        Answer::Found(_) => Ok(()),
        Answer::None { why } => {
            Err(why.iter().map(|why| why.reason.to_string()).collect::<Vec<_>>().join("; "))
        }
        Answer::CouldNotTell { why } => panic!("{why}"),
    }
}

#[test]
fn openpgp_150000_third_party_signatures_are_refused_by_size() {
    let bob = secret(&[BOB]);
    let one = bytes(&certifications(&bob, 1));
    let mut flood = bytes(&public(&bob));
    for _ in 0..150_000 {
        flood.extend_from_slice(&one);
    }
    let error = read_certificates(&flood).unwrap_err();
    assert!(matches!(error, IntakeError::Limit { what: "bytes", .. }), "{error}");
}

#[test]
fn openpgp_2400_third_party_signatures_below_256_kib_leave_nothing() {
    let bob = secret(&[BOB]);
    let packets = public(&bob);
    let at = packets.iter().position(|packet| matches!(packet, Packet::PublicSubkey(_))).unwrap();
    let flood = [&packets[..at], &certifications(&bob, 2400), &packets[at..]].concat();
    let flood = bytes(&flood);
    assert!((190_000..=256 << 10).contains(&flood.len()), "{}", flood.len());
    let (answer, usable) = through(&flood);
    assert_eq!(usable, Ok(()));
    assert!(answer.unwrap().len() < 2000);
}

#[test]
fn openpgp_signatures_that_claim_to_be_the_holders_change_nothing() {
    let (bob, eve) = (secret(&[BOB]), secret(&["eve@evil.example"]));
    let uid = UserID::from(BOB);
    let mut forged = signer(&eve);
    let forge = |n: i64| -> Packet {
        SignatureBuilder::new(SignatureType::CertificationRevocation)
            .set_signature_creation_time(time(NOW - DAY - n))
            .unwrap()
            .set_issuer_fingerprint(bob.fingerprint())
            .unwrap()
            .set_issuer(bob.keyid())
            .unwrap()
            .sign_userid_binding(&mut forged, bob.primary_key().key(), &uid)
            .unwrap()
            .into()
    };
    let packets = public(&bob);
    let at = packets.iter().position(|packet| matches!(packet, Packet::PublicSubkey(_))).unwrap();
    let poison: Vec<Packet> = (0..300).map(forge).collect();
    let poisoned = bytes(&[&packets[..at], &poison, &packets[at..]].concat());
    let (answer, usable) = through(&poisoned);
    assert_eq!(usable, Ok(()));
    let clean = through(&bytes(&packets)).0;
    assert_eq!(answer, clean, "as if they had not been there");
}

#[test]
fn openpgp_large_packets_are_dropped_or_refused() {
    let bob = secret(&[BOB]);
    let packets = public(&bob);
    let attribute = Packet::from(UserAttribute::from(vec![1; 9000]));
    let (answer, usable) = through(&bytes(&[&packets[..], &[attribute]].concat()));
    assert_eq!(usable, Ok(()));
    assert!(answer.unwrap().len() < 2000);

    let long = Packet::from(UserID::from(format!("{} <{BOB}>", "x".repeat(9000))));
    let error = read_certificates(&bytes(&[&packets[..], &[long]].concat())).unwrap_err();
    assert!(matches!(error, IntakeError::Limit { what: "bytes of one User ID", .. }), "{error}");

    // A stranger's signature of 9 KB, and a packet larger than any that is parsed.
    let mut eve = signer(&secret(&["eve@evil.example"]));
    let large = SignatureBuilder::new(SignatureType::GenericCertification)
        .add_notation("a@evil.example", vec![b'x'; 9000], NotationDataFlags::empty(), false)
        .unwrap()
        .sign_userid_binding(&mut eve, bob.primary_key().key(), &UserID::from(BOB))
        .unwrap();
    let again = [UserID::from(BOB).into(), Packet::from(large)];
    let (answer, usable) = through(&bytes(&[&packets[..], &again].concat()));
    assert_eq!(usable, Ok(()));
    assert!(answer.unwrap().len() < 2000);
    let huge = Packet::from(UserAttribute::from(vec![1; 100_000]));
    if let Ok(read) = read_certificates(&bytes(&[&packets[..], &[huge]].concat())) {
        assert_eq!(read[0].user_attributes().count(), 0);
    }
}

#[test]
fn openpgp_1000_user_ids_or_subkeys_are_refused() {
    let bob = public(&secret(&[BOB]));
    let ids: Vec<Packet> = (0..1000).map(|n| UserID::from(format!("u{n}@gate.example")).into()).collect();
    let error = read_certificates(&bytes(&[&bob[..], &ids].concat())).unwrap_err();
    assert!(matches!(error, IntakeError::Limit { what: "User IDs", found: 1001, .. }), "{error}");
    let subkey = bob.iter().find(|packet| matches!(packet, Packet::PublicSubkey(_))).unwrap().clone();
    let error = read_certificates(&bytes(&[&bob[..], &vec![subkey; 1000]].concat())).unwrap_err();
    assert!(matches!(error, IntakeError::Limit { what: "subkeys", .. }), "{error}");
}

#[test]
fn openpgp_duplicate_and_reordered_packets_give_the_same_certificate() {
    let packets = public(&secret(&["Bob <bob@gate.example>", "robert@gate.example"]));
    let good = through(&bytes(&packets)).0.unwrap();
    let twice: Vec<Packet> = packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
    let mut reversed = packets.clone();
    reversed[1..].reverse();
    let mut components = packets.clone();
    components[1..].sort_by_key(|packet| !matches!(packet, Packet::Signature(_)));
    for changed in [[&packets[..], &packets[1..]].concat(), twice] {
        let (answer, usable) = through(&bytes(&changed));
        assert_eq!((answer.as_ref(), usable), (Some(&good), Ok(())));
    }
    // Signatures before their component: the parser may find their places or not, but nothing is made up.
    for changed in [reversed, components] {
        for cert in read_certificates(&bytes(&changed)).into_iter().flatten() {
            for uid in cert.userids() {
                assert!(uid.self_signatures().next().is_some());
            }
        }
    }
}

#[test]
fn openpgp_lengths_that_lie_and_partial_lengths_are_refused() {
    let good = bytes(&public(&secret(&[BOB])));
    // New format, one or two octets of length: the primary key of 51 octets.
    assert_eq!((good[0], good[1]), (0xc6, 51));
    let body = &good[2..53];
    let with_header = |header: &[u8]| [header, body, &good[53..]].concat();
    for (what, header) in [
        ("too short", &[0xc6, 50][..]),
        ("too long", &[0xc6, 52]),
        ("far too long", &[0xc6, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("partial", &[0xc6, 0xe5]),
        ("partial without end", &[0xc6, 0xfe]),
        ("nothing", &[0xc6, 0]),
        ("indeterminate", &[0x9b]),
    ] {
        let changed = with_header(header);
        match read_certificates(&changed) {
            Err(_) => {}
            // The rest of the bytes became something else; it must not be Bob.
            Ok(read) => assert!(read.iter().all(|cert| cert.userids().next().is_none()), "{what}"),
        }
    }
    // The same key with a longer form of a length that is true is the same key.
    let read = read_certificates(&with_header(&[0xc6, 0xff, 0, 0, 0, 51])).unwrap();
    assert_eq!(read[0].userids().count(), 1);
    for cut in 1..good.len() {
        let _ = read_certificates(&good[..cut]);
    }
}

#[test]
fn openpgp_a_signing_subkey_without_cross_signature_signs_nothing_and_is_not_given_out() {
    let bob = secret(&[BOB]);
    let stolen: Key<PublicParts, SubordinateRole> = {
        let key: Key4<SecretParts, SubordinateRole> = Key4::generate_ecc(true, Curve::Ed25519).unwrap();
        Key::V4(key).parts_into_public()
    };
    let binding = SignatureBuilder::new(SignatureType::SubkeyBinding)
        .set_signature_creation_time(time(NOW - DAY))
        .unwrap()
        .set_key_flags(KeyFlags::empty().set_signing())
        .unwrap()
        .sign_subkey_binding(&mut signer(&bob), None, &stolen)
        .unwrap();
    let fingerprint = stolen.fingerprint();
    let adopted = [Packet::PublicSubkey(stolen), binding.into()];
    let (answer, usable) = through(&bytes(&[&public(&bob)[..], &adopted].concat()));
    assert_eq!(usable, Ok(()));
    let published = read_certificates(&answer.unwrap()).unwrap().remove(0);
    assert!(published.keys().all(|key| key.key().fingerprint() != fingerprint));
    let policy = StandardPolicy::new();
    assert_eq!(published.with_policy(&policy, time(NOW)).unwrap().keys().subkeys().for_signing().count(), 0);
}

#[test]
fn openpgp_a_designated_revoker_revokes_nothing() {
    let eve = secret(&["eve@evil.example"]);
    let (algorithm, fingerprint) = (eve.primary_key().key().pk_algo(), eve.fingerprint());
    let (bob, _) = CertBuilder::new()
        .set_creation_time(time(NOW - 30 * DAY))
        .add_userid(BOB)
        .add_subkey(KeyFlags::empty().set_transport_encryption(), None, None)
        .set_revocation_keys(vec![RevocationKey::new(algorithm, fingerprint, false)])
        .generate()
        .unwrap();
    let revocation = CertRevocationBuilder::new()
        .set_signature_creation_time(time(NOW - DAY))
        .unwrap()
        .build(&mut signer(&eve), &bob, None)
        .unwrap();
    let packets = public(&bob);
    let revoked = [&packets[..1], &[revocation.into()], &packets[1..]].concat();
    let (answer, usable) = through(&bytes(&revoked));
    assert_eq!(usable, Ok(()));
    assert_eq!(answer, through(&bytes(&packets)).0);
}

#[test]
fn openpgp_user_ids_that_deceive_name_nobody() {
    for text in [
        "bob@gate.example\0",
        "bob@gate.example\r\nBcc: eve@evil.example",
        "\u{202e}bob@gate.example",
        "Bob \u{2066}<bob@gate.example>",
        "eve@evil.example <bob@gate.example>",
        "bob@gate.example, eve@evil.example",
        "<bob@gate.example> <eve@evil.example>",
        "bob@gate.example <eve@evil.example",
        "\u{200b}bob@gate.example",
        "\u{ff42}ob@gate.example <bob@gate.example>",
    ] {
        let (answer, usable) = through(&bytes(&public(&secret(&[text]))));
        assert_eq!(answer, None, "{text:?}");
        assert!(usable.is_err(), "{text:?}");
    }
    let raw = UserID::from(&b"Bob \xff\xfe <bob@gate.example>"[..]);
    let bob = secret(&["other@gate.example"]);
    let binding = SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_signature_creation_time(time(NOW - DAY))
        .unwrap()
        .sign_userid_binding(&mut signer(&bob), None, &raw)
        .unwrap();
    let (answer, _) = through(&bytes(&[&public(&bob)[..], &[raw.into(), binding.into()]].concat()));
    assert_eq!(answer, None, "what is not UTF-8");
}

#[test]
fn openpgp_versions_3_and_5_are_refused_and_6_is_published() {
    for version in [2, 3, 5, 7] {
        let mut changed = bytes(&public(&secret(&[BOB])));
        changed[2] = version;
        let error = read_certificates(&changed).unwrap_err();
        assert!(matches!(error, IntakeError::Unsupported { number: 1 }), "{version}: {error}");
    }
    let (six, _) = CertBuilder::new()
        .set_profile(Profile::RFC9580)
        .unwrap()
        .set_creation_time(time(NOW - DAY))
        .add_userid(BOB)
        .add_subkey(KeyFlags::empty().set_transport_encryption(), None, None)
        .generate()
        .unwrap();
    let (answer, usable) = through(&bytes(&public(&six)));
    assert_eq!(usable, Ok(()));
    let published = read_certificates(&answer.unwrap()).unwrap();
    assert_eq!(published[0].primary_key().key().version(), 6);
}

#[test]
fn openpgp_a_certificate_from_the_future_is_not_used_yet() {
    let (future, _) = CertBuilder::new()
        .set_creation_time(time(NOW + 400 * DAY))
        .add_userid(BOB)
        .add_subkey(KeyFlags::empty().set_transport_encryption(), None, None)
        .generate()
        .unwrap();
    let (answer, usable) = through(&bytes(&public(&future)));
    assert_eq!(answer, None);
    assert!(usable.unwrap_err().contains("not valid before"));
}

#[test]
fn openpgp_sha_1_binds_nothing() {
    let bob = secret(&[]);
    let uid = UserID::from(BOB);
    let binding = SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_hash_algo(HashAlgorithm::SHA1)
        .set_signature_creation_time(time(NOW - DAY))
        .unwrap()
        .sign_userid_binding(&mut signer(&bob), None, &uid)
        .unwrap();
    let (answer, usable) = through(&bytes(&[&public(&bob)[..], &[uid.into(), binding.into()]].concat()));
    assert_eq!(answer, None);
    assert!(usable.is_err());
}

#[test]
fn openpgp_a_revocation_cannot_be_rolled_back_or_softened() {
    let bob = secret(&[BOB]);
    let revocation = |reason, day: i64| -> Vec<u8> {
        let revocation = CertRevocationBuilder::new()
            .set_signature_creation_time(time(NOW - day * DAY))
            .unwrap()
            .set_reason_for_revocation(reason, b"")
            .unwrap()
            .build(&mut signer(&bob), &bob, None)
            .unwrap();
        let packets = public(&bob);
        bytes(&[&packets[..1], &[revocation.into()], &packets[1..]].concat())
    };
    let store = Store::open_in_memory().unwrap();
    import(&store, &bytes(&public(&bob))).unwrap();
    assert_eq!(usable(&store), Ok(()));
    import(&store, &revocation(ReasonForRevocation::KeyCompromised, 10)).unwrap();
    // The older version from before, and forty soft revocations, one a day.
    import(&store, &bytes(&public(&bob))).unwrap();
    for day in 1..=40 {
        import(&store, &revocation(ReasonForRevocation::KeySuperseded, day)).unwrap();
    }
    let why = usable(&store).unwrap_err();
    assert!(why.contains("compromised"), "{why}");
}

#[test]
fn openpgp_an_older_version_takes_nothing_away() {
    let bob = secret(&[BOB]);
    let newer = {
        let uid = UserID::from("robert@gate.example");
        let binding = SignatureBuilder::new(SignatureType::PositiveCertification)
            .set_signature_creation_time(time(NOW - DAY))
            .unwrap()
            .sign_userid_binding(&mut signer(&bob), None, &uid)
            .unwrap();
        bob.clone().insert_packets(vec![Packet::from(uid), binding.into()]).unwrap().0
    };
    let store = Store::open_in_memory().unwrap();
    import(&store, &bytes(&public(&newer))).unwrap();
    let before = store.get(&bob.fingerprint().to_hex()).unwrap().unwrap();
    import(&store, &bytes(&public(&bob))).unwrap();
    let after = store.get(&bob.fingerprint().to_hex()).unwrap().unwrap();
    assert_eq!(before, after);
    assert_eq!(after.subjects.len(), 2);
}

#[test]
fn openpgp_two_certificates_with_one_key_id_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let store = Store::open(&path).unwrap();
    let (bob, eve) = (secret(&[BOB]), secret(&["eve@gate.example"]));
    import(&store, &bytes(&public(&bob))).unwrap();
    import(&store, &bytes(&public(&eve))).unwrap();
    // Nobody can make a collision of 64 bits in a test: it is written into the index.
    let connection = rusqlite::Connection::open(&path).unwrap();
    let (key_id, fingerprint) = (bob.keyid().to_hex(), eve.fingerprint().to_hex());
    connection.execute("INSERT INTO component VALUES (?1, ?2)", [&key_id, &fingerprint]).unwrap();
    let Answer::Found(found) = store.by_handle(&key_id) else { panic!("nothing") };
    assert_eq!(found.len(), 2, "the caller tries both");
    let Answer::Found(found) = store.by_handle(&bob.fingerprint().to_hex()) else { panic!("nothing") };
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].cert.fingerprint(), bob.fingerprint());
}

#[test]
fn openpgp_secret_keys_are_refused_loudly() {
    let bob = secret(&[BOB]);
    let whole = bob.as_tsk().to_vec().unwrap();
    let error = read_certificates(&whole).unwrap_err();
    assert!(matches!(error, IntakeError::Secret) && error.to_string().contains("secret key"), "{error}");
    // Only a subkey is secret, between two public certificates.
    let subkey = bob.keys().secret().subkeys().next().unwrap().key().clone();
    let packets =
        [&public(&bob)[..], &[Packet::SecretSubkey(subkey)], &public(&secret(&["a@x.example"]))].concat();
    let error = read_certificates(&bytes(&packets)).unwrap_err();
    assert!(matches!(error, IntakeError::Secret), "{error}");
    let store = Store::open_in_memory().unwrap();
    assert!(import(&store, &bytes(&packets)).is_err());
    assert!(store.records().unwrap().is_empty());
}

fn import_smime(
    store: &Store,
    der: &[u8],
    subjects: Option<Vec<Subject>>,
) -> Result<Vec<keydir::Record>, StoreError> {
    store.import_certificates(&Import {
        bytes: der,
        subjects,
        origin: Origin::Imported,
        trust: Trust::Verified,
        custody: Custody::None,
        now: now(),
    })
}

fn reason(refused: Result<Vec<keydir::Record>, StoreError>) -> String {
    match refused {
        Err(StoreError::Certificate { reason, .. }) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn smime_a_certificate_for_another_address_is_not_bound_to_this_one() {
    let store = Store::open_in_memory().unwrap();
    let mut draft = Draft::new(p256());
    draft.addresses = vec!["bob@evil.example"];
    let refused =
        import_smime(&store, &draft.der(), Some(vec![Subject::address("bob@beta.example").unwrap()]));
    assert!(matches!(refused, Err(StoreError::NotMadeOutTo { .. })), "{refused:?}");
    let record = import_smime(&store, &draft.der(), None).unwrap().remove(0);
    assert_eq!(record.subjects, [Subject::address("bob@evil.example").unwrap()]);
}

#[test]
fn smime_smtp_utf8_mailbox_binds_its_mailbox_and_nothing_else() {
    let mut draft = Draft::new(p256());
    draft.addresses = Vec::new();
    let tagged = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let mailbox = tagged(0xa0, &tagged(0x0c, "jörg@beta.example".as_bytes()));
    // id-on-SmtpUTF8Mailbox, 1.3.6.1.5.5.7.8.9 (RFC 9598, 3).
    let oid = [0x06, 8, 0x2b, 6, 1, 5, 5, 7, 8, 9];
    let names = tagged(0x30, &tagged(0xa0, &[&oid[..], &mailbox].concat()));
    let names = Asn1OctetString::new_from_bytes(&names).unwrap();
    let oid = Asn1Object::from_str("2.5.29.17").unwrap();
    let names = X509Extension::new_from_der(&oid, false, &names).unwrap();
    draft.others = vec![names];
    let store = Store::open_in_memory().unwrap();
    let record = import_smime(&store, &draft.der(), None).unwrap().remove(0);
    assert_eq!(record.subjects, [Subject::address("jörg@beta.example").unwrap()]);
    assert!(!record.subjects.contains(&Subject::address("jorg@beta.example").unwrap()));
}

#[test]
fn smime_without_key_encipherment_nothing_is_encrypted() {
    let mut draft = Draft::new(rsa(2048));
    draft.usage = Some(KeyUsage::new().digital_signature().build().unwrap());
    let store = Store::open_in_memory().unwrap();
    import_smime(&store, &draft.der(), None).unwrap();
    assert!(matches!(draft.certificate().may_encrypt(now()), Err(Reason::Usage(_))));
    let subject = Subject::address("bob@beta.example").unwrap();
    let answer = store.find_certificate(&subject, Purpose::Encrypt, now(), &keydir::Anchors::none());
    assert!(matches!(answer, Answer::None { .. }), "{answer:?}");
}

#[test]
fn smime_an_authority_is_nobodys_certificate() {
    let mut authority = Draft::authority("Evil Root");
    authority.addresses = vec!["bob@beta.example"];
    let store = Store::open_in_memory().unwrap();
    let why = reason(import_smime(&store, &authority.der(), None));
    assert!(why.contains("authority") || why.contains("CA"), "{why}");
    assert!(store.records().unwrap().is_empty());
}

#[test]
fn smime_rsa_1024_is_refused() {
    let store = Store::open_in_memory().unwrap();
    let why = reason(import_smime(&store, &Draft::new(rsa(1024)).der(), None));
    assert!(why.contains("1024") && why.contains("weak"), "{why}");
}

#[test]
fn smime_two_certificates_with_one_serial_number_are_told_apart() {
    let store = Store::open_in_memory().unwrap();
    let root = Draft::authority("Root");
    let mut ders = Vec::new();
    for address in ["bob@beta.example", "eve@beta.example"] {
        let mut draft = Draft::new(p256());
        draft.issuer = Some((root.x509(), root.key.clone()));
        draft.addresses = vec![address];
        let der = draft.der();
        import_smime(&store, &der, None).unwrap();
        ders.push(der);
    }
    let bob = Certificate::from_der(&ders[0]).unwrap();
    let id = CertificateId::IssuerSerial { issuer: bob.issuer_der(), serial: bob.serial() };
    let Answer::Found(both) = store.certificates_by_id(&id) else { panic!("nothing") };
    assert_eq!(both.len(), 2, "whoever decrypts or verifies tries both");
    let Answer::Found(one) = store.certificate(&bob.fingerprint()) else { panic!("nothing") };
    assert_eq!(one.certificate.der(), ders[0]);
}

#[test]
fn smime_a_megabyte_and_ber_are_refused_before_they_are_parsed() {
    let mut large = Draft::new(p256());
    large.subject.push(("description", "x".repeat(900)));
    let good = large.der();
    let padded = [&good[..], &vec![0; 1 << 20]].concat();
    let error = Certificate::from_der(&padded).unwrap_err();
    assert!(matches!(error, CertificateError::TooLarge { .. }), "{error}");
    let ber = [&[0x30, 0x80], &good[4..], &[0, 0]].concat();
    let error = Certificate::from_der(&ber).unwrap_err();
    assert!(matches!(error, CertificateError::Malformed(_)), "{error}");
    let store = Store::open_in_memory().unwrap();
    assert!(import_smime(&store, &ber, None).is_err());
    assert!(import_smime(&store, &padded, None).is_err());
}

#[test]
fn smime_of_a_pair_each_certificate_serves_its_purpose() {
    let root = Draft::authority("Root");
    let mut anchors = keydir::Anchors::none();
    let (root_x509, root_key) = (root.x509(), root.key.clone());
    anchors.add_anchor(Certificate::from_der(&root_x509.to_der().unwrap()).unwrap()).unwrap();
    let store = Store::open_in_memory().unwrap();
    let make = |usage: KeyUsage, serial: u32| {
        let mut draft = Draft::new(rsa(2048));
        draft.issuer = Some((root_x509.clone(), root_key.clone()));
        draft.usage = Some(usage.build().unwrap());
        draft.serial = serial;
        let der = draft.der();
        import_smime(&store, &der, None).unwrap();
        der
    };
    let (mut encryption, mut signature) = (KeyUsage::new(), KeyUsage::new());
    encryption.key_encipherment();
    signature.digital_signature();
    let encryption = make(encryption, 1);
    let signature = make(signature, 2);
    let subject = Subject::address("bob@beta.example").unwrap();
    for (purpose, expected) in [(Purpose::Encrypt, &encryption), (Purpose::Verify, &signature)] {
        let Answer::Found(found) = store.find_certificate(&subject, purpose, now(), &anchors) else {
            panic!("{purpose:?}")
        };
        assert_eq!(found.certificate().der(), expected.as_slice());
    }
}

#[test]
fn smime_names_with_nul_or_two_addresses_in_one_are_refused_or_name_nobody() {
    let draft = |address: &[u8]| {
        let mut draft = Draft::new(p256());
        draft.addresses = Vec::new();
        draft.others = vec![raw_address(address)];
        draft.der()
    };
    for deceptive in [&b"bob@beta.example\0@evil.example"[..], b"bob@beta.example\r\n"] {
        assert!(matches!(Certificate::from_der(&draft(deceptive)), Err(CertificateError::DeceptiveName(_))));
    }
    for two in [&b"bob@beta.example,eve@evil.example"[..], b"eve@evil.example <bob@beta.example>"] {
        assert!(Certificate::from_der(&draft(two)).unwrap().addresses().is_empty());
    }
}
