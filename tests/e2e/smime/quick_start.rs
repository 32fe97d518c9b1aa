//! The first page of docs/smime.md: two domains, each with its own authority.

use std::fs;
use std::path::PathBuf;

use tests::Pki;
use tests::Site;
use tests::SitePlan;
use tests::SmtpTap;
use tests::free_port;
use tests::messages;
use tests::pki::Issued;

use super::domains::{ALICE, BOB, send};
use super::people::openssl_encrypted;
use super::submissions::ENTITY;

/// What an administrator does at home; gives root and certificate for the partner.
fn set_up(site: &Site, domain: &str) -> [Vec<u8>; 2] {
    let gatepost = &site.gatepost;
    gatepost.command(&["ca", "init"]).success();
    gatepost.command(&["ca", "issue", "domain-signing-authority", domain]).success();
    let issued = gatepost.command(&["ca", "issue", "domain-confidentiality-authority", domain]).success();
    let fingerprint = issued.text().split_whitespace().next().unwrap().to_owned();
    let export = |which: &str| gatepost.command(&["ca", "export", which]).success().stdout;
    [export("root"), [export(&fingerprint), export("issuing")].concat()]
}

#[test]
fn two_domains_with_their_own_authorities_seal_what_they_send_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let policy =
        |partner: &str| format!("[policy]\nsign = \"always\"\n[smime]\nanchors = [\"{}\"]\n", file(partner));
    let beta = SitePlan::new("beta.example");
    let tap = SmtpTap::start(free_port(), beta.inbound());
    let alpha = SitePlan::new("alpha.example").route("beta.example", tap.port());
    let (mut alpha, mut beta) = (alpha.prepare(), beta.prepare());
    for (site, domain) in [(&alpha, "alpha.example"), (&beta, "beta.example")] {
        site.gatepost.write_config(&format!("[ca]\norganisation = \"Test only {domain}\"\n"));
        let [root, certificate] = set_up(site, domain);
        fs::write(file(&format!("{domain}.root")), root).unwrap();
        fs::write(file(&format!("{domain}.pem")), certificate).unwrap();
    }
    for (site, partner) in [(&alpha, "beta.example"), (&beta, "alpha.example")] {
        site.gatepost.write_config(&policy(&format!("{partner}.root")));
        site.gatepost.command(&["keys", "import", &file(&format!("{partner}.pem"))]).success();
    }
    alpha.gatepost.start();
    beta.gatepost.start();
    let mail = send(&alpha, &beta, &messages::plain(ALICE, BOB, "offer", "the vault opens at nine\r\n"));
    let wire = String::from_utf8_lossy(&tap.bytes()).into_owned();
    assert!(wire.contains("smime-type=") && !wire.contains("vault"), "{wire}");
    assert_eq!(mail.body(), b"the vault opens at nine\n", "{mail:?}");
    let results = mail.fields("Authentication-Results");
    assert!(results.iter().any(|result| result.contains("smime=pass")), "{results:?}");

    // A client of alpha's seals the first hop with the same certificate.
    let pki = Pki::new();
    let certificate = PathBuf::from(file("alpha.example.pem"));
    let gateway = Issued { key: certificate.clone(), p12: certificate.clone(), certificate };
    let message = openssl_encrypted(&pki, &gateway, "-aes-256-cbc", ALICE, BOB, ENTITY.as_bytes());
    let outcome = alpha.submit(ALICE, &[BOB], &message);
    assert!(outcome.accepted(), "{outcome:?}\n{}", alpha.gatepost.log());
    let mail = beta.postfix.wait_mail("bob", 2).pop().unwrap();
    assert_eq!(mail.body(), b"the vault opens at nine\n", "{mail:?}");
    assert!(!String::from_utf8_lossy(&tap.bytes()).contains("vault"));
}
