//! Mail that arrives while keys, certificates or revocations cannot be had: it is not delivered closed, and never as
//! verified.

use std::fs;
use std::fs::rename;

use tests::Mail;
use tests::SmtpClient;
use tests::free_port;
use tests::pki::Issued;
use tests::pki::Leaf;

use super::door::Stand;
use super::letter::ALICE;
use super::letter::SECRET;
use super::letter::Saw;
use super::matrix::Section;
use super::trace::Fault;
use super::world::World;
use crate::smime::people::openssl_encrypted;
use crate::smime::people::openssl_signed;
use crate::smime::revocation;
use crate::smime::revocation::Web;

const COLUMNS: [&str; 5] =
    ["Fault", "Mail", "The client saw", "What the recipient is told meanwhile", "And when it is mended"];
const EVE: &str = "eve@gamma.example";
const FETCH: &str = "revocation = \"fetch\"\nrevocation_private_hosts = true\n";

#[test]
fn mail_is_not_opened_by_halves_and_never_verified_by_guessing() {
    let mut world = World::smime(FETCH);
    let opens = world.issue("domain-confidentiality-authority", "alpha.example");
    fs::write(world.pki().path("domain.pem"), world.command(&["ca", "export", &opens]).success().stdout)
        .unwrap();
    world.issue("domain-signing-authority", "alpha.example");
    world.door.set(Stand::Open);
    world.start();
    let title = "S/MIME: keys and revocations cannot be had when mail arrives";
    let mut section = Section::new(title, &COLUMNS);
    closed(&mut world, &mut section, &opens);
    unknown(&mut world, &mut section);
    section.compare();
}

/// The key that opens it, or the store that knows which, cannot be had.
fn closed(world: &mut World, section: &mut Section, opens: &str) {
    let domain = Issued {
        certificate: world.pki().path("domain.pem"),
        key: world.pki().path("none"),
        p12: world.pki().path("none"),
    };
    let text = format!("Content-Type: text/plain\r\n\r\n{SECRET}\r\n");
    let sealed = openssl_encrypted(world.pki(), &domain, "-aes-256-gcm", EVE, ALICE, text.as_bytes());
    let key = world.key_file(opens);
    let away = world.state("away");
    for (name, path) in
        [("the directory of secret keys is gone", world.state("secrets")), ("the key's file is gone", key)]
    {
        rename(&path, &away).unwrap();
        row(world, section, name, "encrypted to us", &sealed, |_| rename(&away, &path).unwrap());
    }
    let key = world.key_file(opens);
    let good = fs::read(&key).unwrap();
    fs::write(&key, vec![0x5a; good.len()]).unwrap();
    row(world, section, "the key's file is damaged", "encrypted to us", &sealed, |_| {
        fs::write(&key, &good).unwrap()
    });
    let files = vec![world.state("certificates.db"), world.state("certificates.db-wal")];
    let fault = Fault { calls: "pread64", paths: files, injection: "error=EIO" };
    let addresses = [EVE];
    let eve = world.pki().issue("eve", &Leaf::user(&addresses));
    let signed = openssl_signed(world.pki(), &eve, EVE, ALICE, SECRET);
    for (kind, mail) in [("encrypted to us", &sealed), ("signed", &signed)] {
        world.issue("user-sign", &format!("{}@alpha.example", kind.len()));
        let trace = world.inject(&fault);
        row(world, section, "the certificate store cannot be read (EIO)", kind, mail, |_| drop(trace));
    }
}

/// Whether the signer's certificate was revoked cannot be told.
fn unknown(world: &mut World, section: &mut Section) {
    let other = tests::Pki::new();
    let stale =
        ["ca", "-config", "ca.cnf", "-gencrl", "-out", "old.crl", "-crl_lastupdate", "20250101000000Z"];
    let old = [&stale[..], &["-crl_nextupdate", "20250102000000Z"]].concat();
    world.pki().openssl(&old);
    let old = world.pki().openssl(&["crl", "-in", "old.crl", "-outform", "DER"]);
    for (name, stem, served) in [
        ("the signer's revocation list does not come", "silent", None),
        ("in its place comes one that is out of date", "stale", Some(old)),
        ("in its place comes one of another authority", "foreign", Some(revocation::list(&other))),
        ("in its place comes something else", "junk", Some(b"<html>It works!</html>".to_vec())),
    ] {
        let web = Web::start();
        if let Some(served) = served {
            web.serve(served);
        }
        let signed = signed_by(world, stem, &web.extension());
        row(world, section, name, "signed", &signed, |world| {
            web.serve(revocation::list(world.pki()));
            // A source that failed rests for a while; a new process knows nothing of it.
            world.start();
        });
    }
    let port = free_port();
    let signed = signed_by(world, "asked", &format!("authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/"));
    let mut responder = None;
    row(world, section, "the signer's OCSP responder is down", "signed", &signed, |world| {
        responder = Some(revocation::responder(world.pki(), port));
        world.start();
    });
}

fn signed_by(world: &World, stem: &str, extensions: &str) -> Vec<u8> {
    let addresses = [EVE];
    let who = world.pki().issue(stem, &Leaf { name: stem, extensions, ..Leaf::user(&addresses) });
    world.pki().record(&who);
    openssl_signed(world.pki(), &who, EVE, ALICE, SECRET)
}

/// A mail comes during a fault, and once more when it is mended.
fn row(
    world: &mut World,
    section: &mut Section,
    name: &str,
    kind: &str,
    mail: &[u8],
    mend: impl FnOnce(&mut World),
) {
    let (saw, meanwhile) = arrive(world, mail);
    if let Some(mail) = &meanwhile {
        assert!(!told(mail).contains("smime=pass"), "{name}: {mail:?}");
        assert!(kind == "signed" || mail.text().contains(SECRET), "{name}: delivered closed: {mail:?}");
    }
    mend(world);
    let (again, after) = arrive(world, mail);
    assert!(again.accepted, "{name}: {again:?}\n{}", world.log());
    let after = after.unwrap();
    assert!(after.text().contains(SECRET), "{name}: {after:?}\n{}", world.log());
    let meanwhile = meanwhile.as_ref().map_or("nothing: it has not arrived".to_owned(), told);
    section.row(&[name, kind, &saw.text, &meanwhile, &told(&after)]);
}

/// Sends a mail once; what its client sees, and what is in the mailbox then.
fn arrive(world: &World, mail: &[u8]) -> (Saw, Option<Mail>) {
    let before = world.postfix.mailbox("alice").len();
    let outcome = SmtpClient::connect(world.postfix.ports.inbound).send(EVE, &[ALICE], mail);
    if outcome.accepted() {
        let saw = Saw { accepted: true, again: false, text: "250".to_owned() };
        return (saw, world.postfix.wait_mail("alice", before + 1).pop());
    }
    let place =
        if outcome.rcpt.iter().any(|reply| !reply.is_positive()) { "to RCPT" } else { "to the message" };
    let saw = Saw::refused(&outcome.end, place);
    assert!(saw.again, "refused for good: {outcome:?}");
    world.wait_idle();
    assert_eq!(world.postfix.mailbox("alice").len(), before, "refused, and delivered all the same");
    (saw, None)
}

/// The results that our gateway put on top.
fn told(mail: &Mail) -> String {
    let fields = [mail.fields("Authentication-Results"), mail.fields("X-Gatepost-Result")].concat();
    let words = fields.iter().flat_map(|field| field.split([';', ' ']));
    let results: Vec<&str> = words
        .map(str::trim)
        .filter(|word| word.starts_with("smime=") || word.starts_with("decrypted="))
        .collect();
    if results.is_empty() { "no result".to_owned() } else { results.join(", ") }
}
