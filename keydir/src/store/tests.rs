use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use sequoia_openpgp::Profile;
use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::cert::CertRevocationBuilder;
use sequoia_openpgp::cert::UserIDRevocationBuilder;
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::key::Key4;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::Features;
use sequoia_openpgp::types::HashAlgorithm;
use sequoia_openpgp::types::KeyFlags;
use sequoia_openpgp::types::ReasonForRevocation;

use super::*;
use crate::answer::Reason;
use crate::forge::Forge;
use crate::forge::NOW;
use crate::intake::IntakeError;

const DAY: i64 = 86_400;

fn builder(user_id: &str) -> CertBuilder<'static> {
    CertBuilder::new()
        .add_userid(user_id)
        .set_creation_time(assess::system_time(NOW - 10 * DAY))
        .set_validity_period(Duration::from_secs(365 * 86_400))
        .add_signing_subkey()
        .add_transport_encryption_subkey()
}

fn bobs() -> Cert {
    builder("bob@beta.example").generate().unwrap().0
}

fn bob() -> Subject {
    Subject::address("bob@beta.example").unwrap()
}

fn encryption() -> KeyFlags {
    KeyFlags::empty().set_transport_encryption()
}

fn forged() -> Forge {
    Forge::new(NOW - 10 * DAY).user_id("bob@beta.example")
}

fn memory() -> Store {
    Store::open_in_memory().unwrap()
}

struct Given<'a> {
    cert: &'a Cert,
    subjects: Option<Vec<Subject>>,
    origin: Origin,
    trust: Trust,
    custody: Custody,
}

impl<'a> Given<'a> {
    fn new(cert: &'a Cert) -> Self {
        let (origin, trust, custody) = (Origin::Imported, Trust::Verified, Custody::None);
        Self { cert, subjects: None, origin, trust, custody }
    }

    fn into(self, store: &Store) -> Result<Record, StoreError> {
        let bytes = self.cert.clone().strip_secret_key_material().to_vec().unwrap();
        let Given { subjects, origin, trust, custody, .. } = self;
        let import = Import { bytes: &bytes, subjects, origin, trust, custody, now: NOW };
        store.import(&import).map(|mut records| records.remove(0))
    }
}

fn import(store: &Store, cert: &Cert) -> Record {
    Given::new(cert).into(store).unwrap()
}

fn ask(store: &Store, now: i64) -> Answer<Usable> {
    store.find(&bob(), Scheme::Openpgp, Purpose::Encrypt, now)
}

fn found(store: &Store, now: i64) -> Usable {
    match ask(store, now) {
        Answer::Found(usable) => usable,
        other => panic!("{other:?}"),
    }
}

/// The reason for the only certificate of bob.
fn refused(store: &Store, now: i64) -> String {
    match ask(store, now) {
        Answer::None { why } if why.len() == 1 => why[0].reason.to_string(),
        other => panic!("{other:?}"),
    }
}

fn revocation(cert: &Cert, reason: ReasonForRevocation, text: &str, at: i64) -> Vec<u8> {
    let mut signer: KeyPair =
        cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let signature = CertRevocationBuilder::new()
        .set_signature_creation_time(assess::system_time(at))
        .unwrap()
        .set_reason_for_revocation(reason, text.as_bytes())
        .unwrap()
        .build(&mut signer, cert, None)
        .unwrap();
    Packet::from(signature).to_vec().unwrap()
}

#[test]
fn finds_the_certificate_of_a_mailbox_by_address_and_by_any_of_its_keys() {
    let store = memory();
    let (cert, _) = builder("Bob <Bob@Beta.example>").generate().unwrap();
    let record = import(&store, &cert);
    assert_eq!(record.subjects, [Subject::Address("Bob@beta.example".into())]);
    assert_eq!(found(&store, NOW).cert().fingerprint(), cert.fingerprint());
    for key in cert.keys() {
        for handle in [key.key().fingerprint().to_hex(), key.key().keyid().to_hex()] {
            let Answer::Found(known) = store.by_handle(&handle.to_lowercase()) else { panic!() };
            assert_eq!(known[0].record.fingerprint, cert.fingerprint().to_hex());
        }
    }
    assert!(matches!(store.by_handle("00"), Answer::None { .. }));
    let other = Subject::address("eve@beta.example").unwrap();
    let answer = store.find(&other, Scheme::Openpgp, Purpose::Encrypt, NOW);
    assert!(matches!(answer, Answer::None { why } if why.is_empty()));
    let answer = store.find(&bob(), Scheme::Smime, Purpose::Encrypt, NOW);
    assert!(matches!(answer, Answer::None { why } if why.is_empty()));
}

#[test]
fn a_certificate_is_used_only_within_its_validity_even_from_the_cache() {
    let store = memory();
    let cert = bobs();
    let record = import(&store, &cert);
    let (from, until) = (record.valid_from.unwrap(), record.valid_until.unwrap());
    for now in [from, NOW, until - 1] {
        found(&store, now);
    }
    for _ in 0..2 {
        assert_eq!(refused(&store, until), "expired on 2027-06-21");
        found(&store, until - 1);
        assert_eq!(refused(&store, from - 1), "not valid before 2026-06-21");
        found(&store, from);
    }
}

#[test]
fn a_revoked_certificate_is_refused_with_the_holders_reason() {
    for (reason, text, expected) in [
        (ReasonForRevocation::KeySuperseded, "", "revoked: superseded"),
        (ReasonForRevocation::KeyRetired, "gone", "revoked: retired (gone)"),
        (ReasonForRevocation::KeyCompromised, "a\r\nb", "revoked: compromised (ab)"),
        (ReasonForRevocation::Unspecified, "", "revoked: no reason given"),
    ] {
        let store = memory();
        let cert = bobs();
        let record = import(&store, &cert);
        store.revoke(&record.fingerprint, &revocation(&cert, reason, text, NOW), NOW).unwrap();
        assert_eq!(refused(&store, NOW), expected);
    }
}

#[test]
fn a_soft_revocation_begins_when_it_says_and_never_lifts_a_hard_one() {
    let store = memory();
    let cert = bobs();
    let fingerprint = import(&store, &cert).fingerprint;
    let soft = revocation(&cert, ReasonForRevocation::KeyRetired, "", NOW);
    store.revoke(&fingerprint, &soft, NOW).unwrap();
    found(&store, NOW - DAY);
    assert_eq!(refused(&store, NOW + 1), "revoked: retired");

    let hard = revocation(&cert, ReasonForRevocation::KeyCompromised, "", NOW - DAY);
    store.revoke(&fingerprint, &hard, NOW).unwrap();
    for number in 0..30 {
        let soft = revocation(&cert, ReasonForRevocation::KeyRetired, "", NOW + number);
        store.revoke(&fingerprint, &soft, NOW + DAY).unwrap();
    }
    assert_eq!(refused(&store, NOW - 2 * DAY), "revoked: compromised");
    assert_eq!(refused(&store, NOW + 2 * DAY), "revoked: compromised");
}

#[test]
fn a_replayed_older_version_does_not_undo_a_revocation() {
    let store = memory();
    let cert = bobs();
    let fingerprint = import(&store, &cert).fingerprint;
    let hard = revocation(&cert, ReasonForRevocation::KeyCompromised, "", NOW);
    store.revoke(&fingerprint, &hard, NOW).unwrap();
    let record = import(&store, &cert);
    assert_eq!(record.revoked.as_deref(), Some("compromised"));
    assert_eq!(refused(&store, NOW), "revoked: compromised");
}

#[test]
fn somebody_elses_signature_revokes_nothing() {
    let store = memory();
    let (cert, other) = (bobs(), bobs());
    let fingerprint = import(&store, &cert).fingerprint;
    let foreign = revocation(&other, ReasonForRevocation::KeyCompromised, "", NOW);
    for bad in [foreign.as_slice(), b"", b"junk", &cert.clone().strip_secret_key_material().to_vec().unwrap()]
    {
        let error = store.revoke(&fingerprint, bad, NOW).unwrap_err();
        assert!(matches!(error, StoreError::NotARevocation(_)), "{error}");
    }
    found(&store, NOW);
    let missing =
        store.revoke(&"0".repeat(40), &revocation(&cert, ReasonForRevocation::KeyRetired, "", NOW), NOW);
    assert!(matches!(missing, Err(StoreError::Unknown(_))));
}

#[test]
fn sha1_self_signatures_are_refused_whenever_they_were_made() {
    for created in [NOW - 10 * DAY, 1_200_000_000] {
        let store = memory();
        let forge = Forge::new(created).hash(HashAlgorithm::SHA1).user_id("bob@beta.example");
        import(&store, &forge.subkey(encryption(), created).cert());
        assert!(refused(&store, NOW).contains("SHA-1"), "{}", refused(&store, NOW));
        assert!(refused(&store, 1_300_000_000.max(created)).contains("SHA-1"));
    }
    let store = memory();
    let forge = forged().hash(HashAlgorithm::SHA1).subkey(encryption(), NOW - DAY);
    import(&store, &forge.cert());
    assert!(refused(&store, NOW).contains("its binding signature is too weak"), "{}", refused(&store, NOW));
}

#[test]
fn short_rsa_keys_are_refused_with_their_length() {
    let store = memory();
    let key = Key4::generate_rsa(1024).unwrap();
    let forge = Forge::with_primary(key, NOW - 10 * DAY).user_id("bob@beta.example");
    import(&store, &forge.subkey(encryption(), NOW - DAY).cert());
    assert_eq!(refused(&store, NOW), "RSA 1024 is too weak");

    let store = memory();
    import(&store, &forged().rsa_subkey(1024, NOW - DAY).cert());
    assert!(refused(&store, NOW).ends_with("RSA 1024 is too weak"), "{}", refused(&store, NOW));
    assert!(refused(&store, NOW).starts_with("encryption subkey "));

    let store = memory();
    import(&store, &forged().rsa_subkey(2048, NOW - DAY).cert());
    found(&store, NOW);
}

#[test]
fn exactly_the_newest_valid_transport_subkey_is_used() {
    let store = memory();
    let forge = forged()
        .subkey(encryption(), NOW - 9 * DAY)
        .subkey(encryption(), NOW - 2 * DAY)
        .subkey(encryption(), NOW - 5 * DAY)
        .subkey(KeyFlags::empty().set_storage_encryption(), NOW - DAY)
        .subkey(encryption(), NOW + DAY);
    let cert = forge.cert();
    import(&store, &cert);
    let made = |now: i64| {
        let subkey = found(&store, now).subkey().clone();
        let key = cert.keys().find(|key| key.key().fingerprint() == subkey).unwrap();
        assess::unix(key.key().creation_time())
    };
    assert_eq!(made(NOW), NOW - 2 * DAY);
    assert_eq!(made(NOW + DAY), NOW + DAY);
    assert_eq!(made(NOW - 3 * DAY), NOW - 5 * DAY);
    assert_eq!(made(NOW), NOW - 2 * DAY);
}

#[test]
fn a_certificate_for_storage_or_signing_only_has_no_encryption_subkey() {
    let store = memory();
    import(&store, &forged().subkey(KeyFlags::empty().set_storage_encryption(), NOW - DAY).cert());
    assert_eq!(refused(&store, NOW), "no encryption subkey");
}

#[test]
fn a_signing_subkey_that_never_agreed_is_not_used() {
    let store = memory();
    let forge = forged().subkey(encryption(), NOW - DAY).adopted_signing_subkey(NOW - DAY);
    let cert = forge.cert();
    Given { custody: Custody::Local, ..Given::new(&cert) }.into(&store).unwrap();
    let answer = store.find(&bob(), Scheme::Openpgp, Purpose::Sign, NOW);
    assert!(matches!(answer, Answer::None { .. }), "{answer:?}");
    assert!(matches!(store.find(&bob(), Scheme::Openpgp, Purpose::Verify, NOW), Answer::Found(_)));
}

#[test]
fn aead_is_what_the_certificate_announces() {
    for (features, profile, aead) in [
        (Features::empty().set_seipdv1(), Profile::RFC4880, false),
        (Features::empty().set_seipdv1().set_seipdv2(), Profile::RFC4880, true),
        (Features::empty().set_seipdv1(), Profile::RFC9580, false),
        (Features::empty().set_seipdv1().set_seipdv2(), Profile::RFC9580, true),
    ] {
        let store = memory();
        let builder =
            builder("bob@beta.example").set_profile(profile).unwrap().set_features(features).unwrap();
        import(&store, &builder.generate().unwrap().0);
        assert_eq!(found(&store, NOW).aead(), aead, "{profile:?}");
    }
}

#[test]
fn trust_decides_first_and_is_explained() {
    let store = memory();
    let cert = bobs();
    let fingerprint = import(&store, &cert).fingerprint;
    for (trust, reason) in [(Trust::Held, "held for approval"), (Trust::Distrusted, "distrusted")] {
        store.set_trust(&fingerprint, trust).unwrap();
        assert_eq!(refused(&store, NOW), reason);
        // Importing it again is no way around.
        import(&store, &cert);
        assert_eq!(refused(&store, NOW), reason);
    }
    store.set_trust(&fingerprint, Trust::Accepted).unwrap();
    found(&store, NOW);
    assert!(matches!(store.set_trust("00", Trust::Own), Err(StoreError::Unknown(_))));

    // A newer certificate that nobody checked does not displace a checked one.
    store.set_trust(&fingerprint, Trust::Verified).unwrap();
    let newer = Forge::new(NOW - DAY).user_id("bob@beta.example").subkey(encryption(), NOW - DAY).cert();
    Given { trust: Trust::Accepted, ..Given::new(&newer) }.into(&store).unwrap();
    assert_eq!(found(&store, NOW).record().fingerprint, fingerprint);
    store.set_trust(&fingerprint, Trust::Accepted).unwrap();
    assert_eq!(found(&store, NOW).record().fingerprint, newer.fingerprint().to_hex());
    store.remove(&newer.fingerprint().to_hex()).unwrap();
    assert_eq!(found(&store, NOW).record().fingerprint, fingerprint);
}

#[test]
fn signing_needs_the_secret_half_in_custody() {
    let store = memory();
    let fingerprint = import(&store, &bobs()).fingerprint;
    let ask = || store.find(&bob(), Scheme::Openpgp, Purpose::Sign, NOW);
    assert!(matches!(ask(), Answer::None { why } if why[0].reason == Reason::NoSecretKey));
    store.set_custody(&fingerprint, Custody::Local).unwrap();
    assert!(matches!(ask(), Answer::Found(_)));
}

#[test]
fn only_user_ids_that_the_holder_signed_bind_a_mailbox() {
    let store = memory();
    let forge = Forge::new(NOW - DAY).user_id("eve@evil.example").foreign_user_id("bob@beta.example");
    let bytes = forge.subkey(encryption(), NOW - DAY).bytes();
    let import = Import {
        bytes: &bytes,
        subjects: None,
        origin: Origin::Imported,
        trust: Trust::Accepted,
        custody: Custody::None,
        now: NOW,
    };
    store.import(&import).unwrap();
    assert!(matches!(ask(&store, NOW), Answer::None { why } if why.is_empty()));
}

#[test]
fn a_later_version_from_a_lesser_source_binds_no_new_mailbox() {
    let store = memory();
    let forge = Forge::new(NOW - DAY).user_id("eve@evil.example").subkey(encryption(), NOW - DAY);
    let first = Cert::from_bytes(&forge.bytes()).unwrap();
    import(&store, &first);
    let second = forge.user_id("bob@beta.example").cert();
    let record = Given { trust: Trust::Accepted, ..Given::new(&second) }.into(&store).unwrap();
    assert_eq!(record.subjects.len(), 1);
    assert!(matches!(ask(&store, NOW), Answer::None { why } if why.is_empty()));
    assert_eq!(import(&store, &second).subjects.len(), 2);
    found(&store, NOW);
}

#[test]
fn assigned_subjects_hold_whatever_the_user_ids_say() {
    let store = memory();
    let (cert, _) = builder("somebody else").generate().unwrap();
    let domain = Subject::domain("Beta.example").unwrap();
    let subjects = Some(vec![bob(), domain.clone()]);
    let record = Given { subjects, ..Given::new(&cert) }.into(&store).unwrap();
    assert_eq!(record.assigned.len(), 2);
    found(&store, NOW);
    let answer = store.find(&domain, Scheme::Openpgp, Purpose::Encrypt, NOW);
    assert!(matches!(answer, Answer::Found(_)), "{answer:?}");
}

#[test]
fn the_names_of_rfc_3183_bind_a_domain_but_not_when_harvested() {
    let domain = Subject::domain("beta.example").unwrap();
    let (cert, _) = builder("Gateway <domain-confidentiality-authority@beta.example>").generate().unwrap();
    for (origin, binds) in [(Origin::Imported, true), (Origin::Harvested, false)] {
        let store = memory();
        Given { origin, ..Given::new(&cert) }.into(&store).unwrap();
        let answer = store.find(&domain, Scheme::Openpgp, Purpose::Encrypt, NOW);
        assert_eq!(matches!(answer, Answer::Found(_)), binds, "{origin}");
    }
}

#[test]
fn a_user_id_that_is_revoked_binds_no_more() {
    let store = memory();
    let gateway = "domain-signing-authority@beta.example";
    let (cert, _) = builder("bob@beta.example").add_userid(gateway).generate().unwrap();
    let domain = Subject::domain("beta.example").unwrap();
    let fingerprint = import(&store, &cert).fingerprint;
    let known = |store: &Store| match store.by_handle(&fingerprint) {
        Answer::Found(mut known) => known.remove(0),
        other => panic!("{other:?}"),
    };
    for subject in [bob(), domain.clone()] {
        assert!(matches!(store.find(&subject, Scheme::Openpgp, Purpose::Verify, NOW), Answer::Found(_)));
        assert_eq!(known(&store).speaks_for(&subject, NOW), Ok(()));
    }
    let eve = Subject::address("eve@beta.example").unwrap();
    assert!(known(&store).speaks_for(&eve, NOW).is_err());

    let mut signer = cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let mut packets = Vec::new();
    for uid in cert.userids() {
        let revocation = UserIDRevocationBuilder::new()
            .set_signature_creation_time(assess::system_time(NOW))
            .unwrap()
            .set_reason_for_revocation(ReasonForRevocation::UIDRetired, b"")
            .unwrap();
        let revocation = revocation.build(&mut signer, &cert, uid.userid(), None).unwrap();
        packets.extend([Packet::from(uid.userid().clone()), revocation.into()]);
    }
    let (later, _) = cert.strip_secret_key_material().insert_packets(packets).unwrap();
    import(&store, &later);
    assert_eq!(refused(&store, NOW + 1), "no valid User ID for bob@beta.example");
    for subject in [bob(), domain.clone()] {
        let answer = store.find(&subject, Scheme::Openpgp, Purpose::Verify, NOW + 1);
        assert!(matches!(answer, Answer::None { .. }), "{answer:?}");
        assert!(known(&store).speaks_for(&subject, NOW + 1).is_err());
    }
    store.set_trust(&fingerprint, Trust::Distrusted).unwrap();
    assert_eq!(known(&store).speaks_for(&bob(), NOW), Err(Reason::Distrusted));
}

#[test]
fn nothing_is_stored_when_one_of_several_certificates_is_refused() {
    let store = memory();
    let mut bytes = bobs().strip_secret_key_material().to_vec().unwrap();
    bytes.extend(bobs().as_tsk().to_vec().unwrap());
    let import = Import {
        bytes: &bytes,
        subjects: None,
        origin: Origin::Imported,
        trust: Trust::Accepted,
        custody: Custody::None,
        now: NOW,
    };
    assert!(matches!(store.import(&import), Err(StoreError::Intake(IntakeError::Secret))));
    assert!(store.records().unwrap().is_empty());
}

#[test]
fn a_list_shows_the_standing_and_the_reason() {
    let store = memory();
    let cert = bobs();
    import(&store, &cert);
    let filter = crate::Filter { subject: Some(bob()), ..crate::Filter::default() };
    let listed = store.list(&filter, NOW).unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].encrypt.usable && listed[0].verify.usable);
    assert_eq!(listed[0].user_ids, ["bob@beta.example"]);
    assert_eq!(listed[0].subkeys.len(), 2);
    let later = store.list(&filter, NOW + 400 * DAY).unwrap();
    assert_eq!(later[0].encrypt.why.as_deref(), Some("expired on 2027-06-21"));
    let armor = store.export(&listed[0].record.fingerprint).unwrap();
    assert!(armor.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----"));
    assert_eq!(Cert::from_bytes(armor.as_bytes()).unwrap().fingerprint(), cert.fingerprint());
    let none = crate::Filter { trust: Some(Trust::Held), ..crate::Filter::default() };
    assert!(store.list(&none, NOW).unwrap().is_empty());
}

mod on_disk {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("keys.db")
        }

        fn store(&self) -> Store {
            Store::open(&self.path()).unwrap()
        }
    }

    #[test]
    fn what_another_process_changes_is_seen_at_once() {
        let place = Place::new();
        let (daemon, command) = (place.store(), place.store());
        assert!(matches!(ask(&daemon, NOW), Answer::None { .. }));
        let cert = bobs();
        let fingerprint = import(&command, &cert).fingerprint;
        found(&daemon, NOW);
        command.set_trust(&fingerprint, Trust::Distrusted).unwrap();
        assert_eq!(refused(&daemon, NOW), "distrusted");
        command.remove(&fingerprint).unwrap();
        assert!(matches!(ask(&daemon, NOW), Answer::None { why } if why.is_empty()));
        assert!(matches!(daemon.by_handle(&fingerprint), Answer::None { .. }));
    }

    #[test]
    fn the_files_are_private_and_an_open_one_is_refused() {
        let place = Place::new();
        import(&place.store(), &bobs());
        let store = place.store();
        found(&store, NOW);
        for entry in fs::read_dir(place.0.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        }
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o644)).unwrap();
        let error = Store::open(&place.path()).unwrap_err();
        assert!(matches!(error, StoreError::Exposed { mode: 0o644, .. }), "{error}");
        let missing = Store::open(&place.0.path().join("no/keys.db")).unwrap_err();
        assert!(matches!(missing, StoreError::File { .. }), "{missing}");
    }

    /// Holds the database so that nobody else can even read it.
    fn hold(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        // Readers pass a writer in WAL mode; in rollback mode an exclusive lock stops them.
        connection.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(())).unwrap();
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        connection
    }

    #[test]
    fn a_locked_database_could_not_tell_and_never_says_none() {
        let place = Place::new();
        import(&place.store(), &bobs());
        // Open, but with nothing read yet that would keep the other from its lock.
        let late = Store::open(&place.path()).unwrap();
        drop(late);
        let cold = {
            let connection = Connection::open(place.path()).unwrap();
            connection.busy_timeout(Duration::from_millis(50)).unwrap();
            Store { inner: Mutex::new(Inner { connection, cache: Cache::default() }) }
        };
        let holder = hold(&place.path());
        let error = Store::open(&place.path()).unwrap_err();
        assert!(matches!(error, StoreError::Locked(_)), "{error}");
        let answer = ask(&cold, NOW);
        assert!(matches!(&answer, Answer::CouldNotTell { why } if why.contains("locked")), "{answer:?}");
        assert!(matches!(cold.by_handle("00"), Answer::CouldNotTell { .. }));
        assert!(matches!(cold.records(), Err(StoreError::Locked(_))));
        let written = Given::new(&bobs()).into(&cold);
        assert!(matches!(written, Err(StoreError::Locked(_))), "{written:?}");
        drop(holder);
        found(&cold, NOW);
    }

    #[test]
    fn a_writer_elsewhere_does_not_stop_readers_but_writers() {
        let place = Place::new();
        let store = place.store();
        import(&store, &bobs());
        let holder = Connection::open(place.path()).unwrap();
        holder.execute_batch("BEGIN IMMEDIATE").unwrap();
        found(&store, NOW);
        let written = Given::new(&bobs()).into(&store);
        assert!(matches!(written, Err(StoreError::Locked(_))), "{written:?}");
    }

    #[test]
    fn a_read_only_database_still_answers_and_refuses_to_write() {
        let place = Place::new();
        let store = place.store();
        import(&store, &bobs());
        store.lock().connection.pragma_update(None, "query_only", true).unwrap();
        found(&store, NOW);
        let written = Given::new(&bobs()).into(&store);
        assert!(matches!(written, Err(StoreError::ReadOnly(_))), "{written:?}");
    }

    #[test]
    fn damage_could_not_tell_and_never_says_none() {
        let place = Place::new();
        let store = place.store();
        let cert = bobs();
        let fingerprint = import(&store, &cert).fingerprint;
        drop(store);
        let other = bobs().strip_secret_key_material().to_vec().unwrap();
        for bad in [b"junk".to_vec(), Vec::new(), other] {
            let raw = Connection::open(place.path()).unwrap();
            raw.execute("UPDATE certificate SET bytes = ?1", [&bad]).unwrap();
            let store = place.store();
            let answer = ask(&store, NOW);
            assert!(
                matches!(&answer, Answer::CouldNotTell { why } if why.contains(&fingerprint)),
                "{answer:?}"
            );
            assert!(matches!(store.by_handle(&fingerprint), Answer::CouldNotTell { .. }));
        }
        let raw = Connection::open(place.path()).unwrap();
        raw.execute("UPDATE certificate SET trust = 'sideways'", []).unwrap();
        assert!(matches!(ask(&place.store(), NOW), Answer::CouldNotTell { .. }));
        drop(raw);

        // The file itself.
        let store = place.store();
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", place.path().display()));
        }
        drop(store);
        fs::write(place.path(), [0x55; 8192]).unwrap();
        assert!(matches!(Store::open(&place.path()), Err(StoreError::Database(_))));
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let place = Place::new();
        drop(place.store());
        Connection::open(place.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Store::open(&place.path()), Err(StoreError::Newer { found: 99, .. })));
    }

    #[test]
    fn a_store_of_the_first_version_is_brought_up_to_date_and_loses_nothing() {
        let place = Place::new();
        let fingerprint = import(&place.store(), &bobs()).fingerprint;
        let raw = Connection::open(place.path()).unwrap();
        raw.execute_batch(
            "ALTER TABLE certificate DROP COLUMN gcm; ALTER TABLE certificate DROP COLUMN oaep;
             DROP TABLE link; DROP TABLE journal; DROP TABLE unbound; DROP TABLE touched;
             DROP TRIGGER subject_added; DROP TRIGGER subject_changed; DROP TRIGGER subject_removed;
             DROP TRIGGER certificate_changed; DROP TRIGGER subject_found; DROP INDEX subject_held;
             ALTER TABLE subject DROP COLUMN found; ALTER TABLE subject DROP COLUMN since;
             PRAGMA user_version = 1;",
        )
        .unwrap();
        drop(raw);
        let store = place.store();
        found(&store, NOW);
        assert_eq!(store.records().unwrap()[0].fingerprint, fingerprint);
        assert!(matches!(store.certificate(&fingerprint), Answer::None { .. }));
        import(&store, &bobs());
    }

    #[test]
    fn many_processes_may_open_a_new_store_at_once() {
        let place = Place::new();
        let path = place.path();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || import(&Store::open(&path).unwrap(), &bobs()))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(place.store().records().unwrap().len(), 8);
    }

    #[test]
    fn a_warm_look_up_costs_microseconds() {
        let place = Place::new();
        let store = place.store();
        import(&store, &bobs());
        found(&store, NOW);
        let mut best = Duration::MAX;
        for _ in 0..20 {
            let begin = Instant::now();
            for _ in 0..500 {
                std::hint::black_box(ask(&store, NOW));
            }
            best = best.min(begin.elapsed() / 500);
        }
        println!("warm look-up: {best:?}");
        // Unoptimised builds on loaded machines; an uncached look-up costs several hundred.
        assert!(best < Duration::from_micros(100), "{best:?}");
    }
}
