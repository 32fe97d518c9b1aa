//! Cryptography on messages: what makes mail unreadable for others, and what proves who wrote it.
//!
//! [`recognise`] says how a message is protected, by its structure alone; [`open`] decrypts and verifies
//! layer by layer, whichever of the two standards each follows. [`openpgp::seal`] and [`smime::seal`]
//! protect. All of them answer with [`mail::Edit`]s on the message they were given and never touch a byte
//! that is not theirs.
//!
//! Nothing here reads the clock or holds a key of its own: the time is an argument, keys come through
//! [`Keys`].

pub mod cms;
pub mod custody;
pub mod disclaimer;
pub mod openpgp;
pub mod smime;

mod author;
mod body_text;
mod canonical;
mod forms;
mod header;
mod open;
mod parts;
mod recognise;
mod result;
mod rope;
mod splice;
mod transfer;

pub use header::HeaderProtection;
pub use open::Keys;
pub use open::ToSign;
pub use open::open;
pub use open::to_sign;
pub use recognise::Form;
pub use recognise::FormKind;
pub use recognise::Protection;
pub use recognise::Recognised;
pub use recognise::recognise;
pub use result::Announced;
pub use result::Binding;
pub use result::Brought;
pub use result::Layer;
pub use result::LayerKind;
pub use result::LayerState;
pub use result::Limits;
pub use result::MAX_GOSSIP;
pub use result::OpenError;
pub use result::Opened;
