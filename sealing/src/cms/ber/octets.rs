//! The octets of an OCTET STRING as a stream.

use std::io;
use std::io::BufRead;
use std::io::Read;

use super::BerError;
use super::BerReader;
use super::Header;
use super::Tag;

/// The octets of one OCTET STRING, cut into pieces (X.690 section 8.7.3) or not.
pub(crate) struct Octets<'a, R> {
    reader: &'a mut BerReader<R>,
    /// Elements that were open before the string.
    outside: usize,
    /// Octets left in the piece at hand.
    left: u64,
    done: bool,
}

impl<'a, R: BufRead> Octets<'a, R> {
    pub(super) fn new(reader: &'a mut BerReader<R>, header: Header) -> Result<Octets<'a, R>, BerError> {
        let outside = reader.open.len();
        let left = match (header.constructed, header.length) {
            (false, length) => length.unwrap_or(0),
            (true, _) => {
                reader.push(header)?;
                0
            }
        };
        Ok(Octets { reader, outside, left, done: !header.constructed })
    }

    /// The next octets, as many as are at hand; none at the end of the string.
    pub(crate) fn chunk(&mut self) -> Result<&[u8], BerError> {
        while self.left == 0 {
            if self.done {
                return Ok(&[]);
            }
            self.next_piece()?;
        }
        let chunk = super::fill(&mut self.reader.input)?;
        let at_hand = usize::try_from(self.left).unwrap_or(usize::MAX).min(chunk.len());
        Ok(chunk.get(..at_hand).unwrap_or_default())
    }

    /// Takes octets that [`Octets::chunk`] gave.
    pub(crate) fn advance(&mut self, octets: usize) {
        let octets = octets.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.reader.advance(octets);
        self.left -= octets as u64;
    }

    /// Reads to the end and forgets what comes.
    pub(crate) fn drain(&mut self) -> Result<(), BerError> {
        loop {
            let octets = self.chunk()?.len();
            if octets == 0 {
                return Ok(());
            }
            self.advance(octets);
        }
    }

    pub(super) fn charge(&mut self, octets: u64) -> Result<(), BerError> {
        self.reader.charge(octets)
    }

    fn next_piece(&mut self) -> Result<(), BerError> {
        match self.reader.header()? {
            None => {
                self.reader.leave()?;
                self.done = self.reader.open.len() == self.outside;
            }
            // Headers of pieces are not structure: a large content may have very many.
            Some(header) if header.tag == Tag::OCTET_STRING => {
                self.reader.next = None;
                match header.constructed {
                    true => self.reader.push(header)?,
                    false => self.left = header.length.unwrap_or(0),
                }
            }
            Some(_) => return Err(BerError::Malformed("a piece of an OCTET STRING is something else")),
        }
        Ok(())
    }
}

impl<R: BufRead> BufRead for Octets<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.chunk()?)
    }

    fn consume(&mut self, octets: usize) {
        self.advance(octets);
    }
}

impl<R: BufRead> Read for Octets<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.chunk()?.read(out)?;
        self.advance(read);
        Ok(read)
    }
}
