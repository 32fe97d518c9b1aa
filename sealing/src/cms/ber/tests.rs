use std::io::Read;

use proptest::prelude::*;

use super::*;

fn reader(bytes: &[u8]) -> BerReader<&[u8]> {
    BerReader::new(bytes, BerLimits::default())
}

#[test]
fn walks_definite_and_indefinite_lengths_alike() {
    for bytes in [&[0x30, 0x03, 0x02, 0x01, 0x05][..], &[0x30, 0x80, 0x02, 0x81, 0x01, 0x05, 0x00, 0x00]] {
        let mut ber = reader(bytes);
        ber.enter(Tag::SEQUENCE).unwrap();
        assert_eq!(ber.small_integer().unwrap(), 5);
        ber.leave().unwrap();
        assert_eq!(ber.peek().unwrap(), None);
        assert_eq!(reader(bytes).element().unwrap(), [0x30, 0x03, 0x02, 0x01, 0x05]);
    }
}

#[test]
fn puts_an_octet_string_together_that_was_cut_into_pieces() {
    let bytes = [
        0x24, 0x80, 0x04, 0x02, b'a', b'b', 0x24, 0x05, 0x04, 0x00, 0x04, 0x01, b'c', 0x04, 0x01, b'd', 0, 0,
        0x05, 0x00,
    ];
    let mut ber = reader(&bytes);
    let mut text = String::new();
    ber.octets(Tag::OCTET_STRING).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "abcd");
    assert_eq!(ber.primitive(Tag::NULL).unwrap(), b"");
    assert_eq!(reader(&bytes).element().unwrap(), [4, 4, b'a', b'b', b'c', b'd']);
    assert_eq!(reader(&bytes).octet_string(Tag::OCTET_STRING).unwrap(), b"abcd");
}

#[test]
fn an_implicit_tag_on_a_cut_string_is_read() {
    let bytes = [0xa0, 0x80, 0x04, 0x01, b'x', 0x00, 0x00];
    assert_eq!(reader(&bytes).octet_string(Tag::context(0)).unwrap(), b"x");
}

#[test]
fn lying_lengths_are_refused_without_allocating() {
    for bytes in [
        &[0x30, 0x03, 0x04, 0x05, 0, 0, 0, 0, 0][..],
        &[0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x01, 0x00],
        &[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xf0, 1],
        &[0x30, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x30, 0xff, 0],
        &[0x30, 0x01],
        &[0x04, 0x80, 0, 0],
        &[0x10, 0x02, 0x05, 0x00],
        &[0x22, 0x03, 0x02, 0x01, 0x00],
        &[0x1f, 0x81, 0x01, 0x00],
        &[0x30, 0x04, 0x00, 0x00, 0x00, 0x00],
        &[0x00, 0x00],
        &[0x30, 0x80, 0x05, 0x00],
    ] {
        assert!(reader(bytes).element().is_err(), "{bytes:?}");
        assert!(reader(bytes).skip().is_err(), "{bytes:?}");
    }
    assert!(reader(&[0x24, 0x80, 0x02, 0x01, 0x00, 0x00, 0x00]).element().is_err());
}

#[test]
fn depth_and_size_have_limits() {
    let bomb = [0x30, 0x80].repeat(1000);
    assert!(matches!(reader(&bomb).element(), Err(BerError::TooDeep)));
    assert!(matches!(reader(&bomb).skip(), Err(BerError::TooDeep)));
    let bomb = [0x24, 0x80].repeat(1000);
    assert!(matches!(reader(&bomb).octets(Tag::OCTET_STRING).unwrap().drain(), Err(BerError::TooDeep)));
    let large = [&[0x04, 0x83, 0x20, 0, 0][..], &[0; 0x20_0000]].concat();
    assert!(matches!(reader(&large).element(), Err(BerError::TooLarge)));
    assert!(matches!(reader(&large).skip(), Err(BerError::TooLarge)));
    reader(&large).octets(Tag::OCTET_STRING).unwrap().drain().unwrap();
    let many = [&[0x30, 0x80][..], &[0x05, 0x00].repeat(600_000)].concat();
    assert!(matches!(reader(&many).skip(), Err(BerError::TooLarge)));
}

#[test]
fn integers_that_are_huge_or_negative_are_refused() {
    let huge = [&[0x02, 0x82, 0x10, 0x00][..], &[1; 0x1000]].concat();
    assert!(matches!(reader(&huge).small_integer(), Err(BerError::TooLarge)));
    assert!(reader(&[0x02, 0x01, 0x80]).small_integer().is_err());
    assert!(reader(&[0x02, 0x00]).small_integer().is_err());
    assert_eq!(reader(&[0x02, 0x05, 0, 0xff, 0xff, 0xff, 0xff]).small_integer().unwrap(), u32::MAX);
}

#[test]
fn lengths_are_written_in_their_shortest_form() {
    for (length, octets) in [
        (0, &[0][..]),
        (0x7f, &[0x7f]),
        (0x80, &[0x81, 0x80]),
        (0x1234, &[0x82, 0x12, 0x34]),
        (u64::MAX, &[0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ] {
        let mut out = Vec::new();
        push_length(&mut out, length);
        assert_eq!(out, octets);
    }
}

#[test]
fn a_failing_source_is_not_malformed_data() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk"))
        }
    }
    let mut ber = BerReader::new(io::BufReader::new(Broken), BerLimits::default());
    assert!(matches!(ber.element(), Err(BerError::Io(_))));
}

/// Any tree of elements, as DER.
fn tree() -> impl Strategy<Value = Vec<u8>> {
    let leaf = (0_u8..7, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(number, content)| {
        let mut out = vec![number.max(1)];
        push_length(&mut out, content.len() as u64);
        [out, content].concat()
    });
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop::collection::vec(inner, 0..5).prop_map(|parts| {
            let content = parts.concat();
            let mut out = vec![0x30];
            push_length(&mut out, content.len() as u64);
            [out, content].concat()
        })
    })
}

proptest! {
    #[test]
    fn der_comes_back_as_it_was(der in tree()) {
        prop_assert_eq!(reader(&der).element().unwrap(), der);
    }

    #[test]
    fn a_part_of_an_element_is_no_element(der in tree(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(der.len());
        prop_assert!(reader(&der[..cut]).element().is_err());
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = reader(&bytes).element();
        let _ = reader(&bytes).skip();
    }
}
