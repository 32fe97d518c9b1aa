//! Percent-encoding (RFC 3986, 2.1) and the parameters of a query.

/// Decodes `%41`. `None` if an escape is broken or the result is not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next())? << 4 | digit(rest.next())?,
            byte => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Decodes a value of a form (application/x-www-form-urlencoded), where `+` stands for a space.
pub fn decode_form(text: &str) -> Option<String> {
    decode(&text.replace('+', " "))
}

/// Encodes everything but what is unreserved (RFC 3986, 2.3).
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The value of a parameter as it stands in a query, the first if there are several.
pub fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| match pair.split_once('=') {
        Some((key, value)) => (key == name).then_some(value),
        None => (pair == name).then_some(""),
    })
}

fn digit(byte: Option<&u8>) -> Option<u8> {
    let value = char::from(*byte?).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_or_no_utf_8_is_nothing() {
        assert_eq!(decode("a%2Bb+c%c3%a4").as_deref(), Some("a+b+cä"));
        assert_eq!(decode_form("a%2Bb+c").as_deref(), Some("a+b c"));
        // The last are a slash in two octets, which no UTF-8 is, and half a letter.
        for broken in ["%", "%4", "%zz", "%-1", "%c0%af", "%c3"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        assert_eq!(encode("a+b@ä.example"), "a%2Bb%40%C3%A4.example");
        assert_eq!(decode(&encode("%&=+ \0ß")).as_deref(), Some("%&=+ \0ß"));
    }

    #[test]
    fn a_parameter_is_found_by_its_whole_name() {
        assert_eq!(parameter("ll=1&l=2&l=3", "l"), Some("2"));
        assert_eq!(parameter("a&b=", "a"), Some(""));
        assert_eq!(parameter("a&b=", "b"), Some(""));
        assert_eq!(parameter("", "b"), None);
    }
}
