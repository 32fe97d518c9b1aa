//! Waiting for something that another process is about to do.

use std::time::Duration;
use std::time::Instant;

/// How long a test waits for a thing that normally takes milliseconds.
///
/// Generous, because the machine may be compiling something else; nobody waits it out unless the
/// test is about to fail.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
///
/// # Panics
/// If there is none within `limit`; the message names `what` was awaited.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
