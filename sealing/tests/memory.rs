//! Large mail goes through in small memory.
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

mod support;

use std::io::Read;

use mail::Message;
use mail::Spill;
use sealing::LayerState;
use sealing::Limits;
use sealing::openpgp::Seal;
use sealing::openpgp::seal;

use support::*;

/// A line of `/proc/self/status`, in KiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs the work and gives the KiB that memory grew at its peak.
fn growth(work: impl FnOnce()) -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    work();
    status("VmHWM:").saturating_sub(before)
}

#[test]
fn a_30_mb_attachment_is_sealed_and_opened_within_32_mib() {
    let (world, alice, _) = World::alice_and_bob();
    let bob = [world.usable(BOB)];
    let spill = Spill::default();
    let head = format!(
        "From: {ALICE}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n--b\r\n\
         Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    );
    let line = [&[b'A'; 76][..], b"\r\n"].concat();
    let lines = std::iter::repeat_n(line, 30_000_000 / 78).flatten().collect::<Vec<u8>>();
    let source = head.as_bytes().chain(&lines[..]).chain(&b"\r\n--b--\r\n"[..]);
    let message = Message::read(&mut { source }, &spill).unwrap();
    drop(lines);
    for (aead, signer) in [(false, None), (true, Some(&*alice))] {
        let spec = Seal { aead, ..plain_seal(&bob, signer) };
        let mut sealed = None;
        let grown = growth(|| {
            let edits = seal(&message, &spec, &spill).unwrap();
            sealed = Some(mail::apply(&message, &edits, &spill).unwrap());
        });
        assert!(grown < 32 * 1024, "sealing grew by {grown} KiB, aead {aead}");
        let sealed = sealed.unwrap();
        let grown = growth(|| {
            let opened = sealing::open(
                &sealed,
                sealing::Keys { openpgp: &world, smime: &sealing::smime::NoKeys },
                NOW,
                &spill,
                &Limits::default(),
            )
            .unwrap();
            assert_eq!(opened.layers[0].state, LayerState::Opened);
            assert!(opened.message.unwrap().len() > 30_000_000);
        });
        assert!(grown < 32 * 1024, "opening grew by {grown} KiB, aead {aead}");
    }
    let signed = growth(|| {
        let edits = seal(&message, &plain_seal(&[], Some(&alice)), &spill).unwrap();
        let signed = mail::apply(&message, &edits, &spill).unwrap();
        assert_eq!(world.open(&signed).layers[0].state, LayerState::Valid);
    });
    assert!(signed < 32 * 1024, "signing and verifying grew by {signed} KiB");
}
