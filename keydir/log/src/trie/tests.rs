use super::*;

use proptest::prelude::*;

use crate::hex;

fn hash(text: &str) -> Hash {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// The tree of these leaves in the way of the definition: split at every bit, and drop what is one-sided.
fn naive(leaves: &[(Label, Hash)], bit: u16) -> Option<Hash> {
    match leaves {
        [] => None,
        [(label, value)] => Some(leaf(label, value)),
        _ => {
            let at = u8::try_from(bit).unwrap();
            let (right, left): (Vec<_>, Vec<_>) = leaves.iter().partition(|(label, _)| bit_of(label, at));
            match (naive(&left, bit + 1), naive(&right, bit + 1)) {
                (Some(left), Some(right)) => Some(node(at, &left, &right)),
                (left, right) => left.or(right),
            }
        }
    }
}

fn subtrees(leaves: &[(Label, Hash)]) -> Vec<Subtree> {
    leaves.iter().map(|(label, value)| Subtree { label: *label, hash: leaf(label, value) }).collect()
}

/// torchwood, mpt/testdata/treehash.txt: those vectors whose keys and values have 32 bytes.
#[test]
fn roots_are_those_of_torchwood() {
    let zero = "00".repeat(32);
    let at = |start: &str| format!("{start}{}", "00".repeat(32 - start.len() / 2));
    let cases: Vec<(Vec<(String, &str)>, &str)> = vec![
        (vec![], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            vec![(
                "4888ffe82a7d2964fbd4fa329f1509960024fd70e393cd5a1945bb41d0964d5c".to_owned(),
                "70be652ae9dffdd30243acd6487b0bebdac46aff230c8ac383e29d79dbd8915d",
            )],
            "2a698354db3d6d1e4205dc2ca99f9b5925612fd3641ce5bc3400ab521052c1e9",
        ),
        (
            vec![
                (zero.clone(), "920c9d26acc22861bcd8de8737683b0b4cfaf0dfb7e80b4774421517bf8489c8"),
                (at("80"), "5f9895fa7d0d2ecb5d14d6dd0bda94f6b86cd8b197377445405576ac04279d3b"),
            ],
            "6b6f242a8dcfacd8bc1213d4453852a2127b398c65a7684a2e1af666f6356061",
        ),
        (
            vec![
                (at("00"), "b188b6b58314ec338af1984d57465491745f06160303a071b8502ae32354f3af"),
                (at("0080"), "aa9390c5f7034b582190e14923e48fab177a1f6067cf2b8cd9d58475cbefbbff"),
            ],
            "fb38b0365217d5add42b9ed01a334c9b5e7e29798926f5eb3c9f14029de7c87a",
        ),
        (
            vec![
                (
                    format!("{}0000", "aa".repeat(30)),
                    "d40ee8abad7b6dd20a3e437b2fe42ed96a04a622435cb79bcfc498a9e76f2069",
                ),
                (
                    format!("{}0100", "aa".repeat(30)),
                    "1ee5c16df9f56ca48ab7cab839813a0fc53ffd57b8b6fd5fec34139855c3ed81",
                ),
            ],
            "6267acde2a12f4da5666e44cb63779798523d5b07fb09ed1a7ea38aaaf3bcd75",
        ),
        (
            vec![
                (zero.clone(), "cc406618223e1e591b2cec004a8c7c1bf4eeb09aec43600381eedacac20f2bf9"),
                (at("40"), "6b371a019461913d1c26b038eff19680952e6e1c51c87db18a94f3a1b565f6c7"),
                (at("80"), "d5819ee69ad23ea2c4612acab96a6ed0085a9a4800d33497ccfdc37ce09c6f32"),
            ],
            "3b5ae657915d8cd94abdf4362daf5397d0b74cea7edfcb88b2ad3a21bd0c6efd",
        ),
        (
            vec![
                (zero, "651e31c69f55c7232848025467d5bb038b406bbdaa0a7e8ce18570e1629ac35c"),
                (at("40"), "ba70df9bc82f5867ca56cd5d3110830194bff04a94bf140398aea50c4d88e041"),
                (at("80"), "2e164bab01a16e0e27ae3e08927dea054e8d5935aab742c78c244e74d0d6165d"),
                (at("c0"), "d24e1a0392019144f59557f3fda9356417ed24125ade5c43f4fd5af5effb62c5"),
            ],
            "752cace32992bd2e650f86a60f7f4cb073e77bd0da0bbae17c9927ca0cac41d9",
        ),
        (
            vec![
                (
                    format!("{}{}", "ff".repeat(16), "00".repeat(16)),
                    "a3b93625e143e33744bc532953260c66bcdb124ff930e6a55257558871df9e72",
                ),
                (
                    format!("{}80{}", "ff".repeat(16), "00".repeat(15)),
                    "4f02252ceaba90d9997b0f84bface6cd661dcb1779c5beb55d1eec2510680464",
                ),
            ],
            "55664663e0148e90b47b18ec9660b0a9c5d83b03fc0235fcb8938763d7d3ed7f",
        ),
    ];
    for (leaves, expected) in cases {
        let leaves: Vec<_> = leaves.iter().map(|(key, value)| (Label(hash(key)), hash(value))).collect();
        let joined = join(&subtrees(&leaves), None).0.map_or_else(empty_root, |root| root.hash);
        assert_eq!(joined, hash(expected));
    }
}

/// torchwood, mpt/testdata/verify.txt, "Three-leaf tree".
#[test]
fn proofs_are_those_of_torchwood() {
    let root = hash("4a79f8c72c1e6aef51da667b958a4a60d9d54eeb4e71e169c97f6f0ef2462223");
    let a = Label(hash("682c42c526e3f5e87eecea25694c435c16a00bf316bd1a8dc6079bcd1d8f9e46"));
    let a_value = hash("6370040cdc5ae2cc980582fd877723e32bea9ed2844ff4ae7218711f161265b3");
    let step = |bit, sibling: &str| Step { bit, sibling: hash(sibling) };
    let to_a = Path(vec![step(0, "c8f7f7f5f65dd8ede617bb4e4d934c1012a1003c817a3d217e030fcc1b3ed1a0")]);
    assert!(to_a.shows(&root, &a, &a_value));
    let c = Label(hash("d1318ac2288d45fd05e788897f6672de3761c8e1565bef41c350e578283a9d6f"));
    let c_value = hash("c35b501388708557ba0bab3b2b62c2e14cc405b1415d565a62b3ff1bc59399e2");
    let to_c = Path(vec![
        step(2, "16a5fadb9ec081b9111a6e731c4a5cea7315ebc862fe48f75b0e658966e59df2"),
        step(0, "5586c5702eb4abc508d685b0833e8f83050c864796d18ae25dc3d22073038fb8"),
    ]);
    assert!(to_c.shows(&root, &c, &c_value));
    let absent = Label(hash("c51cbe39ee7ed29027d1c54fffb0b31d0475a502b811bd866b98b66bb0afd1f4"));
    assert!(to_c.excludes(&root, &absent, (&c, &c_value)));
    assert!(!to_a.excludes(&root, &absent, (&a, &a_value)), "another turn at the root");
    assert!(!to_c.excludes(&root, &c, (&c, &c_value)), "it is there");
}

#[test]
fn a_path_that_does_not_descend_shows_nothing() {
    let (label, value) = (Label([0; 32]), [1; 32]);
    let twice = Path(vec![Step { bit: 3, sibling: [2; 32] }, Step { bit: 3, sibling: [3; 32] }]);
    let root = node(3, &node(3, &leaf(&label, &value), &[2; 32]), &[3; 32]);
    assert!(!twice.shows(&root, &label, &value));
}

prop_compose! {
    /// Labels with long common prefixes beside others.
    fn labels()(short in prop::collection::btree_set(any::<[u8; 3]>(), 1..40), near in any::<[u8; 4]>()) -> Vec<(Label, Hash)> {
        let label = |[a, b, c]: [u8; 3]| {
            let mut bytes = [near[0] & 1; 32];
            (bytes[0], bytes[16], bytes[31]) = (a & 3, b & 1, c);
            Label(bytes)
        };
        let set: std::collections::BTreeSet<Label> = short.into_iter().map(label).collect();
        set.into_iter().map(|label| (label, [label.0[31] ^ near[1]; 32])).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_tree_is_that_of_the_definition_and_proves_every_label(leaves in labels(), other in any::<[u8; 32]>(), bit in any::<u8>()) {
        let root = naive(&leaves, 0).unwrap();
        let subtrees = subtrees(&leaves);
        for (number, (label, value)) in leaves.iter().enumerate() {
            let (joined, path) = join(&subtrees, Some(number));
            prop_assert_eq!(joined.unwrap().hash, root);
            prop_assert!(path.shows(&root, label, value));
            let mut wrong = *value;
            wrong[7] ^= 1;
            prop_assert!(!path.shows(&root, label, &wrong));
            // A label that differs in one bit is absent, unless it is there; only the right leaf shows it.
            let mut near = *label;
            near.0[usize::from(bit / 8)] ^= 0x80 >> (bit % 8);
            for absent in [near, Label(other)] {
                let there = leaves.iter().any(|(label, _)| *label == absent);
                let shown = path.excludes(&root, &absent, (label, value));
                prop_assert!(!(there && shown));
            }
            if !path.0.is_empty() {
                let mut forged = path.clone();
                let at = usize::from(bit) % forged.0.len();
                forged.0[at].sibling[0] ^= 1;
                prop_assert!(!forged.shows(&root, label, value));
                forged = path.clone();
                forged.0.remove(at);
                prop_assert!(!forged.shows(&root, label, value));
            }
        }
    }
}
