//! `[virtual_server.queue]`: bounds of the queue in memory and on disk. The old service had none of them.

use super::QueueBounds;
use super::quantity::{KB, MB, TB};
use super::read::{Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};

/// `queue.memory_max`
pub static MEMORY_MAX: Setting = Setting {
    name: "queue.memory_max",
    tab: Tab::Queue,
    label: "Memory for waiting messages",
    unit: Unit::Size,
    default: Preset::Number(64 * MB),
    range: Range::Between(MB, TB),
    help: "Content of accepted messages that is kept in memory for their first delivery; beyond it they are read back from disk. \
Nothing is lost by a small value but speed.",
};

/// `queue.journal_max`
pub static JOURNAL_MAX: Setting = Setting {
    name: "queue.journal_max",
    tab: Tab::Queue,
    label: "Size of the journal",
    unit: Unit::Size,
    default: Preset::Number(256 * MB),
    range: Range::Between(16 * MB, TB),
    help: "When the journal has grown to this, the oldest messages in it get files of their own in the Queue folder.",
};

/// `queue.free_space_min`
pub static FREE_SPACE_MIN: Setting = Setting {
    name: "queue.free_space_min",
    tab: Tab::Queue,
    label: "Free space to keep",
    unit: Unit::Size,
    default: Preset::Number(100 * MB),
    range: Range::Between(MB, 1_024 * TB),
    help: "With less free space on the disk of the Queue folder, MAIL is answered with 452 4.3.1 and Pickup waits; delivery goes on and \
makes room.",
};

/// `queue.stream_over`
pub static STREAM_OVER: Setting = Setting {
    name: "queue.stream_over",
    tab: Tab::Queue,
    label: "Large messages are over",
    unit: Unit::Size,
    default: Preset::Number(MB),
    range: Range::Between(4 * KB, 64 * MB),
    help: "A message over this is written to its own file while it is received, and never held in memory as a whole. At most a \
quarter of `queue.journal_max`.",
};

/// `queue.messages_max`
pub static MESSAGES_MAX: Setting = Setting {
    name: "queue.messages_max",
    tab: Tab::Queue,
    label: "Messages that may wait",
    unit: Unit::Count,
    default: Preset::Number(1_000_000),
    range: Range::Between(1, 100_000_000),
    help: "With so many messages waiting, MAIL is answered with 452 4.3.1 until some have left. Each takes about one kilobyte of memory.",
};

/// The largest `stream_over` goes so many times into the journal.
const STREAMS_IN_JOURNAL: u64 = 4;

pub(super) fn read(reader: &mut Reader<'_>, table: Table<'_, '_>) -> QueueBounds {
    let bounds = QueueBounds {
        memory_max: reader.number(table, &MEMORY_MAX),
        journal_max: reader.number(table, &JOURNAL_MAX),
        free_space_min: reader.number(table, &FREE_SPACE_MIN),
        stream_over: reader.number(table, &STREAM_OVER),
        messages_max: reader.number(table, &MESSAGES_MAX),
    };
    if bounds.stream_over > bounds.journal_max / STREAMS_IN_JOURNAL {
        reader.problems.clash(
            table.span_of(&STREAM_OVER),
            "`queue.stream_over` is more than a quarter of `queue.journal_max`",
            format!(
                "write {} or less, or a larger journal",
                super::settings::amount(Unit::Size, bounds.journal_max / STREAMS_IN_JOURNAL)
            ),
            table.place_of(&JOURNAL_MAX).map(|span| (span, "the journal's size")),
        );
    }
    bounds
}
