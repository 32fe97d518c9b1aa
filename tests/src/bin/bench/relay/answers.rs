//! Cached answers of the policy server against a constant.

use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tests::Daemon;
use tests::PATIENCE;
use tests::free_port;
use tests::wait_for;

use super::ECHO;
use super::client;
use super::scene::POLICY;
use super::scene::Scene;
use crate::effort::Effort;
use crate::stage::processor_seconds;
use crate::statistics::Spread;

/// Connections at the same time.
const CONNECTIONS: [usize; 3] = [1, 8, 64];
/// One turn of one server.
const TURN: Duration = Duration::from_millis(1000);

/// What one server did in all rounds.
#[derive(Default)]
struct Turns {
    rates: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    costs: Vec<f64>,
}

impl Turns {
    fn take(&mut self, port: u16, pid: u32, connections: usize, effort: &Effort, counts: bool) {
        let before = processor_seconds(pid);
        let seen = client::ask(port, connections, TURN / u32::try_from(effort.divisor).unwrap());
        if counts {
            self.rates.push(seen.rate);
            self.p50.push(seen.p50);
            self.p99.push(seen.p99);
            self.costs.push((processor_seconds(pid) - before) * 1e6 / seen.count as f64);
        }
    }

    fn json(&self) -> Value {
        json!({ "rates": self.rates, "p50": self.p50, "p99": self.p99, "costs": self.costs })
    }
}

/// Both servers in turn, for each number of connections.
pub(super) fn measure(scene: &Scene, effort: &Effort) -> Value {
    let (echo, port) = start_echo(scene);
    let servers = [(POLICY, scene.gatepost.running().pid()), (port, echo.pid())];
    client::warm(POLICY);
    let figures = CONNECTIONS.map(|connections| {
        let mut turns = [Turns::default(), Turns::default()];
        for round in 0..=effort.rounds {
            eprintln!("bench: answers over {connections} connections, round {round} of {}", effort.rounds);
            for turn in 0..2 {
                let index = (turn + round) % 2;
                let (port, pid) = servers[index];
                turns[index].take(port, pid, connections, effort, round > 0);
            }
        }
        let ratio = Spread::of_ratios(&turns[0].rates, &turns[1].rates);
        eprintln!("bench: answers over {connections} connections: {ratio} of a constant's");
        let [gatepost, echo] = turns.map(|turns| turns.json());
        json!({ "connections": connections, "gatepost": gatepost, "echo": echo })
    });
    figures.to_vec().into()
}

fn start_echo(scene: &Scene) -> (Daemon, u16) {
    let port = free_port();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([ECHO, &port.to_string()]);
    let path = scene.world.path();
    let echo = Daemon::start(&mut command, &path.join("echo.out"), &path.join("echo.scratch"));
    wait_for("the echo server", PATIENCE, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
    (echo, port)
}
