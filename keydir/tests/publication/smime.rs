//! Which S/MIME certificates are published, and with what.

use keydir::Certificate;
use keydir::Custody;
use keydir::Import;
use keydir::Origin;
use keydir::Scheme;
use keydir::Trust;
use openssl::x509::X509;
use openssl::x509::extension::KeyUsage;

use super::draft::DAY;
use super::draft::Draft;
use super::draft::now;
use super::draft::p256;
use super::draft::rsa;
use super::world::World;
use super::world::cert;

fn own(world: &World, certificates: &[&X509]) {
    let pem: Vec<u8> = certificates.iter().flat_map(|it| it.to_pem().unwrap()).collect();
    let import = Import {
        bytes: &pem,
        subjects: None,
        origin: Origin::Imported,
        trust: Trust::Own,
        custody: Custody::None,
        now: now(),
    };
    world.store.import_certificates(&import).unwrap();
}

fn bob() -> Draft {
    let mut draft = Draft::new(p256());
    draft.addresses = vec!["bob@gate.example"];
    draft
}

#[test]
fn the_newest_certificate_comes_with_the_authorities_above_it() {
    let mut world = World::new();
    let draft = Draft::authority("Root");
    let (root, root_key) = (draft.x509(), draft.key.clone());
    let mut draft = Draft::authority("Issuing");
    draft.issuer = Some((root.clone(), root_key));
    let (issuing, issuing_key) = (draft.x509(), draft.key.clone());
    let mut old = bob();
    old.from = now() - 30 * DAY;
    old.serial = 1;
    let mut new = bob();
    new.issuer = Some((issuing.clone(), issuing_key));
    let new = new.x509();
    // Another authority of the same name, which did not sign it.
    let other = Draft::authority("Issuing").x509();
    own(&world, &[&old.x509(), &new, &other, &issuing, &root]);
    world.refresh_at(now());
    let mailbox = world.publication.mailbox("bob@gate.example").unwrap().unwrap();
    assert!(mailbox.openpgp.is_empty());
    assert_eq!(mailbox.smime.len(), 1);
    let published = &mailbox.smime[0];
    assert_eq!(published.scheme, Scheme::Smime);
    assert_eq!(&*published.bytes, new.to_der().unwrap());
    assert_eq!((published.algorithm.as_str(), published.bits, published.version), ("nistp256", 256, 3));
    assert_eq!(published.user_ids, ["bob@gate.example"]);
    let chain: Vec<&[u8]> = published.chain.iter().map(|link| &**link).collect();
    assert_eq!(chain, [issuing.to_der().unwrap(), root.to_der().unwrap()]);
    assert!(world.publication.wkd("gate.example", &keydir::wkd_hash("bob"), None).unwrap().is_none());
}

#[test]
fn a_mailbox_without_a_key_of_one_kind_is_as_none_at_all_for_that_kind() {
    let mut world = World::new();
    let authority = cert(&["domain-confidentiality-authority@gate.example"]);
    world.own(&authority);
    own(&world, &[&bob().x509()]);
    world.refresh_at(now());
    let openpgp = |world: &World, name: &str| {
        let address = format!("{name}@gate.example");
        let wkd = world.publication.wkd("gate.example", &keydir::wkd_hash(name), Some(name)).unwrap();
        let found = world.publication.of_scheme(&address, Scheme::Openpgp).unwrap();
        let bytes: Vec<u8> = found.iter().flat_map(|published| published.bytes.to_vec()).collect();
        assert_eq!(wkd.as_deref().unwrap_or_default(), bytes, "{name}");
        found.into_iter().map(|published| published.fingerprint).collect::<Vec<_>>()
    };
    assert_eq!((openpgp(&world, "bob"), openpgp(&world, "nobody")), (vec![], vec![]));
    world.rules.catch_all.insert("gate.example".to_owned(), true);
    world.refresh_at(now());
    let domain = vec![authority.fingerprint().to_hex()];
    assert_eq!(openpgp(&world, "nobody"), domain);
    assert_eq!(openpgp(&world, "bob"), domain, "else it would tell that there is a bob");
    assert_eq!(openpgp(&world, "bob+x"), domain);
    let smime = world.publication.of_scheme("bob@gate.example", Scheme::Smime).unwrap();
    assert_eq!((smime.len(), smime[0].user_ids.join("")), (1, "bob@gate.example".to_owned()));
}

#[test]
fn separate_certificates_for_encryption_and_signature_are_both_published() {
    let mut world = World::new();
    let mut encryption = bob();
    encryption.key = rsa(2048);
    encryption.usage = Some(KeyUsage::new().key_encipherment().build().unwrap());
    let mut signature = bob();
    signature.usage = Some(KeyUsage::new().digital_signature().build().unwrap());
    signature.serial = 9;
    let (signature, encryption) = (signature.x509(), encryption.x509());
    own(&world, &[&signature, &encryption]);
    world.refresh_at(now());
    let mailbox = world.publication.mailbox("bob@gate.example").unwrap().unwrap();
    let found: Vec<&[u8]> = mailbox.smime.iter().map(|published| &*published.bytes).collect();
    assert_eq!(found, [encryption.to_der().unwrap(), signature.to_der().unwrap()]);
    assert_eq!(mailbox.smime[0].algorithm, "rsa2048");
    let usable: Vec<bool> = mailbox.smime.iter().map(|published| published.usable).collect();
    assert_eq!(usable, [true, false]);
}

#[test]
fn revoked_expired_and_foreign_certificates_are_not_published() {
    let mut world = World::new();
    let mut partner = Draft::new(p256());
    partner.addresses = vec!["carol@partner.example"];
    let mut ends = bob();
    ends.until = now() + 5 * DAY;
    own(&world, &[&partner.x509(), &ends.x509()]);
    world.refresh_at(now());
    assert!(world.publication.mailbox("carol@partner.example").unwrap().is_none());
    assert!(world.publication.mailbox("bob@gate.example").unwrap().is_some());
    // Time alone takes it away.
    let summary = world.refresh_at(now() + 6 * DAY);
    assert_eq!((summary.withdrawn, summary.mailboxes), (1, 0));
    let mut other = bob();
    other.serial = 7;
    other.from = now() - DAY / 2;
    let other = other.x509();
    own(&world, &[&other]);
    world.refresh_at(now());
    let fingerprint = Certificate::from_der(&other.to_der().unwrap()).unwrap().fingerprint();
    assert_eq!(
        world.publication.mailbox("bob@gate.example").unwrap().unwrap().smime[0].fingerprint,
        fingerprint
    );
    world.store.revoke_certificate(&fingerprint, "superseded").unwrap();
    world.refresh_at(now());
    let left = world.publication.mailbox("bob@gate.example").unwrap();
    assert!(left.is_none_or(|mailbox| mailbox.smime.iter().all(|it| it.fingerprint != fingerprint)));
}
