//! Revocation lists and certificates of our authorities as files, for the sidecar to serve.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use keydir::{LocalAuthority, Profile};
use program::chain;

/// Writes what changed to `dir`: `NAME.crl`, `NAME.cer`, `NAME.pem` for each authority.
///
/// # Errors
/// In words: the authority cannot be read or a file not be written.
pub(super) fn write(authority: &LocalAuthority, dir: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot write to {}: {error}", dir.display());
    fs::create_dir_all(dir).map_err(failed)?;
    for issued in authority.issued(None).map_err(|error| chain(&error))? {
        if !matches!(issued.profile, Profile::Root | Profile::Issuing) {
            continue;
        }
        let name = &issued.subject;
        put(&dir.join(format!("{name}.cer")), issued.certificate.der()).map_err(failed)?;
        put(&dir.join(format!("{name}.pem")), issued.certificate.pem().as_bytes()).map_err(failed)?;
        if let Some(list) = authority.latest_crl(&issued.fingerprint).map_err(|error| chain(&error))? {
            put(&dir.join(format!("{name}.crl")), &list.der).map_err(failed)?;
        }
    }
    Ok(())
}

/// Replaces a file as a whole if its content is another.
pub(super) fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(content)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
