//! Whatever comes over a socketmap connection is one request, is waited for, or ends the connection; and an answer made
//! of it is one netstring again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::netstring;
use relay::socketmap::Answer;
use relay::socketmap::Request;

const LIMIT: usize = 1000;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    while let Ok(Some((data, used))) = netstring::take(rest, LIMIT) {
        assert!(data.len() <= LIMIT && used <= rest.len());
        if let Some(Request { map, key }) = Request::parse(data) {
            assert_eq!(map.len() + 1 + key.len(), data.len());
            for answer in [Answer::Ok(key.to_owned()), Answer::temporary(key), Answer::permanent(map)] {
                let mut wire = Vec::new();
                answer.put(&mut wire);
                let (_, whole) = netstring::take(&wire, 100_000).unwrap().unwrap();
                assert_eq!(whole, wire.len());
            }
        }
        rest = &rest[used..];
    }
    if let Ok(None) = netstring::take(rest, LIMIT) {
        assert!(rest.len() <= LIMIT + 11);
    }
});
