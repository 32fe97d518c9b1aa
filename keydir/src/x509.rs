//! X.509 certificates for S/MIME (RFC 5280, RFC 8550): read strictly, judged by name, usage and chain.

mod anchors;
mod certificate;
mod chain;
mod constraints;
mod crl;
mod names;
mod ocsp;
pub(crate) mod oid;
mod read;
mod recent;
mod revocation;
mod usage;

pub use anchors::AnchorSources;
pub use anchors::Anchors;
pub use anchors::AnchorsError;
pub use certificate::Certificate;
pub use certificate::CertificateError;
pub(crate) use certificate::hex;
pub(crate) use certificate::issuer_serial_handle;
pub use chain::Chain;
pub use chain::ChainError;
pub use chain::Use;
pub use crl::CrlError;
pub use names::Authority;
pub(crate) use names::SMTP_UTF8_MAILBOX;
pub use names::Speaks;
pub(crate) use names::covers;
pub use ocsp::OcspAnswer;
pub use ocsp::OcspError;
pub use ocsp::OcspQuestion;
pub use ocsp::OcspStatus;
pub use usage::PublicKey;
pub(crate) use usage::kind_of_key;

/// Unix seconds of a time in a certificate or revocation list.
pub(crate) fn unix(time: &openssl::asn1::Asn1TimeRef) -> i64 {
    let since = openssl::asn1::Asn1Time::from_unix(0).and_then(|epoch| epoch.diff(time));
    since.map_or(0, |since| i64::from(since.days) * 86_400 + i64::from(since.secs))
}
