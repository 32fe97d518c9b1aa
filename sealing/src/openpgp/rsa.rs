//! RSA private operations with the Chinese remainder theorem.
//!
//! Sequoia's OpenSSL backend hands OpenSSL only n, e and d, which makes every private operation
//! three to five times slower than it has to be. A secret OpenPGP key also holds p, q and
//! u = p⁻¹ mod q (RFC 9580 section 5.5.5.1), which is all that OpenSSL's fast path needs.

use openssl::bn::BigNum;
use openssl::bn::BigNumContext;
use openssl::bn::BigNumRef;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::hash::hash;
use openssl::pkey::Private;
use openssl::rsa::Padding;
use openssl::rsa::Rsa;
use openssl::rsa::RsaPrivateKeyBuilder;
use sequoia_openpgp as pgp;

use pgp::crypto::SessionKey;
use pgp::crypto::mpi;
use pgp::packet::Key;
use pgp::packet::key::PublicParts;
use pgp::packet::key::Unencrypted;
use pgp::packet::key::UnspecifiedRole;
use pgp::types::HashAlgorithm;
use zeroize::Zeroize;
use zeroize::Zeroizing;

/// A secret RSA key, ready for OpenSSL's fast path. Cloning shares the key.
#[derive(Clone)]
pub(crate) struct RsaKey {
    public: Key<PublicParts, UnspecifiedRole>,
    secret: Rsa<Private>,
    /// Seeds the session key that stands in for an ill-padded one.
    rejection: Zeroizing<[u8; 32]>,
}

impl RsaKey {
    /// Prepares an RSA key; `None` if the key is of another algorithm or its numbers do not belong together.
    pub(crate) fn new(public: &Key<PublicParts, UnspecifiedRole>, secret: &Unencrypted) -> Option<RsaKey> {
        let mpi::PublicKey::RSA { e, n } = public.mpis() else { return None };
        secret.map(|material| {
            let mpi::SecretKeyMaterial::RSA { d, p, q, u } = material else { return None };
            let secret =
                with_crt([n.value(), e.value(), d.value(), p.value(), q.value(), u.value()]).ok()??;
            let mut rejection = Zeroizing::new([0; 32]);
            rejection.copy_from_slice(&hash(MessageDigest::sha256(), d.value()).ok()?);
            Some(RsaKey { public: public.clone(), secret, rejection })
        })
    }

    /// Removes the padding of PKCS #1 v1.5 (RFC 8017 section 7.2.2), or gives a key that opens nothing.
    ///
    /// An ill-padded block is not told apart from a wrong session key, neither by the result nor by the
    /// path taken, so that nobody can use us as Bleichenbacher's oracle.
    fn unpad(
        &self,
        block: &[u8],
        ciphertext: &[u8],
        expected: Option<usize>,
    ) -> Result<SessionKey, ErrorStack> {
        let stand_in = self.stand_in(ciphertext, expected)?;
        let mut separator = 0_usize;
        let mut found = 0_u8;
        for (at, byte) in block.iter().enumerate().skip(2) {
            let zero = u8::from(*byte == 0);
            let first = zero & (1 - found);
            separator |= at * usize::from(first);
            found |= zero;
        }
        let head = u8::from(block.first() == Some(&0)) & u8::from(block.get(1) == Some(&2));
        let good = head & found & u8::from(separator >= 10);
        let message = block.get(separator + 1..).unwrap_or_default();
        let fits = u8::from(expected.is_none_or(|n| n == message.len()));
        Ok(SessionKey::from(if good & fits == 1 { message } else { stand_in.as_slice() }))
    }

    /// A session key that depends on nothing but our secret and the ciphertext, shaped like a real one
    /// (RFC 9580 section 5.1.3: algorithm, key, checksum).
    fn stand_in(&self, ciphertext: &[u8], expected: Option<usize>) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        let mut seed = Zeroizing::new(self.rejection.to_vec());
        seed.extend_from_slice(ciphertext);
        let key = hash(MessageDigest::sha256(), &seed)?;
        let sum = key.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
        let mut whole = Zeroizing::new(vec![9]);
        whole.extend_from_slice(&key);
        whole.extend_from_slice(&sum.to_be_bytes());
        Ok(match expected {
            Some(length) if length < whole.len() => {
                Zeroizing::new(whole.get(whole.len() - length..).unwrap_or_default().to_vec())
            }
            _ => whole,
        })
    }
}

impl pgp::crypto::Signer for RsaKey {
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        &self.public
    }

    fn acceptable_hashes(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA512, HashAlgorithm::SHA256, HashAlgorithm::SHA384]
    }

    fn sign(&mut self, algorithm: HashAlgorithm, digest: &[u8]) -> pgp::Result<mpi::Signature> {
        let prefix = digest_info(algorithm).ok_or(pgp::Error::UnsupportedHashAlgorithm(algorithm))?;
        let info = [prefix, digest].concat();
        let mut signature = vec![0; self.secret.size() as usize];
        let length = self.secret.private_encrypt(&info, &mut signature, Padding::PKCS1)?;
        signature.truncate(length);
        Ok(mpi::Signature::RSA { s: mpi::MPI::new(&signature) })
    }
}

impl pgp::crypto::Decryptor for RsaKey {
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        &self.public
    }

    fn decrypt(&mut self, ciphertext: &mpi::Ciphertext, expected: Option<usize>) -> pgp::Result<SessionKey> {
        let mpi::Ciphertext::RSA { c } = ciphertext else {
            return Err(pgp::Error::InvalidOperation("not an RSA ciphertext".into()).into());
        };
        let size = self.secret.size() as usize;
        let c = c.value_padded(size)?;
        let mut block = Zeroizing::new(vec![0; size]);
        self.secret.private_decrypt(&c, &mut block, Padding::NONE)?;
        Ok(self.unpad(&block, &c, expected)?)
    }
}

/// OpenSSL wants iqmp = q⁻¹ mod p where OpenPGP stores p⁻¹ mod q: we call their p q, and their q p.
fn with_crt([n, e, d, p, q, u]: [&[u8]; 6]) -> Result<Option<Rsa<Private>>, ErrorStack> {
    let (p, q) = (number(q)?, number(p)?);
    let mut context = BigNumContext::new_secure()?;
    let mut product = BigNum::new()?;
    product.checked_mul(&p, &q, &mut context)?;
    let (n, d) = (BigNum::from_slice(n)?, number(d)?);
    if product != n || p.num_bits() < 2 || q.num_bits() < 2 {
        return Ok(None);
    }
    let dmp1 = reduced(&d, &p, &mut context)?;
    let dmq1 = reduced(&d, &q, &mut context)?;
    let builder = RsaPrivateKeyBuilder::new(n, BigNum::from_slice(e)?, d)?;
    let builder = builder.set_factors(p, q)?.set_crt_params(dmp1, dmq1, number(u)?)?;
    Ok(Some(builder.build()))
}

/// d mod (prime - 1), without leaving the intermediate number behind.
fn reduced(d: &BigNumRef, prime: &BigNumRef, context: &mut BigNumContext) -> Result<BigNum, ErrorStack> {
    let mut less = prime.to_owned()?;
    less.set_const_time();
    less.sub_word(1)?;
    let mut result = BigNum::new_secure()?;
    result.nnmod(d, &less, context)?;
    result.set_const_time();
    less.clear();
    Ok(result)
}

/// A secret number from its big-endian bytes.
fn number(bytes: &[u8]) -> Result<BigNum, ErrorStack> {
    let mut copy = bytes.to_vec();
    let number = BigNum::from_slice(&copy);
    copy.zeroize();
    let mut number = number?;
    number.set_const_time();
    Ok(number)
}

/// The DER that goes before the digest (RFC 8017 section 9.2, note 1).
fn digest_info(algorithm: HashAlgorithm) -> Option<&'static [u8]> {
    match algorithm {
        HashAlgorithm::SHA256 => {
            Some(b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20")
        }
        HashAlgorithm::SHA384 => {
            Some(b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30")
        }
        HashAlgorithm::SHA512 => {
            Some(b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use pgp::crypto::Decryptor;
    use pgp::crypto::Signer;
    use pgp::packet::key::Key4;
    use pgp::packet::key::SecretParts;

    fn key(bits: usize) -> (RsaKey, Key<SecretParts, UnspecifiedRole>) {
        let key: Key<SecretParts, UnspecifiedRole> = Key4::generate_rsa(bits).unwrap().into();
        let pair = key.clone().into_keypair().unwrap();
        (RsaKey::new(pair.public(), pair.secret()).unwrap(), key)
    }

    #[test]
    fn signs_what_sequoia_verifies_and_decrypts_what_sequoia_encrypts() {
        for bits in [2048, 3072] {
            let (mut rsa, key) = key(bits);
            for algorithm in [HashAlgorithm::SHA256, HashAlgorithm::SHA384, HashAlgorithm::SHA512] {
                let digest = vec![7; algorithm.digest_size().unwrap()];
                let ours = rsa.sign(algorithm, &digest).unwrap();
                let theirs = key.clone().into_keypair().unwrap().sign(algorithm, &digest).unwrap();
                assert_eq!(ours, theirs);
            }
            let session = SessionKey::from(vec![3; 35]);
            let ciphertext = key.encrypt(&session).unwrap();
            assert_eq!(rsa.decrypt(&ciphertext, None).unwrap(), session);
            assert_eq!(rsa.decrypt(&ciphertext, Some(35)).unwrap(), session);
        }
    }

    #[test]
    fn ill_padded_blocks_give_a_steady_wrong_key_instead_of_an_error() {
        let (mut rsa, _) = key(2048);
        let ciphertext = mpi::Ciphertext::RSA { c: mpi::MPI::new(&[5; 200]) };
        let first = rsa.decrypt(&ciphertext, None).unwrap();
        assert_eq!(first, rsa.decrypt(&ciphertext, None).unwrap());
        assert_eq!(first.len(), 35);
        assert_eq!(rsa.decrypt(&ciphertext, Some(34)).unwrap().len(), 34);
    }
}
