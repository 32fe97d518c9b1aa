//! The key that encrypts all others.

use std::fmt;
use std::fs::File;
use std::fs::Metadata;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

/// Bytes of a master key.
const LEN: usize = 32;
/// Longest file that can be one: 64 hexadecimal digits and a line end.
const MAX_FILE: u64 = 66;

/// Why the master key cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MasterKeyError {
    /// The path names something that is already there; it is never overwritten.
    #[error("{}: is already there", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner have access.
    #[error("{}: mode {mode:04o} lets others in; it must be 0600 or 0400", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The content is no master key.
    #[error("{}: must hold 32 bytes, or 64 hexadecimal digits", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// systemd passed no credentials to this process.
    #[error("no credential `{0}`: $CREDENTIALS_DIRECTORY is not set or the name is not valid")]
    NoCredential(String),
    /// Another user owns the file.
    #[error("{}: belongs to user {uid}, not to us or root", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// The system has no random bytes for a new key.
    #[error("no random bytes for a master key")]
    Random(#[source] openssl::error::ErrorStack),
    /// The file cannot be read.
    #[error("{}: cannot read the master key", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("{}: cannot write the master key", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// 32 secret bytes, overwritten when dropped. Never printed.
pub struct MasterKey {
    bytes: Zeroizing<[u8; LEN]>,
    /// Where it came from, for messages.
    origin: String,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, secret)", self.origin)
    }
}

impl MasterKey {
    /// Reads a file with 32 raw bytes or 64 hexadecimal digits.
    ///
    /// # Errors
    /// If it cannot be read, belongs to somebody else than us or root, lets group or others in, or has
    /// another content.
    pub fn from_file(path: &Path) -> Result<Self, MasterKeyError> {
        Self::read(path, 0o077)
    }

    /// Reads a credential that systemd passed to this unit (`LoadCredential=`, `LoadCredentialEncrypted=`).
    ///
    /// # Errors
    /// As [`MasterKey::from_file`], or if there is no such credential.
    pub fn from_credential(name: &str) -> Result<Self, MasterKeyError> {
        let none = || MasterKeyError::NoCredential(name.to_owned());
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return Err(none());
        }
        let dir = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(none)?;
        // systemd grants the unit's user access through an ACL, whose mask shows in the group bits.
        Self::read(&Path::new(&dir).join(name), 0o007)
    }

    /// Makes a new key and writes it to a file that must not exist, mode 0600.
    ///
    /// # Errors
    /// If the file exists or cannot be written; then there is no file, not half a file.
    pub fn generate_file(path: &Path) -> Result<Self, MasterKeyError> {
        let mut bytes = Zeroizing::new([0; LEN]);
        openssl::rand::rand_bytes(&mut *bytes).map_err(MasterKeyError::Random)?;
        let text = Zeroizing::new(hex(&*bytes));
        write_new(path, text.as_bytes()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => MasterKeyError::Exists { path: path.to_owned() },
            _ => MasterKeyError::Unwritable { path: path.to_owned(), source },
        })?;
        Ok(Self { bytes, origin: path.display().to_string() })
    }

    /// Takes 32 bytes that came from elsewhere; `origin` says from where, for messages.
    pub fn from_bytes(bytes: Zeroizing<[u8; LEN]>, origin: impl Into<String>) -> Self {
        Self { bytes, origin: origin.into() }
    }

    /// Where the key came from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Another key for another purpose: HKDF-Expand with SHA-256 (RFC 5869 section 2.3), one block. The
    /// master key is uniformly random already, so the extract step is not needed.
    ///
    /// # Errors
    /// If OpenSSL fails.
    pub fn derive(&self, purpose: &str) -> Result<Zeroizing<[u8; LEN]>, openssl::error::ErrorStack> {
        let key = openssl::pkey::PKey::hmac(&*self.bytes)?;
        let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key)?;
        signer.update(purpose.as_bytes())?;
        signer.update(&[1])?;
        let mut derived = Zeroizing::new([0; LEN]);
        signer.sign(&mut *derived)?;
        Ok(derived)
    }

    pub(super) fn bytes(&self) -> &[u8; LEN] {
        &self.bytes
    }

    fn read(path: &Path, forbidden: u32) -> Result<Self, MasterKeyError> {
        let unreadable = |source| MasterKeyError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        check_access(&file.metadata().map_err(unreadable)?, path, forbidden)?;
        let mut content = Zeroizing::new(Vec::with_capacity(MAX_FILE as usize + 1));
        file.take(MAX_FILE + 1).read_to_end(&mut content).map_err(unreadable)?;
        let bytes = parse(&content).ok_or_else(|| MasterKeyError::Malformed { path: path.to_owned() })?;
        Ok(Self { bytes, origin: path.display().to_string() })
    }
}

/// Where to read the master key from, when it is needed.
#[derive(Clone, Debug)]
pub enum MasterSource {
    /// A systemd credential of this name.
    Credential(String),
    /// A file.
    File(PathBuf),
    /// It is already here.
    Key(Arc<MasterKey>),
}

impl MasterSource {
    pub(super) fn read(&self) -> Result<Arc<MasterKey>, MasterKeyError> {
        match self {
            Self::Credential(name) => MasterKey::from_credential(name).map(Arc::new),
            Self::File(path) => MasterKey::from_file(path).map(Arc::new),
            Self::Key(key) => Ok(key.clone()),
        }
    }
}

impl From<MasterKey> for MasterSource {
    fn from(key: MasterKey) -> Self {
        Self::Key(Arc::new(key))
    }
}

fn check_access(metadata: &Metadata, path: &Path, forbidden: u32) -> Result<(), MasterKeyError> {
    let path = path.to_owned();
    if !metadata.is_file() {
        return Err(MasterKeyError::Malformed { path });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(MasterKeyError::Exposed { path, mode });
    }
    let uid = metadata.uid();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Err(MasterKeyError::Owner { path, uid });
    }
    Ok(())
}

/// 32 bytes as they are, or 64 hexadecimal digits with an optional line end.
fn parse(content: &[u8]) -> Option<Zeroizing<[u8; LEN]>> {
    if let Ok(raw) = <[u8; LEN]>::try_from(content) {
        return Some(Zeroizing::new(raw));
    }
    let text = std::str::from_utf8(content).ok()?.trim_ascii_end();
    if text.len() != 2 * LEN || !text.is_ascii() {
        return None;
    }
    let mut bytes = Zeroizing::new([0; LEN]);
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    // Reserved at once: growing would leave copies of the key behind.
    let mut text = String::with_capacity(2 * bytes.len() + 1);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    text
}

/// Writes a file that must not exist, complete or not at all.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = super::files::parent(path);
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    File::open(dir)?.sync_all()
}
