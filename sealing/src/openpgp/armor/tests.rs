use super::*;

use std::io::Read;

use sequoia_openpgp::armor;

fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

#[test]
fn sequoia_reads_what_we_write_at_every_length_around_a_line_and_a_batch() {
    for length in (0..200).chain(48 * 512 - 50..48 * 512 + 50).chain([100_000]) {
        let data = bytes(length);
        let text = armor(&data, Kind::Message).unwrap();
        if length > 0 {
            let mut reader = armor::Reader::from_bytes(&text, armor::ReaderMode::Tolerant(None));
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, data, "length {length}");
        }
        assert_eq!(dearmor(&text, 1 << 20).unwrap(), (Kind::Message, data));
        assert!(text.split(|byte| *byte == b'\n').all(|line| line.len() <= 65));
    }
}

#[test]
fn small_writes_give_the_same_armor_as_one_big_one() {
    let data = bytes(60_000);
    let mut writer = ArmorWriter::new(Vec::new(), Kind::Signature, true).unwrap();
    for piece in data.chunks(977) {
        writer.write_all(piece).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), armor(&data, Kind::Signature).unwrap());
}

#[test]
fn without_checksum_there_is_no_checksum_line() {
    let mut writer = ArmorWriter::new(Vec::new(), Kind::Message, false).unwrap();
    writer.write_all(b"abc").unwrap();
    let text = writer.finish().unwrap();
    assert_eq!(text, b"-----BEGIN PGP MESSAGE-----\r\n\r\nYWJj\r\n-----END PGP MESSAGE-----\r\n");
}

#[test]
fn reads_what_transport_makes_of_armor() {
    let data = bytes(1000);
    let text = String::from_utf8(armor(&data, Kind::Message).unwrap()).unwrap();
    let checksum = text.lines().find(|line| line.starts_with('=')).unwrap().to_owned();
    let variants = [
        text.replace("\r\n", "\n"),
        text.replace("\r\n", "  \t\r\n"),
        text.replace(&format!("{checksum}\r\n"), ""),
        text.replace(&checksum, "=AAAA"),
        text.replace("MESSAGE-----\r\n\r\n", "MESSAGE-----\r\nVersion: x\r\nComment: Grüße\r\n \t\r\n"),
        text.replace("MESSAGE-----\r\n\r\n", "MESSAGE-----\r\nVersion: x\r\n"),
        text.replace("MESSAGE-----\r\n\r\n", "MESSAGE-----\r\n"),
        format!("some text\r\n> -----BEGIN PGP MESSAGE-----\r\n\r\n{text}and more"),
        text.trim_end().to_owned(),
        format!("\u{feff}{text}"),
    ];
    for variant in variants {
        assert_eq!(dearmor(variant.as_bytes(), 1 << 20).unwrap().1, data, "{variant}");
    }
}

#[test]
fn armor_that_ends_too_early_is_an_error_wherever_it_ends() {
    let text = armor(&bytes(300), Kind::Message).unwrap();
    let whole = text.len() - b"-----END PGP MESSAGE-----\r\n".len();
    for end in 0..=whole {
        assert!(dearmor(&text[..end], 1 << 20).is_err(), "cut at {end}");
    }
}

#[test]
fn bad_base64_and_oversize_are_errors() {
    let text = String::from_utf8(armor(&bytes(300), Kind::Message).unwrap()).unwrap();
    assert!(dearmor(text.replacen('A', "!", 1).as_bytes(), 1 << 20).is_err());
    let error = dearmor(text.as_bytes(), 299).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    assert!(dearmor(&vec![b'a'; 100_000], 10).is_err());
    assert!(dearmor(&b"a\n".repeat(100_000), 10).is_err());
    assert!(dearmor(b"", 10).is_err());
}

#[test]
fn large_armor_streams_through_small_reads() {
    let data = bytes(300_000);
    let text = armor(&data, Kind::Message).unwrap();
    let mut reader = Dearmor::new(&text[..]);
    let mut out = Vec::new();
    let mut buffer = [0; 77];
    loop {
        let length = reader.read(&mut buffer).unwrap();
        if length == 0 {
            break;
        }
        out.extend_from_slice(&buffer[..length]);
    }
    assert_eq!(out, data);
}

#[test]
fn binary_sources_pass_as_they_are() {
    let mut data = bytes(200_000);
    data[0] = 0xc1;
    let mut out = Vec::new();
    Dearmor::new(&data[..]).read_to_end(&mut out).unwrap();
    assert_eq!(out, data);
}
