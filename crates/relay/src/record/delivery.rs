//! How records about deliveries print: hosts, what went out or failed, and how destinations stand.

use super::{Line, Record};
use crate::badmail::BadmailReason;

impl Record {
    pub(super) fn print_delivery(&self, out: &mut String) {
        match self {
            Record::InClear { host, why } => drop(Line::new(out, "in_clear").field("host", host).field("why", why)),
            Record::Waived { host, why } => drop(Line::new(out, "waived").field("host", host).field("why", why)),
            Record::Policy { domain, outcome } => {
                let line = Line::new(out, "policy").field("domain", domain);
                match outcome {
                    Ok(mode) => line.field("mode", mode),
                    Err(why) => line.field("why", why),
                };
            }
            Record::Delivered { id, to, by, said, channel, after_ms } => {
                let line = Line::new(out, "delivered").field("id", id).field("to", to).field("by", by);
                line.field("said", said).channel(channel.as_deref()).field("after", &format_args!("{after_ms}ms"));
            }
            Record::Sent { id, recipients, size, local } => {
                let line = Line::new(out, "sent").field("id", id).field("recipients", recipients);
                line.field("size", size).field("way", &if *local { "drop" } else { "smtp" });
            }
            Record::Reached { host, channel } => {
                Line::new(out, "reached").field("host", host).channel(channel.as_deref());
            }
            Record::Unreached { failure } => drop(Line::new(out, "unreached").failure(failure)),
            Record::Deferred { id, to, failure, again, .. } => {
                let line = Line::new(out, "deferred").field("id", id).field("to", to);
                line.failure(failure).field("again", &again.rfc3339());
            }
            Record::Failed { id, to, failure } => {
                Line::new(out, "failed").field("id", id).field("to", to).failure(failure);
            }
            Record::Reported { id, recipients } => {
                Line::new(out, "reported").field("id", id).field("recipients", recipients);
            }
            Record::Badmailed { id, reason } => {
                Line::new(out, "badmailed").field("id", id).field("reason", &badmail_word(*reason));
            }
            Record::DestinationDown { destination, failure, until, waiting } => {
                let line = Line::new(out, "destination_down").field("destination", destination).failure(failure);
                line.field("until", &until.rfc3339()).field("waiting", waiting);
            }
            Record::DestinationPaused { destination, failure, until, waiting } => {
                let line = Line::new(out, "destination_paused").field("destination", destination).failure(failure);
                line.field("until", &until.rfc3339()).field("waiting", waiting);
            }
            Record::DestinationUp { destination } => {
                Line::new(out, "destination_up").field("destination", destination);
            }
            _ => {}
        }
    }
}

fn badmail_word(reason: BadmailReason) -> &'static str {
    match reason {
        BadmailReason::BadPickupFile => "bad_pickup_file",
        BadmailReason::NdrOfDsn => "ndr_of_dsn",
        BadmailReason::HopCountExceeded => "hop_count_exceeded",
        BadmailReason::NoRecipients => "no_recipients",
        BadmailReason::GeneralFailure => "general_failure",
    }
}
