//! Whether a certificate was revoked, by the lists and answers that are known (RFC 5280, 6.3).

use std::sync::Arc;

use super::Anchors;
use super::Certificate;
use super::ChainError;
use super::crl::Crl;
use super::crl::Listed;
use super::ocsp::OcspStatus;

/// The lists in files that concern a certificate.
struct Lists<'a> {
    /// The newest one that its issuer signed.
    newest: Option<&'a Crl>,
    /// Whether there is one that may be its issuer's and cannot be used: no other authority signed it.
    doubtful: bool,
}

impl Anchors {
    /// Whether it is known at `at` (Unix seconds) if this issuer revoked a certificate, or if its responder
    /// does not know it: nothing needs to be fetched.
    pub fn knows_about(&self, certificate: &Certificate, issuer: &Certificate, at: i64) -> bool {
        let told = self.check_one(certificate, issuer, at);
        matches!(told, Ok(true) | Err(ChainError::Revoked { .. })) || self.learned(certificate, at).is_some()
    }

    /// Looks up each certificate but the anchor. Gives those about which nothing is known.
    pub(super) fn check_revocation(
        &self,
        chain: &[Certificate],
        at: i64,
    ) -> Result<Vec<Certificate>, ChainError> {
        let mut unchecked = Vec::new();
        for pair in chain.windows(2) {
            let [certificate, issuer] = pair else { continue };
            if !self.check_one(certificate, issuer, at)? {
                unchecked.push(certificate.clone());
            }
        }
        Ok(unchecked)
    }

    /// Finds the lists of an issuer by its name and key: others may have the same name. A list that somebody else
    /// of that name signed, or that names another key, says nothing about this certificate.
    fn lists_about(&self, certificate: &Certificate, issuer: &Certificate) -> Lists<'_> {
        let named = self.crls.get(certificate.issuer_der()).map(Vec::as_slice).unwrap_or_default();
        let keys = self.keys_of(issuer);
        let newest = named
            .iter()
            .filter(|list| keys.iter().any(|key| list.speaks_about(certificate, key)))
            .max_by_key(|list| list.this_update());
        let others = || self.roots.iter().chain(&self.intermediates).filter(|known| *known != issuer);
        let is_doubtful =
            |list: &Crl| !list.is_of_another_key(issuer) && !others().any(|other| list.is_signed_by(other));
        Lists { newest, doubtful: newest.is_none() && named.iter().any(is_doubtful) }
    }

    /// The certificates of one authority, which may have changed its key: the same name under the same name, certified
    /// with the same key (RFC 5280, 6.3.3).
    fn keys_of<'a>(&'a self, issuer: &'a Certificate) -> Vec<&'a Certificate> {
        let is_root = issuer.issuer_der() == issuer.subject_der();
        let is_same = |other: &&Certificate| {
            !is_root
                && *other != issuer
                && other.subject_der() == issuer.subject_der()
                && other.issuer_der() == issuer.issuer_der()
                && other.authority_key_id().is_some()
                && other.authority_key_id() == issuer.authority_key_id()
        };
        std::iter::once(issuer).chain(self.intermediates.iter().filter(is_same)).collect()
    }

    fn check_one(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        at: i64,
    ) -> Result<bool, ChainError> {
        let learned = self.learned(certificate, at);
        if let Some(OcspStatus::Revoked { when, why }) = learned {
            return Err(ChainError::Revoked { when, why });
        }
        let Lists { newest, doubtful } = self.lists_about(certificate, issuer);
        let mut fetched = self.fetched(certificate);
        fetched.retain(|list| list.speaks_about(certificate, issuer));
        for list in newest.into_iter().chain(fetched.iter().map(Arc::as_ref)) {
            if let Listed::Revoked { when, why } = list.look_up(certificate) {
                return Err(ChainError::Revoked { when, why });
            }
        }
        // What was fetched is fetched anew when it is stale; nobody need wait for that.
        let fresh = fetched.iter().any(|list| !list.stale(at));
        match (learned, newest) {
            (Some(OcspStatus::Good), _) => Ok(true),
            (Some(_), _) => {
                Err(ChainError::RevocationUnknown("the OCSP responder does not know it".to_owned()))
            }
            (None, _) if fresh => Ok(true),
            (None, Some(list)) if list.stale(at) => {
                let until = list.next_update().map_or("never".to_owned(), crate::answer::date);
                Err(ChainError::RevocationUnknown(format!("the revocation list was valid until {until}")))
            }
            (None, Some(_)) => Ok(true),
            (None, None) if !doubtful => Ok(false),
            (None, None) => Err(ChainError::RevocationUnknown(
                "no revocation list of its issuer has a valid signature".to_owned(),
            )),
        }
    }
}
