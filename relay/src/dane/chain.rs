//! The way from a leaf certificate to a trust anchor that the domain published (RFC 7671 section 5.2).

use std::cell::Cell;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use webpki::ALL_VERIFICATION_ALGS;
use webpki::RawPublicKeyEntity;

use super::certificate::Certificate;
use super::tlsa;
use super::verify::DaneFault;
use crate::dns::Tlsa;

/// The search for an anchor above one leaf.
pub(super) struct Climb<'a> {
    /// Effective records of usage DANE-TA(2).
    pub(super) records: &'a [&'a Tlsa],
    /// Reference names for the leaf.
    pub(super) names: &'a [String],
    /// Certificates that may stand above the leaf: those sent after it and those published in full.
    pub(super) pool: &'a [Certificate<'a>],
    /// Unix seconds.
    pub(super) now: i64,
    /// Signatures that may still be checked, so that a chain of many alike names costs no more than a good one.
    pub(super) budget: Cell<usize>,
}

impl<'a> Climb<'a> {
    /// The record that anchors the chain from `leaf` upwards.
    ///
    /// The leaf itself is no anchor, not even if it is self-signed and its digest published: the usage says that
    /// an authority is pinned, and what OpenSSL refuses nobody relies on.
    pub(super) fn from(&self, leaf: &'a Certificate<'a>) -> Result<Tlsa, DaneFault> {
        leaf.check_leaf()?;
        self.above(&mut vec![leaf])
    }

    /// Continues above the last certificate of `path`.
    fn above(&self, path: &mut Vec<&'a Certificate<'a>>) -> Result<Tlsa, DaneFault> {
        let Some(&top) = path.last() else { return Err(DaneFault::NotTrusted) };
        let mut nearest = DaneFault::NotTrusted;
        for issuer in self.pool {
            let used = path.iter().any(|used| used.der == issuer.der);
            if used || issuer.outline.subject != top.outline.issuer || !self.signed(top, issuer.outline.key) {
                continue;
            }
            let below = path.iter().skip(1).filter(|link| !link.self_issued()).count();
            let mut attempt = issuer.check_issuer(below).map(|()| None);
            if attempt.is_ok() {
                path.push(issuer);
                attempt = self.at_or_above(path).map(Some);
                path.pop();
            }
            match attempt {
                Ok(Some(record)) => return Ok(record),
                Ok(None) => {}
                Err(fault) => nearest = nearest.nearer(fault),
            }
        }
        match self.by_bare_key(path) {
            Ok(record) => Ok(record),
            Err(fault) => Err(nearest.nearer(fault)),
        }
    }

    /// The last certificate of `path` is the anchor, or another one above it.
    fn at_or_above(&self, path: &mut Vec<&'a Certificate<'a>>) -> Result<Tlsa, DaneFault> {
        let anchored =
            path.last().and_then(|top| self.records.iter().find(|record| tlsa::matches(record, top.der)));
        match anchored {
            Some(record) => self.judge(path).map(|()| (*record).clone()),
            None if path.len() < DEPTH => self.above(path),
            None => Err(DaneFault::NotTrusted),
        }
    }

    /// A key published in full (2 1 0) that signed the last certificate of `path`, whoever's name it bears.
    fn by_bare_key(&self, path: &[&'a Certificate<'a>]) -> Result<Tlsa, DaneFault> {
        let Some(top) = path.last() else { return Err(DaneFault::NotTrusted) };
        let keys = self.records.iter().filter(|record| (record.selector, record.matching) == (1, 0));
        for record in keys {
            if record.data != top.outline.key && self.signed(top, &record.data) {
                return self.judge(path).map(|()| (*record).clone());
            }
        }
        Err(DaneFault::NotTrusted)
    }

    /// Dates, constraints and name of a path whose signatures lead to an anchor.
    fn judge(&self, path: &[&'a Certificate<'a>]) -> Result<(), DaneFault> {
        let Some((leaf, issuers)) = path.split_first() else { return Err(DaneFault::NotTrusted) };
        for link in path {
            link.check_dates(self.now)?;
        }
        for issuer in issuers {
            issuer.check_constraints(leaf)?;
        }
        leaf.check_name(self.names)
    }

    fn signed(&self, certificate: &Certificate<'_>, key: &[u8]) -> bool {
        let Some(left) = self.budget.get().checked_sub(1) else { return false };
        self.budget.set(left);
        let key = SubjectPublicKeyInfoDer::from(key);
        let Ok(key) = RawPublicKeyEntity::try_from(&key) else { return false };
        let outline = &certificate.outline;
        ALL_VERIFICATION_ALGS
            .iter()
            .filter(|algorithm| algorithm.signature_alg_id().as_ref() == outline.signature_algorithm)
            .any(|algorithm| key.verify_signature(*algorithm, outline.signed, outline.signature).is_ok())
    }
}

/// Certificates in a path, leaf and anchor included.
const DEPTH: usize = 8;
