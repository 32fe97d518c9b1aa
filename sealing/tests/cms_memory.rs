//! Large envelopes go through in small memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "a failed assumption is a failed test"
)]

#[path = "cms_envelope/world.rs"]
mod world;

use std::io::Read;
use std::io::Write;

use keydir::Answer;
use mail::Body;
use mail::BodyWriter;
use mail::Spill;
use sealing::Limits;
use sealing::cms::ContentCipher;
use sealing::cms::ContentKind;
use sealing::cms::EnvelopeError;
use sealing::cms::KeyTransport;

use world::*;

const SIZE: u64 = 50_000_000;
/// The part of a body that stays in memory, twice while it grows, buffers, and what the library needs.
const ALLOWED: u64 = 8 * 1024;

/// A line of `/proc/self/status`, in KiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs the work and gives the KiB that memory grew at its peak.
fn growth<T>(work: impl FnOnce() -> T) -> (u64, T) {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let out = work();
    (status("VmHWM:").saturating_sub(before), out)
}

fn sealed(alice: &Person, cipher: ContentCipher) -> Body {
    let mut out = BodyWriter::new(&Spill::default());
    let recipients = recipients(&[alice], KeyTransport::Oaep);
    let line = [&[b'A'; 98][..], b"\r\n"].concat();
    sealing::cms::encrypt(&mut out, &recipients, cipher, ContentKind::Data, SIZE, |sink| {
        (0..SIZE / 100).try_for_each(|_| sink.write_all(&line))
    })
    .unwrap();
    out.finish().unwrap()
}

fn open(message: &mut dyn Read, alice: &Person) -> Result<sealing::cms::Decrypted, EnvelopeError> {
    let ours = Answer::Found(vec![alice.secret.clone()]);
    sealing::cms::decrypt(message, |_| ours, &Spill::default(), &Limits::default())
}

// One test: memory belongs to the whole process.
#[test]
fn large_envelopes_need_8_mib() {
    let world = World::new();
    let alice = world.person("alice", KeyKind::P256);
    fifty_megabytes_are_encrypted_and_decrypted(&alice);
    content_in_tiny_pieces_of_ber_needs_no_more_memory(&alice);
}

fn fifty_megabytes_are_encrypted_and_decrypted(alice: &Person) {
    for cipher in [ContentCipher::Aes256Gcm, ContentCipher::Aes256Cbc] {
        let (grown, message) = growth(|| sealed(alice, cipher));
        assert!(grown < ALLOWED, "encrypting grew by {grown} KiB, {cipher:?}");
        assert!(message.len() > SIZE);
        let (grown, opened) = growth(|| open(&mut message.reader(0..message.len()), alice).unwrap());
        assert!(grown < ALLOWED, "decrypting grew by {grown} KiB, {cipher:?}");
        assert_eq!(opened.content.len(), SIZE);
        // Cut off before its end: nothing comes out, and no more memory is used for it.
        let (grown, refused) = growth(|| open(&mut message.reader(0..SIZE - 1), alice).unwrap_err());
        assert!(grown < ALLOWED && matches!(refused, EnvelopeError::Damaged(_)), "{grown} {refused:?}");
    }
}

fn content_in_tiny_pieces_of_ber_needs_no_more_memory(alice: &Person) {
    let mut message = Vec::new();
    let recipients = recipients(&[alice], KeyTransport::Oaep);
    let length = 1_000_000;
    let cipher = ContentCipher::Aes256Gcm;
    sealing::cms::encrypt(&mut message, &recipients, cipher, ContentKind::Data, length, |sink| {
        sink.write_all(&vec![b'A'; length as usize])
    })
    .unwrap();
    // The lengths around the content become indefinite; each octet of it is a piece.
    let kind = message.windows(2).position(|octets| octets == [0x06, 0x0b]).unwrap();
    let set = message.windows(2).position(|octets| octets == [0x31, 0x81]).unwrap();
    let info = set + 3 + usize::from(message[set + 2]);
    let content = message.len() - 18 - length as usize;
    let algorithm = message[info..].windows(2).position(|octets| octets == [0x06, 0x09]).unwrap() + info;
    let mut ber = BodyWriter::new(&Spill::default());
    ber.write_all(&[0x30, 0x80]).unwrap();
    ber.write_all(&message[kind..kind + 13]).unwrap();
    ber.write_all(&[0xa0, 0x80, 0x30, 0x80, 2, 1, 0]).unwrap();
    ber.write_all(&message[set..info]).unwrap();
    ber.write_all(&[0x30, 0x80]).unwrap();
    // `80 83 LL LL LL` stands in front of the content.
    ber.write_all(&message[algorithm..content - 5]).unwrap();
    ber.write_all(&[0xa0, 0x80]).unwrap();
    for octet in &message[content..message.len() - 18] {
        ber.write_all(&[4, 1, *octet]).unwrap();
    }
    ber.write_all(&[0, 0, 0, 0]).unwrap();
    ber.write_all(&message[message.len() - 18..]).unwrap();
    ber.write_all(&[0; 6]).unwrap();
    let ber = ber.finish().unwrap();
    let (grown, opened) = growth(|| open(&mut ber.reader(0..ber.len()), alice).unwrap());
    assert!(grown < ALLOWED, "decrypting grew by {grown} KiB");
    assert_eq!(opened.content.len(), length);
}
