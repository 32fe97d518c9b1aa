//! The TXT record that asks for reports (RFC 8460 section 3).

use std::fmt;

use mail::Address;

/// Records that do not begin so are discarded.
const VERSION: &str = "v=TLSRPTv1;";
/// Longest name of a field.
const NAME_MAX: usize = 32;
/// So many destinations of one record are used.
pub const RUA_MAX: usize = 8;
/// Longest URI that is used, octets.
const URI_MAX: usize = 2048;

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rua {
    /// By mail.
    Mail(Address),
    /// By POST.
    Https(Url),
}

/// An `https` URI, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Url {
    /// Host name, lower-case A-labels.
    pub host: String,
    /// 443 unless the URI says otherwise.
    pub port: u16,
    /// Path and query, at least `/`.
    pub target: String,
}

/// Why a domain that tries to ask for reports gets none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Not exactly one record is left.
    #[error("there are {0} records that begin with \"v=TLSRPTv1;\"; there must be one")]
    Several(usize),
    /// A part between semicolons is no `name=value`.
    #[error("a field is no name=value")]
    Field,
    /// There is no `rua`.
    #[error("there is no rua")]
    NoRua,
    /// No destination of `rua` can be used.
    #[error("no destination can be used; the first is {0}")]
    NoDestination(String),
}

/// What the TXT records of `_smtp._tls.DOMAIN` ask for; nothing if none of them is about TLS reports.
///
/// # Errors
/// [`BadRecord`]: "senders MUST assume the recipient domain does not implement TLSRPT".
pub fn discover<'a>(records: impl IntoIterator<Item = &'a str>) -> Result<Option<Vec<Rua>>, BadRecord> {
    let mut left = records.into_iter().filter(|record| record.starts_with(VERSION));
    let Some(record) = left.next() else { return Ok(None) };
    match left.count() {
        0 => parse(record).map(Some),
        more => Err(BadRecord::Several(more + 1)),
    }
}

/// The destinations of one record, each once, at most [`RUA_MAX`].
///
/// Fields that nobody knows are ignored, and destinations of schemes that nobody knows too.
///
/// # Errors
/// [`BadRecord`] if the record does not follow the ABNF or leaves no destination.
pub fn parse(record: &str) -> Result<Vec<Rua>, BadRecord> {
    let fields = record.strip_prefix(VERSION).ok_or(BadRecord::Field)?;
    let mut rua = None;
    let mut fields = fields.split(';').peekable();
    while let Some(field) = fields.next() {
        let field = field.trim_matches(is_wsp);
        if field.is_empty() && fields.peek().is_none() {
            break;
        }
        let (name, value) = field.split_once('=').ok_or(BadRecord::Field)?;
        match name {
            "rua" => rua = rua.or(Some(value)),
            _ if is_name(name) && is_value(value) => {}
            _ => return Err(BadRecord::Field),
        }
    }
    let rua = rua.ok_or(BadRecord::NoRua)?;
    let mut destinations = Vec::new();
    for uri in rua.split(',') {
        match Rua::parse(uri.trim_matches(is_wsp)) {
            Some(destination) if destinations.contains(&destination) => {}
            Some(destination) if destinations.len() < RUA_MAX => destinations.push(destination),
            _ => {}
        }
    }
    if destinations.is_empty() {
        let first = rua.split(',').next().unwrap_or_default().chars().take(100).collect();
        return Err(BadRecord::NoDestination(first));
    }
    Ok(destinations)
}

impl Rua {
    /// Reads a URI of the schemes `mailto` and `https`; nothing for all others and for what is no such URI.
    pub fn parse(uri: &str) -> Option<Self> {
        let printable =
            !uri.is_empty() && uri.len() <= URI_MAX && uri.bytes().all(|byte| byte.is_ascii_graphic());
        // RFC 8460 section 3: commas, exclamation points and semicolons in it must be encoded.
        if !printable || uri.contains([',', '!', ';']) {
            return None;
        }
        let (scheme, rest) = uri.split_once(':')?;
        match scheme.to_ascii_lowercase().as_str() {
            "mailto" => {
                let (address, _headers) = rest.split_once('?').unwrap_or((rest, ""));
                mailbox(&percent_decoded(address)?).map(Self::Mail)
            }
            "https" => Url::parse(rest).map(Self::Https),
            _ => None,
        }
    }
}

/// One address that can stand in a header field and an SMTP command as it is.
fn mailbox(text: &str) -> Option<Address> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b'\\' | b','));
    let address = Address::parse(text).ok().filter(|_| plain)?;
    let short = address.local().len() <= 64 && crate::dns::is_host_name(address.domain());
    // Dots at the wrong places must be quoted, and are then no longer as they are.
    let bare = !address.to_string().contains('"');
    (short && bare).then_some(address)
}

impl Url {
    /// What follows `https:`. User names and fragments make no sense here and are refused.
    fn parse(rest: &str) -> Option<Self> {
        let rest = rest.strip_prefix("//")?;
        let cut = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(cut)?;
        let (host, port) = match authority.split_once(':') {
            Some((host, "")) => (host, 443),
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (host, port.parse().ok()?)
            }
            Some(_) => return None,
            None => (authority, 443),
        };
        let host = host.to_ascii_lowercase();
        if port == 0 || !crate::dns::is_host_name(&host) || target.contains(['#', '\\', '"', '<', '>']) {
            return None;
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Some(Self { host, port, target: format!("{slash}{target}") })
    }

    /// For the Host field: the port only if it is not 443.
    pub fn authority(&self) -> String {
        if self.port == 443 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Rua {
    /// As a URI that [`Rua::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(address) => {
                f.write_str("mailto:")?;
                for byte in address.to_string().bytes() {
                    match byte {
                        b'%' | b'!' | b',' | b';' | b'?' | b'#' | b'&' => write!(f, "%{byte:02X}")?,
                        _ => write!(f, "{}", char::from(byte))?,
                    }
                }
                Ok(())
            }
            Self::Https(url) => write!(f, "https://{}{}", url.authority(), url.target),
        }
    }
}

/// RFC 3986 section 2.1; nothing if a `%` is not followed by two hexadecimal digits or the result is no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| hexadecimal)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn is_wsp(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// `tlsrpt-ext-name`.
fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// `tlsrpt-ext-value`.
fn is_value(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'=' && b != b';')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uris(record: &str) -> Vec<String> {
        parse(record).unwrap().iter().map(Rua::to_string).collect()
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 8460 section 3.1.
        assert_eq!(uris("v=TLSRPTv1;rua=mailto:reports@example.com"), ["mailto:reports@example.com"]);
        assert_eq!(
            uris("v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"),
            ["https://reporting.example.com/v1/tlsrpt"]
        );
    }

    #[test]
    fn exactly_one_record_counts() {
        let good = "v=TLSRPTv1; rua=mailto:a@b.example";
        assert_eq!(discover(["other", good, "v=spf1 -all"]).unwrap().unwrap().len(), 1);
        assert_eq!(discover([good, good]), Err(BadRecord::Several(2)));
        assert_eq!(discover([good, "v=TLSRPTv1;"]), Err(BadRecord::Several(2)));
        assert_eq!(discover(["v=TLSRPTv1", "v=TLSRPTv11; rua=mailto:a@b.example", "V=TLSRPTV1;"]), Ok(None));
        assert_eq!(discover([]), Ok(None));
    }

    #[test]
    fn several_destinations_of_both_schemes() {
        assert_eq!(
            uris(
                "v=TLSRPTv1; rua=mailto:a@b.example , https://c.example:8443/r?x=y,ftp://d.example/,mailto:a@b.example;"
            ),
            ["mailto:a@b.example", "https://c.example:8443/r?x=y"]
        );
        let many: Vec<String> = (0..20).map(|n| format!("mailto:a{n}@b.example")).collect();
        assert_eq!(uris(&format!("v=TLSRPTv1; rua={}", many.join(","))).len(), RUA_MAX);
    }

    #[test]
    fn unknown_fields_are_ignored_but_must_be_fields() {
        assert_eq!(uris("v=TLSRPTv1; a.b-1=x; rua=mailto:a@b.example ;\tz=y;"), ["mailto:a@b.example"]);
        assert_eq!(parse("v=TLSRPTv1; nonsense; rua=mailto:a@b.example"), Err(BadRecord::Field));
        assert_eq!(parse("v=TLSRPTv1; ; rua=mailto:a@b.example"), Err(BadRecord::Field));
        assert_eq!(parse("v=TLSRPTv1; x=y"), Err(BadRecord::NoRua));
        assert_eq!(
            parse("v=TLSRPTv1; RUA=mailto:a@b.example"),
            Err(BadRecord::NoRua),
            "names are as written"
        );
    }

    #[test]
    fn what_cannot_be_used_is_no_destination() {
        for uri in [
            "",
            "mailto:",
            "mailto:nobody",
            "mailto:a@b",
            "mailto:a@b.example!10m",
            "mailto:a%0Ab@b.example",
            "mailto:a%zz@b.example",
            "mailto:%3Ca@b.example%3E",
            "mailto:%22a%20b%22@b.example",
            "mailto:a@[192.0.2.1]",
            "mailto:a%2Cb@b.example",
            "http://b.example/",
            "https:b.example",
            "https://",
            "https://u@b.example/",
            "https://b.example:0/",
            "https://b.example:99999/",
            "https://b.example:8x/",
            "https://192.0.2.1/",
            "https://[2001:db8::1]/",
            "https://b.example/#f",
            "https://b.example/\"",
            "b.example",
        ] {
            let ok = uri == "mailto:a@b";
            assert_eq!(Rua::parse(uri).is_some(), ok, "{uri}");
        }
        assert!(matches!(parse("v=TLSRPTv1; rua=ftp://x.example/"), Err(BadRecord::NoDestination(_))));
    }

    #[test]
    fn encoded_characters_and_header_fields_of_mailto() {
        let Some(Rua::Mail(address)) = Rua::parse("MAILTO:tls%2Breports%21@B.Example?subject=x") else {
            panic!()
        };
        assert_eq!(address.to_string(), "tls+reports!@b.example");
        assert_eq!(Rua::Mail(address).to_string(), "mailto:tls+reports%21@b.example");
    }

    #[test]
    fn a_query_without_a_path_gets_one() {
        assert_eq!(Rua::parse("https://B.Example?x").unwrap().to_string(), "https://b.example/?x");
        assert_eq!(Rua::parse("https://b.example:443").unwrap().to_string(), "https://b.example/");
    }

    #[test]
    fn addresses_that_must_be_quoted_are_none() {
        // Found by fuzzing: they were shown in a form that did not read back.
        for uri in ["mailto:.=@v", "mailto:a..b@example.org", "mailto:a.@example.org"] {
            assert_eq!(Rua::parse(uri), None, "{uri}");
        }
        assert!(Rua::parse("mailto:a.b=c@example.org").is_some());
    }

    proptest! {
        #[test]
        fn never_panics(records in proptest::collection::vec("(v=TLSRPTv1; ?(rua=)?)?\\PC*", 0..4)) {
            let _ = discover(records.iter().map(String::as_str));
        }

        #[test]
        fn a_destination_survives_writing_and_reading(uri in "(mailto:[a-z!%+]{1,9}@[a-z]{1,9}\\.[a-z]{2,3}|https://[a-z]{1,9}\\.[a-z]{2}(:[1-9][0-9]{0,3})?/?[ -~]{0,20})") {
            if let Some(rua) = Rua::parse(&uri) {
                prop_assert_eq!(Rua::parse(&rua.to_string()), Some(rua));
            }
        }
    }
}
