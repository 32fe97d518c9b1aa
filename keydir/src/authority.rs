//! The local certification authority: a root that can be kept offline, an issuing authority that can certify
//! names of our own domains only, certificates for users, domains and gateways, revocation lists and OCSP.
//!
//! Secret keys never enter this crate: whoever holds one gives a [`Signs`]. What was issued and revoked lies
//! in one SQLite file; a certificate leaves this module only after its row is on disk, so nothing is valid
//! that cannot be revoked.
//!
//! 1. [`LocalAuthority::init`] makes the root and the first issuing certificate. The root's key is needed
//!    again only for [`LocalAuthority::renew_issuing`], for revoking an issuing certificate and for the
//!    root's revocation list once a year.
//! 2. [`LocalAuthority::issue`] makes a leaf; [`LocalAuthority::due`] lists those that shall be renewed: a
//!    new certificate signs from seven days before the old one expires, so that partners see it in time;
//!    the old key stays in custody to decrypt.
//! 3. [`LocalAuthority::revoke`], then [`LocalAuthority::crl`] and [`LocalAuthority::ocsp`] tell the world.

mod crl;
mod draft;
mod error;
mod ocsp;
mod profile;
mod reason;
mod request;
mod rows;
mod signs;

use std::fmt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use rusqlite::Connection;

pub use crl::PublishedCrl;
pub use error::AuthorityError;
pub use profile::Profile;
pub use reason::RevocationReason;
pub use request::requested_key;
pub use rows::Issued;
pub use signs::SignatureAlgorithm;
pub use signs::Signs;
pub use signs::SignsError;

use crate::x509::Anchors;
use crate::x509::Certificate;
use draft::Draft;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Certificates begin a little earlier, for clocks that are slow; seconds.
const BACKDATED: i64 = 300;
/// A new certificate is made so long before the old one expires, seconds.
const OVERLAP: i64 = 7 * DAY;

/// What the authority is called, for whom it certifies, and for how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthoritySettings {
    /// Name of the organisation, in all subjects.
    pub organisation: String,
    /// The domains whose mailboxes and hosts it may certify, with everything below them.
    pub domains: Vec<String>,
    /// Where revocation lists will be; `{issuer}` stands for `root`, `issuing-1`, `issuing-2`, …
    pub crl_url: Option<String>,
    /// Where the OCSP responder will be.
    pub ocsp_url: Option<String>,
    /// Where the issuer's certificate (DER) will be; `{issuer}` as above.
    pub issuer_url: Option<String>,
    /// Life of the root certificate, days.
    pub root_days: u32,
    /// Life of issuing certificates, days.
    pub issuing_days: u32,
    /// Life of leaf certificates, days.
    pub leaf_days: u32,
}

impl AuthoritySettings {
    /// The usual lives (root 20 years, issuing 3 years, leaves 90 days) and no URLs.
    pub fn new(organisation: &str, domains: &[&str]) -> Self {
        Self {
            organisation: organisation.to_owned(),
            domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            crl_url: None,
            ocsp_url: None,
            issuer_url: None,
            root_days: 7305,
            issuing_days: 1096,
            leaf_days: 90,
        }
    }
}

/// A leaf to be issued.
#[derive(Clone, Copy, Debug)]
pub struct LeafRequest<'a> {
    /// What it is for.
    pub profile: Profile,
    /// For users the mailbox, for the authorities of RFC 3183 the domain, for gateways the host name; for
    /// the OCSP responder any name.
    pub subject: &'a str,
    /// The name of a person, for people who look at the certificate; else the subject stands there.
    pub name: Option<&'a str>,
    /// Its public key: SubjectPublicKeyInfo in DER.
    pub public_key: &'a [u8],
    /// Unix seconds.
    pub now: i64,
}

/// The local certification authority. Share one per process; all methods take `&self`.
pub struct LocalAuthority {
    connection: Mutex<Connection>,
}

impl fmt::Debug for LocalAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalAuthority").finish_non_exhaustive()
    }
}

impl LocalAuthority {
    /// Opens the state file, or makes it (mode 0600) if there is none.
    ///
    /// # Errors
    /// If the file cannot be opened, is accessible to others, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, AuthorityError> {
        Ok(Self { connection: Mutex::new(rows::open(path)?) })
    }

    /// An authority that is gone when it is dropped.
    ///
    /// # Errors
    /// If SQLite cannot make it.
    pub fn open_in_memory() -> Result<Self, AuthorityError> {
        Ok(Self { connection: Mutex::new(rows::prepare(Connection::open_in_memory()?)?) })
    }

    /// Makes the root and the first issuing certificate. `keep` gets both, in this order, before they are
    /// recorded, and puts the keys into custody; if it fails nothing is recorded.
    ///
    /// # Errors
    /// [`AuthorityError::Exists`] if there is a root already; else what failed.
    pub fn init(
        &self,
        settings: &AuthoritySettings,
        root: &dyn Signs,
        issuing: &dyn Signs,
        now: i64,
        keep: impl FnOnce(&Certificate, &Certificate) -> Result<(), SignsError>,
    ) -> Result<(Certificate, Certificate), AuthorityError> {
        let settings = settings.checked()?;
        let root_certificate = Draft::root(&settings, &root.public_key()?, now)?.sign(root)?;
        let draft = Draft::issuing(&settings, &root_certificate, 1, &issuing.public_key()?, now)?;
        let issuing_certificate = draft.sign(root)?;
        let mut connection = self.lock();
        let transaction = rows::begin(&mut connection)?;
        if rows::newest(&transaction, Profile::Root)?.is_some() {
            return Err(AuthorityError::Exists);
        }
        rows::save_settings(&transaction, &settings)?;
        let anchor = root_certificate.fingerprint();
        rows::insert(&transaction, &root_certificate, &anchor, Profile::Root, "root", now)?;
        rows::insert(&transaction, &issuing_certificate, &anchor, Profile::Issuing, "issuing-1", now)?;
        keep(&root_certificate, &issuing_certificate).map_err(AuthorityError::Keeping)?;
        transaction.commit()?;
        Ok((root_certificate, issuing_certificate))
    }

    /// Makes another issuing certificate, for a new key or after a change of the settings (another
    /// domain). From then on it issues; the one before stays valid, and its revocation list must still be
    /// published. `keep` as in [`LocalAuthority::init`].
    ///
    /// # Errors
    /// If there is no root, the root's key is another one, or anything fails.
    pub fn renew_issuing(
        &self,
        settings: &AuthoritySettings,
        root: &dyn Signs,
        issuing: &dyn Signs,
        now: i64,
        keep: impl FnOnce(&Certificate) -> Result<(), SignsError>,
    ) -> Result<Certificate, AuthorityError> {
        let settings = settings.checked()?;
        let root_certificate = self.root()?;
        draft::check_key(&root_certificate, root)?;
        let mut connection = self.lock();
        let transaction = rows::begin(&mut connection)?;
        let number = rows::count(&transaction, Profile::Issuing)? + 1;
        let draft = Draft::issuing(&settings, &root_certificate, number, &issuing.public_key()?, now)?;
        let certificate = draft.sign(root)?;
        rows::save_settings(&transaction, &settings)?;
        let (anchor, name) = (root_certificate.fingerprint(), format!("issuing-{number}"));
        rows::insert(&transaction, &certificate, &anchor, Profile::Issuing, &name, now)?;
        keep(&certificate).map_err(AuthorityError::Keeping)?;
        transaction.commit()?;
        Ok(certificate)
    }

    /// The settings given last.
    ///
    /// # Errors
    /// [`AuthorityError::NoAuthority`] before [`LocalAuthority::init`].
    pub fn settings(&self) -> Result<AuthoritySettings, AuthorityError> {
        rows::settings(&self.lock())
    }

    /// The root certificate.
    ///
    /// # Errors
    /// [`AuthorityError::NoAuthority`] before [`LocalAuthority::init`].
    pub fn root(&self) -> Result<Certificate, AuthorityError> {
        let root = rows::newest(&self.lock(), Profile::Root)?;
        root.map(|issued| issued.certificate).ok_or(AuthorityError::NoAuthority)
    }

    /// The certificate that issues now: the newest one that is not revoked.
    ///
    /// # Errors
    /// [`AuthorityError::NoAuthority`] if there is none.
    pub fn issuing(&self) -> Result<Certificate, AuthorityError> {
        let issuing = rows::newest(&self.lock(), Profile::Issuing)?;
        issuing.map(|issued| issued.certificate).ok_or(AuthorityError::NoAuthority)
    }

    /// Issues a leaf for a key that its holder has. It is recorded when this returns.
    ///
    /// # Errors
    /// If the name lies outside of the domains, the key does not fit the profile or is too weak, the
    /// issuer's key is another one than the issuing certificate's, or anything fails.
    pub fn issue(
        &self,
        issuer: &dyn Signs,
        request: &LeafRequest<'_>,
    ) -> Result<Certificate, AuthorityError> {
        self.issue_kept(issuer, request, |_| Ok(()))
    }

    /// Issues a leaf for a key that `keep` puts into custody: before the leaf is recorded, so that nothing is ever
    /// recorded whose key is lost. If it fails nothing is recorded.
    ///
    /// # Errors
    /// As [`LocalAuthority::issue`], and if `keep` fails.
    pub fn issue_kept(
        &self,
        issuer: &dyn Signs,
        request: &LeafRequest<'_>,
        keep: impl FnOnce(&Certificate) -> Result<(), SignsError>,
    ) -> Result<Certificate, AuthorityError> {
        let settings = self.settings()?;
        let issuing = rows::newest(&self.lock(), Profile::Issuing)?.ok_or(AuthorityError::NoAuthority)?;
        draft::check_key(&issuing.certificate, issuer)?;
        let (draft, subject) = profile::leaf(&settings, &issuing, request)?;
        let certificate = draft.sign(issuer)?;
        request.profile.check(&certificate, request.now)?;
        let issuer = issuing.certificate.fingerprint();
        let mut connection = self.lock();
        let transaction = rows::begin(&mut connection)?;
        rows::insert(&transaction, &certificate, &issuer, request.profile, &subject, request.now)?;
        keep(&certificate).map_err(AuthorityError::Keeping)?;
        transaction.commit()?;
        Ok(certificate)
    }

    /// The fingerprints of the leaves that are neither revoked nor expired at `now`, sorted.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn in_use(&self, now: i64) -> Result<Vec<String>, AuthorityError> {
        rows::in_use(&self.lock(), now)
    }

    /// Everything that was ever issued, the newest first; with a subject only what was issued for it.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn issued(&self, subject: Option<&str>) -> Result<Vec<Issued>, AuthorityError> {
        rows::issued(&self.lock(), subject.map(profile::canonical).as_deref())
    }

    /// One certificate by its fingerprint.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn find(&self, fingerprint: &str) -> Result<Option<Issued>, AuthorityError> {
        rows::find(&self.lock(), &fingerprint.to_ascii_uppercase())
    }

    /// The leaves to renew at `now`: the last ones of their profile and subject, not revoked, which expire
    /// within seven days, or within the last third of a life of less than three weeks, or have expired.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn due(&self, now: i64) -> Result<Vec<Issued>, AuthorityError> {
        rows::due(&self.lock(), now, OVERLAP)
    }

    /// Revokes a certificate, leaf or issuing. Recorded when this returns; [`LocalAuthority::ocsp`] says so
    /// at once, the next [`LocalAuthority::crl`] too. A certificate that was revoked before keeps its date;
    /// its reason can only change to a compromise.
    ///
    /// # Errors
    /// If it is unknown or the root, or the state cannot be written.
    pub fn revoke(
        &self,
        fingerprint: &str,
        reason: RevocationReason,
        now: i64,
    ) -> Result<Issued, AuthorityError> {
        let fingerprint = fingerprint.to_ascii_uppercase();
        let mut connection = self.lock();
        let transaction = rows::begin(&mut connection)?;
        let issued = rows::revoke(&transaction, &fingerprint, reason, now)?;
        transaction.commit()?;
        Ok(issued)
    }

    /// Makes everything of this authority known to trust anchors: the root as an anchor, the issuing
    /// certificates as links, and the newest revocation lists.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn add_to(&self, anchors: &mut Anchors) -> Result<(), AuthorityError> {
        for issued in self.issued(None)? {
            match issued.profile {
                Profile::Root => anchors.add_anchor(issued.certificate)?,
                Profile::Issuing => anchors.add_intermediate(issued.certificate),
                _ => continue,
            }
            if let Some(list) = self.latest_crl(&issued.fingerprint)? {
                anchors.add_crl(&list.der)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // SQLite rolls back what a panic left open.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
