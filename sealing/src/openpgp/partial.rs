//! Packets whose length is not known when they begin (RFC 9580 section 4.2.1.4).

use std::io;
use std::io::Write;

/// The power of two whose octets make one partial body; at least 9 is asked for.
const CHUNK_POWER: u8 = 16;
const CHUNK: usize = 1 << CHUNK_POWER;

/// Writes one packet, its body in pieces of 64 KiB.
pub(crate) struct PartialBody<W: Write> {
    inner: W,
    pending: Vec<u8>,
}

impl<W: Write> PartialBody<W> {
    /// Starts a packet with this type id (RFC 9580 section 5).
    pub(crate) fn new(mut inner: W, type_id: u8) -> io::Result<PartialBody<W>> {
        inner.write_all(&[0xc0 | type_id])?;
        Ok(PartialBody { inner, pending: Vec::new() })
    }

    /// Writes the last piece; gives the inner writer back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        // Fewer than 2¹⁶ octets are pending, which all three forms of a length can tell.
        let [_, _, high, low] = (self.pending.len() as u32).to_be_bytes();
        match self.pending.len() {
            0..192 => self.inner.write_all(&[low])?,
            length @ 192..8384 => {
                let [high, low] = ((length - 192) as u16).to_be_bytes();
                self.inner.write_all(&[high + 192, low])?;
            }
            _ => self.inner.write_all(&[255, 0, 0, high, low])?,
        }
        self.inner.write_all(&self.pending)?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for PartialBody<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        if !self.pending.is_empty() {
            let Some((fill, after)) = rest.split_at_checked(CHUNK - self.pending.len()) else {
                self.pending.extend_from_slice(rest);
                return Ok(bytes.len());
            };
            self.pending.extend_from_slice(fill);
            self.inner.write_all(&[0xe0 | CHUNK_POWER])?;
            self.inner.write_all(&self.pending)?;
            self.pending.clear();
            rest = after;
        }
        while let Some((chunk, after)) = rest.split_at_checked(CHUNK) {
            self.inner.write_all(&[0xe0 | CHUNK_POWER])?;
            self.inner.write_all(chunk)?;
            rest = after;
        }
        self.pending.extend_from_slice(rest);
        Ok(bytes.len())
    }

    /// Does nothing: only whole pieces can be written before the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use sequoia_openpgp::Packet;
    use sequoia_openpgp::parse::Parse;

    #[test]
    fn packets_of_every_length_are_read_as_they_were_written() {
        for length in [0, 1, 191, 192, 8383, 8384, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 500] {
            let body: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            for step in [1000, CHUNK, usize::MAX] {
                let mut packet = PartialBody::new(Vec::new(), 11).unwrap();
                packet.write_all(&[b'b', 0, 0, 0, 0, 0]).unwrap();
                body.chunks(step).for_each(|piece| packet.write_all(piece).unwrap());
                let packet = packet.finish().unwrap();
                let Packet::Literal(literal) = Packet::from_bytes(&packet).unwrap() else { panic!() };
                assert!(literal.body() == body, "{length} in steps of {step}");
            }
        }
    }
}
