//! Signed notes (C2SP signed-note): a text with signature lines.
//!
//! Nobody may act on the text of a note before [`Note::verify`] said who signed it.

use std::fmt;

use crate::encoding::base64;
use crate::encoding::from_base64;
use crate::key::KeyError;
use crate::key::Signer;
use crate::key::Stamp;
use crate::key::VerifierKey;
use crate::key::is_key_name;

/// The largest note that is read, in bytes.
pub const MAX_NOTE: usize = 1_000_000;

/// How many signatures a note may have.
pub const MAX_SIGNATURES: usize = 100;

/// A text and the signatures on it, of which none needs to be valid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// One signature line: `— NAME BASE64(key id || signature)`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signature {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

/// A signature on a note that is valid.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'k> {
    /// Whose.
    pub key: &'k VerifierKey,
    /// What it says.
    pub stamp: Stamp,
}

impl Note {
    /// A note that nobody has signed yet.
    ///
    /// # Errors
    /// If the text is too long, does not end with a newline, or has other control characters.
    pub fn new(text: impl Into<String>) -> Result<Note, NoteError> {
        let text = text.into();
        if text.len() > MAX_NOTE {
            return Err(NoteError::TooLarge);
        }
        if !is_note_text(&text) {
            return Err(NoteError::Malformed);
        }
        Ok(Note { text, signatures: Vec::new() })
    }

    /// Reads a note without trusting it.
    ///
    /// # Errors
    /// If it is too large, has too many signatures or none, or is not the form of a note.
    pub fn parse(bytes: &[u8]) -> Result<Note, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLarge);
        }
        let whole = str::from_utf8(bytes).map_err(|_| NoteError::Malformed)?;
        if !is_note_text(whole) {
            return Err(NoteError::Malformed);
        }
        // The last empty line ends the text; a signature line is never empty.
        let end = whole.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, rest) = whole.split_at(end + 1);
        let lines = rest.get(1..).unwrap_or_default();
        let signatures = lines
            .split_terminator('\n')
            .take(MAX_SIGNATURES + 1)
            .map(|line| Signature::parse(line).ok_or(NoteError::Malformed))
            .collect::<Result<Vec<_>, _>>()?;
        match signatures.len() {
            0 => Err(NoteError::Malformed),
            1..=MAX_SIGNATURES => Ok(Note { text: text.to_owned(), signatures }),
            _ => Err(NoteError::TooManySignatures),
        }
    }

    /// The signed text, with its final newline. Verify before you believe it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures in order, valid or not.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds the signature of a key; it takes the place of an older one by the same key.
    ///
    /// # Errors
    /// If OpenSSL fails or there is no room.
    pub fn sign(&mut self, signer: &Signer) -> Result<(), NoteError> {
        let signature = signer.sign(&self.text)?;
        self.add(signature)
    }

    /// Adds a signature that was made elsewhere; it takes the place of older ones by the same key.
    ///
    /// # Errors
    /// If there is no room.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        self.signatures.retain(|other| other.name != signature.name || other.id != signature.id);
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Who of these keys has signed the text, each once, in the order of the lines. Signatures of other
    /// keys say nothing and are passed over, also when they share the name or the id with one of these.
    ///
    /// # Errors
    /// If a signature that names one of these keys is not valid, if none of them has signed, or if two
    /// of the keys share name and id.
    pub fn verify<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k VerifierKey>,
    ) -> Result<Vec<Verified<'k>>, NoteError> {
        let keys: Vec<_> = keys.into_iter().collect();
        let mut verified: Vec<Verified<'k>> = Vec::new();
        for signature in &self.signatures {
            let mut candidates = keys.iter().copied().filter(|key| key.made(signature));
            let Some(key) = candidates.next() else { continue };
            if candidates.any(|other| other != key) {
                return Err(NoteError::Ambiguous { name: signature.name.clone() });
            }
            let Some(stamp) = key.verify(&self.text, signature) else {
                return Err(NoteError::BadSignature { name: signature.name.clone() });
            };
            if verified.iter().all(|known| known.key != key) {
                verified.push(Verified { key, stamp });
            }
        }
        if verified.is_empty() { Err(NoteError::Unsigned) } else { Ok(verified) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Signature {
    pub(crate) fn new(key: &VerifierKey, bytes: Vec<u8>) -> Signature {
        Signature { name: key.name().to_owned(), id: key.id(), bytes }
    }

    /// Reads a signature line without its newline.
    pub fn parse(line: &str) -> Option<Signature> {
        let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
        let bytes = from_base64(encoded)?;
        let (id, bytes) = bytes.split_first_chunk()?;
        let usable = is_key_name(name) && !bytes.is_empty();
        usable.then(|| Signature {
            name: name.to_owned(),
            id: u32::from_be_bytes(*id),
            bytes: bytes.to_vec(),
        })
    }

    /// The name of the key that is said to have made it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key that is said to have made it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The signature without the key id.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for Signature {
    /// The line without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.bytes);
        write!(f, "— {} {}", self.name, base64(&bytes))
    }
}

/// Why a note is refused.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// Two different keys with one name and id.
    #[error("two of the trusted keys are called {name} and have the same key id")]
    Ambiguous {
        /// Their name.
        name: String,
    },
    /// A known key's signature is not valid.
    #[error("the signature of {name} is not valid")]
    BadSignature {
        /// The name of the key.
        name: String,
    },
    /// The signer failed.
    #[error("the note cannot be signed")]
    Key(#[from] KeyError),
    /// Not the form of a note.
    #[error("this is no signed note")]
    Malformed,
    /// More than [`MAX_NOTE`].
    #[error("the note is larger than {MAX_NOTE} bytes")]
    TooLarge,
    /// More than [`MAX_SIGNATURES`].
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// No known key has signed it.
    #[error("no trusted key has signed the note")]
    Unsigned,
}

fn is_note_text(text: &str) -> bool {
    text.ends_with('\n') && text.bytes().all(|byte| byte >= b' ' || byte == b'\n')
}

#[cfg(test)]
mod tests;
