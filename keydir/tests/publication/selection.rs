//! Whose certificates are published.

use std::os::unix::fs::PermissionsExt;

use keydir::Origin;
use keydir::PublicationError;
use keydir::Scheme;
use keydir::Subject;
use keydir::Trust;
use keydir::Who;
use sequoia_openpgp::Cert;
use sequoia_openpgp::serialize::SerializeInto;

use super::world::World;
use super::world::address;
use super::world::cert;
use super::world::secret;
use super::world::user_ids;

#[test]
fn only_what_is_ours_is_published() {
    let mut world = World::new();
    world.own(&cert(&["bob@gate.example"]));
    for (trust, origin) in [
        (Trust::Accepted, Origin::Harvested),
        (Trust::Held, Origin::Imported),
        (Trust::Distrusted, Origin::Imported),
        (Trust::Verified, Origin::Imported),
    ] {
        world.import(&cert(&[&format!("{trust}@gate.example")]), None, trust, origin);
    }
    // A partner's, even if somebody declared it to be ours.
    world.own(&cert(&["carol@partner.example"]));
    let summary = world.refresh();
    assert_eq!((summary.mailboxes, summary.changed), (1, 1));
    assert_eq!(world.user_ids("bob@gate.example"), ["bob@gate.example"]);
    for nobody in ["accepted", "held", "distrusted", "verified"] {
        assert!(world.wkd_bytes(&format!("{nobody}@gate.example")).is_none(), "{nobody}");
        assert!(world.publication.mailbox(&format!("{nobody}@gate.example")).unwrap().is_none());
    }
    assert!(world.publication.mailbox("carol@partner.example").unwrap().is_none());

    world.rules.who = Who::OwnAndVerified;
    world.import(&cert(&["found@gate.example"]), None, Trust::Verified, Origin::Harvested);
    world.refresh();
    assert!(world.wkd_bytes("verified@gate.example").is_some());
    assert!(world.wkd_bytes("found@gate.example").is_none(), "what was found in mail is not published");
    assert!(world.wkd_bytes("accepted@gate.example").is_none());
}

#[test]
fn the_key_of_a_mailbox_at_rest_is_never_published() {
    let mut world = World::new();
    let at_rest = cert(&["bob@gate.example"]);
    let subject = Subject::at_rest("bob@gate.example").unwrap();
    world.import(&at_rest, Some(vec![subject]), Trust::Own, Origin::Generated);
    let summary = world.refresh();
    assert_eq!(summary.mailboxes, 0);
    assert!(world.publication.mailbox("bob@gate.example").unwrap().is_none());
    assert!(world.publication.by_handle(&at_rest.fingerprint().to_hex()).unwrap().is_empty());
}

#[test]
fn domains_are_found_in_every_spelling_and_foreign_ones_never() {
    let mut world = World::new();
    world.rules.wkd_policy = vec!["mailbox-only".to_owned()];
    world.rules.submission_address = Some("keys@gate.example".to_owned());
    world.own(&cert(&["jörg@münchen.example"]));
    world.refresh();
    for domain in ["münchen.example", "MÜNCHEN.example", "xn--mnchen-3ya.example.", "XN--MNCHEN-3YA.EXAMPLE"]
    {
        assert!(world.publication.serves(domain).unwrap(), "{domain}");
        assert!(
            world.publication.wkd(domain, &keydir::wkd_hash("jörg"), None).unwrap().is_some(),
            "{domain}"
        );
        assert!(world.publication.mailbox(&format!("jörg@{domain}")).unwrap().is_some(), "{domain}");
    }
    assert_eq!(world.publication.domains().unwrap(), ["gate.example", "xn--mnchen-3ya.example"]);
    let policy = world.publication.wkd_policy("Gate.Example").unwrap();
    assert_eq!(policy.as_deref(), Some("mailbox-only\nsubmission-address: keys@gate.example\n"));
    let submission = world.publication.submission_address("gate.example").unwrap();
    assert_eq!(submission.as_deref(), Some("keys@gate.example"));
    for domain in ["other.example", "example", "sub.gate.example", "gate.example..", "", "gate example", "%"]
    {
        assert!(!world.publication.serves(domain).unwrap(), "{domain}");
        assert_eq!(world.publication.wkd_policy(domain).unwrap(), None, "{domain}");
        assert!(world.publication.wkd(domain, &keydir::wkd_hash("jörg"), None).unwrap().is_none());
    }
}

#[test]
fn handles_are_exact_and_give_the_mailbox_published_first() {
    let mut world = World::new();
    let both = cert(&["bob@gate.example", "sales@gate.example"]);
    world.own(&both);
    world.refresh();
    for key in both.keys() {
        for handle in [key.key().fingerprint().to_hex(), key.key().keyid().to_hex().to_lowercase()] {
            let found = world.publication.by_handle(&handle).unwrap();
            assert_eq!(found.len(), 1, "{handle}");
            assert_eq!(found[0].user_ids, ["bob@gate.example"]);
            assert_eq!(found[0].scheme, Scheme::Openpgp);
            assert_eq!((found[0].version, found[0].algorithm.as_str(), found[0].bits), (4, "ed25519", 256));
        }
    }
    let fingerprint = both.fingerprint().to_hex();
    for nothing in ["", &fingerprint[32..], &fingerprint[1..], "0000000000000000", "%", &"é".repeat(8)] {
        assert!(world.publication.by_handle(nothing).unwrap().is_empty(), "{nothing}");
    }
    // The same key ID, another fingerprint.
    let other = format!("{}{}", "0".repeat(24), &fingerprint[24..]);
    assert!(world.publication.by_handle(&other).unwrap().is_empty());
}

#[test]
fn a_secret_key_in_the_store_stops_everything_loudly() {
    let mut world = World::new();
    let tsk = secret(&["bob@gate.example"]);
    world.own(&tsk.clone().strip_secret_key_material());
    // The store would refuse it; somebody wrote into its file.
    let connection = rusqlite::Connection::open(world.directory.path().join("store.db")).unwrap();
    let changed = connection.execute("UPDATE certificate SET bytes = ?1", [tsk.as_tsk().to_vec().unwrap()]);
    assert_eq!(changed.unwrap(), 1);
    let mut commit = |_: &mut [keydir::Change]| -> Result<(), std::convert::Infallible> {
        panic!("nothing may be logged")
    };
    let error =
        world.publisher.refresh(&world.store, &world.rules, super::world::NOW, &mut commit).unwrap_err();
    assert!(matches!(error, PublicationError::Secret(_)), "{error}");
    assert!(error.to_string().contains("SECRET"));
    assert!(world.wkd_bytes("bob@gate.example").is_none());
}

#[test]
fn an_assigned_mailbox_needs_a_user_id_that_names_it() {
    let mut world = World::new();
    let subjects = Some(vec![address("bob@gate.example"), address("info@gate.example")]);
    world.import(&cert(&["Bob <bob@gate.example>"]), subjects, Trust::Own, Origin::Imported);
    let summary = world.refresh();
    assert_eq!(summary.mailboxes, 1);
    assert!(summary.omitted[0].contains("no User ID info@gate.example"), "{:?}", summary.omitted);
}

#[test]
fn the_file_can_be_read_by_its_group_and_written_by_nobody_else() {
    let world = World::new();
    let path = world.directory.path().join("publication.db");
    let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o640, "{mode:o}");
}

#[test]
fn everything_can_be_read_in_order() {
    let mut world = World::new();
    let names: Vec<String> = (0..1234).map(|n| format!("user{n:04}@gate.example")).collect();
    for chunk in names.chunks(10) {
        let names: Vec<&str> = chunk.iter().map(String::as_str).collect();
        world.own(&cert(&names));
    }
    world.refresh();
    let mut seen = Vec::new();
    let mut look = |mailbox: keydir::Mailbox| -> Result<(), PublicationError> {
        let cert: Cert = super::world::certs(&mailbox.openpgp[0].bytes).remove(0);
        assert_eq!(user_ids(&cert), std::slice::from_ref(&mailbox.address));
        seen.push(mailbox.address);
        Ok(())
    };
    world.publication.for_each(&mut look).unwrap();
    assert_eq!(seen, names);
    let counts = world.publication.counts().unwrap();
    assert_eq!((counts.domains, counts.mailboxes, counts.openpgp, counts.smime), (2, 1234, 1234, 0));
}
