//! What the rooms measure by themselves: their examples print one JSON object per line.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::directory;
use tests::run;

use crate::effort::Effort;

/// Sealing and opening in OpenPGP against gpg, Sequoia's reader and OpenSSL.
pub(crate) fn openpgp(effort: &Effort) -> Vec<Value> {
    sealing("openpgp", effort)
}

/// Sealing and opening in S/MIME against openssl and the primitives.
pub(crate) fn smime(effort: &Effort) -> Vec<Value> {
    sealing("smime", effort)
}

fn sealing(standard: &str, effort: &Effort) -> Vec<Value> {
    eprintln!("bench: {standard}");
    let rounds = if effort.is_quick { "3" } else { "11" };
    lines(Command::new(example("seal_bench")).args([standard, rounds]))
}

/// Durable records against a bare group commit and against one commit for each.
pub(crate) fn notary(effort: &Effort) -> Vec<Value> {
    eprintln!("bench: notary");
    let rounds = if effort.is_quick { "3" } else { "9" };
    let dir = directory("records");
    lines(Command::new(example("notary_bench")).arg(dir.path()).arg(rounds))
}

/// An example built together with this program: target/PROFILE/examples/NAME.
pub(crate) fn example(name: &str) -> PathBuf {
    let ours = std::env::current_exe().unwrap();
    let path = ours.with_file_name("examples").join(name);
    assert!(path.exists(), "{} is missing; tests/bench/run builds it", path.display());
    path
}

/// Runs it; it prints one JSON object per line.
pub(crate) fn lines(command: &mut Command) -> Vec<Value> {
    let text = run(command, b"").success().text();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
