//! Large mail is signed and verified in small memory.
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

#[path = "cms_signed/pki.rs"]
mod pki;

use std::io;
use std::io::Read;
use std::io::Write;

use mail::BodyWriter;
use mail::Spill;
use sealing::Limits;
use sealing::cms::OpaqueSigned;
use sealing::cms::Signer;
use sealing::cms::empty_layer;
use sealing::cms::sign_detached;
use sealing::cms::sign_opaque;
use sealing::cms::verify_detached;
use sealing::cms::verify_opaque;

use pki::*;

const MEGABYTES: u64 = 50;

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

fn large(out: &mut dyn Write) -> io::Result<()> {
    let line = [&[b'A'; 76][..], b"\r\n"].concat();
    io::copy(&mut io::repeat(b'x').take(1 << 20), &mut &mut *out)?;
    (0..(MEGABYTES - 1) * 1_000_000 / 78).try_for_each(|_| out.write_all(&line))
}

#[test]
fn fifty_megabytes_are_signed_and_verified_within_8_mib() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let signer = Signer::new(&alice, now());
    let spill = Spill::default();
    let limits = Limits::default();
    let mut plain = BodyWriter::new(&spill);
    large(&mut plain).unwrap();
    let plain = plain.finish().unwrap();
    // The library is loaded and warm.
    sign_detached(&signer, |out| out.write_all(CONTENT)).unwrap();

    let mut clear = Vec::new();
    let grown = growth(|| clear = sign_detached(&signer, large).unwrap());
    assert!(grown < 8 * 1024, "signing grew by {grown} KiB");
    let grown = growth(|| {
        let verified = verify_detached(&clear, &mut plain.reader(0..plain.len()), &[], &limits).unwrap();
        assert_holds(&verified, alice.certificate());
    });
    assert!(grown < 8 * 1024, "verifying grew by {grown} KiB");

    let mut whole = None;
    let grown = growth(|| {
        let mut out = BodyWriter::new(&spill);
        sign_opaque(&mut out, &signer, large).unwrap();
        whole = Some(out.finish().unwrap());
    });
    assert!(grown < 8 * 1024, "opaque signing grew by {grown} KiB");
    let whole = whole.unwrap();
    let length = OpaqueSigned::new(&signer, large).unwrap().encoded_len();
    assert!(length.abs_diff(whole.len()) <= 2, "an ECDSA signature varies in length by two octets");
    let grown = growth(|| {
        let verified = verify_opaque(&mut whole.reader(0..whole.len()), &[], &spill, &limits).unwrap();
        assert_holds(&verified, alice.certificate());
        assert_eq!(verified.content.unwrap().len(), plain.len());
    });
    assert!(grown < 8 * 1024, "opaque verifying grew by {grown} KiB");
    let grown = growth(|| {
        let mut out = BodyWriter::new(&spill);
        empty_layer(&mut out, plain.len(), large).unwrap();
        let out = out.finish().unwrap();
        let verified = verify_opaque(&mut out.reader(0..out.len()), &[], &spill, &limits).unwrap();
        assert_eq!(verified.content.unwrap().len(), plain.len());
    });
    assert!(grown < 8 * 1024, "an empty layer grew by {grown} KiB");
}

#[test]
fn a_content_that_changes_between_signing_and_writing_is_an_error() {
    let ca = Ca::new();
    let alice = ca.identity(ALICE, Kind::P256);
    let signed = OpaqueSigned::new(&Signer::new(&alice, now()), |out| out.write_all(b"12345")).unwrap();
    for other in [&b"1234"[..], b"123456"] {
        assert!(signed.write_to(&mut Vec::new(), |out| out.write_all(other)).is_err());
    }
    let mut out = Vec::new();
    signed.write_to(&mut out, |out| out.write_all(b"12345")).unwrap();
    assert_eq!(out.len() as u64, signed.encoded_len());
    assert!(empty_layer(&mut Vec::new(), 4, |out| out.write_all(b"12345")).is_err());
}
