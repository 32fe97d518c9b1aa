//! What our own domain should publish so that others can authenticate the road to us, and whether it does.
//!
//! [`Own`] says what we have: hosts with the certificate in use and the one after it, an MTA-STS policy, where we
//! want TLS reports. From it follow the [`Record`]s of the zone and the policy file; nothing of that looks
//! anything up. [`look`] asks DNS and the policy host, and [`judge`], a pure function again, says for each record
//! whether it is as it should be, with the line to publish if it is not.
//!
//! A roll-over of a certificate breaks DANE if the new key comes into use before every sender can know its record.
//! RFC 7671 section 8.1: the new record is published beside the old one, and the new key used only after the old
//! RRset, without it, has left all caches. We ask for twice the TTL.

mod certificate;
mod finding;
mod judgement;
mod look;
mod own;
mod record;
mod sightings;
mod tlsa;

pub use certificate::BadCertificate;
pub use certificate::Certificate;
pub use certificate::Key;
pub use finding::Finding;
pub use finding::Verdict;
pub use judgement::judge;
pub use look::Published;
pub use look::PublishedHost;
pub use look::look;
pub use own::Own;
pub use own::OwnHost;
pub use own::OwnSts;
pub use record::Data;
pub use record::Record;
pub use sightings::Sightings;

#[cfg(test)]
mod tests;
