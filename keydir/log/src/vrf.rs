//! The verifiable random function that turns a mailbox into its label: ECVRF-EDWARDS25519-SHA512-TAI of
//! RFC 9381.
//!
//! Only the holder of the key can compute a label, so nobody finds out from the log who has a mailbox;
//! and with the proof everybody can check it, so the holder cannot answer for a label of his choice.

use std::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::scalar::clamp_integer;
use sha2::Digest;
use sha2::Sha512;
use zeroize::Zeroize;
use zeroize::Zeroizing;

use crate::Label;
use crate::mailbox::Mailbox;

/// RFC 9381 section 5.5: suite_string of ECVRF-EDWARDS25519-SHA512-TAI.
const SUITE: u8 = 0x03;

/// The secret key of the function. Zeroed when dropped, and never shown.
pub struct VrfKey {
    seed: [u8; 32],
    /// The secret scalar of RFC 8032 section 5.1.5, reduced.
    scalar: Scalar,
    /// The second half of the hashed key, from which nonces are made (RFC 8032 section 5.1.6).
    prefix: [u8; 32],
    public: VrfPublic,
}

/// The public key of the function: a point of the curve in canonical encoding that has not a small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VrfPublic {
    bytes: [u8; 32],
    point: EdwardsPoint,
}

/// A proof that a label is that of a mailbox (RFC 9381 section 5.1): Gamma, c, s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VrfProof(pub [u8; 80]);

impl VrfKey {
    /// A new key.
    ///
    /// # Errors
    /// The random source of OpenSSL failed.
    pub fn generate() -> Result<VrfKey, openssl::error::ErrorStack> {
        let mut seed = Zeroizing::new([0; 32]);
        openssl::rand::rand_priv_bytes(seed.as_mut())?;
        Ok(VrfKey::from_bytes(&seed))
    }

    /// The key with this secret (RFC 8032 section 5.1.5: 32 random octets).
    pub fn from_bytes(seed: &[u8; 32]) -> VrfKey {
        let mut hashed: [u8; 64] = Sha512::digest(seed).into();
        let (mut secret, mut prefix) = ([0; 32], [0; 32]);
        secret.copy_from_slice(hashed.split_at(32).0);
        prefix.copy_from_slice(hashed.split_at(32).1);
        let scalar = Scalar::from_bytes_mod_order(clamp_integer(secret));
        let point = EdwardsPoint::mul_base(&scalar);
        hashed.zeroize();
        secret.zeroize();
        VrfKey { seed: *seed, scalar, prefix, public: VrfPublic { bytes: point.compress().0, point } }
    }

    /// The secret, to be kept as secret as a signing key.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.seed)
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> &VrfPublic {
        &self.public
    }

    /// The label of a mailbox. Costs a third of [`VrfKey::prove`].
    pub fn label(&self, mailbox: &Mailbox) -> Label {
        let gamma = encode_to_curve(&self.public.bytes, mailbox.as_bytes()) * self.scalar;
        label_of(&proof_to_hash(&gamma))
    }

    /// The label of a mailbox and the proof of it (RFC 9381 section 5.1).
    pub fn prove(&self, mailbox: &Mailbox) -> (Label, VrfProof) {
        let (beta, proof) = self.evaluate(mailbox.as_bytes());
        (label_of(&beta), proof)
    }

    fn evaluate(&self, alpha: &[u8]) -> ([u8; 64], VrfProof) {
        let base = encode_to_curve(&self.public.bytes, alpha);
        let gamma = base * self.scalar;
        let encoded = base.compress().0;
        // RFC 9381 section 5.4.2.2: the nonce is made as for an Ed25519 signature over the point.
        let mut nonce_hash: [u8; 64] =
            Sha512::new().chain_update(self.prefix).chain_update(encoded).finalize().into();
        let mut nonce = Scalar::from_bytes_mod_order_wide(&nonce_hash);
        let challenge =
            challenge(&[&self.public.point, &base, &gamma, &EdwardsPoint::mul_base(&nonce), &(base * nonce)]);
        let response = nonce + scalar_of(&challenge) * self.scalar;
        nonce_hash.zeroize();
        nonce.zeroize();
        let mut proof = [0; 80];
        let (point, rest) = proof.split_at_mut(32);
        point.copy_from_slice(&gamma.compress().0);
        let (left, right) = rest.split_at_mut(16);
        left.copy_from_slice(&challenge);
        right.copy_from_slice(response.as_bytes());
        (proof_to_hash(&gamma), VrfProof(proof))
    }
}

impl Drop for VrfKey {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.scalar.zeroize();
        self.prefix.zeroize();
    }
}

impl fmt::Debug for VrfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VrfKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl VrfPublic {
    /// Reads a public key; none if it is not a point in canonical encoding, or one of small order, for which
    /// labels would be the same whatever the mailbox (RFC 9381 section 5.4.5).
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<VrfPublic> {
        let point = decode_point(bytes)?;
        (!point.is_small_order()).then_some(VrfPublic { bytes: *bytes, point })
    }

    /// Its encoding.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The label of this mailbox, if the proof proves one (RFC 9381 section 5.3).
    pub fn verify(&self, mailbox: &Mailbox, proof: &VrfProof) -> Option<Label> {
        self.check(mailbox.as_bytes(), proof).map(|beta| label_of(&beta))
    }

    fn check(&self, alpha: &[u8], proof: &VrfProof) -> Option<[u8; 64]> {
        let (point, rest) = proof.0.split_first_chunk::<32>()?;
        let (claimed, rest) = rest.split_first_chunk::<16>()?;
        let (response, _) = rest.split_first_chunk::<32>()?;
        let gamma = decode_point(point)?;
        let response = Option::<Scalar>::from(Scalar::from_canonical_bytes(*response))?;
        let base = encode_to_curve(&self.bytes, alpha);
        let minus = -scalar_of(claimed);
        let u = EdwardsPoint::vartime_double_scalar_mul_basepoint(&minus, &self.point, &response);
        let v = base * response + gamma * minus;
        let challenge = challenge(&[&self.point, &base, &gamma, &u, &v]);
        (challenge == *claimed).then(|| proof_to_hash(&gamma))
    }
}

impl fmt::Debug for VrfPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VrfPublic({})", Label(self.bytes))
    }
}

/// Whether `proof` proves a label for this mailbox under the public key, and which.
pub fn vrf_verify(public: &VrfPublic, mailbox: &Mailbox, proof: &VrfProof) -> Option<Label> {
    public.verify(mailbox, proof)
}

/// RFC 9381 section 5.4.1.1, try and increment, with the public key as salt.
fn encode_to_curve(public: &[u8; 32], alpha: &[u8]) -> EdwardsPoint {
    let start = Sha512::new().chain_update([SUITE, 0x01]).chain_update(public).chain_update(alpha);
    let mut counter = 0u8;
    loop {
        let hash: [u8; 64] = start.clone().chain_update([counter, 0x00]).finalize().into();
        let found = hash.first_chunk::<32>().and_then(decode_point).map(|point| point.mul_by_cofactor());
        // Every other candidate is a point; 256 that are none would be a hash with 2^-256 of luck. The
        // identity (also 2^-250) only gives a label that everybody can see to be that of the identity.
        match found {
            Some(point) => return point,
            None => counter = counter.wrapping_add(1),
        }
    }
}

/// RFC 9381 section 5.4.3.
fn challenge(points: &[&EdwardsPoint; 5]) -> [u8; 16] {
    let mut hash = Sha512::new().chain_update([SUITE, 0x02]);
    for point in points {
        hash.update(point.compress().0);
    }
    let hash: [u8; 64] = hash.chain_update([0x00]).finalize().into();
    let mut challenge = [0; 16];
    challenge.copy_from_slice(hash.split_at(16).0);
    challenge
}

/// RFC 9381 section 5.2, after the proof is decoded.
fn proof_to_hash(gamma: &EdwardsPoint) -> [u8; 64] {
    let point = gamma.mul_by_cofactor().compress().0;
    Sha512::new().chain_update([SUITE, 0x03]).chain_update(point).chain_update([0x00]).finalize().into()
}

/// RFC 8032 section 5.1.3, which refuses what is not the one encoding of a point; the library does not.
fn decode_point(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    let point = CompressedEdwardsY(*bytes).decompress()?;
    (point.compress().0 == *bytes).then_some(point)
}

fn scalar_of(challenge: &[u8; 16]) -> Scalar {
    Scalar::from(u128::from_le_bytes(*challenge))
}

fn label_of(beta: &[u8; 64]) -> Label {
    let mut label = [0; 32];
    label.copy_from_slice(beta.split_at(32).0);
    Label(label)
}

#[cfg(test)]
mod tests;
