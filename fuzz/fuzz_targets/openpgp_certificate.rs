//! Any bytes are read as OpenPGP certificates or refused; what is read is clean, holds no secret, and reads back as
//! it is.
#![no_main]

use keydir::read_certificates;
use libfuzzer_sys::fuzz_target;
use sequoia_openpgp::serialize::SerializeInto;

fuzz_target!(|bytes: &[u8]| {
    let Ok(certs) = read_certificates(bytes) else { return };
    assert!(!certs.is_empty());
    for cert in certs {
        assert!(!cert.is_tsk());
        assert_eq!(cert.user_attributes().count() + cert.unknowns().count(), 0);
        for uid in cert.userids() {
            assert_eq!(uid.certifications().count(), 0);
            assert!(uid.self_signatures().next().is_some() || uid.self_revocations().next().is_some());
        }
        let written = cert.to_vec().unwrap();
        let again = read_certificates(&written).unwrap();
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].to_vec().unwrap(), written);
    }
});
