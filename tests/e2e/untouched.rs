//! Mail that no policy concerns passes byte for byte, and what was valid before us is valid after us.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use mail_auth::AuthenticatedMessage;
use mail_auth::DkimResult;
use mail_auth::MessageAuthenticator;
use mail_auth::Parameters;
use mail_auth::ResolverCache;
use mail_auth::Txt;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use tests::OpenDkim;
use tests::PostfixPlan;
use tests::SitePlan;
use tests::SmtpClient;
use tests::SmtpSink;

const ALICE: &str = "alice@alpha.example";
const BOB: &str = "bob@beta.example";

/// Messages that break software which parses and writes them again.
fn awkward() -> Vec<(&'static str, Vec<u8>)> {
    let head = "From: a@alpha.example\r\nTo: bob@beta.example\r\nDate: Mon, 02 Nov 2026 09:30:00 +0100\r\n\
                Message-ID: <x@y>\r\n";
    let with = |rest: &[u8]| [head.as_bytes(), rest].concat();
    vec![
        ("no MIME header", with(b"Subject: plain\r\n\r\nhello\r\n")),
        ("odd folding", with(b"Subject: a\r\n\t b  \r\n    c\r\nX-Empty:\r\nX-Space: \r\nx-NO-space:v\r\n\r\nb\r\n")),
        ("8bit in header and body", with(b"Subject: gr\xfc\xdfe\r\n\r\n\xff\xfe\x80 latin1 \xe4\r\n")),
        ("trailing blanks and empty lines", with(b"Subject: s  \r\n\r\n\r\n  \r\nx \t\r\n\r\n\r\n\r\n")),
        ("dots", with(b"Subject: s\r\n\r\n.\r\n..\r\n.x\r\n")),
        ("empty body", with(b"Subject: s\r\n\r\n")),
        ("repeated fields", with(b"Subject: s\r\nX-A: 1\r\nX-a: 2\r\nX-A: 1\r\n\r\nb\r\n")),
        (
            "broken MIME",
            with(
                b"Content-Type: multipart/mixed; boundary=\"b\r\n\r\n--b\r\n--b\r\nContent-Type: multipart/x; \
                  boundary=b\r\n\r\n--b--\r\nepilogue",
            ),
        ),
        (
            "the words of PGP/MIME",
            with(b"Subject: multipart/encrypted\r\n\r\n -----BEGIN PGP MESSAGE-----\r\nno\r\n"),
        ),
        ("long line", with(format!("X-Long: {}\r\n\r\n{}\r\n", "h".repeat(900), "b".repeat(990)).as_bytes())),
    ]
}

fn ended_with_line(mut message: Vec<u8>) -> Vec<u8> {
    if !message.ends_with(b"\r\n") {
        message.extend_from_slice(b"\r\n");
    }
    message
}

#[test]
fn mail_without_a_certificate_passes_byte_for_byte_both_ways() {
    let sink = SmtpSink::start();
    let alpha = SitePlan::new("alpha.example").route("beta.example", sink.port()).start();
    let beta = SitePlan::new("beta.example").start();
    for (number, (name, message)) in awkward().into_iter().enumerate() {
        let message = ended_with_line(message);
        let outcome = beta.receive(ALICE, &[BOB], &message);
        assert!(outcome.accepted(), "{name}: {outcome:?}\n{}", beta.gatepost.log());
        let mail = beta.postfix.wait_mail("bob", number + 1).pop().unwrap();
        assert_eq!(show(&mail.as_sent(1)), show(&message), "inbound: {name}");

        let outcome = alpha.submit(ALICE, &[BOB], &message);
        assert!(outcome.accepted(), "{name}: {outcome:?}\n{}", alpha.gatepost.log());
        let received = sink.wait(number + 1).pop().unwrap();
        assert!(received.data.ends_with(&message), "outbound: {name}: {}", show(&received.data));
    }
}

#[test]
fn opendkim_and_mail_auth_agree_without_us() {
    let dkim = OpenDkim::start("alpha.example");
    let sink = SmtpSink::start();
    let plan = PostfixPlan::new("alpha.example").route("beta.example", sink.port());
    let alpha = plan.milter(&dkim.milter()).start();
    for (number, (name, message)) in awkward().into_iter().enumerate() {
        let message = ended_with_line(message);
        let outcome = SmtpClient::connect(alpha.ports.submission).send(ALICE, &[BOB], &message);
        assert!(outcome.accepted(), "{name}: {outcome:?}");
        let received = sink.wait(number + 1).pop().unwrap();
        assert!(verifies(&dkim, &received.data), "{name}: {}", show(&received.data));
    }
}

#[test]
fn a_dkim_signature_is_still_valid_behind_two_gateways() {
    let dkim = OpenDkim::start("alpha.example");
    let beta = SitePlan::new("beta.example").start();
    let mut plan = SitePlan::new("alpha.example").route("beta.example", beta.postfix.ports.inbound);
    let mut gatepost = plan.gatepost.prepare();
    gatepost.start();
    plan.postfix = plan.postfix.milter(gatepost.milter()).milter(&dkim.milter());
    let alpha = plan.postfix.start();
    let mut client = SmtpClient::connect(alpha.ports.submission);
    let mut count = 0;
    for (name, message) in awkward() {
        let outcome = client.send(ALICE, &[BOB], &ended_with_line(message));
        assert!(outcome.accepted(), "{name}: {outcome:?}");
        count += 1;
        let mail = beta.postfix.wait_mail("bob", count).pop().unwrap().as_sent(2);
        assert!(verifies(&dkim, &mail), "{name}: {}", show(&mail));
        let mut changed = mail;
        let last = changed.len() - 3;
        changed[last] ^= 1;
        assert!(!verifies(&dkim, &changed), "{name}: the check can fail");
    }
}

/// True if mail-auth finds a DKIM signature and it is valid.
pub(crate) fn verifies(dkim: &OpenDkim, message: &[u8]) -> bool {
    let (name, record) = dkim.record();
    let key = Txt::DomainKey(Arc::new(DomainKey::parse(record.as_bytes()).unwrap()));
    let zone = Zone(HashMap::from([(format!("{name}.").into(), key.clone()), (name.into(), key)]));
    let message = AuthenticatedMessage::parse(message).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Never asked: everything it needs is in the zone.
        let authenticator = MessageAuthenticator::new_cloudflare().unwrap();
        let outputs = authenticator.verify_dkim(Parameters::from(&message).with_txt_cache(&zone)).await;
        !outputs.is_empty() && outputs.iter().all(|output| *output.result() == DkimResult::Pass)
    })
}

/// DNS with one name in it.
struct Zone(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Zone {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\n")
}
