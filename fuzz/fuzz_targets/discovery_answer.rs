//! Whatever a directory or key server sends, certificates come out only if they name the asked mailbox; what comes out
//! is read again as the same, and nothing vouches for it but what is known.
#![no_main]

use std::sync::Arc;

use keydir::Subject;
use libfuzzer_sys::fuzz_target;

const NOW: i64 = 1_782_864_000;

fuzz_target!(|input: (&[u8], Vec<&[u8]>)| {
    let (answer, known) = input;
    let address = Subject::address("bob@b.example").unwrap();
    let known: Vec<Arc<[u8]>> = known.into_iter().take(4).map(Arc::from).collect();
    if let Ok(screening) = keydir::screen_openpgp(answer, &address, &known, NOW) {
        for offered in &screening.usable {
            let again = keydir::screen_openpgp(&offered.bytes, &address, &[], NOW).unwrap();
            assert_eq!(again.usable.len(), 1);
            assert_eq!(again.usable[0].fingerprint, offered.fingerprint);
            assert!(offered.succeeds.len() <= known.len());
        }
    }
    let screening = keydir::screen_smime(&[answer.to_vec()], "bob@b.example", &known, &|_, _| true, NOW);
    assert!(screening.usable.len() <= 1);
});
