//! `make demo`: one mail from alice@alpha.example to bob@beta.example, through two real Postfix
//! instances, each with its own gatepost, told from both ends.
//!
//! Every sentence that claims something is checked while it is printed; the exit code is 0 only if all
//! of it is true. With `--stay` (`make run`) both domains keep running until Ctrl-C.
//!
//! Both Postfix instances are private: configuration, queues and mailboxes lie in a temporary
//! directory and are removed at the end. They must be started by root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed assumption ends the demonstration with a message, and is a failed demonstration"
)]

mod acts;
mod story;
mod watch;

use std::process::ExitCode;

use crate::story::Story;

/// sysexits.h: wrong usage.
const EX_USAGE: u8 = 64;
/// sysexits.h: not enough rights.
const EX_NOPERM: u8 = 77;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let stay = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--stay"] => true,
        _ => {
            eprintln!("usage: demo [--stay]");
            return ExitCode::from(EX_USAGE);
        }
    };
    if !rustix::process::geteuid().is_root() {
        eprintln!("demo: Postfix can only be started by root; use `make demo`, or run this with sudo");
        return ExitCode::from(EX_NOPERM);
    }
    let mut story = Story::default();
    let world = acts::set_the_stage(&mut story);
    acts::play(&mut story, &world);
    let verdict = story.end();
    if stay {
        watch::stay(&world);
    }
    verdict
}
