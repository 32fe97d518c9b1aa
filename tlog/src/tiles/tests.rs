use std::fs;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::*;

use crate::Hash;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::SignedCheckpoint;
use crate::key::Signer;
use crate::leaf_hash;
use crate::merkle::Tree;
use crate::merkle::verify_consistency;
use crate::merkle::verify_inclusion;

use proptest::prelude::*;

fn signer() -> Signer {
    Signer::from_seed("log.example", &[3; 32]).unwrap()
}

fn entry(index: u64) -> Vec<u8> {
    // Lengths from 0 to 40, so that a bundle cannot be read at fixed offsets.
    format!("{index} ").repeat(index as usize % 9).into_bytes()
}

fn root(size: u64) -> Hash {
    let mut tree = Tree::new();
    (0..size).for_each(|index| tree.push(leaf_hash(&entry(index))));
    tree.root()
}

/// A log of this size, sealed and published in steps.
fn log(steps: &[u64]) -> (tempfile::TempDir, Writer) {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(directory.path(), &signer(), vec![]).unwrap();
    for size in steps {
        grow(&mut writer, *size);
        let sealed = writer.seal(&signer(), vec![]).unwrap();
        writer.publish(sealed.note()).unwrap();
    }
    (directory, writer)
}

fn grow(writer: &mut Writer, size: u64) {
    for index in writer.size()..size {
        assert_eq!(writer.append(&entry(index)).unwrap(), index);
    }
}

fn published(directory: &tempfile::TempDir) -> Checkpoint {
    let bytes = fs::read(directory.path().join("checkpoint")).unwrap();
    SignedCheckpoint::open(&bytes, signer().verifier()).unwrap().checkpoint().clone()
}

#[test]
fn the_files_are_those_of_the_specification() {
    let (directory, _) = log(&[70_000]);
    let length = |path: &str| fs::metadata(directory.path().join(path)).map(|file| file.len()).ok();
    assert_eq!(length("tile/0/272"), Some(8192));
    assert_eq!(length("tile/0/273.p/112"), Some(112 * 32));
    assert_eq!(length("tile/1/000"), Some(8192));
    assert_eq!(length("tile/1/001.p/17"), Some(17 * 32));
    assert_eq!(length("tile/2/000.p/1"), Some(32));
    assert!(length("tile/entries/272").is_some() && length("tile/entries/273.p/112").is_some());
    assert_eq!((length("tile/0/273"), length("tile/2/000"), length("tile/3")), (None, None, None));
    let first = fs::read(directory.path().join("tile/entries/000")).unwrap();
    assert_eq!(first[..6], [0, 0, 0, 2, b'1', b' ']);
    let checkpoint = published(&directory);
    assert_eq!((checkpoint.size(), *checkpoint.root()), (70_000, root(70_000)));
}

#[test]
fn an_empty_log_is_a_log() {
    let (directory, writer) = log(&[]);
    assert_eq!((published(&directory).size(), *published(&directory).root()), (0, root(0)));
    let reader = writer.reader().unwrap();
    assert!(matches!(reader.leaf(0), Err(TilesError::NoSuchLeaf { size: 0 })));
    assert_eq!(reader.root_at(0).unwrap(), root(0));
    assert_eq!(reader.consistency(0, 0).unwrap(), Vec::<Hash>::new());
}

#[test]
fn partial_tiles_go_when_the_full_tile_is_published() {
    let (directory, mut writer) = log(&[10, 200, 255]);
    let old = published(&directory);
    let exists = |path: &str| directory.path().join(path).exists();
    assert!(exists("tile/0/000.p/10") && exists("tile/0/000.p/255") && exists("tile/entries/000.p/200"));
    grow(&mut writer, 300);
    let sealed = writer.seal(&signer(), vec![]).unwrap();
    assert!(exists("tile/0/000.p/255"), "the published checkpoint needs it");
    writer.publish(sealed.note()).unwrap();
    assert!(!exists("tile/0/000.p") && !exists("tile/entries/000.p") && exists("tile/0/001.p/44"));
    // A reader of the old checkpoint finds its leaves in the full tile.
    let reader = Reader::open(Directory::new(directory.path()), &old).unwrap();
    assert_eq!(reader.entry(254).unwrap(), entry(254));
    assert!(matches!(reader.entry(255), Err(TilesError::NoSuchLeaf { size: 255 })));
}

#[test]
fn every_entry_of_a_range_in_order() {
    let (_directory, writer) = log(&[700]);
    let reader = writer.reader().unwrap();
    for range in [0..700, 0..0, 5..6, 255..257, 300..700, 699..700] {
        let mut seen = Vec::new();
        let collect = |index, bytes: &[u8]| {
            assert_eq!(bytes, entry(index));
            seen.push(index);
            Ok::<_, TilesError>(())
        };
        reader.for_each(range.clone(), collect).unwrap();
        assert_eq!(seen, range.collect::<Vec<_>>());
    }
    let beyond = reader.for_each(0..701, |_, _| Ok::<_, TilesError>(()));
    assert!(matches!(beyond, Err(TilesError::NoSuchLeaf { size: 700 })));
}

#[test]
fn one_writer() {
    let (directory, writer) = log(&[1]);
    let refused = Writer::open(directory.path(), signer().verifier());
    assert!(matches!(refused, Err(TilesError::Locked)));
    drop(writer);
    assert!(Writer::open(directory.path(), signer().verifier()).is_ok());
    assert!(matches!(Writer::create(directory.path(), &signer(), vec![]), Err(TilesError::Exists { .. })));
    let nothing = tempfile::tempdir().unwrap();
    let refused = Writer::open(nothing.path(), signer().verifier());
    assert!(matches!(refused, Err(TilesError::Missing { .. })));
}

#[test]
fn entries_have_a_largest_size() {
    let (_directory, mut writer) = log(&[]);
    assert!(matches!(writer.append(&[0; MAX_ENTRY + 1]), Err(TilesError::TooLarge { bytes: 65_536 })));
    writer.append(&[0; MAX_ENTRY]).unwrap();
    writer.append(b"").unwrap();
    writer.seal(&signer(), vec![]).unwrap();
    let reader = writer.reader().unwrap();
    assert_eq!((reader.entry(0).unwrap().len(), reader.entry(1).unwrap().len()), (MAX_ENTRY, 0));
}

#[test]
fn what_was_sealed_and_not_published_is_not_lost() {
    let (directory, mut writer) = log(&[5]);
    assert!(writer.unpublished().is_none());
    grow(&mut writer, 9);
    let sealed = writer.seal(&signer(), vec!["extension".into()]).unwrap();
    grow(&mut writer, 12);
    drop(writer);
    assert_eq!(published(&directory).size(), 5);

    let mut writer = Writer::open(directory.path(), signer().verifier()).unwrap();
    assert_eq!(writer.size(), 9);
    assert_eq!(writer.unpublished(), Some(&sealed));
    let other = Checkpoint::new("log.example", 9, root(9), vec![]).unwrap().sign(&signer()).unwrap();
    assert!(matches!(writer.publish(&other), Err(TilesError::NotSealed)));
    let unsigned = crate::note::Note::new(sealed.note().text()).unwrap();
    assert!(matches!(writer.publish(&unsigned), Err(TilesError::Sign(_))));
    writer.publish(sealed.note()).unwrap();
    assert_eq!(published(&directory), *sealed.checkpoint());
}

#[test]
fn tiles_that_disagree_with_the_checkpoint_are_refused() {
    let open = |directory: &tempfile::TempDir| Writer::open(directory.path(), signer().verifier());
    for path in ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"] {
        let (directory, _) = log(&[300]);
        let file = directory.path().join(path);
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        for content in [bad.as_slice(), &good[..good.len() - 1], b""] {
            fs::write(&file, content).unwrap();
            assert!(matches!(open(&directory), Err(TilesError::Disagrees { .. })), "{path}");
        }
        fs::remove_file(&file).unwrap();
        assert!(matches!(open(&directory), Err(TilesError::Missing { .. })), "{path}");
        fs::write(&file, good).unwrap();
        assert!(open(&directory).is_ok());
    }
}

#[test]
fn another_log_in_the_directory_is_refused() {
    let (directory, _) = log(&[300]);
    let stranger = Signer::generate("log.example").unwrap();
    let refused = Writer::open(directory.path(), stranger.verifier());
    assert!(matches!(refused, Err(TilesError::Checkpoint { .. })));
    // A fork of the same size, and an older or longer one.
    for size in [200, 300, 400] {
        let fork = Checkpoint::new("log.example", size, [9; 32], vec![]).unwrap().sign(&signer()).unwrap();
        fs::write(directory.path().join("checkpoint"), fork.to_string()).unwrap();
        let refused = Writer::open(directory.path(), signer().verifier());
        let refused = matches!(refused, Err(TilesError::Disagrees { .. } | TilesError::Missing { .. }));
        assert!(refused, "{size}");
    }
}

/// A directory restored from a backup in which the checkpoint is newer than the sealed one.
#[test]
fn the_larger_of_both_checkpoints_counts() {
    let (directory, mut writer) = log(&[100]);
    let old = fs::read(directory.path().join(".sealed")).unwrap();
    grow(&mut writer, 150);
    let sealed = writer.seal(&signer(), vec![]).unwrap();
    writer.publish(sealed.note()).unwrap();
    drop(writer);
    fs::write(directory.path().join(".sealed"), old).unwrap();
    let writer = Writer::open(directory.path(), signer().verifier()).unwrap();
    assert_eq!((writer.size(), writer.unpublished()), (150, None));
}

#[test]
fn a_changed_tile_anywhere_is_noticed_by_whoever_needs_it() {
    let (directory, writer) = log(&[66_000]);
    for (path, index) in [("tile/0/003", 800), ("tile/1/000", 800), ("tile/entries/003", 800)] {
        let file = directory.path().join(path);
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[40] ^= 1;
        fs::write(&file, &bad).unwrap();
        let reader = writer.reader().unwrap();
        let found = reader.entry(index).map(|_| ());
        assert!(matches!(found, Err(TilesError::Disagrees { .. })), "{path}: {found:?}");
        fs::write(&file, [good.as_slice(), b"more"].concat()).unwrap();
        let found = writer.reader().unwrap().entry(index).map(|_| ());
        assert!(matches!(found, Err(TilesError::Disagrees { .. })), "{path}: {found:?}");
        fs::write(&file, good).unwrap();
    }
    assert_eq!(writer.reader().unwrap().entry(800).unwrap(), entry(800));
}

#[test]
fn tiles_are_fetched_once_and_memory_is_bounded() {
    let (directory, writer) = log(&[66_000]);
    let fetched = AtomicUsize::new(0);
    let files = Directory::new(directory.path());
    let source = |path: &str, limit: usize| {
        fetched.fetch_add(1, Ordering::Relaxed);
        files.fetch(path, limit)
    };
    let reader = Reader::open(source, writer.sealed().unwrap().checkpoint()).unwrap();
    for index in 0..1000 {
        reader.inclusion(index, 66_000).unwrap();
    }
    let count = fetched.load(Ordering::Relaxed);
    assert!(count < 20, "{count}");
}

/// Every step at which the power can fail, in a run that fills tiles on two levels: what was published
/// stays valid, what was sealed is never contradicted, and the log goes on.
#[test]
fn a_crash_at_any_step_loses_nothing_that_was_sealed() {
    let expected = root(310);
    let mut steps = 0;
    loop {
        let (directory, mut writer) = log(&[255]);
        writer.files.fuse.burn_after(steps);
        let mut sealed = Vec::new();
        let mut shown = 255;
        let crashed = [257, 300].into_iter().try_for_each(|size| {
            for index in writer.size()..size {
                writer.append(&entry(index))?;
            }
            let checkpoint = writer.seal(&signer(), vec![])?;
            sealed.push(checkpoint.checkpoint().size());
            writer.publish(checkpoint.note())?;
            shown = size;
            Ok::<_, TilesError>(())
        });
        if let Err(error) = &crashed {
            assert!(matches!(error, TilesError::Io { .. }), "{error}");
            assert!(matches!(writer.append(b"x"), Err(TilesError::Interrupted)));
            assert!(matches!(writer.seal(&signer(), vec![]), Err(TilesError::Interrupted)));
        }
        drop(writer);

        let checkpoint = published(&directory);
        assert!(checkpoint.size() >= shown, "step {steps}");
        assert_eq!(*checkpoint.root(), root(checkpoint.size()), "step {steps}");
        let reader = Reader::open(Directory::new(directory.path()), &checkpoint).unwrap();
        let compare = |index, bytes: &[u8]| {
            assert_eq!(bytes, entry(index), "step {steps}");
            Ok::<_, TilesError>(())
        };
        reader.for_each(0..checkpoint.size(), compare).unwrap();
        let mut writer = Writer::open(directory.path(), signer().verifier()).unwrap();
        assert!(sealed.iter().all(|size| *size <= writer.size()), "step {steps}");
        grow(&mut writer, 310);
        let next = writer.seal(&signer(), vec![]).unwrap();
        writer.publish(next.note()).unwrap();
        assert_eq!(*published(&directory).root(), expected, "step {steps}");
        assert!(writer.reader().unwrap().continues(&checkpoint).unwrap());
        if crashed.is_ok() {
            break;
        }
        steps += 1;
    }
    assert!(steps > 60, "{steps}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_proof_verifies(mut sizes in prop::collection::vec(1u64..1500, 1..5), picks in prop::collection::vec(any::<(u64, u64)>(), 20)) {
        sizes.sort_unstable();
        let (_directory, writer) = log(&sizes);
        let reader = writer.reader().unwrap();
        for (pick, at) in picks {
            let size = 1 + at % reader.size();
            let index = pick % size;
            let tree = reader.root_at(size).unwrap();
            prop_assert_eq!(tree, root(size));
            let proof = reader.inclusion(index, size).unwrap();
            let leaf = reader.leaf(index).unwrap();
            prop_assert_eq!(leaf, leaf_hash(&entry(index)));
            prop_assert!(verify_inclusion(&leaf, index, size, &tree, &proof));
            let proof = reader.consistency(index, size).unwrap();
            let old = reader.root_at(index).unwrap();
            prop_assert!(verify_consistency((index, &old), (size, &tree), &proof));
        }
        let size = reader.size();
        prop_assert!(reader.inclusion(size, size).is_err());
        prop_assert!(reader.inclusion(0, size + 1).is_err());
        prop_assert!(reader.consistency(0, size + 1).is_err());
    }
}
