//! People with certificates of every kind, and the tools that we must get on with.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;

use keydir::Answer;
use keydir::Certificate;
use mail::Spill;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::bn::MsbOption;
use openssl::ec::EcGroup;
use openssl::ec::EcKey;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::pkey::Private;
use openssl::rsa::Rsa;
use openssl::x509::X509;
use openssl::x509::X509Builder;
use openssl::x509::X509Name;
use openssl::x509::extension::BasicConstraints;
use openssl::x509::extension::KeyUsage;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::extension::SubjectKeyIdentifier;
use sealing::Limits;
use sealing::cms::ContentCipher;
use sealing::cms::ContentKind;
use sealing::cms::Decrypted;
use sealing::cms::EnvelopeError;
use sealing::cms::KeyTransport;
use sealing::cms::Recipient;
use sealing::cms::RecipientId;
use sealing::cms::SecretKey;

pub const TEXT: &[u8] = b"Content-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe, test only\r\n";

/// What kind of key somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    Rsa(u32),
    P256,
    P384,
    P521,
    Brainpool,
    X25519,
    Ed25519,
}

impl KeyKind {
    pub fn generate(self) -> PKey<Private> {
        let ec = |nid| {
            let group = EcGroup::from_curve_name(nid).unwrap();
            PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
        };
        match self {
            KeyKind::Rsa(bits) => PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap(),
            KeyKind::P256 => ec(Nid::X9_62_PRIME256V1),
            KeyKind::P384 => ec(Nid::SECP384R1),
            KeyKind::P521 => ec(Nid::SECP521R1),
            KeyKind::Brainpool => ec(Nid::BRAINPOOL_P256R1),
            KeyKind::X25519 => PKey::generate_x25519().unwrap(),
            KeyKind::Ed25519 => PKey::generate_ed25519().unwrap(),
        }
    }

    pub fn is_rsa(self) -> bool {
        matches!(self, KeyKind::Rsa(_))
    }
}

/// Somebody with a certificate from the test's authority.
pub struct Person {
    pub name: String,
    pub kind: KeyKind,
    pub secret: Arc<SecretKey>,
    /// `NAME.pem` and `NAME.key` lie here.
    dir: PathBuf,
}

impl Person {
    pub fn certificate(&self) -> &Certificate {
        self.secret.certificate()
    }

    pub fn pem(&self) -> PathBuf {
        self.dir.join(format!("{}.pem", self.name))
    }

    pub fn key(&self) -> PathBuf {
        self.dir.join(format!("{}.key", self.name))
    }

    /// Certificate, key and chain with an empty password, as gpgsm takes it.
    pub fn p12(&self, world: &World) -> PathBuf {
        let mut chain = openssl::stack::Stack::new().unwrap();
        chain.push(world.authority.clone()).unwrap();
        let certificate = X509::from_der(self.certificate().der()).unwrap();
        let mut builder = Pkcs12::builder();
        builder.pkey(self.secret.key()).cert(&certificate).ca(chain);
        // What gpgsm 2.2 reads.
        let old = Nid::PBE_WITHSHA1AND3_KEY_TRIPLEDES_CBC;
        builder.key_algorithm(old).cert_algorithm(old).mac_md(MessageDigest::sha1());
        let path = self.dir.join(format!("{}.p12", self.name));
        fs::write(&path, builder.build2("test").unwrap().to_der().unwrap()).unwrap();
        path
    }
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub authority: X509,
    key: PKey<Private>,
}

impl World {
    pub fn new() -> World {
        let key = KeyKind::P256.generate();
        let mut builder = builder("Test only CA", &name("Test only CA"), &key);
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        World { dir: tempfile::tempdir().unwrap(), authority: builder.build(), key }
    }

    pub fn person(&self, name: &str, kind: KeyKind) -> Person {
        self.person_with_key(name, kind, kind.generate())
    }

    pub fn person_with_key(&self, name: &str, kind: KeyKind, key: PKey<Private>) -> Person {
        let mut builder = builder(name, self.authority.subject_name(), &key);
        let mut usage = KeyUsage::new();
        match kind {
            KeyKind::Rsa(_) => usage.key_encipherment().digital_signature(),
            KeyKind::Ed25519 => usage.digital_signature(),
            _ => usage.key_agreement(),
        };
        builder.append_extension(usage.critical().build().unwrap()).unwrap();
        let context = builder.x509v3_context(Some(&self.authority), None);
        let address = format!("{name}@alpha.example");
        let names = SubjectAlternativeName::new().email(&address).build(&context).unwrap();
        let id = SubjectKeyIdentifier::new().build(&context).unwrap();
        builder.append_extension(names).unwrap();
        builder.append_extension(id).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let x509 = builder.build();
        let dir = self.dir.path().to_path_buf();
        fs::write(dir.join(format!("{name}.pem")), x509.to_pem().unwrap()).unwrap();
        fs::write(dir.join(format!("{name}.key")), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        let certificate = Certificate::from_der(&x509.to_der().unwrap()).unwrap();
        let secret = Arc::new(SecretKey::new(certificate, key).unwrap());
        Person { name: name.into(), kind, secret, dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn name(common_name: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::ORGANIZATIONNAME, "Test only").unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, common_name).unwrap();
    name.build()
}

fn builder(subject: &str, issuer: &openssl::x509::X509NameRef, key: &PKey<Private>) -> X509Builder {
    let mut builder = X509Builder::new().unwrap();
    let mut serial = BigNum::new().unwrap();
    // Sixteen octets, always.
    serial.rand(127, MsbOption::ONE, false).unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    builder.set_subject_name(&name(subject)).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(30).unwrap()).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
}

/// A recipient for each person.
pub fn recipients<'a>(people: &[&'a Person], transport: KeyTransport) -> Vec<Recipient<'a>> {
    people.iter().map(|person| Recipient { certificate: person.certificate(), transport }).collect()
}

pub fn encrypt(people: &[&Person], transport: KeyTransport, cipher: ContentCipher, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let recipients = recipients(people, transport);
    let length = plain.len() as u64;
    sealing::cms::encrypt(&mut out, &recipients, cipher, ContentKind::Data, length, |sink| {
        sink.write_all(plain)
    })
    .unwrap();
    assert_eq!(sealing::cms::encrypted_len(length, &recipients, cipher).unwrap(), out.len() as u64);
    out
}

/// Decrypts with the keys of these people and no others.
pub fn decrypt(message: &[u8], people: &[&Person]) -> Result<Decrypted, EnvelopeError> {
    let mut input = message;
    sealing::cms::decrypt(&mut input, |ids| keys(ids, people), &Spill::default(), &Limits::default())
}

pub fn keys(ids: &[RecipientId], people: &[&Person]) -> Answer<Vec<Arc<SecretKey>>> {
    let meant = |person: &&&Person| ids.iter().any(|id| id.means(person.certificate()));
    let keys: Vec<_> = people.iter().filter(meant).map(|person| person.secret.clone()).collect();
    if keys.is_empty() { Answer::None { why: Vec::new() } } else { Answer::Found(keys) }
}

/// Runs a tool; its output, or what it complained about.
pub fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    run_with_input(command, Stdio::null())
}

fn run_with_input(command: &mut Command, input: Stdio) -> Result<Vec<u8>, String> {
    let output = command.stdin(input).output().unwrap();
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

pub fn openssl_decrypt(world: &World, message: &[u8], person: &Person) -> Result<Vec<u8>, String> {
    let message = world.write("to-openssl.cms", message);
    let mut command = Command::new("openssl");
    command.args(["cms", "-decrypt", "-binary", "-inform", "DER", "-in"]).arg(message);
    run(command.arg("-recip").arg(person.pem()).arg("-inkey").arg(person.key()))
}

/// Encrypts with openssl; `extra` are more of its options.
pub fn openssl_encrypt(
    world: &World,
    people: &[&Person],
    transport: KeyTransport,
    cipher: &str,
    extra: &[&str],
) -> Result<Vec<u8>, String> {
    let text = world.write("plain", TEXT);
    let mut command = Command::new("openssl");
    command.args(["cms", "-encrypt", "-binary", "-outform", "DER", cipher]).args(extra).arg("-in").arg(text);
    for person in people {
        command.arg("-recip").arg(person.pem());
        match (person.kind, transport) {
            (KeyKind::Rsa(_), KeyTransport::Oaep) => {
                command.args(["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"])
            }
            (KeyKind::Rsa(_), KeyTransport::Pkcs1v15) => &mut command,
            _ => command.args(["-keyopt", "ecdh_kdf_md:sha256"]),
        };
    }
    run(&mut command)
}

/// A home of gpgsm that trusts the authority of the world.
pub struct Gpgsm {
    home: tempfile::TempDir,
}

impl Gpgsm {
    pub fn new(world: &World) -> Gpgsm {
        // A short path: sockets have room for about a hundred octets.
        let home = tempfile::Builder::new().prefix("gpgsm").tempdir_in("/tmp").unwrap();
        fs::write(home.path().join("gpg-agent.conf"), "allow-loopback-pinentry\ns2k-count 65536\n").unwrap();
        fs::write(home.path().join("gpgsm.conf"), "disable-crl-checks\ndisable-policy-checks\n").unwrap();
        let digest = world.authority.digest(MessageDigest::sha1()).unwrap();
        let hex: String = digest.iter().map(|octet| format!("{octet:02X}")).collect();
        fs::write(home.path().join("trustlist.txt"), format!("{hex} S relax\n")).unwrap();
        let gpgsm = Gpgsm { home };
        let authority = world.write("authority.pem", &world.authority.to_pem().unwrap());
        gpgsm.run(&["--import", authority.to_str().unwrap()]).unwrap();
        gpgsm
    }

    pub fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, String> {
        let mut command = Command::new("gpgsm");
        command.arg("--homedir").arg(self.home.path()).args(["--batch", "--yes", "--no-tty"]);
        command.args(["--pinentry-mode", "loopback", "--passphrase-fd", "0"]).args(arguments);
        let passphrase = self.home.path().join("passphrase");
        fs::write(&passphrase, "test\n").unwrap();
        run_with_input(&mut command, fs::File::open(passphrase).unwrap().into())
    }

    /// Imports a certificate and its key. Now and then gpgsm 2.2 fails to decrypt a PKCS#12 file; the next
    /// file has another salt.
    pub fn import(&self, world: &World, person: &Person) -> Result<(), String> {
        let import = || self.run(&["--import", person.p12(world).to_str().unwrap()]).map(drop);
        import().or_else(|_| import()).or_else(|_| import())
    }

    /// Puts the secret key into the agent's store, where gpgsm cannot import it: 2.2 crashes on EC keys in
    /// PKCS#12.
    pub fn import_ec(&self, person: &Person) -> Result<(), String> {
        self.import_certificate(person)?;
        let listing =
            String::from_utf8(self.run(&["--with-keygrip", "--with-colons", "-k", &person.name])?);
        let listing = listing.unwrap();
        let grip = listing.lines().find(|line| line.starts_with("grp:")).unwrap();
        let grip = grip.trim_start_matches("grp:").trim_matches(':').to_owned();
        let curve: &[u8] = match person.kind {
            KeyKind::P256 => b"10:NIST P-256",
            KeyKind::P384 => b"10:NIST P-384",
            _ => panic!("no curve of gpgsm"),
        };
        let key = person.secret.key().ec_key().unwrap();
        let mut context = openssl::bn::BigNumContext::new().unwrap();
        let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
        let point = key.public_key().to_bytes(key.group(), form, &mut context).unwrap();
        let secret = key.private_key().to_vec_padded((point.len() as i32 - 1) / 2).unwrap();
        let atom = |octets: &[u8]| [format!("{}:", octets.len()).as_bytes(), octets].concat();
        let parts: [&[u8]; 7] = [
            b"(11:private-key(3:ecc(5:curve",
            curve,
            b")(1:q",
            &atom(&point),
            b")(1:d",
            &atom(&secret),
            b")))",
        ];
        let dir = self.home.path().join("private-keys-v1.d");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("{grip}.key")), parts.concat()).unwrap();
        Ok(())
    }

    /// Imports a certificate.
    pub fn import_certificate(&self, person: &Person) -> Result<(), String> {
        self.run(&["--import", person.pem().to_str().unwrap()]).map(drop)
    }

    pub fn decrypt(&self, world: &World, message: &[u8]) -> Result<Vec<u8>, String> {
        let message = world.write("to-gpgsm.cms", message);
        let out = world.path("from-gpgsm");
        let _ = fs::remove_file(&out);
        let (out, message) = (out.to_str().unwrap(), message.to_str().unwrap());
        match self.run(&["--status-fd", "2", "--output", out, "--decrypt", message]) {
            // A recipient whose key is not here is an error to gpgsm, even if another key opens the message.
            Err(complaint) if !complaint.contains("DECRYPTION_OKAY") => Err(complaint),
            _ => Ok(fs::read(out).unwrap()),
        }
    }

    pub fn encrypt(&self, world: &World, people: &[&Person], cipher: &str) -> Result<Vec<u8>, String> {
        let text = world.write("plain", TEXT);
        let names: Vec<_> = people.iter().map(|person| format!("{}@alpha.example", person.name)).collect();
        let mut arguments = vec!["--cipher-algo", cipher];
        names.iter().for_each(|name| arguments.extend(["--recipient", name]));
        self.run(&[&arguments[..], &["--output", "-", "--encrypt", text.to_str().unwrap()]].concat())
    }
}

impl Drop for Gpgsm {
    fn drop(&mut self) {
        let home = self.home.path();
        let _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).output();
    }
}

/// A file of the test that must be there.
pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}
