//! Whatever a stranger asks the key directory is an exact question with clean parts, or no question; and what is found in
//! a submitted form is part of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidecar::hkp::Lookup;
use sidecar::hkp::Search;
use sidecar::hkp::submission::Form;
use sidecar::hkp::submission::keytext;
use sidecar::wkd::Asked;
use sidecar::wkd::PREFIX;
use sidecar::wkd::What;

fuzz_target!(|input: (String, Option<String>, Option<Vec<u8>>, String, Vec<u8>)| {
    let (path, query, host, boundary, body) = input;
    for path in [path.clone(), format!("{PREFIX}{path}")] {
        if let Some(asked) = Asked::parse(&path, query.as_deref(), host.as_deref()) {
            let clean = |c: char| !c.is_control() && !c.is_whitespace() && !"/\\%:@?#".contains(c);
            assert!(!asked.domain.is_empty() && asked.domain.chars().all(clean));
            assert!(!asked.domain.contains(".."));
            if let What::Key { hash, .. } = &asked.what {
                assert_eq!(hash.len(), 32);
                // The same question by the direct method.
                let direct = Asked::parse(&format!("{PREFIX}hu/{hash}"), query.as_deref(), Some(asked.domain.as_bytes()));
                assert_eq!(direct.as_ref(), Some(&asked));
            }
        }
    }
    let query = query.unwrap_or_default();
    for query in [query.clone(), format!("op=get&search={query}"), format!("op=index&search={query}")] {
        if let Ok(Lookup { search, .. }) = Lookup::parse(&query) {
            check(&search);
            let again = match &search {
                Search::Handle(digits) => Search::handle(digits),
                Search::Mailbox(address) => Search::mailbox(address),
            };
            assert_eq!(again, Ok(search));
        }
    }
    if let Some(text) = keytext(&Form::Multipart(boundary), &body) {
        assert!(body.windows(text.len().max(1)).any(|part| part.starts_with(&text)));
    }
    if let Some(text) = keytext(&Form::UrlEncoded, &body) {
        assert!(text.len() <= body.len());
    }
});

fn check(search: &Search) {
    match search {
        Search::Handle(digits) => {
            assert!([16, 40, 64].contains(&digits.len()));
            assert!(digits.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)));
        }
        Search::Mailbox(address) => {
            assert_eq!(address.matches('@').count(), 1);
            assert!(!address.starts_with('@') && !address.ends_with('@'));
            assert!(!address.chars().any(|c| c.is_control() || c.is_whitespace()));
        }
    }
}
