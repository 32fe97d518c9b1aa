//! Armor gives an error or bytes within the limit, and what we armor we read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealing::openpgp::armor::Kind;
use sealing::openpgp::armor::armor;
use sealing::openpgp::armor::dearmor;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((_, plain)) = dearmor(bytes, 10_000) {
        assert!(plain.len() <= 10_000);
    }
    let text = armor(bytes, Kind::Signature).unwrap();
    assert_eq!(dearmor(&text, u64::MAX).unwrap(), (Kind::Signature, bytes.to_vec()));
});
