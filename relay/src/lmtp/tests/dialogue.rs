//! What the server says to good, bad and lost clients.

use super::*;
use crate::fixtures::smtp_server::MailHost;
use crate::fixtures::smtp_server::Script;
use crate::road::Road;

async fn one_host(script: Script) -> (MailHost, Known) {
    let host = MailHost::start(script).await;
    let routes = Known::default().with("b.example", vec![host.hop("mx.b.example", Road::Opportunistic)]);
    (host, routes)
}

#[tokio::test]
async fn a_message_goes_through_with_its_queue_id() {
    let (host, routes) = one_host(Script::default()).await;
    let relay = Running::start(routes, |_| {}).await;
    let mut client = relay.client().await;
    client.expect("220 relay.gatepost.example LMTP").await;
    let offers = client.ask("LHLO mail.gatepost.example", "250-relay.gatepost.example").await;
    for keyword in
        ["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "XFORWARD NAME", "SIZE 0"]
    {
        assert!(offers.contains(keyword), "{offers}");
    }
    client.ask("XFORWARD NAME=client.example ADDR=192.0.2.9", "250").await;
    client.ask("XFORWARD IDENT=4ZbX1y5Gz2z9", "250").await;
    let replies = client.message(&["bob@B.example"], "Subject: x\r\n\r\n..dot\r\n").await;
    assert!(replies[0].starts_with("250 2.0.0 mx.b.example["), "{replies:?}");
    assert!(replies[0].ends_with("cleartext; remote said: 250 2.0.0 queued as 4711\r\n"), "{replies:?}");
    client.ask("QUIT", "221").await;
    assert_eq!(client.reply().await, "");
    assert_eq!(host.taken()[0].content, b"Subject: x\r\n\r\n.dot\r\n");
    assert_eq!(host.taken()[0].rcpt, ["RCPT TO:<bob@B.example>"]);
    let told = relay.told();
    assert_eq!(told[0].ident.as_deref(), Some("4ZbX1y5Gz2z9"));
    assert_eq!((told[0].size, told[0].report.route.domain.as_str()), (20, "b.example"));
    assert_eq!(told[0].report.outcomes[0].via.as_ref().unwrap().host, "mx.b.example");
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let (host, routes) = one_host(Script::default()).await;
    let relay = Running::start(routes, |_| {}).await;
    let mut client = relay.greeted().await;
    let batch =
        "MAIL FROM:<>\r\nRCPT TO:<x@b.example>\r\nRCPT TO:<nonsense>\r\nRCPT TO:<y@b.example>\r\nDATA\r\n";
    client.send(batch).await;
    for code in ["250", "250", "501", "250", "354"] {
        client.expect(code).await;
    }
    // The next message may follow its predecessor's dot at once.
    client.send("one\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<z@b.example>\r\nDATA\r\n").await;
    for code in ["250 2.0.0 mx", "250 2.0.0 mx", "250 2.1.0", "250 2.1.5", "354"] {
        client.expect(code).await;
    }
    client.send("two\r\n.\r\nQUIT\r\n").await;
    client.expect("250 2.0.0 mx").await;
    client.expect("221").await;
    assert_eq!(host.taken().len(), 2);
}

#[tokio::test]
async fn chunks_are_content_too() {
    let (host, routes) = one_host(Script::default()).await;
    let relay = Running::start(routes, |_| {}).await;
    let mut client = relay.greeted().await;
    client.begin(&["x@b.example", "y@b.example"]).await;
    client.send("BDAT 6\r\nab\r\n.\r").await;
    client.expect("250 2.0.0 6 octets").await;
    client.ask("RCPT TO:<late@b.example>", "503").await;
    client.ask("DATA", "503").await;
    client.send("BDAT 4 LAST\r\n\ncd\r").await;
    client.expect("250 2.0.0 mx").await;
    client.expect("250 2.0.0 mx").await;
    assert_eq!(host.taken()[0].content, b"ab\r\n.\r\ncd \r\n");
    // Chunks that nobody wants are taken in all the same, so that nothing of them is a command.
    client.send("BDAT 6 LAST\r\nQUIT\r\n").await;
    client.expect("503").await;
    client.ask("NOOP", "250").await;
}

#[tokio::test]
async fn commands_out_of_order_do_nothing() {
    let (host, routes) = one_host(Script::default()).await;
    let relay = Running::start(routes, |_| {}).await;
    let mut client = relay.client().await;
    client.expect("220").await;
    client.ask("MAIL FROM:<>", "503 5.5.1").await;
    client.ask("EHLO x", "500 5.5.1").await;
    client.ask("LHLO x", "250").await;
    client.ask("RCPT TO:<x@b.example>", "503").await;
    client.ask("DATA", "503").await;
    client.ask("MAIL FROM:<>", "250").await;
    client.ask("MAIL FROM:<>", "503").await;
    client.ask("DATA", "503 5.5.1 no valid recipients").await;
    client.ask("RCPT TO:<x@b.example>", "250").await;
    client.ask("RSET", "250").await;
    client.ask("DATA", "503").await;
    client.ask("VRFY x", "252").await;
    assert_eq!(host.connections(), 0);
}

#[tokio::test]
async fn a_client_that_only_makes_mistakes_is_sent_away() {
    let relay = Running::start(Known::default(), |_| {}).await;
    let mut client = relay.greeted().await;
    for _ in 0..20 {
        client.ask("WHAT", "500").await;
    }
    client.ask(&"x".repeat(100_000), "500 5.5.2 line too long").await;
    client.expect("421 4.7.0").await;
    assert_eq!(client.reply().await, "");
}

#[tokio::test]
async fn limits_have_their_replies() {
    let (host, routes) = one_host(Script::default()).await;
    let relay = Running::start(routes, |config| {
        config.size = 1000;
        config.recipients = 2;
    })
    .await;
    let mut client = relay.greeted().await;
    client.ask("MAIL FROM:<> SIZE=1001", "552 5.3.4").await;
    client.begin(&["x@b.example", "y@b.example"]).await;
    client.ask("RCPT TO:<z@b.example>", "452 4.5.3").await;
    client.ask("DATA", "354").await;
    client.send(format!("{}.\r\n", "x\r\n".repeat(400))).await;
    client.expect("552 5.3.4").await;
    client.expect("552 5.3.4").await;
    assert_eq!(host.connections(), 0);
    let replies = client.message(&["x@b.example"], &"x\r\n".repeat(300)).await;
    assert!(replies[0].starts_with("250 "), "{replies:?}");
}

#[tokio::test]
async fn a_client_lost_before_the_final_dot_has_handed_over_nothing() {
    let (host, routes) = one_host(Script::default()).await;
    let relay = Running::start(routes, |_| {}).await;
    for unfinished in ["", "hello\r\n", "hello\r\n.", "hello\r\n.\r", "hello\n.\n"] {
        let mut client = relay.greeted().await;
        client.begin(&["x@b.example"]).await;
        client.ask("DATA", "354").await;
        client.send(unfinished).await;
        drop(client);
    }
    let mut client = relay.greeted().await;
    client.begin(&["x@b.example"]).await;
    client.send("BDAT 100 LAST\r\nhello").await;
    drop(client);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(host.connections(), 0);
}

#[tokio::test]
async fn a_client_lost_after_the_dot_stops_what_can_still_be_stopped() {
    let (host, _) = one_host(Script::default()).await;
    // The host is reached only after an address that does not answer for a while.
    let silent = TcpListener::bind((
        crate::fixtures::smtp_server::fresh_address(),
        crate::fixtures::smtp_server::PORT,
    ))
    .await
    .unwrap();
    let addresses = [silent.local_addr().unwrap().ip(), host.address];
    let hop = crate::fixtures::smtp_server::hop("mx.b.example", &addresses, Road::Opportunistic);
    let relay = Running::start(Known::default().with("b.example", vec![hop]), |_| {}).await;
    let mut client = relay.greeted().await;
    client.begin(&["x@b.example"]).await;
    client.ask("DATA", "354").await;
    client.send("hello\r\n.\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(client);
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(silent);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(host.taken().is_empty());
}

#[tokio::test]
async fn too_many_clients_are_told_to_come_back() {
    let relay = Running::start(Known::default(), |config| config.connections = 1).await;
    let first = relay.greeted().await;
    let mut second = relay.client().await;
    second.expect("421 4.3.2").await;
    assert_eq!(second.reply().await, "");
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    relay.greeted().await;
}

#[tokio::test]
async fn a_silent_client_is_not_waited_for() {
    let relay = Running::start(Known::default(), |config| config.idle = Duration::from_millis(100)).await;
    let mut client = relay.greeted().await;
    client.expect("421 4.4.2").await;
    assert_eq!(client.reply().await, "");
}

#[tokio::test]
async fn stopping_finishes_what_was_handed_over() {
    let (host, routes) = one_host(Script { slow: Duration::from_millis(300), ..Script::default() }).await;
    let relay = Running::start(routes, |_| {}).await;
    let mut idle = relay.greeted().await;
    let mut busy = relay.greeted().await;
    busy.begin(&["x@b.example"]).await;
    busy.ask("DATA", "354").await;
    busy.send("hello\r\n.\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    relay.stop.send(true).unwrap();
    idle.expect("421 4.3.2").await;
    busy.expect("250 2.0.0 mx").await;
    busy.expect("421 4.3.2").await;
    relay.server.await.unwrap();
    assert!(TcpStream::connect(relay.address).await.is_err());
    assert_eq!(host.taken().len(), 1);
}

#[tokio::test]
async fn international_addresses_need_the_word_for_them() {
    let (host, routes) =
        one_host(Script { extensions: vec!["SMTPUTF8", "8BITMIME"], ..Script::default() }).await;
    let relay = Running::start(routes, |_| {}).await;
    let mut client = relay.greeted().await;
    client.ask("MAIL FROM:<ä@gatepost.example>", "553 5.6.7").await;
    client.ask("MAIL FROM:<>", "250").await;
    client.ask("RCPT TO:<ö@b.example>", "553 5.6.7").await;
    client.ask("RSET", "250").await;
    client.ask("MAIL FROM:<ä@gatepost.example> SMTPUTF8", "250").await;
    client.ask("RCPT TO:<ö@b.example>", "250").await;
    client.ask("DATA", "354").await;
    client.send("x\r\n.\r\n").await;
    client.expect("250 ").await;
    assert_eq!(host.taken()[0].mail, "MAIL FROM:<ä@gatepost.example> SMTPUTF8");
}

#[tokio::test]
async fn a_unix_socket_is_as_good() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lmtp");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let courier = Courier::new(CourierConfig::default(), Tls::new(RootCertStore::empty(), Clock::system()));
    let relay = Relay::new(Known::default(), courier, (), LmtpConfig::default());
    let (stop, stopping) = watch::channel(false);
    let server = tokio::spawn(serve(Listener::Unix(listener), relay, stopping));
    let mut client = BufReader::new(tokio::net::UnixStream::connect(&path).await.unwrap());
    let dialogue = "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<x@b.example>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
    client.get_mut().write_all(dialogue.as_bytes()).await.unwrap();
    let mut said = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut client, &mut said).await.unwrap();
    assert!(
        said.contains("\r\n550 5.1.2 b.example: no such domain, or it has no mail host\r\n221 "),
        "{said}"
    );
    stop.send(true).unwrap();
    server.await.unwrap();
}
