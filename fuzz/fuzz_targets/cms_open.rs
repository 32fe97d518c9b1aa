//! Reading CMS never panics; whatever is opened came from an object that was read to its end, and stays
//! within the limits. Mutations of a message to our own key get behind the search for a key.
#![no_main]

use std::sync::Arc;
use std::sync::LazyLock;

use keydir::Answer;
use keydir::Certificate;
use libfuzzer_sys::fuzz_target;
use mail::Spill;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::EcGroup;
use openssl::ec::EcKey;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::X509Builder;
use openssl::x509::X509Name;
use sealing::Limits;
use sealing::cms::ContentCipher;
use sealing::cms::ContentKind;
use sealing::cms::KeyTransport;
use sealing::cms::Recipient;
use sealing::cms::SecretKey;

const TEXT: &[u8] = b"Content-Type: text/plain\r\n\r\nfuzz\r\n";

static KEY: LazyLock<Arc<SecretKey>> = LazyLock::new(|| {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, "Test only").unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(77).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(30).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = Certificate::from_der(&builder.build().to_der().unwrap()).unwrap();
    Arc::new(SecretKey::new(certificate, key).unwrap())
});

static SEALED: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    [ContentCipher::Aes256Gcm, ContentCipher::Aes256Cbc].map(|cipher| {
        let recipient = Recipient { certificate: KEY.certificate(), transport: KeyTransport::Oaep };
        let (mut out, length) = (Vec::new(), TEXT.len() as u64);
        sealing::cms::encrypt(&mut out, &[recipient], cipher, ContentKind::Data, length, |sink| {
            sink.write_all(TEXT)
        })
        .unwrap();
        out
    })
});

fn open(message: &[u8]) {
    let limits = Limits { opened_bytes: 1 << 20, ..Limits::default() };
    let _ = sealing::cms::peek(message);
    let ours = Answer::Found(vec![KEY.clone()]);
    if let Ok(opened) = sealing::cms::decrypt(&mut { message }, |_| ours, &Spill::default(), &limits) {
        assert!(opened.content.len() <= limits.opened_bytes + 32);
        // Only the message itself has a tag that holds.
        assert!(!opened.authenticated || opened.content.to_vec().unwrap() == TEXT);
    }
    if let Ok(opened) = sealing::cms::decompress(&mut { message }, &Spill::default(), &limits) {
        assert!(opened.content.len() <= limits.opened_bytes);
    }
}

fuzz_target!(|bytes: &[u8]| {
    open(bytes);
    // The first two octets say where, the rest what stands there instead.
    let [high, low, patch @ ..] = bytes else { return };
    for sealed in &*SEALED {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % sealed.len();
        let end = (at + patch.len()).min(sealed.len());
        open(&[&sealed[..at], patch, &sealed[end..]].concat());
        open(&[&sealed[..at], patch, &sealed[at..]].concat());
    }
});
