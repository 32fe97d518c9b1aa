//! Follows the packets of a connection from the MTA, so that the log can say why it was ended.
//!
//! The milter library ends a connection whose packets it cannot understand without a word.

use std::time::{Duration, Instant};

/// Commands of milter protocol version 6 (libmilter's `SMFIC_*`).
const COMMANDS: &[u8] = b"ABCDEHKLMNOQRTU";
/// Longest packet the library takes, in bytes with its command.
const LONGEST: u32 = 1 << 20;
/// Length of a complete option negotiation with its command.
const NEGOTIATION: u32 = 13;
/// Silence after which the library ends a connection; it waits a little longer.
const SILENCE: Duration = Duration::from_secs(7200);

/// Where in the stream of packets a connection is.
#[derive(Debug)]
pub struct Packets {
    head: [u8; 5],
    /// Bytes of the next packet's head that have come.
    have: usize,
    /// Bytes of the current packet that are still to come.
    left: u32,
    last: Option<Packet>,
    ended: bool,
    read: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    command: u8,
    length: u32,
}

impl Default for Packets {
    fn default() -> Self {
        Self { head: [0; 5], have: 0, left: 0, last: None, ended: false, read: Instant::now() }
    }
}

impl Packets {
    /// The MTA sent these bytes; none means that it closed the connection.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        self.ended = bytes.is_empty();
        self.read = Instant::now();
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                bytes = bytes.get(count..).unwrap_or_default();
                self.left -= u32::try_from(count).unwrap_or(self.left);
                continue;
            }
            let Some((byte, rest)) = bytes.split_first() else { return };
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *byte;
            }
            bytes = rest;
            self.have += 1;
            if self.have == self.head.len() {
                let [a, b, c, d, command] = self.head;
                let length = u32::from_be_bytes([a, b, c, d]);
                self.last = Some(Packet { command, length });
                (self.have, self.left) = (0, length.saturating_sub(1));
            }
        }
    }

    /// The connection broke.
    pub fn broke(&mut self) {
        self.ended = true;
    }

    /// Why the connection, now closed, did not end as it should; `None` if it did.
    pub fn complaint(&self) -> Option<String> {
        let inside = self.have > 0 || self.left > 0;
        let Some(Packet { command, length }) = self.last else {
            return (self.ended && inside).then(|| "the MTA hung up inside its first packet".to_owned());
        };
        let name = char::from(command).escape_default();
        if !COMMANDS.contains(&command) {
            return Some(format!("unknown command `{name}` in a packet of {length} bytes"));
        }
        if length > LONGEST {
            return Some(format!("a packet `{name}` of {length} bytes is longer than {LONGEST}"));
        }
        match self.ended {
            true if inside => {
                Some(format!("the MTA hung up inside or after a packet `{name}` of {length} bytes"))
            }
            true => None,
            // Ended by us in good order. A refused negotiation has been logged.
            false if command == b'Q' || (command == b'O' && length >= NEGOTIATION) => None,
            false if self.read.elapsed() > SILENCE => Some("the MTA was silent for two hours".to_owned()),
            false => Some(format!("a packet `{name}` of {length} bytes cannot be understood")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(bytes: &[u8], end: bool) -> Option<String> {
        let mut packets = Packets::default();
        // In the smallest pieces, as the network may bring them.
        bytes.iter().for_each(|byte| packets.follow(&[*byte]));
        if end {
            packets.follow(&[]);
        }
        packets.complaint()
    }

    #[test]
    fn a_good_end_is_no_complaint() {
        assert_eq!(complaint(b"", true), None);
        assert_eq!(complaint(b"\0\0\0\x0dO\0\0\0\x06\0\0\0\0\0\0\0\0", false), None);
        assert_eq!(complaint(b"\0\0\0\x03Hx\0\0\0\0\x01Q", false), None);
        assert_eq!(complaint(b"\0\0\0\x03Hx\0", true), None);
    }

    #[test]
    fn a_bad_packet_is_named() {
        let named = |bytes: &[u8], end, what: &str| {
            let complaint = complaint(bytes, end).unwrap();
            assert!(complaint.contains(what), "{complaint}");
        };
        named(b"\0\0\0\x02!x", false, "unknown command `!`");
        named(b"\0\0\0\x02\0x", false, "unknown command `\\u{0}`");
        named(b"\x7f\xff\xff\xffB", false, "`B` of 2147483647 bytes is longer than 1048576");
        named(b"\0\0\0\x09Bxx", true, "inside or after a packet `B`");
        named(b"\0\0", true, "inside its first packet");
        named(b"\0\0\0\x04Mabc", false, "`M` of 4 bytes cannot be understood");
        named(b"\0\0\0\x02O1", false, "`O` of 2 bytes cannot be understood");
    }

    #[test]
    fn packets_may_come_in_any_pieces() {
        let stream = b"\0\0\0\x03Hx\0\0\0\0\x06Bhello\0\0\0\x01E";
        for size in 1..stream.len() {
            let mut packets = Packets::default();
            stream.chunks(size).for_each(|chunk| packets.follow(chunk));
            assert_eq!((packets.have, packets.left), (0, 0));
            assert!(matches!(packets.last, Some(Packet { command: b'E', length: 1 })));
        }
    }
}
