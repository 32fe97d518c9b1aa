//! A next-hop that is read has one text, which reads back as the same next-hop.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::next_hop::NextHop;

fuzz_target!(|text: &str| {
    if let Ok(next_hop) = NextHop::parse(text) {
        assert_eq!(NextHop::parse(&next_hop.to_string()), Ok(next_hop));
    }
});
