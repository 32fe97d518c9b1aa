//! What somebody wrote to the submission address, once it is opened: a key, or the answer to a challenge
//! (draft-koch-openpgp-webkey-service-22 sections 4.2 and 4.4).

use mail::{ContentType, Entity, Limits, Message, MimeError, Spill};

/// Most bytes of one letter as it arrives, ciphertext and all.
pub const MOST: u64 = 4 << 20;
/// Most bytes of the part that counts, decoded.
const MOST_CONTENT: u64 = 1 << 20;
/// Most bytes of an answer.
const MOST_ANSWER: usize = 8 << 10;
/// Parts that are looked at; a footer of a list or a text beside the key is borne.
const LIMITS: Limits = Limits { depth: 8, parts: 32, header_bytes: 64 << 10 };
/// Octets of a nonce (section 4.3).
const NONCE: std::ops::RangeInclusive<usize> = 16..=64;

/// A letter to the submission address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    /// A key that is to be published; what it is was not looked at.
    Key(Vec<u8>),
    /// The answer to a challenge.
    Response(Response),
}

/// The answer to a challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The mailbox whose key is confirmed.
    pub address: String,
    /// What was encrypted to the key: letters and digits.
    pub nonce: String,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why a letter cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LetterError {
    /// A temporary file failed; worth another try.
    #[error("a temporary file failed while a letter was read")]
    Io(#[from] std::io::Error),
    /// Its parts cannot be told from each other.
    #[error("its MIME structure cannot be read")]
    Mime(#[source] MimeError),
    /// None of its parts is a key or an answer.
    #[error("it holds neither a key (application/pgp-keys) nor a confirmation (application/vnd.gnupg.wks)")]
    Neither,
    /// More than one is.
    #[error("it holds more than one key or confirmation")]
    Several,
    /// The part that counts is too large.
    #[error("its key has more than {MOST_CONTENT} bytes")]
    TooLarge,
    /// The answer is none.
    #[error("its confirmation cannot be read: {0}")]
    Answer(&'static str),
}

impl Letter {
    /// Reads an opened message.
    ///
    /// # Errors
    /// [`LetterError`].
    pub fn read(message: &Message, spill: &Spill) -> Result<Self, LetterError> {
        let parts = message.entity().walk(&LIMITS).map_err(|error| match error {
            MimeError::Io(error) => LetterError::Io(error),
            other => LetterError::Mime(other),
        })?;
        let mut counts = parts.iter().filter_map(|part| Some((part, kind(&part.content_type())?)));
        let (Some((part, kind)), None) = (counts.next(), counts.next()) else {
            let any = parts.iter().any(|part| self::kind(&part.content_type()).is_some());
            return Err(if any { LetterError::Several } else { LetterError::Neither });
        };
        let content = content(part, spill)?;
        match kind {
            Kind::Key => Ok(Self::Key(content)),
            Kind::Answer => Response::read(&content).map(Self::Response).map_err(LetterError::Answer),
        }
    }
}

impl Response {
    /// Reads the lines `name: value`. Names are compared without regard to case; those that are unknown do not
    /// matter, those that matter stand there once.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn read(text: &[u8]) -> Result<Self, &'static str> {
        if text.len() > MOST_ANSWER {
            return Err("it is too long");
        }
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
        let (mut kind, mut address, mut nonce) = (None, None, None);
        for line in text.split('\n').map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or("it has a line without a colon")?;
            if value.contains(|c: char| c.is_control() && c != '\t') {
                return Err("it holds control characters");
            }
            let slot = match name.to_ascii_lowercase().as_str() {
                "type" => &mut kind,
                "address" => &mut address,
                "nonce" => &mut nonce,
                _ => continue,
            };
            if slot.replace(value.trim_matches([' ', '\t'])).is_some() {
                return Err("it says something twice");
            }
        }
        if kind != Some("confirmation-response") {
            return Err("it is no confirmation-response");
        }
        let address = address.filter(|address| !address.is_empty()).ok_or("it names no address")?;
        let nonce = nonce.ok_or("it holds no nonce")?;
        if !NONCE.contains(&nonce.len()) || !nonce.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err("its nonce is none");
        }
        Ok(Self { address: address.to_owned(), nonce: nonce.to_owned() })
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Key,
    Answer,
}

fn kind(content_type: &ContentType) -> Option<Kind> {
    match () {
        () if content_type.is("application", "pgp-keys") => Some(Kind::Key),
        () if content_type.is("application", "vnd.gnupg.wks") => Some(Kind::Answer),
        () => None,
    }
}

fn content(part: &Entity<'_>, spill: &Spill) -> Result<Vec<u8>, LetterError> {
    // No transfer encoding makes content larger than it arrived.
    if part.content().len() > MOST {
        return Err(LetterError::TooLarge);
    }
    let decoded = part.decoded(spill)?;
    if decoded.len() > MOST_CONTENT {
        return Err(LetterError::TooLarge);
    }
    Ok(decoded.to_vec()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_an_answer_or_refused_and_an_answer_reads_back(
            lines in proptest::collection::vec(
                "(type|address|nonce|Nonce|sender|x)(:|: |)(confirmation-response|[a-z0-9]{14,20}|.{0,12})(\n|\r\n|\r|)",
                0..6,
            ),
        ) {
            let text = format!("type: confirmation-response\n{}", lines.concat());
            if let Ok(Response { address, nonce }) = Response::read(text.as_bytes()) {
                prop_assert!(NONCE.contains(&nonce.len()) && nonce.bytes().all(|b| b.is_ascii_alphanumeric()));
                let again = format!("type: confirmation-response\r\naddress: {address}\r\nnonce: {nonce}\r\n");
                prop_assert_eq!(Response::read(again.as_bytes()), Ok(Response { address, nonce }));
            }
        }
    }

    fn read(text: &str) -> Result<Letter, LetterError> {
        Letter::read(&Message::parse(text.replace('\n', "\r\n").as_bytes()), &Spill::default())
    }

    const ANSWER: &str = "type: confirmation-response\nsender: keys@alpha.example\naddress: alice@alpha.example\n\
                          nonce: abcdefghijklmnopqrstuvwxyz012345\n";

    #[test]
    fn a_key_is_found_alone_or_among_other_parts() {
        let alone = read("From: a@b\nContent-Type: application/pgp-keys\n\nKEY\n").unwrap();
        assert_eq!(alone, Letter::Key(b"KEY\r\n".to_vec()));
        let encoded = read(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nhello\n\
             --b\nContent-Type: APPLICATION/pgp-keys\nContent-Transfer-Encoding: base64\n\nS0VZ\n--b--\n",
        );
        assert_eq!(encoded.unwrap(), Letter::Key(b"KEY".to_vec()));
    }

    #[test]
    fn a_letter_without_or_with_two_keys_is_refused() {
        assert!(matches!(read("Subject: hello\n\nhow do I publish my key?\n"), Err(LetterError::Neither)));
        let part = "--b\nContent-Type: application/pgp-keys\n\nKEY\n";
        let two = read(&format!("Content-Type: multipart/mixed; boundary=b\n\n{part}{part}--b--\n"));
        assert!(matches!(two, Err(LetterError::Several)), "{two:?}");
        let both = read(&format!(
            "Content-Type: multipart/mixed; boundary=b\n\n{part}--b\nContent-Type: application/vnd.gnupg.wks\n\n{ANSWER}\n--b--\n"
        ));
        assert!(matches!(both, Err(LetterError::Several)), "{both:?}");
    }

    #[test]
    fn an_answer_is_read() {
        let text =
            format!("Content-Type: application/vnd.gnupg.wks\nContent-Transfer-Encoding: 8bit\n\n{ANSWER}");
        let Letter::Response(response) = read(&text).unwrap() else { panic!("{text}") };
        assert_eq!(response.address, "alice@alpha.example");
        assert_eq!(response.nonce, "abcdefghijklmnopqrstuvwxyz012345");
        assert!(!format!("{response:?}").contains("abcdef"), "a nonce is a secret");
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for (from, to) in [
            ("confirmation-response", "confirmation-request"),
            ("type: confirmation-response\n", ""),
            ("nonce: ", "nunce: "),
            ("abcdefghijklmnopqrstuvwxyz012345", "short"),
            ("abcdefghijklmnopqrstuvwxyz012345", "abcdefghijklmno-pqrstuvwxyz"),
            ("nonce: ", "nonce: 0123456789abcdef\nnonce: "),
            ("alice@alpha.example", ""),
            ("sender: ", "sender "),
            ("alice@", "alice\r@"),
        ] {
            assert!(Response::read(ANSWER.replacen(from, to, 1).as_bytes()).is_err(), "{from} {to}");
        }
        assert!(Response::read(b"type: confirmation-response\nnonce: \xff").is_err());
        assert!(Response::read(&[b'\n'; MOST_ANSWER + 1]).is_err());
        assert!(Response::read(ANSWER.as_bytes()).is_ok());
    }
}
