//! A partner's answer that is read is about the asked mailbox and within its limits.
#![no_main]

use keydir::Subject;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let address = Subject::address("bob@b.example").unwrap();
    if let Ok(answer) = discovery::partners_answer(body, &address) {
        assert!(answer.openpgp.len() <= 32 && answer.smime.len() <= 32);
        let text: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert!(text["address"].as_str().unwrap().eq_ignore_ascii_case("bob@b.example"));
    }
});
