//! What is published: the certificates of our own domains, ready to be served.
//!
//! The gateway writes a file with a [`Publisher`]; the sidecar, which faces the Internet and never sees the
//! gateway's state, reads it through a [`Publication`]. The file holds finished bytes: for each mailbox
//! the certificates as they are given out, with the User IDs of that mailbox and nothing else. Looking
//! something up parses no certificate, and takes the same steps whether there is something or not.
//!
//! Published are certificates of the domains that the [`PublicationRules`] name, bound to an exact mailbox and
//! trusted as our own. Held, distrusted and harvested ones, those of partners and those for the mailbox
//! at rest never are.

mod address;
mod change;
mod draft;
mod error;
mod minimise;
mod openpgp;
mod pool;
mod publisher;
mod reader;
mod rows;
mod rules;
mod schema;
mod smime;

use std::sync::Arc;

use serde::Serialize;

use crate::record::Scheme;

pub use change::Change;
pub use change::Summary;
pub use change::key_set_digest;
pub use error::PublicationError;
pub(crate) use minimise::smallest;
pub use publisher::Publisher;
pub use reader::Counts;
pub use reader::Publication;
pub use rules::AliasSigner;
pub use rules::PublicationRules;
pub use rules::Who;

/// One certificate as it is given out for one mailbox.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Published {
    /// Fingerprint of the primary key (40 or 64 digits), or SHA-256 of the X.509 certificate; upper-case
    /// hexadecimal.
    pub fingerprint: String,
    /// OpenPGP or S/MIME.
    pub scheme: Scheme,
    /// The binary certificate with the User IDs of the mailbox only, or the X.509 certificate in DER.
    #[serde(skip)]
    pub bytes: Arc<[u8]>,
    /// Version of the primary key (4 or 6), or of the X.509 certificate (3).
    pub version: u8,
    /// Algorithm and size in one lower-case word: `ed25519`, `rsa3072`, `nistp256`.
    pub algorithm: String,
    /// Number of the primary key's algorithm (RFC 9580, 9.1); 0 for X.509.
    pub algorithm_number: u8,
    /// Size of the primary key, bits; 0 if the algorithm has no name for it.
    pub bits: u32,
    /// When the primary key was made, or the first second of validity; Unix seconds.
    pub created: i64,
    /// First second of validity, Unix seconds.
    pub valid_from: Option<i64>,
    /// End of validity, Unix seconds; `None` if it does not expire.
    pub valid_until: Option<i64>,
    /// Revoked by its holder or issuer.
    pub revoked: bool,
    /// Mail can be encrypted to it, at the last refresh.
    pub usable: bool,
    /// User IDs as text; the addresses of an X.509 certificate.
    pub user_ids: Vec<String>,
    /// The certificates of the authorities above an X.509 certificate, DER, the nearest first.
    #[serde(skip)]
    pub chain: Vec<Arc<[u8]>>,
}

/// Everything that is published for one mailbox.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Mailbox {
    /// The address under which it is published: for a sub-address the mailbox itself, for an address that
    /// only the domain's key serves `@domain`. The domain is in A-labels and lower case.
    pub address: String,
    /// Usable ones first, the newest of them at the front; then the expired and the revoked.
    pub openpgp: Vec<Published>,
    /// The same order.
    pub smime: Vec<Published>,
    /// What the key log gave to prove the label of the mailbox ([`Change::label_proof`]).
    #[serde(skip)]
    pub label_proof: Option<Vec<u8>>,
}
