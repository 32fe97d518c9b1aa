//! What mailing list agents say about a message they sent on (mlExpansionHistory, RFC 2634 section 4).

use super::attributes::Attributes;
use super::element::reader;
use super::oid;
use super::signing_time;
use crate::cms::RecipientId;
use crate::cms::ber::BerError;
use crate::cms::ber::Tag;

/// The signed attributes of a mailing list agent: the history of lists that expanded the message, and what
/// else a new outermost signature must say again (RFC 2634 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion {
    /// The lists, the first one first.
    pub lists: Vec<ListExpansion>,
    /// The value of the attribute: two signers must agree on every octet of it.
    history: Vec<u8>,
    /// Attributes as they were signed: their type, their values.
    attributes: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
}

/// One entry of the history (MLData, RFC 2634 section 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListExpansion {
    /// The certificate of the list's agent.
    pub list: RecipientId,
    /// When it expanded the message, Unix seconds.
    pub at: i64,
}

impl Expansion {
    /// Reads the history and remembers the other attributes; `None` if there is no history.
    ///
    /// A list that stands there twice is a loop, which an agent stops (RFC 2634 section 4.1.1): none writes that.
    pub(crate) fn read(attributes: &Attributes) -> Result<Option<Expansion>, String> {
        let Some(history) = attributes.single(oid::EXPANSION_HISTORY)? else { return Ok(None) };
        let lists = lists(history)
            .map_err(|error| format!("the history of mailing lists cannot be read: {error}"))?;
        if lists.is_empty() || lists.len() > LISTS {
            return Err(format!("the history of mailing lists has not 1 to {LISTS} entries"));
        }
        let again =
            |(at, one): (usize, &ListExpansion)| lists.iter().take(at).any(|old| old.list == one.list);
        if lists.iter().enumerate().any(again) {
            return Err("a mailing list expanded the message twice: it went in a loop".into());
        }
        let kept = attributes.all().filter(|(kind, _)| !REPLACED.contains(kind));
        let kept = kept.map(|(kind, values)| (kind.to_vec(), values.to_vec())).collect();
        Ok(Some(Expansion { lists, history: history.to_vec(), attributes: kept }))
    }

    /// Whether both tell the same history.
    pub(crate) fn agrees(&self, other: &Expansion) -> bool {
        self.history == other.history
    }

    /// Types and values for a new signature, the history among them.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&[u8], &[Vec<u8>])> {
        self.attributes.iter().map(|(kind, values)| (kind.as_slice(), values.as_slice()))
    }
}

/// Reads a MLExpansionHistory. The receipt policies in it are for those who send receipts.
fn lists(value: &[u8]) -> Result<Vec<ListExpansion>, BerError> {
    let mut list = reader(value);
    let mut lists = Vec::new();
    list.enter(Tag::SEQUENCE)?;
    while list.peek()?.is_some() {
        list.enter(Tag::SEQUENCE)?;
        let id = match list.at(Tag::OCTET_STRING)? {
            true => RecipientId::KeyId(list.octet_string(Tag::OCTET_STRING)?),
            false => RecipientId::read_issuer_serial(&mut list)?,
        };
        let at = signing_time::parse(&list.element()?);
        let at = at.ok_or(BerError::Malformed("a time of expansion that is none"))?;
        let policies = [Tag::context(0), Tag::context(1), Tag::context(2)];
        if let Some(policy) = list.peek()? {
            if !policies.contains(&policy) {
                return Err(BerError::Malformed("a receipt policy that is none"));
            }
            list.skip()?;
        }
        list.leave()?;
        lists.push(ListExpansion { list: id, at });
    }
    list.leave()?;
    Ok(lists)
}

/// ub-ml-expansion-history, RFC 2634 section 4.4.
const LISTS: usize = 64;

/// What each signature says of itself and its signer, and nobody else's: a new one says its own.
const REPLACED: [&[u8]; 9] = [
    oid::CONTENT_TYPE,
    oid::MESSAGE_DIGEST,
    oid::SIGNING_TIME,
    oid::SIGNING_CERTIFICATE,
    oid::SIGNING_CERTIFICATE_V2,
    oid::CAPABILITIES,
    oid::ENCRYPTION_KEY,
    oid::SIGNATURE_TYPE,
    oid::ALGORITHM_PROTECTION,
];

#[cfg(test)]
mod tests {
    use crate::cms::der_write::element;
    use crate::cms::der_write::octet_string;
    use crate::cms::der_write::sequence;
    use crate::cms::signed::attributes::AttributeList;

    use super::*;

    const HINT: &[u8] = &[0x2a, 0x03];

    fn entry(list: &[u8], more: &[u8]) -> Vec<u8> {
        sequence(&[&octet_string(list), &element(0x18, &[b"20261121120000Z"]), more])
    }

    fn read(history: &[u8]) -> Result<Option<Expansion>, String> {
        let mut list = AttributeList::new(oid::DATA, &[7; 32]);
        list.push(oid::SIGNATURE_TYPE, &sequence(&[]));
        list.push(oid::EXPANSION_HISTORY, history);
        list.push(HINT, &octet_string(b"hint"));
        Expansion::read(&Attributes::parse(&list.to_send()).unwrap())
    }

    #[test]
    fn the_history_is_read_and_what_belongs_to_its_signer_alone_is_not_kept() {
        // mlReceiptPolicy: none [0] NULL, insteadOf [1] SEQUENCE OF GeneralNames.
        let names = sequence(&[&element(0x81, &[b"owner@alpha.example"])]);
        let history = sequence(&[&entry(b"one", &[0x80, 0]), &entry(b"two", &element(0xa1, &[&names]))]);
        let expansion = read(&history).unwrap().unwrap();
        let lists: Vec<_> = expansion.lists.iter().map(|one| one.list.clone()).collect();
        assert_eq!(lists, [RecipientId::KeyId(b"one".to_vec()), RecipientId::KeyId(b"two".to_vec())]);
        assert_eq!(expansion.lists[0].at, 1_795_262_400);
        let kept: Vec<_> = expansion.attributes().collect();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept.contains(&(oid::EXPANSION_HISTORY, &[history][..])));
        assert!(kept.contains(&(HINT, &[octet_string(b"hint")][..])));
        assert_eq!(
            Expansion::read(&Attributes::parse(&AttributeList::new(oid::DATA, &[7; 32]).to_send()).unwrap()),
            Ok(None)
        );
    }

    #[test]
    fn a_history_that_is_none_or_a_loop_is_refused_with_the_reason() {
        let one = entry(b"one", &[]);
        let many: Vec<_> = (0..=64_u8).map(|number| entry(&[number], &[])).collect();
        let parts: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        assert!(read(&sequence(&parts[..64])).is_ok());
        for (history, reason) in [
            (sequence(&[]), "1 to 64"),
            (sequence(&parts), "1 to 64"),
            (sequence(&[&one, &entry(b"two", &[]), &one]), "loop"),
            (sequence(&[&octet_string(b"one")]), "cannot be read"),
            (sequence(&[&sequence(&[&octet_string(b"one")])]), "cannot be read"),
            (sequence(&[&entry(b"one", &[2, 1, 1])]), "cannot be read"),
            ([sequence(&[&one]), vec![5, 0]].concat(), "exactly one value"),
            (octet_string(b"one"), "cannot be read"),
        ] {
            let why = read(&history).unwrap_err();
            assert!(why.contains(reason), "{why}");
        }
    }
}
