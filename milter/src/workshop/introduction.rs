//! The author's certificate in the header of what leaves, so that the first reply can be encrypted (Autocrypt Level 1).

use keydir::{Autocrypt, Custody, Purpose, Scheme, Subject, Trust};
use mail::{Edit, Failure, Message, apply};
use policy::Direction;

use super::{Workshop, storage};

/// The field.
const FIELD: &str = "Autocrypt";

impl Workshop<'_> {
    /// Adds the field to a finished form that leaves, outside of everything, where others look for it.
    pub(super) fn introduce(&self, message: Message, recipients: &[usize]) -> Result<Message, Failure> {
        let wanted = self.config.keydir.as_ref().is_some_and(|section| section.autocrypt);
        let mut all = recipients.iter().filter_map(|index| self.facts.recipients.get(*index));
        let leaves = all.any(|recipient| recipient.direction == Direction::Outbound);
        if !wanted || !leaves || !self.facts.originating || self.transaction.is_second_pass() {
            return Ok(message);
        }
        // What the author's own software says counts, and what it says inside is not ours to repeat.
        if self.transaction.message.header().find(FIELD).is_some() || message.header().find(FIELD).is_some() {
            return Ok(message);
        }
        let Some(field) = self.introduction() else { return Ok(message) };
        let value = field.to_value().into_bytes();
        let edit = Edit::InsertField { index: 0, name: FIELD.to_owned(), value };
        apply(&message, &[edit], &self.spill).map_err(storage)
    }

    /// Only of an author without doubt, with a key of his own here.
    fn introduction(&self) -> Option<Autocrypt> {
        let author = self.transaction.message.author()?.address.to_string();
        let subject = Subject::address(&author)?;
        let found = self.keys.store.find(&subject, Scheme::Openpgp, Purpose::Encrypt, self.now).found()?;
        let record = found.record();
        let own = record.trust == Trust::Own && record.custody == Custody::Local;
        if !own {
            return None;
        }
        Autocrypt::of(found.cert(), &author, self.now)
    }
}
