//! Where the pass-through path spends its time: processor samples by perf(1), system calls by
//! strace(1). Both are taken in extra runs that count for nothing else.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use tests::directory;

use crate::effort::Effort;
use crate::flow::SESSIONS;
use crate::flow::SIZES;
use crate::flow::drain;
use crate::flow::send;
use crate::stage::Contender;
use crate::stage::Stage;
use crate::stage::Who;

/// How long a tool gets to attach before the messages begin.
const ATTACH: Duration = Duration::from_millis(700);

/// One table of a profile.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// What was looked at.
    pub(crate) title: String,
    /// As the tool prints it, shortened.
    pub(crate) lines: String,
}

/// Takes the profiles; those whose tool is missing say so.
pub(crate) fn take(stage: &Stage, effort: &Effort) -> Vec<Profile> {
    eprintln!("bench: profiles");
    let mut profiles = Vec::new();
    for who in [Who::PassUnix, Who::Seal] {
        let title = format!("processor samples, {}, 2 kB", who.name());
        profiles.push(Profile { title, lines: samples(stage, stage.contender(who), effort) });
    }
    for who in [Who::PassUnix, Who::LibmilterAll] {
        let title = format!("system calls per message, {}, 2 kB", who.name());
        profiles.push(Profile { title, lines: calls(stage, stage.contender(who), effort) });
    }
    profiles
}

fn samples(stage: &Stage, contender: &Contender, effort: &Effort) -> String {
    let dir = directory("perf");
    let data = dir.path().join("perf.data");
    let mut perf = Command::new("perf");
    perf.args(["record", "-q", "-e", "cpu-clock", "-F", "1999", "-o"]).arg(&data);
    if watched(stage, contender, effort, perf.arg("-p")).is_none() {
        return "perf(1) is not installed (Debian: linux-perf)\n".to_owned();
    }
    let mut report = Command::new("perf");
    report.args(["report", "--stdio", "--no-children", "-s", "dso,sym", "--percent-limit", "0.8", "-i"]);
    let output = report.arg(&data).stderr(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).take(40);
    lines.fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

fn calls(stage: &Stage, contender: &Contender, effort: &Effort) -> String {
    let dir = directory("strace");
    let table = dir.path().join("table");
    let mut strace = Command::new("strace");
    strace.args(["-c", "-f", "-o"]).arg(&table);
    let Some(count) = watched(stage, contender, effort, strace.arg("-p")) else {
        return "strace(1) is not installed\n".to_owned();
    };
    per_message(&table, count)
}

/// The columns `calls` and `syscall` of `strace -c`, per message.
fn per_message(table: &Path, count: usize) -> String {
    let text = std::fs::read_to_string(table).unwrap_or_default();
    let mut lines = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(Ok(calls)), Some(name)) = (words.get(3).map(|word| word.parse::<f64>()), words.last())
        else {
            continue;
        };
        let each = calls / count as f64;
        if each >= 0.05 {
            let _ = writeln!(lines, "{each:7.2}  {name}");
        }
    }
    lines
}

/// Runs `tool PID` while messages pass; gives their number, or nothing if there is no such tool.
fn watched(stage: &Stage, contender: &Contender, effort: &Effort, tool: &mut Command) -> Option<usize> {
    let count = 1000 / effort.divisor;
    let pid = contender.pid()?;
    tool.arg(pid.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut tool = tool.spawn().ok()?;
    std::thread::sleep(ATTACH);
    send(contender, SIZES[0], count, SESSIONS);
    drain(stage);
    let _ = kill_process(Pid::from_child(&tool), Signal::INT);
    let _ = tool.wait();
    Some(count)
}
