//! Killed between the remote host's 250 and the answer to Postfix: at most a duplicate, never a loss, never a forged
//! answer (docs/relay.md, RFC 1047).

use std::process::Command;
use std::time::Duration;

use tests::Gatepost;
use tests::Postfix;
use tests::Signal;
use tests::run;
use tests::wait_for;
use tests::world::Arrived;
use tests::world::Ending;
use tests::world::RunningWorld;
use tests::world::World;
use tests::world::in_private_network;

use super::room;
use super::room::Said;
use super::room::handing;
use super::room::said;
use super::settled::HELLO;
use super::settled::by_dane;
use super::settled::submit_plain;
use super::settled::until;

const LONG: Duration = Duration::from_secs(60);
const BOB: &str = "bob@slow.world";
/// The remote host's time between having the message and saying so.
const PAUSE: Duration = Duration::from_secs(3);

fn world() -> RunningWorld {
    let mut world = World::new();
    by_dane(&mut world, "slow.world", |host| host.ending(Ending::SaidAfter(PAUSE)));
    world.start()
}

/// A Postfix that does not wait long for a transport that failed, or for a service whose process was killed.
fn postfix(world: &RunningWorld) -> Postfix {
    handing(world).parameter("transport_retry_time", "1s").parameter("service_throttle_time", "1s").start()
}

/// Waits until the remote host has the message; it will say so later.
fn remote_has_it(world: &RunningWorld) {
    wait_for("the remote host to have the message", LONG, || world.arrivals.of(BOB).into_iter().next());
}

/// The remote host has said yes, whoever has heard it.
fn remote_has_said_so() {
    std::thread::sleep(PAUSE + Duration::from_millis(500));
}

/// What was logged as sent, so that Postfix has forgotten the message.
fn sent(postfix: &Postfix) -> Vec<Said> {
    said(postfix, BOB).into_iter().filter(|said| said.status == "sent").collect()
}

/// The message is still Postfix's; then it is delivered a second time, and nothing more happens.
fn comes_twice(world: &RunningWorld, postfix: &Postfix) {
    let said = until(postfix, BOB, "sent");
    assert!(said.text.contains("remote said: 250 2.0.0 taken by slow.world"), "{said:?}");
    postfix.wait_idle();
    let copies: Vec<Arrived> = world.arrivals.of(BOB);
    assert_eq!(copies.len(), 2, "the documented duplicate, and no more");
    let content = |arrived: &Arrived| arrived.text.split_once("Subject:").map(|(_, rest)| rest.to_owned());
    assert_eq!(content(&copies[0]), content(&copies[1]));
    assert_eq!(sent(postfix).len(), 1);
}

/// Both sides of what the notary knows: no record claims a delivery that did not happen.
fn records(room: &Gatepost, id: &str) -> usize {
    let stories = room.notary(id);
    let all = stories.as_array().unwrap();
    let delivered = all.iter().filter(|story| story["leaf"]["public"]["ways"][0]["outcome"] == "delivered");
    assert!(room.command(&["notary", "verify"]).success().text().contains("records, root"));
    delivered.count()
}

#[test]
fn gatepost_dies_with_the_remote_s_yes_in_hand() {
    in_private_network("relay::kill::gatepost_dies_with_the_remote_s_yes_in_hand", || {
        let world = world();
        let mut room = room::start(&world);
        let postfix = postfix(&world);
        let id = submit_plain(&postfix, &[BOB], HELLO);
        // Stopped before the remote host says yes: the yes comes, and nobody reads it.
        remote_has_it(&world);
        room.running().signal(Signal::STOP);
        remote_has_said_so();
        room.kill9();
        let first = wait_for("Postfix' word", LONG, || said(&postfix, BOB).into_iter().next());
        println!("{} {} {}", first.status, first.dsn, first.text);
        assert!(first.status == "deferred" && first.dsn.starts_with("4."), "{first:?}");
        assert_eq!(postfix.mailq().len(), 1, "the message is still there");
        room.start();
        comes_twice(&world, &postfix);
        assert_eq!(records(&room, &id), 1, "what was not told to Postfix was not recorded either");
    });
}

/// The process id of the LMTP client of this Postfix.
fn lmtp(postfix: &Postfix) -> u32 {
    let config = postfix.config();
    let own = |pid: &u32| {
        // Its master gives each child the configuration directory in the environment.
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&format!("MAIL_CONFIG={}", config.display()))
    };
    let ran = run(Command::new("pgrep").args(["-x", "lmtp"]), b"");
    let text = ran.text();
    let mut pids = text.lines().filter_map(|line| line.trim().parse().ok());
    pids.find(own).unwrap_or_else(|| panic!("no lmtp process: {text}"))
}

fn signal(pid: u32, name: &str) {
    run(Command::new("kill").args(["-s", name, &pid.to_string()]), b"").success();
}

/// The remote host has not answered yet: Gatepost hears of its client's death first.
#[test]
fn the_lmtp_client_dies_while_the_remote_decides() {
    in_private_network("relay::kill::the_lmtp_client_dies_while_the_remote_decides", || {
        let world = world();
        let room = room::start(&world);
        let postfix = postfix(&world);
        let id = submit_plain(&postfix, &[BOB], HELLO);
        remote_has_it(&world);
        signal(lmtp(&postfix), "KILL");
        assert_eq!(sent(&postfix), []);
        remote_has_said_so();
        comes_twice(&world, &postfix);
        let counted = records(&room, &id);
        assert_eq!(counted, 2, "both deliveries happened, and both are recorded");
    });
}

/// Gatepost has answered; its client dies before it reads the answer.
#[test]
fn the_lmtp_client_dies_with_our_yes_in_hand() {
    in_private_network("relay::kill::the_lmtp_client_dies_with_our_yes_in_hand", || {
        let world = world();
        let room = room::start(&world);
        let postfix = postfix(&world);
        let id = submit_plain(&postfix, &[BOB], HELLO);
        remote_has_it(&world);
        let client = lmtp(&postfix);
        signal(client, "STOP");
        remote_has_said_so();
        room.wait_log(&[&id, "reply=250 "]);
        assert_eq!(sent(&postfix), []);
        signal(client, "KILL");
        comes_twice(&world, &postfix);
        assert_eq!(records(&room, &id), 2);
    });
}

/// Before the end of the content has been sent nobody has the message, and nobody gets it twice.
#[test]
fn a_client_that_dies_before_the_end_takes_the_message_with_it() {
    in_private_network("relay::kill::a_client_that_dies_before_the_end_takes_the_message_with_it", || {
        let world = world();
        let _room = room::start(&world);
        let (mut client, _) = tests::SmtpClient::greeted(room::INBOX);
        client.command("LHLO client.example");
        client.mail("alice@alpha.example");
        client.rcpt(BOB);
        assert_eq!(client.command("DATA").code, 354);
        client.vanish();
        let postfix = postfix(&world);
        submit_plain(&postfix, &[BOB], HELLO);
        until(&postfix, BOB, "sent");
        postfix.wait_idle();
        assert_eq!(world.arrivals.of(BOB).len(), 1);
    });
}
