//! What a refresh changed.

use openssl::sha::Sha256;
use serde::Serialize;

use super::Published;

/// What [`key_set_digest`] begins with.
const LABEL: &[u8] = b"gatepost key set v1\0";

/// One mailbox whose published certificates are about to change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The address, its domain in A-labels and everything in ASCII lower case; `@domain` for the key of a
    /// whole domain.
    pub mailbox: String,
    /// The [`key_set_digest`] of what is published now; `None` if nothing is.
    pub old: Option<[u8; 32]>,
    /// The digest of what will be published; `None` if everything is withdrawn.
    pub new: Option<[u8; 32]>,
    /// What will be published, OpenPGP before S/MIME.
    pub certificates: Vec<Published>,
    /// For the key log to fill in: the proof of the mailbox's label, published beside the certificates.
    /// Comes with the proof that is published now.
    pub label_proof: Option<Vec<u8>>,
}

/// The digest that stands for all certificates of a mailbox in the key log.
///
/// SHA-256 over `gatepost key set v1`, a NUL octet, the SHA-256 of the WKD answer (the OpenPGP certificates
/// one behind the other; of nothing if there are none) and the SHA-256 of the S/MIME certificates in DER, one
/// behind the other. Whoever holds one half can check it with the digest of the other.
pub fn key_set_digest<'a>(
    openpgp: impl IntoIterator<Item = &'a [u8]>,
    smime: impl IntoIterator<Item = &'a [u8]>,
) -> [u8; 32] {
    let mut outer = Sha256::new();
    outer.update(LABEL);
    outer.update(&half(openpgp));
    outer.update(&half(smime));
    outer.finish()
}

fn half<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finish()
}

/// What a refresh did.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// Mailboxes that were looked at.
    pub examined: usize,
    /// Mailboxes whose certificates changed, new ones included.
    pub changed: usize,
    /// Of these, mailboxes that were not published before.
    pub added: usize,
    /// Mailboxes from which everything was withdrawn.
    pub withdrawn: usize,
    /// Everything was given to the log once more, for it is another one than it was.
    pub logged_anew: bool,
    /// Mailboxes that are published now.
    pub mailboxes: usize,
    /// Certificates that should have been published and were not, with the reason; the first hundred.
    pub omitted: Vec<String>,
    /// Things the administrator should know, for example answers above 32 KiB; the first hundred.
    pub warnings: Vec<String>,
}
