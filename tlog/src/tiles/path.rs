//! The names of the files.

use std::fmt;
use std::str::FromStr;

use super::WIDTH;
use crate::encoding::from_decimal;

/// What a file holds.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Content {
    /// Hashes of a level: 0 are the leaves, and each hash of level n + 1 is over a full tile of level n.
    Hashes(u8),
    /// The entries themselves.
    Entries,
}

/// One file below `tile/`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tile {
    content: Content,
    index: u64,
    width: u64,
}

impl Tile {
    /// The tile with number `index` of the tree with `size` leaves, as wide as it is there; none if
    /// the tree has no such tile.
    pub fn of(content: Content, index: u64, size: u64) -> Option<Tile> {
        let level = content.level();
        if level >= 8 {
            return None;
        }
        let hashes = size >> (8 * u32::from(level));
        let width = hashes.checked_sub(index.checked_mul(WIDTH)?)?.min(WIDTH);
        (width > 0).then_some(Tile { content, index, width })
    }

    /// What it holds.
    pub fn content(&self) -> Content {
        self.content
    }

    /// Which of its level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes or entries, 1 to 256.
    pub fn width(&self) -> u64 {
        self.width
    }

    /// Whether it can never grow.
    pub fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// The full tile that takes the place of a partial one.
    pub fn full(&self) -> Tile {
        Tile { width: WIDTH, ..*self }
    }

    /// Whether the tree with `size` leaves fills it: a server need not show more than what its
    /// checkpoint speaks of.
    pub fn is_within(&self, size: u64) -> bool {
        Tile::of(self.content, self.index, size).is_some_and(|tile| tile.width >= self.width)
    }
}

impl Content {
    pub(super) fn level(self) -> u8 {
        match self {
            Content::Hashes(level) => level,
            Content::Entries => 0,
        }
    }
}

impl fmt::Display for Tile {
    /// The path below the prefix of the log: `tile/0/x001/x234/067.p/8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content {
            Content::Hashes(level) => write!(f, "tile/{level}/")?,
            Content::Entries => f.write_str("tile/entries/")?,
        }
        let mut divisor = 1;
        while self.index / divisor >= 1000 {
            divisor *= 1000;
        }
        while divisor > 1 {
            write!(f, "x{:03}/", self.index / divisor % 1000)?;
            divisor /= 1000;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for Tile {
    type Err = NoTile;

    /// Reads what [`Tile`] displays, and nothing else: not even another number of zeros.
    fn from_str(path: &str) -> Result<Tile, NoTile> {
        let (content, rest) =
            path.strip_prefix("tile/").and_then(|path| path.split_once('/')).ok_or(NoTile)?;
        let content = match content {
            "entries" => Content::Entries,
            level => match from_decimal(level) {
                Some(level @ 0..=63) => Content::Hashes(level as u8),
                _ => return Err(NoTile),
            },
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, from_decimal(width).ok_or(NoTile)?),
            None => (rest, WIDTH),
        };
        let mut index: u64 = 0;
        for element in number.split('/') {
            let digits = element.strip_prefix('x').unwrap_or(element);
            if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(NoTile);
            }
            let digits: u64 = digits.parse().map_err(|_| NoTile)?;
            index = index.checked_mul(1000).and_then(|index| index.checked_add(digits)).ok_or(NoTile)?;
        }
        let tile = Tile { content, index, width };
        if (1..=WIDTH).contains(&width) && tile.to_string() == path { Ok(tile) } else { Err(NoTile) }
    }
}

/// Not the path of a tile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is not the path of a tile")]
pub struct NoTile;

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    /// The examples of C2SP tlog-tiles, sections "Merkle Tree" and "Partial Tiles".
    #[test]
    fn paths_and_widths_of_the_specification() {
        let path = |content, index, size| Tile::of(content, index, size).unwrap().to_string();
        assert_eq!(path(Content::Hashes(0), 1_234_067, 1_234_068 * 256), "tile/0/x001/x234/067");
        assert_eq!(path(Content::Entries, 0, 255), "tile/entries/000.p/255");
        let size = 70_000;
        assert_eq!(path(Content::Hashes(0), 272, size), "tile/0/272");
        assert_eq!(path(Content::Hashes(0), 273, size), "tile/0/273.p/112");
        assert_eq!(path(Content::Hashes(1), 0, size), "tile/1/000");
        assert_eq!(path(Content::Hashes(1), 1, size), "tile/1/001.p/17");
        assert_eq!(path(Content::Hashes(2), 0, size), "tile/2/000.p/1");
        assert_eq!(Tile::of(Content::Hashes(0), 274, size), None);
        assert_eq!(Tile::of(Content::Hashes(3), 0, size), None);
        assert_eq!(path(Content::Hashes(1), 0, 256), "tile/1/000.p/1");
        assert_eq!(Tile::of(Content::Hashes(0), 1, 256), None);
    }

    #[test]
    fn other_paths_are_none() {
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/1",
            "tile/0/0001",
            "tile/00/001",
            "tile/64/001",
            "tile/-1/001",
            "tile/0/x001",
            "tile/0/001/002",
            "tile/0/x000/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/08",
            "tile/0/001.p/",
            "tile/0/001.p",
            "tile/data/001",
            "tile/0/../001",
            "/tile/0/001",
            "tile/0/001/",
            "tile/8/8/001",
            "tile/0/x001.p/8/001",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(path.parse::<Tile>(), Err(NoTile), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_path_is_read_as_it_was_written(level in 0u8..64, index: u64, width in 1u64..=256, entries: bool) {
            let content = if entries { Content::Entries } else { Content::Hashes(level) };
            let tile = Tile { content, index, width };
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
        }

        #[test]
        fn a_tile_is_within_every_larger_tree(level in 0u8..4, index in 0u64..999, size in 1u64..1 << 40, more in 0u64..1 << 40) {
            if let Some(tile) = Tile::of(Content::Hashes(level), index, size) {
                prop_assert!(tile.is_within(size + more));
                let first = (index * 256 + tile.width()) << (8 * level);
                prop_assert!(tile.is_within(first) && !tile.is_within(first - 1));
            }
        }
    }
}
