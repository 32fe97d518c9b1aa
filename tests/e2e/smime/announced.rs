//! What a partner announces in his signatures (RFC 8551 section 2.5.2): the next mail to him is encrypted so that
//! changes show, without a word of the administrator's.

use tests::Pki;
use tests::Site;
use tests::SitePlan;
use tests::SmtpTap;
use tests::free_port;
use tests::messages;
use tests::pki::Leaf;

use super::domains::{ALICE, BOB, authorities};
use super::people::openssl_signed;

const TEXT: &str = "the vault opens at nine\r\n";
const ENCRYPTS: &str = "[policy]\nencrypt = \"required\"\n";

/// Alpha, which signs, and beta, which encrypts what it answers; a tap on the wire of the answers.
fn world(answers: &str) -> (Pki, Site, Site, SmtpTap) {
    let pki = Pki::new();
    let smime = format!("[smime]\nanchors = [\"{}\"]\n", pki.root().display());
    let (alpha, beta) = (SitePlan::new("alpha.example"), SitePlan::new("beta.example"));
    let tap = SmtpTap::start(free_port(), alpha.inbound());
    let inbound = beta.inbound();
    let alpha = alpha.policy(&format!("[policy]\nsign = \"always\"\nencrypt = \"never\"\n{smime}"));
    let alpha = alpha.route("beta.example", inbound);
    let beta = beta.policy(&format!("{answers}{smime}")).route("alpha.example", tap.port());
    let (mut alpha, mut beta) = (alpha.prepare(), beta.prepare());
    authorities(&pki, &alpha, &[&beta]);
    authorities(&pki, &beta, &[]);
    alpha.gatepost.start();
    beta.gatepost.start();
    (pki, alpha, beta, tap)
}

/// Bob answers, and Alice reads it; gives what was on the wire.
fn answer(alpha: &Site, beta: &Site, tap: &SmtpTap, number: usize) -> String {
    let outcome = beta.submit(BOB, &[ALICE], &messages::plain(BOB, ALICE, "answer", TEXT));
    assert!(outcome.accepted(), "{outcome:?}\n{}", beta.gatepost.log());
    let mail = alpha.postfix.wait_mail("alice", number).pop().unwrap();
    assert_eq!(mail.body(), b"the vault opens at nine\n", "{}", alpha.gatepost.log());
    String::from_utf8_lossy(tap.messages().last().unwrap()).into_owned()
}

#[test]
fn a_partner_announces_what_it_reads_and_the_answer_is_encrypted_accordingly() {
    let (_pki, alpha, beta, tap) = world(ENCRYPTS);
    let before = answer(&alpha, &beta, &tap, 1);
    assert!(before.contains("smime-type=enveloped-data"), "nothing is known yet: {before}");

    let outcome = alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "question", TEXT));
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    let mail = beta.postfix.wait_mail("bob", 1).pop().unwrap();
    assert!(
        mail.fields("Authentication-Results").iter().any(|r| r.contains("smime=pass")),
        "{}",
        mail.text()
    );
    beta.gatepost.wait_log(&["alpha.example", "its holder announced AES-256-GCM=true, RSA-OAEP=true"]);

    let after = answer(&alpha, &beta, &tap, 2);
    assert!(after.contains("smime-type=authEnveloped-data"), "{after}\n{}", beta.gatepost.log());
    // What is known already is not noted again.
    alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "question", TEXT));
    beta.postfix.wait_mail("bob", 2);
    let log = beta.gatepost.log();
    assert_eq!(
        log.matches("its holder announced").count(),
        2,
        "each of the domain's certificates once: {log}"
    );
}

#[test]
fn what_nobody_can_vouch_for_and_what_everybody_can_announces_nothing() {
    let (pki, _alpha, beta, _tap) = world(ENCRYPTS);
    // Somebody else's signature under Alice's name; and her own, by openssl, which announces nothing of use.
    let addresses = ["mallory@gamma.example"];
    let mallory = pki.issue("mallory", &Leaf::user(&addresses));
    let addresses = [ALICE];
    let alice = pki.issue("alice", &Leaf::user(&addresses));
    for (number, signer) in [&mallory, &alice].into_iter().enumerate() {
        let outcome = beta.receive(ALICE, &[BOB], &openssl_signed(&pki, signer, ALICE, BOB, TEXT));
        assert!(outcome.accepted(), "{outcome:?}");
        beta.postfix.wait_mail("bob", number + 1);
    }
    assert!(!beta.gatepost.log().contains("announced"), "{}", beta.gatepost.log());
}

#[test]
fn whatever_is_announced_a_setting_goes_before_it() {
    let answers = "[policy]\nencrypt = \"required\"\n[partner.\"alpha.example\"]\nsmime_cipher = \"cbc\"\n";
    let (_pki, alpha, beta, tap) = world(answers);
    alpha.submit(ALICE, &[BOB], &messages::plain(ALICE, BOB, "question", TEXT));
    beta.postfix.wait_mail("bob", 1);
    beta.gatepost.wait_log(&["its holder announced"]);
    let wire = answer(&alpha, &beta, &tap, 1);
    assert!(wire.contains("smime-type=enveloped-data"), "{wire}");
}
