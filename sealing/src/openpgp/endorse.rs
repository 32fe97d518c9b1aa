//! A domain vouches for its users, and its users let it, for that domain and for no other.
//!
//! The domain's key certifies the User IDs of its users (RFC 9580 section 5.2.1.8). Who puts a trust signature on the
//! domain's certificate, restricted by a regular expression to the domain (sections 5.2.3.21 and 5.2.3.22), sees all of
//! them as valid; a certification of anybody else by the same key means nothing.

use std::time::Duration;

use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::Packet;
use pgp::crypto::KeyPair;
use pgp::packet::signature::SignatureBuilder;
use pgp::policy::StandardPolicy;
use pgp::types::SignatureType;

use super::secret_cert::SecretCert;
use super::time::system_time;

/// Trust of a fully trusted introducer (RFC 9580 section 5.2.3.21).
const FULL: u8 = 120;

/// Why nothing was certified.
#[derive(Debug, thiserror::Error)]
pub enum EndorseError {
    /// The library refused, or the primary's secret half is not there.
    #[error("cannot certify {certificate} with {by}")]
    Library {
        /// What was to be certified, upper-case hexadecimal.
        certificate: String,
        /// With which key.
        by: String,
        /// What it said.
        #[source]
        source: anyhow::Error,
    },
    /// The certificate names somebody else.
    #[error("certificate {certificate} has no User ID with {address}")]
    NoUserId {
        /// The certificate, upper-case hexadecimal.
        certificate: String,
        /// The address.
        address: String,
    },
}

/// The certificate with a certification, by the domain's key, of its User IDs with this address; good for `validity`.
///
/// # Errors
/// [`EndorseError`]: no such User ID, or the domain's key cannot certify at `now` (Unix seconds).
pub fn endorse(
    domain: &SecretCert,
    certificate: &Cert,
    address: &str,
    validity: Duration,
    now: i64,
) -> Result<Cert, EndorseError> {
    let template = |builder: SignatureBuilder| builder.set_signature_validity_period(validity);
    certified(domain, certificate, address, now, &template)
}

/// The certificate of a domain with a trust signature by one of its users, that counts for the domain only.
///
/// # Errors
/// As [`endorse`].
pub fn trust_domain(
    user: &SecretCert,
    authority: &Cert,
    address: &str,
    domain: &str,
    now: i64,
) -> Result<Cert, EndorseError> {
    // GnuPG knows exactly this form of regular expression, and reads it by a library of Spencer's kind.
    let expression = format!("<[^>]+[@.]{}>$\0", domain.replace('.', "\\."));
    let template = |builder: SignatureBuilder| {
        builder.set_trust_signature(1, FULL)?.set_regular_expression(expression.as_bytes())
    };
    certified(user, authority, address, now, &template)
}

type Template<'t> = dyn Fn(SignatureBuilder) -> anyhow::Result<SignatureBuilder> + 't;

fn certified(
    signer: &SecretCert,
    certificate: &Cert,
    address: &str,
    now: i64,
    template: &Template<'_>,
) -> Result<Cert, EndorseError> {
    let named = || certificate.fingerprint().to_hex();
    let library =
        |source| EndorseError::Library { certificate: named(), by: signer.fingerprint().to_hex(), source };
    let mut key = primary(signer, now).map_err(library)?;
    let mut packets = Vec::new();
    for user_id in certificate.userids() {
        let user_id = user_id.userid();
        let names = user_id.email().ok().flatten().is_some_and(|email| email.eq_ignore_ascii_case(address));
        if names {
            let builder = SignatureBuilder::new(SignatureType::GenericCertification)
                .set_signature_creation_time(system_time(now))
                .and_then(template)
                .map_err(library)?;
            let signature = user_id.bind(&mut key, certificate, builder).map_err(library)?;
            packets.extend([Packet::from(user_id.clone()), signature.into()]);
        }
    }
    if packets.is_empty() {
        return Err(EndorseError::NoUserId { certificate: named(), address: address.to_owned() });
    }
    Ok(certificate.clone().insert_packets(packets).map_err(library)?.0)
}

/// The primary key, if it may certify now.
fn primary(signer: &SecretCert, now: i64) -> anyhow::Result<KeyPair> {
    let policy = StandardPolicy::at(system_time(now));
    let valid = signer.secret().with_policy(&policy, system_time(now))?;
    valid.alive()?;
    anyhow::ensure!(valid.primary_key().for_certification(), "the primary key may not certify");
    valid.primary_key().key().clone().parts_into_secret()?.into_keypair()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::openpgp::GenerateOptions;
    use crate::openpgp::generate;

    const NOW: i64 = 1_780_000_000;
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    fn key(user_id: &str) -> Cert {
        generate(&GenerateOptions::new(vec![user_id.to_owned()], NOW)).unwrap().0
    }

    #[test]
    fn a_certification_holds_for_the_user_id_with_the_address_only() {
        let domain = key("domain-signing-authority <domain-signing-authority@alpha.example>");
        let ca = domain.clone().strip_secret_key_material();
        let alice = key("Alice <Alice@alpha.example>").strip_secret_key_material();
        let secret = SecretCert::new(domain).unwrap();
        let endorsed = endorse(&secret, &alice, "alice@alpha.example", YEAR, NOW + 60).unwrap();
        let uid = endorsed.userids().next().unwrap();
        let certification = uid.certifications().next().unwrap();
        certification
            .verify_userid_binding(ca.primary_key().key(), endorsed.primary_key().key(), uid.userid())
            .unwrap();
        assert_eq!(certification.signature_validity_period(), Some(YEAR));
        let wrong = endorse(&secret, &alice, "bob@alpha.example", YEAR, NOW + 60);
        assert!(matches!(wrong, Err(EndorseError::NoUserId { .. })));
    }

    #[test]
    fn trust_in_a_domain_ends_at_its_border() {
        let alice = SecretCert::new(key("<alice@alpha.example>")).unwrap();
        let address = "domain-signing-authority@alpha.example";
        let ca = key(&format!("<{address}>")).strip_secret_key_material();
        let trusted = trust_domain(&alice, &ca, address, "alpha.example", NOW + 60).unwrap();
        let signature = trusted.userids().next().unwrap().certifications().next().unwrap().clone();
        assert_eq!(signature.trust_signature(), Some((1, FULL)));
        assert_eq!(signature.regular_expressions().next(), Some(&b"<[^>]+[@.]alpha\\.example>$"[..]));
    }

    #[test]
    fn an_expired_domain_key_vouches_for_nobody() {
        let secret = SecretCert::new(key("<domain-signing-authority@alpha.example>")).unwrap();
        let alice = key("<alice@alpha.example>").strip_secret_key_material();
        let late = endorse(&secret, &alice, "alice@alpha.example", YEAR, NOW + 4 * 365 * 86_400);
        assert!(matches!(late, Err(EndorseError::Library { .. })));
    }
}
