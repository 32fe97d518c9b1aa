use super::*;

use proptest::prelude::*;

use crate::hex;

/// RFC 9381 appendix B.3: SK, PK, alpha, pi, beta of examples 16, 17 and 18.
const VECTORS: [[&str; 5]; 3] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f\
         26f8a57ccaed74ee1b190bed1f479d9727d2d0f9b005a6e456a35d4fb0daab12\
         68a1b0db10836d9826a528ca76567805",
        "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff\
         66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593\
         3bf0864a62558b3ed7f2fea45c92a465301b3bbf5e3e54ddf2d935be3b67926d\
         a3ef39226bbc355bdc9850112c8f4b02",
        "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb\
         5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80\
         96bb474e53895c362d8628ee9f9ea3c0e52c7a5c691b6c18c9979866568add7a\
         2d41b00b05081ed0f58ee5e31b3a970e",
        "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45\
         2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
    ],
];

/// The eight points of small order, in canonical encoding.
const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn vectors_of_rfc_9381_appendix_b3() {
    for [secret, public, alpha, pi, beta] in VECTORS {
        let key = VrfKey::from_bytes(&array(secret));
        assert_eq!(key.public().as_bytes(), &array(public));
        let alpha = hex::decode(alpha).unwrap();
        let (output, proof) = key.evaluate(&alpha);
        assert_eq!(proof.0, array(pi));
        assert_eq!(output, array(beta));
        let read = VrfPublic::from_bytes(&array(public)).unwrap();
        assert_eq!(read.check(&alpha, &proof), Some(array(beta)));
    }
}

#[test]
fn public_keys_of_small_order_are_refused() {
    for point in SMALL_ORDER {
        assert!(VrfPublic::from_bytes(&array(point)).is_none(), "{point}");
    }
}

#[test]
fn points_in_another_encoding_are_refused() {
    // y + p for the small y that have one, and -0 for x = 0.
    let p_and_more = [
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];
    let accepted_by_the_library =
        p_and_more.iter().filter(|text| CompressedEdwardsY(array(text)).decompress().is_some()).count();
    assert!(accepted_by_the_library >= 3, "the library refuses them itself now: {accepted_by_the_library}");
    for text in p_and_more {
        assert!(decode_point(&array(text)).is_none(), "{text}");
        assert!(VrfPublic::from_bytes(&array(text)).is_none());
    }
}

#[test]
fn a_proof_with_another_encoding_of_its_numbers_is_refused() {
    let key = VrfKey::from_bytes(&array(VECTORS[0][0]));
    let (_, proof) = key.evaluate(b"alice@example.org");
    // s + q is the same number modulo q.
    let order: [u8; 32] = array("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut other = proof;
    let mut carry = 0u16;
    for (byte, add) in other.0[48..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert!(key.public().check(b"alice@example.org", &proof).is_some());
    assert!(key.public().check(b"alice@example.org", &other).is_none());
    for small in SMALL_ORDER {
        let mut forged = proof;
        forged.0[..32].copy_from_slice(&array::<32>(small));
        assert!(key.public().check(b"alice@example.org", &forged).is_none());
    }
}

#[test]
fn another_key_and_another_mailbox_prove_nothing() {
    let (key, other) = (VrfKey::generate().unwrap(), VrfKey::generate().unwrap());
    let alice = Mailbox::parse("alice@example.org").unwrap();
    let (label, proof) = key.prove(&alice);
    assert_eq!(key.label(&alice), label);
    assert_eq!(key.public().verify(&alice, &proof), Some(label));
    assert_eq!(other.public().verify(&alice, &proof), None);
    assert_eq!(key.public().verify(&Mailbox::parse("alic@example.org").unwrap(), &proof), None);
    assert_ne!(other.label(&alice), label);
    assert_eq!(VrfKey::from_bytes(&key.to_bytes()).label(&alice), label);
}

#[test]
fn the_secret_is_not_shown() {
    let seed: [u8; 32] = array(VECTORS[0][0]);
    let shown = format!("{:?}", VrfKey::from_bytes(&seed));
    assert!(shown.contains(VECTORS[0][1]) && !shown.contains(VECTORS[0][0]), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_flipped_bit_of_a_proof_is_noticed(seed in any::<[u8; 32]>(), alpha in any::<Vec<u8>>(), bit in 0usize..640) {
        let key = VrfKey::from_bytes(&seed);
        let (beta, proof) = key.evaluate(&alpha);
        prop_assert_eq!(key.public().check(&alpha, &proof), Some(beta));
        let mut flipped = proof;
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(key.public().check(&alpha, &flipped), None);
    }
}
