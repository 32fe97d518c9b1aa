//! The queue stays in Postfix: what dies, drops, crawls or is large loses nothing and holds up nobody.

use std::time::Duration;
use std::time::Instant;

use tests::PATIENCE;
use tests::Postfix;
use tests::SmtpClient;
use tests::wait_for;
use tests::world::Ending;
use tests::world::Identity;
use tests::world::MailHost;
use tests::world::RunningWorld;
use tests::world::World;
use tests::world::in_private_network;

use super::room;
use super::room::INBOX;
use super::room::first_said;
use super::room::handing;
use super::room::said;

/// One domain with a TLSA record that matches its only host.
fn domain(world: &mut World, name: &str, ending: Ending) {
    let identity = Identity::alone(&format!("mx.{name}"));
    let address = world.host(MailHost::new(name, &identity).ending(ending));
    let zone = world.zone(name);
    zone.record(&format!("{name}. MX 10 mx.{name}.")).record(&format!("mx.{name}. A {address}"));
    zone.record(&format!("_25._tcp.mx.{name}. TLSA {}", identity.tlsa(3, 1, 1)));
}

/// A Postfix that hands over, tries again soon, and hands over much at a time.
fn eager(world: &RunningWorld) -> Postfix {
    handing(world)
        .parameter("queue_run_delay", "2s")
        .parameter("minimal_backoff_time", "2s")
        .parameter("maximal_backoff_time", "4s")
        .start()
}

fn submit(postfix: &Postfix, recipients: &[&str]) {
    let outcome =
        SmtpClient::connect(postfix.ports.plain).send("", recipients, b"Subject: x\r\n\r\nhello\r\n");
    assert!(outcome.accepted(), "{outcome:?}");
}

#[test]
fn one_dead_domain_does_not_slow_others() {
    in_private_network("relay::queue::one_dead_domain_does_not_slow_others", || {
        let mut world = World::new();
        domain(&mut world, "alive.world", Ending::Taken);
        let mut host = MailHost::plain("dead");
        host.silent = true;
        let address = world.host(host);
        world.zone("dead.world").record("dead.world. MX 10 mx.dead.world.");
        world.zone("dead.world").record(&format!("mx.dead.world. A {address}"));
        let world = world.start();
        let _room = room::start(&world);
        let postfix = eager(&world);
        for number in 0..60 {
            submit(&postfix, &[&format!("u{number}@dead.world")]);
        }
        let begin = Instant::now();
        for number in 0..60 {
            submit(&postfix, &[&format!("u{number}@alive.world")]);
        }
        wait_for("mail to the living", PATIENCE, || (world.arrivals.count("alive") == 60).then_some(()));
        // The dead host is waited for longer than this took, so that nobody can have waited behind it.
        println!("60 messages beside 60 to a dead domain: {:?}", begin.elapsed());
        let copies: Vec<usize> =
            (0..60).map(|number| world.arrivals.of(&format!("u{number}@alive.world")).len()).collect();
        assert!(copies.iter().all(|copies| *copies == 1), "{copies:?}");
        // Everything else is still Postfix'.
        let mut dead: Vec<String> = (0..60).map(|number| format!("u{number}@dead.world")).collect();
        dead.sort();
        wait_for("the queue to hold the rest", PATIENCE, || {
            let queue = postfix.mailq();
            let mut waiting: Vec<String> = queue
                .iter()
                .flat_map(|message| message["recipients"].as_array().unwrap())
                .map(|recipient| recipient["address"].as_str().unwrap().to_owned())
                .collect();
            waiting.sort();
            (waiting == dead).then_some(())
        });
        assert_eq!(world.arrivals.count("dead"), 0);
    });
}

#[test]
fn killed_in_mid_delivery_nothing_is_lost() {
    in_private_network("relay::queue::killed_in_mid_delivery_nothing_is_lost", || {
        let mut world = World::new();
        domain(&mut world, "slow.world", Ending::TakenAfter(Duration::from_secs(2)));
        let world = world.start();
        let mut room = room::start(&world);
        let postfix = eager(&world);
        let recipients: Vec<String> = (0..20).map(|number| format!("u{number}@slow.world")).collect();
        for recipient in &recipients {
            submit(&postfix, &[recipient]);
        }
        std::thread::sleep(Duration::from_millis(700));
        room.kill9();
        std::thread::sleep(Duration::from_secs(3));
        for recipient in &recipients {
            let sent = said(&postfix, recipient).iter().any(|said| said.status == "sent");
            assert!(!sent || !world.arrivals.of(recipient).is_empty(), "{recipient}: an answer was forged");
        }
        room.start();
        wait_for("the queue to become empty", Duration::from_secs(60), || {
            postfix.flush();
            std::thread::sleep(Duration::from_millis(500));
            postfix.mailq().is_empty().then_some(())
        });
        let copies: Vec<usize> = recipients.iter().map(|to| world.arrivals.of(to).len()).collect();
        assert!(copies.iter().all(|copies| *copies >= 1), "lost: {copies:?}");
        println!("copies of each message after a kill in mid-delivery: {copies:?}");
        assert!(
            copies.iter().all(|copies| *copies <= 2),
            "more often than the one kill explains: {copies:?}"
        );
    });
}

#[test]
fn a_remote_that_drops_after_the_final_dot_is_tried_again() {
    in_private_network("relay::queue::a_remote_that_drops_after_the_final_dot_is_tried_again", || {
        let mut world = World::new();
        domain(&mut world, "mute.world", Ending::TakenWithoutAWord);
        let world = world.start();
        let _room = room::start(&world);
        let postfix = eager(&world);
        submit(&postfix, &["u@mute.world"]);
        let first = first_said(&postfix, "u@mute.world", PATIENCE);
        assert_eq!(first.status, "deferred", "{first:?}");
        println!("{}", first.text);
        wait_for("the second try", PATIENCE, || {
            said(&postfix, "u@mute.world").into_iter().find(|said| said.status == "sent")
        });
        // The remote has it twice: nobody can know better (RFC 5321 section 6.1).
        assert_eq!(world.arrivals.of("u@mute.world").len(), 2);
    });
}

/// A world of four domains: two that answer by recipient, one that is right, one whose TLSA is wrong.
fn four_domains() -> World {
    let mut world = World::new();
    for name in ["one.world", "two.world", "three.world"] {
        domain(&mut world, name, Ending::Taken);
    }
    let identity = Identity::alone("mx.wrong.world");
    let address = world.host(MailHost::new("wrong", &identity));
    let zone = world.zone("wrong.world");
    zone.record("wrong.world. MX 10 mx.wrong.world.").record(&format!("mx.wrong.world. A {address}"));
    zone.record(&format!("_25._tcp.mx.wrong.world. TLSA {}", identity.wrong_tlsa(3, 1, 1)));
    world
}

const FIVE: [(&str, &str, u16); 5] = [
    ("a@one.world", "sent", 250),
    ("no@one.world", "bounced", 550),
    ("later@two.world", "deferred", 451),
    ("c@three.world", "sent", 250),
    ("d@wrong.world", "deferred", 451),
];

#[test]
fn five_recipients_of_four_domains_get_their_own_answers() {
    in_private_network("relay::queue::five_recipients_of_four_domains_get_their_own_answers", || {
        let world = four_domains().start();
        let _room = room::start(&world);
        let postfix = handing(&world).start();
        submit(&postfix, &FIVE.map(|(to, ..)| to));
        for (to, status, _) in FIVE {
            let said = first_said(&postfix, to, PATIENCE);
            println!("{to}: {} {} {}", said.status, said.dsn, said.text);
            assert_eq!(said.status, status, "{to}: {said:?}");
        }
        assert!(first_said(&postfix, "no@one.world", PATIENCE).text.contains("no such user here"));
        assert!(first_said(&postfix, "d@wrong.world", PATIENCE).dsn.starts_with("4.7."));
    });
}

#[test]
fn one_content_for_five_recipients_is_answered_in_their_order() {
    in_private_network("relay::queue::one_content_for_five_recipients_is_answered_in_their_order", || {
        let world = four_domains().start();
        let _room = room::start(&world);
        let (mut client, greeting) = SmtpClient::greeted(INBOX);
        assert_eq!(greeting.code, 220);
        assert_eq!(client.command("LHLO client.example").code, 250);
        assert_eq!(client.mail("").code, 250);
        for (to, ..) in FIVE {
            assert_eq!(client.rcpt(to).code, 250);
        }
        assert_eq!(client.command("DATA").code, 354);
        let mut codes = vec![client.command("Subject: x\r\n\r\nhello\r\n.").code];
        codes.extend((1..FIVE.len()).map(|_| client.reply().code));
        assert_eq!(codes, FIVE.map(|(.., code)| code));
        assert_eq!((world.arrivals.count("one"), world.arrivals.count("three")), (1, 1));
        assert_eq!((world.arrivals.count("two"), world.arrivals.count("wrong")), (0, 0));
    });
}

#[test]
fn thirty_megabytes_pass_in_bounded_memory() {
    in_private_network("relay::queue::thirty_megabytes_pass_in_bounded_memory", || {
        let mut world = World::new();
        domain(&mut world, "large.world", Ending::Taken);
        let world = world.start();
        let room = room::start(&world);
        let postfix = handing(&world).start();
        let mut message = b"Subject: large\r\n\r\n".to_vec();
        while message.len() < 30_000_000 {
            message.extend_from_slice(&[b'x'; 76]);
            message.extend_from_slice(b"\r\n");
        }
        submit(&postfix, &["first@large.world"]);
        first_said(&postfix, "first@large.world", PATIENCE);
        let before = room.running().memory("VmHWM");
        let outcome = SmtpClient::connect(postfix.ports.plain).send("", &["u@large.world"], &message);
        assert!(outcome.accepted(), "{outcome:?}");
        let said = first_said(&postfix, "u@large.world", Duration::from_secs(90));
        assert_eq!(said.status, "sent", "{said:?}");
        let arrived = world.arrivals.of("u@large.world");
        assert!(arrived.len() == 1 && arrived[0].size >= 30_000_000, "{arrived:?}");
        let grown = room.running().memory("VmHWM").saturating_sub(before);
        println!("peak memory before {before}, more for 30 MB: {grown}");
        assert!(grown < 12_000_000, "{grown} octets more");
    });
}

#[test]
fn two_hundred_deliveries_at_a_time() {
    in_private_network("relay::queue::two_hundred_deliveries_at_a_time", || {
        let mut world = World::new();
        for number in 0..10 {
            domain(&mut world, &format!("d{number}.world"), Ending::TakenAfter(Duration::from_secs(1)));
        }
        let world = world.start();
        let room = room::start(&world);
        let begin = Instant::now();
        let hand_over = |number: usize| {
            let (mut client, _) = SmtpClient::greeted(INBOX);
            client.command("LHLO client.example");
            client.mail("");
            client.rcpt(&format!("u{number}@d{}.world", number % 10));
            client.command("DATA");
            client.command("Subject: x\r\n\r\nhello\r\n.")
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..200).map(|number| scope.spawn(move || hand_over(number))).collect();
            for (number, one) in all.into_iter().enumerate() {
                let reply = one.join().unwrap();
                assert_eq!(reply.code, 250, "{reply}");
                let own = format!("remote said: 250 2.0.0 taken by d{}.world", number % 10);
                assert!(reply.text().ends_with(&own), "somebody else's answer: {reply}");
            }
        });
        println!(
            "200 at a time, each held for a second: {:?}; connections {}; peak memory {}",
            begin.elapsed(),
            world.arrivals.connections(),
            room.running().memory("VmHWM")
        );
        assert!((0..200).all(|n| world.arrivals.of(&format!("u{n}@d{}.world", n % 10)).len() == 1));
        assert_eq!(world.arrivals.total(), 200);
        // A connection is used again as soon as it is idle: so many are needed only at the same time.
        assert!(world.arrivals.connections() > 100, "{}", world.arrivals.connections());
    });
}
