//! Autocrypt Level 1: a certificate in a header field of ordinary mail. The field is not signed by anybody; what it is
//! worth is decided elsewhere.

use openssl::base64;
use sequoia_openpgp::Cert;

use crate::assess;
use crate::intake;
use crate::publication::smallest;
use crate::subject::Purpose;
use crate::subject::Subject;

/// Longest value that is read or written, octets: 10 KiB, as the specification recommends.
const LIMIT: usize = 10 * 1024;
/// Length of a line of the folded field.
const LINE: usize = 76;

/// The value of an `Autocrypt` or `Autocrypt-Gossip` field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Autocrypt {
    /// Whose certificate it is said to be, as it was written.
    pub address: String,
    /// The sender would rather have all replies encrypted.
    pub mutual: bool,
    /// The certificate, binary OpenPGP; it was not looked at.
    pub keydata: Vec<u8>,
}

impl Autocrypt {
    /// Reads the unfolded value of a field. `None` if the field must be ignored: no or two addresses, an attribute
    /// that is not known and critical, base64 that is not, or too long.
    pub fn parse(value: &str) -> Option<Self> {
        if value.len() > LIMIT {
            return None;
        }
        let (mut address, mut mutual, mut keydata) = (None, None, None);
        let value = value.trim();
        for attribute in value.strip_suffix(';').unwrap_or(value).split(';') {
            let (name, value) = attribute.split_once('=')?;
            let value = value.trim();
            let twice = match name.trim() {
                "addr" => address.replace(value.to_owned()).is_some(),
                "prefer-encrypt" => mutual.replace(value == "mutual").is_some(),
                "keydata" => keydata.replace(decode(value)?).is_some(),
                // Not critical.
                name if name.starts_with('_') && name.len() > 1 => false,
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        let address = address.filter(|address| Subject::address(address).is_some())?;
        Some(Self { address, mutual: mutual.unwrap_or_default(), keydata: keydata? })
    }

    /// The field for the holder of a certificate: as little of it as is needed to encrypt to `address` at `now` (Unix
    /// seconds), one User ID and one subkey. `None` if it cannot serve, or is too large for a header.
    pub fn of(cert: &Cert, address: &str, now: i64) -> Option<Self> {
        let subject = Subject::address(address)?;
        let fitness = assess::assess(cert, Purpose::Encrypt, Some(&subject), now).ok()?;
        let keydata = smallest(cert, &subject.key(), &fitness.subkey, now)?;
        let this = Self { address: address.to_owned(), mutual: true, keydata };
        (this.to_value().len() <= LIMIT).then_some(this)
    }

    /// The raw value of the field, folded, beginning with a blank and without the last line end.
    pub fn to_value(&self) -> String {
        let mut value = format!(" addr={};", self.address);
        if self.mutual {
            value.push_str(" prefer-encrypt=mutual;");
        }
        value.push_str("\r\n keydata=");
        let encoded = base64::encode_block(&self.keydata);
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
            value.push_str("\r\n ");
            value.push_str(line);
            rest = after;
        }
        value
    }

    /// Whether it is said to be of this mailbox.
    pub fn is_of(&self, address: &str) -> bool {
        match (Subject::address(&self.address), Subject::address(address)) {
            (Some(said), Some(asked)) => said.same(&asked),
            _ => false,
        }
    }

    /// The certificate: exactly one, public.
    pub fn certificate(&self) -> Option<Cert> {
        let mut certificates = intake::read_certificates(&self.keydata).ok()?;
        match (certificates.pop(), certificates.is_empty()) {
            (Some(certificate), true) => Some(certificate),
            _ => None,
        }
    }
}

/// Base64 with padding and blanks between, and nothing else (RFC 4648 section 4).
fn decode(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\r' | '\n')).collect();
    let data = text.trim_end_matches('=');
    let proper = data.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/');
    if !proper || data.is_empty() || !text.len().is_multiple_of(4) || text.len() - data.len() > 2 {
        return None;
    }
    let bytes = base64::decode_block(&text).ok()?;
    (base64::encode_block(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use sequoia_openpgp::cert::CertBuilder;
    use sequoia_openpgp::parse::Parse;

    use super::*;

    const NOW: i64 = 1_782_864_000;

    fn cert() -> Cert {
        let created = assess::system_time(NOW - 86_400);
        let (cert, _) = CertBuilder::new()
            .add_userid("<alice@alpha.example>")
            .add_userid("Alice <private@elsewhere.example>")
            .set_creation_time(created)
            .add_signing_subkey()
            .add_transport_encryption_subkey()
            .generate()
            .unwrap();
        cert.strip_secret_key_material()
    }

    fn unfolded(value: &str) -> String {
        value.replace("\r\n", "")
    }

    #[test]
    fn what_is_written_is_read_again_and_says_no_more_than_it_must() {
        let cert = cert();
        let field = Autocrypt::of(&cert, "alice@alpha.example", NOW).unwrap();
        let value = field.to_value();
        assert!(value.split("\r\n").all(|line| line.len() <= 78 && line.starts_with(' ')), "{value}");
        assert_eq!(Autocrypt::parse(&unfolded(&value)), Some(field.clone()));
        let small = field.certificate().unwrap();
        assert_eq!(small.fingerprint(), cert.fingerprint());
        assert_eq!((small.userids().count(), small.keys().subkeys().count()), (1, 1));
        let subject = Subject::address("alice@alpha.example").unwrap();
        assert!(assess::assess(&small, Purpose::Encrypt, Some(&subject), NOW).is_ok());
        assert!(field.is_of("ALICE@Alpha.example") && !field.is_of("bob@alpha.example"));
        assert_eq!(Autocrypt::of(&cert, "bob@alpha.example", NOW), None);
        assert!(Cert::from_bytes(&field.keydata).is_ok());
    }

    #[test]
    fn only_what_the_specification_allows_is_read() {
        let good = "addr=a@b.example; prefer-encrypt=mutual; _note=x; keydata=AA AA";
        let read = Autocrypt::parse(good).unwrap();
        assert_eq!((read.address.as_str(), read.mutual, read.keydata.len()), ("a@b.example", true, 3));
        assert!(!Autocrypt::parse("addr=a@b.example; keydata=AAAA;").unwrap().mutual);
        assert!(!Autocrypt::parse("addr=a@b.example; prefer-encrypt=never; keydata=AAAA").unwrap().mutual);
        for wrong in [
            "",
            "addr=a@b.example",
            "keydata=AAAA",
            "addr=a@b.example; keydata=",
            "addr=a@b.example; keydata=AAA",
            "addr=a@b.example; keydata=AA*A",
            "addr=a@b.example; keydata=AB==",
            "addr=a@b.example; keydata=A===",
            "addr=a@b.example; keydata=AAAA; critical=1",
            "addr=a@b.example; keydata=AAAA; _=1",
            "addr=a@b.example; addr=a@b.example; keydata=AAAA",
            "addr=a@b.example; keydata=AAAA; keydata=AAAA",
            "addr=nobody; keydata=AAAA",
            "addr=a@b.example, c@d.example; keydata=AAAA",
            "addr=a@b.example; ; keydata=AAAA",
        ] {
            assert_eq!(Autocrypt::parse(wrong), None, "{wrong}");
        }
        let long = format!("addr=a@b.example; keydata={}", "AAAA".repeat(LIMIT / 4));
        assert_eq!(Autocrypt::parse(&long), None);
    }
}
