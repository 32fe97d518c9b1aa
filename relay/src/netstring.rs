//! Netstrings: `4:data,` is the frame of the socketmap protocol.
//!
//! The reader takes one frame from the front of a buffer and says how much it used, so that requests may arrive
//! in pieces or many at once. Numbers have no sign, no leading zero and an upper limit; whatever else comes is an
//! error, after which nothing on that connection can be trusted.

use std::io::Write as _;

/// Digits that a length may have; more than any limit needs.
const LENGTH_DIGITS: usize = 9;

/// Why a frame cannot be read. The connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetstringError {
    /// The length is missing, has a sign or a leading zero, or is followed by something other than a colon.
    #[error("the length of a netstring is malformed")]
    Length,
    /// The data is not followed by a comma.
    #[error("a netstring does not end with a comma")]
    End,
    /// The length is above the limit.
    #[error("a netstring is longer than {limit} bytes")]
    TooLong {
        /// The limit, bytes.
        limit: usize,
    },
}

/// Takes the first netstring of `input`: its data, and the bytes that the whole frame uses. Nothing if it is not
/// complete yet.
///
/// # Errors
/// The input is no netstring, or is longer than `limit` bytes; known as soon as the bytes that show it are there.
pub fn take(input: &[u8], limit: usize) -> Result<Option<(&[u8], usize)>, NetstringError> {
    let digits = input.iter().take(LENGTH_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    let number = input.get(..digits).unwrap_or_default();
    if digits > LENGTH_DIGITS || (digits > 1 && number.first() == Some(&b'0')) {
        return Err(NetstringError::Length);
    }
    let length = number.iter().fold(0, |sum: usize, digit| sum * 10 + usize::from(digit - b'0'));
    if length > limit {
        return Err(NetstringError::TooLong { limit });
    }
    match input.get(digits) {
        None => return Ok(None),
        Some(b':') if digits > 0 => {}
        Some(_) => return Err(NetstringError::Length),
    }
    let end = digits + 1 + length;
    match (input.get(digits + 1..end), input.get(end)) {
        (Some(data), Some(b',')) => Ok(Some((data, end + 1))),
        (_, Some(_)) => Err(NetstringError::End),
        (_, None) => Ok(None),
    }
}

/// Appends one netstring that holds these parts, one after the other.
pub fn put(parts: &[&[u8]], output: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // A vector takes everything.
    let _ = write!(output, "{length}:");
    parts.iter().for_each(|part| output.extend_from_slice(part));
    output.push(b',');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_is_taken_and_the_rest_is_left() {
        assert_eq!(take(b"5:hello,1:x,", 100), Ok(Some((&b"hello"[..], 8))));
        assert_eq!(take(b"0:,", 100), Ok(Some((&b""[..], 3))));
    }

    #[test]
    fn a_frame_in_pieces_is_waited_for() {
        for piece in ["", "1", "12", "12:", "12:hello", "5:hello"] {
            assert_eq!(take(piece.as_bytes(), 100), Ok(None), "{piece}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused_at_once() {
        for text in [
            ":",
            ":a,",
            "-1:a,",
            "+1:a,",
            " 1:a,",
            "01:a,",
            "00:,",
            "1;a,",
            "a",
            "GET / HTTP/1.1",
            "1234567890",
        ] {
            assert_eq!(take(text.as_bytes(), usize::MAX), Err(NetstringError::Length), "{text}");
        }
        assert_eq!(take(b"1:ab", 100), Err(NetstringError::End));
        assert_eq!(take(b"101:", 100), Err(NetstringError::TooLong { limit: 100 }));
        assert_eq!(
            take(b"101", 100),
            Err(NetstringError::TooLong { limit: 100 }),
            "before all of it is here"
        );
    }

    proptest! {
        #[test]
        fn what_is_put_is_taken(data in prop::collection::vec(any::<u8>(), 0..300), rest in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut wire = Vec::new();
            let (head, tail) = data.split_at(data.len() / 2);
            put(&[head, tail], &mut wire);
            let used = wire.len();
            wire.extend(rest);
            prop_assert_eq!(take(&wire, 300), Ok(Some((&data[..], used))));
            for end in 0..used {
                prop_assert_eq!(take(&wire[..end], 300), Ok(None));
            }
        }

        #[test]
        fn any_input_is_taken_refused_or_waited_for(input in prop::collection::vec(any::<u8>(), 0..64), limit in 0_usize..40) {
            match take(&input, limit) {
                Ok(Some((data, used))) => {
                    prop_assert!(data.len() <= limit && used <= input.len());
                    let mut again = Vec::new();
                    put(&[data], &mut again);
                    prop_assert_eq!(&again[..], &input[..used]);
                }
                Ok(None) => prop_assert!(input.len() <= limit + LENGTH_DIGITS + 2),
                Err(_) => {}
            }
        }
    }
}
