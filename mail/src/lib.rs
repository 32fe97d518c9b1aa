//! The message: exact bytes first, meaning second.
//!
//! A [`Message`] is the bytes somebody sent, with spans laid over them: header fields with their own
//! folding and line ends, the blank line, and a [`Body`] that lives in memory or, above a limit, in an
//! unlinked temporary file. Reading and writing any byte string gives the same bytes back. Changes are
//! values ([`Edit`]) that replace spans; they can be applied to the bytes or turned into milter
//! actions, and both ways give the same message. MIME is walked lazily and within [`Limits`].
//!
//! Nothing here re-serialises somebody else's message, performs network I/O or is asynchronous.

mod address;
mod body;
mod content_type;
mod edit;
mod encoded_word;
mod failure;
mod header;
mod message;
mod mime;
mod scan;
mod transfer;

pub use address::Address;
pub use address::AddressError;
pub use address::AddressList;
pub use address::Mailbox;
pub use address::parse_list;
pub use body::Body;
pub use body::BodyReader;
pub use body::BodyWriter;
pub use body::Spill;
pub use content_type::ContentType;
pub use edit::Edit;
pub use edit::MilterAction;
pub use edit::apply;
pub use edit::milter_actions;
pub use failure::Class;
pub use failure::EnhancedCode;
pub use failure::Failure;
pub use header::Field;
pub use header::HeaderSection;
pub use message::Message;
pub use mime::Entity;
pub use scan::Limits;
pub use scan::MimeError;
pub use transfer::TransferEncoding;
