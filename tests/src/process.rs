//! Child processes that cannot outlive the test.

use std::ffi::OsStr;
use std::fs::File;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::wait::wait_for;

/// A temporary directory that other users may enter (Postfix's daemons run as several users).
///
/// Under /tmp whatever `TMPDIR` says: unix socket paths are limited to 107 bytes.
pub fn directory(name: &str) -> TempDir {
    let dir = tempfile::Builder::new().prefix(&format!("gatepost-{name}-")).tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Ends the test with a clear message unless it is run by root.
///
/// # Panics
/// If the effective user is not root.
#[track_caller]
pub fn need_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "Postfix can only be started by root: run this test as root (`make test` does so through sudo)"
    );
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

impl Ran {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The same value, after checking that the command succeeded.
    ///
    /// # Panics
    /// If the exit code is not 0.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, 0, "exit code {}: {}{}", self.code, self.text(), self.stderr);
        self
    }
}

/// Runs a command to its end, with `input` on its standard input.
///
/// # Panics
/// If the command cannot be started.
#[track_caller]
pub fn run(command: &mut Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A command that does not read all of its input is not our failure.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A long-running child with its own process group and its standard error in a file.
///
/// Dropping it kills the whole group. A small watcher does the same, and removes `directory`, if this
/// process disappears without dropping anything (time-out, Ctrl-C).
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    leash: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`; standard output and error are appended to the file `log`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command, log: &Path, directory: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let leash = leash(child.id(), directory.as_os_str());
        Self { child, leash, log: log.to_owned() }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The exit status, if it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends SIGTERM to the process alone and waits until it has ended.
    ///
    /// # Panics
    /// If it does not end within `limit`.
    #[track_caller]
    pub fn term(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        wait_for("a process to end after SIGTERM", limit, || self.ended())
    }

    /// Sends a signal to the process alone. Nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process(pid_of(&self.child), signal);
    }

    /// Kills the whole process group (SIGKILL) and waits for the process.
    pub fn kill(&mut self) {
        let _ = rustix::process::kill_process_group(pid_of(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }

    /// A field of /proc/PID/status, in bytes: `VmRSS` (resident now) or `VmHWM` (resident at most).
    ///
    /// # Panics
    /// If the process has ended or there is no such field.
    #[track_caller]
    pub fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        // The leash must go before its pipe does, or it would act.
        let _ = self.leash.kill();
        let _ = self.leash.wait();
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Starts the watcher: when our end of its pipe closes, it kills process group `group`.
fn leash(group: u32, directory: &OsStr) -> Child {
    Command::new("sh")
        .args(["-c", "read _; kill -s KILL -- \"-$1\"; rm -rf -- \"$2\"", "leash", &group.to_string()])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_gets_its_input_and_gives_its_output() {
        let ran = run(Command::new("sh").args(["-c", "cat; echo warning >&2; exit 3"]), b"hello");
        assert_eq!((ran.code, ran.text().as_str(), ran.stderr.as_str()), (3, "hello", "warning\n"));
    }

    #[test]
    fn a_dropped_daemon_takes_its_group_with_it() {
        let dir = directory("process");
        let log = dir.path().join("log");
        let script = "sleep 600 & echo $!; wait";
        let daemon = Daemon::start(Command::new("sh").args(["-c", script]), &log, dir.path());
        let child: i32 = wait_for("the child's pid", Duration::from_secs(5), || {
            daemon.log().lines().next().and_then(|line| line.parse().ok())
        });
        drop(daemon);
        wait_for("the child to end", Duration::from_secs(5), || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
    }
}
