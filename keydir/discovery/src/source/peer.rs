//! A partner's directory: the JSON look-up of another gateway.
//!
//! `GET BASE/.well-known/tmg/v1/lookup?address=A` answers 200 with
//! `{"address": "a@b.example", "openpgp": [BASE64…], "smime": [BASE64…], "proof": {…}}`: certificates of OpenPGP
//! (binary) and of X.509 (DER), both possibly none, and the proof of the domain's key log, if it has one; or 404.

use std::time::Duration;

use base64_simd::STANDARD;
use keydir::Subject;
use net::https::Https;
use net::https::Redirects;
use net::https::Wish;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::Asked;
use super::Haul;
use super::Reply;
use super::Said;
use super::servers::below;

/// Most octets of an answer, base64 and proof included.
const JSON_MAX: usize = 512 * 1024;
/// Most certificates of one kind in an answer.
const CERTIFICATES_MAX: usize = 32;

pub(super) async fn ask(https: &Https, base: &Url, asked: &Asked, deadline: Duration) -> Reply {
    let Some(mut url) = below(base, &[".well-known", "tmg", "v1", "lookup"]) else {
        return Reply::trouble("the URL has no path");
    };
    url.query_pairs_mut().clear().append_pair("address", &asked.whole);
    let (accept, redirects) = ("application/json", Redirects::Never);
    let wish = Wish { accept, limit: JSON_MAX, deadline, redirects, configured: true };
    let reply = match https.get(&url, &wish).await {
        Ok(fetched) => match fetched.response.status {
            200 => match parse(&fetched.response.body, &asked.subject) {
                Ok(haul) if haul.openpgp.is_empty() && haul.smime.is_empty() => Reply::nothing(),
                Ok(haul) => Reply::new(Said::Something(haul)),
                Err(why) => Reply::trouble(why),
            },
            404 => Reply::nothing(),
            status => Reply::trouble(format!("the server answered {status}")),
        },
        Err(error) => error.into(),
    };
    reply.noting(url.to_string())
}

#[derive(Deserialize)]
struct Answer<'a> {
    address: String,
    #[serde(default)]
    openpgp: Vec<String>,
    #[serde(default)]
    smime: Vec<String>,
    #[serde(default, borrow)]
    proof: Option<&'a RawValue>,
}

/// Reads an answer about `address`.
///
/// # Errors
/// In words: it is no such JSON, is about another mailbox, has too many certificates or no base64.
pub(crate) fn parse(body: &[u8], address: &Subject) -> Result<Haul, String> {
    // Also in what is not looked at (RFC 8259 section 8.1): what others read must be what was read here.
    let text = str::from_utf8(body).map_err(|error| format!("the answer is not as agreed: {error}"))?;
    let answer: Answer<'_> =
        serde_json::from_str(text).map_err(|error| format!("the answer is not as agreed: {error}"))?;
    if !Subject::address(&answer.address).is_some_and(|named| named.same(address)) {
        return Err("the answer is about another mailbox".to_owned());
    }
    let decode = |texts: &[String]| {
        if texts.len() > CERTIFICATES_MAX {
            return Err(format!("{} certificates, at most {CERTIFICATES_MAX} are accepted", texts.len()));
        }
        let decoded = texts.iter().map(|text| STANDARD.decode_to_vec(text.as_bytes()));
        decoded.collect::<Result<Vec<_>, _>>().map_err(|_| "a certificate is no base64".to_owned())
    };
    Ok(Haul {
        openpgp: decode(&answer.openpgp)?,
        smime: decode(&answer.smime)?,
        proof: answer.proof.map(|proof| proof.get().to_owned()),
        ttl: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Haul, String> {
        parse(json.as_bytes(), &Subject::address("Bob@b.example").unwrap())
    }

    #[test]
    fn answers_about_the_mailbox_are_read() {
        let haul =
            read(r#"{"address":"bob@B.example","openpgp":["mQ=="],"proof":{"a": 1},"more":[]}"#).unwrap();
        assert_eq!((haul.openpgp, haul.smime), (vec![vec![0x99]], vec![]));
        assert_eq!(haul.proof.as_deref(), Some(r#"{"a": 1}"#));
        assert_eq!(read(r#"{"address":"bob@b.example"}"#), Ok(Haul::default()));
    }

    #[test]
    fn an_answer_is_utf_8_throughout() {
        let bob = Subject::address("bob@b.example").unwrap();
        for (body, is_read) in [
            (&b"{\"address\":\"bob@b.example\",\"more\":\"b\xc3\xb6\"}"[..], true),
            (&b"{\"address\":\"bob@b.example\",\"more\":\"b\xf6\"}"[..], false),
        ] {
            assert_eq!(parse(body, &bob).is_ok(), is_read);
        }
    }

    #[test]
    fn answers_that_are_not_as_agreed_say_nothing() {
        let many = format!(r#"{{"address":"bob@b.example","smime":[{}""]}}"#, r#""","#.repeat(32));
        let deep = format!(r#"{{"address":"bob@b.example","proof":{}}}"#, "[".repeat(100_000));
        for json in [
            "",
            "{",
            "null",
            "[]",
            "{}",
            r#"{"address":"eve@b.example"}"#,
            r#"{"address":7}"#,
            r#"{"address":"bob@b.example","openpgp":["!"]}"#,
            r#"{"address":"bob@b.example","openpgp":"mQ=="}"#,
            r#"{"address":"bob@b.example <bob@b.example>"}"#,
            many.as_str(),
            deep.as_str(),
            "<html>",
        ] {
            assert!(read(json).is_err(), "{json:.80}");
        }
    }
}
