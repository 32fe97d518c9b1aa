//! A short text for one reader, outside of PGP/MIME.

use keydir::Usable;

use super::encrypt::Encryption;
use super::encrypt::encrypt;
use super::seal::SealError;

/// Encrypts a text to a certificate, unsigned, and gives the armored message.
///
/// # Errors
/// [`SealError`]; nothing may be sent in clear because of it.
pub fn encrypt_note(text: &[u8], recipient: &Usable, now: i64) -> Result<Vec<u8>, SealError> {
    let how = Encryption {
        recipients: &[recipient],
        password: None,
        signer: None,
        aead: recipient.aead(),
        hide_recipients: false,
        now,
    };
    encrypt(Vec::new(), &how, |out| out.write_all(text))
}
