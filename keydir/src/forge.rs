//! Makes certificates that no honest program would make, for tests.

use std::time::SystemTime;

use sequoia_openpgp::Cert;
use sequoia_openpgp::Packet;
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::Key;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::packet::key::Key4;
use sequoia_openpgp::packet::key::PrimaryRole;
use sequoia_openpgp::packet::key::SecretParts;
use sequoia_openpgp::packet::key::SubordinateRole;
use sequoia_openpgp::packet::signature::SignatureBuilder;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::Curve;
use sequoia_openpgp::types::Features;
use sequoia_openpgp::types::HashAlgorithm;
use sequoia_openpgp::types::KeyFlags;
use sequoia_openpgp::types::SignatureType;

use crate::assess::system_time;

/// 2026-07-01 00:00:00 UTC, the present of all tests.
pub(crate) const NOW: i64 = 1_782_864_000;

/// A certificate under construction, packet by packet.
pub(crate) struct Forge {
    primary: Key<SecretParts, PrimaryRole>,
    time: SystemTime,
    hash: HashAlgorithm,
    packets: Vec<Packet>,
}

impl Forge {
    /// Begins with an Ed25519 primary key made at `created`.
    pub(crate) fn new(created: i64) -> Self {
        let key: Key4<SecretParts, PrimaryRole> = Key4::generate_ecc(true, Curve::Ed25519).unwrap();
        Self::with_primary(key, created)
    }

    pub(crate) fn with_primary(mut key: Key4<SecretParts, PrimaryRole>, created: i64) -> Self {
        let time = system_time(created);
        key.set_creation_time(time).unwrap();
        let primary = Key::V4(key);
        let packets = vec![Packet::PublicKey(primary.clone().parts_into_public())];
        Self { primary, time, hash: HashAlgorithm::SHA512, packets }
    }

    /// All signatures from here on use this hash.
    pub(crate) fn hash(mut self, hash: HashAlgorithm) -> Self {
        self.hash = hash;
        self
    }

    pub(crate) fn signer(&self) -> KeyPair {
        self.primary.clone().into_keypair().unwrap()
    }

    pub(crate) fn user_id(mut self, text: &str) -> Self {
        let uid = UserID::from(text);
        let signature = self
            .signature(SignatureType::PositiveCertification)
            .set_key_flags(KeyFlags::empty().set_certification())
            .unwrap()
            .set_features(Features::empty().set_seipdv1())
            .unwrap()
            .sign_userid_binding(&mut self.signer(), None, &uid)
            .unwrap();
        self.packets.extend([uid.into(), signature.into()]);
        self
    }

    /// A User ID that the holder never signed.
    pub(crate) fn foreign_user_id(mut self, text: &str) -> Self {
        self.packets.push(UserID::from(text).into());
        self
    }

    /// An X25519 subkey made at `created` and bound with the flags.
    pub(crate) fn subkey(self, flags: KeyFlags, created: i64) -> Self {
        let key = Key4::generate_ecc(false, Curve::Cv25519).unwrap();
        self.bind(key, flags, created, true)
    }

    /// A signing subkey that never agreed to be one: no primary key binding signature.
    pub(crate) fn adopted_signing_subkey(self, created: i64) -> Self {
        let key = Key4::generate_ecc(true, Curve::Ed25519).unwrap();
        self.bind(key, KeyFlags::empty().set_signing(), created, false)
    }

    pub(crate) fn rsa_subkey(self, bits: usize, created: i64) -> Self {
        let key = Key4::generate_rsa(bits).unwrap();
        self.bind(key, KeyFlags::empty().set_transport_encryption(), created, true)
    }

    fn bind(
        mut self,
        mut key: Key4<SecretParts, SubordinateRole>,
        flags: KeyFlags,
        created: i64,
        agreed: bool,
    ) -> Self {
        assert_ne!(agreed, flags.for_signing(), "only encryption subkeys need no consent");
        let time = system_time(created);
        key.set_creation_time(time).unwrap();
        let key = Key::V4(key);
        let signature = SignatureBuilder::new(SignatureType::SubkeyBinding)
            .set_hash_algo(self.hash)
            .set_signature_creation_time(time)
            .unwrap()
            .set_key_flags(flags)
            .unwrap()
            .sign_subkey_binding(&mut self.signer(), None, &key)
            .unwrap();
        self.packets.extend([Packet::PublicSubkey(key.parts_into_public()), signature.into()]);
        self
    }

    pub(crate) fn packet(mut self, packet: impl Into<Packet>) -> Self {
        self.packets.push(packet.into());
        self
    }

    /// Repeats the last two packets, a component and its signature.
    pub(crate) fn repeat(mut self, times: usize) -> Self {
        let last = self.packets[self.packets.len() - 2..].to_vec();
        for _ in 0..times {
            self.packets.extend(last.clone());
        }
        self
    }

    fn signature(&self, typ: SignatureType) -> SignatureBuilder {
        SignatureBuilder::new(typ).set_hash_algo(self.hash).set_signature_creation_time(self.time).unwrap()
    }

    /// The packets as they are, without Sequoia putting them in order.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.packets.iter().flat_map(|packet| packet.to_vec().unwrap()).collect()
    }

    pub(crate) fn cert(self) -> Cert {
        Cert::from_packets(self.packets.into_iter()).unwrap()
    }
}
