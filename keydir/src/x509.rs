//! X.509 certificates for S/MIME (RFC 5280, RFC 8550): read strictly, judged by name, usage and chain.

mod certificate;
mod names;
mod read;
mod usage;

pub use certificate::Certificate;
pub use certificate::CertificateError;
pub use names::Authority;
pub use names::Speaks;
pub use usage::PublicKey;
