//! What is done about a mail to the submission address once it is recorded.

use keydir::{Custody, Import, Origin, StoreError, Subject, Trust};
use mail::Failure;
use zeroize::Zeroizing;

use super::pending::{Pending, PendingKeys};
use crate::config::Config;
use crate::keyring::KeyRing;
use crate::spool::Copy;

/// Mails of ours, and a change of what we know.
#[derive(Debug)]
pub struct Deed {
    /// To the mailbox of the key.
    pub copies: Vec<Copy>,
    /// What changes.
    pub effect: Effect,
}

/// What changes.
pub enum Effect {
    /// A key waits for its nonce.
    Challenge {
        /// What only the holder of the key will read.
        nonce: Zeroizing<String>,
        /// The key.
        pending: Pending,
    },
    /// A key is stored to be published.
    Confirm {
        /// Armored, without secret key material.
        certificate: Vec<u8>,
        /// The mailbox.
        address: Subject,
        /// The nonce that counts no more.
        nonce: Option<Zeroizing<String>>,
    },
    /// A revocation is added to what is known of a key; nothing else is.
    Revoke {
        /// Armored, without secret key material.
        certificate: Vec<u8>,
    },
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Challenge { .. } => "Challenge",
            Self::Confirm { .. } => "Confirm",
            Self::Revoke { .. } => "Revoke",
        })
    }
}

impl Effect {
    /// Makes it so, durably. Blocking. Done a second time it changes nothing.
    ///
    /// # Errors
    /// The disk or the store; the mail must then be refused for now.
    pub fn apply(&self, config: &Config, keys: &KeyRing, now: i64) -> Result<(), Failure> {
        let waiting = PendingKeys::of(&config.gateway.state);
        let kept = |error: std::io::Error| {
            Failure::temporary((3, 0), "keys that wait cannot be kept now").because(error)
        };
        match self {
            Self::Challenge { nonce, pending } => waiting.keep(nonce, pending).map_err(kept),
            Self::Confirm { certificate, address, nonce } => {
                keys.store.confirm(certificate, address, now).map_err(|error| match error {
                    StoreError::Distrusted(_) => {
                        Failure::permanent((7, 1), "the administrator does not accept this key")
                    }
                    error => error.into(),
                })?;
                // Last: before it, the same mail may come again and do the same.
                nonce.as_ref().map_or(Ok(()), |nonce| waiting.forget(nonce)).map_err(kept)
            }
            Self::Revoke { certificate } => {
                let import = Import {
                    bytes: certificate,
                    subjects: Some(Vec::new()),
                    origin: Origin::Submitted,
                    trust: Trust::Held,
                    custody: Custody::None,
                    now,
                };
                keys.store.import(&import)?;
                Ok(())
            }
        }
    }
}
