//! The order of keys, and keys that read along.

use tests::Gpg;
use tests::Pki;
use tests::Site;
use tests::SitePlan;
use tests::SmtpSink;
use tests::armored_message;
use tests::messages;
use tests::pki::Issued;
use tests::pki::Leaf;

use super::people::{decrypt, find, fingerprint};

const ALICE: &str = "alice@alpha.example";
const TEXT: &str = "the vault opens at nine\r\n";

fn issue(pki: &Pki, stem: &str, address: &str) -> Issued {
    let addresses = [address];
    pki.issue(stem, &Leaf::user(&addresses))
}

fn take(alpha: &Site, issued: &Issued, words: &[&str]) {
    let certificate = issued.certificate.to_string_lossy();
    alpha.gatepost.command(&[&["keys", "import", &certificate], words].concat()).success();
}

/// One recipient for each kind of key: each has what the kinds after it need, too.
#[test]
fn each_kind_of_key_falls_to_the_next_and_each_recipient_gets_what_it_can_open() {
    let pki = Pki::new();
    let sink = SmtpSink::start();
    let keys = "keys = [\"user-smime\", \"user-openpgp\", \"domain-smime\", \"domain-openpgp\", \"password-message\"]";
    let password = pki.path("shared-secret");
    std::fs::write(&password, "correct horse battery staple\n").unwrap();
    let policy = format!(
        "[policy]\nencrypt = \"required\"\n{keys}\npassword = \"file:{}\"\n[smime]\nanchors = [\"{}\"]\n",
        password.display(),
        pki.root().display()
    );
    let mut plan = SitePlan::new("alpha.example").policy(&policy);
    for domain in ["one.example", "two.example", "three.example", "four.example", "five.example"] {
        plan = plan.route(domain, sink.port());
    }
    let alpha = plan.start();
    let gpg = Gpg::new();
    let domain_key = |domain: &str| {
        let authority = format!("domain-confidentiality-authority@{domain}");
        let addresses = [authority.as_str()];
        let name = "domain-confidentiality-authority";
        pki.issue(domain, &Leaf { name, usage: "critical,keyEncipherment", ..Leaf::user(&addresses) })
    };
    let user = issue(&pki, "u", "u@one.example");
    take(&alpha, &user, &[]);
    for address in ["u@one.example", "u@two.example"] {
        gpg.generate(address);
        alpha.gatepost.import(&["--for", address], &gpg.certificate(address));
    }
    let third = domain_key("three.example");
    let first = domain_key("one.example");
    for issued in [&first, &domain_key("two.example"), &third] {
        take(&alpha, issued, &[]);
    }
    for domain in ["one.example", "two.example", "three.example", "four.example"] {
        let address = format!("gate@{domain}");
        gpg.generate(&address);
        alpha.gatepost.import(&["--domain", domain], &gpg.certificate(&address));
    }

    let all = ["u@one.example", "u@two.example", "u@three.example", "u@four.example", "u@five.example"];
    let message = messages::plain(ALICE, &all.join(", "), "offer", TEXT);
    let outcome = alpha.submit(ALICE, &all, &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    // One copy for each standard, encrypted to the keys of its recipients, and one behind the password.
    let received = sink.wait(3);
    assert_eq!(received.len(), 3, "{received:?}");
    let to = |address: &str| {
        let mut theirs = received.iter().filter(|one| one.to.iter().any(|to| to == address));
        let one = theirs.next().unwrap_or_else(|| panic!("nothing for {address}: {received:?}"));
        assert!(theirs.next().is_none());
        assert!(!find(&one.data, b"vault"), "{address}");
        one.data.clone()
    };
    let sealed = to(all[0]);
    assert_eq!(sealed, to(all[2]));
    for reader in [&user, &third] {
        assert!(find(&decrypt(&pki, reader, &sealed).unwrap(), b"the vault opens at nine"));
    }
    assert!(decrypt(&pki, &first, &sealed).is_err(), "u@one.example has a certificate of its own");
    let sealed = to(all[1]);
    assert_eq!(sealed, to(all[3]));
    let opened = gpg.decrypt(armored_message(&sealed).unwrap());
    let mut keys = opened.encrypted_to();
    keys.sort_unstable();
    let mut expected = [gpg.encryption_key("u@two.example"), gpg.encryption_key("gate@four.example")];
    expected.sort();
    assert_eq!(keys, expected, "{opened:?}");
    assert!(find(&opened.plaintext, b"the vault opens at nine"));
    assert!(find(&to(all[4]), b"BEGIN PGP MESSAGE"), "{}", String::from_utf8_lossy(&to(all[4])));
}

/// Bob has a certificate of S/MIME, Carol one of OpenPGP; the archive reads both.
#[test]
fn a_key_that_reads_along_can_and_is_named_to_everybody_and_in_the_record() {
    let pki = Pki::new();
    let sink = SmtpSink::start();
    let policy = format!(
        "[policy]\nencrypt = \"required\"\nadditional_keys = [\"archive@alpha.example\"]\n[smime]\nanchors = [\"{}\"]\n",
        pki.root().display()
    );
    let alpha = SitePlan::new("alpha.example").policy(&policy).route("beta.example", sink.port()).start();
    let gpg = Gpg::new();
    let bob = issue(&pki, "bob", "bob@beta.example");
    take(&alpha, &bob, &[]);
    gpg.generate("carol@beta.example");
    alpha.gatepost.import(&["--for", "carol@beta.example"], &gpg.certificate("carol@beta.example"));
    let send = |to: &str| alpha.submit(ALICE, &[to], &messages::plain(ALICE, to, "offer", TEXT));

    // The certificate that must read along is missing: nothing leaves that it could not read.
    for to in ["bob@beta.example", "carol@beta.example"] {
        let outcome = send(to);
        assert_eq!((outcome.end.code, outcome.end.enhanced()), (451, Some("4.7.5")), "{outcome:?}");
        assert!(outcome.end.text().contains("archive@alpha.example"), "{outcome:?}");
    }
    assert_eq!(sink.received(), []);

    let archive = issue(&pki, "archive", "archive@alpha.example");
    take(&alpha, &archive, &[]);
    let archive_pgp = gpg.generate("archive@alpha.example");
    alpha.gatepost.import(&["--for", "archive@alpha.example"], &gpg.certificate("archive@alpha.example"));
    for (to, named) in
        [("bob@beta.example", fingerprint(&pki, &archive)), ("carol@beta.example", archive_pgp)]
    {
        let before = sink.received().len();
        let outcome = send(to);
        let id = outcome.queue_id();
        let data = sink.wait(before + 1).pop().unwrap().data;
        let text = String::from_utf8_lossy(&data).into_owned();
        assert!(text.contains(&format!("X-Gatepost-Result: additional-decryption-key={named}")), "{text}");
        let record = alpha.gatepost.notary(&id).to_string();
        assert!(record.contains(&named), "{record}");
        let read = match to {
            "bob@beta.example" => {
                assert!(find(&decrypt(&pki, &bob, &data).unwrap(), b"vault"));
                decrypt(&pki, &archive, &data).unwrap()
            }
            _ => {
                let opened = gpg.decrypt(armored_message(&data).unwrap());
                assert_eq!(opened.encrypted_to().len(), 2, "{opened:?}");
                opened.plaintext
            }
        };
        assert!(find(&read, b"the vault opens at nine"));
    }
}
