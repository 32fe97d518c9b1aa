//! One look-up by Postfix's own client of each kind of map.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;
use tests::run;

use super::scene::DOMAINS;
use super::scene::POLICY;
use super::scene::Scene;
use super::scene::domain;
use crate::effort::Effort;

/// Look-ups of one turn.
const KEYS: usize = 20_000;

/// Microseconds of each look-up, the start of postmap(1) included.
pub(super) fn measure(scene: &Scene, effort: &Effort) -> Value {
    let count = KEYS / effort.divisor;
    let keys = (0..count).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{}", domain(number % DOMAINS));
        text
    });
    let maps = [format!("socketmap:inet:127.0.0.1:{POLICY}:QUERY"), scene.hash_map()];
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=effort.rounds {
        eprintln!("bench: postmap, round {round} of {}", effort.rounds);
        for turn in 0..2 {
            let index = (turn + round) % 2;
            let mut postmap = Command::new("postmap");
            postmap.arg("-c").arg(scene.postfix.config()).args(["-q", "-", &maps[index]]);
            let start = Instant::now();
            let ran = run(&mut postmap, keys.as_bytes()).success();
            let micros = start.elapsed().as_secs_f64() * 1e6 / count as f64;
            assert_eq!(ran.text().lines().count(), count, "postmap found every key");
            if round > 0 {
                times[index].push(micros);
            }
        }
    }
    let [socketmap, hash] = times;
    json!({ "socketmap": socketmap, "hash": hash })
}
