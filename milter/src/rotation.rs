//! Encryption subkeys of our OpenPGP certificates are replaced each epoch, and their secret halves destroyed once no
//! mail to them can still be under way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keydir::{Custody, Import, Origin, Record, Scheme, StoreError, Subject, Trust};
use policy::Section;
use program::chain;
use sealing::custody::CustodyError;
use sealing::openpgp::{Epochs, RotateError, rotate};
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::interval;

use crate::config::absolute;
use crate::gateway::Gateway;
use crate::keyring::KeyRing;

/// How often it is looked whether an epoch began or ended.
const PAUSE: Duration = Duration::from_secs(900);
const DAY: i64 = 86_400;
/// How long the daily business of an epoch is kept in the certificate after it ended, in epochs: GnuPG tells users
/// better what happened with a subkey that is expired than with one that it never saw.
const SHOWN: i64 = 4;

/// The `[rotation]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RotationConfig {
    /// Whether subkeys are replaced at all.
    pub enabled: bool,
    /// Length of an epoch, days.
    pub epoch_days: u32,
    /// How long after its end the secrets of an epoch are kept, days: at least as long as mail may lie in a queue.
    pub keep_days: u32,
    /// Where the keys of epochs lie; `None` for a directory among the secrets.
    pub directory: Option<PathBuf>,
}

impl RotationConfig {
    /// Takes the section; without it nothing is rotated.
    pub fn take(section: &mut Section) -> Self {
        let mut days = |key, least, default: u32| {
            let days = section.take_integer(key, least, 365);
            days.and_then(|days| u32::try_from(days.value).ok()).unwrap_or(default)
        };
        let (epoch_days, keep_days) = (days("epoch_days", 1, 7), days("keep_days", 0, 5));
        Self {
            epoch_days,
            keep_days,
            directory: section.take_parsed("directory", absolute).map(|path| path.value),
            enabled: section.take_boolean("enabled").map_or(section.is_present(), |said| said.value),
        }
    }

    fn epochs(&self) -> Epochs {
        Epochs::new(Duration::from_secs(u64::from(self.epoch_days.max(1)) * DAY.unsigned_abs()))
    }
}

/// What a round did.
#[derive(Debug, Default, Serialize)]
pub struct Round {
    /// Fingerprints of the certificates that got a new subkey.
    pub rotated: Vec<String>,
    /// Ends of the epochs that were destroyed, Unix seconds.
    pub destroyed: Vec<i64>,
    /// What could not be rotated, and why.
    pub failed: Vec<Failed>,
}

/// A certificate that could not be rotated.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// Upper-case hexadecimal.
    pub fingerprint: String,
    /// In words.
    pub why: String,
}

/// Why one certificate, or a whole round, failed.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The secret keys.
    #[error("the secret keys cannot be used")]
    Custody(#[from] CustodyError),
    /// The certificates.
    #[error("the certificate store failed")]
    Store(#[from] StoreError),
    /// The certificate itself.
    #[error("no new subkey was made")]
    Rotate(#[from] RotateError),
}

/// Looks after the epochs until the process ends.
pub async fn look_after(gateway: Arc<Gateway>) {
    let mut tick = interval(PAUSE);
    loop {
        tick.tick().await;
        let config = gateway.config();
        if !config.rotation.enabled {
            continue;
        }
        let (keys, now) = (gateway.keys().clone(), gateway.now());
        match spawn_blocking(move || round(&keys, &config.rotation, now)).await {
            Ok(Ok(round)) => tell(&round),
            Ok(Err(error)) => tracing::error!("encryption subkeys were not rotated: {}", chain(&error)),
            Err(_) => tracing::error!("the rotation of encryption subkeys ended abnormally"),
        }
    }
}

fn tell(round: &Round) {
    for fingerprint in &round.rotated {
        tracing::info!("new encryption subkey for {fingerprint}");
    }
    for until in &round.destroyed {
        tracing::info!("destroyed the secret keys of the epoch that ended at {until}");
    }
    for failed in &round.failed {
        tracing::error!("no new encryption subkey for {}: {}", failed.fingerprint, failed.why);
    }
}

/// Destroys the epochs that are over at `now` (Unix seconds) and makes the subkeys that are due. Blocking.
///
/// # Errors
/// The store cannot be read or an epoch not destroyed. A certificate that fails does not stop the others.
pub fn round(keys: &KeyRing, config: &RotationConfig, now: i64) -> Result<Round, RotationError> {
    // First: an epoch whose destruction was cut short is in the way of all that follows.
    let destroyed = keys.custody.destroy_epochs(now - i64::from(config.keep_days) * DAY)?;
    let mut round = Round { destroyed, ..Round::default() };
    for record in keys.store.records()?.into_iter().filter(|record| rotates(record, now)) {
        match rotate_one(keys, config, &record, now) {
            Ok(true) => round.rotated.push(record.fingerprint),
            Ok(false) => {}
            Err(error) => {
                round.failed.push(Failed { why: chain(&error), fingerprint: record.fingerprint });
            }
        }
    }
    Ok(round)
}

/// Only what this gateway made: the secret half of an imported key is somewhere else too, where it would not be
/// destroyed. A mailbox at rest must be read for years.
fn rotates(record: &Record, now: i64) -> bool {
    record.scheme == Scheme::Openpgp
        && record.origin == Origin::Generated
        && record.trust == Trust::Own
        && record.custody == Custody::Local
        && record.revoked.is_none()
        && record.valid_until.is_none_or(|until| until > now)
        && !record.subjects.iter().any(|subject| matches!(subject, Subject::AtRest(_)))
}

fn rotate_one(
    keys: &KeyRing,
    config: &RotationConfig,
    record: &Record,
    now: i64,
) -> Result<bool, RotationError> {
    let secret = keys.custody.get(&record.fingerprint)?;
    let published = keydir::read_certificates(&record.bytes).map_err(StoreError::from)?;
    let Some(published) = published.first() else { return Ok(false) };
    let Some(rotated) = rotate(&secret, published, config.epochs(), now)? else { return Ok(false) };
    // The secret first: whoever sees the new subkey may use it at once.
    keys.custody.put_epoch(&rotated)?;
    let armored = keydir::armored(&rotated.certificate);
    keys.store.import(&Import {
        bytes: armored.as_bytes(),
        subjects: Some(record.assigned.clone()),
        origin: Origin::Generated,
        trust: Trust::Own,
        custody: Custody::Local,
        now,
    })?;
    let shown = SHOWN * i64::from(config.epoch_days) * DAY;
    keys.store.drop_expired_subkeys(&record.fingerprint, now - shown, now)?;
    Ok(true)
}
