//! ASCII armor (RFC 9580, 6).

/// Certificates in armor, with the checksum that GnuPG 2.2 warns about when it is missing.
pub fn armored(binary: &[u8]) -> String {
    let mut text = String::with_capacity(binary.len() * 4 / 3 + binary.len() / 48 + 100);
    text.push_str("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n");
    for line in binary.chunks(48) {
        encode(line, &mut text);
        text.push('\n');
    }
    let [_, checksum @ ..] = crc24(binary).to_be_bytes();
    text.push('=');
    encode(&checksum, &mut text);
    text.push_str("\n-----END PGP PUBLIC KEY BLOCK-----\n");
    text
}

/// Base64 of RFC 4648, section 4, appended to `text`.
fn encode(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            let digit = DIGITS.get(digit).copied().unwrap_or(b'A');
            text.push(if place > three.len() { '=' } else { char::from(digit) });
        }
    }
}

/// CRC-24 of RFC 9580, 6.1.
fn crc24(bytes: &[u8]) -> u32 {
    let mut crc = 0x00b7_04ce_u32;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    crc & 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_and_checksum_are_those_of_the_standards() {
        // RFC 4648, section 10.
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            let mut text = String::new();
            encode(plain.as_bytes(), &mut text);
            assert_eq!(text, coded);
        }
        // CRC-24/OPENPGP of the nine digits.
        assert_eq!(crc24(b"123456789"), 0x0021_cf02);
        assert_eq!(crc24(b""), 0x00b7_04ce);
    }

    #[test]
    fn lines_are_short_and_the_checksum_stands_alone() {
        let text = armored(&[0x99; 100]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 7);
        assert!(lines[2..5].iter().all(|line| line.len() <= 64));
        assert!(lines[5].starts_with('=') && lines[5].len() == 5);
    }
}
