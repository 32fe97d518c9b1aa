//! Any bytes are read as certificates or refused; what is read is written as it was, and every question about
//! it has an answer.
#![no_main]

use keydir::Anchors;
use keydir::Certificate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Anchors::none().add_crl(bytes);
    if let Ok(certificate) = Certificate::from_der(bytes) {
        assert_eq!(certificate.der(), bytes);
        let _ = (certificate.may_encrypt(1_800_000_000), certificate.may_sign(1_800_000_000));
        let _ = (certificate.authority(), certificate.is_ca(), certificate.crl_urls());
        for address in certificate.addresses() {
            assert!(certificate.speaks_for(address).is_some());
            assert!(!address.chars().any(char::is_control));
        }
    }
    if let Ok(all) = Certificate::read_all(bytes) {
        assert!(!all.is_empty());
    }
});
