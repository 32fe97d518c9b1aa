//! Messages that tests send. All have CRLF line ends.

/// A plain text message with the usual fields; `body` may have LF or CRLF line ends, and gets a last
/// one if it has none.
pub fn plain(from: &str, to: &str, subject: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "From: {from}\nTo: {to}\nSubject: {subject}\nDate: Mon, 02 Nov 2026 09:30:00 +0100\n\
         Message-ID: <{}@client.example>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: {}\n\n",
        label(from, to, subject, body),
        if body.is_ascii() { "7bit" } else { "8bit" },
    );
    crlf(&format!("{head}{body}{}", if body.ends_with('\n') { "" } else { "\n" }))
}

/// PGP/MIME around an armored ciphertext (RFC 3156 section 4).
pub fn pgp_mime(from: &str, to: &str, subject: &str, armored: &[u8]) -> Vec<u8> {
    let armored = String::from_utf8_lossy(armored);
    crlf(&format!(
        "From: {from}\nTo: {to}\nSubject: {subject}\nDate: Mon, 02 Nov 2026 09:30:00 +0100\n\
         Message-ID: <{}@client.example>\nMIME-Version: 1.0\n\
         Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=\"=_pgp\"\n\n\
         --=_pgp\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n\
         --=_pgp\nContent-Type: application/octet-stream; name=\"encrypted.asc\"\n\n{armored}\n--=_pgp--\n",
        label(from, to, subject, &armored),
    ))
}

/// A text with an attachment of `size` bytes (before base64) that do not compress.
pub fn with_attachment(from: &str, to: &str, subject: &str, size: usize) -> Vec<u8> {
    let head = format!(
        "From: {from}\nTo: {to}\nSubject: {subject}\nDate: Mon, 02 Nov 2026 09:30:00 +0100\n\
         Message-ID: <{}@client.example>\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"=_parts\"\n\n\
         --=_parts\nContent-Type: text/plain\n\nThe file is attached.\n\
         --=_parts\nContent-Type: application/octet-stream; name=\"data.bin\"\n\
         Content-Disposition: attachment; filename=\"data.bin\"\nContent-Transfer-Encoding: base64\n\n",
        label(from, to, subject, &size.to_string()),
    );
    let mut message = crlf(&head);
    let mut noise = Noise(size as u64 | 1);
    // 57 bytes make one line of 76 characters; three characters of base64 alphabet need no encoder.
    for _ in 0..size.div_ceil(57) {
        message.extend((0..76).map(|_| BASE64[(noise.next() >> 58) as usize]));
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"--=_parts--\r\n");
    message
}

/// The same text with every line end turned into CRLF.
pub fn crlf(text: &str) -> Vec<u8> {
    text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A Message-ID's left part: the same for the same message, different for different ones.
fn label(from: &str, to: &str, subject: &str, body: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in [from, to, subject, body].join("\n").bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// Marsaglia's xorshift64*: repeatable bytes that no compressor shortens.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ends_with_crlf() {
        for message in [plain("a@b", "c@d", "s", "x\ny\r\nz\n"), with_attachment("a@b", "c@d", "s", 1000)] {
            let lone = message.windows(2).filter(|pair| pair[1] == b'\n' && pair[0] != b'\r').count();
            assert_eq!(lone, 0);
            assert!(message.ends_with(b"\r\n"));
        }
    }
}
