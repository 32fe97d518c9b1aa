//! What a host offers is used, what it lacks is refused with the reason, and every recipient gets the host's own words:
//! through real Postfix and the relay, to hosts that show what they were told.

use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::process::Command;

use tests::PATIENCE;
use tests::Postfix;
use tests::SmtpClient;
use tests::run;
use tests::wait_for;
use tests::world::Identity;
use tests::world::Peer;
use tests::world::PeerPlan;
use tests::world::Taken;
use tests::world::World;
use tests::world::in_private_network;

use super::room;
use super::room::INBOX;
use super::room::first_said;
use super::room::handing;
use super::room::said;

/// What a modern host offers.
const ALL: [&str; 6] = ["PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 20000000", "CHUNKING"];
const PLAIN: &[u8] = b"Subject: x\r\n\r\nhello\r\n";

/// A signed domain whose only host proves itself by DANE.
fn domain(world: &mut World, name: &str, plan: PeerPlan) -> Peer {
    let identity = Identity::alone(&format!("mx.{name}"));
    let address = world.unused_address();
    let zone = world.zone(name);
    zone.record(&format!("{name}. MX 10 mx.{name}.")).record(&format!("mx.{name}. A {address}"));
    zone.record(&format!("_25._tcp.mx.{name}. TLSA {}", identity.tlsa(3, 1, 1)));
    plan.identity(&identity).serve(IpAddr::V4(address))
}

/// Hands a message to Postfix with parameters; its reply must be 250.
#[track_caller]
fn submit(postfix: &Postfix, from: (&str, &str), to: &[(&str, &str)], content: &[u8]) {
    let mut client = SmtpClient::connect(postfix.ports.plain);
    let mail = client.command(&format!("MAIL FROM:<{}> {}", from.0, from.1));
    assert_eq!(mail.code, 250, "{mail}");
    for (to, parameters) in to {
        let rcpt = client.command(&format!("RCPT TO:<{to}> {parameters}"));
        assert_eq!(rcpt.code, 250, "{rcpt}");
    }
    let end = client.data(content);
    assert_eq!(end.code, 250, "{end}");
}

/// The only message that a peer took for this recipient.
#[track_caller]
fn only(peer: &Peer, to: &str) -> Taken {
    let path = format!("<{to}>");
    let mut taken = peer.taken();
    taken.retain(|taken| taken.rcpt.iter().any(|rcpt| rcpt.contains(&path)));
    assert_eq!(taken.len(), 1, "{to}: {:?}", peer.commands());
    taken.remove(0)
}

/// Another IPv6 address of this private network.
fn address6(last: u16) -> Ipv6Addr {
    let address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last);
    let name = format!("{address}/128");
    run(Command::new("ip").args(["-6", "addr", "add", &name, "dev", "lo", "nodad"]), b"").success();
    address
}

#[test]
fn hosts_are_reached_by_ipv6_and_by_ipv4_where_ipv6_refuses() {
    in_private_network("relay::features::hosts_are_reached_by_ipv6_and_by_ipv4_where_ipv6_refuses", || {
        run(Command::new("ip").args(["link", "set", "lo", "up"]), b"").success();
        let mut world = World::new();
        let identity = Identity::alone("mx.six.world");
        let six = address6(6);
        let zone = world.zone("six.world");
        zone.record("six.world. MX 10 mx.six.world.").record(&format!("mx.six.world. AAAA {six}"));
        zone.record(&format!("_25._tcp.mx.six.world. TLSA {}", identity.tlsa(3, 1, 1)));
        let by_six = PeerPlan::new(&ALL).identity(&identity).serve(IpAddr::V6(six));
        let by_four = domain(&mut world, "both.world", PeerPlan::new(&ALL));
        let dead = address6(7);
        world.zone("both.world").record(&format!("mx.both.world. AAAA {dead}"));
        let world = world.start();
        let _room = room::start(&world);
        let postfix = handing(&world).start();
        submit(&postfix, ("", ""), &[("u@six.world", ""), ("u@both.world", "")], PLAIN);
        let said = first_said(&postfix, "u@six.world", PATIENCE);
        assert!(
            said.status == "sent" && said.text.contains("mx.six.world[fd00::6]:25 DANE-verified "),
            "{said:?}"
        );
        assert_eq!(only(&by_six, "u@six.world").rcpt.len(), 1);
        let said = first_said(&postfix, "u@both.world", PATIENCE);
        assert!(said.status == "sent" && said.text.contains("mx.both.world[127.1.0."), "{said:?}");
        assert_eq!(only(&by_four, "u@both.world").rcpt.len(), 1);
    });
}

#[test]
fn eight_bit_text_goes_where_it_is_understood() {
    in_private_network("relay::features::eight_bit_text_goes_where_it_is_understood", || {
        let mut world = World::new();
        let able = domain(&mut world, "able.world", PeerPlan::new(&ALL));
        let bare = domain(&mut world, "bare.world", PeerPlan::new(&[]));
        let names = domain(&mut world, "eight.world", PeerPlan::new(&["8BITMIME"]));
        let world = world.start();
        let _room = room::start(&world);
        let postfix = handing(&world).start();
        let eight = "Subject: x\r\n\r\nGr\u{fc}\u{df}e\r\n".as_bytes();
        submit(&postfix, ("", "BODY=8BITMIME"), &[("u@able.world", ""), ("u@bare.world", "")], eight);
        submit(&postfix, ("", ""), &[("seven@bare.world", "")], PLAIN);
        let header = "Subject: Gr\u{fc}\u{df}e\r\n\r\nx\r\n".as_bytes();
        let international = "BODY=8BITMIME SMTPUTF8";
        submit(
            &postfix,
            ("", international),
            &[
                ("j\u{fc}rgen@able.world", ""),
                ("j\u{fc}rgen@bare.world", ""),
                ("j\u{fc}rgen@eight.world", ""),
            ],
            PLAIN,
        );
        submit(&postfix, ("", international), &[("h@able.world", ""), ("h@eight.world", "")], header);

        for to in ["u@able.world", "seven@bare.world", "j\u{fc}rgen@able.world", "h@able.world"] {
            let said = first_said(&postfix, to, PATIENCE);
            assert!(said.status == "sent" && said.text.contains(" DANE-verified "), "{to}: {said:?}");
        }
        let taken = only(&able, "u@able.world");
        assert!(taken.mail.contains(" BODY=8BITMIME") && !taken.mail.contains("SMTPUTF8"), "{}", taken.mail);
        assert!(taken.content.ends_with("\r\n\r\nGr\u{fc}\u{df}e\r\n".as_bytes()));
        assert!(only(&able, "j\u{fc}rgen@able.world").mail.ends_with(" SMTPUTF8"));
        assert!(only(&able, "h@able.world").mail.contains(" SMTPUTF8"));
        // A host that offers nothing is told nothing.
        let taken = only(&bare, "seven@bare.world");
        assert_eq!((taken.mail.as_str(), taken.chunks, taken.pipelined), ("MAIL FROM:<>", 0, false));

        for (to, dsn, why) in [
            ("u@bare.world", "5.6.3", "does not offer 8BITMIME"),
            ("j\u{fc}rgen@bare.world", "5.6.7", "does not offer SMTPUTF8"),
            ("j\u{fc}rgen@eight.world", "5.6.7", "does not offer SMTPUTF8"),
            ("h@eight.world", "5.6.9", "does not offer SMTPUTF8"),
        ] {
            let said = first_said(&postfix, to, PATIENCE);
            assert_eq!((said.status.as_str(), said.dsn.as_str()), ("bounced", dsn), "{to}: {said:?}");
            assert!(said.text.contains(why) && said.text.contains(" said: 550 "), "{to}: {said:?}");
        }
        let told = [bare.commands(), names.commands()].concat();
        assert_eq!(told.iter().filter(|line| line.starts_with("MAIL")).count(), 1, "{told:?}");
    });
}

#[test]
fn the_sender_s_wishes_for_notifications_are_handed_on() {
    in_private_network("relay::features::the_sender_s_wishes_for_notifications_are_handed_on", || {
        let mut world = World::new();
        let able = domain(&mut world, "able.world", PeerPlan::new(&ALL));
        let bare = domain(&mut world, "bare.world", PeerPlan::new(&[]));
        let world = world.start();
        let _room = room::start(&world);
        let postfix = handing(&world).start();
        let wishes = "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2Bx@old.example";
        let from = ("alice@handing.example", "RET=HDRS ENVID=QQ+2B314159");
        submit(&postfix, from, &[("u@able.world", wishes), ("n@able.world", "NOTIFY=NEVER")], PLAIN);
        submit(&postfix, from, &[("u@bare.world", wishes)], PLAIN);
        assert_eq!(first_said(&postfix, "u@able.world", PATIENCE).status, "sent");
        let taken = only(&able, "u@able.world");
        assert!(taken.mail.ends_with(" RET=HDRS ENVID=QQ+2B314159"), "{}", taken.mail);
        assert!(taken.rcpt.iter().any(|rcpt| rcpt.ends_with(wishes)), "{:?}", taken.rcpt);
        assert!(
            taken.rcpt.contains(&"RCPT TO:<n@able.world> NOTIFY=NEVER".to_owned())
                || taken
                    .rcpt
                    .iter()
                    .any(|rcpt| rcpt.starts_with("RCPT TO:<n@able.world> NOTIFY=NEVER ORCPT=")),
            "{:?}",
            taken.rcpt
        );
        assert_eq!(first_said(&postfix, "u@bare.world", PATIENCE).status, "sent");
        let taken = only(&bare, "u@bare.world");
        assert_eq!(
            (taken.mail.as_str(), taken.rcpt.as_slice()),
            ("MAIL FROM:<alice@handing.example>", &["RCPT TO:<u@bare.world>".to_owned()][..],)
        );
    });
}

/// Where the hosts behind the relay are not known to send notifications, Postfix sends `relayed` itself (RFC 3461
/// section 5.2.2) if it does not hear of DSN from the relay.
#[test]
fn postfix_notifies_by_itself_when_it_is_told_to() {
    in_private_network("relay::features::postfix_notifies_by_itself_when_it_is_told_to", || {
        let mut world = World::new();
        let able = domain(&mut world, "able.world", PeerPlan::new(&ALL));
        let world = world.start();
        let _room = room::start(&world);
        let postfix = handing(&world)
            .parameter("lmtp_discard_lhlo_keywords", "dsn")
            .parameter(
                "transport_maps",
                &format!(
                    "inline:{{handing.example=virtual}}, socketmap:inet:127.0.0.1:{}:transport",
                    room::POLICY
                ),
            )
            .start();
        submit(&postfix, ("alice@handing.example", "ENVID=E1"), &[("u@able.world", "NOTIFY=SUCCESS")], PLAIN);
        assert_eq!(first_said(&postfix, "u@able.world", PATIENCE).status, "sent");
        assert!(!only(&able, "u@able.world").rcpt[0].contains("NOTIFY"));
        let notices = postfix.wait_mail("alice", 1);
        let text = notices[0].text();
        assert!(text.contains("Action: relayed") && text.contains("Original-Envelope-Id: E1"), "{text}");
    });
}

#[test]
fn a_message_that_is_too_big_for_a_host_is_not_sent_there() {
    in_private_network("relay::features::a_message_that_is_too_big_for_a_host_is_not_sent_there", || {
        let mut world = World::new();
        let small = domain(&mut world, "small.world", PeerPlan::new(&["PIPELINING", "SIZE 1000"]));
        let able = domain(&mut world, "able.world", PeerPlan::new(&ALL));
        let world = world.start();
        let _room = room::start(&world);
        let postfix = handing(&world).start();
        let big = [PLAIN, &b"0123456789abcdef\r\n".repeat(200)].concat();
        submit(&postfix, ("", ""), &[("big@small.world", ""), ("big@able.world", "")], &big);
        let said = first_said(&postfix, "big@small.world", PATIENCE);
        assert_eq!((said.status.as_str(), said.dsn.as_str()), ("bounced", "5.3.4"), "{said:?}");
        assert!(said.text.contains(" said: 552 ") && said.text.contains("the host takes 1000"), "{said:?}");
        assert!(!small.commands().iter().any(|line| line.starts_with("MAIL")), "{:?}", small.commands());
        assert_eq!(first_said(&postfix, "big@able.world", PATIENCE).status, "sent");
        let taken = only(&able, "big@able.world");
        assert!(taken.mail.contains(&format!(" SIZE={}", taken.content.len())), "{}", taken.mail);
        submit(&postfix, ("", ""), &[("little@small.world", "")], PLAIN);
        assert_eq!(first_said(&postfix, "little@small.world", PATIENCE).status, "sent");
        assert_eq!(only(&small, "little@small.world").chunks, 0);
    });
}

/// Hands a message to the relay itself, octet by octet as given. Gives the replies after the content.
fn hand_over(to: &[String], wire: &[u8]) -> Vec<String> {
    let (mut client, greeting) = SmtpClient::greeted(INBOX);
    assert_eq!(greeting.code, 220, "{greeting}");
    assert_eq!(client.command("LHLO client.example").code, 250);
    next_message(&mut client, to, wire)
}

fn next_message(client: &mut SmtpClient, to: &[String], wire: &[u8]) -> Vec<String> {
    assert_eq!(client.mail("").code, 250);
    for to in to {
        assert_eq!(client.rcpt(to).code, 250, "{to}");
    }
    assert_eq!(client.command("DATA").code, 354);
    let first = client.content(wire).to_string();
    let rest = (1..to.len()).map(|_| client.reply().to_string());
    std::iter::once(first).chain(rest.collect::<Vec<String>>()).collect()
}

#[test]
fn every_octet_arrives_by_data_and_in_chunks() {
    in_private_network("relay::features::every_octet_arrives_by_data_and_in_chunks", || {
        let mut world = World::new();
        let chunks = domain(&mut world, "chunks.world", PeerPlan::new(&ALL));
        let data = domain(&mut world, "data.world", PeerPlan::new(&["8BITMIME"]));
        let world = world.start();
        let _room = room::start(&world);
        let mut wire = b"Subject: octets\r\n\r\n.\r\n..\r\n.x\r\n...\r\n\r\n".to_vec();
        wire.extend((0..=255_u8).filter(|octet| !b"\r\n".contains(octet)));
        wire.extend_from_slice(b"\r\n.\r\n");
        wire.extend_from_slice(&b"\x80\xff\0 long line".repeat(5000));
        // Above the size of a chunk (1 MiB), so that one ends in the middle of a line.
        wire.extend_from_slice(&b"\r\n.abc\xe4\xf6\xfc".repeat(300_000));
        for (domain, peer, expected) in [("chunks.world", &chunks, 3), ("data.world", &data, 0)] {
            let to = [format!("u@{domain}")];
            let replies = hand_over(&to, &wire);
            assert!(replies[0].starts_with("250 "), "{replies:?}");
            let taken = only(peer, &to[0]);
            // The last line had no end: it has one now.
            let whole = [wire.as_slice(), b"\r\n"].concat();
            assert_eq!(taken.content.len(), whole.len());
            assert!(taken.content == whole, "{domain}: other octets arrived");
            assert_eq!(taken.chunks, expected);
            assert_eq!(taken.pipelined, expected > 0);
        }
    });
}

#[test]
fn every_recipient_gets_the_host_s_own_words() {
    in_private_network("relay::features::every_recipient_gets_the_host_s_own_words", || {
        let mut world = World::new();
        let peer = domain(&mut world, "words.world", PeerPlan::new(&ALL));
        let world = world.start();
        let _room = room::start(&world);
        let postfix = handing(&world).start();
        peer.script(
            "RCPT TO:<many@",
            "550-5.1.1 Nobody here\r\n550-5.1.1 has that name;\r\n550 5.1.1 see https://words.world/x",
        );
        peer.script("RCPT TO:<full@", "452 4.2.2 mailbox full");
        peer.script("RCPT TO:<old@", "551 no enhanced code here");
        peer.script(".", "250-2.6.0 first line\r\n250 2.6.0 queued as 4711");
        let to = ["ok@words.world", "many@words.world", "full@words.world", "old@words.world"];
        submit(&postfix, ("", ""), &to.map(|to| (to, "")), PLAIN);
        for (to, status, dsn, words) in [
            (to[0], "sent", "2.6.0", "remote said: 250 2.6.0 first line queued as 4711"),
            (to[1], "bounced", "5.1.1", "550 5.1.1 Nobody here has that name; see https://words.world/x"),
            (to[2], "deferred", "4.2.2", "452 4.2.2 mailbox full"),
            (to[3], "bounced", "5.0.0", "551 no enhanced code here"),
        ] {
            let said = first_said(&postfix, to, PATIENCE);
            assert_eq!((said.status.as_str(), said.dsn.as_str()), (status, dsn), "{to}: {said:?}");
            assert!(said.text.contains(words), "{to}: {said:?}");
        }
        assert_eq!(peer.taken().len(), 1);
        // A yes is a yes, however long; what never ends is none.
        for (words, status) in [(100_000, "sent"), (2_000_000, "deferred")] {
            let to = format!("long{words}@words.world");
            peer.script(".", &format!("250 2.6.0 taken {}", "x".repeat(words)));
            submit(&postfix, ("", ""), &[(&to, "")], PLAIN);
            let said = first_said(&postfix, &to, PATIENCE);
            assert_eq!(said.status, status, "{said:?}");
            let text =
                if status == "sent" { "remote said: 250 2.6.0 taken xxx" } else { "may be delivered twice" };
            assert!(said.text.contains(text), "{said:?}");
        }
    });
}

#[test]
fn a_host_that_closes_in_mid_session_gets_everything_once() {
    in_private_network("relay::features::a_host_that_closes_in_mid_session_gets_everything_once", || {
        let mut world = World::new();
        let mut cases = Vec::new();
        for command in ["CONNECT", "EHLO", "MAIL", "RCPT TO:<b", "BDAT", "."] {
            // Once with 421, once without a word.
            for reply in ["421 4.3.2 closing now", ""] {
                let name = format!("closing{}.world", cases.len());
                let peer = domain(&mut world, &name, PeerPlan::new(&ALL));
                peer.script(command, reply);
                cases.push((command, reply, ["a", "b", "c"].map(|who| format!("{who}@{name}")), peer));
            }
        }
        let world = world.start();
        let _room = room::start(&world);
        let postfix = handing(&world).start();
        for (command, _, to, _) in &cases {
            // Two chunks, so that one of them is not the last.
            let content = PLAIN.repeat(if *command == "BDAT" { 60_000 } else { 1 });
            submit(&postfix, ("", ""), &to.each_ref().map(|to| (to.as_str(), "")), &content);
        }
        for (command, reply, to, peer) in &cases {
            for to in to {
                let said = first_said(&postfix, to, PATIENCE);
                assert!(
                    said.status == "deferred" && said.dsn.starts_with("4."),
                    "{command} {reply}: {said:?}"
                );
                assert!(reply.is_empty() || said.text.contains(reply), "{command} {reply}: {said:?}");
            }
            assert_eq!(peer.taken(), [], "{command} {reply}");
        }
        postfix.flush();
        for (command, reply, to, peer) in &cases {
            for to in to {
                wait_for(&format!("{to} to be sent after {command} {reply}"), PATIENCE, || {
                    said(&postfix, to).into_iter().find(|said| said.status == "sent")
                });
                only(peer, to);
            }
        }
        postfix.wait_idle();
    });
}

#[test]
fn connections_are_used_again_within_bounds_and_replies_are_never_mixed() {
    in_private_network(
        "relay::features::connections_are_used_again_within_bounds_and_replies_are_never_mixed",
        || {
            let mut world = World::new();
            let peer = domain(&mut world, "often.world", PeerPlan::new(&ALL));
            let world = world.start();
            let _room = room::start(&world);
            let client = |who: usize, messages: usize| {
                let (mut client, _) = SmtpClient::greeted(INBOX);
                assert_eq!(client.command("LHLO client.example").code, 250);
                for number in 0..messages {
                    let to = ["a", "b"].map(|part| format!("{part}{who}x{number}@often.world"));
                    let replies = next_message(&mut client, &to, PLAIN);
                    let taken = format!("taken for {} {}", to[0], to[1]);
                    assert!(replies.iter().all(|reply| reply.ends_with(&taken)), "{replies:?}");
                }
            };
            client(0, 120);
            let connections = peer.connections();
            // A host that gives up an idle connection is asked again, and nobody notices.
            peer.script("MAIL", "421 4.4.2 idle for too long");
            client(1, 3);
            assert_eq!(peer.connections(), connections + 1);
            std::thread::scope(|scope| {
                for who in 2..22 {
                    scope.spawn(move || client(who, 10));
                }
            });
            let mut uses = vec![0; peer.connections()];
            let mut seen = std::collections::BTreeSet::new();
            for taken in peer.taken() {
                uses[taken.connection] += 1;
                assert!(seen.insert(taken.rcpt.clone()), "twice: {:?}", taken.rcpt);
            }
            println!("{connections} connections for 120 messages in a row; messages of each: {uses:?}");
            assert_eq!(seen.len(), 120 + 3 + 200);
            assert_eq!(connections, 3);
            assert!(uses.iter().all(|uses| *uses <= 50), "{uses:?}");
        },
    );
}

#[test]
fn the_key_exchange_is_hybrid_where_the_peer_has_it_and_is_recorded() {
    in_private_network(
        "relay::features::the_key_exchange_is_hybrid_where_the_peer_has_it_and_is_recorded",
        || {
            let mut world = World::new();
            let hybrid = domain(&mut world, "hybrid.world", PeerPlan::new(&ALL));
            let classic = domain(&mut world, "classic.world", PeerPlan::new(&ALL).group("X25519"));
            let curve = domain(&mut world, "curve.world", PeerPlan::new(&ALL).group("secp384r1"));
            let world = world.start();
            let room = room::start(&world);
            let postfix = handing(&world).start();
            for (name, peer, group) in [
                ("hybrid.world", &hybrid, "X25519MLKEM768"),
                ("classic.world", &classic, "X25519"),
                ("curve.world", &curve, "secp384r1"),
            ] {
                let to = format!("u@{name}");
                let outcome = SmtpClient::connect(postfix.ports.plain).send("", &[&to], PLAIN);
                let queue_id = outcome.queue_id();
                assert_eq!(first_said(&postfix, &to, PATIENCE).status, "sent");
                assert_eq!(only(peer, &to).key_exchange.as_deref(), Some(group));
                let records = room.notary(&queue_id).to_string();
                assert!(records.contains(&format!("\"key_exchange\":\"{group}\"")), "{records}");
                let shown = room.command(&["relay", "test", name]);
                assert!(shown.text().contains(&format!("key exchange {group}")), "{}", shown.text());
            }
        },
    );
}
