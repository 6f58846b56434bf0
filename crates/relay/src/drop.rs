//! A message in the Drop folder: what its file looks like, what it is called, and whether there is room for it.
//!
//! One file per message, for all local recipients together:
//!
//! ```text
//! x-sender: app@example.com
//! x-receiver: alice@example.com          one line per local recipient
//! Received: from …                       from here on the message as it was accepted
//! Subject: …
//! Return-Path: app@example.com           put at the end of the header
//! X-OriginalArrivalTime: 22 Nov 2026 07:00:00.0123 (UTC) FILETIME=[…]
//!
//! body
//! ```
//!
//! So it can be read as an ordinary message by any program, tells the true recipients to one that looks for them, and is
//! valid Pickup input as it stands. Recipients elsewhere are not named: they are nobody's business here. An address at an
//! alias domain is written as the sender gave it, because programs sort mail by it.
//!
//! The file's name comes from the queue id alone. Content is passed through in chunks ([`Composer`]), so that a large
//! message needs no memory. Texts and decisions only: the daemon writes the files.
//!
//! IIS: "Drop" and "Enable drop directory quota" on the default domain; §"Headers the service adds".

use crate::badmail::{addressees, base_name};
use crate::envelope::{Envelope, Failure, FailureKind, QueueId};
use bytes::Bytes;
use smtp::address::ReversePath;
use smtp::header::{original_arrival_time, return_path, scan};
use smtp::reply::{EnhancedStatus, Reply};
use std::fmt::Write as _;

/// A header that does not end within so many octets gets the closing lines before its last field so far, not at its end.
pub const HEADER_HELD_MAX: usize = 1 << 20;

/// The file's name: `ID.eml`.
#[must_use]
pub fn file_name(id: QueueId, recipients: &[u32]) -> String {
    format!("{}.eml", base_name(id, recipients))
}

/// The x-sender and x-receiver lines that begin the file.
#[must_use]
pub fn envelope_lines(envelope: &Envelope, recipients: &[u32]) -> String {
    let mut lines = format!("x-sender: {}\r\n", print_sender(&envelope.sender));
    for recipient in addressees(envelope, recipients) {
        let _ = write!(lines, "x-receiver: {recipient}\r\n");
    }
    lines
}

/// The sender as files show it: `<>` for nobody.
#[must_use]
pub fn print_sender(sender: &ReversePath) -> String {
    match sender {
        ReversePath::Null => "<>".to_owned(),
        ReversePath::Mailbox(mailbox) => mailbox.to_string(),
    }
}

/// Is there room for `size` octets more in a folder that holds `held`?
///
/// # Errors
/// The folder would be over its quota: a failure for now (452 4.2.2), so that the message waits in the queue until
/// somebody has made room, or it expires.
pub fn admit(quota: Option<u64>, held: u64, size: u64) -> Result<(), Failure> {
    let Some(quota) = quota.filter(|quota| held.saturating_add(size) > *quota) else { return Ok(()) };
    let text = format!("The Drop folder holds {held} of {quota} octets and has no room for {size} more.");
    Err(Failure {
        kind: FailureKind::Quota,
        status: EnhancedStatus(4, 2, 2),
        host: None,
        reply: Some(Reply::new(452, 2, 2, "The Drop folder is over its quota")),
        text: text.into(),
    })
}

/// Puts a Drop file together: chunks of the message's content in, chunks of the file out.
#[derive(Debug)]
pub struct Composer {
    /// What has not been given out yet because the header may go on.
    head: Vec<u8>,
    /// How long `head` must be before it is worth looking again.
    look_at: usize,
    /// The lines for the end of the header; taken when they are written.
    closing: Option<String>,
}

impl Composer {
    /// A composer for this message. The file begins with what the first call of [`Composer::next`] or
    /// [`Composer::finish`] that gives anything gives.
    #[must_use]
    pub fn new(envelope: &Envelope, recipients: &[u32]) -> (String, Composer) {
        let closing = return_path(&envelope.sender) + &original_arrival_time(envelope.arrived);
        let composer = Composer { head: Vec::new(), look_at: 0, closing: Some(closing) };
        (envelope_lines(envelope, recipients), composer)
    }

    /// Takes the next chunk of the content; appends what can be written of the file to `out`.
    pub fn next(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        if self.closing.is_none() {
            out.push(chunk);
            return;
        }
        self.head.extend_from_slice(&chunk);
        if self.head.len() < self.look_at {
            return;
        }
        // Looked at again when it has doubled, so that a long header in small chunks costs no square of its length.
        self.look_at = (self.head.len() * 2).min(HEADER_HELD_MAX);
        let header = scan(&self.head);
        if header.is_complete() {
            let (end, bare) = (header.octets().len(), !header.has_empty_line());
            self.close(end, bare, out);
        } else if self.head.len() >= HEADER_HELD_MAX {
            let last = header.fields().last().map_or(0, |field| field.span.start);
            self.close(last, false, out);
        }
    }

    /// The content has ended.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) {
        if self.closing.is_some() {
            let header = scan(&self.head);
            let (end, body) = (header.octets().len(), header.body_at() < self.head.len());
            let bare = body && !header.has_empty_line();
            self.close(end, bare, out);
        }
    }

    /// Writes the closing lines at `at` in the head; `bare`: the body begins there without an empty line before it.
    fn close(&mut self, at: usize, bare: bool, out: &mut Vec<Bytes>) {
        let Some(mut closing) = self.closing.take() else { return };
        if bare {
            closing.push_str("\r\n");
        }
        let mut head = Bytes::from(std::mem::take(&mut self.head));
        let body = head.split_off(at);
        if at > 0 && !head.ends_with(b"\n") {
            closing.insert_str(0, "\r\n");
        }
        out.extend([head, Bytes::from(closing), body].into_iter().filter(|chunk| !chunk.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_is_the_most_that_drop_holds() {
        assert_eq!(admit(None, u64::MAX, u64::MAX), Ok(()));
        assert_eq!(admit(Some(100), 60, 40), Ok(()));
        let failure = admit(Some(100), 60, 41).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Quota);
        assert!(!failure.is_permanent());
        assert_eq!(failure.reply.unwrap().one_line(), "452 4.2.2 The Drop folder is over its quota");
        assert!(admit(Some(100), u64::MAX, 1).is_err());
    }
}
