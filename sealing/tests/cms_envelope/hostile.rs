//! What somebody may send to get at plaintext, at our memory or at our time.

use std::collections::BTreeSet;
use std::process::Command;

use keydir::Answer;
use mail::Spill;
use openssl::pkey::PKey;
use openssl::pkey::Private;
use openssl::rsa::Padding;
use sealing::Limits;
use sealing::cms::ContentCipher;
use sealing::cms::EnvelopeError;
use sealing::cms::KeyTransport;

use crate::world::*;

const GCM: ContentCipher = ContentCipher::Aes256Gcm;
const CBC: ContentCipher = ContentCipher::Aes256Cbc;

fn refused(message: &[u8], alice: &Person) -> EnvelopeError {
    // The key is there whatever the message names.
    let ours = Answer::Found(vec![alice.secret.clone()]);
    let (spill, limits) = (Spill::default(), Limits::default());
    sealing::cms::decrypt(&mut { message }, |_| ours, &spill, &limits).unwrap_err()
}

fn position(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).unwrap()
}

/// An element of BER with a definite length.
fn element(identifier: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    [&[identifier, 0x84][..], &length, content].concat()
}

#[test]
fn a_message_cut_anywhere_gives_nothing() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::P256);
    for cipher in [GCM, CBC] {
        let message = encrypt(&[&alice], KeyTransport::Oaep, cipher, b"small secret");
        for end in 0..message.len() {
            assert!(
                matches!(refused(&message[..end], &alice), EnvelopeError::Damaged(_)),
                "{cipher:?} {end}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_gives_nothing_if_the_content_is_authenticated() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::P256);
    let message = encrypt(&[&alice], KeyTransport::Oaep, GCM, b"small secret");
    for place in 0..message.len() * 8 {
        let mut flipped = message.clone();
        flipped[place / 8] ^= 1 << (place % 8);
        match decrypt(&flipped, &[&alice]) {
            // The version, the inner type and the sender's identifier are not protected; the content is.
            Ok(opened) => assert_eq!(opened.content.to_vec().unwrap(), b"small secret", "bit {place}"),
            Err(EnvelopeError::Io(error)) => panic!("bit {place}: {error}"),
            Err(_) => (),
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_never_panics_without_authentication() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::Rsa(2048));
    let message = encrypt(&[&alice], KeyTransport::Pkcs1v15, CBC, b"small secret");
    for place in (0..message.len() * 8).step_by(7) {
        let mut flipped = message.clone();
        flipped[place / 8] ^= 1 << (place % 8);
        match decrypt(&flipped, &[&alice]) {
            Ok(opened) => assert!(!opened.authenticated),
            Err(EnvelopeError::Io(error)) => panic!("bit {place}: {error}"),
            Err(_) => (),
        }
    }
}

#[test]
fn a_false_tag_gives_nothing_however_long_the_content() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::P256);
    for size in [0, 1, 100_000, 3_000_000] {
        let mut message = encrypt(&[&alice], KeyTransport::Oaep, GCM, &vec![b'x'; size]);
        *message.last_mut().unwrap() ^= 1;
        assert!(matches!(refused(&message, &alice), EnvelopeError::Damaged(_)));
    }
}

/// Encrypts the octets themselves with RSA: a padding of the attacker's choice.
fn with_rsa_block(message: &[u8], alice: &Person, block: &[u8]) -> Vec<u8> {
    let rsa = alice.secret.key().rsa().unwrap();
    let mut encrypted = vec![0; rsa.size() as usize];
    rsa.public_encrypt(block, &mut encrypted, Padding::NONE).unwrap();
    let header = [0x04, 0x82, 0x01, 0x00];
    let at = position(message, &header) + header.len();
    let mut out = message.to_vec();
    out[at..at + encrypted.len()].copy_from_slice(&encrypted);
    out
}

/// Who could tell these apart could decrypt with our key (RFC 3218): the reason is one and the same.
#[test]
fn a_wrong_padding_a_wrong_key_and_a_changed_content_look_alike() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::Rsa(2048));
    for cipher in [GCM, CBC] {
        let message = encrypt(&[&alice], KeyTransport::Pkcs1v15, cipher, TEXT);
        let mut good = vec![7; 256];
        good[..2].copy_from_slice(&[0, 2]);
        good[256 - 33] = 0;
        let blocks = [
            good.clone(),                                 // Well padded, another key.
            [vec![1], vec![7; 255]].concat(),             // Does not begin with zero.
            [vec![0, 1], vec![7; 254]].concat(),          // Another type of padding.
            [vec![0, 2], vec![7; 254]].concat(),          // No end of the padding.
            [vec![0, 2, 0], vec![7; 253]].concat(),       // No padding at all.
            [good[..240].to_vec(), vec![0; 16]].concat(), // A key of another content.
            vec![0; 256],
        ];
        let mut reasons = BTreeSet::new();
        for block in blocks {
            let mut message = with_rsa_block(&message, &alice, &block);
            // A random key meets a valid padding of CBC once in 256 times; a cut block never does.
            if cipher == CBC {
                match decrypt(&message, &[&alice]) {
                    Ok(opened) => assert_ne!(opened.content.to_vec().unwrap(), TEXT),
                    Err(error) => drop(reasons.insert(error.to_string())),
                }
            } else {
                reasons.insert(refused(&message, &alice).to_string());
                *message.last_mut().unwrap() ^= 0x80;
                reasons.insert(refused(&message, &alice).to_string());
            }
        }
        // In front of the tag; or where it turns the padding of the last block into none.
        let mut changed = message.clone();
        let place = changed.len() - if cipher == GCM { 20 } else { 17 };
        changed[place] ^= 0x55;
        reasons.insert(refused(&changed, &alice).to_string());
        assert_eq!(reasons.len(), 1, "{reasons:?}");
    }
}

#[test]
fn a_key_that_is_not_the_recipients_opens_nothing() {
    let world = World::new();
    for kind in [KeyKind::Rsa(2048), KeyKind::P256, KeyKind::X25519] {
        let alice = world.person("alice", kind);
        let mallory = world.person("mallory", kind);
        for transport in [KeyTransport::Pkcs1v15, KeyTransport::Oaep] {
            let mut message = encrypt(&[&alice], transport, GCM, TEXT);
            // The message names mallory instead.
            let serial = alice.certificate().serial().to_vec();
            let at = position(&message, &serial);
            let others = mallory.certificate().serial();
            message[at..at + serial.len()].copy_from_slice(others);
            assert!(matches!(decrypt(&message, &[&mallory]), Err(EnvelopeError::Damaged(_))), "{kind:?}");
            assert!(matches!(decrypt(&message, &[&alice]), Err(EnvelopeError::NoKey { .. })), "{kind:?}");
        }
    }
}

/// Rewrites definite lengths as indefinite, and the content as pieces in pieces.
fn as_ber(der: &[u8]) -> Vec<u8> {
    fn walk(der: &[u8], out: &mut Vec<u8>) {
        let mut rest = der;
        while let [identifier, first, ..] = *rest {
            let (head, length) = match first {
                0..0x80 => (2, usize::from(first)),
                _ => {
                    let count = usize::from(first & 0x7f);
                    (
                        2 + count,
                        rest[2..2 + count].iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)),
                    )
                }
            };
            let content = &rest[head..head + length];
            if identifier & 0x20 != 0 {
                out.extend([identifier, 0x80]);
                walk(content, out);
                out.extend([0, 0]);
            } else if identifier == 0x80 || identifier == 0x04 {
                out.extend([identifier | 0x20, 0x80, 0x24, 0x80]);
                content.chunks(3).for_each(|piece| out.extend(element(4, piece)));
                out.extend([0, 0, 4, 0, 0, 0]);
            } else {
                out.extend(element(identifier, content));
            }
            rest = &rest[head + length..];
        }
    }
    let mut out = Vec::new();
    walk(der, &mut out);
    out
}

#[test]
fn every_form_that_ber_allows_is_read() {
    let world = World::new();
    for kind in [KeyKind::Rsa(2048), KeyKind::P384, KeyKind::X25519] {
        let alice = world.person("alice", kind);
        for cipher in [GCM, CBC] {
            let ber = as_ber(&encrypt(&[&alice], KeyTransport::Oaep, cipher, TEXT));
            assert_eq!(decrypt(&ber, &[&alice]).unwrap().content.to_vec().unwrap(), TEXT, "{kind:?}");
            for end in (0..ber.len()).step_by(5) {
                assert!(matches!(refused(&ber[..end], &alice), EnvelopeError::Damaged(_)), "{end}");
            }
        }
    }
}

#[test]
fn bombs_of_depth_count_and_length_are_refused_early() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::P256);
    let message = encrypt(&[&alice], KeyTransport::Oaep, GCM, b"");
    let kind = position(&message, &[0x06, 0x0b]);
    let head = [&[0x30, 0x80][..], &message[kind..kind + 13], &[0xa0, 0x80, 0x30, 0x80, 2, 1, 0]].concat();
    let nested = [&head[..], &[0x31, 0x80], &[0x30, 0x80].repeat(100_000)].concat();
    assert!(matches!(refused(&nested, &alice), EnvelopeError::Damaged(_)));
    // Recipients of a kind that nobody has, in numbers.
    let others = element(0x31, &[0xa4, 0x00].repeat(1001));
    assert!(matches!(refused(&[&head[..], &others].concat(), &alice), EnvelopeError::TooLarge(_)));
    // One recipient with a key of two megabytes.
    let large = element(0x31, &element(0x30, &element(0x04, &vec![0; 2 << 20])));
    let large = refused(&[&head[..], &large].concat(), &alice);
    assert!(matches!(large, EnvelopeError::Damaged(_) | EnvelopeError::TooLarge(_)));
    let skipped = element(0x31, &element(0xa4, &element(0x04, &vec![0; 2 << 20])));
    assert!(matches!(refused(&[&head[..], &skipped].concat(), &alice), EnvelopeError::TooLarge(_)));
    // Four gigabytes announced, none there.
    let lie = [&head[..], &[0x31, 0x84, 0xff, 0xff, 0xff, 0xff]].concat();
    assert!(matches!(refused(&lie, &alice), EnvelopeError::Damaged(_)));
    let huge = [&[0x30, 0x80][..], &message[kind..kind + 13], &[0xa0, 0x80, 0x30, 0x80, 2, 0x82, 0x10, 0]];
    let huge = [&huge.concat()[..], &[1; 0x1000]].concat();
    assert!(matches!(refused(&huge, &alice), EnvelopeError::TooLarge(_) | EnvelopeError::Damaged(_)));
    for nothing in [&b""[..], b"\0", b"hello", &[0x30, 0x80], &[0xff; 100]] {
        assert!(matches!(refused(nothing, &alice), EnvelopeError::Damaged(_)));
    }
}

#[test]
fn ciphers_that_are_too_weak_or_in_the_wrong_place_are_not_opened() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::Rsa(2048));
    let text = world.write("plain", TEXT);
    // RC2 with the legacy provider, as Outlook of the last century sent it; DES.
    for cipher in ["-rc2-40", "-rc2-128", "-des"] {
        let theirs = run(Command::new("openssl")
            .args(["cms", "-encrypt", "-binary", "-outform", "DER", cipher])
            .args(["-provider", "default", "-provider", "legacy", "-in"])
            .arg(&text)
            .arg(alice.pem()));
        let refused = refused(&theirs.unwrap(), &alice);
        assert!(matches!(refused, EnvelopeError::Unsupported(_)), "{cipher} {refused:?}");
    }
    // The authenticated cipher with its protection taken away, and the reverse (RFC 5652 against 5083).
    let gcm = encrypt(&[&alice], KeyTransport::Pkcs1v15, GCM, TEXT);
    let cbc = encrypt(&[&alice], KeyTransport::Pkcs1v15, CBC, TEXT);
    let gcm_oid = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 46];
    let cbc_oid = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42];
    let replace = |message: &[u8], from: &[u8], to: &[u8]| {
        let at = position(message, from);
        let mut out = message.to_vec();
        out[at..at + from.len()].copy_from_slice(to);
        out
    };
    for mixed in [replace(&gcm, &gcm_oid, &cbc_oid), replace(&cbc, &cbc_oid, &gcm_oid)] {
        assert!(matches!(refused(&mixed, &alice), EnvelopeError::Unsupported(_)));
    }
    // Other objects are none to decrypt.
    let signed = [0x30, 0x80, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2, 0xa0, 0x80, 0x30, 0x80];
    assert!(matches!(refused(&signed, &alice), EnvelopeError::Unsupported(_)));
}

#[test]
fn points_off_the_curve_are_refused() {
    let world = World::new();
    for (kind, octets) in [(KeyKind::P256, 65), (KeyKind::X25519, 32)] {
        let alice = world.person("alice", kind);
        let message = encrypt(&[&alice], KeyTransport::Oaep, GCM, TEXT);
        let header = [0x03, octets + 1, 0x00];
        let at = position(&message, &header) + header.len();
        for point in [vec![0; octets as usize], [vec![4], vec![1; octets as usize - 1]].concat()] {
            let mut message = message.clone();
            message[at..at + point.len()].copy_from_slice(&point);
            assert!(matches!(refused(&message, &alice), EnvelopeError::Damaged(_)), "{kind:?}");
        }
    }
}

/// An AuthEnvelopedData with authenticated attributes, made by hand: no tool at hand makes one.
fn with_attributes(alice: &Person, attributes: &[u8], protected: &[u8]) -> Vec<u8> {
    let message = encrypt(&[alice], KeyTransport::Oaep, GCM, TEXT);
    let key = content_key(&message, alice.secret.key());
    let nonce = position(&message, &[0x30, 0x11, 0x04, 0x0c]) + 4;
    let mut tag = [0; 16];
    let aad = [&[0x31][..], &protected[1..]].concat();
    let cipher = openssl::symm::Cipher::aes_256_gcm();
    let iv = Some(&message[nonce..nonce + 12]);
    openssl::symm::encrypt_aead(cipher, &key, iv, &aad, TEXT, &mut tag).unwrap();
    // Everything up to the tag, without the lengths around it.
    let kind = position(&message, &[0x06, 0x0b]);
    let recipients = position(&message, &[0x31, 0x82]);
    let head = [&[0x30, 0x80][..], &message[kind..kind + 13], &[0xa0, 0x80, 0x30, 0x80, 2, 1, 0]].concat();
    let body = &message[recipients..message.len() - 18];
    [&head[..], body, attributes, &element(4, &tag), &[0; 6]].concat()
}

fn content_key(message: &[u8], key: &PKey<Private>) -> Vec<u8> {
    let header = [0x04, 0x82, 0x01, 0x00];
    let at = position(message, &header) + header.len();
    let mut context = openssl::pkey_ctx::PkeyCtx::new(key).unwrap();
    context.decrypt_init().unwrap();
    context.set_rsa_padding(Padding::PKCS1_OAEP).unwrap();
    context.set_rsa_oaep_md(openssl::md::Md::sha256()).unwrap();
    context.set_rsa_mgf1_md(openssl::md::Md::sha256()).unwrap();
    let mut out = Vec::new();
    context.decrypt_to_vec(&message[at..at + 256], &mut out).unwrap();
    out
}

#[test]
fn authenticated_attributes_are_protected_by_the_tag() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::Rsa(2048));
    // An attribute 1.2.DIGIT without values.
    let attributes = |digit| [0xa1, 0x08, 0x30, 0x06, 0x06, 0x02, 0x2a, digit, 0x31, 0x00];
    let (good, other) = (attributes(3), attributes(4));
    let message = with_attributes(&alice, &good, &good);
    assert_eq!(decrypt(&message, &[&alice]).unwrap().content.to_vec().unwrap(), TEXT);
    let message = with_attributes(&alice, &other, &good);
    assert!(matches!(decrypt(&message, &[&alice]), Err(EnvelopeError::Damaged(_))));
    let message = with_attributes(&alice, &[], &good);
    assert!(matches!(decrypt(&message, &[&alice]), Err(EnvelopeError::Damaged(_))));
}

#[test]
fn a_source_that_fails_is_not_a_damaged_message() {
    struct Source(std::io::ErrorKind);
    impl std::io::Read for Source {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
    }
    let open = |kind| {
        let none = Answer::None { why: Vec::new() };
        sealing::cms::decrypt(&mut Source(kind), |_| none, &Spill::default(), &Limits::default())
    };
    assert!(matches!(open(std::io::ErrorKind::TimedOut), Err(EnvelopeError::Io(_))));
    // This is how a decoder of base64 says that what it reads is none.
    assert!(matches!(open(std::io::ErrorKind::InvalidData), Err(EnvelopeError::Damaged(_))));
}
