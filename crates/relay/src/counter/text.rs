//! Counters as texts: for Prometheus, and for the manual.
//!
//! The format is that of Prometheus, version 0.0.4: a `# HELP` and a `# TYPE` line for each metric, then all its samples
//! together, each on a line; the name of what only rises ends with `_total`; in a label's value backslash, quote and line feed
//! are escaped, in a help text backslash and line feed.

use super::{ALL, COUNTERS, Kind};
use std::fmt::Write;

/// The media type of [`exposition`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What Prometheus reads: of each virtual server its name and its counters, in the order of [`ALL`]; of what is not known, nothing.
#[must_use]
pub fn exposition(servers: &[(String, [Option<u64>; COUNTERS])]) -> String {
    let mut out = String::new();
    for (place, definition) in ALL.iter().enumerate() {
        let kind = match definition.kind {
            Kind::Sum => "counter",
            Kind::Level => "gauge",
        };
        let help = definition.help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(out, "# HELP {0} {help}\n# TYPE {0} {kind}", definition.name);
        for (server, values) in servers {
            if let Some(value) = values[place] {
                let _ = writeln!(out, "{}{{server=\"{}\"}} {value}", definition.name, label(server));
            }
        }
    }
    out
}

fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What stands before the table in docs/counters.md.
const MANUAL: &str = "\
# Counters

Each virtual server counts what happens to it; the counters begin with the service, and a virtual server that is restarted by a change goes on where it was.
They are made of the same records as the log, so that the two cannot disagree. `mailroot counters` shows them, the API has them under
`/api/v1/servers/NAME/counters`, and the last hour as points for plots, one every ten seconds, under `/api/v1/servers/NAME/series` and `/api/v1/series`.

Prometheus reads `/metrics` on the console's address, with a token of any role (`mailroot operator token new prometheus --role auditor`), or on the
control socket; each virtual server that the token may see has its name as the label `server`:

    scrape_configs:
      - job_name: mailroot
        authorization: { credentials_file: /etc/prometheus/mailroot.token }
        static_configs: [{ targets: [\"127.0.0.1:8025\"] }]

† The old service's performance object \"SMTP Server\" had a counter of this name. Rates per second are left to whoever reads (`rate()` in Prometheus), averages are
quotients of two counters. Not here: bytes with commands and replies, the categorizer, ETRN, handles, and NDRs that could not be made, of which ours has
none: they are tried until they are.

*rises*: a sum since the start. *level*: how much there is now; lengths of queues may be a second old, or more with very long ones.
Where a length is not known, because the virtual server is starting, or nobody has counted since it stopped, it is left out; plots then draw 0.
";

/// docs/counters.md.
#[must_use]
pub fn markdown() -> String {
    let mut out = MANUAL.to_owned();
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
