//! CompressedData (RFC 3274). Debian's openssl is built without zlib: python3 makes the messages.

use std::process::Command;

use mail::Spill;
use sealing::Limits;
use sealing::cms::ContentKind;
use sealing::cms::DecompressError;
use sealing::cms::Decompressed;
use sealing::cms::decompress;

use crate::world::run;

/// Prints, in hexadecimal, a CompressedData of `size` octets `x`.
const MAKE: &str = r#"
import sys, zlib
def tlv(tag, body):
    n = len(body)
    size = bytes([n]) if n < 128 else bytes([0x84]) + n.to_bytes(4, "big")
    return bytes([tag]) + size + body
oid = lambda text: tlv(6, bytes.fromhex(text))
content = eval(sys.argv[1])
packed = zlib.compress(content)
encapsulated = tlv(0x30, oid("2a864886f70d010701") + tlv(0xa0, tlv(4, packed)))
algorithm = tlv(0x30, oid(sys.argv[2]))
data = tlv(0x30, tlv(2, b"\0") + algorithm + encapsulated)
print(tlv(0x30, oid("2a864886f70d0109100109") + tlv(0xa0, data)).hex())
"#;

const ZLIB: &str = "2a864886f70d0109100308";

fn make(content: &str, algorithm: &str) -> Vec<u8> {
    let hex = run(Command::new("python3").args(["-c", MAKE, content, algorithm])).unwrap();
    let digits: Vec<u8> =
        hex.iter().filter_map(|digit| char::from(*digit).to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn open(message: &[u8], limits: &Limits) -> Result<Decompressed, DecompressError> {
    decompress(&mut { message }, &Spill::default(), limits)
}

#[test]
fn zlib_of_somebody_else_is_read() {
    let content = "b''.join(b'%d line\\r\\n' % n for n in range(50000))";
    let opened = open(&make(content, ZLIB), &Limits::default()).unwrap();
    let expected: Vec<u8> = (0..50000).flat_map(|n| format!("{n} line\r\n").into_bytes()).collect();
    assert_eq!(opened.content.to_vec().unwrap(), expected);
    assert_eq!(opened.inner, ContentKind::Data);
    assert_eq!(open(&make("b''", ZLIB), &Limits::default()).unwrap().content.len(), 0);
}

#[test]
fn openssl_agrees_that_this_is_compressed_data() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), make("b'text'", ZLIB)).unwrap();
    let printed = run(Command::new("openssl")
        .args(["cms", "-cmsout", "-print", "-inform", "DER", "-in"])
        .arg(file.path()));
    let printed = String::from_utf8(printed.unwrap()).unwrap();
    assert!(
        printed.contains("id-smime-ct-compressedData") && printed.contains("zlib compression"),
        "{printed}"
    );
}

#[test]
fn bombs_are_stopped_by_size_and_by_ratio() {
    let bomb = make("b'x' * (64 << 20)", ZLIB);
    assert!(bomb.len() < 100_000);
    assert!(matches!(open(&bomb, &Limits::default()), Err(DecompressError::TooLarge(_))));
    let limits = Limits { opened_bytes: 1 << 20, ratio: u64::MAX, ..Limits::default() };
    assert!(matches!(open(&bomb, &limits), Err(DecompressError::TooLarge(_))));
    let limits = Limits { ratio: 2000, ..Limits::default() };
    assert_eq!(open(&bomb, &limits).unwrap().content.len(), 64 << 20);
}

#[test]
fn what_is_cut_or_changed_is_not_given_out() {
    let message = make("b''.join(b'%d line\\r\\n' % n for n in range(50))", ZLIB);
    let limits = Limits::default();
    let whole = open(&message, &limits).unwrap().content.to_vec().unwrap();
    for end in 0..message.len() {
        assert!(matches!(open(&message[..end], &limits), Err(DecompressError::Damaged(_))), "{end}");
    }
    for place in 0..message.len() * 8 {
        let mut flipped = message.clone();
        flipped[place / 8] ^= 1 << (place % 8);
        match open(&flipped, &limits) {
            // Zlib has a checksum, and a header with bits that mean nothing here.
            Ok(opened) => assert_eq!(opened.content.to_vec().unwrap(), whole, "bit {place}"),
            Err(DecompressError::Io(error)) => panic!("bit {place}: {error}"),
            Err(_) => (),
        }
    }
}

#[test]
fn other_algorithms_and_other_objects_are_not_supported() {
    let other = make("b'text'", "2a864886f70d0109100309");
    assert!(matches!(open(&other, &Limits::default()), Err(DecompressError::Unsupported(_))));
    let signed = [0x30, 0x80, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2, 0xa0, 0x80, 0x30, 0x80];
    assert!(matches!(open(&signed, &Limits::default()), Err(DecompressError::Unsupported(_))));
}
