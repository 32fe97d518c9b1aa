//! Any opened message to the submission address is a key, an answer, or refused; the same in memory and in a file. An
//! answer's nonce is letters and digits, and what was read reads back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::Message;
use mail::Spill;
use milter::wks::letter::Letter;
use milter::wks::letter::Response;

fuzz_target!(|bytes: &[u8]| {
    let spill = Spill { limit: 0, ..Spill::default() };
    let memory = Letter::read(&Message::parse(bytes), &Spill::default());
    let file = Letter::read(&Message::read(&mut &bytes[..], &spill).unwrap(), &spill);
    assert_eq!(memory.as_ref().ok(), file.as_ref().ok());
    match memory {
        Ok(Letter::Key(key)) => assert!(key.len() <= bytes.len()),
        Ok(Letter::Response(response)) => check(&response),
        Err(_) => {}
    }
    if let Ok(response) = Response::read(bytes) {
        check(&response);
    }
});

fn check(response: &Response) {
    let Response { address, nonce } = response;
    assert!((16..=64).contains(&nonce.len()) && nonce.bytes().all(|b| b.is_ascii_alphanumeric()));
    assert!(!address.is_empty() && !address.contains('\n'));
    let text = format!("type: confirmation-response\r\naddress: {address}\r\nnonce: {nonce}\r\n");
    assert_eq!(Response::read(text.as_bytes()).as_ref(), Ok(response));
}
