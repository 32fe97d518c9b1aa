//! Requests and responses (RFC 4511, 4.1.1).

use super::ber::{BOOLEAN, ENUMERATED, INTEGER, Malformed, OCTETS, Reader, SEQUENCE, SET, element, number};
use super::filter::{Filter, name};

/// Most attributes that a search may name.
const ATTRIBUTES: usize = 64;
/// OID of StartTLS (RFC 4511, 4.14).
const STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
/// OID of the notice of disconnection (RFC 4511, 4.4.1).
const DISCONNECTION: &[u8] = b"1.3.6.1.4.1.1466.20036";

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The client's number for it.
    pub id: i32,
    /// What it is.
    pub request: Request,
    /// It has a control that must be understood, and none is.
    pub is_critical: bool,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To say who it is.
    Bind(Bind),
    /// To end.
    Unbind,
    /// To find something.
    Search(Search),
    /// That an earlier request is forgotten.
    Abandon,
    /// To go on in TLS.
    StartTls,
    /// Another extended operation.
    Extended,
    /// To change or compare something: the tag of the response.
    Other(u8),
}

/// As whom a client wants to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// As nobody.
    Anonymous,
    /// As somebody with a password.
    Password,
    /// As somebody without a password (RFC 4513, 5.1.2).
    Unauthenticated,
    /// By SASL.
    Sasl,
    /// By another version of the protocol.
    Version,
}

/// A search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// For the root DSE, which tells what the server is.
    pub is_root: bool,
    /// For the one entry with this address, by the name that an earlier answer gave it.
    pub entry: Option<String>,
    /// Which entries.
    pub filter: Filter,
    /// Which attributes, lower case, without options; none means all.
    pub attributes: Vec<String>,
    /// Only the names of attributes.
    pub types_only: bool,
}

/// Results (RFC 4511, 4.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Success = 0,
    /// Not as the protocol has it.
    ProtocolError = 2,
    /// No such way to say who one is.
    AuthMethodNotSupported = 7,
    /// A critical control is not understood.
    UnavailableCriticalExtension = 12,
    /// Nobody has a password here.
    InvalidCredentials = 49,
    /// Too many requests.
    Busy = 51,
    /// Could not look.
    Unavailable = 52,
    /// Not offered.
    UnwillingToPerform = 53,
}

impl Message {
    /// Reads one message.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut whole = Reader::new(bytes);
        let mut message = Reader::new(whole.expect(SEQUENCE)?);
        let id = message.number(INTEGER)?;
        if !whole.is_empty() || id < 0 {
            return Err(Malformed);
        }
        let (tag, content) = message.element()?;
        let request = request(tag, content)?;
        let is_critical = !message.is_empty() && has_critical(Reader::new(message.expect(0xa0)?))?;
        if message.is_empty() { Ok(Self { id, request, is_critical }) } else { Err(Malformed) }
    }
}

fn request(tag: u8, content: &[u8]) -> Result<Request, Malformed> {
    let mut reader = Reader::new(content);
    match tag {
        0x60 => bind(&mut reader).map(Request::Bind),
        0x42 => Ok(Request::Unbind),
        0x50 => Ok(Request::Abandon),
        0x63 => search(&mut reader).map(Request::Search),
        0x77 => Ok(if reader.expect(0x80)? == STARTTLS { Request::StartTls } else { Request::Extended }),
        // Modify, add, modify DN, compare; delete has a name for content.
        0x66 | 0x68 | 0x6c | 0x6e => Ok(Request::Other(tag + 1)),
        0x4a => Ok(Request::Other(0x6b)),
        _ => Err(Malformed),
    }
}

fn bind(reader: &mut Reader<'_>) -> Result<Bind, Malformed> {
    let version = reader.number(INTEGER)?;
    let name = reader.expect(OCTETS)?;
    let (method, credentials) = reader.element()?;
    Ok(match method {
        _ if version != 3 => Bind::Version,
        0x80 if !credentials.is_empty() => Bind::Password,
        0x80 if name.is_empty() => Bind::Anonymous,
        0x80 => Bind::Unauthenticated,
        0xa3 => Bind::Sasl,
        _ => return Err(Malformed),
    })
}

fn search(reader: &mut Reader<'_>) -> Result<Search, Malformed> {
    let base = reader.expect(OCTETS)?;
    let scope = reader.number(ENUMERATED)?;
    let _aliases = reader.number(ENUMERATED)?;
    // There is one entry at most, and it takes no time.
    let (_size, _time) = (reader.number(INTEGER)?, reader.number(INTEGER)?);
    let types_only = reader.truth(BOOLEAN)?;
    let filter = Filter::read(reader)?;
    let mut names = Reader::new(reader.expect(SEQUENCE)?);
    let mut attributes = Vec::new();
    while !names.is_empty() {
        attributes.extend(name(names.expect(OCTETS)?));
        if attributes.len() > ATTRIBUTES {
            return Err(Malformed);
        }
    }
    if !reader.is_empty() || !(0..=3).contains(&scope) {
        return Err(Malformed);
    }
    let base = if scope == 0 { base } else { &[] };
    let is_root = base.is_empty() && scope == 0;
    Ok(Search { is_root, entry: address_of(base), filter, attributes, types_only })
}

/// The address in the name of an entry, `mail=ADDRESS,dc=…`, with its escapes (RFC 4514, 2.4) undone.
fn address_of(name: &[u8]) -> Option<String> {
    let (kind, rest) = std::str::from_utf8(name).ok()?.split_once('=')?;
    let mut octets = kind.trim().eq_ignore_ascii_case("mail").then(|| rest.bytes())?;
    let mut value = Vec::new();
    while let Some(octet) = octets.next().filter(|octet| *octet != b',') {
        value.push(match octet {
            b'\\' => escaped(&mut octets)?,
            octet => octet,
        });
    }
    String::from_utf8(value).ok().map(|value| value.trim().to_owned())
}

/// What follows a backslash: the character itself, or two hexadecimal digits.
fn escaped(octets: &mut std::str::Bytes<'_>) -> Option<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let first = octets.next()?;
    match digit(first) {
        Some(high) => Some(high << 4 | digit(octets.next()?)?),
        None => Some(first),
    }
}

fn has_critical(mut controls: Reader<'_>) -> Result<bool, Malformed> {
    let mut found = false;
    while !controls.is_empty() {
        let mut control = Reader::new(controls.expect(SEQUENCE)?);
        let _oid = control.expect(OCTETS)?;
        if control.peek() == Some(BOOLEAN) {
            found |= control.truth(BOOLEAN)?;
        }
        if control.peek() == Some(OCTETS) {
            control.expect(OCTETS)?;
        }
        if !control.is_empty() {
            return Err(Malformed);
        }
    }
    Ok(found)
}

impl Request {
    /// The tag of the response that ends it; none has none.
    pub const fn response(&self) -> Option<u8> {
        match self {
            Self::Bind(_) => Some(0x61),
            Self::Search(_) => Some(0x65),
            Self::StartTls | Self::Extended => Some(0x78),
            Self::Other(tag) => Some(*tag),
            Self::Unbind | Self::Abandon => None,
        }
    }
}

/// A response with a result and no more.
pub fn result(id: i32, tag: u8, code: Code, text: &str) -> Vec<u8> {
    respond(id, tag, &outcome(code, text))
}

/// The answer to StartTLS.
pub fn starttls(id: i32, code: Code, text: &str) -> Vec<u8> {
    respond(id, 0x78, &[outcome(code, text), element(0x8a, STARTTLS)].concat())
}

/// That the connection is closed because of what came.
pub fn disconnection() -> Vec<u8> {
    let text = "this is not LDAP, or more than is taken";
    respond(0, 0x78, &[outcome(Code::ProtocolError, text), element(0x8a, DISCONNECTION)].concat())
}

/// An entry: its name, and attributes with their values.
pub fn entry(id: i32, dn: &str, attributes: &[(&str, Vec<Vec<u8>>)]) -> Vec<u8> {
    let attributes = attributes.iter().map(|(name, values)| {
        let values: Vec<u8> = values.iter().flat_map(|value| element(OCTETS, value)).collect();
        element(SEQUENCE, &[element(OCTETS, name.as_bytes()), element(SET, &values)].concat())
    });
    let attributes: Vec<u8> = attributes.flatten().collect();
    respond(id, 0x64, &[element(OCTETS, dn.as_bytes()), element(SEQUENCE, &attributes)].concat())
}

fn outcome(code: Code, text: &str) -> Vec<u8> {
    [number(ENUMERATED, code as i32), element(OCTETS, b""), element(OCTETS, text.as_bytes())].concat()
}

fn respond(id: i32, tag: u8, content: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[number(INTEGER, id), element(tag, content)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As OpenLDAP's ldapsearch -x -b dc=a "(mail=b@c.example)" mail writes it.
    fn asked(controls: &[u8]) -> Vec<u8> {
        let pair = [element(OCTETS, b"mail"), element(OCTETS, b"b@c.example")].concat();
        let search = [
            element(OCTETS, b"dc=a"),
            number(ENUMERATED, 2),
            number(ENUMERATED, 0),
            number(INTEGER, 0),
            number(INTEGER, 0),
            element(BOOLEAN, &[0]),
            element(0xa3, &pair),
            element(SEQUENCE, &element(OCTETS, b"userCertificate;binary")),
        ];
        element(SEQUENCE, &[number(INTEGER, 2), element(0x63, &search.concat()), controls.to_vec()].concat())
    }

    #[test]
    fn a_search_is_read() {
        let message = Message::parse(&asked(b"")).unwrap();
        let Request::Search(search) = message.request else { panic!() };
        assert_eq!((message.id, message.is_critical, search.is_root), (2, false, false));
        assert_eq!(search.filter.address(), Some("b@c.example"));
        assert_eq!(search.attributes, ["usercertificate"]);
    }

    #[test]
    fn the_name_of_an_entry_has_its_address_in_it() {
        let address = |name: &str| address_of(name.as_bytes());
        assert_eq!(address("mail=b@c.example,dc=c,dc=example").as_deref(), Some("b@c.example"));
        assert_eq!(address("MAIL = a\\+b\\2cx@c.example").as_deref(), Some("a+b,x@c.example"));
        for other in ["", "dc=c,dc=example", "cn=b@c.example", "mail", "mail=a\\", "mail=a\\4", "mail=\\ff@c"]
        {
            assert_eq!(address(other), None, "{other}");
        }
        assert_eq!(address_of(b"mail=\xff@c.example"), None);
    }

    #[test]
    fn critical_controls_are_noticed_and_others_ignored() {
        let control = |critical: &[u8]| {
            let oid = element(OCTETS, b"1.2.840.113556.1.4.319");
            element(0xa0, &element(SEQUENCE, &[&oid, critical, &element(OCTETS, b"x")].concat()))
        };
        assert!(!Message::parse(&asked(&control(b""))).unwrap().is_critical);
        assert!(Message::parse(&asked(&control(&element(BOOLEAN, &[255])))).unwrap().is_critical);
    }

    #[test]
    fn whatever_becomes_of_a_message_on_its_way_it_asks_for_one_address_at_most() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % below as u64).unwrap()
        };
        let mut read = 0;
        for _ in 0..50_000 {
            let mut bytes = asked(b"");
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                match next(4) {
                    0 => bytes[at] = u8::try_from(next(256)).unwrap(),
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, u8::try_from(next(256)).unwrap()),
                    _ => bytes[at] ^= 1 << next(8),
                }
            }
            let Ok(Message { request: Request::Search(search), .. }) = Message::parse(&bytes) else {
                continue;
            };
            read += 1;
            if let Some(address) = search.filter.address() {
                assert!(address.contains('@'));
            }
        }
        assert!(read > 1000, "{read}");
    }

    #[test]
    fn ways_to_bind_are_told_apart() {
        let bind = |version: i32, name: &[u8], method: Vec<u8>| {
            let bind = [number(INTEGER, version), element(OCTETS, name), method].concat();
            let message = element(SEQUENCE, &[number(INTEGER, 1), element(0x60, &bind)].concat());
            Message::parse(&message).map(|message| message.request)
        };
        for (version, name, method, expected) in [
            (3, &b""[..], element(0x80, b""), Bind::Anonymous),
            (3, b"cn=a", element(0x80, b""), Bind::Unauthenticated),
            (3, b"cn=a", element(0x80, b"x"), Bind::Password),
            (3, b"", element(0xa3, b"\x04\x05PLAIN"), Bind::Sasl),
            (2, b"", element(0x80, b""), Bind::Version),
        ] {
            assert_eq!(bind(version, name, method), Ok(Request::Bind(expected)));
        }
    }

    #[test]
    fn no_prefix_of_a_message_and_nothing_behind_it_is_one() {
        let whole = asked(b"");
        for end in 0..whole.len() {
            assert_eq!(Message::parse(&whole[..end]), Err(Malformed), "{end}");
        }
        assert_eq!(Message::parse(&[&whole[..], &[0]].concat()), Err(Malformed));
    }
}
