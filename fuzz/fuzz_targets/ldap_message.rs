//! Whatever a stranger sends to the LDAP door: a message is measured before it is read, one that is read asks for at most
//! one exact address, and what asks for none matches nobody by accident.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidecar::ldap::ber::{INTEGER, Reader, SEQUENCE, element, message_length, number};
use sidecar::ldap::filter::Filter;
use sidecar::ldap::message::{Message, Request};

const MOST: usize = 16 << 10;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(length)) = message_length(bytes, MOST) {
        assert!(length <= MOST);
        if let Some(whole) = bytes.get(..length) {
            look(whole);
        }
    }
    // The same octets as a search, and as a filter alone.
    look(&element(SEQUENCE, &[number(INTEGER, 1), element(0x63, bytes)].concat()));
    if let Ok(filter) = Filter::read(&mut Reader::new(bytes)) {
        check(&filter);
    }
});

fn look(bytes: &[u8]) {
    if let Ok(message) = Message::parse(bytes) {
        assert!(message.id >= 0);
        if let Request::Search(search) = &message.request {
            assert!(search.attributes.len() <= 64);
            check(&search.filter);
        }
    }
}

fn check(filter: &Filter) {
    if let Some(address) = filter.address() {
        assert!(address.contains('@'));
        // Stable under case, as addresses are compared.
        assert_eq!(filter.matches(address), filter.matches(&address.to_ascii_uppercase()));
    }
}
