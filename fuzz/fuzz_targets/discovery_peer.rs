//! A partner's answer that is read is about the asked mailbox and within its limits.
#![no_main]

use std::collections::BTreeMap;

use keydir::Subject;
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;

fuzz_target!(|body: &[u8]| {
    let address = Subject::address("bob@b.example").unwrap();
    if let Ok(answer) = discovery::partners_answer(body, &address) {
        assert!(answer.openpgp.len() <= 32 && answer.smime.len() <= 32);
        // What else stands in it may be any JSON, also numbers and escapes that no type of Rust holds.
        let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).unwrap();
        let named: String = serde_json::from_str(fields["address"].get()).unwrap();
        assert!(named.eq_ignore_ascii_case("bob@b.example"));
    }
});
