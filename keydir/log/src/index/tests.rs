use super::*;

use proptest::prelude::*;

fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

fn first(label: Label, content: u8) -> Update {
    Update { label, sequence: 1, previous: None, state: State::Keys(Commitment([content; 32])) }
}

/// The root of all labels in the database, computed without pages.
fn plain_root(index: &Index<'_>) -> Hash {
    let rows = index.range(Prefix::ROOT).unwrap();
    trie::join(&leaves(&rows), None).0.map_or_else(trie::empty_root, |root| root.hash)
}

/// Labels of which many share their first nibbles.
fn label(seed: u32) -> Label {
    use sha2::Digest;
    let mut bytes: [u8; 32] = sha2::Sha256::digest(seed.to_be_bytes()).into();
    if seed.is_multiple_of(3) {
        bytes[..8].fill(0x77);
    }
    if seed.is_multiple_of(15) {
        bytes[..31].fill(0x77);
    }
    Label(bytes)
}

#[test]
fn an_index_without_labels_has_the_empty_root() {
    let database = database();
    let index = Index(&database);
    assert_eq!(index.apply(0, &[]).unwrap(), (0, trie::empty_root()));
    assert_eq!(index.find(&Label([1; 32]), 0).unwrap(), None);
}

#[test]
fn an_entry_that_does_not_continue_its_label_is_refused() {
    let database = database();
    let index = Index(&database);
    let start = first(Label([1; 32]), 1);
    index.apply(0, &[(0, start)]).unwrap();
    let wrong = [
        start,
        Update { sequence: 2, previous: Some(5), ..start },
        Update { sequence: 3, previous: Some(0), ..start },
        Update { sequence: 2, ..start },
        Update { label: Label([2; 32]), sequence: 2, previous: Some(0), ..start },
    ];
    for update in wrong {
        let refused = index.apply(1, &[(7, update)]);
        assert!(matches!(refused, Err(IndexError::NotNext { number: 7 })), "{update:?}");
    }
    let next = Update { sequence: 2, previous: Some(0), state: State::Erased, ..start };
    index.apply(1, &[(8, next)]).unwrap();
    assert_eq!(index.newest(&start.label).unwrap().unwrap().update, next);
}

#[test]
fn a_page_that_was_tampered_with_is_no_panic() {
    let database = database();
    let index = Index(&database);
    let updates: Vec<_> = (0..200).map(|n| (u64::from(n), first(label(n), 0))).collect();
    let (labels, _) = index.apply(0, &updates).unwrap();
    for broken in [vec![], vec![1; 40], vec![0xff; 41], vec![16; 41]] {
        database.execute("UPDATE pages SET children = ?1", [broken]).unwrap();
        for n in 0..20 {
            assert!(index.find(&label(n), labels).is_err());
        }
    }
    database.execute("DELETE FROM pages", []).unwrap();
    assert!(index.find(&label(1), labels).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn batches_lead_to_the_root_of_the_definition(batches in prop::collection::vec(prop::collection::vec(0u32..600, 0..120), 1..6), asked in prop::collection::vec(any::<[u8; 32]>(), 8)) {
        let database = database();
        let index = Index(&database);
        let (mut labels, mut number) = (0, 0);
        for batch in batches {
            let mut updates: Vec<(u64, Update)> = Vec::new();
            for seed in batch {
                let label = label(seed);
                let earlier = updates.iter().rev().find(|(_, update)| update.label == label);
                let last = earlier.map(|(number, update)| (*number, update.sequence));
                let last = last.or_else(|| index.newest(&label).unwrap().map(|newest| (newest.number, newest.update.sequence)));
                let state = if seed % 7 == 0 { State::Erased } else { State::Keys(Commitment([seed as u8; 32])) };
                let sequence = last.map_or(1, |(_, sequence)| sequence + 1);
                updates.push((number, Update { label, sequence, previous: last.map(|(number, _)| number), state }));
                number += 1;
            }
            let root;
            (labels, root) = index.apply(labels, &updates).unwrap();
            prop_assert_eq!(root, plain_root(&index));
            prop_assert_eq!(labels, index.range(Prefix::ROOT).unwrap().len() as u64);
            for (_, update) in &updates {
                let newest = index.newest(&update.label).unwrap().unwrap();
                let found = index.find(&update.label, labels).unwrap().unwrap();
                prop_assert_eq!(found.label, update.label);
                prop_assert!(found.path.shows(&root, &update.label, &newest.update.chain(&newest.before)));
            }
            for absent in asked.iter().copied().map(Label).chain((600..640).map(label)) {
                match index.find(&absent, labels).unwrap() {
                    Some(found) => prop_assert!(found.path.excludes(&root, &absent, (&found.label, &found.value))),
                    None => prop_assert_eq!(labels, 0),
                }
            }
        }
    }
}
