//! `make bench`: what Gatepost costs, against the same Postfix without a milter or with its own smtp client, against
//! libmilter, gpg, openssl and the primitives. Writes the document docs/benchmarks.md to standard output and what it is
//! doing to standard error.
//!
//! Every comparison is paired: the contenders take turns within one round, a ratio is taken within
//! each round, and the median of those ratios is the figure. A machine that is busy with something
//! else for a while then makes the spread wider, but moves the figure little.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed assumption ends the measurement with a message, and nothing is written"
)]

mod absence;
mod document;
mod effort;
mod flow;
mod keylog;
mod libmilter;
mod machine;
mod profile;
mod publication;
mod relay;
mod rooms;
mod sendmail;
mod stage;
mod statistics;
mod wkd;

use std::process::ExitCode;

use crate::document::Document;
use crate::effort::Effort;
use crate::machine::Machine;

/// sysexits.h: wrong usage.
const EX_USAGE: u8 = 64;
/// sysexits.h: not enough rights.
const EX_NOPERM: u8 = 77;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let is_quick = words.contains(&"--quick");
    let is_large = words.contains(&"--million");
    words.retain(|word| !matches!(*word, "--quick" | "--million"));
    let mut effort = if is_quick { Effort::quick() } else { Effort::full() };
    if is_large {
        effort.mailboxes = Effort::full().mailboxes;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("bench: Postfix can only be started by root; use `make bench`, or run this with sudo");
        return ExitCode::from(EX_NOPERM);
    }
    match words[..] {
        [] => print!("{}", measure(effort).text()),
        ["--only", "keylog"] => print!("{}", only_keylog(&effort)),
        ["--only", "publication"] => print!("{}", only_publication(&effort)),
        ["--only", "relay"] => print!("{}", only_relay(&effort)),
        ["--only", "wkd"] => print!("{}", only_wkd(&effort)),
        // For attaching a profiler by hand.
        ["--stay"] => stage::Stage::set().stay(),
        [relay::INSIDE] => print!("{}", relay::inside(&effort)),
        [relay::ECHO, port] => relay::echo(port.parse().unwrap()),
        _ => {
            eprintln!(
                "usage: bench [--quick] [--million] [--only keylog | publication | relay | wkd] [--stay]"
            );
            return ExitCode::from(EX_USAGE);
        }
    }
    ExitCode::SUCCESS
}

fn only_keylog(effort: &Effort) -> String {
    let (machine, keylog) = beside(|| keylog::measure(effort));
    document::alone(&machine, &keylog.targets(), |out| keylog.write(out))
}

fn only_publication(effort: &Effort) -> String {
    let (machine, publication) = beside(|| publication::measure(effort));
    document::alone(&machine, &[], |out| publication.write(out))
}

fn only_relay(effort: &Effort) -> String {
    let (machine, relay) = beside(|| relay::measure(effort));
    document::alone(&machine, &relay.targets(), |out| relay.write(out))
}

fn only_wkd(effort: &Effort) -> String {
    let (machine, wkd) = beside(|| wkd::measure(effort));
    document::alone(&machine, &wkd.targets(), |out| wkd.write(out))
}

/// Measures, and looks at the machine before and after.
fn beside<T>(measure: impl FnOnce() -> T) -> (Machine, T) {
    let mut machine = Machine::look();
    let measured = measure();
    machine.finish();
    (machine, measured)
}

fn measure(effort: Effort) -> Document {
    let mut machine = Machine::look();
    let (flows, latency, profiles) = {
        let stage = stage::Stage::set();
        let flows = flow::SIZES.map(|size| flow::measure(&stage, size, &effort));
        (flows.to_vec(), flow::latency(&stage, &effort), profile::take(&stage, &effort))
    };
    let sendmail = sendmail::measure(&effort);
    let (openpgp, smime, notary) = (rooms::openpgp(&effort), rooms::smime(&effort), rooms::notary(&effort));
    let relay = relay::measure(&effort);
    let wkd = wkd::measure(&effort);
    let publication = publication::measure(&effort);
    let keylog = keylog::measure(&effort);
    machine.finish();
    Document {
        machine,
        effort,
        flows,
        latency,
        profiles,
        sendmail,
        openpgp,
        smime,
        notary,
        relay,
        wkd,
        publication,
        keylog,
    }
}
