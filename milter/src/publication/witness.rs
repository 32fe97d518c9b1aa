//! We as a witness: the key logs of partners are cosigned as long as each continues what was cosigned before (C2SP
//! tlog-witness).
//!
//! The key is derived from the master key and from a number that lies in the directory of what was cosigned. Whoever loses
//! that directory begins with a new number and so with a new key: the old one can never cosign a second history.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use policy::Section;
use program::{Exit, chain};
use sealing::custody::MasterKey;
use tlog::key::{Algorithm, Cosigner, VerifierKey};
use tlog::witness::{Answer, Witness, WitnessError};

use crate::config::{Config, GatewayConfig};
use crate::rooms;

/// What the key is derived for; the number follows.
const PURPOSE: &str = "gatepost witness 1";
/// What is remembered, in the state directory.
const DIRECTORY: &str = "witness";
/// The file of the number in it.
const NUMBER: &str = "number";
/// Digits of the number.
const DIGITS: usize = 32;

/// Cosigns for partners.
pub struct WitnessRoom {
    witness: Witness,
}

impl std::fmt::Debug for WitnessRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WitnessRoom").field("key", &self.witness.key().to_string()).finish()
    }
}

impl WitnessRoom {
    /// Opens what is remembered, if there are partners to cosign for.
    ///
    /// # Errors
    /// What is remembered cannot be used, or another process uses it.
    pub fn open(config: &Config) -> Result<Option<Self>, Exit> {
        let Some(section) = &config.keydir else { return Ok(None) };
        if section.witness_for.is_empty() {
            return Ok(None);
        }
        let directory = directory(&config.gateway);
        let cosigner = cosigner(&rooms::master_key(&config.gateway)?, &config.gateway)?;
        Self::open_in(&directory, cosigner, &section.witness_for).map(Some).map_err(|error| {
            Exit::unavailable(
                format!("cannot be a witness with what {} remembers", directory.display()),
                error,
            )
        })
    }

    fn open_in(directory: &Path, cosigner: Cosigner, logs: &[VerifierKey]) -> Result<Self, WitnessError> {
        match Witness::create(directory, cosigner.verifier()) {
            Ok(()) | Err(WitnessError::Exists) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { witness: Witness::open(directory, cosigner, logs.iter().cloned())? })
    }

    /// Cosigns from now on for those that the configuration names, and for nobody else.
    pub fn follow(&self, config: &Config) {
        let logs = config.keydir.as_ref().map_or(&[][..], |section| &section.witness_for);
        if let Err(error) = self.witness.watch(logs.iter().cloned()) {
            tracing::error!("the witness goes on as before: {}", chain(&error));
        }
    }

    /// Answers the body of a request at `now` (Unix seconds). Blocking: what is cosigned is on disk before.
    pub fn add_checkpoint(&self, body: &[u8], now: i64) -> Answer {
        let answer = self.witness.add_checkpoint(body, u64::try_from(now).unwrap_or_default());
        match &answer {
            Answer::Cosigned(_) => tracing::debug!("cosigned the checkpoint of a partner's key log"),
            Answer::Inconsistent => tracing::warn!("a partner's key log does not continue what was cosigned"),
            Answer::Conflict { size } => {
                tracing::info!("a partner's key log forgot that {size} of its entries were cosigned");
            }
            Answer::Unavailable => tracing::error!("the witness cannot write; nothing is cosigned"),
            Answer::Malformed | Answer::NotSigned | Answer::UnknownLog => {}
        }
        answer
    }
}

/// The key with which this gateway cosigns; for partners to put into their configuration.
///
/// # Errors
/// The state directory cannot be written.
pub fn cosigner(master: &MasterKey, gateway: &GatewayConfig) -> Result<Cosigner, Exit> {
    let directory = directory(gateway);
    let number = number(&directory)
        .map_err(|error| Exit::output(format!("cannot use {}", directory.display()), error))?;
    let seed = master
        .derive(&format!("{PURPOSE} {number}"))
        .map_err(|error| Exit::unavailable("cannot derive the key of the witness", error))?;
    Cosigner::from_seed(&format!("{}/witness", gateway.name), &seed)
        .map_err(|error| Exit::unavailable("cannot make the key of the witness", error))
}

fn directory(gateway: &GatewayConfig) -> PathBuf {
    gateway.state.join(DIRECTORY)
}

/// The number of this directory; drawn when there is none.
fn number(directory: &Path) -> io::Result<String> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let path = directory.join(NUMBER);
    if !path.exists() {
        let mut random = [0; DIGITS / 2];
        openssl::rand::rand_bytes(&mut random).map_err(io::Error::other)?;
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        writeln!(file, "{digits}")?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(error.error),
            _ => fs::File::open(directory)?.sync_all()?,
        }
    }
    let text = fs::read_to_string(&path)?;
    let digits = text.trim_end();
    match digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(digits.to_owned()),
        false => Err(io::Error::other("the file `number` is damaged")),
    }
}

/// Takes `witness_for`: the keys of logs.
pub fn take(section: &mut Section) -> Vec<VerifierKey> {
    let keys = section.take_parsed_list("witness_for", |text| {
        let key: VerifierKey = text.parse().map_err(|error| format!("`{text}`: {}", chain(&error)))?;
        match key.algorithm() {
            Algorithm::Ed25519 => Ok(key),
            _ => Err(format!("`{text}` is not the key of a log")),
        }
    });
    keys.unwrap_or_default().into_iter().map(|key| key.value).collect()
}
