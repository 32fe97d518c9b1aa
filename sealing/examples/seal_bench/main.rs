//! Measures sealing and opening against what else one could do, on this machine, in one run.
//!
//! Prints one JSON object for each figure: `name`, `bytes`, `ns` of processor time per operation (user
//! and system, children included), what it is compared with, `base` and `base_ns`, the `ratio` of the two
//! with its quartiles `low` and `high`, and the `goal` that the ratio must not exceed, if any. Both
//! sides take turns; figures are medians over the rounds, the ratio that of each round. Build it in
//! release; `gpg` and `openssl` must be installed.
//!
//! Usage: `seal_bench openpgp|smime [ROUNDS [NAME]]`: only the figures whose name begins with NAME.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark: a failed assumption ends it"
)]

mod certified;
mod figure;
mod openpgp;
mod raw;
mod smime;

use std::io::Read;
use std::io::Write;
use std::process::Command;
use std::process::Stdio;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use mail::Message;

/// Who writes.
const AUTHOR: &str = "alice@alpha.example";
/// To whom.
const ADDRESS: &str = "bob@beta.example";

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("openpgp") => openpgp::measure(),
        Some("smime") => smime::measure(),
        _ => panic!("usage: seal_bench openpgp|smime [ROUNDS [NAME]]"),
    }
}

/// A message of about this many bytes that does not compress to nothing.
fn message(bytes: usize) -> Message {
    let mut text = format!(
        "From: {AUTHOR}\r\nTo: {ADDRESS}\r\nSubject: figures\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    );
    let mut state = 1_u64;
    while text.len() < bytes {
        for _ in 0..9 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(&format!("{:07} ", (state >> 33) % 9_999_999));
        }
        text.truncate(text.len() - 1);
        text.push_str("\r\n");
    }
    Message::parse(text.as_bytes())
}

/// Unix seconds.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Runs a program; gives what it answers to this input.
fn spawn(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the other program is needed for the comparison");
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut out = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        stdout.read_to_end(&mut out).unwrap();
    });
    assert!(child.wait().unwrap().success(), "{command:?} failed");
    out
}
