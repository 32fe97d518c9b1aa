//! The same over Sendmail's milter client: whether inet sockets keep up with unix ones, and with no
//! milter at all.

use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use tests::Daemon;
use tests::Gatepost;
use tests::GatepostPlan;
use tests::PATIENCE;
use tests::Sendmail;
use tests::directory;
use tests::free_port;
use tests::run;
use tests::wait_for;

use crate::effort::Effort;
use crate::stage::PASS;
use crate::statistics::Spread;

/// Messages of one turn.
const MESSAGES: usize = 200;
/// SMTP sessions at the same time.
const SESSIONS: usize = 4;

/// Messages per second through Sendmail in all rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    none: Vec<f64>,
    unix: Vec<f64>,
    inet: Vec<f64>,
}

impl Turns {
    /// Inet against unix socket.
    pub(crate) fn inet_to_unix(&self) -> Spread {
        Spread::of_ratios(&self.inet, &self.unix)
    }

    /// Name, ratio to no milter and messages per second of each.
    pub(crate) fn rows(&self) -> [(&'static str, Spread, f64); 3] {
        let row = |name, rates: &[f64]| {
            (name, Spread::of_ratios(rates, &self.none), Spread::of(rates.iter().copied()).median)
        };
        [
            row("no milter", &self.none),
            row("gatepost, pass-through, unix socket", &self.unix),
            row("gatepost, pass-through, inet socket", &self.inet),
        ]
    }
}

/// Measures; nothing if `./setup test` could not fetch Sendmail.
pub(crate) fn measure(effort: &Effort) -> Option<Turns> {
    if !Sendmail::is_there() {
        return None;
    }
    let (_sink, hop) = sink();
    let gatepost = |plan: GatepostPlan| -> Gatepost {
        let mut gatepost = plan.policy(PASS).prepare();
        gatepost.start();
        gatepost
    };
    let unix = gatepost(GatepostPlan::new("alpha.example").unix());
    let inet = gatepost(GatepostPlan::new("alpha.example"));
    let contenders =
        [Sendmail::plain(hop), Sendmail::start(unix.milter(), hop), Sendmail::start(inet.milter(), hop)];
    let mut turns = Turns::default();
    for round in 0..=effort.rounds.min(9) {
        eprintln!("bench: Sendmail, round {round}");
        for turn in 0..contenders.len() {
            let index = (turn + round) % contenders.len();
            let rate = send(contenders[index].port, MESSAGES / effort.divisor);
            if round > 0 {
                [&mut turns.none, &mut turns.unix, &mut turns.inet][index].push(rate);
            }
        }
    }
    Some(turns)
}

fn send(port: u16, count: usize) -> f64 {
    let start = Instant::now();
    let mut client = Command::new("smtp-source");
    client.args(["-s", &SESSIONS.to_string(), "-m", &count.to_string(), "-l", "2000"]);
    client.args(["-f", "alice@alpha.example", "-t", "bob@beta.example"]);
    run(client.arg(format!("127.0.0.1:{port}")), b"").success();
    count as f64 / start.elapsed().as_secs_f64()
}

/// A server that takes everything and keeps nothing.
fn sink() -> (Daemon, u16) {
    let (dir, port) = (directory("sink"), free_port());
    let mut command = Command::new("smtp-sink");
    command.args(["-u", "nobody", &format!("127.0.0.1:{port}"), "100"]);
    // The directory goes with the watcher of the process, not before it.
    let dir = dir.keep();
    let daemon = Daemon::start(&mut command, &dir.join("log"), &dir);
    wait_for("smtp-sink to listen", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).ok());
    (daemon, port)
}
