//! Looking up what is published.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::OptionalExtension;

use super::Mailbox;
use super::PublicationError;
use super::Published;
use super::address::Asked;
use super::address::whole_name;
use super::pool::Pool;
use super::rows;
use crate::identity;
use crate::record::Scheme;
use crate::wkd;

/// Mailboxes that are read at a time.
const PAGE: i64 = 500;

/// How much is published.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Counts {
    /// Domains that are served.
    pub domains: u64,
    /// Mailboxes with at least one certificate.
    pub mailboxes: u64,
    /// OpenPGP certificates, one for each mailbox under which it is published.
    pub openpgp: u64,
    /// S/MIME certificates, counted alike.
    pub smime: u64,
}

/// What is published, for reading. Cloning is cheap; all clones share a few read-only connections.
///
/// All look-ups are exact, block for a short time on the file, and see what the gateway wrote last. Nothing
/// found is `None`, whatever the reason: no such mailbox, no certificate, not our domain.
#[derive(Clone, Debug)]
pub struct Publication {
    pool: Arc<Pool>,
}

impl Publication {
    /// Opens the file for reading.
    ///
    /// # Errors
    /// If it cannot be opened or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, PublicationError> {
        Ok(Self { pool: Arc::new(Pool::new(path)?) })
    }

    /// Whether a domain is ours; A- or U-labels, any case, with or without trailing dot.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn serves(&self, domain: &str) -> Result<bool, PublicationError> {
        Ok(self.domain(domain)?.is_some())
    }

    /// Our domains in A-labels, in order.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn domains(&self) -> Result<Vec<String>, PublicationError> {
        self.pool.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT name FROM domain ORDER BY name")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The answer of the Web Key Directory: the OpenPGP certificates under the hash, one behind the other.
    ///
    /// `local` is what the asker claims to be the local part (`?l=`). It is believed only if its hash is
    /// `hash`, and serves to find the mailbox of a sub-address.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn wkd(
        &self,
        domain: &str,
        hash: &str,
        local: Option<&str>,
    ) -> Result<Option<Arc<[u8]>>, PublicationError> {
        // What is no hash is looked up under no domain, and not found.
        let domain = identity::canonical_domain(domain).filter(|_| wkd::is_hash(hash)).unwrap_or_default();
        let asked = local.and_then(|local| Asked::from_wkd(&domain, hash, local));
        self.pool.with(|connection| {
            let mut exact =
                connection.prepare_cached("SELECT address FROM mailbox WHERE domain = ?1 AND hash = ?2")?;
            let exact: Option<String> = exact.query_row([&domain, hash], |row| row.get(0)).optional()?;
            let found = resolve(connection, &domain, exact.as_deref().unwrap_or_default(), asked.as_ref())?;
            let answer = first(&found, |id| rows::answer(connection, id))?;
            Ok((!answer.is_empty()).then(|| Arc::from(answer)))
        })
    }

    /// Everything for one address: exactly this one, else the mailbox of the sub-address, else the key of the
    /// domain if that is a catch-all.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn mailbox(&self, address: &str) -> Result<Option<Mailbox>, PublicationError> {
        self.pool.with(|connection| {
            let found = of_address(connection, address)?;
            match found.iter().flatten().next() {
                Some(found) => rows::mailbox(connection, &found.address),
                None => Ok(None),
            }
        })
    }

    /// The certificates of one scheme for one address, without the chains of S/MIME certificates: those of exactly this
    /// one, else of the mailbox of the sub-address, else of the domain if that is a catch-all. A mailbox that has none of this
    /// scheme is as none at all, also in the steps that it takes.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of_scheme(&self, address: &str, scheme: Scheme) -> Result<Vec<Published>, PublicationError> {
        self.pool.with(|connection| {
            let found = of_address(connection, address)?;
            first(&found, |id| rows::of_scheme(connection, id, scheme))
        })
    }

    /// OpenPGP certificates by the fingerprint (40 or 64 digits) or version 4 key ID (16 digits) of a primary
    /// key or subkey, each with the User IDs of the mailbox under which it was published first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn by_handle(&self, handle: &str) -> Result<Vec<Published>, PublicationError> {
        let handle = handle.to_ascii_uppercase();
        let Some(key_id) = rows::key_id(&handle) else { return Ok(Vec::new()) };
        let is = |component: &String| match handle.len() {
            16 => component.len() == 40 && component.ends_with(&handle),
            _ => *component == handle,
        };
        let found = self.pool.with(|connection| rows::with_key_id(connection, key_id))?;
        let mut distinct: Vec<Published> = Vec::new();
        for (published, components) in found {
            let known = distinct.iter().any(|known| known.fingerprint == published.fingerprint);
            if !known && components.iter().any(is) {
                distinct.push(published);
            }
        }
        Ok(distinct)
    }

    /// The text of a domain's WKD policy file; empty if it has no policy, `None` if it is not ours.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn wkd_policy(&self, domain: &str) -> Result<Option<String>, PublicationError> {
        Ok(self.domain(domain)?.map(|(policy, _)| policy))
    }

    /// Where the users of a domain send their keys, if they can.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn submission_address(&self, domain: &str) -> Result<Option<String>, PublicationError> {
        Ok(self.domain(domain)?.and_then(|(_, submission)| submission))
    }

    /// Calls `f` with each mailbox, ordered by address, with little memory; keys of whole domains have the
    /// address `@domain`. Others may write meanwhile: each mailbox is whole, all of them together need not be
    /// of one moment.
    ///
    /// # Errors
    /// If the file cannot be read, and what `f` gives; then nothing further is read.
    pub fn for_each<E: From<PublicationError>>(
        &self,
        f: &mut dyn FnMut(Mailbox) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = String::new();
        loop {
            let page = self.pool.with(|connection| page(connection, &last))?;
            let Some(mailbox) = page.last() else { return Ok(()) };
            last.clone_from(&mailbox.address);
            page.into_iter().try_for_each(&mut *f)?;
        }
    }

    /// How much is published.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn counts(&self) -> Result<Counts, PublicationError> {
        self.pool.with(|connection| {
            let count = |sql: &str| -> Result<u64, PublicationError> {
                let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
                Ok(count.cast_unsigned())
            };
            Ok(Counts {
                domains: count("SELECT count(*) FROM domain")?,
                mailboxes: count("SELECT count(*) FROM mailbox")?,
                openpgp: count("SELECT count(*) FROM published WHERE id % 256 < 128")?,
                smime: count("SELECT count(*) FROM published WHERE id % 256 >= 128")?,
            })
        })
    }

    /// Policy and submission address of a domain.
    fn domain(&self, domain: &str) -> Result<Option<(String, Option<String>)>, PublicationError> {
        let domain = identity::canonical_domain(domain).unwrap_or_default();
        self.pool.with(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT policy, submission FROM domain WHERE name = ?1")?;
            Ok(statement.query_row([domain], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })
    }
}

/// A mailbox that answers a question.
struct Found {
    id: i64,
    address: String,
}

/// What the first mailbox has that has anything. Nobody's is asked for as well, and all of them.
fn first<T>(
    found: &[Option<Found>],
    mut of: impl FnMut(Option<i64>) -> Result<Vec<T>, PublicationError>,
) -> Result<Vec<T>, PublicationError> {
    let mut first = Vec::new();
    for found in found {
        let these = of(found.as_ref().map(|found| found.id))?;
        if first.is_empty() {
            first = these;
        }
    }
    Ok(first)
}

/// Which mailboxes may answer for an address, as [`resolve`].
fn of_address(connection: &Connection, address: &str) -> Result<[Option<Found>; 3], PublicationError> {
    let asked = Asked::parse(address);
    let domain = asked.as_ref().map(|asked| asked.domain.clone()).unwrap_or_default();
    let exact = asked.as_ref().map(Asked::key).unwrap_or_default();
    resolve(connection, &domain, &exact, asked.as_ref())
}

/// Which mailboxes may answer: the exact one, that of the sub-address, the domain's.
///
/// Asks for all of them whatever is there, so that nobody learns from the time it takes why there is nothing.
fn resolve(
    connection: &Connection,
    domain: &str,
    exact: &str,
    asked: Option<&Asked>,
) -> Result<[Option<Found>; 3], PublicationError> {
    let mut statement = connection.prepare_cached("SELECT delimiter FROM domain WHERE name = ?1")?;
    let delimiter: Option<String> = statement.query_row([domain], |row| row.get(0)).optional()?;
    let ours = delimiter.is_some();
    let asked_key = asked.map(Asked::key).unwrap_or_default();
    let mut statement = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM whole WHERE name = ?1)")?;
    let whole: bool = statement.query_row([whole_name(&asked_key)], |row| row.get(0))?;
    let base = asked.and_then(|asked| asked.base(&delimiter.unwrap_or_default())).unwrap_or_default();
    let of = |address: &str, may: bool| -> Result<Option<Found>, PublicationError> {
        let mut statement = connection.prepare_cached("SELECT id FROM mailbox WHERE address = ?1")?;
        let id: Option<i64> = statement.query_row([address], |row| row.get(0)).optional()?;
        Ok(id.filter(|_| may && ours).map(|id| Found { id, address: address.to_owned() }))
    };
    Ok([of(exact, true)?, of(&base, !whole)?, of(&format!("@{domain}"), true)?])
}

fn page(connection: &Connection, after: &str) -> Result<Vec<Mailbox>, PublicationError> {
    let sql = "SELECT address FROM mailbox WHERE address > ?1 ORDER BY address LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let addresses: Vec<String> =
        statement.query_map((after, PAGE), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mailboxes = addresses.iter().filter_map(|key| rows::mailbox(connection, key).transpose());
    mailboxes.collect()
}
