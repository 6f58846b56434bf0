//! What our libraries and our own faults have to say, as `note …` and `alarm …` lines of the same log.
//!
//! Our own code says what happens to mail as records, and uses `tracing` for the rest: its errors are alarms, its warnings
//! and what it informs about are notes at level *info*. Libraries are heard with a grain of salt: their warnings and
//! errors are notes at level *info*, what they inform about at *debug*. Spans are not kept.

use super::Log;
use relay::record::{Level, Line};
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Octets of a panic's message and place that the alarm repeats.
const PANIC_MAX: usize = 300;

pub(super) fn install(log: &Log) {
    let diagnostics = Diagnostics { log: log.clone() };
    // A process that has a subscriber already (a test) keeps it.
    let _ = tracing::subscriber::set_global_default(diagnostics);
    let log = log.clone();
    std::panic::set_hook(Box::new(move |panic| log.alarm(describe(panic))));
}

/// A panic ends one task, not the program: the operator hears of it in one line.
fn describe(panic: &std::panic::PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().unwrap_or("no message");
    let mut text = "A fault in Mailroot itself ended one task; the rest goes on. Please report it: ".to_owned();
    let place = panic.location().map(|l| format!("{}:{}: ", l.file(), l.line())).unwrap_or_default();
    text.extend(place.chars().chain(what.chars()).take(PANIC_MAX));
    text
}

struct Diagnostics {
    log: Log,
}

impl Subscriber for Diagnostics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let needed = match (*metadata.level(), is_ours(metadata)) {
            (tracing::Level::ERROR, true) => Level::Quiet,
            (tracing::Level::ERROR | tracing::Level::WARN, _) | (tracing::Level::INFO, true) => Level::Info,
            (tracing::Level::INFO, false) => Level::Debug,
            _ => return false,
        };
        self.log.shows(needed)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        use tracing::level_filters::LevelFilter;
        Some(if self.log.shows(Level::Info) { LevelFilter::INFO } else { LevelFilter::ERROR })
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let metadata = event.metadata();
        if is_ours(metadata) && *metadata.level() == tracing::Level::ERROR {
            return self.log.alarm(words.text);
        }
        let mut text = String::new();
        let line = Line::new(&mut text, "note").field("level", metadata.level());
        line.field("from", &metadata.target()).field("text", &words.text);
        self.log.send(text);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Is it this program that speaks, not a library?
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    ["daemon", "relay", "smtp"].iter().any(|ours| target.split("::").next() == Some(ours))
}

/// The event's message, followed by its fields.
#[derive(Default)]
struct Words {
    text: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.text.is_empty() { "" } else { " " };
        let _ = match field.name() {
            "message" => write!(self.text, "{space}{value:?}"),
            name => write!(self.text, "{space}{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::text_of;
    use super::*;

    #[test]
    fn a_librarys_words_are_one_line_and_forge_nothing() {
        let text = text_of(Level::Info, |log| {
            tracing::subscriber::with_default(Diagnostics { log: log.clone() }, || {
                let _span = tracing::error_span!("span").entered();
                tracing::warn!(target: "resolver", host = "a\nb", "no answer\r\n2026 delivered id=1");
                tracing::info!(target: "resolver", "not shown at this level");
            });
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let expected = r#"note level=WARN from=resolver text="no answer\r\n2026 delivered id=1 host=\"a\\nb\"""#;
        assert_eq!(text.trim_end().split_once(' ').unwrap().1, expected);
    }

    #[test]
    fn what_is_shown_depends_on_the_level() {
        let speak = |log: &Log| {
            tracing::subscriber::with_default(Diagnostics { log: log.clone() }, || {
                tracing::error!(target: "daemon::store", "one");
                tracing::info!(target: "daemon::store", "two");
                tracing::error!(target: "resolver", "three");
                tracing::info!(target: "resolver", "four");
                tracing::debug!(target: "resolver", "never");
                tracing::debug!(target: "daemonic", "never");
            });
        };
        let shown = |level| {
            let text = text_of(level, speak);
            text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>()
        };
        let all = [
            "alarm text=one",
            "note level=INFO from=daemon::store text=two",
            "note level=ERROR from=resolver text=three",
            "note level=INFO from=resolver text=four",
        ];
        assert_eq!(shown(Level::Quiet), all[..1]);
        assert_eq!(shown(Level::Info), all[..3]);
        assert_eq!(shown(Level::Debug), all);
    }
}
