//! A map that is bounded in entries and octets; what was not used for the longest time goes first.

use std::collections::HashMap;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

/// When something must go, everything up to this part of the limits goes, so that it is seldom.
const KEPT_PARTS: usize = 15;
const PARTS: usize = 16;

/// The map.
#[derive(Debug)]
pub(crate) struct Shelf<V> {
    slots: HashMap<String, Slot<V>>,
    octets: usize,
    limit: Limit,
}

/// How much a shelf holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) entries: usize,
    pub(crate) octets: usize,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    octets: usize,
    /// Unix seconds.
    used: AtomicI64,
}

impl<V> Shelf<V> {
    pub(crate) fn new(limit: Limit) -> Self {
        Self { slots: HashMap::new(), octets: 0, limit }
    }

    /// The value, noted as used now.
    pub(crate) fn get(&self, key: &str, now: i64) -> Option<&V> {
        let slot = self.slots.get(key)?;
        slot.used.store(now, Ordering::Relaxed);
        Some(&slot.value)
    }

    /// The value and when it was used last, without using it.
    pub(crate) fn peek(&self, key: &str) -> Option<(&V, i64)> {
        self.slots.get(key).map(Slot::parts)
    }

    /// All keys and values, and when each was used last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V, i64)> {
        self.slots.iter().map(|(key, slot)| {
            let (value, used) = slot.parts();
            (key.as_str(), value, used)
        })
    }

    /// Puts a value of about so many octets, used now, in place of what was there. Gives the keys that had to go.
    pub(crate) fn put(&mut self, key: String, value: V, octets: usize, now: i64) -> Vec<String> {
        self.remove(&key);
        let gone = self.make_room(octets);
        self.octets += octets;
        self.slots.insert(key, Slot { value, octets, used: AtomicI64::new(now) });
        gone
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<V> {
        let slot = self.slots.remove(key)?;
        self.octets -= slot.octets;
        Some(slot.value)
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.slots.retain(|_, slot| keep(&slot.value));
        self.octets = self.slots.values().map(|slot| slot.octets).sum();
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.octets = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    fn make_room(&mut self, octets: usize) -> Vec<String> {
        let mut gone = Vec::new();
        if self.slots.len() < self.limit.entries && self.octets.saturating_add(octets) <= self.limit.octets {
            return gone;
        }
        let entries = (self.limit.entries * KEPT_PARTS / PARTS).min(self.limit.entries.saturating_sub(1));
        let room = (self.limit.octets / PARTS * KEPT_PARTS).saturating_sub(octets);
        let mut oldest: Vec<_> = self.iter().map(|(key, _, used)| (used, key.to_owned())).collect();
        oldest.sort_unstable();
        for (_, key) in oldest {
            if self.slots.len() <= entries && self.octets <= room {
                break;
            }
            self.remove(&key);
            gone.push(key);
        }
        gone
    }
}

impl<V> Slot<V> {
    fn parts(&self) -> (&V, i64) {
        (&self.value, self.used.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_unused_goes_first() {
        let mut shelf = Shelf::new(Limit { entries: 3, octets: 1000 });
        for (key, now) in [("a", 1), ("b", 2), ("c", 3)] {
            assert!(shelf.put(key.to_owned(), key, 10, now).is_empty());
        }
        assert_eq!(shelf.get("a", 4), Some(&"a"));
        assert_eq!(shelf.put("d".to_owned(), "d", 10, 5), ["b"]);
        assert_eq!(shelf.put("e".to_owned(), "e", 990, 6), ["c", "a", "d"]);
        assert_eq!((shelf.len(), shelf.octets), (1, 990));
        shelf.put("e".to_owned(), "e", 1, 7);
        assert_eq!((shelf.peek("e"), shelf.octets), (Some((&"e", 7)), 1));
    }

    proptest! {
        #[test]
        fn limits_hold(puts in proptest::collection::vec((0u8..20, 0usize..300), 0..200)) {
            let mut shelf = Shelf::new(Limit { entries: 8, octets: 600 });
            for (now, (key, octets)) in puts.into_iter().enumerate() {
                shelf.put(key.to_string(), (), octets, now as i64);
                prop_assert!(shelf.len() <= 8 && shelf.octets <= 600);
                prop_assert_eq!(shelf.octets, shelf.slots.values().map(|slot| slot.octets).sum::<usize>());
                prop_assert!(shelf.peek(&key.to_string()).is_some());
            }
        }
    }
}
