use proptest::prelude::*;

use super::*;

fn decode(encoding: &TransferEncoding, text: &[u8]) -> Vec<u8> {
    encoding.decode(&Body::from_vec(text.to_vec()), &Spill::default()).unwrap().to_vec().unwrap()
}

#[test]
fn base64_is_read_tolerantly() {
    for (text, expected) in [
        (&b"aGVsbG8="[..], &b"hello"[..]),
        (b"aGVs\r\nbG8=\r\n", b"hello"),
        (b" a G V s\tb-G.8 = ", b"hello"),
        (b"aGVsbG8", b"hello"),
        (b"aGVsbG9", b"hello"),
        (b"aGVsbG8=aGVsbG8=", b"hellohello"),
        (b"aGVsbG8h", b"hello!"),
        (b"aA==", b"h"),
        (b"aB==", b"h"),
        (b"a", b""),
        (b"====", b""),
        (b"", b""),
    ] {
        assert_eq!(decode(&TransferEncoding::Base64, text), expected, "{}", text.escape_ascii());
    }
}

#[test]
fn quoted_printable_is_read_tolerantly() {
    for (text, expected) in [
        (&b"a=3Db=c3=A4"[..], &b"a=b\xc3\xa4"[..]),
        (b"soft=\r\nbreak=\nhere", b"softbreakhere"),
        (b"soft=  \t\r\nbreak", b"softbreak"),
        (b"blank \t\r\nends\t\nlines  ", b"blank\r\nends\nlines  "),
        (b"a  b", b"a  b"),
        (b"a=20\r\n", b"a \r\n"),
        (b"bad =ZZ = x =4 ==41 =", b"bad =ZZ = x =4 =A "),
        (b"=4", b"=4"),
        (b"bare\rcr", b"bare\rcr"),
        (b"=\rx", b"=\rx"),
        (b"\r\n\r\n", b"\r\n\r\n"),
        (b"8bit \xff", b"8bit \xff"),
    ] {
        assert_eq!(decode(&TransferEncoding::QuotedPrintable, text), expected, "{}", text.escape_ascii());
    }
}

#[test]
fn identity_encodings_share_the_bytes() {
    for name in ["7bit", "8BIT", "binary", "", "x-uuencode"] {
        let encoding = TransferEncoding::from_name(name);
        assert_eq!(encoding.is_identity(), name != "x-uuencode");
        assert_eq!(decode(&encoding, b"a=3D"), b"a=3D");
    }
    assert_eq!(TransferEncoding::from_name("BASE64"), TransferEncoding::Base64);
    assert_eq!(TransferEncoding::from_name("Quoted-Printable"), TransferEncoding::QuotedPrintable);
}

#[test]
fn a_blank_line_of_any_length_is_decoded_in_bounded_memory() {
    let text = vec![b' '; 3_000_000];
    let decoded = decode(&TransferEncoding::QuotedPrintable, &text);
    assert_eq!(decoded, text);
}

/// The straightforward encoder of RFC 2045 section 6.7 that the decoder must undo.
fn encode_quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut column = 0;
    for byte in bytes {
        if column > 70 {
            out.extend_from_slice(b"=\r\n");
            column = 0;
        }
        let encoded = match byte {
            33..=60 | 62..=126 => vec![*byte],
            byte => format!("={byte:02X}").into_bytes(),
        };
        column += encoded.len();
        out.extend_from_slice(&encoded);
    }
    out
}

proptest! {
    #[test]
    fn decoding_undoes_encoding_however_the_bytes_are_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        cut in 1usize..20,
    ) {
        let encoded = base64_simd::STANDARD.encode_to_string(&bytes);
        let (mut base64, mut out) = (Base64::default(), Vec::new());
        for piece in encoded.as_bytes().chunks(cut) {
            base64.push(piece, &mut out);
            base64.push(b"\r\n", &mut out);
        }
        base64.flush(&mut out);
        prop_assert_eq!(&out, &bytes);

        let (mut quoted, mut out) = (QuotedPrintable::default(), Vec::new());
        for piece in encode_quoted_printable(&bytes).chunks(cut) {
            quoted.push(piece, &mut out);
        }
        quoted.finish(&mut out);
        prop_assert_eq!(&out, &bytes);
    }

    #[test]
    fn lines_of_base64_are_read_like_single_characters(text in r"([Aa0+/]{4}|[Az9 =.\r\n\t]|\r\n|\u{e4}){0,60}", cut in 1usize..30) {
        let (mut lines, mut out) = (Base64::default(), Vec::new());
        for piece in text.as_bytes().chunks(cut) {
            lines.push(piece, &mut out);
        }
        lines.flush(&mut out);
        let (mut single, mut expected) = (Base64::default(), Vec::new());
        single.push_each(text.as_bytes(), &mut expected);
        single.flush(&mut expected);
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn quoted_printable_does_not_depend_on_the_cut(text in "[=A4 \t\r\nx]{0,40}", cut in 1usize..10) {
        let (mut whole, mut expected) = (QuotedPrintable::default(), Vec::new());
        whole.push(text.as_bytes(), &mut expected);
        whole.finish(&mut expected);
        let (mut pieces, mut out) = (QuotedPrintable::default(), Vec::new());
        for piece in text.as_bytes().chunks(cut) {
            pieces.push(piece, &mut out);
        }
        pieces.finish(&mut out);
        prop_assert_eq!(out, expected);
    }
}
