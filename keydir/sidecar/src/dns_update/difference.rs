//! What is in a zone against what is published.

use std::collections::BTreeMap;

use keydir::{ZoneRecordType, ZoneRecords};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::export_dns::Types;

/// One change, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    /// `add`, `replace`, `remove` or `keep`.
    pub(super) change: &'static str,
    /// The full name, without the last dot.
    pub(super) owner: String,
    /// The type in words.
    pub(super) record_type: &'static str,
    #[serde(skip)]
    pub(super) number: u16,
}

impl Step {
    fn new(change: &'static str, owner: &str, record_type: ZoneRecordType) -> Self {
        let (number, name) = (record_type.number(), record_type.name());
        Self { change, owner: owner.to_owned(), record_type: name, number }
    }
}

/// What is in the zone and was not seen to be published yet: a digest for each name and type.
#[derive(Debug)]
pub(super) struct Difference {
    suffixes: Vec<(ZoneRecordType, String)>,
    there: BTreeMap<(String, ZoneRecordType), Content>,
}

/// The records of one name and type, whatever their order: sum of their digests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    records: usize,
    sum: [u8; 32],
}

impl Content {
    fn add(&mut self, data: &[u8]) {
        self.records += 1;
        let digest = Sha256::digest(data);
        self.sum.iter_mut().zip(digest).for_each(|(octet, other)| *octet ^= other);
    }
}

impl Difference {
    pub(super) fn new(domain: &str, types: Types) -> Self {
        let all = [ZoneRecordType::Openpgpkey, ZoneRecordType::Smimea];
        let meant = all.into_iter().filter(|record_type| types.include(*record_type));
        let suffixes = meant.map(|it| (it, format!(".{}.{domain}", it.label()))).collect();
        Self { suffixes, there: BTreeMap::new() }
    }

    /// A record of the zone.
    pub(super) fn is_there(&mut self, owner: &str, number: u16, data: &[u8]) {
        let owner = owner.trim_end_matches('.').to_ascii_lowercase();
        let ours =
            |(it, suffix): &&(ZoneRecordType, String)| it.number() == number && owner.ends_with(suffix);
        if let Some((record_type, _)) = self.suffixes.iter().find(ours) {
            self.there.entry((owner.clone(), *record_type)).or_default().add(data);
        }
    }

    /// What is to be done for records that are published; `None` if records of this type are not meant.
    pub(super) fn wanted(&mut self, records: &ZoneRecords) -> Option<Step> {
        self.suffixes.iter().find(|(it, _)| *it == records.record_type)?;
        let mut content = Content::default();
        records.data.iter().for_each(|data| content.add(data));
        let key = (records.owner.to_ascii_lowercase(), records.record_type);
        let change = match self.there.remove(&key) {
            None => "add",
            Some(there) if there == content => "keep",
            Some(_) => "replace",
        };
        Some(Step::new(change, &records.owner, records.record_type))
    }

    /// What is in the zone and not published.
    pub(super) fn left(self) -> impl Iterator<Item = Step> {
        self.there.into_keys().map(|(owner, record_type)| Step::new("remove", &owner, record_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(owner: &str, data: &[&[u8]]) -> ZoneRecords {
        ZoneRecords {
            owner: format!("{owner}._openpgpkey.gate.example"),
            record_type: ZoneRecordType::Openpgpkey,
            data: data.iter().map(|data| data.to_vec()).collect(),
        }
    }

    #[test]
    fn only_what_differs_is_changed_and_others_records_are_left_alone() {
        let mut difference = Difference::new("gate.example", Types::default());
        for (owner, number, data) in [
            ("A._OPENPGPKEY.gate.example.", 61, &b"1"[..]),
            ("a._openpgpkey.gate.example.", 61, b"2"),
            ("b._openpgpkey.gate.example.", 61, b"old"),
            ("c._openpgpkey.gate.example.", 61, b"gone"),
            ("d._smimecert.gate.example.", 53, b"gone too"),
            ("d._smimecert.gate.example.", 46, b"a signature"),
            ("mail.gate.example.", 1, b"\x7f\0\0\x01"),
            ("x._openpgpkey.other.example.", 61, b"not of this domain"),
        ] {
            difference.is_there(owner, number, data);
        }
        let change =
            |difference: &mut Difference, records: ZoneRecords| difference.wanted(&records).unwrap().change;
        assert_eq!(change(&mut difference, records("a", &[b"2", b"1"])), "keep");
        assert_eq!(change(&mut difference, records("b", &[b"new"])), "replace");
        assert_eq!(change(&mut difference, records("n", &[b"new"])), "add");
        let left: Vec<String> = difference.left().map(|step| step.owner).collect();
        assert_eq!(left, ["c._openpgpkey.gate.example", "d._smimecert.gate.example"]);
    }

    #[test]
    fn types_that_are_not_meant_are_not_touched() {
        let mut difference = Difference::new("gate.example", Types { no_openpgpkey: true, no_smimea: false });
        difference.is_there("c._openpgpkey.gate.example.", 61, b"stays");
        assert_eq!(difference.wanted(&records("a", &[b"1"])), None);
        assert_eq!(difference.left().count(), 0);
    }
}
