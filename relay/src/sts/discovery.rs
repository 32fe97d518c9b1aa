//! What is known about the policy of one domain, and how it came to be known.

use super::disk::Kept;
use super::policy::Mode;
use super::policy::StsPolicy;
use super::record;
use crate::dns::Lookup;
use crate::road::Trouble;
use crate::road::TroubleKind;

/// How long the absence of a TXT record is relied on if its look-up failed, seconds.
const FAILED_TTL: u32 = 60;

/// What is known about one domain.
#[derive(Clone, Debug, Default)]
pub struct Discovered {
    /// The policy in force, of any mode; mode none means that there is none.
    pub policy: Option<StsPolicy>,
    /// What TLS reports must tell.
    pub troubles: Vec<Trouble>,
    /// Every look-up and conclusion, in words.
    pub steps: Vec<String>,
    /// How long this holds before the TXT record must be asked for again, seconds.
    pub ttl: u32,
}

impl Discovered {
    pub(super) fn say(&mut self, step: String) {
        self.steps.push(step);
    }

    /// RFC 8461 section 3.3: if no live policy is found, "but a valid (non-expired) policy exists in the sender's
    /// cache, the sender MUST apply that cached policy".
    pub(super) fn keep(&mut self, kept: Option<Kept>, now: i64) {
        if let Some(kept) = &kept {
            self.say(format!("the cached policy of id {} stays in force", kept.policy.id));
        }
        self.take(kept, now);
    }

    pub(super) fn take(&mut self, kept: Option<Kept>, now: i64) {
        let Some(kept) = kept else { return };
        self.ttl = self.ttl.min(u32::try_from(kept.expires() - now).unwrap_or(0));
        self.policy = Some(kept.policy);
    }

    pub(super) fn conclude(&mut self) {
        let conclusion = match &self.policy {
            None => "no MTA-STS policy".to_owned(),
            Some(policy) => {
                let mode = match policy.mode {
                    Mode::Enforce => "enforce",
                    Mode::Testing => "testing",
                    Mode::None => "none",
                };
                format!("MTA-STS policy {}: mode {mode}, mx {}", policy.id, policy.mx.join(" "))
            }
        };
        self.say(conclusion);
    }
}

/// The id that is announced. RFC 8461 does not ask for DNSSEC; a look-up that failed leaves what is cached.
pub(super) fn announced(lookup: &Lookup<String>, found: &mut Discovered) -> Option<String> {
    match lookup {
        Lookup::Found { records, .. } => match record::discover(records.iter().map(String::as_str)) {
            Ok(Some(id)) => {
                found.say(format!("_mta-sts TXT announces the policy of id {id}"));
                Some(id.to_owned())
            }
            Ok(None) => {
                found.say("no _mta-sts TXT record is about MTA-STS".to_owned());
                None
            }
            Err(bad) => {
                let why = format!("the _mta-sts TXT record is invalid: {bad}");
                found.say(why.clone());
                found.troubles.push(Trouble { kind: TroubleKind::StsPolicyInvalid, host: None, why });
                None
            }
        },
        Lookup::None { .. } => {
            found.say("no _mta-sts TXT record".to_owned());
            None
        }
        Lookup::Bogus { why } | Lookup::Failed { why } => {
            found.ttl = FAILED_TTL;
            found.say(format!("the _mta-sts TXT record cannot be looked up: {why}"));
            let kind = TroubleKind::StsPolicyFetchError;
            found.troubles.push(Trouble { kind, host: None, why: why.clone() });
            None
        }
    }
}
