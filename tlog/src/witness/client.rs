//! The side that asks.

use super::AddCheckpoint;
use super::MAX_BODY;
use crate::checkpoint::SignedCheckpoint;
use crate::encoding::from_decimal;
use crate::key::VerifierKey;
use crate::note::Signature;
use crate::tiles::Reader;
use crate::tiles::Source;
use crate::tiles::TilesError;

/// How often a witness may name another size: it may have been asked by another at the same time.
const ATTEMPTS: u32 = 3;

/// Obtains the cosignature of one witness, answer by answer; the caller carries the bodies.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    checkpoint: &'a SignedCheckpoint,
    witness: &'a VerifierKey,
    old: u64,
    attempts: u32,
}

/// What to do after an answer.
#[derive(Clone, Debug)]
pub enum Next {
    /// Done.
    Cosigned(Signature),
    /// Send the request anew: the witness knows another size.
    Again,
}

impl<'a> Submission<'a> {
    /// Begins. `old` is the size that the witness is believed to know; 0 if nobody remembers.
    pub fn new(checkpoint: &'a SignedCheckpoint, witness: &'a VerifierKey, old: u64) -> Submission<'a> {
        let old = old.min(checkpoint.checkpoint().size());
        Submission { checkpoint, witness, old, attempts: ATTEMPTS }
    }

    /// The body to send to `<prefix>/add-checkpoint`.
    ///
    /// # Errors
    /// If the tiles do not yield the proof.
    pub fn request<S: Source>(&self, reader: &Reader<S>) -> Result<AddCheckpoint, TilesError> {
        Ok(AddCheckpoint {
            old: self.old,
            proof: reader.consistency(self.old, self.checkpoint.checkpoint().size())?,
            checkpoint: self.checkpoint.note().clone(),
        })
    }

    /// Takes the answer, its HTTP status and its body.
    ///
    /// # Errors
    /// If the witness refuses, knows more than there is, or does not answer as a witness does.
    pub fn answer(&mut self, status: u16, body: &[u8]) -> Result<Next, AnswerError> {
        match status {
            200 => self.cosignature(body).map(Next::Cosigned),
            409 => self.conflict(body),
            status => Err(AnswerError::Refused { status }),
        }
    }

    fn cosignature(&self, body: &[u8]) -> Result<Signature, AnswerError> {
        let text = text(body)?;
        for line in text.split_terminator('\n') {
            let signature = Signature::parse(line).ok_or(AnswerError::Malformed)?;
            if self.witness.made(&signature) {
                let valid = self.witness.verify(self.checkpoint.note().text(), &signature).is_some();
                return if valid { Ok(signature) } else { Err(AnswerError::BadSignature) };
            }
        }
        Err(AnswerError::NotCosigned)
    }

    fn conflict(&mut self, body: &[u8]) -> Result<Next, AnswerError> {
        let known = text(body)?.strip_suffix('\n').and_then(from_decimal).ok_or(AnswerError::Malformed)?;
        let size = self.checkpoint.checkpoint().size();
        if known > size {
            return Err(AnswerError::Ahead { known, size });
        }
        if known == self.old {
            // Only where no proof was needed can this be about the root.
            let split = known == size;
            return Err(if split { AnswerError::SplitView { size } } else { AnswerError::Malformed });
        }
        self.attempts = self.attempts.checked_sub(1).ok_or(AnswerError::Unsteady)?;
        self.old = known;
        Ok(Next::Again)
    }
}

/// Obtains the cosignature of one witness. `send` posts a body to it and returns status and body of
/// the answer; `reader` reads the tree of the checkpoint; `old` as with [`Submission::new`].
///
/// # Errors
/// If `send` fails, the tiles do not yield a proof, or the witness refuses.
pub fn cosign<S: Source, E>(
    checkpoint: &SignedCheckpoint,
    witness: &VerifierKey,
    old: u64,
    reader: &Reader<S>,
    mut send: impl FnMut(&[u8]) -> Result<(u16, Vec<u8>), E>,
) -> Result<Signature, CosignError<E>> {
    let mut submission = Submission::new(checkpoint, witness, old);
    loop {
        let request = submission.request(reader)?.to_string();
        let (status, body) = send(request.as_bytes()).map_err(CosignError::Send)?;
        if let Next::Cosigned(signature) = submission.answer(status, &body)? {
            return Ok(signature);
        }
    }
}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The witness knows a larger tree: this log has lost entries, or another writes to it too.
    #[error(
        "the witness knows {known} entries of this log, which has {size}: was it restored from a backup?"
    )]
    Ahead {
        /// What it knows.
        known: u64,
        /// What there is.
        size: u64,
    },
    /// A cosignature by the witness's key that is not valid.
    #[error("the cosignature is not valid")]
    BadSignature,
    /// Not the form of an answer.
    #[error("this is no answer of a witness")]
    Malformed,
    /// None of the cosignatures is of the witness's key.
    #[error("the answer has no cosignature of the witness's key")]
    NotCosigned,
    /// It does not cosign.
    #[error("the witness refuses with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The witness says that it knows the same size with another root.
    #[error("the witness says that it knows another tree of {size} entries")]
    SplitView {
        /// The size.
        size: u64,
    },
    /// It named another size every time.
    #[error("the witness names another size every time")]
    Unsteady,
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum CosignError<E> {
    /// The answer.
    #[error("the answer of the witness is of no use")]
    Answer(#[from] AnswerError),
    /// The transport failed.
    #[error("the witness cannot be reached")]
    Send(#[source] E),
    /// The tiles do not yield the proof.
    #[error("the consistency proof cannot be made")]
    Tiles(#[from] TilesError),
}

fn text(body: &[u8]) -> Result<&str, AnswerError> {
    str::from_utf8(body).ok().filter(|_| body.len() <= MAX_BODY).ok_or(AnswerError::Malformed)
}
