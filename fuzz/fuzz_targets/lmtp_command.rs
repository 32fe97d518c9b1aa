//! A command line that is understood carries nothing that could end a line towards the next host, and leads to a
//! domain or an address, never to a host or port of the sender's choice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relay::lmtp::Command;
use relay::next_hop::NextHop;
use relay::next_hop::Target;

fuzz_target!(|line: &[u8]| {
    let clean = |text: &str| assert!(!text.chars().any(char::is_control), "{text:?}");
    match relay::lmtp::parse(line) {
        Ok(Command::Mail { envelope, .. }) => {
            clean(&envelope.reverse_path);
            envelope.envid.iter().chain(&envelope.ret).for_each(|text| clean(text));
        }
        Ok(Command::Rcpt { recipient, domain }) => {
            clean(&recipient.address);
            recipient.notify.iter().chain(&recipient.orcpt).for_each(|text| clean(text));
            if let Ok(next_hop) = NextHop::parse(&domain) {
                assert_eq!(next_hop.port, 25);
                assert!(!matches!(next_hop.target, Target::Host(_)));
            }
        }
        Ok(_) => {}
        Err(reply) => {
            assert!(reply.code >= 500);
            clean(&reply.text);
        }
    }
});
