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
    /// The largest number of mailboxes that is published and logged.
    pub(crate) mailboxes: u64,
}

impl Effort {
    /// What the figures in the repository were made with.
    pub(crate) fn full() -> Self {
        Self { rounds: 11, divisor: 1, is_quick: false, mailboxes: 1_000_000 }
    }

    /// A few minutes less, and more noise.
    pub(crate) fn quick() -> Self {
        Self { rounds: 4, divisor: 2, is_quick: true, mailboxes: 100_000 }
    }

    /// Numbers of mailboxes, each ten times the one before.
    pub(crate) fn sizes(&self, smallest: u64) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(smallest), |size| Some(size * 10))
            .take_while(|size| *size <= self.mailboxes)
    }
}
