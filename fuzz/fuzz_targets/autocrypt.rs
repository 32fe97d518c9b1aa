//! Whatever stands in an `Autocrypt` field, what is read of it can be written and is read again as the same; and no field
//! names nobody or holds nothing.
#![no_main]

use keydir::{Autocrypt, Subject};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(field) = Autocrypt::parse(text) else { return };
    assert!(Subject::address(&field.address).is_some() && !field.keydata.is_empty());
    let written = field.to_value().replace("\r\n", "");
    // Folding makes it a little longer than what was just short enough.
    if written.len() <= 10 * 1024 {
        assert_eq!(Autocrypt::parse(&written), Some(field.clone()));
    }
    let _ = field.certificate();
});
