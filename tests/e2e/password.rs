//! Recipients without any key: a message behind a password, with a cover that says how to open it.

use std::fs;
use std::process::Command;

use tests::Site;
use tests::SitePlan;
use tests::SmtpSink;
use tests::messages;

const ALICE: &str = "alice@alpha.example";
const EVE: &str = "eve@outside.example";

/// Alpha's site, and a server that takes mail for outside.example.
fn world(policy: &str) -> (Site, SmtpSink) {
    let sink = SmtpSink::start();
    let policy = format!(
        "[policy]\nencrypt = \"required\"\nkeys = [\"user-openpgp\", \"password-message\"]\n{policy}"
    );
    let alpha = SitePlan::new("alpha.example").policy(&policy).route("outside.example", sink.port()).start();
    (alpha, sink)
}

/// What `gpg -d` makes of the attachment.
fn open(message: &str, password: &str) -> (bool, Vec<u8>) {
    let start = message.find("-----BEGIN PGP MESSAGE-----").expect("an armored message");
    let end = message.find("-----END PGP MESSAGE-----").expect("its end") + "-----END PGP MESSAGE-----".len();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("message.eml.asc");
    fs::write(&file, &message[start..end]).unwrap();
    let ran = Command::new("gpg")
        .args(["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", password, "--decrypt"])
        .arg(&file)
        .env("GNUPGHOME", home.path())
        .output()
        .unwrap();
    (ran.status.success(), ran.stdout)
}

#[test]
fn gpg_opens_it_with_the_password_that_the_sender_was_told() {
    let (alpha, sink) = world("");
    let message = messages::plain(ALICE, EVE, "offer", "the vault opens at nine\r\n");
    let outcome = alpha.submit(ALICE, &[EVE], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    let received = sink.wait(1).pop().unwrap();
    let text = String::from_utf8(received.data).unwrap();
    assert!(!text.contains("vault"), "{text}");
    assert!(text.contains("encrypted with a password") && text.contains("gpg --output"), "{text}");
    let receipt = alpha.postfix.wait_mail("alice", 1).pop().unwrap();
    assert!(receipt.text().contains(EVE), "{receipt:?}");
    let body = String::from_utf8(receipt.body().to_vec()).unwrap();
    let password =
        body.lines().map(str::trim).find(|line| line.len() == 24 && line.matches('-').count() == 4);
    let password = password.unwrap_or_else(|| panic!("no password in {body}"));
    assert!(!text.contains(password));
    let (opened, plain) = open(&text, password);
    assert!(opened);
    assert!(String::from_utf8(plain).unwrap().ends_with("\r\n\r\nthe vault opens at nine\r\n"));
    assert!(!open(&text, "wrong").0);
    assert!(!alpha.gatepost.log().contains(password), "never in a log");
    let story = alpha.gatepost.notary(&outcome.queue_id()).to_string();
    assert!(!story.contains(password), "nor in the record: {story}");
}

#[test]
fn a_partner_has_a_shared_secret_and_no_receipt_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("outside");
    fs::write(&secret, "correct horse battery\n").unwrap();
    let (alpha, sink) =
        world(&format!("[partner.\"outside.example\"]\npassword = \"file:{}\"\n", secret.display()));
    let message = messages::plain(ALICE, EVE, "offer", "the vault opens at nine\r\n");
    assert!(alpha.submit(ALICE, &[EVE], &message).accepted());
    let text = String::from_utf8(sink.wait(1).pop().unwrap().data).unwrap();
    assert!(open(&text, "correct horse battery").0, "{text}");
    alpha.postfix.wait_idle();
    assert_eq!(alpha.postfix.mailbox("alice").len(), 0);

    fs::remove_file(&secret).unwrap();
    let outcome = alpha.submit(ALICE, &[EVE], &message);
    assert!(!outcome.accepted() && format!("{outcome:?}").contains("4.7.5"), "mail waits: {outcome:?}");
}
