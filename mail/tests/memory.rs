//! A large message passes through parsing, walking, decoding and editing in a bounded amount of memory.
//!
//! This is a program of its own, so that no other test's memory is counted.

use std::fs;
use std::io::Read;
use std::time::Instant;

use mail::Edit;
use mail::Limits;
use mail::Message;
use mail::Spill;

#[test]
fn thirty_megabytes_take_less_than_eight_of_memory() {
    let line = [vec![b'Q'; 76], b"\r\n".to_vec()].concat();
    let attachment = std::iter::repeat_n(line, 30 * 1024 * 1024 / 78).flatten();
    let head =
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let bytes = head.iter().copied().chain(attachment).chain(*b"--b--\r\n");
    let mut reader = Generated(bytes);
    let spill = Spill::default();
    let (before, start) = (peak(), Instant::now());

    let message = Message::read(&mut reader, &spill).unwrap();
    assert!(message.body().in_memory().is_none());
    let entities = message.entity().walk(&Limits::default()).unwrap();
    assert_eq!(entities.len(), 2);
    let decoded = entities[1].decoded(&spill).unwrap();
    assert!(decoded.len() > 22_000_000 && decoded.in_memory().is_none());
    let wrap = Edit::Wrap {
        content_type: b" multipart/mixed; boundary=c".to_vec(),
        prologue: b"--c\r\n".to_vec(),
        epilogue: b"\r\n--c--\r\n".to_vec(),
    };
    let wrapped = mail::apply(&message, std::slice::from_ref(&wrap), &spill).unwrap();
    assert_eq!(wrapped.entity().walk(&Limits::default()).unwrap().len(), 3);
    assert_eq!(mail::milter_actions(&message, &[wrap], &spill).unwrap().len(), 3);
    wrapped.write_to(&mut std::io::sink()).unwrap();

    let grown = peak() - before;
    assert!(grown < 8 * 1024 * 1024, "{grown} bytes");
    eprintln!("{grown} bytes, {:?}", start.elapsed());
}

/// The largest resident size so far, in bytes.
#[expect(clippy::unwrap_used, reason = "a test that cannot measure has failed")]
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

struct Generated<I>(I);

impl<I: Iterator<Item = u8>> Read for Generated<I> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let mut len = 0;
        for (slot, byte) in out.iter_mut().zip(&mut self.0) {
            *slot = byte;
            len += 1;
        }
        Ok(len)
    }
}
