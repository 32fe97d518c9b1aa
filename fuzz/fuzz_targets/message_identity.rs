//! Reading and writing any bytes gives the same bytes, in memory and through a temporary file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::Message;
use mail::Spill;

fuzz_target!(|bytes: &[u8]| {
    let parsed = Message::parse(bytes);
    assert_eq!(parsed.to_vec().unwrap(), bytes);
    let spill = Spill { limit: 16, ..Spill::default() };
    let read = Message::read(&mut &bytes[..], &spill).unwrap();
    assert_eq!(read.to_vec().unwrap(), bytes);
    assert_eq!(read.header().as_bytes(), parsed.header().as_bytes());
    for field in parsed.header().fields() {
        let _ = (field.name(), field.raw_value(), field.unfolded(), field.text());
    }
    let _ = (parsed.from(), parsed.sender(), parsed.to_and_cc(), parsed.message_id(), parsed.subject());
});
