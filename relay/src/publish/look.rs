//! Asks DNS and the policy host what is published.

use std::collections::HashMap;

use super::certificate::Key;
use super::own::Own;
use super::sightings::Sightings;
use crate::dns::Dns;
use crate::dns::Lookup;
use crate::dns::Mx;
use crate::dns::Resolved;
use crate::dns::Tlsa;
use crate::sts::Discovered;
use crate::sts::StsCache;

/// What is published.
#[derive(Clone, Debug)]
pub struct Published {
    /// The MX records of the domain.
    pub mx: Resolved<Mx>,
    /// Of each host of [`Own::hosts`], in their order.
    pub hosts: Vec<PublishedHost>,
    /// TXT of `_mta-sts.DOMAIN`.
    pub sts: Resolved<String>,
    /// What senders find as our MTA-STS policy.
    pub policy: Discovered,
    /// TXT of `_smtp._tls.DOMAIN`.
    pub tlsrpt: Resolved<String>,
    /// TXT of the DKIM key, if we have one.
    pub dkim: Option<Resolved<String>>,
}

/// What is published of one host.
#[derive(Clone, Debug)]
pub struct PublishedHost {
    /// Its TLSA records.
    pub tlsa: Resolved<Tlsa>,
    /// Since when we see a record 3 1 1 for a key, Unix seconds.
    pub since: HashMap<Key, i64>,
}

/// Looks at everything that [`super::judge`] judges.
///
/// `policies` should be fresh and in memory, so that the policy host is really asked. Without `sightings`, a record
/// counts as published since `now`.
///
/// # Errors
/// The table of sightings cannot be used.
pub async fn look(
    own: &Own,
    dns: &Dns,
    policies: &StsCache,
    mut sightings: Option<&mut Sightings>,
    now: i64,
) -> rusqlite::Result<Published> {
    let mut hosts = Vec::new();
    for host in &own.hosts {
        let tlsa = dns.tlsa(&host.name, host.port).await;
        let keys = keys(tlsa.lookup.records());
        let since = match (&mut sightings, &tlsa.lookup) {
            // What cannot be looked up now has not gone away.
            (Some(sightings), Lookup::Found { .. } | Lookup::None { .. }) => {
                sightings.note(&host.name, &keys, now)?
            }
            _ => keys.into_iter().map(|key| (key, now)).collect(),
        };
        hosts.push(PublishedHost { tlsa, since });
    }
    let dkim = match &own.dkim {
        Some((name, _)) => Some(dns.txt(name).await),
        None => None,
    };
    Ok(Published {
        mx: dns.mx(&own.domain).await,
        hosts,
        sts: dns.txt(&format!("_mta-sts.{}", own.domain)).await,
        policy: if own.sts.is_some() { policies.policy(&own.domain).await } else { Discovered::default() },
        tlsrpt: dns.txt(&format!("_smtp._tls.{}", own.domain)).await,
        dkim,
    })
}

/// The keys of the records 3 1 1.
fn keys(records: &[Tlsa]) -> Vec<Key> {
    let ours = |record: &&Tlsa| (record.usage, record.selector, record.matching) == (3, 1, 1);
    let mut keys: Vec<Key> = records
        .iter()
        .filter(ours)
        .filter_map(|record| record.data.as_slice().try_into().ok().map(Key))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}
