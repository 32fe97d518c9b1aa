//! Certificates made on the spot, and the TLSA records that name them.

use std::fmt;
use std::sync::Arc;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::PublicKeyData;
use rcgen::date_time_ymd;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use sha2::Digest;

/// A certificate with its key and what is sent with it. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Inner>, Vec<CertificateDer<'static>>);

struct Inner {
    der: CertificateDer<'static>,
    key: KeyPair,
    params: CertificateParams,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.0.params.subject_alt_names)
    }
}

impl Identity {
    /// Self-signed for one name.
    pub fn alone(name: &str) -> Self {
        Self::alone_with(name, |_| {})
    }

    /// Self-signed and long expired.
    pub fn alone_expired(name: &str) -> Self {
        Self::alone_with(name, expire)
    }

    fn alone_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = params(name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        Self(Arc::new(Inner { der, key, params }), Vec::new())
    }

    /// A root certificate.
    pub fn root(name: &str) -> Self {
        Self::alone_with("", |params| authority(params, name))
    }

    /// A certificate by this one, for one name.
    pub fn issue(&self, name: &str) -> Self {
        self.issue_with(name, |_| {})
    }

    /// A certificate by this one, long expired.
    pub fn issue_expired(&self, name: &str) -> Self {
        self.issue_with(name, expire)
    }

    /// An intermediate certificate by this one.
    pub fn issue_authority(&self, name: &str) -> Self {
        self.issue_with("", |params| authority(params, name))
    }

    fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = params(name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.0.params, &self.0.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().clone();
        Self(Arc::new(Inner { der, key, params }), Vec::new())
    }

    /// The same, sent together with `others`.
    pub fn with(mut self, others: &[&Self]) -> Self {
        self.1 = others.iter().map(|other| other.0.der.clone()).collect();
        self
    }

    /// TLSA record data that matches this certificate, such as `3 1 1 d2ab…`.
    pub fn tlsa(&self, usage: u8, selector: u8, matching: u8) -> String {
        let selected = match selector {
            0 => self.0.der.to_vec(),
            _ => self.0.key.subject_public_key_info(),
        };
        let data = match matching {
            0 => selected,
            2 => sha2::Sha512::digest(&selected).to_vec(),
            _ => sha2::Sha256::digest(&selected).to_vec(),
        };
        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{usage} {selector} {matching} {hex}")
    }

    /// TLSA record data that is well-formed and matches another certificate.
    pub fn wrong_tlsa(&self, usage: u8, selector: u8, matching: u8) -> String {
        Self::alone("other.example").tlsa(usage, selector, matching)
    }

    /// The certificate alone.
    pub fn pem(&self) -> String {
        let text = base64(&self.0.der);
        format!("-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
    }

    /// Its key, PKCS#8 in PEM.
    pub fn key_pem(&self) -> String {
        self.0.key.serialize_pem()
    }

    /// For a TLS server.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::try_from(self.0.key.serialize_der()).unwrap();
        let key = default_provider().key_provider.load_private_key(key).unwrap();
        let chain = [std::slice::from_ref(&self.0.der), self.1.as_slice()].concat();
        Arc::new(CertifiedKey::new(chain, key))
    }
}

fn params(name: &str) -> CertificateParams {
    let names: Vec<String> =
        Some(name).filter(|name| !name.is_empty()).map(str::to_owned).into_iter().collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params
}

fn authority(params: &mut CertificateParams, name: &str) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages.clear();
    params.distinguished_name.push(DnType::CommonName, name);
}

fn expire(params: &mut CertificateParams) {
    params.not_after = date_time_ymd(2021, 1, 1);
}

/// RFC 7468 text, 64 characters a line.
fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (number, three) in data.chunks(3).enumerate() {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let at = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit > three.len() { '=' } else { char::from(DIGITS[at as usize]) });
        }
        if number % 16 == 15 {
            text.push('\n');
        }
    }
    text.trim_end().to_owned() + "\n"
}
