//! CompressedData (RFC 3274).

use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;

use flate2::bufread::ZlibDecoder;
use mail::Body;
use mail::BodyWriter;
use mail::Spill;

use super::algorithm::Algorithm;
use super::ber::BerError;
use super::ber::BerLimits;
use super::ber::BerReader;
use super::ber::Octets;
use super::ber::Tag;
use super::content_info;
use super::content_info::ContentKind;
use super::envelope::is_damage;
use super::oid;
use crate::Limits;

/// What decompressing gave.
#[derive(Clone, Debug)]
pub struct Decompressed {
    /// The content.
    pub content: Body,
    /// What the content says it is.
    pub inner: ContentKind,
}

/// Why content was not decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// The object is not whole, or the compressed octets are no compressed octets.
    #[error("damaged: {0}")]
    Damaged(String),
    /// A file failed; not the message's fault. Worth another try.
    #[error("local error in decompression")]
    Io(#[from] io::Error),
    /// More than [`Limits::opened_bytes`], or more than [`Limits::ratio`] times its compressed size.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// An algorithm or a form that is not supported.
    #[error("not supported: {0}")]
    Unsupported(String),
}

impl From<BerError> for DecompressError {
    fn from(error: BerError) -> DecompressError {
        match error {
            BerError::Io(error) if is_damage(&error) => DecompressError::Damaged(error.to_string()),
            BerError::Io(error) => DecompressError::Io(error),
            BerError::TooLarge => DecompressError::TooLarge("structure beside the content"),
            other => DecompressError::Damaged(other.to_string()),
        }
    }
}

/// Decompresses a CompressedData, from its ContentInfo on. What comes behind the object is not read.
///
/// # Errors
/// See [`DecompressError`]; `Io` is worth another try.
pub fn decompress(
    input: &mut dyn Read,
    spill: &Spill,
    limits: &Limits,
) -> Result<Decompressed, DecompressError> {
    let mut ber = BerReader::new(BufReader::with_capacity(PIECE, input), BerLimits::default());
    let kind = content_info::enter(&mut ber)?;
    if kind != ContentKind::CompressedData {
        return Err(DecompressError::Unsupported(format!("{kind} where compressed content belongs")));
    }
    ber.enter(Tag::SEQUENCE)?;
    ber.small_integer()?;
    let algorithm = Algorithm::read(&mut ber)?;
    if algorithm.oid != oid::ZLIB {
        return Err(DecompressError::Unsupported(format!("compression {}", oid::dotted(&algorithm.oid))));
    }
    ber.enter(Tag::SEQUENCE)?;
    let inner = ContentKind::from_oid(&ber.primitive(Tag::OBJECT_ID)?);
    ber.enter(Tag::context(0))?;
    let content = inflate(ber.octets(Tag::OCTET_STRING)?, spill, limits)?;
    ber.leave()?;
    ber.leave()?;
    ber.leave()?;
    content_info::leave(&mut ber)?;
    Ok(Decompressed { content, inner })
}

/// Decompresses while the result stays within the limits.
fn inflate<R: io::BufRead>(
    octets: Octets<'_, R>,
    spill: &Spill,
    limits: &Limits,
) -> Result<Body, DecompressError> {
    let mut decoder = ZlibDecoder::new(octets);
    let mut out = BodyWriter::new(spill);
    let mut piece = vec![0; PIECE];
    loop {
        let octets = match decoder.read(&mut piece) {
            Ok(0) => break,
            Ok(octets) => octets,
            Err(error) => return Err(decoder_error(error)),
        };
        out.write_all(piece.get(..octets).unwrap_or_default())?;
        if out.len() > limits.opened_bytes {
            return Err(DecompressError::TooLarge("decompressed content"));
        }
        let compressed = decoder.total_in().max(SMALL);
        if out.len() / limits.ratio.max(1) > compressed {
            return Err(DecompressError::TooLarge("decompressed content, compared with its compressed size"));
        }
    }
    // What follows the compressed octets belongs to nothing.
    decoder.get_mut().drain()?;
    Ok(out.finish()?)
}

/// The decoder answers for its source and for what it reads there.
fn decoder_error(error: io::Error) -> DecompressError {
    match BerError::from(error) {
        BerError::Io(error) if error.kind() == io::ErrorKind::InvalidInput => {
            DecompressError::Damaged("no zlib stream".into())
        }
        other => other.into(),
    }
}

/// Content is decompressed in pieces of this size.
const PIECE: usize = 64 * 1024;
/// The ratio of very small content says nothing.
const SMALL: u64 = 512;
