//! The local certification authority as the gateway uses it: keys in custody, certificates in the store,
//! revocation lists and OCSP answers for everybody.

pub mod config;
pub mod http;
mod renewal;
pub mod tasks;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use keydir::{
    AuthorityError, AuthoritySettings, Certificate, Custody, Filter, Import, Issued, LeafRequest,
    LocalAuthority, Origin, Profile, PublishedCrl, RevocationReason, Scheme, SignsError, StoreError, Subject,
    Trust,
};
use openssl::pkey::{PKey, Private};
use sealing::custody::{CustodyError, KeyKind, SigningKey, generate_key};

use crate::keyring::KeyRing;

/// The file of what was issued and revoked, in the state directory.
pub const FILE: &str = "ca.db";

/// The authority with its keys.
#[derive(Debug)]
pub struct AuthorityRoom {
    /// What was issued and revoked.
    pub authority: LocalAuthority,
    keys: Arc<KeyRing>,
    /// Held while something that was issued is not yet whole.
    issuing: Mutex<()>,
}

/// Why the authority could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// The authority itself.
    #[error("the local authority failed")]
    Authority(#[from] AuthorityError),
    /// A key of it.
    #[error("a key of the local authority cannot be used")]
    Custody(#[from] CustodyError),
    /// A key does not do what it must.
    #[error("a key of the local authority cannot be used")]
    Key(#[from] SignsError),
    /// The certificate store.
    #[error("the certificate store failed")]
    Store(#[from] StoreError),
}

impl AuthorityRoom {
    /// Opens it; makes the file if there is none.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(state: &Path, keys: Arc<KeyRing>) -> Result<Self, RoomError> {
        Ok(Self { authority: LocalAuthority::open(&state.join(FILE))?, keys, issuing: Mutex::default() })
    }

    /// Takes addresses that lost their owner from all OpenPGP certificates: whoever gets one of them next inherits no key,
    /// and nobody else is shown one. The certificates and their secret keys stay, for old mail.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn disown(&self, addresses: &[&str]) -> Result<(), RoomError> {
        for subject in addresses.iter().filter_map(|address| Subject::address(address)) {
            let filter = Filter { subject: Some(subject.clone()), ..Filter::default() };
            for listed in self.keys.store.list(&filter, 0)? {
                if listed.record.scheme == Scheme::Openpgp {
                    self.keys.store.unbind(&listed.record.fingerprint, &subject)?;
                    tracing::warn!(
                        "OpenPGP certificate {} is no longer for {subject}",
                        listed.record.fingerprint
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether there may be an authority here.
    pub fn exists(state: &Path) -> bool {
        state.join(FILE).exists()
    }

    /// Makes root and first issuing authority, both keys in custody, and their first revocation lists.
    ///
    /// # Errors
    /// There is one already, or anything fails; then nothing is recorded.
    pub fn init(
        &self,
        settings: &AuthoritySettings,
        now: i64,
    ) -> Result<(Certificate, Certificate), RoomError> {
        let (root, issuing) = (generate_key(KeyKind::P384)?, generate_key(KeyKind::P256)?);
        let keep = |root_certificate: &Certificate, issuing_certificate: &Certificate| {
            let custody = &self.keys.custody;
            custody.put_smime(root_certificate, &root).map_err(SignsError::new)?;
            custody.put_smime(issuing_certificate, &issuing).map_err(SignsError::new)
        };
        let lent = (SigningKey::new(root.clone()), SigningKey::new(issuing.clone()));
        let made = self.authority.init(settings, &lent.0, &lent.1, now, keep)?;
        self.publish(&made.0, now)?;
        self.publish(&made.1, now)?;
        Ok(made)
    }

    /// Makes another issuing certificate, with a new key that goes into custody and for the domains of the
    /// settings, and its first revocation list. The one before stays valid, with what it issued.
    ///
    /// # Errors
    /// The root's key is offline ([`CustodyError::Unknown`]), or anything fails; then nothing is recorded.
    pub fn renew_issuing(&self, settings: &AuthoritySettings, now: i64) -> Result<Certificate, RoomError> {
        let root = self.authority.root()?;
        let root_key = SigningKey::from(&*self.keys.custody.get_smime(&root.fingerprint())?);
        let key = generate_key(KeyKind::P256)?;
        let keep = |certificate: &Certificate| {
            self.keys.custody.put_smime(certificate, &key).map_err(SignsError::new)
        };
        let lent = SigningKey::new(key.clone());
        let made = self.authority.renew_issuing(settings, &root_key, &lent, now, keep)?;
        self.publish(&made, now)?;
        Ok(made)
    }

    /// Takes the key of the root, which was offline, back into custody.
    ///
    /// # Errors
    /// It is another key than the root's, or custody fails.
    pub fn import_root(&self, key: &PKey<Private>) -> Result<Certificate, RoomError> {
        let root = self.authority.root()?;
        self.keys.custody.put_smime(&root, key)?;
        Ok(root)
    }

    /// Issues a certificate for a new key and puts it into the store. The key is in custody before the certificate
    /// is recorded; what a crash after that keeps from the store, [`AuthorityRoom::complete`] puts there.
    ///
    /// # Errors
    /// The name is not one of ours, or anything fails.
    pub fn issue(
        &self,
        profile: Profile,
        subject: &str,
        name: Option<&str>,
        kind: KeyKind,
        now: i64,
    ) -> Result<Certificate, RoomError> {
        let key = generate_key(kind)?;
        let public_key = key.public_key_to_der().map_err(SignsError::new)?;
        let request = LeafRequest { profile, subject, name, public_key: &public_key, now };
        let keep = |certificate: &Certificate| {
            self.keys.custody.put_smime(certificate, &key).map_err(SignsError::new)
        };
        let _issuing = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        let certificate = self.authority.issue_kept(&self.issuer()?, &request, keep)?;
        if profile.signs() || profile.encrypts() {
            self.store(&certificate, profile, subject, now)?;
        }
        Ok(certificate)
    }

    fn store(
        &self,
        certificate: &Certificate,
        profile: Profile,
        subject: &str,
        now: i64,
    ) -> Result<(), RoomError> {
        self.keys.store.add_link(&self.authority.issuing()?)?;
        let domain = matches!(profile, Profile::SigningAuthority | Profile::ConfidentialityAuthority);
        let subjects = if domain { Subject::domain(subject).map(|domain| vec![domain]) } else { None };
        let pem = certificate.pem();
        self.keys.store.import_certificates(&Import {
            bytes: pem.as_bytes(),
            subjects,
            origin: Origin::Generated,
            trust: Trust::Own,
            custody: Custody::Local,
            now,
        })?;
        // What we make we can read.
        self.keys.store.set_capabilities(&certificate.fingerprint(), true, true)?;
        Ok(())
    }

    /// Revokes a certificate and publishes the revocation list that says so.
    ///
    /// # Errors
    /// It is unknown, or anything fails.
    pub fn revoke(
        &self,
        fingerprint: &str,
        reason: RevocationReason,
        now: i64,
    ) -> Result<(Issued, PublishedCrl), RoomError> {
        let issued = self.retire(fingerprint, reason, now)?;
        let issuer = self.authority.find(&issued.issuer)?.ok_or(AuthorityError::NoAuthority)?;
        let list = self.publish(&issuer.certificate, now)?;
        Ok((issued, list))
    }

    /// Revokes a certificate; [`AuthorityRoom::ocsp`] says so at once, the revocation list when
    /// [`AuthorityRoom::publish_due`] has made the next one. For many of them: one list is enough for all.
    ///
    /// # Errors
    /// It is unknown, or anything fails.
    pub fn retire(&self, fingerprint: &str, reason: RevocationReason, now: i64) -> Result<Issued, RoomError> {
        let issued = self.authority.revoke(fingerprint, reason, now)?;
        match self.keys.store.revoke_certificate(&issued.fingerprint, "by its authority") {
            Ok(()) | Err(StoreError::Unknown(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(issued)
    }

    /// Makes a new revocation list of one of our authorities.
    ///
    /// # Errors
    /// Its key is not in custody (an offline root), or anything fails.
    pub fn publish(&self, authority: &Certificate, now: i64) -> Result<PublishedCrl, RoomError> {
        let fingerprint = authority.fingerprint();
        let key = self.keys.custody.get_smime(&fingerprint)?;
        Ok(self.authority.crl(&fingerprint, &SigningKey::from(&*key), now)?)
    }

    /// Makes the revocation lists that are due, where we have the key.
    ///
    /// # Errors
    /// One of them failed; the others were made.
    pub fn publish_due(&self, now: i64) -> Result<usize, RoomError> {
        let (mut made, mut failed) = (0, None);
        for issued in self.authority.crls_due(now)? {
            match self.publish(&issued.certificate, now) {
                Ok(_) => made += 1,
                // A root that was taken offline.
                Err(RoomError::Custody(CustodyError::Unknown(_))) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(made), Err)
    }

    /// Answers an OCSP request, with the key of the authority it asks about: former ones answer for what
    /// they issued.
    pub fn ocsp(&self, request: &[u8], now: i64) -> Vec<u8> {
        let answered = || -> Result<Vec<u8>, RoomError> {
            let asked = match self.authority.asked_authority(request)? {
                Some(asked) => asked.certificate,
                None => self.authority.issuing()?,
            };
            let key = self.keys.custody.get_smime(&asked.fingerprint())?;
            Ok(self.authority.ocsp(&SigningKey::from(&*key), None, request, now))
        };
        // OCSPResponse { responseStatus tryLater } (RFC 6960 section 4.2.1).
        answered().unwrap_or_else(|_| vec![0x30, 0x03, 0x0a, 0x01, 0x03])
    }

    /// When the first of our certificates in use expires, Unix seconds, by profile: of each subject the one that
    /// lives longest, of the issuing authorities the one that issues now.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn expiries(&self) -> Result<BTreeMap<Profile, i64>, RoomError> {
        let mut last: BTreeMap<(Profile, String), i64> = BTreeMap::new();
        for issued in self.authority.issued(None)?.into_iter().filter(|issued| issued.revoked.is_none()) {
            let successive = matches!(issued.profile, Profile::Root | Profile::Issuing);
            let subject = if successive { String::new() } else { issued.subject };
            let until = last.entry((issued.profile, subject)).or_insert(i64::MIN);
            *until = issued.certificate.not_after().max(*until);
        }
        let mut first = BTreeMap::new();
        for ((profile, _), until) in last {
            let earliest = first.entry(profile).or_insert(until);
            *earliest = until.min(*earliest);
        }
        Ok(first)
    }

    fn issuer(&self) -> Result<SigningKey, RoomError> {
        let issuing = self.authority.issuing()?;
        Ok(SigningKey::from(&*self.keys.custody.get_smime(&issuing.fingerprint())?))
    }
}

/// The kind of key that suits a profile: what every client in use can read.
pub fn key_kind_of(profile: Profile) -> KeyKind {
    match profile {
        Profile::Gateway | Profile::OcspResponder | Profile::Issuing | Profile::Root => KeyKind::P256,
        _ => KeyKind::Rsa3072,
    }
}
