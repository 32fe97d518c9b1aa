//! Whom we trust to issue certificates, and what is known about revocations.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use super::Certificate;
use super::CertificateError;
use super::crl::Crl;
use super::crl::CrlError;
use super::ocsp::OcspError;
use super::ocsp::OcspQuestion;
use super::ocsp::OcspStatus;

/// Largest file of revocations that is read, bytes.
const MAX_FILE: u64 = 32 << 20;
/// Most OCSP answers that are kept.
const MAX_ANSWERS: usize = 10_000;
/// Most fetched revocation lists that are kept, and their bytes together.
const MAX_LISTS: usize = 1000;
const MAX_LIST_BYTES: usize = 128 << 20;
/// How far the clock of an issuer of revocation lists may be ahead, seconds.
const SKEW: i64 = 300;

/// Where trust comes from: files, or directories of files.
#[derive(Clone, Debug, Default)]
pub struct AnchorSources {
    /// Self-signed certificates that are trusted, PEM or DER.
    pub anchors: Vec<PathBuf>,
    /// Certificates of issuing authorities that are known, but trusted only through an anchor.
    pub intermediates: Vec<PathBuf>,
    /// Certificate revocation lists, PEM or DER.
    pub crls: Vec<PathBuf>,
}

/// Why trust anchors could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorsError {
    /// A certificate was refused.
    #[error("{}: no usable certificates", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: CertificateError,
    },
    /// A revocation list was refused.
    #[error("{}: no usable revocation list", path.display())]
    Crl {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: CrlError,
    },
    /// A file cannot be read.
    #[error("{}: cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A trust anchor that is not the certificate of an authority, or is not self-signed: no chain could
    /// end in it.
    #[error("{0} is no root certificate")]
    NotARoot(String),
}

/// Trust anchors, known intermediate certificates and revocations. Build one, share it, and replace it as
/// a whole when the configuration or a revocation list changes.
#[derive(Default)]
pub struct Anchors {
    pub(super) roots: Vec<Certificate>,
    pub(super) intermediates: Vec<Certificate>,
    pub(super) crls: HashMap<Vec<u8>, Vec<Crl>>,
    learned: Mutex<Learned>,
}

/// What was fetched: answers of OCSP responders by certificate, and revocation lists by URL.
#[derive(Default)]
struct Learned {
    answers: HashMap<String, (OcspStatus, i64)>,
    lists: HashMap<String, Arc<Crl>>,
    /// Another one after each change of the anchors: see [`Anchors::version`].
    version: Arc<()>,
}

impl fmt::Debug for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchors")
            .field("roots", &self.roots.len())
            .field("intermediates", &self.intermediates.len())
            .field("crls", &self.crls.values().map(Vec::len).sum::<usize>())
            .finish_non_exhaustive()
    }
}

impl Anchors {
    /// Trusts nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads everything from files; a directory stands for all regular files in it whose names end in
    /// `.pem`, `.crt`, `.cer`, `.der`, `.crl` or `.p7b`.
    ///
    /// # Errors
    /// If any of them cannot be read or holds something else.
    pub fn load(sources: &AnchorSources) -> Result<Self, AnchorsError> {
        let mut anchors = Self::default();
        for path in files(&sources.anchors)? {
            for certificate in certificates(&path)? {
                anchors.add_anchor(certificate)?;
            }
        }
        for path in files(&sources.intermediates)? {
            certificates(&path)?.into_iter().for_each(|certificate| anchors.add_intermediate(certificate));
        }
        for path in files(&sources.crls)? {
            let bytes = read(&path)?;
            anchors.add_crl(&bytes).map_err(|source| AnchorsError::Crl { path, source })?;
        }
        Ok(anchors)
    }

    /// Trusts a root certificate.
    ///
    /// # Errors
    /// [`AnchorsError::NotARoot`] if it is not self-issued or may not issue certificates.
    pub fn add_anchor(&mut self, certificate: Certificate) -> Result<(), AnchorsError> {
        if certificate.issuer_der() != certificate.subject_der() || !certificate.is_ca() {
            return Err(AnchorsError::NotARoot(certificate.fingerprint()));
        }
        if !self.roots.contains(&certificate) {
            self.roots.push(certificate);
            self.lock().version = Arc::default();
        }
        Ok(())
    }

    /// Knows a certificate that chains may lead through.
    pub fn add_intermediate(&mut self, certificate: Certificate) {
        if !self.intermediates.contains(&certificate) {
            self.intermediates.push(certificate);
            self.lock().version = Arc::default();
        }
    }

    /// Takes a revocation list, DER or PEM. Its signature is checked when a certificate of its issuer is
    /// verified; of several valid ones of the same issuer the newest counts.
    ///
    /// # Errors
    /// If it is malformed or of a kind that is not supported (delta or indirect lists).
    pub fn add_crl(&mut self, bytes: &[u8]) -> Result<(), CrlError> {
        let crl = Crl::read(bytes)?;
        self.crls.entry(crl.issuer().to_vec()).or_default().push(crl);
        self.lock().version = Arc::default();
        Ok(())
    }

    /// Whether there is any trust anchor.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// The certificates that chains may lead through.
    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// The trusted root certificates.
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// Learns what an OCSP responder answered, for [`Anchors::verify`], until the answer's nextUpdate.
    ///
    /// # Errors
    /// If the answer is not valid; nothing is learned then.
    pub fn learn(&self, question: &OcspQuestion, response: &[u8], now: i64) -> Result<OcspStatus, OcspError> {
        let answer = question.judge(response, now)?;
        let mut learned = self.lock();
        if learned.answers.len() >= MAX_ANSWERS {
            learned.answers.clear();
        }
        learned.answers.insert(question.fingerprint(), (answer.status.clone(), answer.until));
        learned.version = Arc::default();
        Ok(answer.status)
    }

    /// Learns a revocation list that was fetched from a URL that a certificate names. It counts only for
    /// certificates that name this URL: an issuer may spread its revocations over several lists. When its
    /// nextUpdate has passed it counts no more, except for what it revoked.
    ///
    /// # Errors
    /// If it is not a list that the issuer signed, for this certificate, valid at `now` (Unix seconds) and
    /// no older than the one that is known. Nothing is learned then.
    pub fn learn_crl(
        &self,
        url: &str,
        bytes: &[u8],
        certificate: &Certificate,
        issuer: &Certificate,
        now: i64,
    ) -> Result<(), CrlError> {
        let list = Crl::read(bytes)?;
        if !list.speaks_about(certificate, issuer) {
            return Err(CrlError::Foreign);
        }
        let mut learned = self.lock();
        let older = learned.lists.get(url).is_some_and(|known| known.this_update() > list.this_update());
        if list.stale(now) || list.this_update() > now.saturating_add(SKEW) || older {
            return Err(CrlError::Stale);
        }
        let held: usize = learned.lists.values().map(|list| list.length()).sum();
        if learned.lists.len() >= MAX_LISTS || held.saturating_add(list.length()) > MAX_LIST_BYTES {
            learned.lists.clear();
        }
        learned.lists.insert(url.to_owned(), Arc::new(list));
        learned.version = Arc::default();
        Ok(())
    }

    /// The fetched lists that may speak about a certificate.
    pub(super) fn fetched(&self, certificate: &Certificate) -> Vec<Arc<Crl>> {
        let learned = self.lock();
        if learned.lists.is_empty() {
            return Vec::new();
        }
        certificate.crl_urls().iter().filter_map(|url| learned.lists.get(url).cloned()).collect()
    }

    /// Takes over what another one learned from OCSP responders and of fetched lists: when files were read
    /// anew.
    pub fn learn_from(&self, older: &Self) {
        let (answers, lists) = {
            let older = older.lock();
            (older.answers.clone(), older.lists.clone())
        };
        let mut learned = self.lock();
        learned.answers.extend(answers);
        learned.lists.extend(lists);
        learned.version = Arc::default();
    }

    /// What was learned about a certificate and is still fresh at `now` (Unix seconds). A revocation stays
    /// known for good.
    pub fn learned(&self, certificate: &Certificate, now: i64) -> Option<OcspStatus> {
        let learned = self.lock();
        if learned.answers.is_empty() {
            return None;
        }
        let (status, until) = learned.answers.get(&certificate.fingerprint())?;
        (now <= *until || matches!(status, OcspStatus::Revoked { .. })).then(|| status.clone())
    }

    /// Stands for everything that is known now; after any change it is another one.
    pub(crate) fn version(&self) -> Arc<()> {
        self.lock().version.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Learned> {
        // Each change is one assignment or insertion; a panic elsewhere leaves it whole.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, AnchorsError> {
    let refused = |source| AnchorsError::Certificate { path: path.to_owned(), source };
    Certificate::read_all(&read(path)?).map_err(refused)
}

fn read(path: &Path) -> Result<Vec<u8>, AnchorsError> {
    use io::Read;
    let failed = |source| AnchorsError::File { path: path.to_owned(), source };
    let mut content = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MAX_FILE).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

/// The files behind the paths, in order of their names.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, AnchorsError> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let failed = |source| AnchorsError::File { path: path.clone(), source };
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
        let mut inside: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        inside.retain(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            ["pem", "crt", "cer", "der", "crl", "p7b"].contains(&extension) && path.is_file()
        });
        inside.sort();
        found.extend(inside);
    }
    Ok(found)
}
