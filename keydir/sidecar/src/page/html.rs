//! The pages as a whole.

use std::fmt::{self, Write as _};

use keydir::Mailbox;

use crate::log::PROOF;
use crate::percent;

use super::certificate::{date, row, section};
use super::evidence::Evidence;
use super::words::Words;

/// Text in HTML: nothing in it is markup, or changes the direction of what is around it.
pub(super) struct Escaped<'t>(pub(super) &'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ if c.is_control() || is_invisible(c) => f.write_char('\u{fffd}')?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Marks that turn or hide text (UAX #9, and what has no width).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The form alone; with what was no address, if that is why.
pub(super) fn form_page(words: &Words, wrong: Option<&str>) -> String {
    let form = form(words, wrong.unwrap_or_default(), wrong.is_some());
    frame(words, words.title, &form)
}

/// The publication cannot be read.
pub(super) fn trouble_page(words: &Words, address: &str) -> String {
    let body =
        format!("{}<p class=\"bad\" role=\"alert\">{}</p>\n", form(words, address, false), words.trouble);
    frame(words, words.title, &body)
}

/// What there is for an address.
pub(super) fn result_page(
    words: &Words,
    address: &str,
    found: Option<&Mailbox>,
    evidence: &Evidence,
    now: i64,
) -> String {
    let shown = Escaped(address);
    let mut body = form(words, address, false);
    let _ = writeln!(body, "<section aria-live=\"polite\">\n<h2>{} <bdi>{shown}</bdi></h2>", words.results);
    match found {
        Some(found) => {
            if found.address.starts_with('@') {
                let _ = writeln!(body, "<p>{}</p>", words.domain_key);
            }
            for published in found.openpgp.iter().chain(&found.smime) {
                body.push_str(&section(words, address, published, now));
            }
        }
        None => {
            let _ = writeln!(body, "<p><strong>{}</strong> {}</p>", words.nothing, words.nothing_more);
        }
    }
    body.push_str(&log(words, address, found.is_some(), evidence));
    if found.is_some() {
        let _ = writeln!(body, "<p>{}</p>", words.compare);
    }
    body.push_str("</section>\n");
    frame(words, &format!("{address} – {}", words.title), &body)
}

fn log(words: &Words, address: &str, is_there: bool, evidence: &Evidence) -> String {
    let mut text = format!("<article>\n<h3>{}</h3>\n", words.log);
    let (class, said) = match evidence {
        Evidence::Holds { .. } if is_there => ("good", words.log_verified),
        Evidence::Holds { .. } => ("good", words.log_absent),
        Evidence::Contradicts => ("bad", words.log_unverified),
        Evidence::NoLog => ("fair", words.log_none),
        Evidence::Unknown => ("fair", words.log_unknown),
    };
    let _ = writeln!(text, "<p class=\"{class}\">{said}</p>");
    if let Evidence::Holds { origin, size, sequence, time } = evidence {
        text.push_str("<dl>\n");
        row(&mut text, words.log_name, &Escaped(origin).to_string());
        row(&mut text, words.log_size, &size.to_string());
        if is_there {
            row(&mut text, words.log_sequence, &sequence.to_string());
        }
        row(&mut text, words.log_time, &date(i64::try_from(*time).unwrap_or(i64::MAX)));
        let _ = writeln!(text, "</dl>\n<p>{}</p>", words.log_checked_by);
        let to = format!("{PROOF}?address={}", percent::encode(address));
        let _ = writeln!(
            text,
            "<p><a class=\"button\" href=\"{to}\" download=\"proof.gkl\">{}</a></p>",
            words.log_proof
        );
    }
    text.push_str("</article>\n");
    text
}

fn form(words: &Words, value: &str, is_wrong: bool) -> String {
    let Words { label, hint, look_up, about, no_address, .. } = words;
    let value = Escaped(value);
    let (invalid, error) = match is_wrong {
        true => (
            " aria-invalid=\"true\"",
            format!("<p class=\"bad\" id=\"error\" role=\"alert\">{no_address}</p>\n"),
        ),
        false => ("", String::new()),
    };
    let described = if is_wrong { "hint error" } else { "hint" };
    format!(
        "<p>{about}</p>\n<form method=\"get\" action=\"/\" role=\"search\">\n<label for=\"address\">{label}</label>\n\
         <div class=\"line\"><input id=\"address\" name=\"address\" type=\"text\" inputmode=\"email\" autocomplete=\"email\" \
         autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"320\" required aria-describedby=\"{described}\"{invalid} \
         value=\"{value}\">\n<button type=\"submit\">{look_up}</button></div>\n<p class=\"hint\" id=\"hint\">{hint}</p>\n\
         {error}</form>\n"
    )
}

fn frame(words: &Words, title: &str, body: &str) -> String {
    let (language, heading, title) = (words.language, words.title, Escaped(title));
    format!(
        "<!doctype html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n<body>\n\
         <header><h1><a href=\"/\">{heading}</a></h1></header>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use keydir::Published;

    const HOSTILE: &str = "Eve\"'><script>alert(1)</script>&\u{202e}\0<eve@a.example>";

    fn mailbox() -> Mailbox {
        let published = crate::fixtures::published(HOSTILE);
        let published = Published { valid_until: None, ..published };
        Mailbox {
            address: "eve@a.example".to_owned(),
            openpgp: vec![published],
            smime: Vec::new(),
            label_proof: None,
        }
    }

    #[test]
    fn nothing_that_strangers_wrote_becomes_markup() {
        let words = Words::accepted(None);
        let found = mailbox();
        for page in [
            result_page(words, HOSTILE, Some(&found), &Evidence::NoLog, 1_800_000_000),
            result_page(words, HOSTILE, None, &Evidence::Contradicts, 1_800_000_000),
            form_page(words, Some(HOSTILE)),
            trouble_page(words, HOSTILE),
        ] {
            assert!(!page.contains("<script") && !page.contains("\"'>") && !page.contains('\0'), "{page}");
            assert!(!page.contains('\u{202e}'), "{page}");
        }
    }

    #[test]
    fn state_is_said_in_words_and_a_revoked_key_has_no_code_to_scan() {
        let words = Words::accepted(Some("de"));
        let now = 1_800_000_000;
        let mut found = mailbox();
        let page = result_page(words, "eve@a.example", Some(&found), &Evidence::NoLog, now);
        for part in ["D1A6 6E1A 23B1", words.usable, "<svg", "lang=\"de\"", "2023-11-14", words.for_ever] {
            assert!(page.contains(part), "{part}: {page}");
        }
        found.openpgp[0].revoked = true;
        let page = result_page(words, "eve@a.example", Some(&found), &Evidence::NoLog, now);
        assert!(page.contains(words.revoked) && !page.contains("<svg"), "{page}");
    }
}
