//! Names, frames and dialogues that are not as they should be: each has a defined answer, and the next client
//! is served as if nothing had happened.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Shutdown;
use std::net::TcpStream;
use std::time::Duration;

use tests::PATIENCE;
use tests::SmtpClient;
use tests::world::Identity;
use tests::world::Peer;
use tests::world::PeerPlan;
use tests::world::World;
use tests::world::in_private_network;

use super::room;
use super::room::INBOX;
use super::room::POLICY;
use super::room::asking;
use super::room::first_said;
use super::room::handing;

const BOOKS: &str = "xn--bcher-kva.world";
const OFFERS: [&str; 4] = ["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 0"];

/// One signed domain whose host, at this address, proves itself by DANE on ports 25 and 2525.
fn books() -> (World, Peer, Ipv4Addr) {
    let mut world = World::new();
    let identity = Identity::alone(&format!("mx.{BOOKS}"));
    let address = world.unused_address();
    let zone = world.zone(BOOKS);
    zone.record(&format!("{BOOKS}. MX 10 mx.{BOOKS}.")).record(&format!("mx.{BOOKS}. A {address}"));
    for port in [25, 2525] {
        zone.record(&format!("_{port}._tcp.mx.{BOOKS}. TLSA {}", identity.tlsa(3, 1, 1)));
    }
    let peer = PeerPlan::new(&OFFERS).identity(&identity).serve(IpAddr::V4(address));
    (world, peer, address)
}

/// A client of the policy server that sends what it likes.
struct Asker(BufReader<TcpStream>);

impl Asker {
    fn new() -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, POLICY)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        // A server that has closed shows itself when its answer is read.
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// The data of the next answer; nothing if the connection was closed instead.
    fn answer(&mut self) -> Option<String> {
        let mut length = Vec::new();
        self.0.read_until(b':', &mut length).ok().filter(|read| *read > 0)?;
        let length: usize = std::str::from_utf8(length.strip_suffix(b":")?).unwrap().parse().unwrap();
        let mut data = vec![0; length + 1];
        self.0.read_exact(&mut data).unwrap();
        assert_eq!(data.pop(), Some(b','));
        Some(String::from_utf8(data).unwrap())
    }

    fn ask(&mut self, request: &str) -> String {
        self.send(format!("{}:{request},", request.len()).as_bytes());
        self.answer().unwrap_or_else(|| panic!("no answer to {request:?}"))
    }
}

#[test]
fn every_name_has_one_answer() {
    in_private_network("relay::names::every_name_has_one_answer", || {
        let (world, _peer, address) = books();
        let world = world.start();
        let _room = room::start(&world);
        let mut asker = Asker::new();
        let (label, long) = ("x".repeat(63), format!("{}.world", vec!["y".repeat(61); 4].join(".")));
        assert_eq!(long.len(), 253);
        let same = [
            BOOKS.to_owned(),
            "XN--BCHER-KVA.World".to_owned(),
            "b\u{fc}cher.world".to_owned(),
            "B\u{dc}CHER.WORLD".to_owned(),
            "bu\u{308}cher.world".to_owned(),
            "b\u{fc}cher\u{3002}world".to_owned(),
            "b\u{fc}cher.world.".to_owned(),
            format!("[mx.{BOOKS}]"),
            "[MX.b\u{fc}cher.world]:smtp".to_owned(),
            format!("[mx.{BOOKS}]:2525"),
            format!("{BOOKS}:2525"),
        ];
        for name in &same {
            assert_eq!(asker.ask(&format!("QUERY {name}")), "OK dane-only", "{name}");
        }
        let nothing = [
            format!("[mx.{BOOKS}]:2526"),
            format!("[{address}]"),
            format!("[{address}]:25"),
            "[IPv6:fd00::6]".to_owned(),
            "[fd00::6]:25".to_owned(),
            format!("{label}.world"),
            long.clone(),
            String::new(),
            ".world".to_owned(),
        ];
        for name in &nothing {
            assert_eq!(asker.ask(&format!("QUERY {name}")), "NOTFOUND ", "{name}");
        }
        let never = [
            (format!("x{label}.world"), "a label is longer than 63 octets"),
            (format!("y{long}"), "octets"),
            ("x.".repeat(2000), "the name is longer than 253 octets"),
            ("a..world".to_owned(), "a label is empty"),
            ("world..".to_owned(), "a label is empty"),
            ("192.0.2.1".to_owned(), "an address must be in brackets"),
            ("2001:db8::1".to_owned(), "the port is none"),
            ("[192.0.2.999]".to_owned(), "a character does not belong into a name"),
            ("[IPv6:fd00::zz]".to_owned(), "a character does not belong into a name"),
            (format!("[mx.{BOOKS}"), "the brackets do not fit"),
            (format!("[mx.{BOOKS}]x"), "the brackets do not fit"),
            (format!("{BOOKS}:0"), "the port is none"),
            (format!("{BOOKS}:65536"), "the port is none"),
            (format!("{BOOKS}\0"), "a character does not belong into a name"),
            (format!("{BOOKS}\r\nQUERY {BOOKS}"), "a character does not belong into a name"),
            (format!(" {BOOKS}"), "a character does not belong into a name"),
            (format!("u@{BOOKS}"), "a character does not belong into a name"),
            ("*".to_owned(), "a character does not belong into a name"),
            ("\u{202e}x.world".to_owned(), "no A-label form"),
            ("\u{fffd}.world".to_owned(), "no A-label form"),
        ];
        for (name, why) in &never {
            let answer = asker.ask(&format!("QUERY {name}"));
            assert!(answer.starts_with("PERM ") && answer.contains(why), "{name:?}: {answer}");
            assert!(!answer.contains(char::is_control), "{answer:?}");
            assert_eq!(asker.ask(&format!("sts {name}")), "NOTFOUND ", "{name:?}");
        }
        assert!(asker.ask("QUERi x.world").starts_with("PERM no such map here"));
        // One domain, one next-hop, however it is written.
        let hop = asker.ask(&format!("transport u@{BOOKS}"));
        assert!(hop.starts_with("OK gw:inet:[127."), "{hop}");
        for address in ["j\u{fc}rgen@b\u{fc}cher.world", "u@B\u{dc}CHER.World.", "b\u{fc}cher.world"] {
            assert_eq!(asker.ask(&format!("transport {address}")), hop, "{address}");
        }
        assert_eq!(asker.ask("transport u@handing\u{3002}example"), "NOTFOUND ", "our own");
        // Postfix' own client of the protocol.
        let map = format!("socketmap:inet:127.0.0.1:{POLICY}:QUERY");
        let postfix = handing(&world).start();
        let postmap = |name: &str| postfix.command("postmap", &["-q", name, &map]);
        assert_eq!(postmap("b\u{fc}cher.world").success().text(), "dane-only\n");
        assert_eq!((postmap("[fd00::6]").code, postmap("[fd00::6]").stderr), (1, String::new()));
        let refused = postmap("a..world");
        assert!(refused.code == 1 && refused.stderr.contains("a label is empty"), "{}", refused.stderr);
    });
}

#[test]
fn frames_that_are_none_end_their_connection_and_nothing_else() {
    in_private_network("relay::names::frames_that_are_none_end_their_connection_and_nothing_else", || {
        let (world, _peer, _) = books();
        let world = world.start();
        let room = room::start(&world);
        let good = format!("{}:QUERY {BOOKS},", BOOKS.len() + 6);
        let mut witness = Asker::new();
        for wire in [
            &b"5:QUERY plain.world,"[..],
            b"018:QUERY plain.world,",
            b"17:QUERY plain.worldX",
            b"100001:QUERY ",
            b"99999999999999999999:QUERY ",
            b"-1:,",
            b"+17:QUERY plain.world,",
            b" 17:QUERY plain.world,",
            b"0x11:QUERY plain.world,",
            b"0:,",
            b"5:QUERY,",
            b"7:QUERY \xff,",
            b"QUERY plain.world\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        ] {
            let mut asker = Asker::new();
            // What came before it is answered, what comes after it is not.
            asker.send(good.as_bytes());
            asker.send(&[wire, good.as_bytes()].concat());
            let shown = String::from_utf8_lossy(wire);
            assert_eq!(asker.answer().as_deref(), Some("OK dane-only"), "{shown}");
            assert_eq!(asker.answer(), None, "{shown}");
            assert_eq!(witness.ask(&format!("QUERY {BOOKS}")), "OK dane-only", "{shown}");
        }
        // A length that promises more than comes is waited for, and forgotten with its client.
        let mut asker = Asker::new();
        asker.send(format!("99999:QUERY {BOOKS},").as_bytes());
        asker.0.get_mut().shutdown(Shutdown::Write).unwrap();
        assert_eq!(asker.answer(), None);
        // In drops, and many in one piece.
        let mut asker = Asker::new();
        for byte in good.bytes() {
            asker.send(&[byte]);
            std::thread::sleep(Duration::from_millis(3));
        }
        assert_eq!(asker.answer().as_deref(), Some("OK dane-only"));
        let mut asker = Asker::new();
        let many: String = (0..2000)
            .map(|number| match number % 2 {
                0 => good.clone(),
                _ => "13:QUERY a..w\u{f6}d,".to_owned(),
            })
            .collect();
        let mut sending = asker.0.get_ref().try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || sending.write_all(many.as_bytes()).unwrap());
            for number in 0..2000 {
                let answer = asker.answer().unwrap();
                assert!(
                    answer.starts_with(if number % 2 == 0 { "OK dane-only" } else { "PERM " }),
                    "{number}: {answer}"
                );
            }
        });
        assert_eq!(witness.ask(&format!("QUERY {BOOKS}")), "OK dane-only");
        assert!(!room.log().contains("panicked"), "{}", room.log());
    });
}

/// A client of the relay that sends what it likes.
struct Raw(BufReader<TcpStream>);

impl Raw {
    fn new() -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, INBOX)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut raw = Self(BufReader::new(stream));
        assert!(raw.reply().starts_with("220 "));
        raw
    }

    fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// The last line of the next reply; empty if the connection was closed.
    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    #[track_caller]
    fn ask(&mut self, bytes: &[u8], expected: &str) {
        self.say(bytes);
        let reply = self.reply();
        let shown: String = String::from_utf8_lossy(bytes).chars().take(80).collect();
        assert!(reply.starts_with(expected), "{shown:?}: {reply}");
    }
}

#[test]
fn a_dialogue_that_is_none_is_answered_line_by_line() {
    in_private_network("relay::names::a_dialogue_that_is_none_is_answered_line_by_line", || {
        let (world, peer, _) = books();
        let world = world.start();
        let room = room::start(&world);
        let mut raw = Raw::new();
        let to = format!("RCPT TO:<u@{BOOKS}>\r\n");
        for early in [&b"MAIL FROM:<>\r\n"[..], to.as_bytes(), b"DATA\r\n", b"BDAT 3\r\nabc"] {
            raw.ask(early, "503 5.5.1 ");
        }
        raw.ask(b"EHLO client.example\r\n", "500 5.5.1 this is LMTP");
        raw.ask(b"LHLO\r\n", "501 5.5.4 ");
        raw.ask(b"LHLO client.example\r\n", "250 SIZE");
        raw.ask(b"NO\0OP\r\n", "500 5.5.2 ");
        raw.ask(b"NOOP \xff\xfe\r\n", "500 5.5.2 ");
        raw.ask(b"NO\rOP\r\n", "500 5.5.2 ");
        raw.ask(
            &[&b"MAIL FROM:<"[..], &[b'x'; 100_000], b"@a.example>\r\n"].concat(),
            "500 5.5.2 line too long",
        );
        // A lone LF ends a command: there is nothing that two hosts could read differently.
        raw.ask(b"NOOP\n", "250 ");
        raw.ask(b"MAIL FROM:<a@b.example> BODY=BINARYMIME\r\n", "501 5.5.4 ");
        raw.ask(b"MAIL FROM:<a@b.example> X=y\r\n", "555 5.5.4 ");
        raw.ask(b"MAIL FROM:<>\r\nRSET\r\n", "250 ");
        assert!(raw.reply().starts_with("250 "));
        raw.ask(b"BOGUS\r\n", "500 5.5.1 ");
        drop(raw);
        let mut raw = Raw::new();
        raw.ask(b"LHLO client.example\r\n", "250 SIZE");
        for _ in 0..20 {
            raw.ask(b"BOGUS\r\n", "500 5.5.1 ");
        }
        raw.ask(b"BOGUS\r\n", "500 5.5.1 ");
        assert!(raw.reply().starts_with("421 4.7.0 too many errors"));
        assert_eq!(raw.reply(), "");
        // Recipients above the limit; those below it are delivered to.
        let mut raw = Raw::new();
        raw.ask(b"LHLO client.example\r\n", "250 SIZE");
        raw.ask(b"MAIL FROM:<>\r\n", "250 ");
        let all: String = (0..1002).map(|number| format!("RCPT TO:<u{number}@{BOOKS}>\r\n")).collect();
        raw.say(all.as_bytes());
        for number in 0..1002 {
            let expected = if number < 1000 { "250 " } else { "452 4.5.3 " };
            let reply = raw.reply();
            assert!(reply.starts_with(expected), "{number}: {reply}");
        }
        raw.ask(b"DATA\r\n", "354 ");
        raw.say(b"Subject: many\r\n\r\nx\r\n.\r\n");
        for number in 0..1000 {
            let reply = raw.reply();
            assert!(reply.starts_with("250 2.0.0 "), "{number}: {reply}");
        }
        raw.ask(b"QUIT\r\n", "221 ");
        let taken = peer.taken();
        assert!(taken.len() == 1 && taken[0].rcpt.len() == 1000, "{}", taken.len());
        assert!(!room.log().contains("panicked"), "{}", room.log());
    });
}

#[test]
fn recipients_of_all_shapes_get_a_defined_answer() {
    in_private_network("relay::names::recipients_of_all_shapes_get_a_defined_answer", || {
        let (world, peer, address) = books();
        let world = world.start();
        let _room = room::start(&world);
        let mut raw = Raw::new();
        raw.ask(b"LHLO client.example\r\n", "250 SIZE");
        raw.ask(b"MAIL FROM:<>\r\n", "250 ");
        raw.ask("RCPT TO:<\u{fc}@b.world>\r\n".as_bytes(), "553 5.6.7 ");
        raw.ask("RCPT TO:<u@b\u{fc}cher.world>\r\n".as_bytes(), "553 5.6.7 ");
        raw.ask(b"RSET\r\n", "250 ");
        raw.ask(b"MAIL FROM:<> SMTPUTF8\r\n", "250 ");
        let long = "x".repeat(600);
        for never in [
            "u",
            "u@",
            "@a.world",
            "u@a b",
            "u@a/b",
            "u@a.world:25",
            "u@[mx.a.world]",
            "u@[192.0.2.999]",
            "u@[IPv6:zz]",
            "u@[fd00::6]",
            "u@[127.0.0.1]:25",
            "u@[127.0.0.1",
            "u@a,b",
            &long,
        ] {
            raw.ask(format!("RCPT TO:<{never}>\r\n").as_bytes(), "501 5.1.3 ");
            // Twenty mistakes end a connection.
            drop(std::mem::replace(&mut raw, Raw::new()));
            raw.ask(b"LHLO client.example\r\n", "250 SIZE");
            raw.ask(b"MAIL FROM:<> SMTPUTF8\r\n", "250 ");
        }
        let good =
            |to: &str| (to.to_owned(), "250 2.0.0 mx.xn--bcher-kva.world[127.1.0.1]:25 DANE-verified ");
        let literal = format!("250 2.0.0 [{address}]");
        let shapes = [
            good("u@b\u{fc}cher.world"),
            good("u@XN--BCHER-KVA.World"),
            good("\"a b@c\"@b\u{fc}cher.world."),
            (format!("u@{}.world", "x".repeat(64)), "550 5.1.2 "),
            (format!("u@{}world", "x.".repeat(130)), "550 5.1.2 "),
            ("u@a..world".to_owned(), "550 5.1.2 "),
            ("u@\u{202e}x.world".to_owned(), "550 5.1.2 "),
            ("u@192.0.2.1".to_owned(), "550 5.1.2 "),
            ("u@absent.world".to_owned(), "550 5.1.2 "),
            (format!("u@[{address}]"), literal.as_str()),
        ];
        for (to, _) in &shapes {
            raw.ask(format!("RCPT TO:<{to}>\r\n").as_bytes(), "250 ");
        }
        raw.ask(b"DATA\r\n", "354 ");
        raw.say(b"Subject: shapes\r\n\r\nx\r\n.\r\n");
        for (to, answer) in &shapes {
            let reply = raw.reply();
            println!("{to:.40}: {reply}");
            assert!(reply.starts_with(&answer[..8]) && reply.contains(&answer[10..]), "{to}: {reply}");
        }
        // Both forms of the name are one domain: one message with three recipients, and one to the literal.
        let mut counts: Vec<usize> = peer.taken().iter().map(|taken| taken.rcpt.len()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 3]);
        // The same through Postfix, both ways.
        let (handing, asking) = (handing(&world).start(), asking(&world).start());
        for postfix in [&handing, &asking] {
            let mut client = SmtpClient::connect(postfix.ports.plain);
            assert_eq!(client.mail_with("", "SMTPUTF8").code, 250);
            for to in ["p@b\u{fc}cher.world", "p@xn--bcher-kva.world"] {
                assert_eq!(client.rcpt(to).code, 250);
            }
            assert_eq!(client.data(b"Subject: x\r\n\r\nx\r\n").code, 250);
        }
        for to in ["p@b\u{fc}cher.world", "p@xn--bcher-kva.world"] {
            let said = first_said(&handing, to, PATIENCE);
            assert!(said.status == "sent" && said.text.contains(" DANE-verified "), "{said:?}");
            let said = first_said(&asking, to, PATIENCE);
            assert_eq!(said.status, "sent", "{said:?}");
        }
        let log = asking.log();
        assert!(log.contains(": Verified TLS connection established to mx.xn--bcher-kva.world["), "{log}");
        assert!(!log.contains(": Untrusted TLS connection"), "{log}");
    });
}

#[test]
fn nothing_is_smuggled_past_the_end_of_a_message() {
    in_private_network("relay::names::nothing_is_smuggled_past_the_end_of_a_message", || {
        let (mut world, by_data, _) = books();
        let identity = Identity::alone("mx.chunks.world");
        let address = world.unused_address();
        let zone = world.zone("chunks.world");
        zone.record("chunks.world. MX 10 mx.chunks.world.").record(&format!("mx.chunks.world. A {address}"));
        zone.record(&format!("_25._tcp.mx.chunks.world. TLSA {}", identity.tlsa(3, 1, 1)));
        let offers = [&OFFERS[..], &["CHUNKING"]].concat();
        let by_chunks = PeerPlan::new(&offers).identity(&identity).serve(IpAddr::V4(address));
        let world = world.start();
        let _room = room::start(&world);
        let mut raw = Raw::new();
        raw.ask(b"LHLO client.example\r\n", "250 SIZE");
        let mut sent = 0;
        for end in [
            "\n.\n",
            "\n.\r\n",
            "\r.\r\n",
            "\r.\r",
            "\r\n.\n",
            "\r\n.\r",
            "\r\n.\0\r\n",
            "\n.\n\r\n",
            "\r\n\r.\r\n",
        ] {
            for domain in [BOOKS, "chunks.world"] {
                let evil = format!("MAIL FROM:<evil@b.example>\r\nRCPT TO:<evil@{domain}>\r\nDATA\r\nevil");
                let content = format!("Subject: x\r\n\r\nfirst{end}{evil}\r\n");
                for chunked in [false, true] {
                    raw.ask(b"MAIL FROM:<>\r\n", "250 ");
                    raw.ask(format!("RCPT TO:<u@{domain}>\r\n").as_bytes(), "250 ");
                    if chunked {
                        // Here even the right end is content.
                        let content = content.replace(end, "\r\n.\r\n");
                        raw.ask(format!("BDAT {} LAST\r\n{content}", content.len()).as_bytes(), "250 2.0.0 ");
                    } else {
                        raw.ask(b"DATA\r\n", "354 ");
                        raw.ask(format!("{content}.\r\n").as_bytes(), "250 2.0.0 ");
                    }
                    sent += 1;
                }
            }
        }
        let taken = [by_data.taken(), by_chunks.taken()].concat();
        assert_eq!(taken.len(), sent, "a message more, or less");
        for taken in &taken {
            assert_eq!(taken.rcpt.len(), 1);
            let text = String::from_utf8_lossy(&taken.content).into_owned();
            assert!(text.contains("evil") && !taken.rcpt[0].contains("evil"), "{text}");
            let bare = text.replace("\r\n", "");
            assert!(!bare.contains(['\r', '\n']), "{text:?}");
        }
        raw.ask(b"QUIT\r\n", "221 ");
    });
}
