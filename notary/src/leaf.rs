//! A leaf: what the log holds of one event for ever.

use crate::cbor::Encoder;
use crate::cbor::Value;

pub(crate) use tlog::Hash;
pub(crate) use tlog::leaf_hash;

/// The format of leaves this software writes.
const VERSION: i128 = 1;

/// One event, without personal data in clear.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaf {
    /// The name of the log.
    pub(crate) origin: String,
    /// Which run of the software wrote it.
    pub(crate) boot: [u8; 16],
    /// The index in the log.
    pub(crate) seq: u64,
    /// The transaction.
    pub(crate) txid: String,
    /// What happened.
    pub(crate) event: String,
    /// The leaf hash of the transaction's previous event.
    pub(crate) prev: Option<Hash>,
    /// Microseconds since 1970-01-01T00:00Z.
    pub(crate) time: i64,
    /// The public fields, a map.
    pub(crate) public: Value,
    /// HMAC-SHA256(salt, value) by name.
    pub(crate) committed: Vec<(String, Hash)>,
    /// SHA-256 of the encrypted private record.
    pub(crate) private: Option<Hash>,
}

impl Leaf {
    /// The deterministic encoding. Keys stand in the order that RFC 8949 section 4.2.1 wants:
    /// shorter ones first, then by bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(512 + 48 * self.committed.len());
        out.map(11);
        out.text("v");
        out.integer(VERSION);
        out.text("seq");
        out.integer(self.seq.into());
        out.text("boot");
        out.bytes(&self.boot);
        out.text("prev");
        optional(&mut out, self.prev.as_ref());
        out.text("time");
        out.integer(self.time.into());
        out.text("txid");
        out.text(&self.txid);
        out.text("event");
        out.text(&self.event);
        out.text("origin");
        out.text(&self.origin);
        out.text("public");
        self.public.encode(&mut out);
        out.text("private");
        optional(&mut out, self.private.as_ref());
        out.text("committed");
        out.array(self.committed.len());
        for (name, commitment) in &self.committed {
            out.array(2);
            out.text(name);
            out.bytes(commitment);
        }
        out.finish()
    }

    /// Reads an encoding back; nothing unless it is exactly what [`Leaf::encode`] writes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Leaf> {
        let Value::Map(pairs) = Value::decode(bytes)? else { return None };
        let mut values = pairs.into_iter();
        let mut take = |name: &str| values.next().filter(|(key, _)| key == name).map(|(_, value)| value);
        if take("v")? != Value::Integer(VERSION) {
            return None;
        }
        let leaf = Leaf {
            seq: u64::try_from(integer(take("seq")?)?).ok()?,
            boot: fixed(take("boot")?)?,
            prev: hash(take("prev")?)?,
            time: i64::try_from(integer(take("time")?)?).ok()?,
            txid: text(take("txid")?)?,
            event: text(take("event")?)?,
            origin: text(take("origin")?)?,
            public: take("public").filter(|public| matches!(public, Value::Map(_)))?,
            private: hash(take("private")?)?,
            committed: match take("committed")? {
                Value::Array(items) => items.into_iter().map(commitment).collect::<Option<_>>()?,
                _ => return None,
            },
        };
        values.next().is_none().then_some(leaf)
    }

    /// The boolean, integer or text under a public key, as JSON.
    pub(crate) fn public_field(&self, name: &str) -> Option<&Value> {
        let Value::Map(pairs) = &self.public else { return None };
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

fn optional(out: &mut Encoder, hash: Option<&Hash>) {
    match hash {
        Some(hash) => out.bytes(hash),
        None => out.null(),
    }
}

fn commitment(item: Value) -> Option<(String, Hash)> {
    let Value::Array(pair) = item else { return None };
    let [name, commitment] = <[Value; 2]>::try_from(pair).ok()?;
    Some((text(name)?, fixed(commitment)?))
}

fn integer(value: Value) -> Option<i128> {
    if let Value::Integer(integer) = value { Some(integer) } else { None }
}

fn text(value: Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn fixed<const N: usize>(value: Value) -> Option<[u8; N]> {
    if let Value::Bytes(bytes) = value { bytes.try_into().ok() } else { None }
}

fn hash(value: Value) -> Option<Option<Hash>> {
    if value == Value::Null { Some(None) } else { fixed(value).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    fn leaf() -> Leaf {
        let serde_json::Value::Object(public) = json!({"direction": "outbound", "size": 2048, "ok": true})
        else {
            panic!()
        };
        Leaf {
            origin: "mx.example/gatepost".into(),
            boot: [7; 16],
            seq: 3,
            txid: "0190163d-8694-739b-aea5-966c26f8ad91".into(),
            event: "screened".into(),
            prev: Some([9; 32]),
            time: 1_700_000_000_000_000,
            public: Value::from_object(public).unwrap(),
            committed: vec![("rcpt".into(), [1; 32]), ("rcpt".into(), [2; 32])],
            private: None,
        }
    }

    #[test]
    fn a_leaf_is_read_back_as_it_was_written() {
        let bytes = leaf().encode();
        assert_eq!(Leaf::decode(&bytes), Some(leaf()));
    }

    #[test]
    fn no_other_bytes_are_a_leaf() {
        let bytes = leaf().encode();
        for end in 0..bytes.len() {
            assert_eq!(Leaf::decode(&bytes[..end]), None);
        }
        assert_eq!(Leaf::decode(&[bytes.as_slice(), &[0]].concat()), None);
        assert_eq!(Leaf::decode(&[0xa0]), None);
    }

    #[test]
    fn flipping_any_bit_gives_another_hash() {
        let bytes = leaf().encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_ne!(leaf_hash(&changed), leaf_hash(&bytes));
        }
    }
}
