//! What a partner's directory proves: that the partner's own key log announced a key set.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ::discovery::LogVerifier;
use keydir::Scheme;
use keylog::keyset::Kind;
use keylog::mailbox::Mailbox;
use keylog::proof::{Finding, LookupProof, Trust, verify_lookup};
use keylog::vrf::VrfPublic;
use net::Clock;
use tlog::policy::Policy;

/// A checkpoint older than this says nothing about today, seconds.
const MAX_AGE: u64 = 7 * 86_400;
/// How far ahead a partner's clock may be, seconds.
const MAX_SKEW: u64 = 300;

/// The keys of one partner's log, as the administrator was told them.
#[derive(Clone)]
pub struct PartnerLog {
    /// The log's key, and the witnesses that must have cosigned.
    pub policy: Arc<Policy>,
    /// The key by which labels are made.
    pub vrf: VrfPublic,
}

impl fmt::Debug for PartnerLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartnerLog").finish_non_exhaustive()
    }
}

/// The logs of partners, by domain in A-labels.
#[derive(Debug)]
pub(super) struct PartnerLogs {
    pub(super) logs: BTreeMap<String, PartnerLog>,
    pub(super) clock: Clock,
}

impl LogVerifier for PartnerLogs {
    fn announces(&self, address: &str, scheme: Scheme, certificates: &[Arc<[u8]>], proof: &str) -> bool {
        self.check(address, scheme, certificates, proof).unwrap_or(false)
    }
}

impl PartnerLogs {
    /// `None` if the proof proves nothing.
    fn check(&self, address: &str, scheme: Scheme, certificates: &[Arc<[u8]>], proof: &str) -> Option<bool> {
        let mailbox = Mailbox::parse(address).ok()?;
        let (_, domain) = mailbox.as_str().rsplit_once('@')?;
        let log = self.logs.get(domain)?;
        let text: String = serde_json::from_str(proof).ok()?;
        let proof = LookupProof::from_bytes(&openssl::base64::decode_block(&text).ok()?).ok()?;
        let trust = Trust {
            policy: &log.policy,
            vrf: &log.vrf,
            seen: None,
            now: Some(self.clock.now().unsigned_abs()),
            max_age: MAX_AGE,
            max_skew: MAX_SKEW,
        };
        let Finding::Keys { keys: Some(keys), .. } = verify_lookup(&proof, &mailbox, &trust).ok()?.finding
        else {
            return None;
        };
        let kind = match scheme {
            Scheme::Openpgp => Kind::OpenPgp,
            Scheme::Smime => Kind::Smime,
        };
        // Exactly these: one that was left out may be the revocation.
        let announced = keys.iter().filter(|(of, _)| *of == kind).count();
        Some(announced == certificates.len() && certificates.iter().all(|bytes| keys.contains(kind, bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use keylog::keyset::KeySet;
    use keylog::reader::LogReader;
    use keylog::vrf::VrfKey;
    use keylog::writer::{Change, KeyLog, KeyUpdate};
    use tlog::key::Signer;

    const NOW: i64 = 1_790_000_000;
    const BOB: &str = "bob@beta.example";

    /// A partner's log that announced one certificate of Bob, what is known of it, and the proof.
    fn announced(certificate: &[u8]) -> (PartnerLogs, String) {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::from_seed("mx.beta.example/keys", &[7; 32]).unwrap();
        let policy = format!("log {}\nquorum none\n", signer.verifier());
        let vrf = VrfKey::from_bytes(&[8; 32]);
        let place = dir.path().join("log");
        std::fs::create_dir(&place).unwrap();
        let memory = dir.path().join("memory");
        let now = NOW.unsigned_abs();
        let mut log =
            KeyLog::open(&place, &memory, signer, VrfKey::from_bytes(&vrf.to_bytes()), now).unwrap();
        let mailbox = Mailbox::parse(BOB).unwrap();
        let mut keys = KeySet::new();
        keys.add(Kind::OpenPgp, certificate);
        log.append(&[KeyUpdate { mailbox: mailbox.clone(), change: Change::Keys(keys) }], now).unwrap();
        drop(log);
        let (label, proof) = vrf.prove(&mailbox);
        let proof = LogReader::open(&place).unwrap().prove(&label, Some(proof)).unwrap();
        let known =
            PartnerLog { policy: Arc::new(Policy::parse(policy.as_bytes()).unwrap()), vrf: *vrf.public() };
        let logs = BTreeMap::from([("beta.example".to_owned(), known)]);
        let text = openssl::base64::encode_block(&proof.to_bytes());
        (PartnerLogs { logs, clock: Clock::fixed(NOW + 60) }, format!("\"{text}\""))
    }

    #[test]
    fn only_exactly_what_the_log_says_today_is_announced() {
        let (logs, proof) = announced(b"certificate");
        let is = |logs: &PartnerLogs, address: &str, scheme, certificates: &[&[u8]], proof: &str| {
            let certificates: Vec<Arc<[u8]>> = certificates.iter().map(|bytes| Arc::from(*bytes)).collect();
            logs.announces(address, scheme, &certificates, proof)
        };
        assert!(is(&logs, BOB, Scheme::Openpgp, &[b"certificate"], &proof));
        assert!(is(&logs, "Bob@BETA.example", Scheme::Openpgp, &[b"certificate"], &proof));
        assert!(!is(&logs, BOB, Scheme::Openpgp, &[b"another"], &proof));
        assert!(!is(&logs, BOB, Scheme::Openpgp, &[b"certificate", b"another"], &proof));
        assert!(!is(&logs, BOB, Scheme::Openpgp, &[], &proof));
        assert!(!is(&logs, BOB, Scheme::Smime, &[b"certificate"], &proof));
        assert!(!is(&logs, "eve@beta.example", Scheme::Openpgp, &[b"certificate"], &proof));
        assert!(!is(&logs, "bob@gamma.example", Scheme::Openpgp, &[b"certificate"], &proof));
        for junk in ["", "null", "{}", "\"AAAA\"", "\"!\""] {
            assert!(!is(&logs, BOB, Scheme::Openpgp, &[b"certificate"], junk), "{junk}");
        }
        let late = PartnerLogs { clock: Clock::fixed(NOW + 8 * 86_400), ..logs };
        assert!(!is(&late, BOB, Scheme::Openpgp, &[b"certificate"], &proof));
    }

    #[test]
    fn a_log_with_other_keys_proves_nothing() {
        let (logs, _) = announced(b"certificate");
        let other = Signer::from_seed("mx.beta.example/keys", &[9; 32]).unwrap();
        let policy = format!("log {}\nquorum none\n", other.verifier());
        let (_, proof) = announced(b"certificate");
        let known = PartnerLog {
            policy: Arc::new(Policy::parse(policy.as_bytes()).unwrap()),
            vrf: logs.logs.values().next().unwrap().vrf,
        };
        let fooled =
            PartnerLogs { logs: BTreeMap::from([("beta.example".to_owned(), known)]), clock: logs.clock };
        assert!(!fooled.announces(BOB, Scheme::Openpgp, &[Arc::from(&b"certificate"[..])], &proof));
    }
}
