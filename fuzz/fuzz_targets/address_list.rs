//! Any value is read; every address that is found is shown in a form that reads back as the same address.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::Address;

fuzz_target!(|value: &[u8]| {
    for mailbox in mail::parse_list(value).mailboxes {
        let shown = mailbox.address.to_string();
        assert_eq!(Address::parse(&shown), Ok(mailbox.address.clone()));
        assert_eq!(Address::parse_path(&format!("<{shown}>")), Ok(Some(mailbox.address)));
    }
});
