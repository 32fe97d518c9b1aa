//! How far a long command is, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a terminal is redrawn.
const TERMINAL: Duration = Duration::from_millis(100);
/// How often a line is written where nobody can redraw.
const LINES: Duration = Duration::from_secs(10);

/// Tells how far a command is; says nothing about what is quickly done.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    told: Option<Instant>,
    next: Instant,
    terminal: bool,
}

impl Progress {
    /// Begins to count `what`, of which there are about `total`.
    pub fn new(what: &'static str, total: u64) -> Self {
        let terminal = io::stderr().is_terminal();
        let next = Instant::now() + if terminal { TERMINAL } else { LINES };
        Self { what, total, done: 0, told: None, next, terminal }
    }

    /// One more is done.
    pub fn step(&mut self) {
        self.done += 1;
        // The clock is asked seldom: a step may be very short.
        if self.done.is_multiple_of(64) && Instant::now() >= self.next {
            self.tell();
        }
    }

    /// All is done.
    pub fn end(mut self) {
        if self.told.is_some() {
            self.tell();
            if self.terminal {
                let _ = writeln!(io::stderr());
            }
        }
    }

    fn tell(&mut self) {
        let now = Instant::now();
        let (done, total) = (self.done, self.total.max(self.done));
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        let text = format!("{}: {done} of {total} ({percent} %)", self.what);
        let mut err = io::stderr().lock();
        let _ = match self.terminal {
            true => write!(err, "\r{text}").and_then(|()| err.flush()),
            false => writeln!(err, "{text}"),
        };
        self.told = Some(now);
        self.next = now + if self.terminal { TERMINAL } else { LINES };
    }
}
