//! Whatever a TXT answer holds, a destination comes only from one record that begins with `v=TLSRPTv1;`, can be
//! written down and read again, and has nothing that would break a header field or a request line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::tlsrpt::Rua;
use relay::tlsrpt::record;

fuzz_target!(|records: Vec<&str>| {
    if let Ok(Some(destinations)) = record::discover(records.iter().copied()) {
        assert_eq!(records.iter().filter(|record| record.starts_with("v=TLSRPTv1;")).count(), 1);
        assert!((1..=record::RUA_MAX).contains(&destinations.len()));
        for destination in destinations {
            let text = destination.to_string();
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
            assert_eq!(Rua::parse(&text), Some(destination));
        }
    }
});
