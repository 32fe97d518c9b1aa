//! What a signer says it can decrypt (smimeCapabilities, RFC 8551 section 2.5.2).

use super::digest::Digest;
use super::element::reader;
use super::oid;
use crate::cms::algorithm::Algorithm;
use crate::cms::ber::BerError;
use crate::cms::ber::Tag;
use crate::cms::der_write::explicit;
use crate::cms::der_write::object_id;
use crate::cms::der_write::sequence;

/// What a signer announces beyond what everybody can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// AES-256-GCM (RFC 5084), that is AuthEnvelopedData.
    pub gcm: bool,
    /// RSAES-OAEP with SHA-256 (RFC 4055 section 4.1).
    pub oaep: bool,
}

impl Capabilities {
    /// Reads a SMIMECapabilities.
    pub(crate) fn parse(value: &[u8]) -> Result<Capabilities, BerError> {
        let mut list = reader(value);
        let mut seen = Capabilities::default();
        list.enter(Tag::SEQUENCE)?;
        while list.peek()?.is_some() {
            // A capability has the shape of an AlgorithmIdentifier.
            let one = list.element()?;
            let algorithm = Algorithm::read(&mut reader(&one))?;
            seen.gcm |= algorithm.oid == oid::AES256_GCM;
            seen.oaep |= algorithm.oid == oid::RSA_OAEP && algorithm.parameters == Some(oaep_parameters());
        }
        list.leave()?;
        Ok(seen)
    }

    /// Our own, the preferred first: what this library decrypts. OAEP is a matter of RSA keys only.
    pub(crate) fn ours(rsa: bool) -> Vec<u8> {
        let ciphers = [oid::AES256_GCM, oid::AES128_GCM, oid::AES256_CBC, oid::AES128_CBC];
        let mut list: Vec<Vec<u8>> = ciphers.iter().map(|cipher| sequence(&[&object_id(cipher)])).collect();
        if rsa {
            list.push(sequence(&[&object_id(oid::RSA_OAEP), &oaep_parameters()]));
        }
        sequence(&list.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }
}

/// RSAES-OAEP-params with SHA-256 for both functions and no label (RFC 4055 section 4.1).
fn oaep_parameters() -> Vec<u8> {
    let hash = Digest::Sha256.rsa_algorithm();
    let mask = sequence(&[&object_id(oid::MGF1), &hash]);
    sequence(&[&explicit(0, &hash), &explicit(1, &mask)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_are_read_back() {
        assert_eq!(
            Capabilities::parse(&Capabilities::ours(true)).unwrap(),
            Capabilities { gcm: true, oaep: true }
        );
        assert_eq!(
            Capabilities::parse(&Capabilities::ours(false)).unwrap(),
            Capabilities { gcm: true, oaep: false }
        );
    }

    #[test]
    fn what_everybody_can_is_no_announcement() {
        // What openssl cms -sign writes by default: AES-CBC, 3DES, RC2 with a key length.
        let rc2 = sequence(&[&object_id(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 2]), &[2, 2, 0, 0x80]]);
        let list = sequence(&[&sequence(&[&object_id(oid::AES256_CBC)]), &rc2]);
        assert_eq!(Capabilities::parse(&list).unwrap(), Capabilities::default());
        let sha1_oaep = sequence(&[&sequence(&[&object_id(oid::RSA_OAEP), &sequence(&[])])]);
        assert!(!Capabilities::parse(&sha1_oaep).unwrap().oaep);
    }

    #[test]
    fn a_damaged_list_is_refused() {
        let good = Capabilities::ours(true);
        for end in 0..good.len() {
            assert!(Capabilities::parse(&good[..end]).is_err());
        }
    }
}
