//! Disclaimers: under mail that leaves, before it is sealed, beside what a user signed, and once in a thread.

use tests::Gpg;
use tests::Mail;
use tests::Site;
use tests::SitePlan;
use tests::SmtpTap;
use tests::free_port;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const TEXT: &str = "Alpha GmbH, Köln: not for everybody.";
const POLICY: &str = "[policy]\ndisclaimer = \"short\"\n\
    [disclaimer.\"short\"]\ntext = \"Alpha GmbH, Köln: not for everybody.\"\nhtml = \"<p><b>Alpha GmbH</b>, Köln</p>\"\n";

struct World {
    alpha: Site,
    beta: Site,
    tap: SmtpTap,
    delivered: usize,
}

impl World {
    fn new(policy: &str) -> World {
        let beta = SitePlan::new("beta.example");
        let tap = SmtpTap::start(free_port(), beta.inbound());
        let policy = POLICY.replacen("[policy]\n", &format!("[policy]\n{policy}"), 1);
        let alpha = SitePlan::new("alpha.example").policy(&policy).route("beta.example", tap.port());
        let (mut alpha, mut beta) = (alpha.prepare(), beta.prepare());
        for (site, other) in [(&alpha, &beta), (&beta, &alpha)] {
            site.gatepost.generate(&["--domain", &site.postfix.domain]);
            site.give_domain_certificate(other);
        }
        alpha.gatepost.start();
        beta.gatepost.start();
        World { alpha, beta, tap, delivered: 0 }
    }

    fn send(&mut self, message: &[u8]) -> Mail {
        let outcome = self.alpha.submit(ALICE, &[BOB], message);
        assert!(outcome.accepted(), "{outcome:?}\n{}", self.alpha.gatepost.log());
        self.delivered += 1;
        self.beta.postfix.wait_mail("bob", self.delivered).pop().unwrap()
    }
}

#[test]
fn it_stands_under_the_text_of_mail_that_leaves_and_once_in_a_thread() {
    let mut world = World::new("encrypt = \"never\"\n");
    let mail = world.send(&messages::plain(ALICE, BOB, "offer", "nine o'clök\n"));
    assert_eq!(String::from_utf8_lossy(mail.body()), format!("nine o'clök\n\n{TEXT}\n"), "{}", mail.text());
    let quoted: String =
        String::from_utf8_lossy(mail.body()).lines().map(|line| format!("> {line}\n")).collect();
    let reply = messages::plain(ALICE, BOB, "Re: offer", &format!("fine\n\n{quoted}"));
    assert_eq!(world.send(&reply).as_sent(2), reply, "not a byte is added");
    let outcome = world.alpha.submit(
        ALICE,
        &["carol@alpha.example"],
        &messages::plain(ALICE, "carol@alpha.example", "s", "b"),
    );
    assert!(outcome.accepted(), "{outcome:?}");
    let inside = world.alpha.postfix.wait_mail("carol", 1).pop().unwrap();
    assert_eq!(inside.body(), b"b\n", "mail that stays has none");
}

#[test]
fn html_gets_its_own_form() {
    let mut world = World::new("");
    let message = messages::crlf(
        "From: alice@alpha.example\nTo: bob@beta.example\nSubject: s\nMIME-Version: 1.0\n\
         Content-Type: multipart/alternative; boundary=a\n\n--a\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: quoted-printable\n\nhi\n--a\nContent-Type: text/html; charset=utf-8\n\n\
         <html><body>hi</body></html>\n--a--\n",
    );
    let text = world.send(&message).text();
    assert!(text.contains("hi\n\nAlpha GmbH, K=C3=B6ln: not for everybody.\n"), "{text}");
    assert!(text.contains("hi\n<p><b>Alpha GmbH</b>, K&#246;ln</p>\n</body>"), "{text}");
}

#[test]
fn sealed_mail_has_it_inside() {
    let mut world = World::new("sign = \"always\"\nencrypt = \"required\"\n");
    let mail = world.send(&messages::plain(ALICE, BOB, "offer", "nine\n"));
    assert!(
        mail.text().contains("=C3=B6ln: not for everybody.\n") || mail.text().contains(TEXT),
        "{}",
        mail.text()
    );
    assert!(mail.fields("Authentication-Results")[0].contains("openpgp=pass"), "{}", mail.text());
    assert!(!String::from_utf8_lossy(&world.tap.bytes()).contains("not for everybody"));
}

#[test]
fn what_a_user_signed_keeps_its_bytes_and_what_is_encrypted_has_none() {
    let mut world = World::new("");
    let gpg = Gpg::new();
    let key = gpg.generate(ALICE);
    let part = "Content-Type: text/plain\r\n\r\nnine o'clock\r\n";
    let signature =
        gpg.run(&["--armor", "--local-user", &key, "--detach-sign"], part.as_bytes()).success().text();
    let signed = messages::crlf(&format!(
        "From: {ALICE}\nTo: {BOB}\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/signed; micalg=pgp-sha512;\n \
         protocol=\"application/pgp-signature\"; boundary=s\n\n--s\n{part}\n--s\n\
         Content-Type: application/pgp-signature\n\n{signature}\n--s--\n"
    ));
    let mail = world.send(&signed);
    let text = mail.text();
    assert!(text.contains("multipart/mixed") && text.contains("K=C3=B6ln: not for everybody."), "{text}");
    let inner = text.replace('\n', "\r\n");
    let inner = inner.split("--s\r\n").nth(1).unwrap().strip_suffix("\r\n").unwrap();
    let verified = gpg.verify(signature.as_bytes(), inner.as_bytes());
    assert_eq!(verified.valid_signer(), Some(key.as_str()), "{text}");

    gpg.generate("bob@private.example");
    let sealed = gpg.seal(None, &["bob@private.example"], part.as_bytes());
    let private = messages::pgp_mime(ALICE, BOB, "private", &sealed);
    assert_eq!(world.send(&private).as_sent(2), private);
}
