//! Witnesses (C2SP tlog-witness): they cosign a checkpoint only if it continues all that they cosigned
//! before, so that a log cannot show different trees to different people.
//!
//! [`Witness`] is the side that is asked, [`Submission`] the side that asks. Neither knows HTTP: a
//! request is a body for `POST <prefix>/add-checkpoint`, an answer is a status and a body.

mod client;
mod request;
mod server;

pub use client::AnswerError;
pub use client::CosignError;
pub use client::Next;
pub use client::Submission;
pub use client::cosign;
pub use request::AddCheckpoint;
pub use request::NoRequest;
pub use server::Answer;
pub use server::Witness;
pub use server::WitnessError;

/// The largest request or answer that is read, in bytes.
pub const MAX_BODY: usize = 256 * 1024;

/// The media type of an answer that is a size.
pub const SIZE_TYPE: &str = "text/x.tlog.size";

#[cfg(test)]
mod tests;
