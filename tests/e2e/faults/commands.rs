//! What the administrator does, and is told.

use std::process::Command;

use tests::Ran;
use tests::gatepost_binary;
use tests::run;

use super::trace::Fault;
use super::world::World;

impl World {
    /// `gatepost notary`, on the files that the running gateway sees.
    pub(super) fn notary(&self, words: &[&str]) -> Ran {
        self.command(&[&["notary"], words].concat())
    }

    /// A command of the administrator, on the files that the running gateway sees.
    pub(super) fn command(&self, words: &[&str]) -> Ran {
        let Some(daemon) = &self.secluded else {
            return self.gatepost.command(words);
        };
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &daemon.pid().to_string()]).arg(gatepost_binary());
        run(command.args(words).arg("--config").arg(self.gatepost.config()), b"")
    }

    /// A command of the administrator, to whose process this is done.
    pub(super) fn command_with(&self, fault: &Fault, words: &[&str]) -> Ran {
        self.gatepost.command_under(&fault.command(), words)
    }

    /// Everything the gateway has logged, wherever it ran.
    pub(super) fn log(&self) -> String {
        let secluded = std::fs::read(self.dir().join("secluded.log")).unwrap_or_default();
        format!("{}{}", self.gatepost.log(), String::from_utf8_lossy(&secluded))
    }
}
