//! Who a message says wrote it.

use mail::Address;
use mail::Message;

/// Who the message says wrote it.
#[derive(Clone, Debug)]
pub(crate) enum Author {
    /// The only address of the only From field.
    Known(Address),
    /// Nobody can say; why.
    Unclear(&'static str),
}

impl Author {
    pub(crate) fn of(message: &Message) -> Author {
        let mut fields = message.header().find_all("From");
        let (Some((_, field)), None) = (fields.next(), fields.next()) else {
            return Author::Unclear("the message has not exactly one From field");
        };
        let list = mail::parse_list(&field.unfolded());
        match <[_; 1]>::try_from(list.mailboxes) {
            Ok([mailbox]) if !list.malformed => Author::Known(mailbox.address),
            Ok(_) => Author::Unclear("the From field is malformed"),
            Err(_) => Author::Unclear("the From field has not exactly one address"),
        }
    }
}
