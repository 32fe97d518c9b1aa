//! Who signed a message that came to us (RFC 6376). Keys are looked up with our own stub.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use mail_auth::AuthenticatedMessage;
use mail_auth::DkimResult;
use mail_auth::MessageAuthenticator;
use mail_auth::Parameters;
use mail_auth::ResolverCache;
use mail_auth::Txt;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::ResolverConfig;
use mail_auth::hickory_resolver::config::ResolverOpts;

use crate::dns;
use crate::dns::Dns;
use crate::dns::Lookup;

/// So many signatures of one message are looked at.
const SIGNATURES_MAX: usize = 8;

/// It cannot be said now who signed: try again later.
#[derive(Debug, thiserror::Error)]
#[error("the DKIM key {name} cannot be looked up: {why}")]
pub struct KeyUnavailable {
    /// Where the key should be.
    pub name: String,
    /// What the look-up said.
    pub why: String,
}

/// The domains (`d=`) of the valid DKIM signatures of a message, lower case, for [`super::intake::vouched`].
///
/// Signatures over only a part of the body do not count: reports "MUST NOT use the "l=" attribute" (RFC 8460
/// section 3).
///
/// # Errors
/// [`KeyUnavailable`] if a key that might have helped could not be looked up and no other signature is valid.
pub async fn signers(message: &[u8], dns: &Dns) -> Result<Vec<String>, KeyUnavailable> {
    let Some(mut parsed) = AuthenticatedMessage::parse(message) else { return Ok(Vec::new()) };
    parsed.dkim_headers.truncate(SIGNATURES_MAX);
    let mut keys = Keys(HashMap::new());
    let mut unavailable = None;
    let mut checkable = Vec::new();
    for header in parsed.dkim_headers.drain(..) {
        let signature = &header.header;
        let Ok(name) = dns::a_labels(&format!("{}._domainkey.{}", signature.s, signature.d)) else {
            continue;
        };
        if signature.l != 0 {
            continue;
        }
        match dns.txt(&name).await.lookup {
            Lookup::Found { records, .. } => {
                let Some(key) = records.iter().find_map(|text| DomainKey::parse(text.as_bytes()).ok()) else {
                    continue;
                };
                let owner = format!("{}._domainkey.{}.", signature.s, signature.d);
                keys.0.insert(owner.into(), Txt::DomainKey(key.into()));
                checkable.push(header);
            }
            Lookup::None { .. } => {}
            Lookup::Bogus { why } | Lookup::Failed { why } => {
                unavailable = Some(KeyUnavailable { name, why })
            }
        }
    }
    parsed.dkim_headers = checkable;
    let valid = verify(&parsed, &keys).await;
    match unavailable {
        Some(unavailable) if valid.is_empty() => Err(unavailable),
        _ => Ok(valid),
    }
}

async fn verify(parsed: &AuthenticatedMessage<'_>, keys: &Keys) -> Vec<String> {
    // It has nobody to ask: all keys are in the cache.
    let resolver = ResolverConfig::from_name_servers(Vec::new());
    let Ok(authenticator) = MessageAuthenticator::new(resolver, ResolverOpts::default()) else {
        tracing::error!("DKIM signatures cannot be verified: is the package ca-certificates installed?");
        return Vec::new();
    };
    let results = authenticator.verify_dkim(Parameters::new(parsed).with_txt_cache(keys)).await;
    let valid = results.iter().filter(|output| *output.result() == DkimResult::Pass);
    valid.filter_map(|output| output.signature()).map(|signature| signature.d.to_ascii_lowercase()).collect()
}

/// Keys by owner, as mail-auth asks for them.
struct Keys(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Keys {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}
