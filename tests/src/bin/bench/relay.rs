//! The relay room: the policy server against a server that answers a constant, Postfix with its answers against a
//! hash: map, and the synchronous relay against Postfix's own smtp client.
//!
//! All of it happens in a network namespace with a signed DNS tree of its own, so this program starts itself again
//! in there; the figures come back as one JSON object.

mod answers;
mod client;
mod delivery;
mod echo;
mod postmap;
mod scene;
mod section;

use std::process::Command;

use serde_json::Value;
use serde_json::json;
use tests::run;

use crate::effort::Effort;

pub(crate) use echo::serve as echo;
pub(crate) use section::Relay;

/// The argument that makes this program the one inside.
pub(crate) const INSIDE: &str = "--relay-inside";
/// The argument that makes this program the server that answers a constant.
pub(crate) const ECHO: &str = "--relay-echo";

/// Measures in a namespace of its own.
pub(crate) fn measure(effort: &Effort) -> Relay {
    eprintln!("bench: relay");
    // What is in there ends with us, however we end.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare"]);
    command.args(["-mnpf", "--kill-child", "--mount-proc", "--propagation", "private"]);
    command.arg(std::env::current_exe().unwrap()).arg(INSIDE);
    if effort.is_quick {
        command.arg("--quick");
    }
    let output = command.stderr(std::process::Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the part in the namespace ended with {}", output.status);
    Relay::new(serde_json::from_slice(&output.stdout).unwrap())
}

/// Measures in this namespace, which must be a new one.
pub(crate) fn inside(effort: &Effort) -> Value {
    run(Command::new("ip").args(["link", "set", "lo", "up"]), b"").success();
    let mut scene = scene::Scene::set();
    let answers = answers::measure(&scene, effort);
    let postmap = postmap::measure(&scene, effort);
    let lookups = delivery::lookups(&mut scene, effort);
    let relayed = delivery::SIZES.map(|size| delivery::relayed(&mut scene, size, effort));
    json!({ "answers": answers, "postmap": postmap, "lookups": lookups, "relayed": relayed.to_vec() })
}
