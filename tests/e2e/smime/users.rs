//! Users with certificates of their own: what they sign, and what is encrypted to them.

use std::path::Path;

use tests::Pki;
use tests::Site;
use tests::SitePlan;
use tests::SmtpSink;
use tests::messages;
use tests::pki::Issued;
use tests::pki::Leaf;

use super::people::{decrypt, find, openssl_encrypted, openssl_signed, verify};

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";
const EVE: &str = "eve@gamma.example";
const TEXT: &str = "the vault opens at nine\r\n";

fn trust(pki: &Pki) -> String {
    format!("[smime]\nanchors = [\"{}\"]\n", pki.root().display())
}

fn user(pki: &Pki, stem: &str, address: &str) -> Issued {
    let addresses = [address];
    pki.issue(stem, &Leaf::user(&addresses))
}

/// Gives a site a secret key, or a certificate.
fn import(site: &Site, pki: &Pki, file: &Path, words: &[&str]) {
    let password = pki.path("password");
    std::fs::write(&password, "secret\n").unwrap();
    let file = file.to_string_lossy();
    let p12 = file.ends_with(".p12");
    let password = password.to_string_lossy();
    let more: &[&str] = if p12 { &["--password-file", &password] } else { &[] };
    site.gatepost.command(&[&["keys", "import", &file], more, words].concat()).success();
}

/// Alpha, behind which a sink takes everything for beta.example.
fn outbound(policy: &str) -> (Site, SmtpSink) {
    let sink = SmtpSink::start();
    let alpha = SitePlan::new("alpha.example").policy(policy).route("beta.example", sink.port()).start();
    (alpha, sink)
}

/// Without the trace field of our own Postfix.
fn as_received(data: &[u8]) -> String {
    let text = String::from_utf8(data.to_vec()).unwrap();
    let rest = text.strip_prefix("Received:").expect("one trace field");
    let end = rest.match_indices("\r\n").find(|(at, _)| !rest[at + 2..].starts_with(['\t', ' '])).unwrap().0;
    rest[end + 2..].to_owned()
}

#[test]
fn mail_with_a_valid_signature_of_its_author_passes_byte_for_byte() {
    let pki = Pki::new();
    let alice = user(&pki, "alice", ALICE);
    let policy = format!("[policy]\nown_signatures = \"reject\"\nencrypt = \"never\"\n{}", trust(&pki));
    let (alpha, sink) = outbound(&policy);
    let message = openssl_signed(&pki, &alice, ALICE, BOB, TEXT);
    let outcome = alpha.submit(ALICE, &[BOB], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    let received = sink.wait(1).pop().unwrap();
    assert_eq!(as_received(&received.data), String::from_utf8(message).unwrap());
    assert!(verify(&pki, &received.data).is_ok());
}

#[test]
fn a_signature_of_the_author_that_does_not_hold_is_refused_and_the_reply_says_why() {
    let pki = Pki::new();
    let revoked = user(&pki, "revoked", ALICE);
    let other = user(&pki, "other", "mallory@alpha.example");
    let addresses = [ALICE];
    let expired = pki.issue("expired", &Leaf { days: -1, ..Leaf::user(&addresses) });
    let list = pki.revoke(&revoked);
    let policy = format!(
        "[policy]\nown_signatures = \"reject\"\nencrypt = \"never\"\n{}crls = [\"{}\"]\n",
        trust(&pki),
        list.display()
    );
    let (alpha, sink) = outbound(&policy);
    for (who, reason) in [
        (&revoked, "revoked"),
        (&expired, "expired"),
        (&other, "the certificate is for mallory@alpha.example, not for alice@alpha.example"),
    ] {
        let outcome = alpha.submit(ALICE, &[BOB], &openssl_signed(&pki, who, ALICE, BOB, TEXT));
        assert_eq!((outcome.end.code, outcome.end.enhanced()), (550, Some("5.7.7")), "{outcome:?}");
        let reply = outcome.end.text();
        assert!(reply.contains("your signature is not valid") && reply.contains(reason), "{reply}");
    }
    let altered = openssl_signed(&pki, &other, ALICE, BOB, TEXT);
    let altered = String::from_utf8(altered).unwrap().replacen("nine", "five", 1);
    let outcome = alpha.submit(ALICE, &[BOB], altered.as_bytes());
    assert!(outcome.end.text().contains("altered"), "{outcome:?}");
    assert_eq!(sink.received(), []);
}

#[test]
fn a_rule_encrypts_inbound_mail_to_the_users_own_certificate() {
    let pki = Pki::new();
    let bob = user(&pki, "bob", BOB);
    let rule = "[[rule]]\nid = \"own-key\"\ndirection = \"inbound\"\nencrypt = \"required\"\nkeys = [\"user-smime\"]\n";
    let beta = SitePlan::new("beta.example").policy(&format!("{}{rule}", trust(&pki))).start();
    import(&beta, &pki, &bob.certificate, &[]);
    let outcome = beta.receive(EVE, &[BOB], &messages::plain(EVE, BOB, "offer", TEXT));
    assert!(outcome.accepted(), "{outcome:?}\n{}", beta.gatepost.log());
    let mail = beta.postfix.wait_mail("bob", 1).pop().unwrap();
    assert!(!mail.text().contains("vault"), "{mail:?}");
    let opened = decrypt(&pki, &bob, mail.text().as_bytes()).unwrap();
    assert!(find(&opened, b"the vault opens at nine"));
    // Who has no certificate gets nothing in clear.
    let outcome = beta.receive(EVE, &["carol@beta.example"], &messages::plain(EVE, BOB, "offer", TEXT));
    assert!(outcome.rcpt[0].is_permanent(), "{outcome:?}");
}

#[test]
fn what_a_stranger_signed_passes_byte_for_byte_and_counts_only_if_we_trust_his_authority() {
    let pki = Pki::new();
    let eve = user(&pki, "eve", EVE);
    let mallory = user(&pki, "mallory", "mallory@gamma.example");
    let trusting = SitePlan::new("beta.example").policy(&trust(&pki)).start();
    let wary = SitePlan::new("beta.example").start();
    for (site, who, result) in [
        (&trusting, &eve, "smime=pass body.smime-identifier=eve@gamma.example"),
        (&trusting, &mallory, "smime=policy reason=\"the signer is not the author\"  body.smime-part=2"),
        (&wary, &eve, "smime=neutral"),
    ] {
        let before = site.postfix.mailbox("bob").len();
        let message = openssl_signed(&pki, who, EVE, BOB, TEXT);
        let outcome = site.receive(EVE, &[BOB], &message);
        assert!(outcome.accepted(), "{outcome:?}\n{}", site.gatepost.log());
        let mail = site.postfix.wait_mail("bob", before + 1).pop().unwrap();
        let results = mail.fields("Authentication-Results");
        assert_eq!(results.len(), 1, "{mail:?}");
        assert!(results[0].contains(result), "{results:?}");
        assert_eq!(results[0].contains("pass"), result.contains("pass"), "{results:?}");
        let sent = String::from_utf8(mail.as_sent(1)).unwrap();
        let (field, rest) = sent.split_once("From: ").unwrap();
        assert!(field.starts_with("Authentication-Results:"), "{field}");
        assert_eq!(format!("From: {rest}"), String::from_utf8(message).unwrap());
    }
}

#[test]
fn what_anybody_can_have_changed_is_tagged_or_refused() {
    let pki = Pki::new();
    let addresses = ["domain-confidentiality-authority@beta.example"];
    let usage = "critical,keyEncipherment";
    let leaf = Leaf { name: "domain-confidentiality-authority", usage, ..Leaf::user(&addresses) };
    let domain = pki.issue("domain", &leaf);
    let eve = user(&pki, "eve", EVE);
    let beta = SitePlan::new("beta.example").policy(&trust(&pki)).start();
    import(&beta, &pki, &domain.p12, &[]);
    let plain = format!("Content-Type: text/plain\r\n\r\n{TEXT}");
    let signed = openssl_signed(&pki, &eve, EVE, BOB, TEXT);
    let signed = String::from_utf8(signed).unwrap();
    let signed = &signed[signed.find("MIME-Version").unwrap()..];
    for (cipher, entity, tagged) in [
        ("-aes-256-cbc", plain.as_str(), true),
        ("-aes-256-gcm", plain.as_str(), false),
        ("-aes-256-cbc", signed, false),
    ] {
        let before = beta.postfix.mailbox("bob").len();
        let message = openssl_encrypted(&pki, &domain, cipher, EVE, BOB, entity.as_bytes());
        let outcome = beta.receive(EVE, &[BOB], &message);
        assert!(outcome.accepted(), "{outcome:?}\n{}", beta.gatepost.log());
        let mail = beta.postfix.wait_mail("bob", before + 1).pop().unwrap();
        assert!(mail.text().contains("the vault opens at nine"), "{mail:?}");
        let subject = mail.field("Subject").unwrap();
        assert_eq!(subject, if tagged { "[may have been changed] offer" } else { "offer" }, "{cipher}");
        let passed = mail.fields("Authentication-Results").iter().any(|result| result.contains("smime=pass"));
        assert_eq!(passed, entity == signed, "{mail:?}");
    }
    beta.gatepost.write_config(&format!("[policy]\nunauthenticated = \"reject\"\n{}", trust(&pki)));
    beta.gatepost.reload();
    beta.gatepost.wait_log(&["configuration reloaded"]);
    let message = openssl_encrypted(&pki, &domain, "-aes-256-cbc", EVE, BOB, plain.as_bytes());
    let outcome = beta.receive(EVE, &[BOB], &message);
    assert_eq!((outcome.end.code, outcome.end.enhanced()), (550, Some("5.7.7")), "{outcome:?}");
}
