//! Certificates that were read a short while ago: the same ones come again with every message, and reading one
//! strictly takes a hundred times as long as finding it here.
//!
//! Only what was accepted is kept, under the SHA-256 of its bytes, so that an answer from here is the answer that
//! reading again would give. Memory is bounded whatever arrives: two generations, of which the older one goes when
//! the younger one is full; what is asked for in the older one moves to the younger.

use std::collections::HashMap;
use std::mem;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use super::Certificate;

/// Most certificates of one generation.
const MAX_ENTRIES: usize = 2048;
/// Most bytes of one generation in DER; what is made of them in memory is about ten times as large.
const MAX_BYTES: usize = 2 << 20;
/// A larger certificate is read each time. Ordinary ones have 1,000 to 3,000 bytes, post-quantum ones about 20,000.
const MAX_ONE: usize = 32 << 10;

static RECENT: LazyLock<Mutex<Recent>> = LazyLock::new(Mutex::default);

type Digest = [u8; 32];

#[derive(Default)]
struct Recent {
    young: Generation,
    old: HashMap<Digest, Certificate>,
}

#[derive(Default)]
struct Generation {
    certificates: HashMap<Digest, Certificate>,
    /// In DER, together.
    bytes: usize,
}

/// The certificate with this digest, if it was read a short while ago.
pub(super) fn find(digest: &Digest) -> Option<Certificate> {
    let mut recent = lock();
    if let Some(known) = recent.young.certificates.get(digest) {
        return Some(known.clone());
    }
    let known = recent.old.remove(digest)?;
    let gone = recent.keep(*digest, &known);
    drop(recent);
    drop(gone);
    Some(known)
}

/// Keeps a certificate that was accepted.
pub(super) fn keep(digest: Digest, certificate: &Certificate) {
    if certificate.der().len() <= MAX_ONE {
        let gone = lock().keep(digest, certificate);
        // Not under the lock: there may be many.
        drop(gone);
    }
}

impl Recent {
    /// Gives what is forgotten for it.
    fn keep(&mut self, digest: Digest, certificate: &Certificate) -> HashMap<Digest, Certificate> {
        let full = self.young.certificates.len() >= MAX_ENTRIES || self.young.bytes >= MAX_BYTES;
        let young = if full { mem::take(&mut self.young) } else { Generation::default() };
        let gone = if full { mem::replace(&mut self.old, young.certificates) } else { HashMap::new() };
        if self.young.certificates.insert(digest, certificate.clone()).is_none() {
            self.young.bytes += certificate.der().len();
        }
        gone
    }
}

fn lock() -> MutexGuard<'static, Recent> {
    // Each change is one insertion or exchange; a panic elsewhere leaves it whole.
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::bn::BigNum;
    use openssl::ec::EcGroup;
    use openssl::ec::EcKey;
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::x509::X509Builder;
    use openssl::x509::X509Name;

    use super::*;

    fn made(name_length: usize) -> Vec<u8> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509Name::builder().unwrap();
        // At most 64 characters each (X.520).
        for _ in 0..name_length / 60 {
            name.append_entry_by_nid(Nid::COMMONNAME, &"x".repeat(60)).unwrap();
        }
        name.append_entry_by_nid(Nid::COMMONNAME, "end").unwrap();
        let name = name.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        builder.build().to_der().unwrap()
    }

    #[test]
    fn the_same_bytes_give_the_same_certificate_and_others_do_not() {
        let der = made(0);
        let first = Certificate::from_der(&der).unwrap();
        assert!(std::ptr::eq(first.der(), Certificate::from_der(&der).unwrap().der()));
        let mut damaged = der.clone();
        damaged.push(0);
        assert!(Certificate::from_der(&damaged).is_err());
        assert!(Certificate::from_der(&damaged).is_err(), "a refusal is not forgotten for an acceptance");
    }

    #[test]
    fn large_ones_are_not_kept() {
        let der = made(MAX_ONE * 5 / 8);
        let first = Certificate::from_der(&der).unwrap();
        assert!(!std::ptr::eq(first.der(), Certificate::from_der(&der).unwrap().der()));
    }

    #[test]
    fn memory_is_bounded_and_what_is_in_use_stays() {
        let mut recent = Recent::default();
        let used = Certificate::from_der(&made(0)).unwrap();
        let other = Certificate::from_der(&made(10_000)).unwrap();
        let digest = |number: u32| -> Digest {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&number.to_be_bytes());
            digest
        };
        drop(recent.keep(digest(0), &used));
        for number in 1..3000 {
            drop(recent.keep(digest(number), &other));
            if let Some(known) = recent.old.remove(&digest(0)) {
                drop(recent.keep(digest(0), &known));
            }
            let entries = recent.young.certificates.len() + recent.old.len();
            assert!(entries <= 2 * (MAX_BYTES / other.der().len() + 2), "{entries}");
            assert!(recent.young.bytes < MAX_BYTES + MAX_ONE);
        }
        assert!(recent.young.certificates.contains_key(&digest(0)) || recent.old.contains_key(&digest(0)));
    }
}
