//! Passwords of password messages: where they come from.

use std::fmt;
use std::fs;
use std::io::{self, Read};

use policy::PasswordSource;
use zeroize::Zeroizing;

/// Bytes of a password file that are looked at.
const LIMIT: u64 = 4096;
/// Fewest characters of a shared secret; it can be guessed offline.
const SHORTEST: usize = 12;
/// Characters of a generated password: no two look alike.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error("cannot read the password file {path}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system gave no randomness.
    #[error("no randomness for a password")]
    Random(#[source] io::Error),
    /// Its first line is too short.
    #[error("the first line of {0} must have at least {SHORTEST} characters")]
    Short(String),
}

/// Whether a password can be had.
///
/// # Errors
/// Why not.
pub fn check(source: &PasswordSource) -> Result<(), PasswordError> {
    match source {
        PasswordSource::Generated => Ok(()),
        PasswordSource::File(path) => read(path).map(drop),
    }
}

/// A password, which no log shows.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// The password for one message.
///
/// # Errors
/// The file cannot be read or holds no password; the system gives no randomness.
pub fn obtain(source: &PasswordSource) -> Result<Password, PasswordError> {
    let password = match source {
        PasswordSource::Generated => generate(),
        PasswordSource::File(path) => read(path),
    };
    password.map(Password)
}

/// Five groups of four letters: 100 bits, to be read over the telephone.
fn generate() -> Result<Zeroizing<String>, PasswordError> {
    let mut random = Zeroizing::new([0_u8; 20]);
    openssl::rand::rand_priv_bytes(&mut *random).map_err(|error| PasswordError::Random(error.into()))?;
    let mut text = Zeroizing::new(String::with_capacity(24));
    for (index, byte) in random.iter().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push('-');
        }
        let letter = LETTERS.get(usize::from(byte & 31)).copied().unwrap_or(b'a');
        text.push(char::from(letter));
    }
    Ok(text)
}

fn read(path: &str) -> Result<Zeroizing<String>, PasswordError> {
    let failed = |source| PasswordError::Read { path: path.to_owned(), source };
    let mut text = Zeroizing::new(String::new());
    fs::File::open(path).map_err(failed)?.take(LIMIT).read_to_string(&mut text).map_err(failed)?;
    let line = text.lines().next().unwrap_or_default().trim_end();
    if line.chars().count() < SHORTEST {
        return Err(PasswordError::Short(path.to_owned()));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_differ_and_can_be_read_aloud() {
        let one = obtain(&PasswordSource::Generated).unwrap();
        let other = obtain(&PasswordSource::Generated).unwrap();
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(format!("{one:?}"), "Password");
        assert_eq!(one.reveal().split('-').map(str::len).collect::<Vec<_>>(), [4; 5]);
        assert!(one.reveal().bytes().all(|byte| byte == b'-' || LETTERS.contains(&byte)));
    }

    #[test]
    fn a_shared_secret_is_the_first_line_of_its_file_and_not_too_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret").to_string_lossy().into_owned();
        let source = PasswordSource::File(path.clone());
        assert!(matches!(check(&source), Err(PasswordError::Read { .. })));
        fs::write(&path, "correct horse battery\nsecond line\n").unwrap();
        assert_eq!(obtain(&source).unwrap().reveal(), "correct horse battery");
        fs::write(&path, "short\n").unwrap();
        assert!(matches!(obtain(&source), Err(PasswordError::Short(_))));
    }
}
