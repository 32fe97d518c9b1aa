//! Any octets are read as a report, as a message with one and as a datagram of Postfix, within bounded memory; a
//! report that is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::Message;
use relay::tlsrpt::intake;
use relay::tlsrpt::postfix;

fuzz_target!(|octets: &[u8]| {
    let _ = postfix::parse(octets);
    let _ = intake::from_message(&Message::parse(octets));
    if let Ok(report) = intake::from_bytes(octets) {
        let written = serde_json::to_vec(&report).expect("a report is writable");
        assert_eq!(intake::from_bytes(&written).expect("what we write we read"), report);
    }
});
