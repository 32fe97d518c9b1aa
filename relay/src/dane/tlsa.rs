//! Which TLSA records count for SMTP, and whether one matches a certificate.

use std::fmt;

use sha2::Digest;
use sha2::Sha256;
use sha2::Sha512;

use super::der;
use crate::dns::Tlsa;

/// Why a record does not count.
///
/// A host with records of which none counts must still be reached by TLS, unauthenticated (RFC 7672
/// section 2.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Unusable {
    /// PKIX-TA(0) and PKIX-EE(1): undefined for SMTP (RFC 7672 section 3.1.3).
    Pkix,
    /// Unknown certificate usage.
    Usage,
    /// Unknown selector.
    Selector,
    /// Unknown matching type.
    Matching,
    /// The digest has the wrong length.
    DigestLength,
    /// Full data that is not a certificate, or not a key, as the selector says.
    Malformed,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pkix => "certificate usages 0 and 1 do not exist for SMTP",
            Self::Usage => "unknown certificate usage",
            Self::Selector => "unknown selector",
            Self::Matching => "unknown matching type",
            Self::DigestLength => "digest of the wrong length",
            Self::Malformed => "the data is neither a certificate nor a key as the selector says",
        })
    }
}

/// Why `record` does not count for SMTP; nothing if it does.
pub fn unusable(record: &Tlsa) -> Option<Unusable> {
    match record.usage {
        0 | 1 => return Some(Unusable::Pkix),
        2 | 3 => {}
        _ => return Some(Unusable::Usage),
    }
    if record.selector > 1 {
        return Some(Unusable::Selector);
    }
    match record.matching {
        0 if well_formed(record) => None,
        0 => Some(Unusable::Malformed),
        1 if record.data.len() == SHA256_LENGTH => None,
        2 if record.data.len() == SHA512_LENGTH => None,
        1 | 2 => Some(Unusable::DigestLength),
        _ => Some(Unusable::Matching),
    }
}

/// The records that count, in their order, each once.
pub fn usable(records: &[Tlsa]) -> Vec<Tlsa> {
    let mut kept: Vec<Tlsa> = Vec::new();
    for record in records.iter().filter(|record| unusable(record).is_none()) {
        if !kept.contains(record) {
            kept.push(record.clone());
        }
    }
    kept
}

/// The usable records that digest algorithm agility leaves (RFC 7671 section 9).
///
/// Of each usage and selector only the strongest digest is considered; full data always is.
pub fn effective(records: &[Tlsa]) -> Vec<Tlsa> {
    let usable = usable(records);
    let strongest = |record: &Tlsa| {
        let alike =
            usable.iter().filter(|other| (other.usage, other.selector) == (record.usage, record.selector));
        alike.map(|other| other.matching).max().unwrap_or_default()
    };
    // SHA-256 is 1 and SHA-512 is 2, so the number also orders them by strength.
    usable
        .iter()
        .filter(|record| record.matching == 0 || record.matching == strongest(record))
        .cloned()
        .collect()
}

/// Whether the record's data match this certificate (RFC 6698 section 2.1). Says nothing about its usage.
pub fn matches(record: &Tlsa, certificate: &[u8]) -> bool {
    let selected = match record.selector {
        0 => Some(certificate),
        1 => der::public_key_info(certificate),
        _ => None,
    };
    let Some(selected) = selected else { return false };
    match record.matching {
        0 => selected == record.data,
        1 => Sha256::digest(selected).as_slice() == record.data,
        2 => Sha512::digest(selected).as_slice() == record.data,
        _ => false,
    }
}

fn well_formed(record: &Tlsa) -> bool {
    match record.selector {
        0 => der::Outline::read(&record.data).is_some(),
        _ => der::is_public_key_info(&record.data),
    }
}

const SHA256_LENGTH: usize = 32;
const SHA512_LENGTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn tlsa(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Tlsa {
        Tlsa { usage, selector, matching, data: data.to_vec() }
    }

    fn certificate() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["mx.example".into()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn only_well_formed_records_of_usage_two_and_three_count() {
        let der = certificate();
        let key = der::public_key_info(&der).unwrap();
        let digest = [7; 32];
        for (record, reason) in [
            (tlsa(0, 0, 1, &digest), Some(Unusable::Pkix)),
            (tlsa(1, 1, 1, &digest), Some(Unusable::Pkix)),
            (tlsa(9, 1, 1, &digest), Some(Unusable::Usage)),
            (tlsa(255, 1, 1, &digest), Some(Unusable::Usage)),
            (tlsa(3, 9, 1, &digest), Some(Unusable::Selector)),
            (tlsa(3, 1, 9, &digest), Some(Unusable::Matching)),
            (tlsa(3, 1, 1, &digest[1..]), Some(Unusable::DigestLength)),
            (tlsa(3, 1, 2, &digest), Some(Unusable::DigestLength)),
            (tlsa(3, 1, 1, &[]), Some(Unusable::DigestLength)),
            (tlsa(3, 0, 0, &[]), Some(Unusable::Malformed)),
            (tlsa(3, 0, 0, key), Some(Unusable::Malformed)),
            (tlsa(2, 1, 0, &der), Some(Unusable::Malformed)),
            (tlsa(3, 0, 0, &der), None),
            (tlsa(2, 1, 0, key), None),
            (tlsa(3, 1, 1, &digest), None),
            (tlsa(2, 0, 2, &[7; 64]), None),
        ] {
            assert_eq!(unusable(&record), reason, "{record:?}");
        }
    }

    #[test]
    fn the_strongest_digest_of_each_usage_and_selector_is_considered() {
        let der = certificate();
        let weak = tlsa(3, 1, 1, &[1; 32]);
        let strong = tlsa(3, 1, 2, &[2; 64]);
        let other_selector = tlsa(3, 0, 1, &[3; 32]);
        let other_usage = tlsa(2, 1, 1, &[4; 32]);
        let full = tlsa(3, 0, 0, &der);
        let unusable = tlsa(3, 1, 9, &[0; 99]);
        let all = [weak, strong.clone(), other_selector.clone(), other_usage.clone(), full.clone(), unusable];
        assert_eq!(effective(&all), [strong, other_selector, other_usage, full]);
    }

    #[test]
    fn an_unusable_stronger_digest_does_not_displace_a_usable_one() {
        let weak = tlsa(3, 1, 1, &[1; 32]);
        assert_eq!(effective(&[weak.clone(), tlsa(3, 1, 2, &[2; 63])]), [weak]);
    }

    #[test]
    fn every_selector_and_matching_type_matches_its_own_certificate_only() {
        let der = certificate();
        let other = certificate();
        let key = der::public_key_info(&der).unwrap();
        for (selector, selected) in [(0, der.as_slice()), (1, key)] {
            for (matching, data) in [
                (0, selected.to_vec()),
                (1, Sha256::digest(selected).to_vec()),
                (2, Sha512::digest(selected).to_vec()),
            ] {
                let record = tlsa(3, selector, matching, &data);
                assert!(matches(&record, &der), "{selector} {matching}");
                assert!(!matches(&record, &other), "{selector} {matching}");
                assert!(!matches(&record, b""), "{selector} {matching}");
            }
        }
        assert!(!matches(&tlsa(3, 2, 0, &der), &der));
        assert!(!matches(&tlsa(3, 0, 3, &der), &der));
    }
}
