//! Does this chain satisfy these records?

use std::cell::Cell;

use rustls::pki_types::CertificateDer;

use super::certificate::Certificate;
use super::chain::Climb;
use super::tlsa;
use crate::dns::Tlsa;

/// Why a certificate chain satisfies no record. Always temporary: the records or the certificate may be in
/// the middle of a roll-over (RFC 7672 section 2.2).
///
/// The variants are in the order of how far the chain got.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DaneFault {
    /// The peer sent no certificate.
    #[error("no certificate was sent")]
    NoCertificate,
    /// There is no usable record to match.
    #[error("no TLSA record is usable")]
    NoRecord,
    /// The leaf matches no DANE-EE record, and there are no others.
    #[error("the certificate matches no TLSA record")]
    NoMatch,
    /// No path leads from the leaf to a published trust anchor.
    #[error("the certificate matches no TLSA record and leads to no trust anchor that one names")]
    NotTrusted,
    /// A certificate on the way must not be used so.
    #[error("the certificate of {subject} cannot be used: {why}")]
    Unacceptable {
        /// Its subject.
        subject: String,
        /// What forbids it.
        why: &'static str,
    },
    /// A certificate on the way to the anchor is not valid any more.
    #[error("the certificate of {subject} has expired")]
    Expired {
        /// Its subject.
        subject: String,
        /// End of validity, Unix seconds.
        since: i64,
    },
    /// A certificate on the way to the anchor is not valid yet.
    #[error("the certificate of {subject} is not valid yet")]
    NotYetValid {
        /// Its subject.
        subject: String,
        /// Begin of validity, Unix seconds.
        until: i64,
    },
    /// The chain is anchored but the leaf belongs to another host.
    #[error("the certificate is for {}, not for {}", one_of(presented), one_of(wanted))]
    Name {
        /// Names in the certificate.
        presented: Vec<String>,
        /// Reference names.
        wanted: Vec<String>,
    },
}

impl DaneFault {
    /// The fault of the chain that got further.
    pub(super) fn nearer(self, other: Self) -> Self {
        if other.distance() > self.distance() { other } else { self }
    }

    fn distance(&self) -> u8 {
        match self {
            Self::NoCertificate | Self::NoRecord => 0,
            Self::NoMatch | Self::NotTrusted => 1,
            Self::Unacceptable { .. } => 2,
            Self::Expired { .. } | Self::NotYetValid { .. } => 3,
            Self::Name { .. } => 4,
        }
    }
}

/// The record that `chain`, leaf first, satisfies.
///
/// Unusable records and digests weaker than others are left out first (RFC 7671 section 9). DANE-EE asks for
/// nothing but the match (RFC 7672 section 3.1.1); DANE-TA for a path, its dates at `now` (Unix seconds) and one
/// of `names` (RFC 7672 section 3.2.2).
///
/// # Errors
/// The nearest miss, when no record is satisfied.
pub fn verify(
    records: &[Tlsa],
    names: &[String],
    chain: &[CertificateDer<'_>],
    now: i64,
) -> Result<Tlsa, DaneFault> {
    let records = tlsa::effective(records);
    let Some((leaf, sent)) = chain.split_first() else { return Err(DaneFault::NoCertificate) };
    let entity = records.iter().filter(|record| record.usage == DANE_EE);
    if let Some(record) = entity.clone().find(|record| tlsa::matches(record, leaf)) {
        return Ok(record.clone());
    }
    let anchors: Vec<&Tlsa> = records.iter().filter(|record| record.usage == DANE_TA).collect();
    if anchors.is_empty() {
        return Err(if records.is_empty() { DaneFault::NoRecord } else { DaneFault::NoMatch });
    }
    let published = anchors.iter().filter(|record| (record.selector, record.matching) == (0, 0));
    let sent = sent.iter().take(CERTIFICATES).map(AsRef::as_ref);
    let pool: Vec<_> =
        sent.chain(published.map(|record| record.data.as_slice())).filter_map(Certificate::read).collect();
    let Some(leaf) = Certificate::read(leaf) else { return Err(DaneFault::NotTrusted) };
    Climb { records: &anchors, names, pool: &pool, now, budget: Cell::new(SIGNATURES) }.from(&leaf)
}

/// `a`, or `a, b`, or `nobody`.
fn one_of(names: &[String]) -> String {
    // A certificate may carry thousands; a bounce shows the first few.
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match (shown.is_empty(), names.len() > SHOWN) {
        (true, _) => "no host".to_owned(),
        (false, false) => shown.join(", "),
        (false, true) => format!("{} and others", shown.join(", ")),
    }
}

const DANE_TA: u8 = 2;
const DANE_EE: u8 = 3;
/// Certificates considered of what the peer sends after its own.
const CERTIFICATES: usize = 16;
/// Signatures checked for one chain.
const SIGNATURES: usize = 64;
const SHOWN: usize = 3;

#[cfg(test)]
mod tests;
