//! TLS with certificates from files, which are read again when they change.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use crate::config::TlsFiles;

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Certificate and key do not belong together, or are of a kind that rustls cannot use.
    #[error("the certificate in {certificate} and the key in {key} cannot be used together")]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A file cannot be read or holds nothing of the kind.
    #[error("cannot read {what} from {path}")]
    Read {
        /// What should be there.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// No TLS parameters could be made.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// The certificates in use. The first is shown to who names no server, or one that no certificate is for.
#[derive(Debug)]
pub struct Certificates {
    pairs: ArcSwap<Vec<Pair>>,
}

#[derive(Debug)]
struct Pair {
    key: Arc<CertifiedKey>,
    /// End of validity, Unix seconds, if it can be told.
    end: Option<i64>,
}

impl Certificates {
    /// Reads them.
    ///
    /// # Errors
    /// A file is missing or no use.
    pub fn load(files: &[TlsFiles]) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self { pairs: ArcSwap::from_pointee(read(files)?) }))
    }

    /// Reads them again. Connections that are open keep what they have.
    ///
    /// # Errors
    /// A file is missing or no use; then the old ones stay in use.
    pub fn reload(&self, files: &[TlsFiles]) -> Result<(), TlsError> {
        self.pairs.store(Arc::new(read(files)?));
        Ok(())
    }

    /// When the first of them expires, Unix seconds.
    pub fn end(&self) -> Option<i64> {
        self.pairs.load().iter().filter_map(|pair| pair.end).min()
    }

    /// The parameters of our side: TLS 1.2 and 1.3, HTTP/1.1, these certificates.
    ///
    /// # Errors
    /// The library cannot.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        config.ticketer = Ticketer::new().map_err(TlsError::Setup)?;
        Ok(Arc::new(config))
    }
}

impl Certificates {
    /// The same for LDAP, which names no protocol in TLS.
    ///
    /// # Errors
    /// The library cannot.
    pub fn ldap_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::clone(&*self.server_config()?);
        config.alpn_protocols.clear();
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pairs = self.pairs.load();
        let named = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let wanted = named.and_then(|name| pairs.iter().find(|pair| is_for(&pair.key, &name)));
        wanted.or(pairs.first()).map(|pair| pair.key.clone())
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let leaf = key.cert.first().and_then(|leaf| EndEntityCert::try_from(leaf).ok());
    leaf.is_some_and(|leaf| leaf.verify_is_valid_for_subject_name(name).is_ok())
}

fn read(files: &[TlsFiles]) -> Result<Vec<Pair>, TlsError> {
    files.iter().map(read_pair).collect()
}

fn read_pair(files: &TlsFiles) -> Result<Pair, TlsError> {
    let wrong = |what, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Read { what, path, source }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(wrong("certificates", &files.certificate))?;
    let Some(leaf) = chain.first() else {
        return Err(wrong("certificates", &files.certificate)(pem::Error::NoItemsFound));
    };
    let end = keydir::Certificate::from_der(leaf).ok().map(|leaf| leaf.not_after());
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(wrong("a key", &files.key))?;
    let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|source| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })?;
    Ok(Pair { key: Arc::new(key), end })
}

/// How files were when they were looked at; differs when one of them was written or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Vec<Option<(SystemTime, u64)>>);

impl Stamp {
    /// How they are now.
    pub fn of(files: &[TlsFiles]) -> Self {
        let look = |path: &PathBuf| -> io::Result<_> {
            let about = fs::metadata(path)?;
            Ok((about.modified()?, about.len()))
        };
        Self(
            files
                .iter()
                .flat_map(|files| [&files.certificate, &files.key])
                .map(|path| look(path).ok())
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests;
