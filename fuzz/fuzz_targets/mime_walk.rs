//! The tree is the same in memory and in a file, in one pass and level by level; ranges are nested; every
//! part decodes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::Entity;
use mail::Limits;
use mail::Message;
use mail::Spill;

type Place = (usize, std::ops::Range<u64>, std::ops::Range<u64>);

fn place(entity: &Entity<'_>) -> Place {
    (entity.depth(), entity.raw_range(), entity.content_range())
}

fn by_children(entity: &Entity<'_>, limits: &Limits, places: &mut Vec<Place>) {
    places.push(place(entity));
    for child in entity.children(limits).unwrap() {
        assert!(child.raw_range().start >= entity.content_range().start);
        assert!(child.raw_range().end <= entity.content_range().end);
        by_children(&child, limits, places);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { depth: 10, parts: 100, header_bytes: 10_000 };
    let spill = Spill { limit: 0, ..Spill::default() };
    let memory = Message::parse(bytes);
    let file = Message::read(&mut &bytes[..], &spill).unwrap();
    let (Ok(entities), Ok(from_file)) = (memory.entity().walk(&limits), file.entity().walk(&limits)) else {
        assert!(memory.entity().walk(&limits).is_err() && file.entity().walk(&limits).is_err());
        return;
    };
    let places: Vec<Place> = entities.iter().map(place).collect();
    assert_eq!(places, from_file.iter().map(place).collect::<Vec<_>>());
    let mut levels = Vec::new();
    by_children(&memory.entity(), &limits, &mut levels);
    assert_eq!(places, levels);
    for entity in entities {
        let _ = (entity.content_type(), entity.disposition(), entity.filename());
        assert!(entity.decoded(&Spill::default()).unwrap().len() <= entity.content().len());
    }
});
