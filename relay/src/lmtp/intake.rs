//! Content on its way in, within the limits.

use std::io;

use mail::EnhancedCode;

use super::LmtpConfig;
use crate::delivery::Letter;
use crate::delivery::LetterWriter;
use crate::delivery::Reply;

/// Content on its way in, or the reason why it will be refused at its end.
pub(super) struct Intake {
    letter: Result<LetterWriter, Reply>,
    /// Octets that may still come; nothing for any number.
    room: Option<u64>,
}

impl Intake {
    pub(super) fn new(config: &LmtpConfig) -> Self {
        let room = (config.size != 0).then_some(config.size);
        Self { letter: Ok(LetterWriter::new(&config.spill)), room }
    }

    /// Takes content, or drops it when it is refused already.
    pub(super) fn put(&mut self, piece: &[u8]) {
        let Ok(letter) = &mut self.letter else { return };
        if let Some(room) = &mut self.room {
            match room.checked_sub(piece.len() as u64) {
                Some(left) => *room = left,
                None => {
                    self.letter = Err(too_big());
                    return;
                }
            }
        }
        if let Err(error) = letter.write(piece) {
            self.letter = Err(no_space(&error));
        }
    }

    pub(super) fn finish(self) -> Result<Letter, Reply> {
        self.letter?.finish().map_err(|error| no_space(&error))
    }
}

pub(super) fn too_big() -> Reply {
    Reply::own(552, EnhancedCode(5, 3, 4), "the message is too big")
}

fn no_space(error: &io::Error) -> Reply {
    tracing::error!(%error, "LMTP: a message cannot be spilled");
    Reply::own(452, EnhancedCode(4, 3, 1), "the message cannot be stored here at this time")
}
