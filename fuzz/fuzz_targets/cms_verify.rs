//! Reading SignedData never panics, and what holds was signed: bytes made from a good message by the fuzzer
//! hold only for the content and the certificate of that message.
#![no_main]

use std::sync::LazyLock;

use keydir::Certificate;
use libfuzzer_sys::fuzz_target;
use mail::Spill;
use openssl::asn1::Asn1Integer;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::X509;
use openssl::x509::X509Name;
use sealing::Limits;
use sealing::cms::SecretKey;
use sealing::cms::Signer;
use sealing::cms::Verified;
use sealing::cms::sign_opaque;
use sealing::cms::verify_detached;
use sealing::cms::verify_opaque;

const NOW: i64 = 1_787_900_000;
const CONTENT: &[u8] = b"Content-Type: text/plain\r\n\r\nHello\r\n";

static ALICE: LazyLock<SecretKey> = LazyLock::new(|| {
    let group = openssl::ec::EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "alice").unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_serial_number(&Asn1Integer::from_bn(&BigNum::from_u32(7).unwrap()).unwrap()).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(NOW - 86_400).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(NOW + 86_400).unwrap()).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = Certificate::from_der(&builder.build().to_der().unwrap()).unwrap();
    SecretKey::new(certificate, key).unwrap()
});

static SIGNED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut whole = Vec::new();
    sign_opaque(&mut whole, &Signer::new(&ALICE, NOW), |out| out.write_all(CONTENT)).unwrap();
    whole
});

fn check(verified: &Verified, content: &[u8]) {
    for signer in verified.signers.iter().filter(|signer| signer.holds.is_ok()) {
        let by = signer.certificate.as_ref().expect("a signature that holds has a signer");
        if by.der() == ALICE.certificate().der() {
            assert_eq!(content, CONTENT, "Alice signed one content only");
        }
    }
}

fn look(bytes: &[u8]) {
    let limits = Limits { opened_bytes: 1 << 20, ..Limits::default() };
    let known = std::slice::from_ref(ALICE.certificate());
    if let Ok(verified) = verify_opaque(&mut { bytes }, known, &Spill::default(), &limits) {
        let content = verified.content.as_ref().map(|body| body.to_vec().unwrap()).unwrap_or_default();
        check(&verified, &content);
    }
    if let Ok(verified) = verify_detached(bytes, &mut &b"another content"[..], known, &limits) {
        check(&verified, b"another content");
    }
}

fuzz_target!(|bytes: &[u8]| {
    look(bytes);
    // The first two bytes say where the others go in a good message.
    if let Some(([high, low], patch)) = bytes.split_first_chunk() {
        let mut bent = SIGNED.clone();
        let at = usize::from(u16::from_be_bytes([*high, *low])) % bent.len();
        let end = (at + patch.len()).min(bent.len());
        bent.splice(at..end, patch.iter().copied());
        look(&bent);
    }
});
