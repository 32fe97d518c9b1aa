//! Aliases, sub-addresses and the key of a whole domain.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use keydir::Custody;
use keydir::Import;
use keydir::Origin;
use keydir::Scheme;
use keydir::Subject;
use keydir::Trust;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::SignatureType;

use super::world::NOW;
use super::world::World;
use super::world::cert;
use super::world::made;
use super::world::secret;
use super::world::time;

fn alias(world: &mut World, alias: &str, mailbox: &str) {
    world.rules.aliases.insert(alias.to_owned(), mailbox.to_owned());
}

/// Imports a certificate whose secret half is in custody, and lets the gateway sign with it.
fn custody(world: &mut World, tsk: &Cert) -> Arc<AtomicUsize> {
    let bytes = tsk.clone().strip_secret_key_material().to_vec().unwrap();
    let import = Import {
        bytes: &bytes,
        subjects: None,
        origin: Origin::Generated,
        trust: Trust::Own,
        custody: Custody::Local,
        now: NOW,
    };
    world.store.import(&import).unwrap();
    let (tsk, signed) = (tsk.clone(), Arc::new(AtomicUsize::new(0)));
    let counter = signed.clone();
    world.rules.alias_signer = Some(Arc::new(move |cert: &Cert, address: &str| {
        if cert.fingerprint() != tsk.fingerprint() {
            return Ok(None);
        }
        counter.fetch_add(1, Ordering::SeqCst);
        let mut signer = tsk.primary_key().key().clone().parts_into_secret()?.into_keypair()?;
        let uid = UserID::from(address);
        let binding = SignatureBuilder::new(SignatureType::PositiveCertification)
            .set_signature_creation_time(time(NOW))?
            .sign_userid_binding(&mut signer, None, &uid)?;
        Ok(Some(cert.clone().insert_packets(vec![Packet::from(uid), binding.into()])?.0))
    }));
    signed
}

#[test]
fn an_alias_in_custody_gets_a_user_id_of_its_own_and_is_signed_once() {
    let mut world = World::new();
    let tsk = secret(&["bob@gate.example"]);
    let signed = custody(&mut world, &tsk);
    alias(&mut world, "shop@gate.example", "bob@gate.example");
    world.refresh();
    assert_eq!(world.user_ids("shop@gate.example"), ["shop@gate.example"]);
    assert_eq!(world.user_ids("bob@gate.example"), ["bob@gate.example"]);
    let mailbox = world.publication.mailbox("shop@gate.example").unwrap().unwrap();
    assert!(mailbox.openpgp[0].usable);
    assert_eq!(mailbox.address, "shop@gate.example");
    // By its fingerprint the certificate shows the mailbox and not the alias.
    let found = world.publication.by_handle(&tsk.fingerprint().to_hex()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].user_ids, ["bob@gate.example"]);
    // Looked at again, nothing changes.
    world.rules.wkd_policy = vec!["mailbox-only".to_owned()];
    assert_eq!(world.refresh().changed, 0);
    assert_eq!(signed.load(Ordering::SeqCst), 1);
    // The alias is taken away: it is gone, the mailbox stays.
    world.rules.aliases.clear();
    assert_eq!(world.refresh().withdrawn, 1);
    assert!(world.wkd("shop@gate.example").is_empty());
    assert_eq!(world.wkd("bob@gate.example").len(), 1);
}

#[test]
fn an_alias_is_named_by_its_certificate_or_not_published() {
    let mut world = World::new();
    world.own(&cert(&["bob@gate.example", "named@gate.example"]));
    alias(&mut world, "named@gate.example", "bob@gate.example");
    alias(&mut world, "other@gate.example", "bob@gate.example");
    let summary = world.refresh();
    assert_eq!(world.user_ids("named@gate.example"), ["named@gate.example"]);
    assert!(world.wkd("other@gate.example").is_empty());
    assert!(summary.omitted.iter().any(|why| why.contains("other@gate.example")), "{:?}", summary.omitted);
    // The administrator wants it nevertheless.
    world.rules.link_aliases = true;
    world.refresh();
    assert_eq!(world.user_ids("other@gate.example"), ["bob@gate.example"]);
    assert_eq!(world.user_ids("named@gate.example"), ["named@gate.example"]);
}

#[test]
fn an_alias_with_a_certificate_of_its_own_keeps_it_and_follows_the_mailbox_otherwise() {
    let mut world = World::new();
    let tsk = secret(&["bob@gate.example"]);
    custody(&mut world, &tsk);
    alias(&mut world, "team@gate.example", "bob@gate.example");
    let own = cert(&["team@gate.example"]);
    world.own(&own);
    world.refresh();
    assert_eq!(world.wkd("team@gate.example")[0].fingerprint(), own.fingerprint());
    world.store.remove(&own.fingerprint().to_hex()).unwrap();
    world.refresh();
    assert_eq!(world.wkd("team@gate.example")[0].fingerprint(), tsk.fingerprint());
    // What happens to the mailbox happens to the alias.
    world.store.set_trust(&tsk.fingerprint().to_hex(), Trust::Distrusted).unwrap();
    let summary = world.refresh();
    assert_eq!((summary.withdrawn, summary.mailboxes), (2, 0));
}

#[test]
fn certificates_of_one_scheme_are_those_of_the_mailbox() {
    let mut world = World::new();
    world.own(&cert(&["bob@gate.example"]));
    world.refresh();
    let publication = &world.publication;
    for asked in
        ["bob@gate.example", "Bob+x@GATE.example", "nobody@gate.example", "bob@other.example", "bob", ""]
    {
        let found = publication.mailbox(asked).unwrap();
        let (openpgp, smime) = found.map(|found| (found.openpgp, found.smime)).unwrap_or_default();
        assert_eq!(publication.of_scheme(asked, Scheme::Openpgp).unwrap(), openpgp, "{asked}");
        assert_eq!(publication.of_scheme(asked, Scheme::Smime).unwrap(), smime, "{asked}");
    }
    assert_eq!(publication.of_scheme("bob+x@gate.example", Scheme::Openpgp).unwrap().len(), 1);
}

#[test]
fn sub_addresses_lead_to_their_mailbox() {
    let mut world = World::new();
    world.own(&cert(&["bob@gate.example"]));
    world.own(&cert(&["bob+own@gate.example"]));
    world.rules.whole = ["bob-junior@gate.example".to_owned()].into();
    world.refresh();
    for sub in ["bob+lists@gate.example", "Bob-x+y@GATE.example", "bob+@gate.example"] {
        let mailbox = world.publication.mailbox(sub).unwrap().unwrap();
        assert_eq!(mailbox.address, "bob@gate.example", "{sub}");
        assert_eq!(world.user_ids(sub), ["bob@gate.example"], "{sub}");
    }
    assert_eq!(world.user_ids("bob+own@gate.example"), ["bob+own@gate.example"]);
    for nobody in
        ["bob-junior@gate.example", "bobby@gate.example", "+bob@gate.example", "bob+x@other.example"]
    {
        assert!(world.publication.mailbox(nobody).unwrap().is_none(), "{nobody}");
        assert!(world.wkd_bytes(nobody).is_none(), "{nobody}");
    }
}

#[test]
fn a_claimed_local_part_is_believed_only_if_its_hash_is_asked() {
    let mut world = World::new();
    let bob = cert(&["bob@gate.example"]);
    world.own(&bob);
    world.own(&cert(&["eve@gate.example"]));
    world.refresh();
    let wkd = |hash: &str, local: Option<&str>| world.publication.wkd("gate.example", hash, local).unwrap();
    let exact = wkd(&keydir::wkd_hash("bob"), None).unwrap();
    for local in [Some("bob"), Some("BOB"), Some("eve"), Some(""), Some("a@b"), Some("eve+x")] {
        assert_eq!(wkd(&keydir::wkd_hash("bob"), local).unwrap(), exact, "{local:?}");
    }
    let unknown = keydir::wkd_hash("bob+x");
    assert_eq!(wkd(&unknown, Some("bob+x")).unwrap(), exact);
    for local in [None, Some("bob"), Some("bob+y"), Some("eve+x")] {
        assert_eq!(wkd(&unknown, local), None, "{local:?}");
    }
    for hash in ["", "%", &unknown[1..], &format!("{unknown}y"), &"2".repeat(32)] {
        assert_eq!(wkd(hash, Some("bob")), None, "{hash}");
    }
}

#[test]
fn a_domain_may_answer_for_everybody_with_its_own_key() {
    let mut world = World::new();
    let gateway = cert(&["domain-confidentiality-authority@gate.example"]);
    world.own(&gateway);
    world.own(&cert(&["bob@gate.example"]));
    world.refresh();
    let unknown = keydir::wkd_hash("nobody");
    assert!(world.publication.wkd("gate.example", &unknown, None).unwrap().is_none());
    world.rules.catch_all.insert("gate.example".to_owned(), true);
    world.refresh();
    let mailbox = world.publication.mailbox("nobody@gate.example").unwrap().unwrap();
    assert_eq!(mailbox.address, "@gate.example");
    assert_eq!(mailbox.openpgp[0].fingerprint, gateway.fingerprint().to_hex());
    assert!(world.publication.wkd("gate.example", &unknown, None).unwrap().is_some());
    assert!(world.publication.wkd("gate.example", "nohash", None).unwrap().is_none());
    assert_eq!(world.user_ids("bob@gate.example"), ["bob@gate.example"]);
    assert_eq!(world.user_ids("bob+x@gate.example"), ["bob@gate.example"]);
    assert!(world.publication.mailbox("nobody@münchen.example").unwrap().is_none());
    world.rules.catch_all.insert("gate.example".to_owned(), false);
    world.refresh();
    assert!(world.publication.mailbox("nobody@gate.example").unwrap().is_none());
}

#[test]
fn an_assigned_domain_shows_the_names_of_that_domain_only() {
    let mut world = World::new();
    let shared = cert(&["gateway@gate.example", "gateway@other.example"]);
    let subjects = Some(vec![Subject::domain("gate.example").unwrap()]);
    world.import(&shared, subjects, Trust::Own, Origin::Imported);
    world.rules.catch_all.insert("gate.example".to_owned(), true);
    world.refresh();
    assert_eq!(world.user_ids("nobody@gate.example"), ["gateway@gate.example"]);
}

#[test]
fn a_changed_expiry_is_signed_again_for_the_alias() {
    let mut world = World::new();
    let tsk = made(&["bob@gate.example"], NOW - 86_400, Some(30 * 86_400));
    let signed = custody(&mut world, &tsk);
    alias(&mut world, "shop@gate.example", "bob@gate.example");
    world.refresh();
    assert_eq!(signed.load(Ordering::SeqCst), 1);
    let mut signer = tsk.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let policy = sequoia_openpgp::policy::StandardPolicy::new();
    let longer = tsk
        .set_expiration_time(&policy, time(NOW + 60), &mut signer, Some(time(NOW + 400 * 86_400)))
        .unwrap();
    world.own(&tsk.insert_packets(longer).unwrap().0.strip_secret_key_material());
    world.refresh_at(NOW + 120);
    assert_eq!(signed.load(Ordering::SeqCst), 2);
}
