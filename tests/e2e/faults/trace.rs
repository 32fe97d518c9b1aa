//! Faults at a system call of the running gateway, made by strace(1).

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tests::Daemon;
use tests::PATIENCE;
use tests::wait_for;

/// What is done to a system call.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// The calls, in strace's syntax: `fsync`, `/^rename`.
    pub(super) calls: &'static str,
    /// Only calls about one of these very paths; all calls if there is none.
    pub(super) paths: Vec<PathBuf>,
    /// What is injected: `signal=KILL` ends the process just before the call is carried out,
    /// `error=EROFS` lets it fail.
    pub(super) injection: &'static str,
}

impl Fault {
    /// The process is killed just before the first of these calls.
    pub(super) fn kill(calls: &'static str, paths: &[PathBuf]) -> Self {
        Self { calls, paths: paths.to_vec(), injection: "signal=KILL:when=1" }
    }

    /// The process is killed just before a thread makes its second call of this kind.
    pub(super) fn kill_at_second(calls: &'static str) -> Self {
        Self { calls, paths: Vec::new(), injection: "signal=KILL:when=2" }
    }
}

impl Fault {
    /// The words with which strace makes it happen.
    pub(super) fn command(&self) -> Vec<String> {
        let mut words =
            ["strace", "-f", "-o", "/dev/null", "-e", "signal=none", "-e"].map(str::to_owned).to_vec();
        words.push(format!("trace={}", self.calls));
        words.extend(["-e".to_owned(), format!("inject={}:{}", self.calls, self.injection)]);
        for path in &self.paths {
            words.extend(["-P".to_owned(), path.to_string_lossy().into_owned()]);
        }
        words
    }
}

/// strace attached to a process. Dropping it detaches; the process goes on undisturbed.
#[derive(Debug)]
pub(super) struct Trace(Daemon);

impl Trace {
    /// Attaches to all threads of a process.
    ///
    /// # Panics
    /// If strace cannot be run or may not attach; the message tells what it said.
    #[track_caller]
    pub(super) fn attach(process: u32, fault: &Fault, dir: &Path) -> Self {
        let log = dir.join("strace");
        let _ = std::fs::remove_file(&log);
        let words = fault.command();
        let mut strace = Command::new(&words[0]);
        strace.args(&words[1..]).args(["-p", &process.to_string()]);
        let mut trace = Daemon::start(&mut strace, &log, dir);
        wait_for("strace to attach", PATIENCE, || {
            if let Some(status) = trace.ended() {
                panic!("strace ended with {status}: {}", trace.log());
            }
            trace.log().contains(" attached").then_some(())
        });
        Self(trace)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // SIGTERM lets strace detach; a kill would as well, but less tidily.
        if self.0.ended().is_none() {
            self.0.term(PATIENCE);
        }
    }
}
