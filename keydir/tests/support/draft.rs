//! X.509 certificates, good ones and others.
#![allow(dead_code, reason = "each test program uses what it needs")]

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use openssl::asn1::Asn1Object;
use openssl::asn1::Asn1OctetString;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::EcGroup;
use openssl::ec::EcKey;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::pkey::Private;
use openssl::rsa::Rsa;
use openssl::x509::X509;
use openssl::x509::X509Extension;
use openssl::x509::X509Name;
use openssl::x509::extension::BasicConstraints;
use openssl::x509::extension::ExtendedKeyUsage;
use openssl::x509::extension::KeyUsage;
use openssl::x509::extension::SubjectAlternativeName;

use keydir::Certificate;

pub(crate) const DAY: i64 = 86_400;

pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

pub(crate) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

pub(crate) fn p256() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// A certificate in the making; the defaults are a good one.
pub(crate) struct Draft {
    pub(crate) key: PKey<Private>,
    pub(crate) issuer: Option<(X509, PKey<Private>)>,
    pub(crate) subject: Vec<(&'static str, String)>,
    pub(crate) addresses: Vec<&'static str>,
    pub(crate) usage: Option<X509Extension>,
    pub(crate) extended: Option<X509Extension>,
    pub(crate) others: Vec<X509Extension>,
    pub(crate) ca: bool,
    pub(crate) serial: u32,
    pub(crate) digest: MessageDigest,
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl Draft {
    pub(crate) fn new(key: PKey<Private>) -> Self {
        Self {
            key,
            issuer: None,
            subject: vec![("CN", "Bob".to_owned())],
            addresses: vec!["bob@beta.example"],
            usage: Some(
                KeyUsage::new().digital_signature().key_encipherment().key_agreement().build().unwrap(),
            ),
            extended: Some(ExtendedKeyUsage::new().email_protection().build().unwrap()),
            others: Vec::new(),
            ca: false,
            serial: 4711,
            digest: MessageDigest::sha256(),
            from: now() - DAY,
            until: now() + 90 * DAY,
        }
    }

    pub(crate) fn authority(name: &str) -> Self {
        let mut draft = Self::new(p256());
        draft.subject = vec![("CN", name.to_owned())];
        draft.addresses = Vec::new();
        draft.usage = Some(KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap());
        draft.extended = None;
        draft.ca = true;
        draft
    }

    pub(crate) fn x509(&self) -> X509 {
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(u32::from(self.ca) + self.serial).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        let mut name = X509Name::builder().unwrap();
        for (field, value) in &self.subject {
            name.append_entry_by_text(field, value).unwrap();
        }
        let name = name.build();
        builder.set_subject_name(&name).unwrap();
        builder
            .set_issuer_name(self.issuer.as_ref().map_or(&name, |(issuer, _)| issuer.subject_name()))
            .unwrap();
        builder.set_not_before(&Asn1Time::from_unix(self.from).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(self.until).unwrap()).unwrap();
        builder.set_pubkey(&self.key).unwrap();
        let mut constraints = BasicConstraints::new();
        if self.ca {
            constraints.critical().ca();
        }
        builder.append_extension(constraints.build().unwrap()).unwrap();
        for extension in self.usage.iter().chain(&self.extended).chain(&self.others) {
            builder.append_extension2(extension).unwrap();
        }
        if !self.addresses.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for address in &self.addresses {
                names.email(address);
            }
            let names = names.build(&builder.x509v3_context(None, None)).unwrap();
            builder.append_extension(names).unwrap();
        }
        let signer = self.issuer.as_ref().map_or(&self.key, |(_, key)| key);
        builder.sign(signer, self.digest).unwrap();
        builder.build()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.x509().to_der().unwrap()
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_der(&self.der()).unwrap()
    }
}

/// A subjectAltName with these octets as its only rfc822Name.
pub(crate) fn raw_address(address: &[u8]) -> X509Extension {
    let length = u8::try_from(address.len()).unwrap();
    let der = [&[0x30, length + 2, 0x81, length], address].concat();
    let oid = Asn1Object::from_str("2.5.29.17").unwrap();
    X509Extension::new_from_der(&oid, false, &Asn1OctetString::new_from_bytes(&der).unwrap()).unwrap()
}
