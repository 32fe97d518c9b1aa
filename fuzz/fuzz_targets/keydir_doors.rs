//! Whatever a stranger asks the other doors of the key directory: names of files never lead out of their directory, an
//! OCSP request in a path is what was encoded, and an address is one whole address.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidecar::authority::{AuthorityFile, ocsp_in_path};
use sidecar::log::{LogFile, asked};
use sidecar::page::Wanted;
use sidecar::percent;

fuzz_target!(|input: (String, Option<String>)| {
    let (path, query) = input;
    for path in [path.clone(), format!("/log/{path}"), format!("/log/tile/{path}")] {
        if let Some(LogFile::Tile(tile)) = LogFile::parse(&path) {
            assert_eq!(format!("/log/{tile}"), path);
            assert!(!path.contains("..") && !path.contains("//") && !path.contains('\\'));
        }
    }
    for path in [path.clone(), format!("/ca/{path}.crl")] {
        if AuthorityFile::parse(&path).is_some() {
            let name = path.strip_prefix("/ca/").unwrap_or_default();
            assert!(!name.contains('/') && !name.contains("..") && !name.starts_with('.') && name.is_ascii());
        }
    }
    if let Some(request) = ocsp_in_path(&format!("/ocsp/{path}")) {
        assert!(!request.is_empty() && request.len() <= path.len());
    }
    for query in [query.clone(), query.map(|query| format!("address={query}"))] {
        let address = asked(query.as_deref());
        if let Some(address) = &address {
            assert_eq!(address.matches('@').count(), 1);
            assert!(!address.chars().any(|c| c.is_control() || c.is_whitespace() || c == '<' || c == '>'));
            let again = format!("address={}", percent::encode(address));
            assert_eq!(asked(Some(&again)).as_ref(), Some(address));
            assert_eq!(Wanted::parse(Some(&again)), Wanted::Address(address.clone()));
        }
        if let Wanted::Nonsense(text) = Wanted::parse(query.as_deref()) {
            assert!(text.chars().count() <= 200);
        }
    }
});
