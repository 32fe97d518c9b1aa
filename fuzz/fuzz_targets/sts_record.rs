//! Whatever a TXT answer holds, an id comes only from one record that begins with `v=STSv1;`, and has its form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::sts::record;

fuzz_target!(|records: Vec<&str>| {
    if let Ok(Some(id)) = record::discover(records.iter().copied()) {
        assert!((1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(records.iter().filter(|record| record.starts_with("v=STSv1;")).count(), 1);
    }
});
