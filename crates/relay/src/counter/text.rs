//! Counters as texts: for Prometheus, and for the manual.
//!
//! The format is that of Prometheus, version 0.0.4: a `# HELP` and a `# TYPE` line for each metric, then all its samples
//! together, each on a line; the name of what only rises ends with `_total`; in a label's value backslash, quote and line feed
//! are escaped, in a help text backslash and line feed.

use super::{ALL, COUNTERS, Kind};
use std::fmt::Write;

/// The media type of [`exposition`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What Prometheus reads: of each virtual server its name and its counters, in the order of [`ALL`].
#[must_use]
pub fn exposition(servers: &[(String, [u64; COUNTERS])]) -> String {
    let mut out = String::new();
    for (place, definition) in ALL.iter().enumerate() {
        let kind = match definition.kind {
            Kind::Sum => "counter",
            Kind::Level => "gauge",
        };
        let help = definition.help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(out, "# HELP {0} {help}\n# TYPE {0} {kind}", definition.name);
        for (server, values) in servers {
            let _ = writeln!(out, "{}{{server=\"{}\"}} {}", definition.name, label(server), values[place]);
        }
    }
    out
}

fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The table of docs/counters.md.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::new();
    let mut group = "";
    for definition in ALL {
        if definition.group != group {
            group = definition.group;
            let _ = write!(out, "\n### {group}\n\n| name | label | kind | what it counts |\n|---|---|---|---|\n");
        }
        let kind = match definition.kind {
            Kind::Sum => "rises",
            Kind::Level => "level",
        };
        let old = if definition.old { " †" } else { "" };
        let _ = writeln!(out, "| `{}` | {}{old} | {kind} | {} |", definition.name, definition.label, definition.help);
    }
    out
}
