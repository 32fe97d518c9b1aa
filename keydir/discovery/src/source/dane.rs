//! Certificates in the DNS: OPENPGPKEY (RFC 7929) and SMIMEA (RFC 8162), only if DNSSEC authenticates them.

use keydir::Scheme;
use keydir::openpgpkey_owner;
use keydir::smimea_owner;
use net::dns::Dns;
use net::dns::Lookup;
use net::dns::Resolved;
use net::dns::Security;

use super::Asked;
use super::Haul;
use super::Reply;
use super::Said;

/// RFC 7929 section 2.
const OPENPGPKEY: u16 = 61;
/// RFC 8162 section 2.
const SMIMEA: u16 = 53;

pub(super) async fn ask(dns: &Dns, asked: &Asked, scheme: Scheme) -> Reply {
    let owner = |local: &str| match scheme {
        Scheme::Openpgp => (format!("{}._openpgpkey.{}", openpgpkey_owner(local), asked.domain), OPENPGPKEY),
        Scheme::Smime => (format!("{}._smimecert.{}", smimea_owner(local), asked.domain), SMIMEA),
    };
    let (name, rtype) = owner(&asked.local);
    let reply = read(dns.raw(&name, rtype).await, scheme).noting(name);
    let lower = asked.local.to_ascii_lowercase();
    // The hash tells `Bob` from `bob`, which mail systems do not: what is not there under one may be under the other.
    if lower == asked.local || !matches!(reply.said, Said::Nothing { .. }) {
        return reply;
    }
    let (name, rtype) = owner(&lower);
    let mut second = read(dns.raw(&name, rtype).await, scheme).noting(name);
    second.notes.splice(0..0, reply.notes);
    second
}

fn read(resolved: Resolved<Vec<u8>>, scheme: Scheme) -> Reply {
    let ttl = Some(resolved.ttl);
    match resolved.lookup {
        Lookup::Found { security: Security::Insecure, .. } => Reply::new(Said::Nothing { ttl })
            .noting("there are records, but DNSSEC does not protect them: not used"),
        Lookup::Found { records, .. } if scheme == Scheme::Openpgp => {
            Reply::new(Said::Something(Haul { openpgp: records, ttl, ..Haul::default() }))
        }
        Lookup::Found { records, .. } => {
            let count = records.len();
            let smime: Vec<Vec<u8>> = records.iter().filter_map(|record| whole(record)).collect();
            if smime.is_empty() {
                return Reply::new(Said::Nothing { ttl })
                    .noting(format!("{count} records, none of which holds a whole certificate of a user"));
            }
            Reply::new(Said::Something(Haul { smime, ttl, ..Haul::default() }))
        }
        Lookup::None { .. } => Reply::new(Said::Nothing { ttl }),
        Lookup::Bogus { why } | Lookup::Failed { why } => Reply::trouble(why),
    }
}

/// The certificate of an SMIMEA record, if it holds one that is the user's own: usage PKIX-EE or DANE-EE, the full
/// certificate, exact.
fn whole(record: &[u8]) -> Option<Vec<u8>> {
    match record {
        [1 | 3, 0, 0, der @ ..] if !der.is_empty() => Some(der.to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_certificates_of_users_are_taken() {
        for (record, taken) in [
            (&[3, 0, 0, 0x30][..], true),
            (&[1, 0, 0, 0x30], true),
            (&[2, 0, 0, 0x30], false),
            (&[0, 0, 0, 0x30], false),
            (&[3, 1, 0, 0x30], false),
            (&[3, 0, 1, 0x30], false),
            (&[3, 0, 0], false),
            (&[3], false),
            (&[], false),
        ] {
            assert_eq!(whole(record).is_some(), taken, "{record:?}");
        }
    }
}
