//! The names under which certificates lie in a Web Key Directory and in the DNS.

use openssl::sha::sha1;
use openssl::sha::sha256;

/// The alphabet of z-base-32 (RFC 6189, 5.1.6).
const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
/// Octets of the SHA-256 that name the owner of a record (RFC 7929, 3; RFC 8162, 3).
const OWNER_OCTETS: usize = 28;

/// The name of a local part in a Web Key Directory: z-base-32 of the SHA-1 of the local part, whose ASCII
/// letters, and no others, are put into lower case. Always 32 characters.
pub fn wkd_hash(local: &str) -> String {
    zbase32(&sha1(local.to_ascii_lowercase().as_bytes()))
}

/// Whether a text has the form of a [`wkd_hash`].
pub(crate) fn is_hash(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|octet| ALPHABET.contains(&octet))
}

/// The first label of an OPENPGPKEY record's owner: 28 octets of the SHA-256 of the local part, in
/// lower-case hexadecimal. Letters are taken as they are (RFC 7929, 3).
pub fn openpgpkey_owner(local: &str) -> String {
    let digest = sha256(local.as_bytes());
    digest.iter().take(OWNER_OCTETS).map(|octet| format!("{octet:02x}")).collect()
}

/// The first label of an SMIMEA record's owner; made the same way (RFC 8162, 3).
pub fn smimea_owner(local: &str) -> String {
    openpgpkey_owner(local)
}

/// Five bits a character, the highest first; the last character is filled up with zeros.
fn zbase32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(letter(held >> bits));
        }
    }
    if bits > 0 {
        text.push(letter(held << (5 - bits)));
    }
    text
}

fn letter(value: u32) -> char {
    let index = usize::try_from(value & 31).unwrap_or_default();
    ALPHABET.get(index).copied().map_or('y', char::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_web_key_directory() {
        for (local, expected) in [
            ("Joe.Doe", "iy9q119eutrkn8s1mk4r39qejnbu3n5q"),
            ("joe.doe", "iy9q119eutrkn8s1mk4r39qejnbu3n5q"),
            ("bernhard.reiter", "it5sewh54rxz33fwmr8u6dy4bbz8itz4"),
            ("test-wkd", "4hg7tescnttreaouu4z1izeuuyibwww1"),
            ("a+b", "i6wwpbayndmjsnjzbzdj15jgc77g8a4f"),
            ("o'brien", "r8zbu89upu7ocbqep4ahhc9tkrfg5615"),
            ("A", "o556ep94wsu93ak7dzqmu4zk7e5zc37a"),
            ("a", "o556ep94wsu93ak7dzqmu4zk7e5zc37a"),
        ] {
            assert_eq!(wkd_hash(local), expected, "{local}");
        }
    }

    #[test]
    fn only_ascii_letters_are_folded() {
        assert_eq!(wkd_hash("ÄRGER"), "ewd7piirpeasam9iz8or84x4be3xhxqw");
        assert_eq!(wkd_hash("ärger"), "nijetcguae5ufjiyec8duh7p1nddg45b");
        // The Kelvin sign becomes a k where all of Unicode is folded.
        assert_eq!(wkd_hash("\u{212a}evin"), "zsoj3njigu43ez6rcptj7rdb4z9kbtih");
        assert_ne!(wkd_hash("\u{212a}evin"), wkd_hash("kevin"));
    }

    #[test]
    fn owners_of_records_are_not_folded() {
        // RFC 7929, 2.1 and RFC 8162, 3: hugh@example.com.
        let hugh = "c93f1e400f26708f98cb19d936620da35eec8f72e57f9eec01c1afd6";
        assert_eq!(openpgpkey_owner("hugh"), hugh);
        assert_eq!(smimea_owner("hugh"), hugh);
        assert_ne!(openpgpkey_owner("Hugh"), hugh);
    }

    #[test]
    fn base_32_fills_the_last_letter_with_zeros() {
        assert_eq!(zbase32(b""), "");
        assert_eq!(zbase32(&[0xf0, 0xbf, 0xc7]), "6n9hq");
        assert_eq!(zbase32(&[0xd4, 0x7a, 0x04]), "4t7ye");
    }
}
