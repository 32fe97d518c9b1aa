//! Single-use tokens that let our own copies pass the milter unchanged when they come back.
//!
//! A token is a header field on the copy. It is bound to the reverse-path, the recipients and the
//! content, expires, and is accepted once. The key lives in memory only: copies are submitted by
//! the same process that checks them, and each attempt gets a new token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mail::{Body, Message};
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use sha2::{Digest, Sha256};

/// Name of the header field that carries the token.
pub const FIELD: &str = "X-Gatepost-Token";

/// Seconds a token is good for; one SMTP dialogue with the local MTA.
const LIFETIME: i64 = 600;

/// Issues tokens and takes each of them back once.
pub struct Tokens {
    key: [u8; 32],
    outstanding: Mutex<HashMap<String, i64>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// What a token is bound to.
#[derive(Debug)]
pub struct Binding<'b> {
    /// Reverse-path without brackets.
    pub reverse_path: &'b str,
    /// Addresses of the accepted recipients, without brackets.
    pub recipients: Vec<String>,
    /// The message, with or without the token field.
    pub message: &'b Message,
}

impl Tokens {
    /// A new key.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new() -> Result<Self, openssl::error::ErrorStack> {
        let mut key = [0; 32];
        openssl::rand::rand_bytes(&mut key)?;
        Ok(Self { key, outstanding: Mutex::default() })
    }

    /// Announces that the copy `id` is about to be submitted, so that RCPT does not refuse what
    /// was decided already; the token itself is still checked at end of message.
    pub fn announce(&self, id: &str, now: i64) {
        let mut outstanding = self.outstanding.lock().unwrap_or_else(PoisonError::into_inner);
        outstanding.retain(|_, expiry| *expiry > now);
        outstanding.insert(id.to_owned(), now + LIFETIME);
    }

    /// True while the copy `id` was announced and its token was not used.
    pub fn expects(&self, id: &str) -> bool {
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    /// The value of the token field for the copy `id`.
    ///
    /// # Errors
    /// The body could not be read, or the MAC not computed.
    pub fn issue(&self, id: &str, now: i64, binding: &Binding<'_>) -> std::io::Result<String> {
        self.announce(id, now);
        let expiry = now + LIFETIME;
        Ok(format!("v1 {id} {expiry} {}", hex(&self.mac(id, expiry, binding)?)))
    }

    /// Checks the token field's value and uses it up: the copy's id if it is genuine, unexpired,
    /// unused and bound to exactly this mail.
    pub fn redeem(&self, value: &str, now: i64, binding: &Binding<'_>) -> Option<String> {
        let mut words = value.split_ascii_whitespace();
        let (version, id, expiry, mac) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let expiry: i64 = expiry.parse().ok()?;
        if version != "v1" || words.next().is_some() || expiry < now || !self.expects(id) {
            return None;
        }
        let expected = hex(&self.mac(id, expiry, binding).ok()?);
        if mac.len() != expected.len() || !memcmp::eq(mac.as_bytes(), expected.as_bytes()) {
            return None;
        }
        let mut outstanding = self.outstanding.lock().unwrap_or_else(PoisonError::into_inner);
        outstanding.remove(id).map(|_| id.to_owned())
    }

    /// The submission ended; an unused token is void.
    pub fn void(&self, id: &str) {
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn mac(&self, id: &str, expiry: i64, binding: &Binding<'_>) -> std::io::Result<Vec<u8>> {
        let key = PKey::hmac(&self.key)?;
        let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
        let mut recipients: Vec<String> = binding.recipients.iter().map(|r| r.to_lowercase()).collect();
        recipients.sort();
        let envelope = format!("{id}\n{expiry}\n{}\n{}\n", binding.reverse_path, recipients.join("\n"));
        signer.update(envelope.as_bytes())?;
        for name in ["From", "Subject", "Message-ID", "Content-Type"] {
            if let Some((_, field)) = binding.message.header().find(name) {
                // The MTA may refold; white space is not content.
                let text: Vec<u8> =
                    field.raw_value().iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
                signer.update(&text)?;
            }
            signer.update(b"\n")?;
        }
        signer.update(&body_digest(binding.message.body())?)?;
        Ok(signer.sign_to_vec()?)
    }
}

/// SHA-256 of the body with the differences removed that an SMTP hop may make: line ends, and line
/// ends at the very end.
fn body_digest(body: &Body) -> std::io::Result<[u8; 32]> {
    let mut reader = body.reader(0..body.len());
    let mut digest = Sha256::new();
    let mut pending_newlines = 0_usize;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = std::io::Read::read(&mut reader, &mut buffer)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { break };
        for run in chunk.split_inclusive(|b| *b == b'\n') {
            let line = run.strip_suffix(b"\n").unwrap_or(run);
            for piece in line.split(|b| *b == b'\r').filter(|piece| !piece.is_empty()) {
                for _ in 0..std::mem::take(&mut pending_newlines) {
                    digest.update(b"\n");
                }
                digest.update(piece);
            }
            pending_newlines += run.len() - line.len();
        }
    }
    Ok(digest.finalize().into())
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding<'b>(message: &'b Message, recipients: &[&str]) -> Binding<'b> {
        Binding {
            reverse_path: "alice@alpha.example",
            recipients: recipients.iter().map(|r| (*r).to_owned()).collect(),
            message,
        }
    }

    #[test]
    fn a_token_is_good_once_and_only_for_its_mail() {
        let tokens = Tokens::new().unwrap();
        let message = Message::parse(b"Subject: a\r\n\r\nsecret\r\n");
        let value = tokens.issue("c1", 1000, &binding(&message, &["bob@beta.example"])).unwrap();

        let other_body = Message::parse(b"Subject: a\r\n\r\nsecrets\r\n");
        let other_subject = Message::parse(b"Subject: b\r\n\r\nsecret\r\n");
        for (message, recipients, now) in [
            (&other_body, ["bob@beta.example"], 1000),
            (&other_subject, ["bob@beta.example"], 1000),
            (&message, ["eve@beta.example"], 1000),
            (&message, ["bob@beta.example"], 1000 + LIFETIME + 1),
        ] {
            assert_eq!(tokens.redeem(&value, now, &binding(message, &recipients)), None);
        }
        let good = binding(&message, &["BOB@beta.example"]);
        assert_eq!(tokens.redeem(&value, 1001, &good).as_deref(), Some("c1"));
        assert_eq!(tokens.redeem(&value, 1001, &good), None, "replayed");
    }

    #[test]
    fn a_token_of_another_key_or_of_nonsense_is_refused() {
        let (ours, theirs) = (Tokens::new().unwrap(), Tokens::new().unwrap());
        let message = Message::parse(b"\r\nx");
        let bound = binding(&message, &["bob@beta.example"]);
        let forged = theirs.issue("c1", 1000, &bound).unwrap();
        ours.announce("c1", 1000);
        for value in [forged.as_str(), "", "v1", "v1 c1 99999999999 00", "v2 c1 1 00", "v1 c1 x y"] {
            assert_eq!(ours.redeem(value, 1000, &bound), None, "{value}");
        }
    }

    #[test]
    fn line_ends_of_the_hop_do_not_matter() {
        let crlf = body_digest(Message::parse(b"\r\na\r\n\r\nb\r\n").body()).unwrap();
        let lf = body_digest(Message::parse(b"\na\n\nb").body()).unwrap();
        let other = body_digest(Message::parse(b"\na\nb").body()).unwrap();
        assert_eq!(crlf, lf);
        assert_ne!(crlf, other);
    }
}
