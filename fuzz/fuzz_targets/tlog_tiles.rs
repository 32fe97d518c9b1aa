//! Whatever a server hands out as tiles: a reader returns what the root says, or an error, and never panics.
#![no_main]

use std::collections::HashMap;
use std::io;

use libfuzzer_sys::fuzz_target;
use tlog::checkpoint::Checkpoint;
use tlog::leaf_hash;
use tlog::merkle::Tree;
use tlog::merkle::verify_inclusion;
use tlog::tiles::Reader;
use tlog::tiles::Tile;
use tlog::tiles::TilesError;

fuzz_target!(|input: (u16, u16, Vec<(String, Vec<u8>)>, Vec<u8>)| {
    let (size, index, replaced, change) = input;
    let (size, index) = (u64::from(size) % 600, u64::from(index));
    let mut files = honest(size);
    for (path, _) in &replaced {
        if let Ok(tile) = path.parse::<Tile>() {
            assert_eq!(&tile.to_string(), path);
        }
    }
    let mut paths: Vec<_> = files.keys().cloned().collect();
    paths.sort();
    // Each change is three bytes: which file, where, and what to make of the byte.
    for change in change.chunks_exact(3) {
        let Some(path) = paths.get(usize::from(change[0]) % paths.len().max(1)) else { break };
        let file = files.get_mut(path).unwrap();
        match change[2] {
            0 => file.truncate(file.len() * usize::from(change[1]) / 256),
            1 => file.push(change[1]),
            by => {
                let at = file.len() * usize::from(change[1]) / 256;
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= by;
                }
            }
        }
    }
    files.extend(replaced);
    let source = |path: &str, _: usize| Ok::<_, io::Error>(files.get(path).cloned());
    let checkpoint = Checkpoint::new("log.example", size, root(size), vec![]).unwrap();
    let Ok(reader) = Reader::open(source, &checkpoint) else { return };
    if let (Ok(entry), Ok(path)) = (reader.entry(index), reader.inclusion(index, size)) {
        assert_eq!(entry, index.to_be_bytes());
        assert!(verify_inclusion(&leaf_hash(&entry), index, size, reader.root(), &path));
    }
    let _ = reader.for_each(0..size, |index, entry| {
        assert_eq!(entry, index.to_be_bytes());
        Ok::<_, TilesError>(())
    });
    if let Ok(old) = reader.root_at(index) {
        assert_eq!(old, root(index));
    }
});

fn root(size: u64) -> tlog::Hash {
    let mut tree = Tree::new();
    (0..size).for_each(|index| tree.push(leaf_hash(&index.to_be_bytes())));
    tree.root()
}

/// The tiles of a tree of fewer than 65,536 entries, each of which is its number in eight bytes.
fn honest(size: u64) -> HashMap<String, Vec<u8>> {
    let mut files = HashMap::new();
    let mut above = Vec::new();
    for first in (0..size).step_by(256) {
        let width = (size - first).min(256);
        let suffix = if width == 256 { String::new() } else { format!(".p/{width}") };
        let (mut hashes, mut entries, mut tree) = (Vec::new(), Vec::new(), Tree::new());
        for index in first..first + width {
            let entry = index.to_be_bytes();
            hashes.extend(leaf_hash(&entry));
            entries.extend([&[0, 8], entry.as_slice()].concat());
            tree.push(leaf_hash(&entry));
        }
        files.insert(format!("tile/0/{:03}{suffix}", first / 256), hashes);
        files.insert(format!("tile/entries/{:03}{suffix}", first / 256), entries);
        if width == 256 {
            above.extend(tree.root());
        }
    }
    if !above.is_empty() {
        files.insert(format!("tile/1/000.p/{}", above.len() / 32), above);
    }
    files
}
