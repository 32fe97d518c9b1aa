//! Somebody with an S/MIME certificate.

use std::sync::Arc;

use keydir::Anchors;
use keydir::Answer;
use keydir::Certificate;
use mail::Address;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::pkey::PKeyRef;
use openssl::pkey::Private;
use openssl::rsa::Rsa;
use openssl::x509::X509;
use openssl::x509::X509Builder;
use openssl::x509::X509Name;
use openssl::x509::X509NameRef;
use openssl::x509::extension::BasicConstraints;
use openssl::x509::extension::ExtendedKeyUsage;
use openssl::x509::extension::KeyUsage;
use openssl::x509::extension::SubjectAlternativeName;
use sealing::Binding;
use sealing::openpgp;
use sealing::openpgp::SecretCert;
use sealing::smime::Keys;
use sealing::smime::RecipientId;
use sealing::smime::SecretKey;
use sequoia_openpgp::Cert;
use sequoia_openpgp::Fingerprint;
use sequoia_openpgp::KeyHandle;

use crate::now;

/// A certification authority.
pub(crate) struct Authority {
    key: PKey<Private>,
    certificate: X509,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let (key, name) = (rsa(2048), name("Benchmark only CA"));
        let mut builder = builder(&name, &name, &key, 1);
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().build().unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Authority { key, certificate: builder.build() }
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_der(&self.certificate.to_der().unwrap()).unwrap()
    }

    /// Certifies a new RSA key for signing and encryption.
    pub(crate) fn issue(&self, address: &str, bits: u32) -> Arc<SecretKey> {
        let key = rsa(bits);
        let mut builder = builder(&name(address), self.certificate.subject_name(), &key, bits);
        let usage = KeyUsage::new().critical().digital_signature().key_encipherment().build().unwrap();
        let names = SubjectAlternativeName::new().email(address).build(&builder.x509v3_context(None, None));
        let purpose = ExtendedKeyUsage::new().email_protection().build().unwrap();
        for extension in [usage, purpose, names.unwrap()] {
            builder.append_extension(extension).unwrap();
        }
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let certificate = Certificate::from_der(&builder.build().to_der().unwrap()).unwrap();
        Arc::new(SecretKey::new(certificate, key).unwrap())
    }
}

fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

fn name(common: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, common).unwrap();
    name.build()
}

fn builder(subject: &X509NameRef, issuer: &X509NameRef, key: &PKeyRef<Private>, serial: u32) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_serial_number(&BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(now() - 86_400).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(now() + 86_400).unwrap()).unwrap();
    builder
}

/// A recipient, who trusts the authority.
pub(crate) struct Recipient {
    pub(crate) secret: Arc<SecretKey>,
    anchors: Arc<Anchors>,
}

impl Recipient {
    pub(crate) fn new(secret: Arc<SecretKey>, authority: &Authority) -> Recipient {
        let mut anchors = Anchors::none();
        anchors.add_anchor(authority.certificate()).unwrap();
        Recipient { secret, anchors: Arc::new(anchors) }
    }
}

impl Keys for Recipient {
    fn secrets(&self, _: &[RecipientId]) -> Answer<Vec<Arc<SecretKey>>> {
        Answer::Found(vec![self.secret.clone()])
    }

    fn cover(&self, _: &[RecipientId]) -> Answer<()> {
        Answer::Found(())
    }

    fn anchors(&self) -> Arc<Anchors> {
        self.anchors.clone()
    }

    fn certificates(&self, _: &RecipientId) -> Answer<Vec<Certificate>> {
        Answer::None { why: Vec::new() }
    }

    fn assigned(&self, _: &Certificate, _: &Address) -> Answer<Binding> {
        Answer::None { why: Vec::new() }
    }
}

/// Has no OpenPGP key, and meets none.
pub(crate) struct NoOpenpgp;

impl openpgp::Keys for NoOpenpgp {
    fn certificates(&self, _: &KeyHandle) -> Answer<Vec<Arc<Cert>>> {
        Answer::None { why: Vec::new() }
    }

    fn secrets(&self, _: Option<&KeyHandle>) -> Answer<Vec<Arc<SecretCert>>> {
        Answer::None { why: Vec::new() }
    }

    fn cover(&self, _: &[KeyHandle]) -> Answer<()> {
        Answer::None { why: Vec::new() }
    }

    fn authorised(&self, _: &Fingerprint, _: &Address) -> Answer<Binding> {
        Answer::None { why: Vec::new() }
    }
}
