//! Names: what may be asked for, and how names of an answer are written down.

use domain::base::ToName;

/// Longest name in text, without the final dot (RFC 1035 section 2.3.4: 255 octets on the wire).
const NAME_MAX: usize = 253;
/// Longest label (RFC 1035 section 2.3.4).
const LABEL_MAX: usize = 63;

/// Why a text is no name that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing, or nothing between two dots.
    #[error("a label is empty")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("a label is longer than 63 octets")]
    LabelTooLong,
    /// More than 253 characters.
    #[error("the name is longer than 253 octets")]
    NameTooLong,
    /// A character that no host or service name has.
    #[error("a character does not belong into a name")]
    Character,
    /// Not convertible to A-labels (RFC 5891).
    #[error("the international name has no A-label form")]
    International,
}

/// Lower-case A-labels without a final dot.
///
/// International names are converted (UTS 46); underscores are allowed, for service names.
///
/// # Errors
/// [`BadName`] for anything that is no such name.
pub fn a_labels(name: &str) -> Result<String, BadName> {
    // Far above any legal U-label form: keeps conversion from working on megabytes.
    if name.len() > 4 * NAME_MAX {
        return Err(BadName::NameTooLong);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let ascii = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(name).map_err(|_| BadName::International)?
    };
    for label in ascii.split('.') {
        if label.is_empty() {
            return Err(BadName::EmptyLabel);
        }
        if label.len() > LABEL_MAX {
            return Err(BadName::LabelTooLong);
        }
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err(BadName::Character);
        }
    }
    if ascii.len() > NAME_MAX { Err(BadName::NameTooLong) } else { Ok(ascii) }
}

/// Whether a text, already lower-case A-labels, can be the name of a mail host (RFC 1123 section 2.1).
///
/// A last label of digits only would be an address without brackets. Underscores occur in the wild and are let
/// through.
pub fn is_host_name(name: &str) -> bool {
    let numeric = name.rsplit('.').next().is_none_or(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    !numeric && a_labels(name).is_ok_and(|good| good == name)
}

/// A name of a message in lower case, without a final dot; `.` for the root. Octets that host names do not have
/// are written as `\DDD`, so that two different names never have the same text.
pub(super) fn text(name: &impl ToName) -> String {
    let mut text = String::new();
    for label in name.iter_labels() {
        if label.is_root() {
            break;
        }
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in label.as_slice() {
            if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte == b'*' {
                text.push(char::from(byte.to_ascii_lowercase()));
            } else {
                text.push_str(&format!("\\{byte:03}"));
            }
        }
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_lowered_and_converted() {
        assert_eq!(a_labels("Mail.Example.ORG."), Ok("mail.example.org".to_owned()));
        assert_eq!(a_labels("bücher.example"), Ok("xn--bcher-kva.example".to_owned()));
        assert_eq!(a_labels("BÜCHER.example"), Ok("xn--bcher-kva.example".to_owned()));
        assert_eq!(a_labels("_25._tcp.mx.example"), Ok("_25._tcp.mx.example".to_owned()));
    }

    #[test]
    fn bad_names_say_why() {
        assert_eq!(a_labels(""), Err(BadName::EmptyLabel));
        assert_eq!(a_labels("a..b"), Err(BadName::EmptyLabel));
        assert_eq!(a_labels(".b"), Err(BadName::EmptyLabel));
        assert_eq!(a_labels(&"a".repeat(64)), Err(BadName::LabelTooLong));
        assert_eq!(a_labels(&vec!["a".repeat(60); 5].join(".")), Err(BadName::NameTooLong));
        assert_eq!(a_labels("a b.example"), Err(BadName::Character));
        assert_eq!(a_labels("a\\.b.example"), Err(BadName::Character));
        assert_eq!(a_labels("a\0.example"), Err(BadName::Character));
        assert_eq!(a_labels(&"ü".repeat(60_000)), Err(BadName::NameTooLong));
    }

    #[test]
    fn an_address_is_no_host_name() {
        assert!(!is_host_name("192.0.2.1"));
        assert!(!is_host_name("."));
        assert!(!is_host_name("a\\032b.example"));
        assert!(is_host_name("mx_1.example"));
    }

    proptest! {
        #[test]
        fn conversion_never_panics_and_is_stable(name in any::<String>()) {
            if let Ok(ascii) = a_labels(&name) {
                prop_assert_eq!(a_labels(&ascii), Ok(ascii.clone()));
            }
        }
    }
}
