//! Every form against `openssl cms`, `openssl smime` and gpgsm, in both directions, as whole messages.

use std::fmt::Write as _;

use mail::Message;
use mail::Spill;
use sealing::LayerKind::Encrypted;
use sealing::LayerKind::Signed;
use sealing::LayerState::Opened;
use sealing::LayerState::Valid;
use sealing::smime::ContentCipher;
use sealing::smime::KeyTransport;
use sealing::smime::SignedForm;
use sealing::smime::Signer;

use crate::gpgsm::Gpgsm;
use crate::world::*;

const KINDS: [&str; 5] = ["RSA:2048", "RSA:3072", "RSA:4096", "EC:P-256", "ED25519"];

/// A cell of the matrix.
#[derive(Clone, Copy, Debug)]
struct Cell {
    kind: &'static str,
    form: SignedForm,
    cipher: ContentCipher,
    transport: KeyTransport,
    recipients: usize,
}

impl Cell {
    fn all() -> Vec<Cell> {
        let mut cells = Vec::new();
        for kind in KINDS {
            for form in [SignedForm::Clear, SignedForm::Opaque] {
                for cipher in [ContentCipher::Aes256Gcm, ContentCipher::Aes256Cbc] {
                    for transport in [KeyTransport::Pkcs1v15, KeyTransport::Oaep] {
                        for recipients in [1, 3] {
                            cells.push(Cell { kind, form, cipher, transport, recipients });
                        }
                    }
                }
            }
        }
        cells
    }

    fn is_rsa(self) -> bool {
        self.kind.starts_with("RSA")
    }

    /// OpenSSL 3.0 has both algorithms, but not in CMS: it makes no EnvelopedData with X25519, and for Ed25519 it
    /// signs and verifies no attributes ("invalid digest").
    fn openssl_supports(self) -> Result<(), &'static str> {
        match self.kind == "ED25519" {
            true => Err("openssl 3.0 has neither Ed25519 nor X25519 in CMS"),
            false => Ok(()),
        }
    }

    /// gpgsm 2.2 opens CBC with RSA and PKCS #1 v1.5 only.
    fn gpgsm_supports(self) -> Result<(), &'static str> {
        if self.cipher == ContentCipher::Aes256Gcm {
            Err("gpgsm 2.2 has no AuthEnvelopedData")
        } else if !self.is_rsa() {
            Err("gpgsm 2.2 has no key agreement that others share")
        } else if self.transport == KeyTransport::Oaep {
            Err("gpgsm 2.2 has no RSA-OAEP")
        } else {
            Ok(())
        }
    }

    fn row(self, columns: [&str; 5]) -> String {
        let form = if self.form == SignedForm::Clear { "clear" } else { "opaque" };
        let cipher = if self.cipher == ContentCipher::Aes256Gcm { "GCM" } else { "CBC" };
        let transport = if self.transport == KeyTransport::Oaep { "OAEP" } else { "v1.5" };
        let kind = if self.kind == "ED25519" { "Ed25519/X25519" } else { self.kind };
        let [ours, by_openssl, by_gpgsm, from_openssl, from_gpgsm] = columns;
        format!(
            "{kind:<15}{form:<7}{cipher:<4}{transport:<5}{:<2}| {ours:<4}{by_openssl:<8}{by_gpgsm:<6}| {from_openssl:<8}{from_gpgsm}",
            self.recipients
        )
    }
}

/// Alice with one kind of key, and two more who read her mail.
struct Cast {
    signer: Person,
    reader: Person,
    others: [Person; 2],
}

impl Cast {
    fn new(world: &World, kind: &'static str) -> Cast {
        let name = kind.replace(':', "");
        let signer = world.person(&format!("alice-{name}"), &Draft::user(ALICE, kind));
        let reader = match kind {
            "ED25519" => world.person("alice-X25519", &Draft::user(ALICE, "X25519")),
            _ => signer.clone(),
        };
        let other = |who: &str, key| {
            world.person(&format!("{who}-{name}"), &Draft::user(&format!("{who}@beta.example"), key))
        };
        Cast { signer, reader, others: [other("bob", "RSA:2048"), other("carol", "RSA:2048")] }
    }

    fn readers(&self, cell: Cell) -> Vec<&Person> {
        let all = [&self.reader, &self.others[0], &self.others[1]];
        all[..cell.recipients].to_vec()
    }

    /// Somebody among the readers whose key openssl can use, if there is one.
    fn for_openssl(&self, cell: Cell) -> &Person {
        if cell.kind == "ED25519" && cell.recipients == 3 { &self.others[0] } else { &self.reader }
    }
}

#[test]
fn every_cell_is_opened_by_us_and_by_the_others_and_theirs_by_us() {
    let world = World::new();
    let gpgsm = Gpgsm::new(&world);
    let mut table = String::from("key            form   cip. pad. n | us  openssl gpgsm | openssl gpgsm\n");
    let mut cast = None;
    let mut wrong = Vec::new();
    for cell in Cell::all() {
        if cast.as_ref().is_none_or(|(kind, _)| *kind != cell.kind) {
            let made = Cast::new(&world, cell.kind);
            if cell.is_rsa() {
                gpgsm.import(&world, &made.signer);
                made.others.iter().for_each(|other| gpgsm.import_certificate(&world, other));
            }
            cast = Some((cell.kind, made));
        }
        let (_, cast) = cast.as_ref().unwrap();
        let message = sealed(
            &text_letter(),
            Some(signer(&cast.signer, cell.form)),
            &cast.readers(cell),
            cell.cipher,
            cell.transport,
        );
        let ours = opened_by_each_of_us(&world, cast, cell, &message);
        let by_openssl = opened_by_openssl(&world, cast, cell, &message);
        let by_gpgsm = gpgsm.opens(&world, &message);
        let from_openssl = made_by_openssl(&world, cast, cell);
        let from_gpgsm = made_by_gpgsm(&world, &gpgsm, cast, cell);
        let mark = |told: &Result<(), String>| if told.is_ok() { "ok" } else { "-" };
        let columns = [&ours, &by_openssl, &by_gpgsm, &from_openssl, &from_gpgsm].map(mark);
        let _ = writeln!(table, "{}", cell.row(columns));
        let (openssl, sm) = (cell.openssl_supports().is_ok(), cell.gpgsm_supports().is_ok());
        for (what, told, expected) in [
            ("we open ours", &ours, true),
            ("openssl opens ours", &by_openssl, openssl),
            ("gpgsm opens ours", &by_gpgsm, sm),
            ("we open openssl's", &from_openssl, openssl),
            ("we open gpgsm's", &from_gpgsm, sm),
        ] {
            if told.is_ok() != expected {
                wrong.push(format!("{cell:?}: {what}: {told:?}"));
            }
        }
    }
    for cell in Cell::all() {
        for why in [cell.openssl_supports(), cell.gpgsm_supports()].into_iter().filter_map(Result::err) {
            if !table.contains(why) {
                let _ = writeln!(table, "{why}");
            }
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn opened_by_each_of_us(world: &World, cast: &Cast, cell: Cell, message: &Message) -> Result<(), String> {
    for reader in cast.readers(cell) {
        let opened = world.opened_by(&[reader], message);
        if states(&opened) != [(Encrypted, Opened), (Signed, Valid)] {
            return Err(format!("{:?}", opened.layers));
        }
        if opened.layers[0].malleable != (cell.cipher == ContentCipher::Aes256Cbc) {
            return Err("malleable".to_owned());
        }
        // The author's own signature stays where everybody can read it.
        let result = opened.message.unwrap();
        let content = String::from_utf8(entity(&text_letter())).unwrap();
        let same = match cell.form {
            SignedForm::Clear => text_of(&result).contains(&format!("\r\n{content}\r\n--")),
            SignedForm::Opaque => entity(&result) == content.as_bytes(),
        };
        if !same {
            return Err(text_of(&result));
        }
    }
    Ok(())
}

fn opened_by_openssl(world: &World, cast: &Cast, cell: Cell, message: &Message) -> Result<(), String> {
    world.write("ours.eml", &message.to_vec().unwrap());
    let name = &cast.for_openssl(cell).name;
    world.try_openssl(&format!(
        "cms -decrypt -in ours.eml -recip {name}.pem -inkey {name}.key -out inner.eml"
    ))?;
    world.try_openssl("cms -verify -in inner.eml -CAfile root.pem -purpose smimesign -out plain.eml")?;
    let plain = String::from_utf8(world.read("plain.eml")).unwrap();
    match plain.as_bytes() == entity(&text_letter()) {
        true => Ok(()),
        false => Err(plain),
    }
}

/// A whole message of openssl's, with its header.
fn made_by_openssl(world: &World, cast: &Cast, cell: Cell) -> Result<(), String> {
    world.write("plain.txt", &entity(&text_letter()));
    let name = &cast.signer.name;
    let form = if cell.form == SignedForm::Opaque { "-nodetach" } else { "" };
    world.try_openssl(&format!(
        "cms -sign {form} -in plain.txt -signer {name}.pem -inkey {name}.key -out signed.eml {}",
        if cell.kind == "ED25519" { "-md sha512" } else { "" }
    ))?;
    let cipher = if cell.cipher == ContentCipher::Aes256Gcm { "-aes-256-gcm" } else { "-aes-256-cbc" };
    let mut command = format!(
        "cms -encrypt {cipher} -in signed.eml -out theirs.eml -from {ALICE} -to bob@beta.example -subject lunch"
    );
    for reader in cast.readers(cell) {
        let _ = write!(command, " -recip {}.pem", reader.name);
        let rsa = matches!(reader.certificate().public_key(), keydir::PublicKey::Rsa(_));
        if rsa && cell.transport == KeyTransport::Oaep {
            command.push_str(" -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256");
        }
    }
    world.try_openssl(&command)?;
    let message = Message::parse(
        &String::from_utf8(world.read("theirs.eml")).unwrap().replace('\n', "\r\n").into_bytes(),
    );
    opened_from(world, cast.for_openssl(cell), &message)
}

/// The text of a message that others sealed.
fn opened_from(world: &World, reader: &Person, message: &Message) -> Result<(), String> {
    let opened = world.opened_by(&[reader], message);
    let result = opened.message.as_ref().map(text_of).unwrap_or_default();
    match states(&opened) == [(Encrypted, Opened), (Signed, Valid)]
        && result.contains("the vault opens at nine")
    {
        true => Ok(()),
        false => Err(format!("{:?}\n{result}", opened.layers)),
    }
}

/// gpgsm makes CMS objects only; the MIME around them is its mail client's, here ours.
fn made_by_gpgsm(world: &World, gpgsm: &Gpgsm, cast: &Cast, cell: Cell) -> Result<(), String> {
    cell.gpgsm_supports()?;
    let content = entity(&text_letter());
    let signed = match cell.form {
        SignedForm::Opaque => cms_part("signed-data", &gpgsm.sign(&cast.signer, &content, &[])),
        SignedForm::Clear => {
            multipart_signed(&content, &gpgsm.sign(&cast.signer, &content, &["--detach-sign"]))
        }
    };
    let readers = cast.readers(cell);
    let sealed = gpgsm.encrypt(world, &readers, &signed)?;
    let message = around(&cms_part("enveloped-data", &sealed));
    readers.iter().try_for_each(|reader| opened_from(world, reader, &message))
}

/// An application/pkcs7-mime entity (RFC 8551 section 3.2).
pub fn cms_part(kind: &str, object: &[u8]) -> Vec<u8> {
    let head = format!(
        "Content-Type: application/pkcs7-mime; smime-type={kind}; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    );
    [head.as_bytes(), &base64(object)].concat()
}

/// multipart/signed (RFC 8551 section 3.5.3).
pub fn multipart_signed(content: &[u8], signature: &[u8]) -> Vec<u8> {
    [
        b"Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=sig\r\n\r\n--sig\r\n",
        content,
        b"\r\n--sig\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        &base64(signature),
        b"\r\n--sig--\r\n",
    ]
    .concat()
}

pub fn base64(bytes: &[u8]) -> Vec<u8> {
    let text = openssl::base64::encode_block(bytes);
    text.as_bytes().chunks(76).flat_map(|line| [line, b"\r\n"].concat()).collect()
}

/// The CMS object of an application/pkcs7-mime message.
pub fn object_of(message: &Message) -> Vec<u8> {
    message.entity().decoded(&Spill::default()).unwrap().to_vec().unwrap()
}

/// RFC 4056: a choice for RSA keys only.
#[test]
fn rsa_pss_is_signed_when_asked_and_openssl_verifies_it() {
    let world = World::new();
    let pss = "1.2.840.113549.1.1.10";
    for (name, key, asked, signed) in [
        ("rsa", "RSA:3072", true, true),
        ("pkcs1", "RSA:2048", false, false),
        ("ec", "EC:P-256", true, false),
        ("edwards", "ED25519", true, false),
    ] {
        let alice = world.person(name, &Draft::user(ALICE, key));
        for form in [SignedForm::Clear, SignedForm::Opaque] {
            let who = Signer { pss: asked, ..signer(&alice, form) };
            let message = sealed_at(&text_letter(), &spec(&[], ContentCipher::Aes256Gcm, Some(who), now()));
            assert_eq!(only(&world.open(&message)).state, Valid, "{name} {form:?}");
            world.write("signed.eml", &message.to_vec().unwrap());
            let printed = world.openssl("cms -cmsout -print -noout -in signed.eml");
            let printed = String::from_utf8_lossy(&printed).into_owned();
            assert_eq!(printed.contains(pss), signed, "{name} {form:?}: {printed}");
            // openssl 3.0 does not check Ed25519 with signed attributes.
            if key != "ED25519" {
                world.openssl("cms -verify -in signed.eml -CAfile root.pem -out verified.txt");
                assert!(String::from_utf8_lossy(&world.read("verified.txt")).contains("the vault opens"));
            }
        }
    }
}

#[test]
fn what_openssl_smime_makes_is_opened() {
    let world = World::new();
    let alice = world.person("alice", &Draft::user(ALICE, "RSA:2048"));
    world.write("plain.txt", &entity(&text_letter()));
    for form in ["", "-nodetach"] {
        world.openssl(&format!(
            "smime -sign {form} -in plain.txt -signer alice.pem -inkey alice.key -out signed.eml"
        ));
        for cipher in ["-aes256", "-aes128", "-des3"] {
            world.openssl(&format!(
                "smime -encrypt {cipher} -in signed.eml -from {ALICE} -out theirs.eml alice.pem"
            ));
            let text = String::from_utf8(world.read("theirs.eml")).unwrap().replace('\n', "\r\n");
            assert_eq!(opened_from(&world, &alice, &Message::parse(text.as_bytes())), Ok(()));
        }
    }
}
