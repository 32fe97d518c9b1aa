//! Certificates as DNS records: OPENPGPKEY (RFC 7929) and SMIMEA (RFC 8162).
//!
//! The name of a record is a hash of the local part; names are not listed anywhere, but whoever has the zone
//! can try names against it. Only certificates that can be used now are given: what was revoked would only
//! make answers large.

use crate::publication::Mailbox;
use crate::wkd;

/// Certificate usage 3 (DANE-EE), selector 0 (whole certificate), matching type 0 (as it is); RFC 8162, 2.
const SMIMEA_EE: [u8; 3] = [3, 0, 0];
/// Most octets of all records of one name and type. An answer holds 65,535 and needs room for signatures.
const MAX_RRSET: usize = 48_000;
/// Octets of all records of one name and type above which resolvers have to ask a second time, by TCP.
const LARGE_RRSET: usize = 4_000;
/// Longest domain name without its last dot.
const MAX_NAME: usize = 253;

/// The type of a record.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ZoneRecordType {
    /// S/MIME certificates, type 53.
    Smimea,
    /// OpenPGP certificates, type 61.
    Openpgpkey,
}

impl ZoneRecordType {
    /// The number of the type.
    pub fn number(self) -> u16 {
        match self {
            Self::Smimea => 53,
            Self::Openpgpkey => 61,
        }
    }

    /// The name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smimea => "SMIMEA",
            Self::Openpgpkey => "OPENPGPKEY",
        }
    }

    /// The label that all records of the type lie under.
    pub fn label(self) -> &'static str {
        match self {
            Self::Smimea => "_smimecert",
            Self::Openpgpkey => "_openpgpkey",
        }
    }
}

/// All records of one name and type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ZoneRecords {
    /// The full name, without the last dot.
    pub owner: String,
    /// The type.
    pub record_type: ZoneRecordType,
    /// The content of each record.
    pub data: Vec<Vec<u8>>,
}

impl ZoneRecords {
    /// The records in the master file format (RFC 1035, 5), with full names. `generic` writes them as
    /// records of an unknown type (RFC 3597), for software that knows neither of these.
    pub fn text(&self, ttl: u32, generic: bool) -> String {
        let mut text = String::new();
        for data in &self.data {
            let (number, name) = (self.record_type.number(), self.record_type.name());
            text.push_str(&format!("{}. {ttl} IN ", self.owner));
            match (generic, self.record_type) {
                (true, _) => text.push_str(&format!("TYPE{number} \\# {} ( {} )\n", data.len(), hex(data))),
                (false, ZoneRecordType::Openpgpkey) => {
                    text.push_str(&format!("{name} ( {} )\n", folded(&openssl::base64::encode_block(data))));
                }
                (false, ZoneRecordType::Smimea) => {
                    let certificate = data.get(SMIMEA_EE.len()..).unwrap_or_default();
                    text.push_str(&format!("{name} 3 0 0 ( {} )\n", hex(certificate)));
                }
            }
        }
        text
    }

    /// Octets of all records together.
    pub fn size(&self) -> usize {
        self.data.iter().map(Vec::len).sum()
    }
}

/// The records of a mailbox, and what the administrator should know about them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MailboxRecords {
    /// At most one entry for each type.
    pub records: Vec<ZoneRecords>,
    /// Certificates left out because they are too large, and large answers; tells no address.
    pub warnings: Vec<String>,
}

/// Makes the records of a mailbox. The key of a whole domain has none: a record answers for one mailbox.
pub fn zone_records(mailbox: &Mailbox) -> MailboxRecords {
    let mut made = MailboxRecords::default();
    let Some((local, domain)) = mailbox.address.split_once('@').filter(|(local, _)| !local.is_empty()) else {
        return made;
    };
    let openpgp = mailbox.openpgp.iter().filter(|published| published.usable).map(|p| p.bytes.to_vec());
    let smime = mailbox.smime.iter().map(|published| [&SMIMEA_EE[..], &published.bytes].concat());
    let types = [
        (ZoneRecordType::Openpgpkey, wkd::openpgpkey_owner(local), openpgp.collect::<Vec<_>>()),
        (ZoneRecordType::Smimea, wkd::smimea_owner(local), smime.collect()),
    ];
    for (record_type, name, data) in types {
        let owner = format!("{name}.{}.{domain}", record_type.label());
        let data = fitting(&owner, record_type, data, &mut made.warnings);
        if owner.len() > MAX_NAME {
            made.warnings.push(format!("{owner} is too long for a domain name"));
        } else if !data.is_empty() {
            made.records.push(ZoneRecords { owner, record_type, data });
        }
    }
    made
}

/// As many as fit into one answer, the first ones.
fn fitting(
    owner: &str,
    record_type: ZoneRecordType,
    data: Vec<Vec<u8>>,
    warnings: &mut Vec<String>,
) -> Vec<Vec<u8>> {
    let mut total = 0;
    let mut kept = Vec::new();
    for data in data {
        if total + data.len() > MAX_RRSET {
            let (name, size) = (record_type.name(), data.len());
            warnings
                .push(format!("{name} {owner}: a certificate of {size} octets does not fit into an answer"));
        } else {
            total += data.len();
            kept.push(data);
        }
    }
    if total > LARGE_RRSET {
        let name = record_type.name();
        warnings.push(format!("{name} {owner}: {total} octets; some resolvers will not get that much"));
    }
    kept
}

/// Upper-case hexadecimal in pieces that every program reads.
fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    folded(&digits)
}

/// Pieces of 64 characters with blanks between them.
fn folded(text: &str) -> String {
    let lines: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut folded = String::with_capacity(lines.len() + lines.len() / 64 + 1);
    for (position, character) in lines.chars().enumerate() {
        if position > 0 && position % 64 == 0 {
            folded.push(' ');
        }
        folded.push(character);
    }
    folded
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::publication::Published;
    use crate::record::Scheme;

    fn published(scheme: Scheme, size: usize, usable: bool) -> Published {
        Published {
            fingerprint: String::new(),
            scheme,
            bytes: Arc::from(vec![0xab; size]),
            version: 4,
            algorithm: String::new(),
            algorithm_number: 0,
            bits: 0,
            created: 0,
            valid_from: None,
            valid_until: None,
            revoked: !usable,
            usable,
            user_ids: Vec::new(),
            chain: Vec::new(),
        }
    }

    fn mailbox(address: &str, openpgp: Vec<Published>, smime: Vec<Published>) -> Mailbox {
        Mailbox { address: address.to_owned(), openpgp, smime, label_proof: None }
    }

    #[test]
    fn records_lie_under_the_hash_of_the_local_part() {
        let both = mailbox(
            "hugh@example.com",
            vec![published(Scheme::Openpgp, 50, true), published(Scheme::Openpgp, 60, false)],
            vec![published(Scheme::Smime, 2, true)],
        );
        let made = zone_records(&both);
        let hash = "c93f1e400f26708f98cb19d936620da35eec8f72e57f9eec01c1afd6";
        let owners: Vec<&str> = made.records.iter().map(|records| records.owner.as_str()).collect();
        assert_eq!(
            owners,
            [format!("{hash}._openpgpkey.example.com"), format!("{hash}._smimecert.example.com")]
        );
        assert_eq!(made.records[0].data.len(), 1, "the revoked one is not in the DNS");
        assert_eq!(made.records[1].data, [[3, 0, 0, 0xab, 0xab]]);
        let text = made.records[1].text(3600, false);
        assert_eq!(text, format!("{hash}._smimecert.example.com. 3600 IN SMIMEA 3 0 0 ( ABAB )\n"));
        let text = made.records[1].text(60, true);
        assert_eq!(text, format!("{hash}._smimecert.example.com. 60 IN TYPE53 \\# 5 ( 030000ABAB )\n"));
        let text = made.records[0].text(60, false);
        assert!(text.contains("OPENPGPKEY ( q6ur") && text.lines().count() == 1, "{text}");
        assert!(text.split(' ').all(|piece| piece.len() <= 100));
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_told_without_an_address() {
        let large = mailbox(
            "hugh@example.com",
            vec![published(Scheme::Openpgp, 30_000, true), published(Scheme::Openpgp, 30_000, true)],
            Vec::new(),
        );
        let made = zone_records(&large);
        assert_eq!(made.records[0].size(), 30_000);
        assert_eq!(made.warnings.len(), 2);
        assert!(made.warnings.iter().all(|warning| !warning.contains("hugh")));
    }

    #[test]
    fn the_key_of_a_domain_has_no_record() {
        let domain = mailbox("@example.com", vec![published(Scheme::Openpgp, 10, true)], Vec::new());
        assert_eq!(zone_records(&domain), MailboxRecords::default());
    }
}
