use std::time::Duration;

use sequoia_openpgp::Cert;
use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::serialize::SerializeInto;

use super::*;

/// 2026-07-01.
const NOW: i64 = 1_782_864_000;
const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn builder(user_id: &str) -> CertBuilder<'static> {
    CertBuilder::new()
        .add_userid(user_id)
        .set_creation_time(assess::system_time(NOW - 100))
        .set_validity_period(YEAR)
        .add_signing_subkey()
        .add_transport_encryption_subkey()
}

fn import_with(store: &Store, cert: &Cert, origin: Origin, trust: Trust) -> Result<Vec<Record>, StoreError> {
    let bytes = cert.armored().to_vec().unwrap();
    store.import(&Import { bytes: &bytes, subjects: None, origin, trust, custody: Custody::None, now: NOW })
}

fn import(store: &Store, cert: &Cert) -> Record {
    import_with(store, cert, Origin::Imported, Trust::Verified).unwrap().remove(0)
}

fn bob() -> Subject {
    Subject::address("bob@beta.example").unwrap()
}

#[test]
fn finds_the_certificate_of_a_mailbox_by_address_and_by_any_of_its_keys() {
    let store = Store::open_in_memory().unwrap();
    let (cert, _) = builder("Bob <Bob@Beta.example>").generate().unwrap();
    let record = import(&store, &cert);
    assert_eq!(record.subjects, [Subject::Address("Bob@beta.example".into())]);
    let Answer::Found(usable) = store.find(&bob(), Scheme::Openpgp, Purpose::Encrypt, NOW) else { panic!() };
    assert_eq!(usable.cert().fingerprint(), cert.fingerprint());
    for key in cert.keys() {
        for handle in [key.key().fingerprint().to_hex(), key.key().keyid().to_hex()] {
            let Answer::Found(known) = store.by_handle(&handle.to_lowercase()) else { panic!() };
            assert_eq!(known[0].record.fingerprint, cert.fingerprint().to_hex());
        }
    }
}
