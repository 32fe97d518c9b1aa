//! BER as LDAP uses it (RFC 4511, 5.1): definite lengths, tags of one octet.
//!
//! Reading borrows from the message and never recurses; whoever looks into something constructed bounds the depth.

/// Something is not BER, or not as LDAP has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not BER as LDAP has it")]
pub struct Malformed;

/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub const OCTETS: u8 = 0x04;
/// BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// SET.
pub const SET: u8 = 0x31;

/// Reads elements, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Over the content of something constructed.
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that is left, as it is.
    pub const fn rest(self) -> &'b [u8] {
        self.0
    }

    /// The tag of the next element.
    pub fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Tag and content of the next element.
    ///
    /// # Errors
    /// There is no whole one.
    pub fn element(&mut self) -> Result<(u8, &'b [u8]), Malformed> {
        let Some(Header { tag, head, length }) = header(self.0)? else { return Err(Malformed) };
        let end = head.checked_add(length).ok_or(Malformed)?;
        let content = self.0.get(head..end).ok_or(Malformed)?;
        self.0 = self.0.get(end..).ok_or(Malformed)?;
        Ok((tag, content))
    }

    /// The content of the next element, which must have this tag.
    ///
    /// # Errors
    /// It has another, or there is none.
    pub fn expect(&mut self, tag: u8) -> Result<&'b [u8], Malformed> {
        match self.element()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Malformed),
        }
    }

    /// The next element as a number of one to four octets with this tag.
    ///
    /// # Errors
    /// It is none.
    pub fn number(&mut self, tag: u8) -> Result<i32, Malformed> {
        let octets = self.expect(tag)?;
        let (first, rest) = octets.split_first().ok_or(Malformed)?;
        if rest.len() > 3 {
            return Err(Malformed);
        }
        let sign = if first & 0x80 == 0 { 0 } else { -1 };
        Ok(octets.iter().fold(sign, |number: i32, octet| number << 8 | i32::from(*octet)))
    }

    /// The next element as a truth value with this tag.
    ///
    /// # Errors
    /// It is none.
    pub fn truth(&mut self, tag: u8) -> Result<bool, Malformed> {
        match self.expect(tag)? {
            [octet] => Ok(*octet != 0),
            _ => Err(Malformed),
        }
    }
}

struct Header {
    tag: u8,
    head: usize,
    length: usize,
}

/// Tag, length of both, and length of the content; `None` if more octets are needed to tell.
fn header(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let [tag, first, rest @ ..] = bytes else { return Ok(None) };
    // Tags of several octets: LDAP has none.
    if tag & 0x1f == 0x1f {
        return Err(Malformed);
    }
    if *first < 0x80 {
        return Ok(Some(Header { tag: *tag, head: 2, length: usize::from(*first) }));
    }
    let count = usize::from(first & 0x7f);
    // 0 would be the indefinite form. Some libraries always write four octets.
    if !(1..=4).contains(&count) {
        return Err(Malformed);
    }
    let Some(octets) = rest.get(..count) else { return Ok(None) };
    let length = octets.iter().fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
    Ok(Some(Header { tag: *tag, head: 2 + count, length }))
}

/// How many octets the first message has, once that can be told.
///
/// # Errors
/// What stands there is no message, or one of more than `most` octets.
pub fn message_length(bytes: &[u8], most: usize) -> Result<Option<usize>, Malformed> {
    if bytes.first().is_some_and(|tag| *tag != SEQUENCE) {
        return Err(Malformed);
    }
    let Some(Header { head, length, .. }) = header(bytes)? else { return Ok(None) };
    match head.checked_add(length) {
        Some(whole) if whole <= most => Ok(Some(whole)),
        _ => Err(Malformed),
    }
}

/// An element with this content.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let octets = length.to_be_bytes();
            let from = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len());
            let octets = octets.get(from..).unwrap_or_default();
            bytes.push(0x80 | u8::try_from(octets.len()).unwrap_or(0x7f));
            bytes.extend_from_slice(octets);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// An INTEGER or ENUMERATED, in as few octets as it needs.
pub fn number(tag: u8, number: i32) -> Vec<u8> {
    let octets = number.to_be_bytes();
    let is_needless = |at: usize| match (octets.get(at), octets.get(at + 1)) {
        (Some(0), Some(next)) => next & 0x80 == 0,
        (Some(0xff), Some(next)) => next & 0x80 != 0,
        _ => false,
    };
    let from = (0..3).take_while(|at| is_needless(*at)).count();
    element(tag, octets.get(from..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for value in [0, 1, 127, 128, 255, 256, 65_535, i32::MAX, -1, -128, -129, i32::MIN] {
            let bytes = number(INTEGER, value);
            assert_eq!(Reader::new(&bytes).number(INTEGER), Ok(value), "{bytes:x?}");
        }
        assert_eq!(number(INTEGER, 127), [2, 1, 127]);
        assert_eq!(number(INTEGER, 128), [2, 2, 0, 128]);
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let bytes = element(OCTETS, &vec![7; length]);
            assert_eq!(Reader::new(&bytes).element(), Ok((OCTETS, &vec![7; length][..])));
        }
    }

    #[test]
    fn what_is_not_whole_or_lies_is_refused() {
        for bytes in [
            &[][..],
            &[4],
            &[4, 1],
            &[4, 0x80, 0, 0],
            &[4, 0x85, 0, 0, 0, 0, 0],
            &[0x1f, 1, 0],
            &[4, 0x84, 255, 255, 255, 255, 0],
        ] {
            assert_eq!(Reader::new(bytes).element(), Err(Malformed), "{bytes:x?}");
        }
        assert_eq!(Reader::new(&[2, 0]).number(INTEGER), Err(Malformed));
        assert_eq!(Reader::new(&[2, 5, 0, 0, 0, 0, 1]).number(INTEGER), Err(Malformed));
        assert_eq!(Reader::new(&[1, 2, 0, 0]).truth(BOOLEAN), Err(Malformed));
    }

    #[test]
    fn a_message_is_measured_before_it_is_there() {
        assert_eq!(message_length(&[], 100), Ok(None));
        assert_eq!(message_length(&[0x30], 100), Ok(None));
        assert_eq!(message_length(&[0x30, 0x84, 0, 0], 100), Ok(None));
        assert_eq!(message_length(&[0x30, 0x84, 0, 0, 0, 5], 100), Ok(Some(11)));
        assert_eq!(message_length(&[0x30, 99], 100), Err(Malformed));
        assert_eq!(message_length(b"GET / HTTP/1.1", 100), Err(Malformed));
    }
}
