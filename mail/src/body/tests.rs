use super::*;

fn spilled(bytes: &[u8]) -> Body {
    let mut writer = BodyWriter::new(&Spill { limit: 0, ..Spill::default() });
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn spills_above_the_limit_and_not_below() {
    let spill = Spill { limit: 10, ..Spill::default() };
    let mut writer = BodyWriter::new(&spill);
    writer.write_all(b"0123456789").unwrap();
    let body = writer.finish().unwrap();
    assert_eq!(body.in_memory(), Some(&b"0123456789"[..]));
    let mut writer = BodyWriter::new(&spill);
    writer.write_all(b"01234").unwrap();
    writer.write_all(b"567890").unwrap();
    let body = writer.finish().unwrap();
    assert_eq!(body.in_memory(), None);
    assert_eq!(body.to_vec().unwrap(), b"01234567890");
}

#[test]
fn a_large_body_survives_small_and_large_writes() {
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    for chunk in [1000, 70_000, 300_000] {
        let mut writer = BodyWriter::new(&Spill { limit: 5000, ..Spill::default() });
        for part in bytes.chunks(chunk) {
            writer.write_all(part).unwrap();
        }
        let body = writer.finish().unwrap();
        assert_eq!(body.len(), 300_000);
        assert_eq!(body.to_vec().unwrap(), bytes);
        let mut copy = Vec::new();
        body.write_to(&mut copy).unwrap();
        assert_eq!(copy, bytes);
        assert_eq!(body.slice(100..200_000).read_range(50..60).unwrap(), bytes[150..160]);
    }
}

#[test]
fn reader_reads_and_seeks_alike_in_memory_and_file() {
    let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 241) as u8).collect();
    for body in [Body::from_vec(bytes.clone()), spilled(&bytes)] {
        let mut reader = body.reader(10..199_999);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes[10..199_999]);
        reader.seek(SeekFrom::Start(100_000)).unwrap();
        let mut some = [0; 5];
        reader.read_exact(&mut some).unwrap();
        assert_eq!(some, bytes[100_010..100_015]);
        reader.seek(SeekFrom::Current(-10)).unwrap();
        reader.read_exact(&mut some).unwrap();
        assert_eq!(some, bytes[100_005..100_010]);
        assert!(reader.seek(SeekFrom::Current(-1_000_000)).is_err());
        reader.seek(SeekFrom::End(5)).unwrap();
        assert_eq!(reader.read(&mut some).unwrap(), 0);
    }
}

#[test]
fn ranges_past_the_end_are_cut() {
    for body in [Body::from_vec(b"abc".to_vec()), spilled(b"abc")] {
        assert_eq!(body.read_range(1..99).unwrap(), b"bc");
        assert_eq!(body.read_range(99..100).unwrap(), b"");
        #[expect(clippy::reversed_empty_ranges, reason = "the point of the test")]
        let reversed = body.read_range(2..1).unwrap();
        assert_eq!(reversed, b"");
    }
}

#[test]
fn a_missing_spill_directory_is_an_error_and_not_a_panic() {
    let mut writer = BodyWriter::new(&Spill { limit: 1, dir: "/nonexistent/dir".into() });
    assert!(writer.write_all(b"ab").is_err());
}

#[test]
fn debug_shows_no_content() {
    assert_eq!(format!("{:?}", Body::from_vec(b"secret".to_vec())), "Body(6 bytes in memory)");
}
