//! One figure: us and what we are compared with, taking turns.

use std::time::Duration;
use std::time::Instant;

use nix::sys::resource::UsageWho;
use nix::sys::resource::getrusage;
use nix::sys::time::TimeValLike;

/// One line of the output.
pub(crate) struct Figure {
    name: String,
    bytes: u64,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, bytes: u64) -> Figure {
        Figure { name: name.into(), bytes }
    }

    /// Measures and prints it, if it is among those asked for.
    pub(crate) fn measure(&self, base: &str, goal: Option<f64>, ours: impl FnMut(), theirs: impl FnMut()) {
        if !is_wanted(&self.name) {
            return;
        }
        let Figure { name, bytes } = self;
        let turns = Turns::of(ours, theirs);
        let [ns, base_ns] = [&turns.ours, &turns.base].map(|all| quantile(all, 0.5));
        let ratios: Vec<f64> = turns.ours.iter().zip(&turns.base).map(|(ours, base)| ours / base).collect();
        let [low, ratio, high] = [0.25, 0.5, 0.75].map(|part| quantile(&ratios, part));
        let goal = goal.map(|goal| format!(", \"goal\": {goal}")).unwrap_or_default();
        println!(
            "{{\"name\": \"{name}\", \"bytes\": {bytes}, \"ns\": {ns:.0}, \"base\": \"{base}\", \
             \"base_ns\": {base_ns:.0}, \"ratio\": {ratio:.4}, \"low\": {low:.4}, \"high\": {high:.4}{goal}}}"
        );
    }
}

/// Whether a figure was asked for.
pub(crate) fn is_wanted(name: &str) -> bool {
    std::env::args().nth(3).is_none_or(|wanted| name.starts_with(&wanted))
}

/// The value below which this part of them lies.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// Nanoseconds of one call in each round, of us and of what we are compared with.
struct Turns {
    ours: Vec<f64>,
    base: Vec<f64>,
}

impl Turns {
    fn of(mut ours: impl FnMut(), mut base: impl FnMut()) -> Turns {
        let rounds = std::env::args().nth(2).and_then(|rounds| rounds.parse().ok()).unwrap_or(9);
        let mut turns = Turns { ours: Vec::new(), base: Vec::new() };
        ours();
        base();
        for _ in 0..rounds {
            turns.ours.push(turn(&mut ours));
            turns.base.push(turn(&mut base));
        }
        turns
    }
}

/// Processor time of one call, over at least 60 ms.
fn turn(work: &mut impl FnMut()) -> f64 {
    let (start, before, mut calls) = (Instant::now(), processor_time(), 0_u32);
    while start.elapsed() < Duration::from_millis(60) {
        work();
        calls += 1;
    }
    (processor_time() - before) / f64::from(calls)
}

/// Nanoseconds of user and system time of this process and the children it waited for.
fn processor_time() -> f64 {
    let used = |who| {
        let usage = getrusage(who).unwrap();
        (usage.user_time().num_nanoseconds() + usage.system_time().num_nanoseconds()) as f64
    };
    used(UsageWho::RUSAGE_SELF) + used(UsageWho::RUSAGE_CHILDREN)
}
