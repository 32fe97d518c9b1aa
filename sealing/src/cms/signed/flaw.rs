//! What is wrong with a signature.

/// Why a signature does not hold, or why that was not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// In plain words.
    pub(crate) why: String,
    /// It uses an algorithm that is not supported: it may hold all the same.
    pub(crate) unsupported: bool,
}

impl Flaw {
    /// An algorithm that is not supported.
    pub(crate) fn unsupported(why: String) -> Flaw {
        Flaw { why, unsupported: true }
    }
}

impl From<String> for Flaw {
    fn from(why: String) -> Flaw {
        Flaw { why, unsupported: false }
    }
}

impl From<&str> for Flaw {
    fn from(why: &str) -> Flaw {
        why.to_owned().into()
    }
}
