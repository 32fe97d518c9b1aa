//! From counts to reports that arrive, once, over both transports.

use std::sync::atomic::Ordering;

use domain::base::Rtype;
use mail::Message;

use super::super::*;
use super::world::*;
use crate::dns::script::Fault;
use crate::dns::script::Script;

const BOTH: &str = "v=TLSRPTv1; rua=mailto:tls@b.example,https://reports.b.example/tlsrpt";

fn asking(record: &str) -> Script {
    Script::new().txt("_smtp._tls.b.example", &[record])
}

/// Who signed it, by mail-auth, with the key record in DNS.
async fn signed_by(message: &[u8], record: &str) -> Vec<String> {
    let strings: Vec<&str> =
        record.as_bytes().chunks(255).map(|string| std::str::from_utf8(string).unwrap()).collect();
    let dns = Script::new().txt("tlsrpt._domainkey.a.example", &strings).start().await;
    signers(message, &dns).await.unwrap()
}

fn field(message: &Message, name: &str) -> String {
    String::from_utf8(message.header().find(name).unwrap().1.unfolded()).unwrap()
}

/// The whole of a day in one: record, wait, ask, build, send.
async fn one_day(world: &World) -> Work {
    world.record("b.example", 3);
    world.time.set(NOON + DAY + DAY / 2);
    world.reporter().step().await.unwrap()
}

#[tokio::test]
async fn a_report_goes_to_both_destinations_once() {
    let world = World::new(asking(BOTH)).await;
    let reporter = world.reporter();
    world.record("b.example", 3);
    assert_eq!(reporter.step().await.unwrap(), Work::default(), "the day is not over");
    world.time.set(Day::of(NOON).end() + 1 + 4 * 3600);
    let work = reporter.step().await.unwrap();
    assert_eq!(work, Work { built: 1, sent: 2, ..Work::default() });
    for _ in 0..3 {
        world.time.pass(DAY / 4);
        assert_eq!(reporter.step().await.unwrap(), Work::default(), "nothing is sent twice");
    }
    let states: Vec<State> = world.ledger().outbox().unwrap().iter().map(|pending| pending.state).collect();
    assert_eq!(states, [State::Sent, State::Sent]);

    let mailed = world.sink.taken();
    assert_eq!(mailed.len(), 1);
    assert_eq!(mailed[0].0, "<tls@b.example>");
    let posted = world.web.requests.lock().unwrap().clone();
    let [(head, body)] = posted.as_slice() else { panic!() };
    assert!(head.starts_with("POST /tlsrpt HTTP/1.1\r\nHost: reports.b.example\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/tlsrpt+gzip\r\n"), "{head}");
    let report = intake::from_bytes(body).unwrap();
    assert_eq!(intake::from_message(&Message::parse(&mailed[0].1)).unwrap(), report, "the same to both");
    assert_eq!(report.organization_name, "A & Söhne");
    assert_eq!(report.contact_info, "tls@a.example");
    assert_eq!(report.date_range, DateRange::of(Day::of(NOON)));
    assert_eq!(report.policies[0].summary.total_successful_session_count, 3);
    assert_eq!(world.ledger().complete(Day(i64::MAX)).unwrap(), [], "what was told is forgotten");
}

#[tokio::test]
async fn the_message_is_what_the_rfc_asks_and_its_signature_holds() {
    for (pem, algorithm) in [(RSA, "a=rsa-sha256"), (ED25519, "a=ed25519-sha256")] {
        let world = World::new(asking(BOTH)).await;
        let signer = Signer::from_pem(pem.as_bytes(), "a.example", "tlsrpt").unwrap();
        assert_eq!(signer.record_name(), "tlsrpt._domainkey.a.example");
        let record = signer.record_text();
        world.record("b.example", 1);
        world.time.set(NOON + DAY + DAY / 2);
        world.reporter_with(Some(signer)).step().await.unwrap();
        let raw = world.sink.taken().remove(0).1;
        assert!(raw.is_ascii() && raw.split(|byte| *byte == b'\n').all(|line| line.len() <= 998));
        let message = Message::parse(&raw);
        let id = intake::from_message(&message).unwrap().report_id;
        // RFC 8460 section 5.3.
        assert_eq!(
            field(&message, "Subject"),
            format!("Report Domain: b.example Submitter: a.example Report-ID: <{id}>")
        );
        assert_eq!(field(&message, "TLS-Report-Domain"), "b.example");
        assert_eq!(field(&message, "TLS-Report-Submitter"), "a.example");
        assert_eq!(field(&message, "TLS-Required"), "No");
        let media = message.entity().content_type();
        assert_eq!((media.kind.as_str(), media.subtype.as_str()), ("multipart", "report"));
        assert!(media.params.contains(&("report-type".to_owned(), "tlsrpt".to_owned())), "{media:?}");
        let parts = message.entity().children(&mail::Limits::default()).unwrap();
        assert_eq!(parts[0].content_type().kind, "text");
        assert_eq!(parts[1].content_type().subtype, "tlsrpt+gzip");
        let name = parts[1].filename().unwrap();
        let start = Day::of(NOON).start();
        assert!(name.starts_with(&format!("a.example!b.example!{start}!{}!", start + DAY - 1)), "{name}");
        assert!(name.ends_with(".json.gz"));
        let signature = field(&message, "DKIM-Signature");
        assert!(signature.contains(algorithm) && !signature.contains("l="), "{signature}");
        for signed in ["TLS-Report-Domain", "TLS-Report-Submitter", "TLS-Required", "Subject"] {
            assert!(signature.contains(signed), "{signed} must be signed: {signature}");
        }
        assert_eq!(signed_by(&raw, &record).await, ["a.example"]);
        assert!(intake::vouched(&intake::from_message(&message).unwrap(), &["a.example"]));
        let text = String::from_utf8(raw).unwrap();
        for forged in [
            text.replace("TLS-Report-Domain: b", "TLS-Report-Domain: c"),
            text.replace("From: <tls", "From: <x@a.example>\r\nFrom: <tls"),
            text.replace("--\r\n", "--\r\nmore\r\n"),
            text.replace("bh=", "l=5; bh="),
        ] {
            assert_ne!(forged, text);
            assert_eq!(signed_by(forged.as_bytes(), &record).await, [""; 0], "{forged}");
        }
        assert_eq!(signed_by(text.as_bytes(), "v=DKIM1; p=").await, [""; 0], "a revoked key");
    }
}

#[tokio::test]
async fn killed_between_sending_and_noting_the_same_report_is_sent_again() {
    let world = World::new(asking("v=TLSRPTv1; rua=mailto:tls@b.example")).await;
    world.record("b.example", 3);
    world.time.set(NOON + DAY + DAY / 2);
    world.sink.mute.store(1, Ordering::SeqCst);
    let reporter = world.reporter();
    let sink = world.sink.clone();
    // The MTA has the message, and we die before we hear of it.
    let taken = async {
        while sink.taken().is_empty() {
            tokio::task::yield_now().await
        }
    };
    tokio::select! { _ = reporter.step() => panic!("it got an answer"), () = taken => {} }
    drop(reporter);

    let restarted = world.reporter();
    assert_eq!(restarted.step().await.unwrap(), Work::default(), "not before the pause is over");
    world.time.pass(900);
    assert_eq!(restarted.step().await.unwrap(), Work { sent: 1, ..Work::default() });
    let taken = world.sink.taken();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0], taken[1], "the same octets: one Report-ID, one Message-ID");
    // What the id is for: a receiver counts it once.
    let (_directory, path) = file();
    let mut receiver = Ledger::open(&path).unwrap();
    let kept: Vec<Kept> = taken
        .iter()
        .map(|(_, raw)| receiver.receive(&intake::from_message(&Message::parse(raw)).unwrap(), NOON).unwrap())
        .collect();
    assert_eq!(kept, [Kept::New, Kept::Known]);
}

#[tokio::test]
async fn two_reporters_on_one_table_send_a_report_once() {
    let world = World::new(asking(BOTH)).await;
    world.record("b.example", 1);
    world.time.set(NOON + DAY + DAY / 2);
    let (one, two) = (world.reporter(), world.reporter());
    let (one, two) = tokio::join!(one.step(), two.step());
    assert_eq!(one.unwrap().sent + two.unwrap().sent, 2);
    assert_eq!((world.sink.taken().len(), world.web.requests.lock().unwrap().len()), (1, 1));
    assert_eq!(world.ledger().outbox().unwrap().len(), 2, "one report, two destinations");
}

#[tokio::test]
async fn failures_are_repeated_for_a_day_with_growing_pauses() {
    let world = World::new(asking("v=TLSRPTv1; rua=https://reports.b.example/tlsrpt")).await;
    *world.web.answer.lock().unwrap() = "HTTP/1.1 503 Busy\r\n\r\n";
    assert_eq!(one_day(&world).await, Work { built: 1, failed: 1, ..Work::default() });
    let reporter = world.reporter();
    let mut tries = vec![0];
    for minute in 1..3 * 24 * 60 {
        world.time.pass(60);
        if reporter.step().await.unwrap().failed > 0 {
            tries.push(minute);
        }
    }
    assert_eq!(tries, [0, 15, 45, 105, 225, 465, 945], "minutes after the first attempt");
    let pending = world.ledger().outbox().unwrap().remove(0);
    assert_eq!((pending.state, pending.tries), (State::GivenUp, 7));
    assert_eq!(pending.remark, "the server answered with status 503");
}

#[tokio::test]
async fn one_destination_that_fails_does_not_hold_up_the_other() {
    let world = World::new(asking(BOTH)).await;
    world.sink.full.store(1, Ordering::SeqCst);
    assert_eq!(one_day(&world).await, Work { built: 1, sent: 1, failed: 1, ..Work::default() });
    world.time.pass(900);
    assert_eq!(world.reporter().step().await.unwrap(), Work { sent: 1, ..Work::default() });
    assert_eq!((world.sink.taken().len(), world.web.requests.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn redirects_are_not_followed_and_interim_answers_are_no_answers() {
    for (answer, sent) in [
        ("HTTP/1.1 301 Moved\r\nLocation: https://reports.b.example/x\r\n\r\n", 0),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Done\r\n\r\n", 1),
        ("220 mx.b.example ESMTP\r\n", 0),
        ("", 0),
    ] {
        let world = World::new(asking("v=TLSRPTv1; rua=https://reports.b.example/tlsrpt")).await;
        *world.web.answer.lock().unwrap() = answer;
        assert_eq!(one_day(&world).await.sent, sent, "{answer}");
        assert_eq!(world.web.requests.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_server_without_a_certificate_for_its_name_gets_nothing() {
    let world = World::new(asking("v=TLSRPTv1; rua=https://other.b.example/tlsrpt")).await;
    assert_eq!(one_day(&world).await, Work { built: 1, failed: 1, ..Work::default() });
    assert_eq!(world.web.requests.lock().unwrap().len(), 0);
    assert!(world.ledger().outbox().unwrap()[0].remark.contains("certificate"));
}

#[tokio::test]
async fn who_does_not_ask_gets_nothing_and_is_forgotten() {
    for record in ["v=TLSRPTv1", "v=TLSRPTv1; rua=ftp://b.example/", "other"] {
        let world = World::new(asking(record)).await;
        assert_eq!(one_day(&world).await, Work { unwanted: 1, ..Work::default() }, "{record}");
        assert_eq!(world.ledger().complete(Day(i64::MAX)).unwrap(), []);
    }
}

#[tokio::test]
async fn a_failed_look_up_is_not_no_and_is_repeated() {
    let dns = asking(BOTH).fault("_smtp._tls.b.example", Rtype::TXT, Fault::ServFail);
    let world = World::new(dns).await;
    assert_eq!(one_day(&world).await, Work { unclear: 1, ..Work::default() });
    assert_eq!(world.reporter().step().await.unwrap(), Work::default(), "not at once");
    let _ = world.dns.clone().fault("_smtp._tls.b.example", Rtype::TXT, Fault::Slow);
    world.time.pass(900);
    assert_eq!(world.reporter().step().await.unwrap(), Work { built: 1, sent: 2, ..Work::default() });
}

#[tokio::test]
async fn without_a_key_nothing_goes_by_mail() {
    let world = World::new(asking(BOTH)).await;
    world.record("b.example", 1);
    world.time.set(NOON + DAY + DAY / 2);
    assert_eq!(
        world.reporter_with(None).step().await.unwrap(),
        Work { built: 1, sent: 1, ..Work::default() }
    );
    assert_eq!(world.sink.taken().len(), 0);
}

#[tokio::test]
async fn reports_are_spread_over_four_hours() {
    let world = World::new(Script::new()).await;
    for number in 0..40 {
        world.record(&format!("d{number}.example"), 1);
    }
    let reporter = world.reporter();
    let midnight = Day::of(NOON).end() + 1;
    let mut done = Vec::new();
    for hour in 0..=4 {
        world.time.set(midnight + hour * 3600);
        done.push(reporter.step().await.unwrap().unwanted);
    }
    assert_eq!(done.iter().sum::<u64>(), 40, "{done:?}");
    assert!(done[1..].iter().all(|hour| *hour > 0), "{done:?}");
}

#[tokio::test]
async fn what_nobody_could_be_asked_about_is_dropped_after_days() {
    let world = World::new(asking(BOTH).fault("_smtp._tls.b.example", Rtype::TXT, Fault::ServFail)).await;
    world.record("b.example", 1);
    world.time.set(NOON + 6 * DAY);
    world.reporter().step().await.unwrap();
    assert_eq!(world.ledger().complete(Day(i64::MAX)).unwrap(), []);
}

#[test]
fn keys_that_are_none_are_refused() {
    for pem in ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert!(Signer::from_pem(pem.as_bytes(), "a.example", "s").is_err(), "{pem}");
    }
    let signer = Signer::from_pem(RSA.as_bytes(), "a.example", "s").unwrap();
    assert_eq!(format!("{signer:?}"), "Signer { record: \"s._domainkey.a.example\", .. }");
}

#[test]
fn the_published_key_is_what_openssl_says() {
    use std::io::Write;
    use std::process::Command;
    use std::process::Stdio;
    let mut openssl = Command::new("openssl")
        .args(["pkey", "-pubout", "-outform", "DER"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(RSA.as_bytes()).unwrap();
    let der = openssl.wait_with_output().unwrap().stdout;
    let record = Signer::from_pem(RSA.as_bytes(), "a.example", "s").unwrap().record_text();
    assert_eq!(
        record,
        format!("v=DKIM1; k=rsa; s=email:tlsrpt; p={}", base64_simd::STANDARD.encode_to_string(der))
    );
}

#[tokio::test]
async fn a_key_that_cannot_be_looked_up_is_no_verdict() {
    let world = World::new(asking(BOTH)).await;
    one_day(&world).await;
    let raw = world.sink.taken().remove(0).1;
    let dns = Script::new().fault("tlsrpt._domainkey.a.example", Rtype::TXT, Fault::ServFail).start().await;
    assert_eq!(signers(&raw, &dns).await.unwrap_err().name, "tlsrpt._domainkey.a.example");
    assert_eq!(signers(&raw, &Script::new().start().await).await.unwrap(), [""; 0]);
    assert_eq!(signers(b"", &dns).await.unwrap(), [""; 0]);
    assert_eq!(signers(b"From: <a@b.example>\r\n\r\nhello", &dns).await.unwrap(), [""; 0]);
}

/// An implementation that is not ours and not mail-auth's: opendkim in its test mode.
#[tokio::test]
async fn opendkim_accepts_the_signature() {
    let world = World::new(asking(BOTH)).await;
    one_day(&world).await;
    let raw = world.sink.taken().remove(0).1;
    let record = Signer::from_pem(RSA.as_bytes(), "a.example", "tlsrpt").unwrap().record_text();
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    std::fs::write(place.join("keys"), format!("tlsrpt._domainkey.a.example {record}\n")).unwrap();
    let keys = place.join("keys");
    std::fs::write(place.join("conf"), format!("Mode v\nTestPublicKeys {}\n", keys.display())).unwrap();
    for (name, message) in [
        ("good", raw.clone()),
        (
            "bad",
            String::from_utf8(raw).unwrap().replace("TLS-Required: No", "TLS-Required: Yes").into_bytes(),
        ),
    ] {
        std::fs::write(place.join(name), message).unwrap();
        let mut opendkim = std::process::Command::new("/usr/sbin/opendkim");
        opendkim.arg("-x").arg(place.join("conf")).arg("-t").arg(place.join(name)).arg("-v");
        let Ok(output) = opendkim.output() else {
            eprintln!("opendkim is not installed: the signature was not verified by it");
            return;
        };
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            said.contains("verification (s=tlsrpt, d=a.example, 2048-bit key) succeeded"),
            name == "good",
            "{said}"
        );
    }
}
