//! What several tests look at.

use std::sync::Arc;

use keydir::Published;
use keydir::Scheme;

/// A certificate with this User ID.
pub(crate) fn published(user_id: &str) -> Published {
    Published {
        fingerprint: "D1A66E1A23B182C9980F788CFBFCC82A015E7330".to_owned(),
        scheme: Scheme::Openpgp,
        bytes: Arc::from(&b"x"[..]),
        version: 4,
        algorithm: "ed25519".to_owned(),
        algorithm_number: 22,
        bits: 255,
        created: 1_700_000_000,
        valid_from: Some(1_700_000_000),
        valid_until: Some(1_800_000_000),
        revoked: false,
        usable: true,
        user_ids: vec![user_id.to_owned()],
        chain: Vec::new(),
    }
}
