//! Accounts in an LDAP directory: every value of the address attributes of every entry is a mailbox.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, SearchEntry};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::config::Directory;
use super::file::whole;
use super::source::{Account, Gathering, SourceError, Standing};

/// Entries of one page (RFC 2696).
const PAGE: i32 = 500;
/// Time for one operation.
const OPERATION: Duration = Duration::from_secs(30);
/// Time for everything.
const WHOLE: Duration = Duration::from_secs(120);
/// Most entries of one search.
const MOST: usize = 500_000;

/// Searches the directory. Blocking.
///
/// # Errors
/// Whatever keeps the answer from being complete.
pub fn read(directory: &Directory, gathering: &mut Gathering) -> Result<(), SourceError> {
    let what = format!("the LDAP server at {}", directory.url);
    let unreadable = |source| SourceError::Unreadable { what: what.clone(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unreadable)?;
    let wanted = directory.clone();
    let found = runtime.block_on(async {
        // A task of its own: the library fails assertions on malformed answers.
        let task = tokio::spawn(async move { search(&wanted).await });
        tokio::time::timeout(WHOLE, task).await
    });
    let found = match found {
        Ok(Ok(found)) => found?,
        Ok(Err(_)) => return Err(SourceError::Malformed(format!("{what} gave a malformed answer"))),
        Err(_) => return Err(unreadable(io::Error::from(io::ErrorKind::TimedOut))),
    };
    for entry in &found.entries {
        let (disabled, compromised) =
            (found.disabled.contains(&entry.dn), found.compromised.contains(&entry.dn));
        take(directory, entry, disabled, compromised, gathering);
    }
    Ok(())
}

/// What the searches gave.
#[derive(Debug, Default)]
struct Found {
    entries: Vec<SearchEntry>,
    /// Names of entries.
    disabled: BTreeSet<String>,
    compromised: BTreeSet<String>,
}

fn take(
    directory: &Directory,
    entry: &SearchEntry,
    disabled: bool,
    compromised: bool,
    gathering: &mut Gathering,
) {
    let first = |name: &str| values(entry, name).into_iter().next();
    let account = Account {
        address: String::new(),
        name: first(&directory.name).filter(|name| !name.chars().any(char::is_control)),
        id: first(&directory.id).or_else(|| first("uid")),
        standing: if disabled { Standing::Disabled } else { Standing::Active },
        compromised,
    };
    let addresses: BTreeSet<String> =
        directory.addresses.iter().flat_map(|name| values(entry, name)).collect();
    if addresses.is_empty() {
        gathering.skip(&entry.dn, &format!("no {}", directory.addresses.join(" or ")));
    }
    for address in addresses {
        gathering.take_ours(&entry.dn, Account { address, ..account.clone() });
    }
}

/// The values of an attribute; those that are no text as hexadecimal digits. Names of attributes have no case.
fn values(entry: &SearchEntry, name: &str) -> Vec<String> {
    let same = |other: &&String| other.eq_ignore_ascii_case(name);
    let mut found: Vec<String> = Vec::new();
    for key in entry.attrs.keys().filter(same) {
        found.extend(entry.attrs.get(key).into_iter().flatten().cloned());
    }
    for key in entry.bin_attrs.keys().filter(same) {
        let hex = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        found.extend(entry.bin_attrs.get(key).into_iter().flatten().map(hex));
    }
    found
}

async fn search(directory: &Directory) -> Result<Found, SourceError> {
    let mut ldap = connect(directory).await?;
    let mut attributes = directory.addresses.clone();
    attributes.extend([directory.name.clone(), directory.id.clone(), "uid".to_owned()]);
    let mut found = Found {
        entries: pages(&mut ldap, directory, &directory.filter, attributes).await?,
        ..Found::default()
    };
    for (filter, names) in
        [(&directory.disabled, &mut found.disabled), (&directory.compromised, &mut found.compromised)]
    {
        if let Some(filter) = filter {
            let both = format!("(&{}{filter})", directory.filter);
            // "1.1": no attributes (RFC 4511 section 4.5.1.8).
            let marked = pages(&mut ldap, directory, &both, vec!["1.1".to_owned()]).await?;
            names.extend(marked.into_iter().map(|entry| entry.dn));
        }
    }
    let _ = ldap.unbind().await;
    Ok(found)
}

/// All entries that a filter finds; a part of them is an error.
async fn pages(
    ldap: &mut Ldap,
    directory: &Directory,
    filter: &str,
    attributes: Vec<String>,
) -> Result<Vec<SearchEntry>, SourceError> {
    let failed = |error| failed(format!("searching {} failed", directory.url), error);
    // References to other servers are not followed.
    let adapters: Vec<Box<dyn Adapter<'_, String, Vec<String>>>> =
        vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(PAGE))];
    let mut stream = ldap
        .with_timeout(OPERATION)
        .streaming_search_with(adapters, &directory.base, directory.scope, filter, attributes)
        .await
        .map_err(failed)?;
    let mut entries = Vec::new();
    while let Some(entry) = stream.next().await.map_err(failed)? {
        entries.push(SearchEntry::construct(entry));
        if entries.len() > MOST {
            return Err(SourceError::Malformed(format!("{} has more than {MOST} entries", directory.url)));
        }
    }
    stream.finish().await.success().map_err(failed)?;
    Ok(entries)
}

async fn connect(directory: &Directory) -> Result<Ldap, SourceError> {
    let cannot = |error| failed(format!("cannot connect to {}", directory.url), error);
    let mut settings = LdapConnSettings::new().set_conn_timeout(OPERATION).set_starttls(directory.starttls);
    if directory.starttls || directory.url.scheme() == "ldaps" {
        settings = settings.set_config(tls(directory.ca_file.as_deref())?);
    }
    let (connection, mut ldap) =
        LdapConnAsync::from_url_with_settings(settings, &directory.url).await.map_err(cannot)?;
    tokio::spawn(async move {
        if let Err(error) = connection.drive().await {
            tracing::debug!("the LDAP connection ended: {error}");
        }
    });
    if let Some((dn, file)) = &directory.bind {
        let password = password(file)?;
        let bound = ldap.with_timeout(OPERATION).simple_bind(dn, &password).await;
        bound
            .and_then(|answer| answer.success())
            .map_err(|error| failed(format!("{} does not take us for {dn}", directory.url), error))?;
    }
    Ok(ldap)
}

fn failed(what: String, error: LdapError) -> SourceError {
    SourceError::Directory { what, source: Box::new(error) }
}

/// The first line of a file that only we can read.
fn password(file: &Path) -> Result<Zeroizing<String>, SourceError> {
    use std::os::unix::fs::PermissionsExt;
    let what = file.display().to_string();
    let unreadable = |source| SourceError::Unreadable { what: what.clone(), source };
    let mode = fs::metadata(file).map_err(unreadable)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(SourceError::Malformed(format!(
            "{what} holds a password and lets everybody in: chmod o="
        )));
    }
    let text = Zeroizing::new(fs::read_to_string(file).map_err(unreadable)?);
    match text.lines().next() {
        // An empty password would bind as nobody, and succeed (RFC 4513 section 5.1.2).
        None | Some("") => Err(SourceError::Malformed(format!("{what} holds no password"))),
        Some(line) => Ok(Zeroizing::new(line.to_owned())),
    }
}

fn tls(anchors: Option<&Path>) -> Result<Arc<ClientConfig>, SourceError> {
    let mut roots = RootCertStore::empty();
    let certificates = match anchors {
        Some(file) => CertificateDer::pem_slice_iter(&whole(file)?).filter_map(Result::ok).collect(),
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        let from = anchors.map_or_else(|| "the system".to_owned(), |file| file.display().to_string());
        return Err(SourceError::Malformed(format!("{from} has no trust anchor for TLS")));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SourceError::Malformed(format!("TLS cannot be used: {error}")))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
