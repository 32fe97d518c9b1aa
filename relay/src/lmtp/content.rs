//! What follows DATA, its dots taken off.

use memchr::memmem;

/// Finds the end of the content and undoes its dot-stuffing (RFC 5321 section 4.5.2).
///
/// The end is CRLF `.` CRLF and nothing that looks like it.
#[derive(Debug)]
pub(super) struct Unstuffing {
    /// At the begin of a line.
    fresh: bool,
}

/// How far one block of input went.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes of the input that need not be shown again.
    pub(super) taken: usize,
    /// The end has been found.
    pub(super) done: bool,
}

impl Unstuffing {
    pub(super) fn new() -> Self {
        Self { fresh: true }
    }

    /// Gives the content of `input` to `out`, piece by piece. What is not taken must come again with more behind it.
    pub(super) fn feed<E>(
        &mut self,
        input: &[u8],
        mut out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Progress, E> {
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            if self.fresh {
                match rest {
                    [b'.', b'\r', b'\n', ..] => return Ok(Progress { taken: taken + 3, done: true }),
                    [] | [b'.'] | [b'.', b'\r'] => return Ok(Progress { taken, done: false }),
                    [b'.', ..] => taken += 1,
                    _ => {}
                }
                self.fresh = false;
                continue;
            }
            if let Some(found) = memmem::find(rest, b"\r\n.") {
                out(rest.get(..found + 2).unwrap_or_default())?;
                taken += found + 2;
                self.fresh = true;
                continue;
            }
            // The begin of that pattern may lie at the end.
            let held = match rest {
                [.., b'\r', b'\n'] => 2,
                [.., b'\r'] => 1,
                _ => 0,
            };
            let certain = rest.get(..rest.len() - held).unwrap_or_default();
            out(certain)?;
            return Ok(Progress { taken: taken + certain.len(), done: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds in blocks of `size`; content and what is left behind the end.
    fn feed(wire: &[u8], size: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut unstuffing = Unstuffing::new();
        let mut content = Vec::new();
        let mut waiting = Vec::new();
        let mut blocks = wire.chunks(size);
        for block in blocks.by_ref() {
            waiting.extend_from_slice(block);
            let progress = unstuffing
                .feed(&waiting, |piece| {
                    content.extend_from_slice(piece);
                    Ok::<_, ()>(())
                })
                .unwrap();
            waiting.drain(..progress.taken);
            if progress.done {
                waiting.extend(blocks.flatten());
                return Some((content, waiting));
            }
        }
        None
    }

    #[test]
    fn only_the_whole_end_is_the_end() {
        for (wire, content, rest) in [
            (&b".\r\n"[..], &b""[..], &b""[..]),
            (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
            (b"..\r\n...\r\n.x\r\n.\r\n", b".\r\n..\r\nx\r\n", b""),
            (b"a\n.\nb\r\n.\nc\r\n.\rd\r\n.\r\n", b"a\n.\nb\r\n\nc\r\n\rd\r\n", b""),
            (b"a\r.\r\n\n.\r\n\r\n.\r\n", b"a\r.\r\n\n.\r\n\r\n", b""),
        ] {
            for size in 1..wire.len() + 1 {
                let (got, left) = feed(wire, size).unwrap();
                assert_eq!((got.as_slice(), left.as_slice()), (content, rest), "{wire:?} {size}");
            }
        }
        assert_eq!(feed(b"a\r\n..\r\n", 3), None);
        assert_eq!(feed(b"a\n.\n", 1), None);
        assert_eq!(feed(b"a.\r\n", 1), None);
    }

    proptest! {
        #[test]
        fn blocks_do_not_matter(wire in "[.\r\nx]{0,40}", size in 1usize..8) {
            let wire = format!("{wire}\r\n.\r\n");
            prop_assert_eq!(feed(wire.as_bytes(), size), feed(wire.as_bytes(), wire.len()));
        }
    }
}
