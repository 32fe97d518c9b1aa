//! The forms in which certificates are submitted.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};

use crate::percent;

/// The form of a request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// application/pgp-keys: the certificates themselves.
    Keys,
    /// multipart/form-data with this boundary (RFC 7578).
    Multipart(String),
    /// application/x-www-form-urlencoded.
    UrlEncoded,
}

/// The name of the field.
const FIELD: &str = "keytext";

impl Form {
    /// Reads the header fields of a request. `None` is a form that we do not read, or a compressed body.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if text(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return None;
        }
        let content_type = text(header::CONTENT_TYPE)?;
        let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        match kind.trim().to_ascii_lowercase().as_str() {
            "application/pgp-keys" => Some(Self::Keys),
            "application/x-www-form-urlencoded" => Some(Self::UrlEncoded),
            "multipart/form-data" => {
                let boundary = parameters.split(';').find_map(|parameter| {
                    let (name, value) = parameter.split_once('=')?;
                    name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
                })?;
                // RFC 2046, 5.1.1.
                (1..=70).contains(&boundary.len()).then(|| Self::Multipart(boundary.to_owned()))
            }
            _ => None,
        }
    }
}

/// The certificates of a request body, armored or binary. `None` if it has no such field or is broken.
pub fn keytext<'b>(form: &Form, body: &'b [u8]) -> Option<Cow<'b, [u8]>> {
    match form {
        Form::Keys => Some(Cow::Borrowed(body)),
        Form::Multipart(boundary) => part(boundary, body).map(Cow::Borrowed),
        Form::UrlEncoded => {
            let text = std::str::from_utf8(body).ok()?;
            let value = percent::parameter(text, FIELD)?;
            percent::decode_form(value).map(|text| Cow::Owned(text.into_bytes()))
        }
    }
}

/// The content of the part with our field.
fn part<'b>(boundary: &str, body: &'b [u8]) -> Option<&'b [u8]> {
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // The first delimiter needs no line break in front.
    let mut rest = match body.strip_prefix(delimiter.get(2..)?) {
        Some(rest) => rest,
        None => after(body, &delimiter)?,
    };
    loop {
        rest = rest.strip_prefix(b"\r\n")?;
        let end = find(rest, &delimiter)?;
        let (part, following) = rest.split_at_checked(end)?;
        let head = find(part, b"\r\n\r\n")?;
        let (head, content) = part.split_at_checked(head)?;
        if is_field(head) {
            return content.get(4..);
        }
        rest = following.get(delimiter.len()..)?;
    }
}

/// Whether a part's header section names our field.
fn is_field(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    head.lines().any(|line| {
        let Some((name, value)) = line.split_once(':') else { return false };
        let mut parameters = value.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
        name.trim().eq_ignore_ascii_case("content-disposition")
            && parameters.any(|(name, value)| {
                name.trim().eq_ignore_ascii_case("name") && value.trim().trim_matches('"') == FIELD
            })
    })
}

fn after<'b>(body: &'b [u8], what: &[u8]) -> Option<&'b [u8]> {
    body.get(find(body, what)?.checked_add(what.len())?..)
}

fn find(body: &[u8], what: &[u8]) -> Option<usize> {
    body.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(content_type: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        Form::of(&headers)
    }

    fn text(form: &Form, body: &str) -> Option<String> {
        keytext(form, body.as_bytes()).map(|text| String::from_utf8(text.into_owned()).unwrap())
    }

    #[test]
    fn forms_are_told_apart() {
        assert_eq!(form("application/x-www-form-urlencoded; charset=utf-8"), Some(Form::UrlEncoded));
        assert_eq!(form("Application/PGP-Keys;armor=no"), Some(Form::Keys));
        assert_eq!(form("multipart/form-data; boundary=\"a b\""), Some(Form::Multipart("a b".to_owned())));
        assert_eq!(form("multipart/form-data"), None);
        assert_eq!(form("multipart/form-data; boundary="), None);
        assert_eq!(form("text/html"), None);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/pgp-keys".parse().unwrap());
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(Form::of(&headers), None);
    }

    #[test]
    fn the_field_is_found_in_each() {
        let url = |body| text(&Form::UrlEncoded, body);
        assert_eq!(url("x=1&keytext=-----BEGIN+PGP%0Aab%2B").as_deref(), Some("-----BEGIN PGP\nab+"));
        assert_eq!(url("key=1"), None);
        assert_eq!(url("keytext=%zz"), None);
        let parts = |body| text(&Form::Multipart("XX".to_owned()), body);
        let whole = "preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nno\r\n--XX\r\n\
                     content-disposition: form-data; filename=\"k\"; name=keytext\r\nContent-Type: x/y\r\n\r\n\
                     one\r\ntwo\r\n--XX--\r\n";
        assert_eq!(parts(whole).as_deref(), Some("one\r\ntwo"));
        assert_eq!(parts(whole.strip_prefix("preamble\r\n").unwrap()).as_deref(), Some("one\r\ntwo"));
        for cut in [20, 60, 100, 150, whole.len() - 10] {
            assert_eq!(parts(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(text(&Form::Keys, "abc").as_deref(), Some("abc"));
    }
}
