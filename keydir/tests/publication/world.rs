//! A certificate store, its publication, and certificates for both.

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use keydir::Change;
use keydir::Custody;
use keydir::Import;
use keydir::Origin;
use keydir::Publication;
use keydir::PublicationRules;
use keydir::Publisher;
use keydir::Store;
use keydir::Subject;
use keydir::Summary;
use keydir::Trust;
use sequoia_openpgp::Cert;
use sequoia_openpgp::cert::CertBuilder;
use sequoia_openpgp::cert::CertParser;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::KeyFlags;

/// 2026-07-01 00:00:00 UTC, the present of all tests.
pub(crate) const NOW: i64 = 1_782_864_000;
pub(crate) const DAY: i64 = 86_400;
pub(crate) const YEAR: i64 = 365 * DAY;

/// One gateway with its store and its publication.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) rules: PublicationRules,
    pub(crate) publisher: Publisher,
    pub(crate) publication: Publication,
    /// What the key log was given.
    pub(crate) log: RefCell<Vec<Change>>,
}

impl World {
    /// Serves gate.example and münchen.example.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("publication.db");
        let publisher = Publisher::open(&path).unwrap();
        Self {
            store: Store::open(&directory.path().join("store.db")).unwrap(),
            rules: PublicationRules {
                domains: ["gate.example".to_owned(), "münchen.example".to_owned()].into(),
                recipient_delimiter: Some("+-".to_owned()),
                openpgp: true,
                smime: true,
                ..PublicationRules::default()
            },
            publication: Publication::open(&path).unwrap(),
            publisher,
            directory,
            log: RefCell::default(),
        }
    }

    /// Imports certificates of ours.
    pub(crate) fn own(&self, cert: &Cert) {
        self.import(cert, None, Trust::Own, Origin::Imported);
    }

    pub(crate) fn import(&self, cert: &Cert, subjects: Option<Vec<Subject>>, trust: Trust, origin: Origin) {
        self.import_bytes(&cert.to_vec().unwrap(), subjects, trust, origin);
    }

    pub(crate) fn import_bytes(
        &self,
        bytes: &[u8],
        subjects: Option<Vec<Subject>>,
        trust: Trust,
        origin: Origin,
    ) {
        let import = Import { bytes, subjects, origin, trust, custody: Custody::None, now: NOW };
        self.store.import(&import).unwrap();
    }

    pub(crate) fn refresh(&mut self) -> Summary {
        self.refresh_at(NOW)
    }

    pub(crate) fn refresh_at(&mut self, now: i64) -> Summary {
        let log = &self.log;
        let mut commit = |changes: &mut [Change]| -> Result<(), Infallible> {
            log.borrow_mut().extend_from_slice(changes);
            Ok(())
        };
        self.publisher.refresh(&self.store, &self.rules, now, &mut commit).unwrap()
    }

    /// The certificates in the WKD answer for an address.
    pub(crate) fn wkd(&self, address: &str) -> Vec<Cert> {
        self.wkd_bytes(address).map(|bytes| certs(&bytes)).unwrap_or_default()
    }

    /// The WKD answer for an address, asked as gpg asks.
    pub(crate) fn wkd_bytes(&self, address: &str) -> Option<Arc<[u8]>> {
        let (local, domain) = address.split_once('@').unwrap();
        self.publication.wkd(domain, &keydir::wkd_hash(local), Some(local)).unwrap()
    }

    /// The User IDs in the WKD answer for an address.
    pub(crate) fn user_ids(&self, address: &str) -> Vec<String> {
        self.wkd(address).iter().flat_map(user_ids).collect()
    }
}

pub(crate) fn certs(bytes: &[u8]) -> Vec<Cert> {
    CertParser::from_bytes(bytes).unwrap().collect::<Result<_, _>>().unwrap()
}

pub(crate) fn user_ids(cert: &Cert) -> Vec<String> {
    cert.userids().map(|uid| String::from_utf8_lossy(uid.userid().value()).into_owned()).collect()
}

pub(crate) fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.cast_unsigned())
}

/// A certificate with its secret keys, made thirty days ago.
pub(crate) fn secret(user_ids: &[&str]) -> Cert {
    made(user_ids, NOW - 30 * DAY, None)
}

/// A certificate with its secret keys, made at `created` and valid for `validity` seconds.
pub(crate) fn made(user_ids: &[&str], created: i64, validity: Option<i64>) -> Cert {
    let mut builder = CertBuilder::new()
        .set_creation_time(time(created))
        .set_validity_period(validity.map(|seconds| Duration::from_secs(seconds.cast_unsigned())))
        .add_signing_subkey()
        .add_subkey(KeyFlags::empty().set_transport_encryption(), None, None);
    for user_id in user_ids {
        builder = builder.add_userid(*user_id);
    }
    builder.generate().unwrap().0
}

/// A certificate without secrets.
pub(crate) fn cert(user_ids: &[&str]) -> Cert {
    secret(user_ids).strip_secret_key_material()
}

pub(crate) fn address(text: &str) -> Subject {
    Subject::address(text).unwrap()
}
