//! The encoding of leaves: the part of CBOR (RFC 8949) that they need, in the deterministic form
//! of section 4.2.1. Maps have text keys; there are no tags, fractions or indefinite lengths.
//!
//! One value has exactly one encoding: the decoder refuses every other form, so that equal leaves
//! have equal hashes and a leaf cannot be written in two ways.

use serde_json::Map;
use serde_json::Number;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

/// How deep values may be nested, on both ways.
pub(crate) const MAX_DEPTH: usize = 16;

/// A value of the encoding.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// null
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer from -2^63 to 2^64-1, what JSON numbers hold.
    Integer(i128),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text string.
    Text(String),
    /// An array.
    Array(Vec<Value>),
    /// A map in the order of its encoding.
    Map(Vec<(String, Value)>),
}

/// Why JSON has no encoding here.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum NoEncoding {
    /// The number under this key is no integer.
    Fraction(String),
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl Value {
    /// Takes a JSON object over.
    pub(crate) fn from_object(object: Map<String, serde_json::Value>) -> Result<Value, NoEncoding> {
        Value::from_json(serde_json::Value::Object(object), "", 1)
    }

    fn from_json(json: serde_json::Value, key: &str, depth: usize) -> Result<Value, NoEncoding> {
        use serde_json::Value as Json;
        if depth > MAX_DEPTH {
            return Err(NoEncoding::TooDeep);
        }
        Ok(match json {
            Json::Null => Value::Null,
            Json::Bool(truth) => Value::Bool(truth),
            Json::Number(number) => {
                Value::Integer(integer(&number).ok_or_else(|| NoEncoding::Fraction(key.to_owned()))?)
            }
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| Value::from_json(item, key, depth + 1))
                    .collect::<Result<_, _>>()?,
            ),
            Json::Object(object) => {
                let mut pairs = Vec::with_capacity(object.len());
                for (key, item) in object {
                    let item = Value::from_json(item, &key, depth + 1)?;
                    pairs.push((key, item));
                }
                pairs.sort_unstable_by(|(a, _), (b, _)| key_order(a, b));
                Value::Map(pairs)
            }
        })
    }

    /// The value as JSON; byte strings become lower-case hexadecimal.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Null => Json::Null,
            Value::Bool(truth) => Json::Bool(*truth),
            Value::Integer(integer) => match u64::try_from(*integer) {
                Ok(unsigned) => Json::from(unsigned),
                Err(_) => i64::try_from(*integer).map_or(Json::Null, Json::from),
            },
            Value::Bytes(bytes) => Json::String(crate::hex(bytes)),
            Value::Text(text) => Json::String(text.clone()),
            Value::Array(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Map(pairs) => {
                Json::Object(pairs.iter().map(|(key, item)| (key.clone(), item.to_json())).collect())
            }
        }
    }

    /// Appends the encoding.
    pub(crate) fn encode(&self, out: &mut Encoder) {
        match self {
            Value::Null => out.null(),
            Value::Bool(truth) => out.bool(*truth),
            Value::Integer(integer) => out.integer(*integer),
            Value::Bytes(bytes) => out.bytes(bytes),
            Value::Text(text) => out.text(text),
            Value::Array(items) => {
                out.array(items.len());
                items.iter().for_each(|item| item.encode(out));
            }
            Value::Map(pairs) => {
                out.map(pairs.len());
                for (key, item) in pairs {
                    out.text(key);
                    item.encode(out);
                }
            }
        }
    }

    /// Reads one value that fills `bytes`; nothing if it is not in the deterministic form.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Value> {
        let mut decoder = Decoder { rest: bytes };
        let value = decoder.value(1)?;
        decoder.rest.is_empty().then_some(value)
    }
}

/// The integer in a JSON number, if it is one.
fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// RFC 8949 section 4.2.1: bytewise order of the encoded keys, which is by length first.
fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

/// Writes values one after the other. Whoever writes a map writes its keys in order.
#[derive(Default)]
pub(crate) struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    /// An encoder with room for `capacity` bytes.
    pub(crate) fn with_capacity(capacity: usize) -> Encoder {
        Encoder { out: Vec::with_capacity(capacity) }
    }

    /// What was written.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// null
    pub(crate) fn null(&mut self) {
        self.out.push(NULL);
    }

    /// A truth value.
    pub(crate) fn bool(&mut self, truth: bool) {
        self.out.push(if truth { TRUE } else { FALSE });
    }

    /// An integer in the range of [`Value::Integer`].
    pub(crate) fn integer(&mut self, integer: i128) {
        match u64::try_from(integer) {
            Ok(unsigned) => self.head(UNSIGNED, unsigned),
            Err(_) => self.head(NEGATIVE, u64::try_from(-1 - integer).unwrap_or(u64::MAX)),
        }
    }

    /// A byte string.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// A text string.
    pub(crate) fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }

    /// The head of an array; its items follow.
    pub(crate) fn array(&mut self, len: usize) {
        self.head(ARRAY, len as u64);
    }

    /// The head of a map; its keys and values follow.
    pub(crate) fn map(&mut self, len: usize) {
        self.head(MAP, len as u64);
    }

    /// RFC 8949 section 3: the argument in the fewest bytes.
    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        let bytes = argument.to_be_bytes();
        let (info, used) = match argument {
            0..=23 => (argument as u8, 0),
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 8),
        };
        self.out.push(major | info);
        self.out.extend(bytes.iter().skip(8 - used));
    }
}

struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        let (&first, rest) = self.rest.split_first()?;
        match first {
            NULL | FALSE | TRUE => {
                self.rest = rest;
                Some(if first == NULL { Value::Null } else { Value::Bool(first == TRUE) })
            }
            _ => self.composed(depth),
        }
    }

    fn composed(&mut self, depth: usize) -> Option<Value> {
        let (major, argument) = self.head()?;
        Some(match major {
            UNSIGNED => Value::Integer(argument.into()),
            NEGATIVE => Value::Integer(-1 - i128::from(i64::try_from(argument).ok()?)),
            BYTES => Value::Bytes(self.take(argument)?.to_vec()),
            TEXT => Value::Text(str::from_utf8(self.take(argument)?).ok()?.to_owned()),
            ARRAY => {
                // No room is reserved for what a length claims; every item takes at least a byte.
                let mut items = Vec::new();
                for _ in 0..argument {
                    items.push(self.value(depth + 1)?);
                }
                Value::Array(items)
            }
            MAP => Value::Map(self.pairs(argument, depth)?),
            _ => return None,
        })
    }

    fn pairs(&mut self, len: u64, depth: usize) -> Option<Vec<(String, Value)>> {
        let mut pairs: Vec<(String, Value)> = Vec::new();
        for _ in 0..len {
            let Some(Value::Text(key)) = self.value(depth + 1) else { return None };
            if pairs.last().is_some_and(|(former, _)| key_order(former, &key).is_ge()) {
                return None;
            }
            pairs.push((key, self.value(depth + 1)?));
        }
        Some(pairs)
    }

    fn head(&mut self) -> Option<(u8, u64)> {
        let &first = self.take(1)?.first()?;
        let (used, least) = match first & 0x1f {
            info @ 0..=23 => return Some((first >> 5, info.into())),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return None,
        };
        let argument = self.take(used)?.iter().fold(0, |sum, &byte| (sum << 8) | u64::from(byte));
        (argument >= least).then_some((first >> 5, argument))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use serde_json::json;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut out = Encoder::default();
        value.encode(&mut out);
        out.finish()
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// RFC 8949 appendix A, the rows of the types used here.
    #[test]
    fn examples_of_rfc_8949_appendix_a() {
        for (json, hex) in [
            (json!(0), "00"),
            (json!(23), "17"),
            (json!(24), "1818"),
            (json!(100), "1864"),
            (json!(1000), "1903e8"),
            (json!(1_000_000), "1a000f4240"),
            (json!(1_000_000_000_000u64), "1b000000e8d4a51000"),
            (json!(u64::MAX), "1bffffffffffffffff"),
            (json!(-1), "20"),
            (json!(-1000), "3903e7"),
            (json!(false), "f4"),
            (json!(true), "f5"),
            (json!(null), "f6"),
            (json!(""), "60"),
            (json!("IETF"), "6449455446"),
            (json!("\u{6c34}"), "63e6b0b4"),
            (json!([1, [2, 3], [4, 5]]), "8301820203820405"),
            (json!({"a": 1, "b": [2, 3]}), "a26161016162820203"),
            (json!({"aa": 1, "b": 2}), "a261620262616101"),
        ] {
            let value = Value::from_json(json.clone(), "", 1).unwrap();
            assert_eq!(encoded(&value), unhex(hex), "{json}");
            assert_eq!(Value::decode(&unhex(hex)).unwrap().to_json(), json);
        }
    }

    #[test]
    fn every_other_form_of_a_value_is_refused() {
        for hex in [
            "1817",
            "190018",
            "1a00000100",
            "1b0000000000000001", // longer than need be
            "9f01ff",
            "5f4101ff",
            "7f6161ff",
            "bf616101ff", // indefinite length
            "a2616200616100",
            "a2616100616101",
            "a10100", // keys out of order, twice, not text
            "f97e00",
            "fb3ff199999999999a",
            "c001",
            "f7",
            "f0",
            "ff", // fraction, tag, undefined, simple
            "3bffffffffffffffff",
            "61ff",
            "",
            "0000",
            "8201",
            "5b7fffffffffffffff",
            "9b7fffffffffffffff",
        ] {
            assert_eq!(Value::decode(&unhex(hex)), None, "{hex}");
        }
    }

    #[test]
    fn depth_is_bounded_on_both_ways() {
        let mut bytes = vec![0x81; 100_000];
        bytes.push(0);
        assert_eq!(Value::decode(&bytes), None);
        let deep = (0..20).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(Value::from_json(deep, "", 1), Err(NoEncoding::TooDeep));
        assert_eq!(Value::from_json(json!({"x": 0.5}), "", 1), Err(NoEncoding::Fraction("x".into())));
    }

    proptest! {
        #[test]
        fn decoding_arbitrary_bytes_gives_nothing_or_their_only_reading(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(value) = Value::decode(&bytes) {
                prop_assert_eq!(encoded(&value), bytes);
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(numbers in prop::collection::vec(any::<i64>(), 0..8), texts in prop::collection::btree_map(".{0,6}", any::<u64>(), 0..8)) {
            let json = json!({"numbers": numbers, "texts": texts});
            let value = Value::from_json(json.clone(), "", 1).unwrap();
            let back = Value::decode(&encoded(&value)).unwrap();
            prop_assert_eq!(&back, &value);
            prop_assert_eq!(back.to_json(), json);
        }
    }
}
