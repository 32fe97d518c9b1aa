//! A bar that shows how far something is.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often it is drawn.
const PAUSE: Duration = Duration::from_millis(100);
/// How wide it is.
const WIDTH: u64 = 40;

/// The bar, on standard error, if that is a terminal.
pub(super) struct Bar {
    shown: bool,
    last: Option<Instant>,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), last: None }
    }

    /// Draws it. The end is always drawn.
    pub(super) fn show(&mut self, done: u64, size: u64) {
        let due = self.last.is_none_or(|last| last.elapsed() >= PAUSE);
        if !self.shown || !(due || done == size) {
            return;
        }
        self.last = Some(Instant::now());
        let end = if done == size { "\n" } else { "" };
        let _ = write!(std::io::stderr(), "\r{}{end}", draw(done, size));
    }
}

fn draw(done: u64, size: u64) -> String {
    let parts = |of: u64| u128::from(done) * u128::from(of) / u128::from(size.max(1));
    let full = usize::try_from(parts(WIDTH).min(u128::from(WIDTH))).unwrap_or(0);
    let width = usize::try_from(WIDTH).unwrap_or(0);
    format!("[{:<width$}] {:>3} % {done} of {size} entries", "#".repeat(full), parts(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_empty_at_first_and_full_at_last() {
        assert_eq!(draw(0, 8), format!("[{}]   0 % 0 of 8 entries", " ".repeat(40)));
        assert_eq!(draw(4, 8), format!("[{}{}]  50 % 4 of 8 entries", "#".repeat(20), " ".repeat(20)));
        assert_eq!(draw(8, 8), format!("[{}] 100 % 8 of 8 entries", "#".repeat(40)));
        assert_eq!(draw(0, 0), format!("[{}]   0 % 0 of 0 entries", " ".repeat(40)));
    }
}
