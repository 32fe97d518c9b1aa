//! Message bodies: in memory up to a limit, above it in an unlinked temporary file.

use std::fmt;
use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where bytes go when there are too many of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spill {
    /// How many bytes of one body stay in memory.
    pub limit: usize,
    /// Directory of the temporary files; they have no name, so nothing is left behind by a crash.
    pub dir: PathBuf,
}

impl Default for Spill {
    fn default() -> Self {
        Self { limit: 1024 * 1024, dir: std::env::temp_dir() }
    }
}

/// An immutable run of bytes. Cloning and slicing share the bytes.
#[derive(Clone)]
pub struct Body {
    store: Store,
    /// First byte of this body in the store.
    start: u64,
    len: u64,
}

#[derive(Clone)]
enum Store {
    Memory(Arc<Vec<u8>>),
    File(Arc<File>),
}

impl Body {
    /// A body of no bytes.
    pub fn empty() -> Self {
        Self::from_vec(Vec::new())
    }

    /// A body in memory, whatever its size.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self { store: Store::Memory(Arc::new(bytes)), start: 0, len }
    }

    /// Number of bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes, if they are in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.store {
            Store::Memory(bytes) => {
                let start = usize::try_from(self.start).ok()?;
                let end = start.checked_add(usize::try_from(self.len).ok()?)?;
                bytes.get(start..end)
            }
            Store::File(_) => None,
        }
    }

    /// The part of this body in `range`, sharing its bytes. A range that reaches past the end is cut.
    #[must_use]
    pub fn slice(&self, range: Range<u64>) -> Self {
        let end = range.end.min(self.len);
        let start = range.start.min(end);
        Self { store: self.store.clone(), start: self.start + start, len: end - start }
    }

    /// Copies the bytes in `range` into memory. A range that reaches past the end is cut.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn read_range(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let part = self.slice(range);
        match &part.store {
            Store::Memory(_) => Ok(part.in_memory().unwrap_or_default().to_vec()),
            Store::File(file) => {
                let len = usize::try_from(part.len).map_err(|_| io::ErrorKind::OutOfMemory)?;
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, part.start)?;
                Ok(bytes)
            }
        }
    }

    /// Reads `range` as a stream; its first byte has position 0. A range that reaches past the end is
    /// cut. At most 64 KiB are held in memory.
    pub fn reader(&self, range: Range<u64>) -> BodyReader {
        BodyReader { body: self.slice(range), position: 0, buffer: Vec::new(), buffer_at: 0 }
    }

    /// Copies everything into memory.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        self.read_range(0..self.len)
    }

    /// Writes every byte to `out`.
    ///
    /// # Errors
    /// The temporary file cannot be read, or `out` refuses.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut reader = self.reader(0..self.len);
        loop {
            let chunk = reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(());
            }
            out.write_all(chunk)?;
            let taken = chunk.len();
            reader.consume(taken);
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from_vec(bytes)
    }
}

/// Shows length and place, never the content: bodies do not belong in logs.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.store {
            Store::Memory(_) => "memory",
            Store::File(_) => "file",
        };
        write!(f, "Body({} bytes in {place})", self.len)
    }
}

/// A stream over a part of a [`Body`]. It holds the bytes alive and borrows nothing.
#[derive(Debug)]
pub struct BodyReader {
    body: Body,
    position: u64,
    /// Bytes of the file from `buffer_at` on; unused for bodies in memory.
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl BodyReader {
    /// Offset of the next byte from the start of the range.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn fill_from_file(&mut self) -> io::Result<()> {
        let Store::File(file) = &self.body.store else { return Ok(()) };
        let buffered = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        if buffered.contains(&self.position) {
            return Ok(());
        }
        let wanted = (self.body.len - self.position).min(BUFFER as u64);
        self.buffer.resize(usize::try_from(wanted).unwrap_or(BUFFER), 0);
        let read = file.read_exact_at(&mut self.buffer, self.body.start + self.position);
        if read.is_err() {
            self.buffer.clear();
        }
        self.buffer_at = self.position;
        read
    }
}

impl BufRead for BodyReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position >= self.body.len {
            return Ok(&[]);
        }
        self.fill_from_file()?;
        let (bytes, at) = match &self.body.store {
            Store::Memory(_) => (self.body.in_memory().unwrap_or_default(), 0),
            Store::File(_) => (self.buffer.as_slice(), self.buffer_at),
        };
        let skip = usize::try_from(self.position - at).unwrap_or(usize::MAX);
        Ok(bytes.get(skip..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.position = self.position.saturating_add(amount as u64).min(self.body.len);
    }
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(out)?;
        self.consume(read);
        Ok(read)
    }
}

impl Seek for BodyReader {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let position = match target {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.body.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// Collects a [`Body`], moving it to an unlinked temporary file once it grows above the limit.
pub struct BodyWriter {
    spill: Spill,
    /// Everything so far, or what the file does not have yet.
    pending: Vec<u8>,
    file: Option<File>,
    len: u64,
}

impl BodyWriter {
    /// A writer that holds nothing yet.
    pub fn new(spill: &Spill) -> Self {
        Self { spill: spill.clone(), pending: Vec::new(), file: None, len: 0 }
    }

    /// Number of bytes written so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The body that was written.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn finish(mut self) -> io::Result<Body> {
        let Some(mut file) = self.file.take() else {
            return Ok(Body::from_vec(self.pending));
        };
        file.write_all(&self.pending)?;
        Ok(Body { store: Store::File(Arc::new(file)), start: 0, len: self.len })
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.pending.len().saturating_add(bytes.len()) > self.spill.limit {
            self.file = Some(tempfile::tempfile_in(&self.spill.dir)?);
        }
        if let Some(file) = &mut self.file
            && self.pending.len() + bytes.len() > BUFFER
        {
            file.write_all(&self.pending)?;
            self.pending = Vec::new();
            if bytes.len() > BUFFER {
                file.write_all(bytes)?;
                self.len += bytes.len() as u64;
                return Ok(bytes.len());
            }
        }
        self.pending.extend_from_slice(bytes);
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    /// Does nothing: a body has no reader before [`BodyWriter::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyWriter({} bytes)", self.len)
    }
}

/// Bytes of a file that are read or written at once.
const BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests;
