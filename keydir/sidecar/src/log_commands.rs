//! `gatepost-keydir log`: prove what the key log says, verify such a proof, audit a whole log.
//!
//! Verifying and auditing need nothing of the gateway that wrote the log: they are for everybody else.

mod audit;
mod bar;
mod prove;
mod source;
#[cfg(test)]
mod tests;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use keylog::vrf::VrfPublic;
use program::Exit;
use tlog::key::VerifierKey;
use tlog::policy::Policy;

pub use audit::Audit;
pub use prove::Prove;
pub use verify::Verify;

/// What can be done with a key log.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Read a whole log and compute every root of its index again. Exits 65 if the log is not what it claims to be.
    Audit(Audit),
    /// Prove what the log in a directory says of a mailbox.
    Prove(Prove),
    /// Verify the proof of a look-up. Exits 65 if it proves nothing.
    Verify(Verify),
}

/// Whom to believe.
#[derive(Args, Debug)]
pub struct Believed {
    /// The log's key: NAME+ID+BASE64.
    #[arg(long, value_name = "KEY", required_unless_present = "policy")]
    log_key: Option<String>,
    /// A file in the format of C2SP tlog-policy: logs, witnesses, and how many of them must have cosigned.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl LogCommand {
    /// Does it.
    ///
    /// # Errors
    /// 65 for a proof or a log that is refused, 66 for what is not there, 64 for arguments that are not what they must be.
    pub fn run(&self) -> Result<(), Exit> {
        match self {
            Self::Audit(audit) => audit.run(),
            Self::Prove(prove) => prove.run(),
            Self::Verify(verify) => verify.run(),
        }
    }
}

impl Believed {
    fn policy(&self) -> Result<Policy, Exit> {
        let text = match &self.policy {
            Some(path) => read(path)?,
            None => b"quorum none\n".to_vec(),
        };
        let mut policy =
            Policy::parse(&text).map_err(|error| Exit::data("the policy cannot be used", error))?;
        if let Some(key) = &self.log_key {
            let key: VerifierKey = key.parse().map_err(|error| Exit::data("--log-key is no key", error))?;
            if policy.logs().iter().all(|log| log.key != key) {
                policy.trust_log(key).map_err(|error| Exit::data("--log-key cannot be used", error))?;
            }
        }
        Ok(policy)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Exit> {
    fs::read(path).map_err(|error| Exit::input(format!("cannot read {}", path.display()), error))
}

/// The key of the function that makes labels, in hexadecimal.
fn vrf_key(text: &str) -> Result<VrfPublic, Exit> {
    let bytes: keylog::Label =
        text.parse().map_err(|_| Exit::usage("--vrf-key has 64 hexadecimal digits"))?;
    VrfPublic::from_bytes(&bytes.0)
        .ok_or_else(|| Exit::usage("--vrf-key is no key that labels can be made with"))
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| elapsed.as_secs())
}

/// A time as people read it.
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("{seconds} s after 1970"), |time| time.to_string())
}
