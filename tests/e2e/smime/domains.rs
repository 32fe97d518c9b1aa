//! Two gateways with the certificates of their domains: signed and encrypted on the wire, opened and verified,
//! and the very bytes that were sent in the mailbox.

use tests::Mail;
use tests::Pki;
use tests::Site;
use tests::SitePlan;
use tests::SmtpTap;
use tests::free_port;
use tests::messages;
use tests::pki::Leaf;

pub(crate) const ALICE: &str = "alice@alpha.example";
pub(crate) const BOB: &str = "bob@beta.example";

/// Gives a site the two authorities of its domain (RFC 3183 section 3.1.1), and others the public halves.
pub(crate) fn authorities(pki: &Pki, site: &Site, others: &[&Site]) {
    let domain = site.postfix.domain.clone();
    for (authority, usage) in [
        ("domain-signing-authority", "critical,digitalSignature"),
        ("domain-confidentiality-authority", "critical,keyEncipherment"),
    ] {
        let address = format!("{authority}@{domain}");
        let addresses = [address.as_str()];
        let leaf = Leaf { name: authority, usage, ..Leaf::user(&addresses) };
        let issued = pki.issue(&format!("{authority}-{domain}"), &leaf);
        let password = pki.path("password");
        std::fs::write(&password, "secret\n").unwrap();
        let p12 = issued.p12.to_string_lossy();
        let password = password.to_string_lossy();
        site.gatepost.command(&["keys", "import", &p12, "--password-file", &password]).success();
        for other in others {
            let certificate = issued.certificate.to_string_lossy();
            other.gatepost.command(&["keys", "import", &certificate]).success();
        }
    }
}

/// Alpha behind its gateway, a tap on the wire, beta behind its own.
pub(crate) fn world(policy: &str) -> (Pki, Site, SmtpTap, Site) {
    let pki = Pki::new();
    let smime = format!("[smime]\nanchors = [\"{}\"]\n", pki.root().display());
    let beta = SitePlan::new("beta.example").policy(&smime);
    let tap = SmtpTap::start(free_port(), beta.inbound());
    let alpha = SitePlan::new("alpha.example")
        .policy(&format!("{policy}\n{smime}"))
        .route("beta.example", tap.port());
    let (mut alpha, mut beta) = (alpha.prepare(), beta.prepare());
    authorities(&pki, &alpha, &[&beta]);
    authorities(&pki, &beta, &[&alpha]);
    alpha.gatepost.start();
    beta.gatepost.start();
    (pki, alpha, tap, beta)
}

pub(crate) fn send(alpha: &Site, beta: &Site, message: &[u8]) -> Mail {
    let outcome = alpha.submit(ALICE, &[BOB], message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    beta.postfix.wait_mail("bob", 1).pop().unwrap()
}

#[test]
fn mail_between_two_domains_is_signed_and_encrypted_on_the_wire_and_the_same_in_the_mailbox() {
    let (_pki, alpha, tap, beta) = world("[policy]\nsign = \"always\"\nencrypt = \"required\"\n");
    let message = messages::plain(ALICE, BOB, "offer", "the vault opens at nine\r\n");
    let mail = send(&alpha, &beta, &message);
    let wire = String::from_utf8_lossy(&tap.bytes()).into_owned();
    assert!(wire.contains("smime-type=enveloped-data"), "{wire}");
    assert!(!wire.contains("vault"), "{wire}");
    alpha.gatepost.wait_log(&["action=sign+encrypt", "scheme=smime"]);
    beta.gatepost.wait_log(&["action=open", "scheme=smime"]);
    let series =
        "gatepost_sealing_operations_total{operation=\"sign+encrypt\",result=\"success\",scheme=\"smime\"}";
    assert_eq!(alpha.gatepost.metric(series), Some(1.0));
    assert_eq!(mail.body(), b"the vault opens at nine\n", "{}\n{}", mail.text(), beta.gatepost.log());
    let results = mail.fields("Authentication-Results");
    assert!(results.iter().any(|r| r.contains("smime=pass") && r.contains(ALICE)), "{results:?}");
    assert_eq!(mail.fields("X-Gatepost-Result"), ["decrypted=smime (not protected against changes)"]);
}
