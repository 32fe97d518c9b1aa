//! The key directory: which certificate may be used for whom, today, and why not.
//!
//! A [`Store`] keeps certificates with their origin, the trust the administrator puts in them, and where
//! the secret half lies. Secret keys never enter this crate: input that contains one is refused.
//!
//! [`Store::find`] is the question the gateway asks for each recipient. It has three answers
//! ([`Answer`]): found, certainly none (with a [`Reason`] for each certificate that was looked at), and
//! could not tell. The third is not the second: mail that must be protected waits for it.
//!
//! For S/MIME there are [`Certificate`] and [`Anchors`]: certificates are read strictly, and only a chain to a
//! trust anchor, checked for revocation as far as anything is known, makes one usable
//! ([`Store::find_certificate`]). A [`LocalAuthority`] issues certificates for our own domains.
//!
//! Nothing here reads the clock; every function that depends on the time takes `now` in seconds since
//! 1970-01-01 UTC.

mod answer;
mod assess;
mod authority;
mod autocrypt;
mod candidate;
#[cfg(test)]
mod forge;
mod identity;
mod intake;
mod listing;
mod publication;
mod record;
mod store;
mod subject;
mod wkd;
mod x509;
mod zone;

pub use answer::Answer;
pub use answer::Known;
pub use answer::Reason;
pub use answer::Rejected;
pub use answer::Usable;
pub use authority::AuthorityError;
pub use authority::AuthoritySettings;
pub use authority::Issued;
pub use authority::LeafRequest;
pub use authority::LocalAuthority;
pub use authority::Profile;
pub use authority::PublishedCrl;
pub use authority::RevocationReason;
pub use authority::SignatureAlgorithm;
pub use authority::Signs;
pub use authority::SignsError;
pub use authority::requested_key;
pub use autocrypt::Autocrypt;
pub use candidate::Offered;
pub use candidate::Screening;
pub use candidate::screen_openpgp;
pub use candidate::screen_smime;
pub use intake::IntakeError;
pub use intake::read_certificates;
pub use intake::split_secrets;
pub use listing::Filter;
pub use listing::Listed;
pub use listing::ListedSubkey;
pub use listing::Standing;
pub use listing::armored;
pub use publication::AliasSigner;
pub use publication::Change;
pub use publication::Counts;
pub use publication::Mailbox;
pub use publication::Publication;
pub use publication::PublicationError;
pub use publication::PublicationRules;
pub use publication::Published;
pub use publication::Publisher;
pub use publication::Summary;
pub use publication::Who;
pub use publication::key_set_digest;
pub use record::Custody;
pub use record::FoundSubject;
pub use record::Origin;
pub use record::Record;
pub use record::Scheme;
pub use record::Trust;
pub use store::CertificateId;
pub use store::Import;
pub use store::KnownCertificate;
pub use store::Store;
pub use store::StoreError;
pub use store::UsableCertificate;
pub use subject::Purpose;
pub use subject::Subject;
pub use wkd::openpgpkey_owner;
pub use wkd::smimea_owner;
pub use wkd::wkd_hash;
pub use x509::AnchorSources;
pub use x509::Anchors;
pub use x509::AnchorsError;
pub use x509::Authority;
pub use x509::Certificate;
pub use x509::CertificateError;
pub use x509::Chain;
pub use x509::ChainError;
pub use x509::CrlError;
pub use x509::OcspAnswer;
pub use x509::OcspError;
pub use x509::OcspQuestion;
pub use x509::OcspStatus;
pub use x509::PublicKey;
pub use x509::Speaks;
pub use x509::Use;
pub use zone::MailboxRecords;
pub use zone::ZoneRecordType;
pub use zone::ZoneRecords;
pub use zone::zone_records;
