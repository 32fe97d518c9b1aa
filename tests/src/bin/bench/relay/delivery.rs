//! Deliveries of Postfix to the mail host of the world: messages are laid into the queue first and then released,
//! so that taking them in does not count.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;
use tests::SmtpClient;
use tests::wait_for;

use super::scene::Scene;
use super::scene::domain;
use crate::effort::Effort;
use crate::stage::processor_seconds;

/// Sizes of messages.
pub(super) const SIZES: [Size; 2] = [
    Size { name: "2 kB", bytes: 2_000, messages: 1000, domains: 10 },
    Size { name: "50 kB", bytes: 50_000, messages: 600, domains: 10 },
];
/// For the look-ups: every domain of the world, so that Postfix does not remember the answers.
const LOOKUPS: Size = Size { name: "look-ups", bytes: 2_000, messages: 800, domains: super::scene::DOMAINS };
/// Sessions that lay messages into the queue.
const SESSIONS: usize = 4;
/// Longest time for one turn.
const LIMIT: Duration = Duration::from_secs(180);

/// A size of message, and how many to how many domains make one turn.
#[derive(Clone, Copy)]
pub(super) struct Size {
    name: &'static str,
    bytes: usize,
    messages: usize,
    domains: usize,
}

/// What one contender did in all rounds.
#[derive(Default)]
struct Turns {
    rates: Vec<f64>,
    /// Messages over each connection to the mail host.
    uses: Vec<f64>,
    /// Microseconds of gatepost's processor time per message.
    costs: Vec<f64>,
}

impl Turns {
    fn json(&self) -> Value {
        json!({ "rates": self.rates, "uses": self.uses, "costs": self.costs })
    }
}

/// smtp clients whose policies come from the policy server and from a hash: map.
pub(super) fn lookups(scene: &mut Scene, effort: &Effort) -> Value {
    let [socketmap, hash] = measure(scene, ["socketmap", "hash"], LOOKUPS, effort);
    json!({ "socketmap": socketmap.json(), "hash": hash.json() })
}

/// The relay, Postfix's smtp client with reuse of connections, and without.
pub(super) fn relayed(scene: &mut Scene, size: Size, effort: &Effort) -> Value {
    let [relay, direct, single] = measure(scene, ["relay", "direct", "single"], size, effort);
    json!({ "size": size.name, "relay": relay.json(), "direct": direct.json(), "single": single.json() })
}

/// All contenders in turn, round after round.
fn measure<const N: usize>(scene: &mut Scene, who: [&str; N], size: Size, effort: &Effort) -> [Turns; N] {
    let mut turns = [(); N].map(|()| Turns::default());
    for round in 0..=effort.rounds {
        eprintln!("bench: deliveries, {}, round {round} of {}", size.name, effort.rounds);
        for turn in 0..N {
            let index = (turn + round) % N;
            let (rate, uses, cost) = deliver(scene, who[index], size, size.messages / effort.divisor);
            if round > 0 {
                turns[index].rates.push(rate);
                turns[index].uses.push(uses);
                turns[index].costs.push(cost);
            }
        }
    }
    turns
}

/// One turn: messages per second, messages per connection, microseconds of gatepost per message.
fn deliver(scene: &Scene, who: &str, size: Size, count: usize) -> (f64, f64, f64) {
    lay_in(scene, who, size, count);
    scene.postfix.command("postsuper", &["-H", "ALL"]).success();
    let arrivals = &scene.world.arrivals;
    let gatepost = scene.gatepost.running().pid();
    // What the turn before has left open must not help this one.
    wait_for("old connections to end", LIMIT, || (arrivals.open() == 0).then_some(()));
    let (arrived, connected) = (arrivals.total(), arrivals.connections());
    let (cost, start) = (processor_seconds(gatepost), Instant::now());
    scene.postfix.flush();
    loop {
        let left = (arrived + count).saturating_sub(arrivals.total());
        if left == 0 {
            break;
        }
        assert!(start.elapsed() < LIMIT, "{left} of {count} are missing:\n{}", last_words(scene));
        std::thread::sleep(Duration::from_millis(2));
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    drain(scene);
    assert_eq!(arrivals.total(), arrived + count, "each message arrives once");
    let uses = count as f64 / (arrivals.connections() - connected) as f64;
    (rate, uses, (processor_seconds(gatepost) - cost) * 1e6 / count as f64)
}

/// Lays messages into the queue, where they are held. The local part tells Postfix which way they go.
fn lay_in(scene: &Scene, who: &str, size: Size, count: usize) {
    let mut message =
        format!("Subject: benchmark\r\nFrom: <alice@bench.example>\r\nTo: <{who}@bulk.world>\r\n\r\n");
    while message.len() < size.bytes {
        message
            .push_str("All work and no play makes Jack a dull boy, and Jill a rich widow, so they say.\r\n");
    }
    std::thread::scope(|scope| {
        for session in 0..SESSIONS {
            let message = message.as_bytes();
            scope.spawn(move || {
                let mut client = SmtpClient::connect(scene.entrance);
                for number in (session..count).step_by(SESSIONS) {
                    let to = format!("{who}@{}", domain(number % size.domains));
                    let outcome = client.send("alice@bench.example", &[&to], message);
                    assert!(outcome.accepted(), "{outcome:?}");
                }
                client.quit();
            });
        }
    });
}

/// The end of Postfix's log.
fn last_words(scene: &Scene) -> String {
    let log = scene.postfix.log();
    let lines: Vec<&str> = log.lines().rev().take(40).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Waits until Postfix has forgotten every message.
fn drain(scene: &Scene) {
    let queues = ["incoming", "active", "deferred"].map(|name| scene.postfix.queue().join(name));
    wait_for("the queue to become empty", LIMIT, || {
        queues.iter().all(|queue| crate::flow::holds_no_file(queue as &Path)).then_some(())
    });
}
