//! The publication follows the store, and the log goes first.

use std::convert::Infallible;
use std::io;

use keydir::Change;
use keydir::Publication;
use keydir::PublicationError;
use keydir::Publisher;
use keydir::Store;
use keydir::Trust;
use keydir::key_set_digest;

use super::world::NOW;
use super::world::World;
use super::world::address;
use super::world::cert;

#[test]
fn only_what_changed_is_looked_at() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.own(&cert(&[&format!("{name}@gate.example")]));
    }
    assert_eq!(world.refresh().examined, 3);
    assert_eq!(world.refresh().examined, 0);
    world.own(&cert(&["d@gate.example"]));
    let summary = world.refresh();
    assert_eq!((summary.examined, summary.changed, summary.mailboxes), (1, 1, 4));
    // Imported again: nothing new in it.
    let logged = world.log.borrow().len();
    world.rules.wkd_policy = vec!["mailbox-only".to_owned()];
    let summary = world.refresh();
    assert_eq!((summary.examined, summary.changed), (4, 0), "other rules: everything is looked at");
    assert_eq!(world.log.borrow().len(), logged);
}

#[test]
fn another_log_is_told_everything_and_the_same_one_nothing_twice() {
    let mut world = World::new();
    world.own(&cert(&["a@gate.example"]));
    world.own(&cert(&["b@gate.example"]));
    // Published without a log, which is begun later.
    world.refresh();
    let before = world.log.borrow().len();
    for log in ["one", "two"] {
        world.rules.log = Some(log.to_owned());
        let summary = world.refresh();
        assert_eq!((summary.examined, summary.changed, summary.mailboxes), (2, 0, 2), "{log}");
        assert_eq!(world.refresh().examined, 0);
    }
    let log = world.log.borrow();
    assert_eq!(log.len(), before + 4);
    assert!(log[before..].iter().all(|change| change.old == change.new && change.certificates.len() == 1));
}

#[test]
fn mailboxes_are_counted_whoever_writes() {
    let mut world = World::new();
    world.own(&cert(&["a@gate.example"]));
    let summary = world.refresh();
    assert_eq!((summary.added, summary.mailboxes), (1, 1));
    // `gatepost keys publish` beside the daemon.
    world.own(&cert(&["b@gate.example"]));
    let path = world.directory.path().join("publication.db");
    let mut second = Publisher::open(&path).unwrap();
    let mut commit = |_: &mut [Change]| Ok::<_, Infallible>(());
    assert_eq!(second.refresh(&world.store, &world.rules, NOW, &mut commit).unwrap().mailboxes, 2);
    assert_eq!(world.refresh().mailboxes, 2);
    world.own(&cert(&["c@gate.example"]));
    // Another certificate of a mailbox that is published already adds none.
    world.own(&cert(&["b@gate.example"]));
    world.store.withdraw(&address("a@gate.example")).unwrap();
    let summary = world.refresh();
    assert_eq!((summary.added, summary.changed, summary.withdrawn), (1, 2, 1));
    assert_eq!(summary.mailboxes, 2);
    let summary = second.refresh(&world.store, &world.rules, NOW, &mut commit).unwrap();
    assert_eq!((summary.examined, summary.mailboxes), (0, 2));
}

#[test]
fn distrust_removal_and_unbinding_withdraw() {
    let mut world = World::new();
    let certs: Vec<_> = ["a", "b", "c"].iter().map(|name| cert(&[&format!("{name}@gate.example")])).collect();
    certs.iter().for_each(|cert| world.own(cert));
    world.refresh();
    let fingerprint = |n: usize| certs[n].fingerprint().to_hex();
    world.store.set_trust(&fingerprint(0), Trust::Distrusted).unwrap();
    world.store.remove(&fingerprint(1)).unwrap();
    world.store.unbind(&fingerprint(2), &address("c@gate.example")).unwrap();
    let summary = world.refresh();
    assert_eq!((summary.withdrawn, summary.mailboxes), (3, 0));
    for (name, cert) in ["a", "b", "c"].iter().zip(&certs) {
        let address = format!("{name}@gate.example");
        assert!(world.wkd_bytes(&address).is_none(), "{name}");
        assert!(world.publication.by_handle(&cert.fingerprint().to_hex()).unwrap().is_empty());
        assert_eq!(world.publisher.withdrawn_at(&address).unwrap(), Some(NOW));
    }
    let log = world.log.borrow();
    assert!(log.iter().skip(3).all(|change| change.new.is_none() && change.certificates.is_empty()));
    assert_eq!(log[3].old, log[0].new);
}

#[test]
fn an_address_with_a_new_owner_inherits_no_key() {
    let mut world = World::new();
    let old = cert(&["Anna <anna@gate.example>"]);
    world.own(&old);
    world.refresh();
    // Anna became Anna Schmidt; the address now belongs to another Anna, who has no key.
    let withdrawn = world.store.withdraw(&address("anna@gate.example")).unwrap();
    assert_eq!(withdrawn, [old.fingerprint().to_hex()]);
    world.refresh();
    assert!(world.publication.mailbox("anna@gate.example").unwrap().is_none());
    // The old certificate comes in again, refreshed from anywhere: it stays withdrawn.
    world.own(&old);
    world.refresh();
    assert!(world.publication.mailbox("anna@gate.example").unwrap().is_none());
    // The new owner's is published, and only that.
    let new = cert(&["anna@gate.example"]);
    world.own(&new);
    world.refresh();
    let found: Vec<_> = world.wkd("anna@gate.example").iter().map(|c| c.fingerprint()).collect();
    assert_eq!(found, [new.fingerprint()]);
    // Only the administrator's word brings the old one back.
    world.import(&old, Some(vec![address("anna@gate.example")]), Trust::Own, keydir::Origin::Imported);
    world.refresh();
    assert_eq!(world.wkd("anna@gate.example").len(), 2);
}

#[test]
fn a_withdrawn_address_is_nobodys_sub_address() {
    let mut world = World::new();
    world.own(&cert(&["anne@gate.example"]));
    let marie = cert(&["anne-marie@gate.example"]);
    world.own(&marie);
    world.refresh();
    world.store.remove(&marie.fingerprint().to_hex()).unwrap();
    world.refresh();
    assert!(world.publication.mailbox("anne-marie@gate.example").unwrap().is_none());
    assert!(world.wkd_bytes("anne-marie@gate.example").is_none());
    assert!(world.publication.mailbox("anne-lists@gate.example").unwrap().is_some());
}

#[test]
fn what_the_log_does_not_take_does_not_appear() {
    let mut world = World::new();
    let first = cert(&["bob@gate.example"]);
    world.own(&first);
    let mut refuse = |_: &mut [Change]| Err(io::Error::other("the disk is full"));
    let error = world.publisher.refresh(&world.store, &world.rules, NOW, &mut refuse).unwrap_err();
    assert!(matches!(error, PublicationError::Log(_)), "{error}");
    assert!(world.wkd_bytes("bob@gate.example").is_none());
    // At the next attempt the log gets the same change again.
    let path = world.directory.path().join("publication.db");
    let seen = Publication::open(&path).unwrap();
    let mut proof = |changes: &mut [Change]| -> Result<(), Infallible> {
        assert!(seen.mailbox("bob@gate.example").unwrap().is_none(), "visible before it was logged");
        assert_eq!(changes.len(), 1);
        changes[0].label_proof = Some(b"proof".to_vec());
        Ok(())
    };
    world.publisher.refresh(&world.store, &world.rules, NOW, &mut proof).unwrap();
    let mailbox = world.publication.mailbox("bob@gate.example").unwrap().unwrap();
    assert_eq!(mailbox.label_proof.as_deref(), Some(&b"proof"[..]));
    // The proof stays when the certificates change.
    world.own(&cert(&["bob@gate.example"]));
    let mut keep = |changes: &mut [Change]| -> Result<(), Infallible> {
        assert_eq!(changes[0].label_proof.as_deref(), Some(&b"proof"[..]));
        Ok(())
    };
    world.publisher.refresh(&world.store, &world.rules, NOW, &mut keep).unwrap();
    let mailbox = world.publication.mailbox("bob@gate.example").unwrap().unwrap();
    assert_eq!(mailbox.label_proof.as_deref(), Some(&b"proof"[..]));
}

#[test]
fn the_digest_is_that_of_what_is_given_out() {
    let mut world = World::new();
    world.own(&cert(&["bob@gate.example"]));
    world.own(&cert(&["bob@gate.example"]));
    world.refresh();
    let answer = world.wkd_bytes("bob@gate.example").unwrap();
    let log = world.log.borrow();
    assert_eq!(log[0].new, Some(key_set_digest([&*answer], [])));
    let parts: Vec<&[u8]> = log[0].certificates.iter().map(|published| &*published.bytes).collect();
    assert_eq!(log[0].new, Some(key_set_digest(parts, [])));
    assert_ne!(key_set_digest([&b"a"[..]], []), key_set_digest([], [&b"a"[..]]));
}

#[test]
fn another_store_and_one_from_a_backup_are_read_from_the_beginning() {
    let mut world = World::new();
    let kept = cert(&["kept@gate.example"]);
    world.own(&kept);
    let backup = world.directory.path().join("backup.db");
    let connection = rusqlite::Connection::open(world.directory.path().join("store.db")).unwrap();
    connection.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    let gone = cert(&["gone@gate.example"]);
    world.own(&gone);
    world.refresh();
    assert!(world.wkd_bytes("gone@gate.example").is_some());
    std::fs::set_permissions(&backup, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    world.store = Store::open(&backup).unwrap();
    assert_eq!(world.refresh().withdrawn, 1);
    assert!(world.wkd_bytes("kept@gate.example").is_some());
    assert!(world.wkd_bytes("gone@gate.example").is_none());
    world.store = Store::open_in_memory().unwrap();
    assert_eq!(world.refresh().withdrawn, 1);
}

#[test]
fn a_file_that_took_the_place_of_another_is_noticed() {
    let mut world = World::new();
    world.own(&cert(&["bob@gate.example"]));
    world.refresh();
    let path = world.directory.path().join("publication.db");
    let fresh = world.directory.path().join("fresh.db");
    drop(Publisher::open(&fresh).unwrap());
    assert!(world.wkd_bytes("bob@gate.example").is_some());
    std::fs::rename(&fresh, &path).unwrap();
    assert!(world.wkd_bytes("bob@gate.example").is_none());
    std::fs::remove_file(&path).unwrap();
    let error = world.publication.mailbox("bob@gate.example").unwrap_err();
    assert!(matches!(error, PublicationError::File { .. }), "{error}");
}

#[test]
fn addresses_that_are_gone_leave_no_trace() {
    let mut world = World::new();
    let gone = cert(&["secretive.name@gate.example"]);
    world.own(&gone);
    world.refresh();
    world.store.remove(&gone.fingerprint().to_hex()).unwrap();
    world.refresh();
    for file in ["publication.db", "store.db"] {
        let path = world.directory.path().join(file);
        let connection = rusqlite::Connection::open(&path).unwrap();
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
        let mut statement = connection.prepare(tables).unwrap();
        let names: Vec<String> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for name in names {
            let mut statement = connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
            let columns = statement.column_count();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for column in 0..columns {
                    let value = format!("{:?}", row.get::<_, rusqlite::types::Value>(column).unwrap());
                    assert!(!value.contains("secretive"), "{file} {name}: {value}");
                }
            }
        }
    }
    let bytes = std::fs::read(world.directory.path().join("publication.db")).unwrap();
    assert!(!bytes.windows(9).any(|window| window == b"secretive"));
}
