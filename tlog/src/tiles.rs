//! A log as static files (C2SP tlog-tiles): any web server can serve it, any client can prove from it.
//!
//! ```text
//! checkpoint                the signed size and root; replaced last
//! tile/L/N[.p/W]            up to 256 hashes of level L, side by side
//! tile/entries/N[.p/W]      up to 256 entries, each after its length in two bytes
//! .sealed                   the last checkpoint that was signed, maybe not published yet
//! .lock                     held by the one writer
//! ```
//!
//! [`Writer`] makes such a directory, [`Reader`] computes roots and proofs from it, from wherever
//! [`Source`] has the files. The reader believes no tile: each hash is checked up to the root.

mod path;
mod reader;
mod source;
mod writer;

pub use path::Content;
pub use path::NoTile;
pub use path::Tile;
pub use reader::Reader;
pub use source::Directory;
pub use source::Source;
pub use writer::Writer;

use crate::checkpoint::CheckpointError;
use crate::files::FilesError;

/// How many hashes or entries a full tile has.
pub const WIDTH: u64 = 256;

/// The largest entry, in bytes: its length is written in two.
pub const MAX_ENTRY: usize = 65_535;

/// Why tiles cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TilesError {
    /// The checkpoint or the sealed checkpoint is not one of this log.
    #[error("the checkpoint in {file} is refused")]
    Checkpoint {
        /// Which file.
        file: String,
        /// Why.
        source: CheckpointError,
    },
    /// A file has another content than the root demands: it was changed, or is of another log.
    #[error("{path} does not belong to the tree of the checkpoint")]
    Disagrees {
        /// Which file.
        path: String,
    },
    /// An earlier call failed halfway; open the directory anew.
    #[error("an earlier write to the log failed; it has to be opened anew")]
    Interrupted,
    /// There is a log already where one should begin.
    #[error("there is already a log: {path} exists")]
    Exists {
        /// What is there.
        path: String,
    },
    /// A file could not be read or written.
    #[error("cannot use {path}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another process writes to this directory.
    #[error("another process writes to this log")]
    Locked,
    /// A file that the checkpoint demands is not there.
    #[error("{path} is missing")]
    Missing {
        /// Which file.
        path: String,
    },
    /// There is no such leaf, or the tree is smaller than what was asked.
    #[error("the tree has {size} leaves")]
    NoSuchLeaf {
        /// How many.
        size: u64,
    },
    /// What should be published is not what was sealed last.
    #[error("only the checkpoint that was sealed last can be published")]
    NotSealed,
    /// The checkpoint cannot be signed, or is not signed with the key of the log.
    #[error("the log cannot sign this checkpoint")]
    Sign(#[source] CheckpointError),
    /// More than [`MAX_ENTRY`].
    #[error("an entry of {bytes} bytes is too large")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl From<FilesError> for TilesError {
    fn from(error: FilesError) -> TilesError {
        match error {
            FilesError::Io { path, source } => TilesError::Io { path, source },
            FilesError::Locked => TilesError::Locked,
        }
    }
}

#[cfg(test)]
mod tests;
