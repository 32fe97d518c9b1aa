//! The content on its way: size, line ends, and connections that break at every point.

use std::ops::Add;

use super::*;
use crate::fixtures::smtp_server::Done;
use crate::fixtures::smtp_server::MailHost;
use crate::fixtures::smtp_server::Script;

async fn send_letter(host: &MailHost, letter: &Letter) -> Report {
    let route = Arc::new(route("example.org", vec![host.hop(HOST, Road::Opportunistic)]));
    courier(|_| {})
        .deliver(
            Instant::now(),
            route,
            &envelope(),
            &recipients(&["b@example.org"]),
            letter,
            &Abandon::default(),
        )
        .await
}

#[tokio::test]
async fn dots_and_stray_line_ends_cannot_end_a_message() {
    let text = "Subject: x\r\n\r\n.\r\n..\r\n.x\r\n\n.\nMAIL FROM:<x>\r\n\r.\rRCPT\r\n\n.\r\nend";
    let arrived = "Subject: x\r\n\r\n.\r\n..\r\n.x\r\n . MAIL FROM:<x>\r\n . RCPT\r\n .\r\nend\r\n";
    for extensions in [vec!["8BITMIME"], vec!["8BITMIME", "CHUNKING"]] {
        let host = MailHost::start(Script { extensions, ..Script::default() }).await;
        let report = send_letter(&host, &letter(text)).await;
        assert!(said(&report).starts_with("250 "), "{}", said(&report));
        assert_eq!(host.taken().len(), 1);
        assert_eq!(String::from_utf8_lossy(&host.taken()[0].content), arrived);
    }
}

#[tokio::test]
async fn an_empty_message_is_a_message() {
    for extensions in [vec![], vec!["CHUNKING"]] {
        let host = MailHost::start(Script { extensions, ..Script::default() }).await;
        assert!(said(&send_letter(&host, &letter("")).await).starts_with("250 "));
        assert_eq!(host.taken()[0].content, b"");
    }
}

#[tokio::test]
async fn large_messages_arrive_whole_by_data_and_in_chunks() {
    let line = format!(".{}\r\n", "x".repeat(76));
    let text = format!("Subject: x\r\n\r\n{}", line.repeat(40_000));
    let spill = mail::Spill { limit: 10_000, ..mail::Spill::default() };
    let mut writer = LetterWriter::new(&spill);
    text.as_bytes().chunks(9999).for_each(|chunk| writer.write(chunk).unwrap());
    let letter = writer.finish().unwrap();
    assert!(letter.body().in_memory().is_none());
    for extensions in [vec!["SIZE"], vec!["SIZE", "CHUNKING"]] {
        let host = MailHost::start(Script { extensions, ..Script::default() }).await;
        let report = send_letter(&host, &letter).await;
        assert!(said(&report).starts_with("250 "), "{}", said(&report));
        assert!(host.taken()[0].content == text.as_bytes());
        assert!(host.taken()[0].mail.ends_with(&format!("SIZE={}", text.len())));
    }
}

#[tokio::test]
async fn a_host_that_hangs_up_after_the_end_leaves_a_doubt_and_no_second_copy() {
    for done in [Done::Drop, Done::Hang] {
        let first = MailHost::start(Script { done: done.clone(), ..Script::default() }).await;
        let second = MailHost::start(Script::default()).await;
        let hosts =
            vec![first.hop(HOST, Road::Opportunistic), second.hop("b.example.org", Road::Opportunistic)];
        let report = send(&courier(|_| {}), hosts).await;
        let said = said(&report);
        assert!(said.starts_with("451 4.4.2 ") && said.ends_with("may be delivered twice"), "{said}");
        assert_eq!(second.connections(), 0);
    }
}

#[tokio::test]
async fn a_host_that_hangs_up_in_the_middle_is_asked_why_and_another_tried() {
    let text = format!("Subject: x\r\n\r\n{}", "y".repeat(998).add("\r\n").repeat(20_000));
    let letter = letter(&text);
    let cutting = |words| Script { cut: Some((100_000, words)), ..Script::default() };
    let to = recipients(&["b@example.org"]);
    for (words, verdict) in [
        ("", "250 2.0.0 b.example.org["),
        ("452 4.3.1 disk full", "250 2.0.0 b.example.org["),
        ("552 5.3.4 too big", "552 5.3.4 mx.example.org["),
    ] {
        let first = MailHost::start(cutting(words)).await;
        let second = MailHost::start(Script::default()).await;
        let hosts =
            vec![first.hop(HOST, Road::Opportunistic), second.hop("b.example.org", Road::Opportunistic)];
        let route = Arc::new(route("example.org", hosts));
        let report = courier(|_| {})
            .deliver(Instant::now(), route, &envelope(), &to, &letter, &Abandon::default())
            .await;
        assert!(said(&report).starts_with(verdict), "{}", said(&report));
        assert_eq!((first.taken().len(), second.taken().len()), (0, usize::from(verdict.starts_with("250"))));
    }
}

#[tokio::test]
async fn an_abandoned_delivery_stops_before_the_end_of_the_content() {
    for extensions in [vec![], vec!["CHUNKING"]] {
        let host = MailHost::start(Script { extensions, ..Script::default() }).await;
        let abandon = Abandon::default();
        abandon.set();
        let route = Arc::new(route("example.org", vec![host.hop(HOST, Road::Opportunistic)]));
        let to = recipients(&["b@example.org"]);
        let report =
            courier(|_| {}).deliver(Instant::now(), route, &envelope(), &to, &hello(), &abandon).await;
        assert!(said(&report).starts_with("451 "), "{}", said(&report));
        assert!(host.taken().is_empty());
    }
}

#[tokio::test]
async fn a_yes_instead_of_a_go_ahead_is_no_delivery() {
    let host = MailHost::start(Script { data: "250 2.0.0 sure", ..Script::default() }).await;
    let report = send(&courier(|_| {}), vec![host.hop(HOST, Road::Opportunistic)]).await;
    assert!(said(&report).starts_with("451 4.5.0 "), "{}", said(&report));
}
