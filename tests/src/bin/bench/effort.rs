//! How much is measured.

/// Number of rounds and messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds whose figures count; one more comes before them to warm up.
    pub(crate) rounds: usize,
    /// Divides the number of messages of a round.
    pub(crate) divisor: usize,
    /// Whether this is the short run, which the document says.
    pub(crate) is_quick: bool,
}

impl Effort {
    /// What the figures in the repository were made with.
    pub(crate) fn full() -> Self {
        Self { rounds: 11, divisor: 1, is_quick: false }
    }

    /// A few minutes less, and more noise.
    pub(crate) fn quick() -> Self {
        Self { rounds: 4, divisor: 2, is_quick: true }
    }
}
