//! Revocation lists of the local authority (RFC 5280, 5).

use der::Decode;
use der::Encode;
use der::asn1::BitString;
use der::asn1::OctetString;
use der::asn1::Uint;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;
use x509_cert::crl::CertificateList;
use x509_cert::crl::RevokedCert;
use x509_cert::crl::TbsCertList;
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

use super::AuthorityError;
use super::DAY;
use super::Issued;
use super::LocalAuthority;
use super::Profile;
use super::SignatureAlgorithm;
use super::Signs;
use super::draft;
use super::rows;
use crate::x509::oid;

/// Life of a list of an issuing authority, seconds.
const LIFE: i64 = DAY;
/// Life of a list of the root, seconds: its key is offline.
const ROOT_LIFE: i64 = 366 * DAY;

/// A revocation list to be published.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublishedCrl {
    /// The list; served as `application/pkix-crl`.
    pub der: Vec<u8>,
    /// Its number; a newer list has a higher one.
    pub number: u32,
    /// When it was made, Unix seconds.
    pub this_update: i64,
    /// When the next one must have come, Unix seconds.
    pub next_update: i64,
}

impl PublishedCrl {
    /// How many certificates stand in it.
    fn length(&self) -> usize {
        let list = CertificateList::from_der(&self.der).ok();
        list.and_then(|list| list.tbs_cert_list.revoked_certificates).map_or(0, |entries| entries.len())
    }
}

impl LocalAuthority {
    /// Makes a new list with everything that the authority with this certificate revoked. It is recorded
    /// when this returns, and is the one that [`LocalAuthority::latest_crl`] gives from then on. Lists of
    /// issuing authorities are valid for 24 hours, those of the root for a year.
    ///
    /// # Errors
    /// If the fingerprint is no authority's, the key is another one, or anything fails.
    pub fn crl(&self, authority: &str, key: &dyn Signs, now: i64) -> Result<PublishedCrl, AuthorityError> {
        let authority = authority.to_ascii_uppercase();
        let mut connection = self.lock();
        let transaction = rows::begin(&mut connection)?;
        let issuer = rows::find(&transaction, &authority)?
            .filter(|issued| matches!(issued.profile, Profile::Root | Profile::Issuing))
            .ok_or_else(|| AuthorityError::Unknown(authority.clone()))?;
        draft::check_key(&issuer.certificate, key)?;
        let number = latest(&transaction, &authority)?.map_or(1, |list| list.number + 1);
        let life = if issuer.profile == Profile::Root { ROOT_LIFE } else { LIFE };
        let revoked = rows::revoked(&transaction, &authority)?;
        let der = make(&issuer, &revoked, number, (now, now + life), key)?;
        let list = PublishedCrl { der, number, this_update: now, next_update: now + life };
        transaction.execute(
            "INSERT INTO crl VALUES (?1, ?2, ?3, ?4, ?5)",
            params![authority, list.number, list.this_update, list.next_update, list.der],
        )?;
        // Old lists are of no use to anybody; their numbers go on.
        transaction
            .execute("DELETE FROM crl WHERE issuer = ?1 AND number < ?2", params![authority, number])?;
        transaction.commit()?;
        Ok(list)
    }

    /// The list made last, if any.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn latest_crl(&self, authority: &str) -> Result<Option<PublishedCrl>, AuthorityError> {
        latest(&self.lock(), &authority.to_ascii_uppercase())
    }

    /// The authorities whose list should be made anew at `now`: none was made, something was revoked since (whatever
    /// the clock said then), half of its life is over, or it is from the future. Expired authorities are left out. Gives their certificates.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn crls_due(&self, now: i64) -> Result<Vec<Issued>, AuthorityError> {
        let connection = self.lock();
        let mut due = Vec::new();
        for authority in rows::authorities(&connection)? {
            let list = latest(&connection, &authority.fingerprint)?;
            let entries = rows::revoked(&connection, &authority.fingerprint)?;
            let fresh = list.is_some_and(|list| {
                let newer =
                    entries.iter().any(|e| e.revoked.is_some_and(|(when, _)| when >= list.this_update));
                let whole = !newer && entries.len() <= list.length();
                // A list from the future was made by a clock that was wrong; nobody believes it before its time.
                let half = list.this_update + (list.next_update - list.this_update) / 2;
                whole && (list.this_update..half).contains(&now)
            });
            if !fresh && now <= authority.certificate.not_after() {
                due.push(authority);
            }
        }
        Ok(due)
    }
}

fn latest(connection: &Connection, authority: &str) -> Result<Option<PublishedCrl>, AuthorityError> {
    let sql = "SELECT number, this_update, next_update, bytes FROM crl WHERE issuer = ?1
               ORDER BY number DESC LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(PublishedCrl {
            number: row.get(0)?,
            this_update: row.get(1)?,
            next_update: row.get(2)?,
            der: row.get(3)?,
        })
    };
    Ok(connection.query_row(sql, [authority], read).optional()?)
}

fn make(
    issuer: &Issued,
    revoked: &[Issued],
    number: u32,
    (this_update, next_update): (i64, i64),
    key: &dyn Signs,
) -> Result<Vec<u8>, AuthorityError> {
    let algorithm = SignatureAlgorithm::of(&issuer.certificate.public_key_info()?)?;
    let entries = revoked.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let number = OctetString::new(Uint::new(&number.to_be_bytes())?.to_der()?)?;
    let tbs_cert_list = TbsCertList {
        version: x509_cert::Version::V2,
        signature: algorithm.identifier(),
        issuer: Name::from_der(issuer.certificate.subject_der())?,
        this_update: draft::time(this_update)?,
        next_update: Some(draft::time(next_update)?),
        // An empty list must be absent (RFC 5280, 5.1.2.6).
        revoked_certificates: (!entries.is_empty()).then_some(entries),
        crl_extensions: Some(vec![
            draft::extension(&draft::authority_key_id(&issuer.certificate)?, false)?,
            Extension { extn_id: oid::CRL_NUMBER, critical: false, extn_value: number },
        ]),
    };
    let signature = key.sign(algorithm, &tbs_cert_list.to_der()?)?;
    let list = CertificateList {
        tbs_cert_list,
        signature_algorithm: algorithm.identifier(),
        signature: BitString::from_bytes(&signature)?,
    };
    Ok(list.to_der()?)
}

fn entry(issued: &Issued) -> Result<RevokedCert, AuthorityError> {
    let (when, reason) = issued.revoked.unwrap_or_default();
    // The reason "unspecified" should be absent (RFC 5280, 5.3.1).
    let reason = u8::try_from(reason).ok().filter(|reason| *reason != 0);
    let extensions = reason.map(|reason| {
        let extn_value = OctetString::new([0x0a, 0x01, reason])?; // ENUMERATED
        Ok::<_, der::Error>(vec![Extension { extn_id: oid::CRL_REASON, critical: false, extn_value }])
    });
    Ok(RevokedCert {
        serial_number: SerialNumber::new(issued.certificate.serial())?,
        revocation_date: draft::time(when)?,
        crl_entry_extensions: extensions.transpose()?,
    })
}
