//! What the world may fetch over HTTP: certificates and revocation lists of the authorities, and OCSP.

use super::AuthorityError;
use super::LocalAuthority;
use super::Profile;
use super::rows;

/// Longest OCSP request in a path, octets (RFC 5019, 5: up to 255 are sent by GET).
const MAX_PATH: usize = 4096;

/// A file to be served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublishedFile {
    /// Value of the header field Content-Type.
    pub media_type: &'static str,
    /// How long others may keep it, seconds: `Cache-Control: max-age`.
    pub max_age: i64,
    /// The content.
    pub content: Vec<u8>,
}

impl LocalAuthority {
    /// The file of this name at `now` (Unix seconds): `root.cer`, `issuing-1.cer`, … are the certificates of
    /// the authorities, `root.crl`, `issuing-1.crl`, … their newest revocation lists. `None` if there is no
    /// such file; nothing else is ever given.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn file(&self, name: &str, now: i64) -> Result<Option<PublishedFile>, AuthorityError> {
        let Some((subject, kind)) = name.rsplit_once('.') else { return Ok(None) };
        let authority = rows::authorities(&self.lock())?.into_iter().find(|issued| {
            issued.subject == subject && matches!(issued.profile, Profile::Root | Profile::Issuing)
        });
        let Some(authority) = authority else { return Ok(None) };
        Ok(match kind {
            "cer" => Some(PublishedFile {
                media_type: "application/pkix-cert",
                max_age: 86_400,
                content: authority.certificate.der().to_vec(),
            }),
            "crl" => self.latest_crl(&authority.fingerprint)?.map(|list| PublishedFile {
                media_type: "application/pkix-crl",
                // A revocation must be seen within a minute.
                max_age: (list.next_update - now).clamp(0, 60),
                content: list.der,
            }),
            _ => None,
        })
    }
}

/// The OCSP request in the path of a GET, behind the responder's own path: base64, percent-encoded (RFC 6960,
/// A.1). `None` if it is none.
pub fn ocsp_request_of_path(path: &str) -> Option<Vec<u8>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() || path.len() > MAX_PATH {
        return None;
    }
    let mut text = String::with_capacity(path.len());
    let mut rest = path.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => {
                let digits: String = rest.by_ref().take(2).collect();
                text.push(char::from(u8::from_str_radix(&digits, 16).ok().filter(u8::is_ascii)?));
            }
            plain => text.push(plain),
        }
    }
    openssl::base64::decode_block(&text).ok()
}
