//! An authority made by openssl(1), the people it certifies, and messages between them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use keydir::Anchors;
use keydir::Answer;
use keydir::Certificate;
use mail::Address;
use mail::Message;
use mail::Spill;
use openssl::pkey::PKey;
use sealing::Binding;
use sealing::HeaderProtection;
use sealing::Layer;
use sealing::LayerKind;
use sealing::LayerState;
use sealing::Limits;
use sealing::Opened;
use sealing::smime::ContentCipher;
use sealing::smime::KeyTransport;
use sealing::smime::Keys;
use sealing::smime::Nesting;
use sealing::smime::RecipientId;
use sealing::smime::Seal;
use sealing::smime::SecretKey;
use sealing::smime::SignedForm;
use sealing::smime::Signer;
use sealing::smime::seal;

pub const ALICE: &str = "alice@alpha.example";
pub const TEXT: &str = "Hello Bob,\r\n\r\nthe vault opens at nine\r\n";
pub const DAY: i64 = 86_400;

/// Today, Unix seconds: the other programs look at the clock.
pub fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// What a certificate says.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    pub common_name: &'a str,
    /// The value of subjectAltName as openssl's configuration writes it.
    pub names: String,
    /// As `genpkey` takes it: `RSA:2048`, `EC:P-256`, `ED25519`, `X25519`.
    pub key: &'a str,
    pub usage: &'a str,
    pub days: u32,
    pub digest: &'a str,
    pub authority: bool,
    /// More lines of extensions.
    pub more: &'a str,
}

impl<'a> Draft<'a> {
    /// Somebody who signs and decrypts.
    pub fn user(address: &str, key: &'a str) -> Draft<'a> {
        let usage = match key {
            "ED25519" => "critical,digitalSignature",
            "X25519" => "critical,keyAgreement",
            "EC:P-256" => "critical,digitalSignature,keyAgreement",
            _ => "critical,digitalSignature,keyEncipherment",
        };
        Draft {
            common_name: "Test only",
            names: format!("email:{address}"),
            key,
            usage,
            days: 90,
            digest: "-sha256",
            authority: false,
            more: "",
        }
    }

    /// The signing authority of a domain (RFC 3183 section 3.1.1).
    pub fn domain(domain: &str) -> Draft<'a> {
        let draft = Draft::user(&format!("domain-signing-authority@{domain}"), "EC:P-256");
        Draft { common_name: "domain-signing-authority", usage: "critical,digitalSignature", ..draft }
    }
}

/// Somebody with a certificate: `NAME.pem` and `NAME.key` in the world's directory.
#[derive(Clone)]
pub struct Person {
    pub name: String,
    pub secret: Arc<SecretKey>,
}

impl Person {
    pub fn certificate(&self) -> &Certificate {
        self.secret.certificate()
    }
}

/// A directory with one root authority.
pub struct World {
    pub dir: tempfile::TempDir,
    /// Secret keys that we hold.
    pub ours: Vec<Person>,
    pub anchors: Arc<Anchors>,
}

impl World {
    pub fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World { dir, ours: Vec::new(), anchors: Arc::new(Anchors::none()) };
        world.root("root");
        let mut anchors = Anchors::none();
        anchors.add_anchor(world.certificate("root")).unwrap();
        world.anchors = Arc::new(anchors);
        world
    }

    /// Another root; nobody trusts it yet.
    pub fn root(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -days 3650 \
             -subj /CN={name} -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
        ));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs openssl(1) in the directory: what it printed, or what it complained about.
    pub fn try_openssl(&self, words: &str) -> Result<Vec<u8>, String> {
        let words: Vec<_> = words.split_whitespace().collect();
        let ran = Command::new("openssl").args(&words).current_dir(self.dir.path()).output().unwrap();
        match ran.status.success() {
            true => Ok(ran.stdout),
            false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
        }
    }

    #[track_caller]
    pub fn openssl(&self, words: &str) -> Vec<u8> {
        self.try_openssl(words).unwrap_or_else(|error| panic!("openssl {words}: {error}"))
    }

    pub fn certificate(&self, name: &str) -> Certificate {
        Certificate::read_all(&self.read(&format!("{name}.pem"))).unwrap().remove(0)
    }

    /// Issues a certificate to files, by the authority `issuer`.
    pub fn issue(&self, issuer: &str, name: &str, draft: &Draft<'_>) {
        let key = match draft.key.split_once(':') {
            Some(("RSA", bits)) => format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}"),
            Some(("EC", curve)) => format!("-algorithm EC -pkeyopt ec_paramgen_curve:{curve}"),
            _ => format!("-algorithm {}", draft.key),
        };
        self.openssl(&format!("genpkey {key} -out {name}.key"));
        self.openssl(&format!("pkey -in {name}.key -pubout -out {name}.pub"));
        let names =
            if draft.names.is_empty() { String::new() } else { format!("subjectAltName={}\n", draft.names) };
        let extensions = format!(
            "basicConstraints=critical,CA:{}\nkeyUsage={}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n{}{names}{}\n",
            if draft.authority { "TRUE" } else { "FALSE" },
            draft.usage,
            if draft.authority { "" } else { "extendedKeyUsage=emailProtection\n" },
            draft.more,
        );
        self.write(&format!("{name}.ext"), extensions.as_bytes());
        let subject = draft.common_name.replace(' ', "-");
        let Draft { days, digest, .. } = draft;
        self.openssl(&format!(
            "x509 -new -subj /CN={subject} -force_pubkey {name}.pub -CA {issuer}.pem -CAkey {issuer}.key -days {days} {digest} \
             -extfile {name}.ext -out {name}.pem"
        ));
    }

    /// Issues a certificate that we can read, by the root.
    pub fn person(&self, name: &str, draft: &Draft<'_>) -> Person {
        self.person_of("root", name, draft)
    }

    pub fn person_of(&self, issuer: &str, name: &str, draft: &Draft<'_>) -> Person {
        self.issue(issuer, name, draft);
        let key = PKey::private_key_from_pem(&self.read(&format!("{name}.key"))).unwrap();
        let secret = Arc::new(SecretKey::new(self.certificate(name), key).unwrap());
        Person { name: name.to_owned(), secret }
    }

    /// Revokes certificates of the root; the anchors know it.
    pub fn revoke(&mut self, names: &[&str]) {
        self.write("index.txt", b"");
        self.write(
            "ca.cnf",
            b"[ca]\ndefault_ca=r\n[r]\ndatabase=index.txt\ncertificate=root.pem\nprivate_key=root.key\ndefault_md=sha256\n\
              default_crl_days=30\n",
        );
        for name in names {
            self.openssl(&format!("ca -config ca.cnf -revoke {name}.pem -crl_reason keyCompromise"));
        }
        self.openssl("ca -config ca.cnf -gencrl -out root.crl");
        let mut anchors = Anchors::none();
        anchors.add_anchor(self.certificate("root")).unwrap();
        anchors.add_crl(&self.read("root.crl")).unwrap();
        self.anchors = Arc::new(anchors);
    }

    pub fn open(&self, message: &Message) -> Opened {
        self.open_at(message, now())
    }

    pub fn open_at(&self, message: &Message, now: i64) -> Opened {
        let keys = sealing::Keys { openpgp: &NobodysOpenpgp, smime: self };
        sealing::open(message, keys, now, &Spill::default(), &Limits::default()).unwrap()
    }

    /// The same with the keys of these people only.
    pub fn opened_by(&self, people: &[&Person], message: &Message) -> Opened {
        let keys = Holders { world: self, people };
        let keys = sealing::Keys { openpgp: &NobodysOpenpgp, smime: &keys };
        sealing::open(message, keys, now(), &Spill::default(), &Limits::default()).unwrap()
    }
}

/// What we know, with some of the secret keys.
struct Holders<'a> {
    world: &'a World,
    people: &'a [&'a Person],
}

fn held(people: &[&Person], named: &[RecipientId]) -> Answer<Vec<Arc<SecretKey>>> {
    let meant = |person: &&&Person| named.iter().any(|id| id.means(person.certificate()));
    let keys: Vec<_> = people.iter().filter(meant).map(|person| person.secret.clone()).collect();
    if keys.is_empty() { Answer::None { why: Vec::new() } } else { Answer::Found(keys) }
}

impl Keys for Holders<'_> {
    fn secrets(&self, named: &[RecipientId]) -> Answer<Vec<Arc<SecretKey>>> {
        held(self.people, named)
    }

    fn cover(&self, _: &[RecipientId]) -> Answer<()> {
        Answer::Found(())
    }

    fn anchors(&self) -> Arc<Anchors> {
        self.world.anchors.clone()
    }

    fn certificates(&self, _: &RecipientId) -> Answer<Vec<Certificate>> {
        Answer::None { why: Vec::new() }
    }

    fn assigned(&self, _: &Certificate, _: &Address) -> Answer<Binding> {
        Answer::None { why: Vec::new() }
    }
}

impl Keys for World {
    fn secrets(&self, named: &[RecipientId]) -> Answer<Vec<Arc<SecretKey>>> {
        held(&self.ours.iter().collect::<Vec<_>>(), named)
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

/// Knows no OpenPGP.
pub struct NobodysOpenpgp;

impl sealing::openpgp::Keys for NobodysOpenpgp {
    fn certificates(&self, _: &sealing::openpgp::KeyHandle) -> Answer<Vec<Arc<sealing::openpgp::Cert>>> {
        Answer::None { why: Vec::new() }
    }

    fn secrets(
        &self,
        _: Option<&sealing::openpgp::KeyHandle>,
    ) -> Answer<Vec<Arc<sealing::openpgp::SecretCert>>> {
        Answer::None { why: Vec::new() }
    }

    fn cover(&self, _: &[sealing::openpgp::KeyHandle]) -> Answer<()> {
        Answer::None { why: Vec::new() }
    }

    fn authorised(&self, _: &sealing::openpgp::Fingerprint, _: &Address) -> Answer<Binding> {
        Answer::None { why: Vec::new() }
    }
}

/// A message of Alice's with this content.
pub fn letter(content: &str) -> Message {
    Message::parse(
        format!(
            "From: Alice <{ALICE}>\r\nTo: bob@beta.example\r\nSubject: lunch\r\nMessage-ID: <1@alpha.example>\r\n\
             MIME-Version: 1.0\r\n{content}"
        )
        .as_bytes(),
    )
}

pub fn text_letter() -> Message {
    letter(&format!("Content-Type: text/plain; charset=us-ascii\r\n\r\n{TEXT}"))
}

/// A message of Alice's around a MIME entity.
pub fn around(entity: &[u8]) -> Message {
    let text = String::from_utf8_lossy(entity);
    // openssl writes MIME-Version itself, and LF between its own lines.
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    letter(text.strip_prefix("MIME-Version: 1.0\r\n").unwrap_or(&text))
}

/// The Content-* fields and the body.
pub fn entity(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in message.header().fields() {
        if field.name().to_ascii_lowercase().starts_with(b"content-") {
            bytes.extend_from_slice(field.raw());
        }
    }
    bytes.extend_from_slice(b"\r\n");
    message.body().write_to(&mut bytes).unwrap();
    bytes
}

pub fn signer<'a>(person: &'a Person, form: SignedForm) -> Signer<'a> {
    Signer {
        identity: &person.secret,
        chain: &[],
        encryption: None,
        signature_type: None,
        form,
        nesting: Nesting::Flat,
        pss: false,
    }
}

/// Seals and applies.
pub fn sealed(
    message: &Message,
    signer: Option<Signer<'_>>,
    to: &[&Person],
    cipher: ContentCipher,
    transport: KeyTransport,
) -> Message {
    let recipients: Vec<_> = to.iter().map(|person| (person.certificate().clone(), transport)).collect();
    sealed_at(message, &spec(&recipients, cipher, signer, now()))
}

pub fn spec<'a>(
    recipients: &'a [(Certificate, KeyTransport)],
    cipher: ContentCipher,
    signer: Option<Signer<'a>>,
    now: i64,
) -> Seal<'a> {
    Seal { recipients, cipher, signer, header: HeaderProtection::Off, expansion: None, whole: false, now }
}

pub fn sealed_at(message: &Message, spec: &Seal<'_>) -> Message {
    let spill = Spill::default();
    let edits = seal(message, spec, &spill).unwrap();
    mail::apply(message, &edits, &spill).unwrap()
}

pub fn signed(message: &Message, person: &Person, form: SignedForm) -> Message {
    sealed(message, Some(signer(person, form)), &[], ContentCipher::Aes256Gcm, KeyTransport::Oaep)
}

pub fn encrypted(message: &Message, to: &[&Person]) -> Message {
    sealed(message, None, to, ContentCipher::Aes256Gcm, KeyTransport::Oaep)
}

/// Kinds and states of the layers, the outermost first.
pub fn states(opened: &Opened) -> Vec<(LayerKind, LayerState)> {
    opened.layers.iter().map(|layer| (layer.kind, layer.state)).collect()
}

/// The only layer.
#[track_caller]
pub fn only(opened: &Opened) -> &Layer {
    let [layer] = &opened.layers[..] else { panic!("{:?}", opened.layers) };
    layer
}

pub fn why(layer: &Layer) -> &str {
    layer.why.as_deref().unwrap_or_default()
}

pub fn text_of(message: &Message) -> String {
    String::from_utf8_lossy(&message.to_vec().unwrap()).into_owned()
}

/// What the recipient gets.
pub fn result(message: &Message, opened: &Opened) -> Message {
    opened.message.clone().unwrap_or_else(|| message.clone())
}
