//! How records about destinations, and about what an operator did with the queue, print.

use super::{Line, Record};

impl Record {
    pub(super) fn print_queue(&self, out: &mut String) {
        match self {
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
            Record::DestinationPaused { destination, failure, until, waiting } => {
                let line = Line::new(out, "destination_paused").field("destination", destination).failure(failure);
                line.field("until", &until.rfc3339()).field("waiting", waiting);
            }
            Record::DestinationSuspended { destination } => {
                Line::new(out, "destination_suspended").field("destination", destination);
            }
            Record::DestinationResumed { destination } => {
                Line::new(out, "destination_resumed").field("destination", destination);
            }
            Record::DestinationDown { destination, failure, until, waiting } => {
                let line = Line::new(out, "destination_down").field("destination", destination).failure(failure);
                line.field("until", &until.rfc3339()).field("waiting", waiting);
            }
            Record::DestinationUp { destination } => {
                Line::new(out, "destination_up").field("destination", destination);
            }
            _ => {}
        }
    }
}
