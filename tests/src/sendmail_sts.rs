//! Sendmail 8.18 with FEATURE(`sts'), as its own m4 files write it: the policy server's other client.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::process::Ran;
use crate::process::directory;
use crate::process::need_root;
use crate::process::run;

/// A configuration of Sendmail 8.18 that asks a policy server for MTA-STS and delivers by MX. Nothing runs until it is
/// asked something.
#[derive(Debug)]
pub struct StsSendmail {
    root: PathBuf,
    dir: TempDir,
}

impl StsSendmail {
    /// One that asks the policy server on this port of 127.0.0.1, and trusts these authorities.
    ///
    /// # Panics
    /// If not run by root, if `./setup test` has not fetched Sendmail, or if m4 is missing.
    #[track_caller]
    pub fn new(port: u16, authorities: &Path) -> Self {
        need_root();
        let ours = std::env::current_exe().unwrap();
        let mut candidates = ours.ancestors().map(|path| path.join("sendmail-13"));
        let root = candidates.find(|path| path.join("usr/libexec/sendmail/sendmail").exists());
        let root = root.expect("target/sendmail-13 holds the extracted package: run `./setup test`");
        let dir = directory("sendmail-sts");
        std::fs::create_dir(dir.path().join("queue")).unwrap();
        std::fs::set_permissions(dir.path().join("queue"), Permissions::from_mode(0o700)).unwrap();
        // It takes no authorities but with a directory of them besides, and none that others may write to.
        std::fs::copy(authorities, dir.path().join("authorities.pem")).unwrap();
        let cf = root.join("usr/share/sendmail/cf");
        let mut m4 = Command::new("m4");
        m4.arg(format!("-D_CF_DIR_={}/", cf.display())).arg(cf.join("m4/cf.m4")).arg("-");
        let ran = run(&mut m4, configuration(dir.path(), port).as_bytes()).success();
        std::fs::write(dir.path().join("sendmail.cf"), ran.stdout).unwrap();
        Self { root, dir }
    }

    /// What its address test mode (`sendmail -bt`) says to these lines.
    #[track_caller]
    pub fn test(&self, lines: &str) -> String {
        let ran = self.run(&["-bt"], lines.as_bytes());
        ran.text() + &ran.stderr
    }

    /// Submits a message, which is delivered before this returns, or stays in the queue. Gives what it said about it.
    #[track_caller]
    pub fn send(&self, to: &str, message: &str) -> String {
        let ran = self.run(&["-v", "-i", "-odi", "-f", "sender@alpha.example", to], message.as_bytes());
        ran.text() + &ran.stderr
    }

    /// Names of the files in its queue; none if everything was delivered.
    pub fn queue(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("queue")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    fn run(&self, words: &[&str], input: &[u8]) -> Ran {
        // Debian 13's libraries in place of the machine's, and a full host name, in namespaces of its own.
        const SCRIPT: &str = "hostname mx.alpha.example && mount --bind \"$0/usr\" /usr && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--uts", "sh", "-c", SCRIPT]).arg(&self.root);
        command.arg("/usr/libexec/sendmail/sendmail").arg("-C").arg(self.dir.path().join("sendmail.cf"));
        run(command.args(words), input)
    }
}

/// What goes into m4.
fn configuration(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "divert(0)dnl
OSTYPE(`linux')dnl
define(`QUEUE_DIR', `{dir}/queue')dnl
define(`confPID_FILE', `{dir}/pid')dnl
define(`STATUS_FILE', `')dnl
define(`confDOMAIN_NAME', `mx.alpha.example')dnl
define(`confTO_IDENT', `0')dnl
define(`confCACERT', `{dir}/authorities.pem')dnl
define(`confCACERT_PATH', `{dir}')dnl
define(`confDONT_BLAME_SENDMAIL', `TrustStickyBit')dnl
undefine(`ALIAS_FILE')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`sts', `socket -d5 -T<TMPF> inet:{port}@127.0.0.1')dnl
MAILER(`smtp')dnl
"
    )
}
