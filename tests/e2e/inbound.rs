//! Mail that arrives: opened when it is for us, believed only as far as it was checked, else untouched.

use tests::Gpg;
use tests::Mail;
use tests::Site;
use tests::SitePlan;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const INSIDE: &[u8] = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nthe vault opens at nine\r\n";

/// Beta's site with a domain key, and Alice's gpg, which has beta's certificate; and its fingerprint.
fn world() -> (Site, Gpg, String) {
    let mut beta = SitePlan::new("beta.example").prepare();
    beta.gatepost.generate(&["--domain", "beta.example"]);
    let certificate = beta.gatepost.export(&["--domain", "beta.example"]);
    let gpg = Gpg::new();
    gpg.generate(ALICE);
    let domain_key = gpg.import(&certificate).fingerprint_in(&certificate);
    beta.gatepost.import(&["--for", ALICE], &gpg.certificate(ALICE));
    beta.gatepost.start();
    (beta, gpg, domain_key)
}

fn deliver(beta: &Site, from: &str, message: &[u8]) -> Mail {
    let before = beta.postfix.mailbox("bob").len();
    let outcome = beta.receive(from, &[BOB], message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", beta.gatepost.log());
    beta.postfix.wait_mail("bob", before + 1).pop().unwrap()
}

#[test]
fn mail_sealed_by_gpg_to_the_domain_is_opened_and_verified() {
    let (beta, gpg, domain_key) = world();
    let sealed = gpg.seal(Some(ALICE), &[&domain_key], INSIDE);
    let mail = deliver(&beta, ALICE, &messages::pgp_mime(ALICE, BOB, "news", &sealed));
    assert_eq!(mail.body(), b"the vault opens at nine\n", "{mail:?}");
    assert_eq!(mail.fields("Content-Type"), ["text/plain; charset=us-ascii"]);
    assert_eq!(mail.field("Subject").as_deref(), Some("news"));
    let results = mail.fields("Authentication-Results");
    assert_eq!(results.len(), 1, "{results:?}");
    assert!(results[0].starts_with("mx.beta.example;"), "{results:?}");
    assert!(results[0].contains("openpgp=pass") && results[0].contains(ALICE), "{results:?}");
    beta.gatepost.wait_log(&["direction=inbound", "scheme=openpgp", "verdict=continue"]);
}

#[test]
fn a_signature_by_somebody_else_than_the_author_does_not_pass() {
    let (beta, gpg, domain_key) = world();
    gpg.generate("mallory@alpha.example");
    let key = gpg.certificate("mallory@alpha.example");
    beta.gatepost.import(&["--for", "mallory@alpha.example"], &key);
    let sealed = gpg.seal(Some("mallory@alpha.example"), &[&domain_key], INSIDE);
    let mail = deliver(&beta, ALICE, &messages::pgp_mime(ALICE, BOB, "news", &sealed));
    assert!(mail.fields("Authentication-Results").iter().all(|result| !result.contains("pass")), "{mail:?}");
}

#[test]
fn mail_caught_from_one_user_is_not_opened_for_another() {
    let (beta, gpg, _) = world();
    let carol = "carol@beta.example";
    beta.gatepost.generate(&["--user", carol]);
    let certificate = beta.gatepost.export(&[carol]);
    let key = gpg.import(&certificate).fingerprint_in(&certificate);
    let sealed = gpg.seal(Some(ALICE), &[&key], INSIDE);
    let caught = messages::pgp_mime(ALICE, carol, "news", &sealed);

    let mail = deliver(&beta, "mallory@evil.example", &caught);
    assert_eq!(mail.fields("X-Gatepost-Result"), [] as [&str; 0], "bob must not read carol's mail: {mail:?}");
    assert!(!mail.body().windows(5).any(|window| window == b"vault"), "{mail:?}");

    let outcome = beta.receive("mallory@evil.example", &[carol, BOB], &caught);
    assert!(outcome.accepted(), "{outcome:?}");
    let mail = beta.postfix.wait_mail("bob", 2).pop().unwrap();
    assert!(!mail.body().windows(5).any(|window| window == b"vault"), "nor beside her: {mail:?}");

    let mine = beta.receive(ALICE, &[carol], &caught);
    assert!(mine.accepted(), "{mine:?}");
    let mail = beta.postfix.wait_mail("carol", 2).pop().unwrap();
    assert_eq!(mail.body(), b"the vault opens at nine\n", "carol does: {mail:?}");
}

#[test]
fn a_tampered_ciphertext_is_not_opened() {
    let (beta, gpg, domain_key) = world();
    let sealed = String::from_utf8(gpg.seal(Some(ALICE), &[&domain_key], INSIDE)).unwrap();
    // One base64 character in the line before the last: inside the encrypted data.
    let lines: Vec<&str> = sealed.lines().collect();
    let at = lines.len() - 4;
    let other = if lines[at].starts_with('A') { "B" } else { "A" };
    let changed = format!("{other}{}", &lines[at][1..]);
    let tampered: Vec<&str> =
        lines.iter().enumerate().map(|(n, line)| if n == at { changed.as_str() } else { line }).collect();
    // The armor's checksum is optional (RFC 9580 section 6.1) and would give it away too early.
    let tampered: Vec<&str> = tampered.into_iter().filter(|line| !line.starts_with('=')).collect();
    let mail = deliver(&beta, ALICE, &messages::pgp_mime(ALICE, BOB, "news", tampered.join("\n").as_bytes()));
    assert!(!mail.text().contains("the vault opens"), "nothing of the plaintext is used: {mail:?}");
    assert!(mail.text().contains("multipart/encrypted"), "{mail:?}");
    assert!(mail.fields("Authentication-Results").iter().all(|result| !result.contains("pass")), "{mail:?}");
}

#[test]
fn end_to_end_mail_passes_byte_for_byte() {
    let (beta, gpg, _) = world();
    gpg.generate("bob@private.example");
    let sealed = gpg.seal(Some(ALICE), &["bob@private.example"], INSIDE);
    let message = messages::pgp_mime(ALICE, BOB, "private", &sealed);
    assert_eq!(deliver(&beta, ALICE, &message).as_sent(1), message);
}

#[test]
fn results_forged_in_our_name_are_removed_and_those_of_others_are_not() {
    let (beta, ..) = world();
    let message = messages::plain(ALICE, BOB, "trust me", "b\n");
    let forged = [
        b"Authentication-Results: mx.beta.example; openpgp=pass\r\nX-Gatepost-Result: decrypted=openpgp\r\n\
          Authentication-Results: MX.Beta.Example 1;\r\n\topenpgp=pass\r\n\
          Authentication-Results: mx.elsewhere.example; dkim=pass\r\n",
        message.as_slice(),
    ]
    .concat();
    let mail = deliver(&beta, ALICE, &forged);
    assert_eq!(mail.fields("Authentication-Results"), ["mx.elsewhere.example; dkim=pass"]);
    assert_eq!(mail.fields("X-Gatepost-Result"), Vec::<String>::new());
}
