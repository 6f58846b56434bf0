//! How records of what operators did print: log-ons to the console, and their orders about the queue.

use super::{Line, Record};

impl Record {
    pub(super) fn print_operators(&self, out: &mut String) {
        match self {
            Record::Operator { name, from, what } => {
                Line::new(out, "operator").field("name", name).field("from", from).field("what", what);
            }
            Record::Requeued { id, file, from, recipients } => {
                let line = Line::new(out, "requeued").field("id", id).sender(from);
                line.field("recipients", recipients).field("file", file);
            }
            Record::Imported { id, was, from, recipients } => {
                let line = Line::new(out, "imported").field("id", id).field("was", was).sender(from);
                line.field("recipients", recipients);
            }
            Record::Held { id } => drop(Line::new(out, "held").field("id", id)),
            Record::Released { id } => drop(Line::new(out, "released").field("id", id)),
            Record::Deleted { id, recipients } => {
                Line::new(out, "deleted").field("id", id).field("recipients", recipients);
            }
            Record::DestinationSuspended { destination } => {
                Line::new(out, "destination_suspended").field("destination", destination);
            }
            Record::DestinationResumed { destination } => {
                Line::new(out, "destination_resumed").field("destination", destination);
            }
            _ => {}
        }
    }
}
