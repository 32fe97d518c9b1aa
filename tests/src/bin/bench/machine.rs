//! What was measured on, and how busy it was with other things.

use std::fs::read_to_string;
use std::process::Command;

/// The machine and the versions of what is compared.
#[derive(Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    system: String,
    memory: u64,
    versions: Vec<String>,
    /// The revision of Gatepost, with a `+` if files were changed since.
    revision: String,
    day: String,
    load_before: String,
    load_after: String,
}

impl Machine {
    /// Looks at this machine, before the measurements begin.
    pub(crate) fn look() -> Self {
        let line = |file: &str, start: &str, separator: char| {
            let text = read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(start)).map(str::to_owned);
            line.and_then(|line| Some(line.split_once(separator)?.1.trim().trim_matches('"').to_owned()))
                .unwrap_or_else(|| "unknown".to_owned())
        };
        let memory = line("/proc/meminfo", "MemTotal", ':');
        Self {
            processor: line("/proc/cpuinfo", "model name", ':'),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: said(&["uname", "-r"]),
            system: line("/etc/os-release", "PRETTY_NAME", '='),
            memory: memory.split(' ').next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024,
            versions: [
                &["postconf", "-d", "-h", "mail_version"][..],
                &["dpkg-query", "-W", "-f", "${Version}", "libmilter-dev"],
                &["gpg", "--version"],
                &["openssl", "version"],
                &["rustc", "--version"],
            ]
            .iter()
            .zip(["Postfix ", "libmilter ", "", "", ""])
            .map(|(command, name)| format!("{name}{}", said(command)))
            .collect(),
            revision: revision(),
            day: said(&["date", "-u", "+%Y-%m-%d"]),
            load_before: load(),
            load_after: String::new(),
        }
    }

    /// Notes the load after the measurements.
    pub(crate) fn finish(&mut self) {
        self.load_after = load();
    }

    /// As a paragraph.
    pub(crate) fn text(&self) -> String {
        format!(
            "{day}, Gatepost at revision {revision}, release build. {processor}, {cores} cores, {memory} MiB, \
             {system}, Linux {kernel}. {versions}.\n\nLoad average (1, 5, 15 minutes) before: {before}; after: \
             {after}. Everything runs on these cores: the client, Postfix, the milter and the disk's work.",
            day = self.day,
            revision = self.revision,
            processor = self.processor,
            cores = self.cores,
            memory = self.memory,
            system = self.system,
            kernel = self.kernel,
            versions = self.versions.join(", "),
            before = self.load_before,
            after = self.load_after,
        )
    }
}

fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(", ")
}

fn revision() -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let git = |words: &[&str]| said(&[&["git", "-c", "safe.directory=*", "-C", root], words].concat());
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "*.rs", "Cargo.*"]);
    format!("{}{}", git(&["rev-parse", "--short", "HEAD"]), if changed == "unknown" { "" } else { "+" })
}

/// First line of what a command says; `unknown` if it says nothing.
fn said(words: &[&str]) -> String {
    let text = Command::new(words[0]).args(&words[1..]).output();
    let text = text.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
}
