//! Mailboxes at rest: what lies in them is encrypted, every byte of it, and its owner gets every byte back.

use std::fs;
use std::path::Path;

use tests::Gpg;
use tests::Mail;
use tests::OpenDkim;
use tests::Outcome;
use tests::Pki;
use tests::PostfixPlan;
use tests::Site;
use tests::SitePlan;
use tests::armored_message;
use tests::messages;
use tests::pki::Leaf;

use crate::untouched::verifies;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const CAROL: &str = "carol@beta.example";
const REQUIRED: &str = "[policy]\nat_rest = \"required\"\n";

/// Beta, whose Bob has an OpenPGP key for his mailbox and Carol an S/MIME key.
struct World {
    beta: Site,
    gpg: Gpg,
    pki: Pki,
}

impl World {
    fn new(policy: &str) -> World {
        let pki = Pki::new();
        let smime = format!("{policy}\n[smime]\nanchors = [\"{}\"]\n", pki.root().display());
        let mut beta = SitePlan::new("beta.example").policy(&smime).prepare();
        let gpg = Gpg::new();
        gpg.generate("Bob's mailbox");
        beta.gatepost.import(&["--at-rest", BOB], &gpg.certificate("Bob's mailbox"));
        let addresses = [CAROL];
        let issued = pki.issue("carol", &Leaf::user(&addresses));
        let file = issued.certificate.to_string_lossy();
        beta.gatepost.command(&["keys", "import", "--at-rest", CAROL, &file]).success();
        beta.gatepost.start();
        World { beta, gpg, pki }
    }

    fn receive(&self, recipients: &[&str], message: &[u8]) -> Outcome {
        self.beta.receive(ALICE, recipients, message)
    }

    /// What Bob's gpg makes of his mail.
    fn of_bob(&self, mail: &Mail) -> Vec<u8> {
        let opened = self.gpg.decrypt(armored_message(&mail.0).expect("armor"));
        assert!(opened.decrypted(), "{}", mail.text());
        opened.plaintext
    }

    /// What openssl makes of Carol's mail.
    fn of_carol(&self, mail: &Mail) -> Vec<u8> {
        fs::write(self.pki.path("mail"), &mail.0).unwrap();
        self.pki.openssl(&[
            "cms",
            "-decrypt",
            "-in",
            "mail",
            "-recip",
            "carol.pem",
            "-inkey",
            "carol.key",
            "-binary",
        ])
    }
}

/// The number of files below a directory, and those that hold the marker.
fn marked(directory: &Path, marker: &[u8]) -> (usize, Vec<String>) {
    let (mut count, mut hits) = (0, Vec::new());
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            let (more, below) = marked(&entry.path(), marker);
            count += more;
            hits.extend(below);
        } else {
            count += 1;
            let bytes = fs::read(entry.path()).unwrap();
            if bytes.windows(marker.len()).any(|window| window == marker) {
                hits.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    (count, hits)
}

#[test]
fn no_maildir_holds_a_word_of_it_and_both_owners_get_the_very_bytes() {
    let world = World::new(REQUIRED);
    let mut message = b"Thread-Topic: the marmoset\r\nKeywords: marmoset\r\n".to_vec();
    message.extend(messages::plain(
        ALICE,
        "all@beta.example",
        "the  marmoset is  fed",
        "a marmoset \r\n.\r\nköln\r\n",
    ));
    let outcome = world.receive(&[BOB, CAROL], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", world.beta.gatepost.log());
    let bob = world.beta.postfix.wait_mail("bob", 1).pop().unwrap();
    let carol = world.beta.postfix.wait_mail("carol", 1).pop().unwrap();
    let (files, hits) = marked(&world.beta.postfix.maildirs(), b"marmoset");
    assert!(files >= 2 && hits.is_empty(), "{files} {hits:?}");
    assert_eq!(world.of_bob(&bob), message, "{}", bob.text());
    assert_eq!(world.of_carol(&carol), message, "{}", carol.text());
    for mail in [&bob, &carol] {
        assert_eq!(mail.fields("Subject"), ["[...]"]);
        assert_eq!(mail.fields("From"), [ALICE]);
        assert_eq!(mail.fields("Date").len(), 1);
        assert_eq!(mail.fields("Message-ID").len(), 1);
    }
    assert!(carol.text().contains("application/pkcs7-mime"), "each gets a copy of its own: {}", carol.text());
    assert!(!bob.text().contains("pkcs7"), "{}", bob.text());
}

#[test]
fn the_signature_of_the_senders_domain_still_verifies_on_what_was_at_rest() {
    let world = World::new(REQUIRED);
    let dkim = OpenDkim::start("alpha.example");
    let alpha = PostfixPlan::new("alpha.example")
        .route("beta.example", world.beta.postfix.ports.inbound)
        .milter(&dkim.milter())
        .start();
    let message = messages::plain(ALICE, BOB, "signed on the road", "fed \r\n\r\n");
    let mut client = tests::SmtpClient::connect(alpha.ports.submission);
    assert!(client.send(ALICE, &[BOB, CAROL], &message).accepted());
    let bob = world.beta.postfix.wait_mail("bob", 1).pop().unwrap();
    let carol = world.beta.postfix.wait_mail("carol", 1).pop().unwrap();
    for bytes in [world.of_bob(&bob), world.of_carol(&carol)] {
        assert!(verifies(&dkim, &bytes), "{}", String::from_utf8_lossy(&bytes));
    }
    assert!(bob.fields("DKIM-Signature").is_empty(), "outside it could only fail: {}", bob.text());
}

#[test]
fn results_are_kept_inside_and_outside() {
    let policy = "[policy]\nat_rest = \"required\"\nprotect_header = \"signed\"\n";
    let world = World::new(policy);
    world.beta.gatepost.generate(&["--domain", "beta.example"]);
    let certificate = world.beta.gatepost.export(&["--domain", "beta.example"]);
    let stranger = Gpg::new();
    stranger.generate(ALICE);
    let key = stranger.import(&certificate).fingerprint_in(&certificate);
    world.beta.gatepost.import(&["--for", ALICE], &stranger.certificate(ALICE));
    let sealed =
        stranger.seal(Some(ALICE), &[&key], b"Content-Type: text/plain\r\n\r\nthe marmoset is fed\r\n");
    let outcome = world.receive(&[BOB], &messages::pgp_mime(ALICE, BOB, "readable", &sealed));
    assert!(outcome.accepted(), "{outcome:?}\n{}", world.beta.gatepost.log());
    let bob = world.beta.postfix.wait_mail("bob", 1).pop().unwrap();
    let inside = Mail(String::from_utf8(world.of_bob(&bob)).unwrap().replace("\r\n", "\n").into_bytes());
    assert_eq!(inside.body(), b"the marmoset is fed\n");
    assert_eq!(bob.fields("Subject"), ["readable"], "the policy says that it may be read");
    for name in ["Authentication-Results", "X-Gatepost-Result"] {
        assert!(!inside.fields(name).is_empty(), "{}", inside.text());
        assert_eq!(inside.fields(name), bob.fields(name));
    }
    assert!(inside.fields("Authentication-Results")[0].contains("openpgp=pass"), "{}", inside.text());
    assert!(!bob.text().contains("marmoset"), "{}", bob.text());
}

#[test]
fn without_a_key_for_the_mailbox_required_mail_is_refused() {
    let world = World::new(REQUIRED);
    let outcome =
        world.receive(&["dave@beta.example"], &messages::plain(ALICE, "dave@beta.example", "s", "b"));
    assert!(!outcome.accepted(), "{outcome:?}");
    assert!(format!("{outcome:?}").contains("550"), "{outcome:?}");
    let (_, hits) = marked(&world.beta.postfix.maildirs(), b"Subject");
    assert!(hits.is_empty(), "{hits:?}");
}

#[test]
fn nobody_encrypts_to_the_key_of_a_mailbox_at_rest() {
    let world =
        World::new("[policy]\nencrypt = \"opportunistic\"\nkeys = [\"user-openpgp\", \"user-smime\"]\n");
    let dave = "dave@beta.example";
    for (owner, mailbox) in [(BOB, "bob"), (CAROL, "carol")] {
        let message = messages::plain(dave, owner, "s", "the marmoset is fed");
        for outcome in [world.beta.submit(dave, &[owner], &message), world.receive(&[owner], &message)] {
            assert!(outcome.accepted(), "{outcome:?}");
        }
        for mail in world.beta.postfix.wait_mail(mailbox, 2) {
            assert_eq!(mail.body(), b"the marmoset is fed\n", "{}", mail.text());
        }
        let ran = world.beta.gatepost.command(&["keys", "export", owner]);
        assert_ne!(ran.code, 0, "it is nobody's to export: {ran:?}");
    }
}
