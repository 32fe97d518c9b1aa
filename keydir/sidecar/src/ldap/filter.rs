//! Search filters (RFC 4511, 4.5.1.7), read so that they can only be asked exactly.
//!
//! gpgsm asks `(|(sn=*A*)(|(cn=*A*)(mail=*A*)))` for the address A. The stars are understood and ignored: a part of an
//! address finds nothing, whatever surrounds it.

use super::ber::{Malformed, OCTETS, Reader, SEQUENCE};

/// Deepest nesting.
const DEPTH: usize = 16;
/// Most conditions.
const NODES: usize = 64;

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of them.
    And(Vec<Filter>),
    /// Any of them.
    Or(Vec<Filter>),
    /// Not that.
    Not(Box<Filter>),
    /// An attribute (lower case, without options) has this value: exactly, whatever the filter wished for.
    Is(String, String),
    /// An attribute has any value.
    Present(String),
    /// Something that cannot be told here (RFC 4511: Undefined).
    Undefined,
}

impl Filter {
    /// Reads the next element as a filter.
    ///
    /// # Errors
    /// It is none, is nested too deeply, or has too many conditions.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut nodes = 0;
        read(reader, 0, &mut nodes)
    }

    /// The only address that it asks for; `None` if it asks for none, or for several.
    pub fn address(&self) -> Option<&str> {
        let mut found = None;
        let mut alone = true;
        self.each(&mut |attribute, value| {
            if NAMES.contains(&attribute) && value.contains('@') {
                alone &= found.is_none_or(|known: &str| known.eq_ignore_ascii_case(value));
                found = found.or(Some(value));
            }
        });
        found.filter(|_| alone)
    }

    /// Whether it is true of the entry of an address; `None` if that cannot be told (Undefined).
    pub fn matches(&self, address: &str) -> Option<bool> {
        match self {
            Self::And(parts) => joined(parts, false, address),
            Self::Or(parts) => joined(parts, true, address),
            Self::Not(one) => one.matches(address).map(|is| !is),
            Self::Is(attribute, value) if NAMES.contains(&attribute.as_str()) => {
                Some(value.eq_ignore_ascii_case(address))
            }
            Self::Is(attribute, value) if attribute == "objectclass" => {
                Some(super::CLASSES.iter().any(|class| class.eq_ignore_ascii_case(value)))
            }
            Self::Present(attribute) => Some(
                NAMES.contains(&attribute.as_str())
                    || matches!(attribute.as_str(), "objectclass" | "usercertificate"),
            ),
            Self::Is(..) | Self::Undefined => None,
        }
    }

    fn each<'f>(&'f self, f: &mut impl FnMut(&'f str, &'f str)) {
        // The depth was bounded when it was read.
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.each(f)),
            Self::Not(part) => part.each(f),
            Self::Is(attribute, value) => f(attribute, value),
            Self::Present(_) | Self::Undefined => {}
        }
    }
}

/// The parts of a list of which one that is `deciding` decides; otherwise one that cannot be told does (RFC 4511, 4.5.1.7).
fn joined(parts: &[Filter], deciding: bool, address: &str) -> Option<bool> {
    let mut is_open = false;
    for part in parts {
        match part.matches(address) {
            Some(is) if is == deciding => return Some(deciding),
            Some(_) => {}
            None => is_open = true,
        }
    }
    (!is_open).then_some(!deciding)
}

/// Attributes that have the address as their value, with the names that clients use for them.
const NAMES: [&str; 9] = [
    "mail",
    "rfc822mailbox",
    "0.9.2342.19200300.100.1.3",
    "cn",
    "commonname",
    "2.5.4.3",
    "sn",
    "surname",
    "2.5.4.4",
];

fn read(reader: &mut Reader<'_>, depth: usize, nodes: &mut usize) -> Result<Filter, Malformed> {
    *nodes += 1;
    if depth >= DEPTH || *nodes > NODES {
        return Err(Malformed);
    }
    let (tag, content) = reader.element()?;
    let mut content = Reader::new(content);
    match tag {
        0xa0 | 0xa1 => {
            let mut parts = Vec::new();
            while !content.is_empty() {
                parts.push(read(&mut content, depth + 1, nodes)?);
            }
            Ok(if tag == 0xa0 { Filter::And(parts) } else { Filter::Or(parts) })
        }
        0xa2 => Ok(Filter::Not(Box::new(read(&mut content, depth + 1, nodes)?))),
        // equalityMatch, approxMatch
        0xa3 | 0xa8 => {
            let attribute = content.expect(OCTETS)?;
            Ok(is(attribute, content.expect(OCTETS)?))
        }
        0xa4 => {
            let attribute = content.expect(OCTETS)?;
            let mut parts = Reader::new(content.expect(SEQUENCE)?);
            let (kind, value) = parts.element()?;
            if !(0x80..=0x82).contains(&kind) {
                return Err(Malformed);
            }
            // More than one part is no whole address.
            Ok(if parts.is_empty() { is(attribute, value) } else { Filter::Undefined })
        }
        0x87 => Ok(name(content.rest()).map_or(Filter::Undefined, Filter::Present)),
        // greaterOrEqual, lessOrEqual, extensibleMatch
        0xa5 | 0xa6 | 0xa9 => Ok(Filter::Undefined),
        _ => Err(Malformed),
    }
}

fn is(attribute: &[u8], value: &[u8]) -> Filter {
    match (name(attribute), std::str::from_utf8(value)) {
        (Some(attribute), Ok(value)) => Filter::Is(attribute, value.trim().to_owned()),
        _ => Filter::Undefined,
    }
}

/// The name of an attribute without options, lower case.
pub(super) fn name(attribute: &[u8]) -> Option<String> {
    let attribute = std::str::from_utf8(attribute).ok()?;
    let name = attribute.split(';').next().unwrap_or_default().trim();
    (!name.is_empty() && name.len() <= 64).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::super::ber::element;
    use super::*;

    fn equal(attribute: &str, value: &str) -> Vec<u8> {
        let pair = [element(OCTETS, attribute.as_bytes()), element(OCTETS, value.as_bytes())];
        element(0xa3, &pair.concat())
    }

    fn around(attribute: &str, value: &str) -> Vec<u8> {
        let parts = element(SEQUENCE, &element(0x81, value.as_bytes()));
        element(0xa4, &[element(OCTETS, attribute.as_bytes()), parts].concat())
    }

    fn parse(bytes: &[u8]) -> Result<Filter, Malformed> {
        Filter::read(&mut Reader::new(bytes))
    }

    fn gpgsm(address: &str) -> Vec<u8> {
        let inner = element(0xa1, &[around("cn", address), around("mail", address)].concat());
        element(0xa1, &[around("sn", address), inner].concat())
    }

    #[test]
    fn what_gpgsm_asks_is_one_exact_address() {
        let filter = parse(&gpgsm("alice@a.example")).unwrap();
        assert_eq!(filter.address(), Some("alice@a.example"));
        assert_eq!(filter.matches("Alice@a.example"), Some(true));
        assert_eq!(filter.matches("malice@a.example"), Some(false));
        let filter = parse(&equal("rfc822Mailbox;lang-en", "alice@a.example")).unwrap();
        assert_eq!(filter.matches("alice@a.example"), Some(true));
    }

    #[test]
    fn parts_lists_and_several_addresses_ask_for_nothing() {
        for bytes in [
            gpgsm("alice"),
            equal("mail", "*"),
            element(0x87, b"objectClass"),
            element(0xa1, &[equal("mail", "a@a.example"), equal("mail", "b@a.example")].concat()),
            element(0xa0, &[]),
            element(0xa2, &equal("cn", "nobody")),
            equal("description", "alice@a.example"),
        ] {
            assert_eq!(parse(&bytes).unwrap().address(), None, "{bytes:x?}");
        }
    }

    #[test]
    fn conditions_are_joined_by_the_rules_of_three_values() {
        let is = |bytes: Vec<u8>| parse(&bytes).unwrap().matches("a@a.example");
        let (yes, no) = (equal("mail", "a@a.example"), equal("mail", "b@a.example"));
        let open = equal("o", "x");
        assert_eq!(
            is(element(0xa0, &[yes.clone(), equal("objectClass", "inetOrgPerson")].concat())),
            Some(true)
        );
        assert_eq!(is(element(0xa0, &[yes.clone(), open.clone()].concat())), None);
        assert_eq!(is(element(0xa0, &[no.clone(), open.clone()].concat())), Some(false));
        assert_eq!(is(element(0xa1, &[yes.clone(), open.clone()].concat())), Some(true));
        assert_eq!(is(element(0xa2, &yes)), Some(false));
        assert_eq!(is(element(0xa2, &open)), None);
        assert_eq!(is(element(0xa0, &[])), Some(true));
        assert_eq!(is(element(0x87, b"userCertificate;binary")), Some(true));
    }

    #[test]
    fn deep_and_wide_filters_are_refused() {
        let mut deep = equal("mail", "a@a.example");
        for _ in 0..DEPTH {
            deep = element(0xa2, &deep);
        }
        assert_eq!(parse(&deep), Err(Malformed));
        let wide = element(0xa1, &equal("mail", "a@a.example").repeat(NODES));
        assert_eq!(parse(&wide), Err(Malformed));
        assert_eq!(parse(&element(0x42, b"")), Err(Malformed));
    }
}
