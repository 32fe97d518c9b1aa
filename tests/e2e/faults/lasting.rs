//! A fault that lasts for a while, and is then mended.

use super::letter::Letter;
use super::letter::Saw;
use super::letter::Shape;
use super::matrix::Section;
use super::world::World;

pub(super) const COLUMNS: [&str; 6] =
    ["Fault", "Recipients", "The client saw", "Left in clear", "Lost", "More than once"];

/// The same with the reason that the administrator is told, as it stands in the log.
pub(super) const TOLD: [&str; 7] =
    ["Fault", "Recipients", "The client saw", "The log says", "Left in clear", "Lost", "More than once"];

/// A letter that was sent while the fault lasted.
pub(super) struct Lasting {
    name: &'static str,
    letter: Letter,
    shape: Shape,
    saw: Saw,
    said: Option<&'static str>,
}

impl Lasting {
    /// Sends a letter now.
    pub(super) fn begin(world: &World, name: &'static str, shape: Shape) -> Self {
        let letter = Letter::new(&format!("{name}, {shape:?}"), shape);
        let saw = world.send(&letter, |_| {});
        assert!(saw.accepted || saw.again, "refused for good: {saw:?}");
        let arrived = world.arrived(&letter);
        let left = arrived.counts.iter().any(|(_, count)| *count > 0);
        assert!(saw.accepted || !left, "refused, and sent all the same: {arrived:?}");
        Self { name, letter, shape, saw, said: None }
    }

    /// Notes what the administrator was told about it: `text` must contain it.
    pub(super) fn told(mut self, text: &str, said: &'static str) -> Self {
        assert!(said == "nothing" || text.contains(said), "{:?} is not in:\n{text}", said);
        self.said = Some(said);
        self
    }

    /// The same for a table of another kind: what the client saw.
    pub(super) fn over(self, world: &World) -> String {
        if self.saw.again {
            world.send_again(&self.letter);
        }
        assert_eq!(world.settled(&self.letter).duplicates(), "none", "{}", self.name);
        self.saw.text
    }

    /// The fault is over: the client comes again if it was told to, and everybody gets the letter.
    pub(super) fn mended(self, world: &World, section: &mut Section) {
        if self.saw.again {
            world.send_again(&self.letter);
        }
        let arrived = world.settled(&self.letter);
        let duplicates = arrived.duplicates();
        let mut cells = vec![self.name, self.shape.name(), &self.saw.text];
        cells.extend(self.said);
        cells.extend(["nothing", "nothing", &duplicates]);
        section.row(&cells);
    }
}
