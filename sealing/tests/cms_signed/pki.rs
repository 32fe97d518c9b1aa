//! A certification authority for tests, the people it knows, and files for other programs.

use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use ::openssl::asn1::Asn1Integer;
use ::openssl::asn1::Asn1Time;
use ::openssl::bn::BigNum;
use ::openssl::ec::EcGroup;
use ::openssl::ec::EcKey;
use ::openssl::hash::MessageDigest;
use ::openssl::nid::Nid;
use ::openssl::pkey::HasPublic;
use ::openssl::pkey::PKey;
use ::openssl::pkey::PKeyRef;
use ::openssl::pkey::Private;
use ::openssl::rsa::Rsa;
use ::openssl::x509::X509;
use ::openssl::x509::X509Name;
use ::openssl::x509::extension::AuthorityKeyIdentifier;
use ::openssl::x509::extension::BasicConstraints;
use ::openssl::x509::extension::ExtendedKeyUsage;
use ::openssl::x509::extension::KeyUsage;
use ::openssl::x509::extension::SubjectAlternativeName;
use ::openssl::x509::extension::SubjectKeyIdentifier;
use keydir::Certificate;
use mail::Spill;
use sealing::Limits;
use sealing::cms::SecretKey;
use sealing::cms::Verified;
use sealing::cms::VerifyError;
use tempfile::TempDir;

pub const ALICE: &str = "alice@alpha.example";
pub const CONTENT: &[u8] = b"Content-Type: text/plain\r\n\r\nHello Bob,\r\n\r\nat noon?\r\n";

/// Kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rsa(u32),
    P256,
    P384,
    Ed25519,
}

impl Kind {
    pub fn generate(self) -> PKey<Private> {
        let ec = |curve| {
            let group = EcGroup::from_curve_name(curve).unwrap();
            PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
        };
        match self {
            Kind::Rsa(bits) => PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap(),
            Kind::P256 => ec(Nid::X9_62_PRIME256V1),
            Kind::P384 => ec(Nid::SECP384R1),
            Kind::Ed25519 => PKey::generate_ed25519().unwrap(),
        }
    }
}

/// Today, Unix seconds: the other programs look at the clock.
pub fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// A certification authority.
pub struct Ca {
    pub key: PKey<Private>,
    pub cert: X509,
    serial: AtomicU32,
}

impl Ca {
    pub fn new() -> Ca {
        let key = Kind::Rsa(2048).generate();
        let mut builder = builder("Test only CA", &key, 1);
        builder.set_issuer_name(&name("Test only CA")).unwrap();
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
        let id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(id).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Ca { key, cert: builder.build(), serial: AtomicU32::new(1000) }
    }

    /// A certificate for signing mail.
    pub fn issue(&self, address: &str, key: &PKeyRef<impl HasPublic>) -> Certificate {
        self.issue_with_serial(address, key, self.serial.fetch_add(1, Ordering::Relaxed))
    }

    pub fn issue_with_serial(
        &self,
        address: &str,
        key: &PKeyRef<impl HasPublic>,
        serial: u32,
    ) -> Certificate {
        let mut builder = builder(address, key, serial);
        builder.set_issuer_name(self.cert.subject_name()).unwrap();
        let usage = KeyUsage::new().critical().digital_signature().non_repudiation().build().unwrap();
        builder.append_extension(usage).unwrap();
        builder.append_extension(ExtendedKeyUsage::new().email_protection().build().unwrap()).unwrap();
        let context = builder.x509v3_context(Some(&self.cert), None);
        let address = SubjectAlternativeName::new().email(address).build(&context).unwrap();
        let own_id = SubjectKeyIdentifier::new().build(&context).unwrap();
        let issuer_id = AuthorityKeyIdentifier::new().keyid(true).build(&context).unwrap();
        for extension in [address, own_id, issuer_id] {
            builder.append_extension(extension).unwrap();
        }
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        Certificate::from_der(&builder.build().to_der().unwrap()).unwrap()
    }

    pub fn identity(&self, address: &str, kind: Kind) -> SecretKey {
        let key = kind.generate();
        SecretKey::new(self.issue(address, &key), key).unwrap()
    }

    pub fn certificate(&self) -> Certificate {
        Certificate::from_der(&self.cert.to_der().unwrap()).unwrap()
    }
}

fn name(common: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, common).unwrap();
    name.build()
}

fn builder(common: &str, key: &PKeyRef<impl HasPublic>, serial: u32) -> ::openssl::x509::X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name(common)).unwrap();
    builder.set_pubkey(key).unwrap();
    let serial = Asn1Integer::from_bn(&BigNum::from_u32(serial).unwrap()).unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(now() - 86_400).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(now() + 86_400 * 30).unwrap()).unwrap();
    builder
}

/// A directory with files for other programs.
pub struct Desk(TempDir);

impl Desk {
    /// With the certificate of the authority in `ca.pem`.
    pub fn new(ca: &Ca) -> Desk {
        let desk = Desk(tempfile::tempdir().unwrap());
        desk.put("ca.pem", &ca.cert.to_pem().unwrap());
        desk.put("content", CONTENT);
        desk
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub fn put(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.path(file), bytes).unwrap();
    }

    pub fn get(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    /// Certificate and key in `NAME.pem` and `NAME.key`.
    pub fn put_identity(&self, name: &str, identity: &SecretKey) {
        self.put(&format!("{name}.pem"), identity.certificate().pem().as_bytes());
        self.put(&format!("{name}.key"), &identity.key().private_key_to_pem_pkcs8().unwrap());
    }

    /// Runs `openssl` here.
    pub fn openssl(&self, arguments: &str) -> Output {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.path()).output();
        output.expect("openssl is needed")
    }

    /// Runs `openssl` here; it must succeed.
    pub fn openssl_ok(&self, arguments: &str) {
        let output = self.openssl(arguments);
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

pub fn detached(signature: &[u8], content: &[u8], extra: &[Certificate]) -> Result<Verified, VerifyError> {
    sealing::cms::verify_detached(signature, &mut { content }, extra, &Limits::default())
}

pub fn opaque(input: &[u8], extra: &[Certificate]) -> Result<Verified, VerifyError> {
    sealing::cms::verify_opaque(&mut { input }, extra, &Spill::default(), &Limits::default())
}

/// The content of an opaque layer.
pub fn content(verified: &Verified) -> Vec<u8> {
    verified.content.as_ref().unwrap().to_vec().unwrap()
}

/// That the only signature holds, by this certificate.
pub fn assert_holds(verified: &Verified, certificate: &Certificate) {
    let [signer] = &verified.signers[..] else { panic!("{:?}", verified.signers) };
    assert_eq!(signer.holds, Ok(()));
    assert_eq!(signer.certificate.as_ref().unwrap().der(), certificate.der());
}

/// Why the only signature does not hold.
pub fn refusal(verified: &Verified) -> String {
    let [signer] = &verified.signers[..] else { panic!("{:?}", verified.signers) };
    signer.holds.clone().unwrap_err()
}
