//! An entry made ready by the thread that brings it, so that the one writer has little left to do.

use openssl::rand::rand_bytes;
use zeroize::Zeroizing;

use crate::cbor::NoEncoding;
use crate::cbor::Value;
use crate::commitment::commit;
use crate::entry::Entry;
use crate::entry::EntryError;
use crate::error::AppendError;
use crate::keys::Keys;
use crate::leaf::Hash;
use crate::private_record::PrivateRecord;
use crate::query::Opening;

const SALT: usize = 32;

/// Everything of a leaf and its record that does not depend on where in the log it will stand.
pub(crate) struct Prepared {
    pub(crate) txid: String,
    pub(crate) event: String,
    pub(crate) public: Value,
    pub(crate) committed: Vec<(String, Hash)>,
    /// The private record in clear; none if the entry has nothing private.
    pub(crate) plaintext: Option<Zeroizing<Vec<u8>>>,
    /// Look-up values as the database holds them, 16 bytes each.
    pub(crate) lookups: Vec<[u8; 16]>,
}

impl Prepared {
    /// Checks an entry of a caller, draws its salts and computes its commitments.
    pub(crate) fn new(entry: Entry, keys: &Keys) -> Result<Prepared, AppendError> {
        if Entry::RESERVED.contains(&entry.event.as_str()) {
            return Err(EntryError::Reserved(entry.event).into());
        }
        Prepared::of_notary(entry, keys)
    }

    /// The same for events of the notary's own.
    pub(crate) fn of_notary(entry: Entry, keys: &Keys) -> Result<Prepared, AppendError> {
        check(&entry)?;
        let has_private = !(entry.private.is_null() && entry.committed.is_empty() && entry.lookup.is_empty());
        let openings = salted(entry.committed)?;
        let committed = openings
            .iter()
            .map(|opening| (opening.name.clone(), commit(&opening.salt, &opening.value)))
            .collect();
        let plaintext = has_private.then(|| PrivateRecord::encode(&openings, entry.private.json()));
        let size = plaintext.as_ref().map_or(0, |plaintext| plaintext.len());
        if size > Entry::MAX_BYTES {
            return Err(EntryError::TooLarge(size).into());
        }
        let mut lookups: Vec<_> = entry.lookup.iter().map(|(kind, value)| keys.index(kind, value)).collect();
        lookups.sort_unstable();
        lookups.dedup();
        Ok(Prepared {
            txid: entry.txid,
            event: entry.event,
            public: Value::from_object(entry.public).map_err(EntryError::from)?,
            committed,
            plaintext,
            lookups,
        })
    }
}

fn check(entry: &Entry) -> Result<(), EntryError> {
    let name = |text: &str, what| {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(()) } else { Err(EntryError::Name(what)) }
    };
    name(&entry.txid, "transaction id")?;
    name(&entry.event, "event")?;
    entry.committed.iter().try_for_each(|(text, _)| name(text, "name of a committed value"))?;
    let bytes = entry.committed.iter().map(|(_, value)| value.len()).sum::<usize>();
    if bytes > Entry::MAX_BYTES { Err(EntryError::TooLarge(bytes)) } else { Ok(()) }
}

/// Gives each value its own salt, all drawn at once.
fn salted(values: Vec<(String, Vec<u8>)>) -> Result<Vec<Opening>, AppendError> {
    let mut random = Zeroizing::new(vec![0; SALT * values.len()]);
    if !random.is_empty() {
        rand_bytes(&mut random)?;
    }
    let (salts, _) = random.as_chunks::<SALT>();
    Ok(values.into_iter().zip(salts).map(|((name, value), &salt)| Opening { name, salt, value }).collect())
}

impl From<NoEncoding> for EntryError {
    fn from(reason: NoEncoding) -> Self {
        match reason {
            NoEncoding::Fraction(field) => EntryError::Fraction(field),
            NoEncoding::TooDeep => EntryError::TooDeep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    fn prepare(change: impl FnOnce(&mut Entry)) -> Result<Prepared, AppendError> {
        let mut entry = Entry { txid: "t-1".into(), event: "screened".into(), ..Entry::default() };
        change(&mut entry);
        Prepared::new(entry, &Keys::new(&[1; 32]))
    }

    #[test]
    fn entries_that_can_never_be_recorded_are_refused_by_name() {
        let refused = |change: fn(&mut Entry)| match prepare(change) {
            Err(AppendError::Entry(reason)) => reason,
            other => panic!("{:?}", other.map(|_| ())),
        };
        assert_eq!(refused(|entry| entry.txid.clear()), EntryError::Name("transaction id"));
        assert_eq!(refused(|entry| entry.event = "x".repeat(65)), EntryError::Name("event"));
        assert_eq!(refused(|entry| entry.event = "erased".into()), EntryError::Reserved("erased".into()));
        assert_eq!(refused(|entry| entry.event = "new\nline".into()), EntryError::Name("event"));
        let fraction = refused(|entry| drop(entry.public.insert("score".into(), json!(0.5))));
        assert_eq!(fraction, EntryError::Fraction("score".into()));
        let large = refused(|entry| entry.committed = vec![("x".into(), vec![0; (4 << 20) + 1])]);
        assert!(matches!(large, EntryError::TooLarge(_)));
    }

    #[test]
    fn the_same_value_twice_has_two_salts() {
        let prepared = prepare(|entry| entry.committed = vec![("rcpt".into(), b"b@c".to_vec()); 2]).unwrap();
        assert_ne!(prepared.committed[0].1, prepared.committed[1].1);
    }

    #[test]
    fn an_entry_with_nothing_private_has_no_private_record() {
        assert!(prepare(|_| ()).unwrap().plaintext.is_none());
        assert!(prepare(|entry| entry.private = json!({}).into()).unwrap().plaintext.is_some());
    }
}
