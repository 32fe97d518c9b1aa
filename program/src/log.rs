//! Log lines on standard error: as `<N>message` under systemd, which then knows the priority, and with a time stamp
//! elsewhere.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging. `GATEPOST_LOG` sets the level (`info` by default), e.g. `debug`.
///
/// Of the library `noisy` errors alone are logged. `GATEPOST_LOG` may ask for more of it, but never for its
/// traces: they may hold whole messages, and no setting shall bring those into a log.
pub fn start(noisy: Option<&'static str>) {
    let level = std::env::var("GATEPOST_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(directives(&level, noisy))
        .unwrap_or_else(|_| EnvFilter::new(directives("info", noisy)));
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    // A second start, as in tests, changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .event_format(Line { journal, noisy })
        .try_init();
}

fn directives(level: &str, noisy: Option<&str>) -> String {
    match noisy {
        Some(library) => format!("{level},{library}=error"),
        None => level.to_owned(),
    }
}

struct Line {
    journal: bool,
    noisy: Option<&'static str>,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let of_noisy = |library| event.metadata().target().starts_with(library);
        if level == Level::TRACE && self.noisy.is_some_and(of_noisy) {
            return Ok(());
        }
        if self.journal {
            write!(writer, "<{}>", priority(level))?;
        } else {
            let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
            write!(writer, "{now} {} ", level.as_str().to_lowercase())?;
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Priorities of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `speak` logs, with everything let through.
    fn logged(line: Line, speak: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("trace"))
            .with_writer(move || writer.clone())
            .event_format(line)
            .finish();
        tracing::subscriber::with_default(subscriber, speak);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_journal_learns_the_priority() {
        let text = logged(Line { journal: true, noisy: None }, || {
            tracing::error!("one");
            tracing::warn!("two");
            tracing::info!("three");
            tracing::debug!("four");
        });
        assert_eq!(text, "<3>one\n<4>two\n<6>three\n<7>four\n");
    }

    #[test]
    fn elsewhere_a_line_begins_with_time_and_level() {
        let text = logged(Line { journal: false, noisy: None }, || tracing::warn!("slow"));
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{text}");
        assert_eq!(rest, "warn slow\n");
    }

    #[test]
    fn traces_of_the_noisy_library_are_never_written() {
        let text = logged(Line { journal: true, noisy: Some("indymilter") }, || {
            tracing::trace!(target: "indymilter::session", "a whole message");
            tracing::debug!(target: "indymilter::session", "a step");
            tracing::trace!("ours");
        });
        assert_eq!(text, "<7>a step\n<7>ours\n");
    }
}
