//! Whatever a client sends as content, in whatever pieces, the letter has no CR or LF outside a line end, ends with
//! one, and is the same however it came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::Spill;
use relay::delivery::LetterWriter;

fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let write = |pieces: &[Vec<u8>]| {
        let mut writer = LetterWriter::new(&Spill::default());
        for piece in pieces {
            writer.write(piece).expect("memory takes it");
        }
        writer.finish().expect("memory takes it")
    };
    let letter = write(&pieces);
    let whole = write(&[pieces.concat()]);
    let bytes = letter.body().to_vec().expect("memory gives it");
    assert_eq!(bytes, whole.body().to_vec().expect("memory gives it"));
    assert_eq!(letter.waives_tls(), whole.waives_tls());
    assert_eq!(letter.is_eight_bit(), !bytes.is_ascii());
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(bytes.get(at + 1), Some(&b'\n')),
            b'\n' => assert!(at > 0 && bytes[at - 1] == b'\r'),
            _ => {}
        }
    }
    assert!(bytes.is_empty() || bytes.ends_with(b"\r\n"));
});
