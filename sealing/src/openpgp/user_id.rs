//! Further names for a certificate of ours.

use sequoia_openpgp as pgp;

use pgp::Cert;
use pgp::Packet;
use pgp::packet::UserID;
use pgp::packet::signature::SignatureBuilder;
use pgp::policy::StandardPolicy;
use pgp::types::SignatureType;

use super::secret_cert::SecretCert;
use super::time::system_time;

/// The certificate with the User ID `<address>`, bound by its primary key.
///
/// No two calls make the same signature: who wants the same certificate again must keep it.
///
/// # Errors
/// The certificate is not valid at `now` (Unix seconds), or the primary's secret half is not there.
pub fn add_user_id(secret: &SecretCert, published: &Cert, address: &str, now: i64) -> anyhow::Result<Cert> {
    let policy = StandardPolicy::at(system_time(now));
    let valid = published.with_policy(&policy, system_time(now))?;
    let primary = valid.primary_userid()?;
    let template = SignatureBuilder::from(primary.binding_signature().clone());
    let mut signer = secret.secret().primary_key().key().clone().parts_into_secret()?.into_keypair()?;
    let user_id = UserID::from(format!("<{address}>"));
    let template = template
        .set_type(SignatureType::PositiveCertification)
        .set_signature_creation_time(system_time(now))?
        .set_primary_userid(false)?;
    let binding = user_id.bind(&mut signer, published, template)?;
    Ok(published.clone().insert_packets(vec![Packet::from(user_id), binding.into()])?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::openpgp::GenerateOptions;
    use crate::openpgp::generate;

    const NOW: i64 = 1_780_000_000;

    #[test]
    fn an_alias_is_bound_and_the_first_name_stays_the_first() {
        let options = GenerateOptions::new(vec!["Alice <alice@alpha.example>".to_owned()], NOW);
        let (cert, _) = generate(&options).unwrap();
        let public = cert.clone().strip_secret_key_material();
        let secret = SecretCert::new(cert).unwrap();
        let named = add_user_id(&secret, &public, "sales@alpha.example", NOW + 60).unwrap();
        assert!(!named.is_tsk());
        let policy = StandardPolicy::at(system_time(NOW + 60));
        let valid = named.with_policy(&policy, system_time(NOW + 60)).unwrap();
        let mut names: Vec<_> =
            valid.userids().map(|uid| String::from_utf8_lossy(uid.userid().value()).into_owned()).collect();
        names.sort();
        assert_eq!(names, ["<sales@alpha.example>", "Alice <alice@alpha.example>"]);
        assert_eq!(valid.primary_userid().unwrap().userid().value(), b"Alice <alice@alpha.example>");
    }

    #[test]
    fn without_the_secret_half_of_the_primary_nothing_is_bound() {
        let options = GenerateOptions::new(vec!["<alice@alpha.example>".to_owned()], NOW);
        let (cert, _) = generate(&options).unwrap();
        let public = cert.clone().strip_secret_key_material();
        let (other, _) = generate(&options).unwrap();
        assert!(add_user_id(&SecretCert::new(cert).unwrap(), &public, "a@alpha.example", NOW - 9).is_err());
        let stranger = SecretCert::new(other).unwrap();
        let named = add_user_id(&stranger, &public, "a@alpha.example", NOW);
        let policy = StandardPolicy::at(system_time(NOW));
        // Bound by a stranger is not bound at all.
        let bound = named
            .is_ok_and(|cert| cert.with_policy(&policy, system_time(NOW)).unwrap().userids().count() > 1);
        assert!(!bound);
    }
}
