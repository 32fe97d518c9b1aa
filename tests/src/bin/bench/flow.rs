//! Messages through Postfix: how many in a second, and what the milter spends on each.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

use tests::run;
use tests::wait_for;

use crate::effort::Effort;
use crate::stage::Contender;
use crate::stage::Stage;
use crate::stage::Who;
use crate::statistics::Spread;

/// Sizes of messages.
pub(crate) const SIZES: [Size; 3] = [
    Size { name: "2 kB", bytes: 2_000, messages: 800 },
    Size { name: "50 kB", bytes: 50_000, messages: 500 },
    Size { name: "1 MB", bytes: 1_000_000, messages: 100 },
];

/// SMTP sessions at the same time.
pub(crate) const SESSIONS: usize = 8;
/// Longest time for the queue to become empty after a round.
const DRAIN: Duration = Duration::from_secs(120);

/// A size of message and how many of them make one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// For the tables.
    pub(crate) name: &'static str,
    bytes: usize,
    messages: usize,
}

/// What one contender did in all rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    /// Messages accepted per second.
    pub(crate) rates: Vec<f64>,
    /// Processor time of the milter per message, in microseconds.
    pub(crate) costs: Vec<f64>,
}

/// The result for one size.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// Which size.
    pub(crate) size: Size,
    turns: Vec<Turns>,
}

impl Flow {
    /// What this contender did.
    pub(crate) fn of(&self, who: Who) -> &Turns {
        &self.turns[Who::ALL.iter().position(|other| *other == who).unwrap()]
    }

    /// Messages per second as a ratio to those of somebody else in the same round.
    pub(crate) fn rate(&self, who: Who, base: Who) -> Spread {
        Spread::of_ratios(&self.of(who).rates, &self.of(base).rates)
    }

    /// Processor time of the milter as a ratio to that of somebody else in the same round.
    pub(crate) fn cost(&self, who: Who, base: Who) -> Spread {
        Spread::of_ratios(&self.of(who).costs, &self.of(base).costs)
    }
}

/// All contenders, in turn, round after round.
pub(crate) fn measure(stage: &Stage, size: Size, effort: &Effort) -> Flow {
    let count = size.messages / effort.divisor;
    let mut turns = vec![Turns::default(); Who::ALL.len()];
    let passed =
        |stage: &Stage| -> Vec<Option<f64>> { stage.contenders.iter().map(Contender::continued).collect() };
    let before = passed(stage);
    for round in 0..=effort.rounds {
        eprintln!("bench: {} messages, round {round} of {}", size.name, effort.rounds);
        for turn in 0..turns.len() {
            // Everybody comes after everybody else, so that nobody always inherits a full cache.
            let index = (turn + round) % turns.len();
            let contender = &stage.contenders[index];
            let (rate, cost) = send(contender, size, count, SESSIONS);
            drain(stage);
            if round > 0 {
                turns[index].rates.push(rate);
                turns[index].costs.push(cost);
            }
        }
    }
    for ((contender, before), after) in stage.contenders.iter().zip(before).zip(passed(stage)) {
        let seen = after.zip(before).map(|(after, before)| after - before);
        let sent = ((effort.rounds + 1) * count) as f64;
        assert!(seen.is_none_or(|seen| seen == sent), "{:?} let {seen:?} of {sent} go on", contender.who);
    }
    Flow { size, turns }
}

/// Sends so many messages; gives messages per second and the milter's microseconds per message.
pub(crate) fn send(contender: &Contender, size: Size, count: usize, sessions: usize) -> (f64, f64) {
    let before = contender.processor_seconds();
    let start = Instant::now();
    let mut client = Command::new("smtp-source");
    client.args(["-s", &sessions.to_string(), "-m", &count.to_string(), "-l", &size.bytes.to_string()]);
    client.args(["-f", "alice@alpha.example", "-t", "bob@beta.example"]);
    run(client.arg(format!("127.0.0.1:{}", contender.port)), b"").success();
    let rate = count as f64 / start.elapsed().as_secs_f64();
    (rate, (contender.processor_seconds() - before) * 1e6 / count as f64)
}

/// Waits until everything is delivered, which is to say discarded.
pub(crate) fn drain(stage: &Stage) {
    let is_empty = |queue: &PathBuf| !queue.is_dir() || holds_no_file(queue);
    wait_for("the queue to become empty", DRAIN, || stage.queues().iter().all(is_empty).then_some(()));
}

/// Whether a directory holds no message; queues may be hashed into subdirectories.
pub(crate) fn holds_no_file(directory: &std::path::Path) -> bool {
    let Ok(mut entries) = std::fs::read_dir(directory) else { return true };
    entries
        .all(|entry| entry.is_ok_and(|e| e.file_type().is_ok_and(|t| t.is_dir()) && holds_no_file(&e.path())))
}

/// Milliseconds that a milter adds to one message of 2 kB when nothing else is under way.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    /// For each contender but the first, who is the base.
    pub(crate) added: Vec<(Who, Spread)>,
}

/// One session, so that each message waits for the one before.
pub(crate) fn latency(stage: &Stage, effort: &Effort) -> Latency {
    let size = SIZES[0];
    let count = 150 / effort.divisor;
    let mut times = vec![Vec::new(); Who::ALL.len()];
    for round in 0..=effort.rounds {
        for turn in 0..times.len() {
            let index = (turn + round) % times.len();
            let (rate, _) = send(&stage.contenders[index], size, count, 1);
            drain(stage);
            if round > 0 {
                times[index].push(1e3 / rate);
            }
        }
    }
    let base = &times[0];
    let added = |own: &Vec<f64>| Spread::of(own.iter().zip(base).map(|(own, base)| own - base));
    Latency { added: Who::ALL.into_iter().zip(&times).skip(1).map(|(who, own)| (who, added(own))).collect() }
}
