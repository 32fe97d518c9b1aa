//! Keys that somebody sent: read strictly, and looked at for one mailbox.

use std::sync::Arc;

use keydir::{
    Answer, Custody, Import, IntakeError, Origin, Purpose, Record, Scheme, Screening, Store, Subject, Trust,
    Usable,
};
use mail::Failure;
use program::chain;

use super::refusal;

/// Exactly one certificate, without what others signed.
///
/// # Errors
/// A refusal.
pub(super) fn read_certificate(bytes: &[u8]) -> Result<sealing::openpgp::Cert, Failure> {
    let certificates = keydir::read_certificates(bytes).map_err(|error| match error {
        IntakeError::Secret => refusal(
            (7, 8),
            "this mail holds your SECRET key: nothing of it was kept, but whoever saw it can read your mail. \
             Revoke the key and send only the public one of a new key",
        ),
        error => refusal((6, 0), &format!("this is no key to be published: {}", chain(&error))),
    })?;
    match <[_; 1]>::try_from(certificates) {
        Ok([certificate]) => Ok(certificate),
        Err(several) => {
            Err(refusal((6, 0), &format!("send one key at a time; this mail holds {}", several.len())))
        }
    }
}

/// Whether a key serves the mailbox today, together with what is known of it: a revocation stays.
pub(super) fn screen(
    armored: &[u8],
    address: &Subject,
    known: Option<&Record>,
    now: i64,
) -> Result<Screening, Failure> {
    let remembered: Vec<Arc<[u8]>> = known.iter().map(|known| known.bytes.clone()).collect();
    keydir::screen_openpgp(armored, address, &remembered, now)
        .map_err(|error| refusal((6, 0), &format!("this is no key to be published: {}", chain(&error))))
}

/// The key to encrypt a challenge to: of a store that holds nothing else, for ours must not know it yet.
pub(super) fn usable(armored: &[u8], address: &Subject, now: i64) -> Result<Usable, Failure> {
    let store = Store::open_in_memory()?;
    store.import(&Import {
        bytes: armored,
        subjects: Some(vec![address.clone()]),
        origin: Origin::Submitted,
        trust: Trust::Accepted,
        custody: Custody::None,
        now,
    })?;
    match store.find(address, Scheme::Openpgp, Purpose::Encrypt, now) {
        Answer::Found(usable) => Ok(usable),
        Answer::None { why } => {
            let why = why.first().map(ToString::to_string).unwrap_or_default();
            Err(refusal((7, 1), &format!("nobody could write to {address} with this key: {why}")))
        }
        Answer::CouldNotTell { why } => {
            let failure = Failure::temporary((3, 0), "keys cannot be looked at now");
            Err(failure.because(std::io::Error::other(why)))
        }
    }
}
