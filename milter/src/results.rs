//! Our own result fields: forged ones out, true ones in.
//!
//! `Authentication-Results` (RFC 8601) carries `smime=` (RFC 7281) and `openpgp=` for signatures. For
//! OpenPGP no method is registered; it is marked as local use by our authserv-id. `X-Gatepost-Result` tells what
//! was decrypted, so that a reader can tell mail sealed by a gateway from end-to-end mail.

use mail::{Edit, HeaderSection, Limits, Message};
use policy::{KeyChoice, LayerFacts, LayerKind, LayerState, Scheme};

use crate::token;

/// Field that tells what the gateway opened.
pub const RESULT_FIELD: &str = "X-Gatepost-Result";

/// Edits that remove result fields somebody else wrote in our name (RFC 8601 section 5).
pub fn forged(message: &Message, authserv_id: &str, originating: bool) -> Vec<Edit> {
    let claims_to_be_us = |index: usize| {
        message.header().get(index).is_some_and(|field| {
            field.is(RESULT_FIELD)
                || field.is(token::FIELD)
                || (!originating
                    && field.is("Authentication-Results")
                    && authserv_id_of(&field.unfolded()).eq_ignore_ascii_case(authserv_id))
        })
    };
    (0..message.header().count())
        .filter(|index| claims_to_be_us(*index))
        .map(|index| Edit::RemoveField { index })
        .collect()
}

/// Whether a result field says that the message was decrypted here. Only our own fields are left
/// once a message has passed [`forged`].
pub fn tell_of_decryption(message: &Message) -> bool {
    header_tells(message.header())
}

/// Whether a message that was decrypted here is anywhere inside, as in a bounce. What cannot be walked
/// may hold one.
pub fn return_decrypted(message: &Message) -> bool {
    match message.entity().walk(&Limits::default()) {
        Ok(entities) => entities.iter().any(|entity| header_tells(entity.header())),
        Err(_) => true,
    }
}

fn header_tells(header: &HeaderSection) -> bool {
    let says_so = |value: Vec<u8>| String::from_utf8_lossy(&value).contains("decrypted=");
    header.find_all(RESULT_FIELD).any(|(_, field)| says_so(field.unfolded()))
}

/// Edits that remove every token field.
pub fn token_removal(message: &Message) -> Vec<Edit> {
    message.header().find_all(token::FIELD).map(|(index, _)| Edit::RemoveField { index }).collect()
}

/// The authserv-id: the first token or quoted-string of the value, comments aside (RFC 8601 section 2.2). A comment ends
/// it, too, and a backslash hides nothing from those who read the field after us.
fn authserv_id_of(value: &[u8]) -> String {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut id = String::new();
    for c in String::from_utf8_lossy(value).chars() {
        let literal = std::mem::take(&mut escaped);
        match c {
            '\\' if !literal && (quoted || depth > 0) => escaped = true,
            '"' if !literal && depth == 0 => quoted = !quoted,
            '(' if !literal && !quoted && id.is_empty() => depth += 1,
            ')' if !literal && depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            ';' | '(' if !quoted => break,
            c if c.is_whitespace() && !quoted && id.is_empty() => {}
            c if c.is_whitespace() && !quoted => break,
            // What nobody sees is no part of a name.
            c if c.is_ascii_graphic() => id.push(c),
            _ => {}
        }
    }
    // A host name with its root.
    id.strip_suffix('.').map(str::to_owned).unwrap_or(id)
}

/// Edits that put our results on top of the header section.
pub fn add(layers: &[LayerFacts], authserv_id: &str, from: &[String]) -> Vec<Edit> {
    let signatures: Vec<String> =
        layers.iter().filter_map(|layer| signature_result(layer, from.first())).collect();
    let mut edits = Vec::new();
    if !signatures.is_empty() {
        let value = format!(" {authserv_id};\r\n\t{}", signatures.join(";\r\n\t"));
        edits.push(insert("Authentication-Results", value));
    }
    let decrypted: Vec<String> = layers.iter().filter_map(decryption_result).collect();
    if !decrypted.is_empty() {
        edits.push(insert(RESULT_FIELD, format!(" {}", decrypted.join("; "))));
    }
    edits
}

fn signature_result(layer: &LayerFacts, from: Option<&String>) -> Option<String> {
    if layer.kind != LayerKind::Signed {
        return None;
    }
    // What was not checked is "neutral"; only a signature by the author of the message passes.
    let (result, reason) = match layer.state {
        LayerState::Valid => ("pass", None),
        LayerState::Invalid | LayerState::Damaged => ("fail", layer.why.as_deref()),
        // It passed the tests and is not acceptable (RFC 7281 section 3.1).
        LayerState::WrongSigner => ("policy", Some("the signer is not the author")),
        LayerState::Part => ("policy", Some("only a part of the message is signed")),
        LayerState::List => ("policy", Some("the signer is a mailing list")),
        LayerState::UnknownSigner => ("neutral", Some("the signer is unknown")),
        LayerState::Unsupported => ("neutral", Some("not supported")),
        LayerState::NoKey | LayerState::Opened => return None,
    };
    let method = scheme_in_words(layer.scheme);
    let mut text = format!("{method}={result}");
    if let Some(reason) = reason {
        text.push_str(&format!(" reason=\"{}\"", quoted(&in_ascii(reason))));
    }
    if layer.state == LayerState::Valid {
        let property = match layer.scheme {
            // RFC 7281 section 3.2.2.
            Scheme::Smime => "body.smime-identifier",
            Scheme::Openpgp => "header.from",
        };
        if let Some(from) = from {
            text.push_str(&format!(" {property}={}", pvalue(from)));
        }
        if let Some(signer) = &layer.signer {
            text.push_str(&match layer.scheme {
                Scheme::Smime => format!("\r\n\t (certificate {})", commented(signer)),
                Scheme::Openpgp => format!("\r\n\t openpgp.signer={}", pvalue(signer)),
            });
        }
    }
    if let Some(part) = layer.part.as_ref().filter(|_| layer.scheme == Scheme::Smime) {
        text.push_str(&format!("\r\n\t body.smime-part={}", pvalue(part)));
    }
    Some(text)
}

fn decryption_result(layer: &LayerFacts) -> Option<String> {
    match (layer.kind, layer.state) {
        (LayerKind::Encrypted, LayerState::Opened) if layer.malleable => {
            Some(format!("decrypted={} (not protected against changes)", scheme_in_words(layer.scheme)))
        }
        (LayerKind::Encrypted, LayerState::Opened) => {
            Some(format!("decrypted={}", scheme_in_words(layer.scheme)))
        }
        (LayerKind::Encrypted, LayerState::Damaged) => {
            Some(format!("undecryptable={}", scheme_in_words(layer.scheme)))
        }
        _ => None,
    }
}

/// The edit that tells everybody who else can read a message that we encrypt.
pub fn tell_who_reads_along(keys: &[KeyChoice]) -> Option<Edit> {
    let keys: Vec<String> =
        keys.iter().map(|key| format!("additional-decryption-key={}", pvalue(&key.fingerprint))).collect();
    (!keys.is_empty()).then(|| insert(RESULT_FIELD, format!(" {}", keys.join(";\r\n\t"))))
}

/// The edit that tells which header fields are not as the sender protected them (RFC 9788).
pub fn tell_of_mismatches(names: &[String]) -> Option<Edit> {
    let names = names.join(",").to_lowercase();
    (!names.is_empty()).then(|| insert(RESULT_FIELD, format!(" header-mismatch={names}")))
}

fn scheme_in_words(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Openpgp => "openpgp",
        Scheme::Smime => "smime",
    }
}

/// Inside a comment: nothing that could end it.
fn commented(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || ".-_@:".contains(*c)).collect()
}

fn insert(name: &str, value: String) -> Edit {
    Edit::InsertField { index: 0, name: name.to_owned(), value: value.into_bytes() }
}

/// Inside a quoted-string: no quotes, no backslashes, no control characters.
fn quoted(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '"' || c == '\\' { ' ' } else { c }).collect()
}

/// What stands in every header section, whatever the road carries; not longer than a line.
fn in_ascii(text: &str) -> String {
    text.chars().take(400).map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

/// A value as token or address, or quoted when it is neither (RFC 8601 section 2.2).
fn pvalue(text: &str) -> String {
    let special = if text.contains('@') { "@=/?" } else { "" };
    let is_token =
        |c: char| c.is_ascii_alphanumeric() || ".-_+!#$%&'*^`{|}~".contains(c) || special.contains(c);
    if !text.is_empty() && text.chars().all(is_token) {
        text.to_owned()
    } else {
        format!("\"{}\"", quoted(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Spill, apply};

    fn layer(kind: LayerKind, state: LayerState) -> LayerFacts {
        LayerFacts {
            scheme: Scheme::Openpgp,
            kind,
            state,
            signer: Some("AB12".to_owned()),
            why: None,
            malleable: false,
            attached: false,
            part: None,
        }
    }

    fn with(message: &Message, edits: &[Edit]) -> String {
        String::from_utf8(apply(message, edits, &Spill::default()).unwrap().to_vec().unwrap()).unwrap()
    }

    #[test]
    fn forged_results_in_our_name_are_removed_and_others_stay() {
        let message = Message::parse(
            b"Authentication-Results: mx.beta.example; openpgp=pass\r\n\
              Authentication-Results: (x;) MX.Beta.example 1;\r\n\tdkim=pass\r\n\
              Authentication-Results: mx.other.example; dkim=pass\r\n\
              X-Gatepost-Result: decrypted=openpgp\r\n\
              Subject: x\r\n\r\n",
        );
        let text = with(&message, &forged(&message, "mx.beta.example", false));
        assert_eq!(text, "Authentication-Results: mx.other.example; dkim=pass\r\nSubject: x\r\n\r\n");
    }

    #[test]
    fn no_way_to_write_our_name_gets_past() {
        for value in [
            "mx.beta.example; x=y",
            " \t mx.beta.example\t1 ; x=y",
            "\"mx.beta.example\"; x=y",
            "\"mx\\.beta.ex\\ample\" ; x=y",
            "mx.beta.example(a comment)1; x=y",
            "(a (nested) comment) (another)MX.beta.example; x=y",
            "(\\() mx.beta.example; x=y",
            "(\\)) mx.beta.example; x=y",
            "(\";) mx.beta.example; x=y",
            "(\\\\) mx.beta.example; x=y",
            "mx.beta.example.; x=y",
            "mx.beta.example",
            "mx.beta.example\0; x=y",
            "\u{feff}mx.beta\u{200b}.example; x=y",
        ] {
            assert!(authserv_id_of(value.as_bytes()).eq_ignore_ascii_case("mx.beta.example"), "{value}");
        }
        for value in
            ["(mx.beta.example) other; x=y", "xmx.beta.example; x=y", "other mx.beta.example; x=y", "", ";"]
        {
            assert!(!authserv_id_of(value.as_bytes()).eq_ignore_ascii_case("mx.beta.example"), "{value}");
        }
    }

    #[test]
    fn only_a_valid_signature_of_the_author_passes() {
        for (state, expected) in [
            (LayerState::Valid, "openpgp=pass header.from=a@alpha.example"),
            (LayerState::Invalid, "openpgp=fail"),
            (LayerState::WrongSigner, "openpgp=policy reason=\"the signer is not the author\""),
            (LayerState::Part, "openpgp=policy reason=\"only a part of the message is signed\""),
            (LayerState::List, "openpgp=policy reason=\"the signer is a mailing list\""),
            (LayerState::UnknownSigner, "openpgp=neutral"),
        ] {
            let message = Message::parse(b"Subject: x\r\n\r\n");
            let layers = [layer(LayerKind::Signed, state)];
            let text = with(&message, &add(&layers, "mx.beta.example", &["a@alpha.example".to_owned()]));
            assert!(text.starts_with("Authentication-Results: mx.beta.example;\r\n\t"), "{text}");
            assert!(text.contains(expected), "{text}");
            assert_eq!(text.contains("pass"), state == LayerState::Valid);
        }
    }

    #[test]
    fn an_smime_result_names_the_part_that_holds_the_signature() {
        for (state, part, expected) in [
            (LayerState::Valid, "2", "(certificate AB12)\r\n\t body.smime-part=2"),
            (LayerState::Invalid, "1/2", "smime=fail\r\n\t body.smime-part=\"1/2\"\r\n"),
            (LayerState::WrongSigner, "1.2", "not the author\"\r\n\t body.smime-part=1.2\r\n"),
        ] {
            let part = Some(part.to_owned());
            let layer = LayerFacts { scheme: Scheme::Smime, part, ..layer(LayerKind::Signed, state) };
            let message = Message::parse(b"Subject: x\r\n\r\n");
            let text = with(&message, &add(&[layer], "mx", &["a@alpha.example".to_owned()]));
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_bounce_tells_whether_it_returns_what_was_decrypted() {
        let bounce = |kind: &str, field: &str| {
            let text = format!(
                "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nsorry\r\n--b\r\n\
                 Content-Type: {kind}\r\n\r\n{field}\r\nSubject: x\r\n\r\nsecret\r\n--b--\r\n"
            );
            Message::parse(text.as_bytes())
        };
        assert!(return_decrypted(&bounce("message/rfc822", "X-Gatepost-Result: decrypted=openpgp")));
        assert!(!return_decrypted(&bounce("message/rfc822", "X-Gatepost-Result: undecryptable=openpgp")));
        assert!(!return_decrypted(&bounce("text/rfc822-headers", "X-Gatepost-Result: decrypted=openpgp")));
    }

    #[test]
    fn a_layer_we_hold_no_key_for_claims_nothing() {
        assert!(add(&[layer(LayerKind::Encrypted, LayerState::NoKey)], "mx", &[]).is_empty());
    }
}
