//! Revoking a certificate whose secret key we hold (RFC 9580, 5.2.3.31).

use std::io::Write;
use std::time::Duration;
use std::time::UNIX_EPOCH;

use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::armor;
use sequoia_openpgp::cert::CertRevocationBuilder;
use sequoia_openpgp::serialize::Serialize;
use sequoia_openpgp::types::ReasonForRevocation;

use super::CustodyError;

/// Why a certificate is revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Revocation {
    /// Somebody else may have the secret key: everything it ever signed becomes doubtful.
    Compromised,
    /// It is not used any more.
    Retired,
    /// Another certificate replaces it.
    Superseded,
    /// No reason is given; counts as compromised.
    Unspecified,
}

impl From<Revocation> for ReasonForRevocation {
    fn from(revocation: Revocation) -> Self {
        match revocation {
            Revocation::Compromised => Self::KeyCompromised,
            Revocation::Retired => Self::KeyRetired,
            Revocation::Superseded => Self::KeySuperseded,
            Revocation::Unspecified => Self::Unspecified,
        }
    }
}

/// Makes a revocation certificate in ASCII armor for a certificate with its secret keys, dated `now` (Unix seconds). It takes effect when
/// it is added to the certificate in the key directory and published.
///
/// # Errors
/// If the secret half of the primary key is not there.
pub fn revoke(cert: &Cert, reason: Revocation, text: &str, now: i64) -> Result<Vec<u8>, CustodyError> {
    let primary = cert.primary_key().key().clone();
    let primary = primary
        .parts_into_secret()
        .map_err(|_| CustodyError::NoPrimarySecret(cert.fingerprint().to_hex()))?;
    let time = UNIX_EPOCH + Duration::from_secs(u64::try_from(now).unwrap_or(0));
    let made = || -> sequoia_openpgp::Result<Vec<u8>> {
        let signature = CertRevocationBuilder::new()
            .set_signature_creation_time(time)?
            .set_reason_for_revocation(reason.into(), text.as_bytes())?
            .build(&mut primary.into_keypair()?, cert, None)?;
        let comment = vec![("Comment", "This is a revocation certificate")];
        let mut armored = armor::Writer::with_headers(Vec::new(), armor::Kind::PublicKey, comment)?;
        Packet::from(signature).serialize(&mut armored)?;
        armored.flush()?;
        Ok(armored.finalize()?)
    };
    made().map_err(CustodyError::Crypto)
}
