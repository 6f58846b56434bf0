//! A message from Badmail is put into the queue again: committed first, removed after.
//!
//! Whatever goes wrong before the message is durable leaves it in Badmail, as it was. If it cannot be removed afterwards, or the
//! service dies in between, it is in both places, and the operator is told: once more rather than not at all.
//!
//! Who gets it is decided in [`relay::badmail::resend`].

use super::shelf::{Shelf, beginning};
use crate::service::Site;
use crate::store::{Incoming, Store};
use bytes::Bytes;
use relay::badmail::{ENVELOPE_LINES_MAX, Resend, resend};
use relay::envelope::{Envelope, Origin, QueueId, Recipient};
use relay::pickup::{Normalizer, Reader, Rules, Submission, trace_line};
use relay::record::Record;
use relay::subject::subject;
use smtp::address::{Mailbox, ReversePath};
use smtp::command::BodyKind;
use smtp::header::scan;
use smtp::reply::Reply;
use smtp::time::Timestamp;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use tokio::runtime::Handle;

/// Octets that are read at a time.
const PIECE: usize = 256 << 10;

/// What came of it.
pub(super) struct Requeued {
    /// Its id in the queue.
    pub id: QueueId,
    /// It lies in Badmail all the same; why.
    pub left: Option<String>,
}

/// Puts it into the queue again. Waits for the disk.
pub(super) fn requeue(shelf: &Shelf, name: &str, site: &Site, now: Timestamp) -> Result<Requeued, String> {
    let store = site.store.as_ref().ok_or("the virtual server does not run, so its queue takes nothing")?;
    let (file, look) = shelf.open_message(name).map_err(|fault| fault.to_string())?;
    let head = beginning(&file, ENVELOPE_LINES_MAX + 1).map_err(unread)?;
    let properties = shelf.properties(name).map_err(|fault| fault.to_string())?;
    let resend = resend(properties.as_ref(), &head).map_err(|fault| fault.to_string())?;
    let id = store.begin().map_err(not_taken)?;
    let origin = format!("Badmail/{name}.BAD");
    let source = Source { file: &file, at: 0, end: look.size };
    let (incoming, envelope) = match resend {
        Resend::AsItWas { sender, recipients, content_at } => {
            let utf8 = needs_utf8(&sender, &recipients, &head[content_at..]);
            let source = Source { at: content_at as u64, ..source };
            let (incoming, kind) = as_it_was(store, id, source)?;
            // As when it came: a second field may stand behind what was looked at, and then nothing was said.
            let header = scan(&head[content_at..]);
            let waives_tls = header.is_complete() && header.waives_tls();
            let subject = subject(&header);
            let require_tls = properties.is_some_and(|properties| properties.require_tls);
            let recipients = recipients.into_iter().map(|address| Recipient::new(address, now)).collect();
            let envelope = Envelope::new(sender, recipients, Origin::Pickup { file: origin.into() }, now);
            let envelope = Envelope { body: kind, utf8, require_tls, waives_tls, subject, ..envelope };
            (incoming, envelope)
        }
        Resend::AsPickup => as_pickup(store, id, source, site, &origin, now)?,
    };
    let (from, recipients) = (envelope.sender.clone(), envelope.recipients.len());
    let receipt = Handle::current().block_on(store.commit(incoming, envelope)).map_err(not_taken)?;
    let id = receipt.queue_id();
    site.log.write(&Record::Requeued { id, file: name.into(), from, recipients });
    let removed = shelf.remove(name).map_err(|fault| fault.to_string());
    let removed = removed.and_then(|()| shelf.folder().sync_names().map_err(|error| error.to_string()));
    Ok(Requeued { id, left: removed.err() })
}

fn as_it_was(store: &Store, id: QueueId, mut source: Source<'_>) -> Result<(Incoming, BodyKind), String> {
    let mut incoming = store.incoming(id);
    // What was accepted has its line ends in order; what somebody has edited may not have.
    let mut normalizer = Normalizer::default();
    while let Some(piece) = source.next().map_err(unread)? {
        append(&mut incoming, normalizer.next(piece).map_err(|why| why.to_string())?)?;
    }
    append(&mut incoming, normalizer.finish().map_err(|why| why.to_string())?)?;
    let kind = if normalizer.eight_bit() { BodyKind::EightBitMime } else { BodyKind::SevenBit };
    Ok((incoming, kind))
}

fn as_pickup(
    store: &Store,
    id: QueueId,
    mut source: Source<'_>,
    site: &Site,
    origin: &str,
    now: Timestamp,
) -> Result<(Incoming, Envelope), String> {
    let rules = Rules::of(&site.server);
    rules.admit(source.end).map_err(|why| why.to_string())?;
    let mut incoming = store.incoming(id);
    let mut reader = Reader::new(&rules, id, now);
    let submission: Submission = loop {
        let read = match source.next().map_err(unread)? {
            Some(piece) => reader.header(piece),
            None => reader.end_of_header().map(Some),
        };
        if let Some(submission) = read.map_err(|why| why.to_string())? {
            break submission;
        }
    };
    for chunk in [trace_line(&rules, id, now).into(), submission.header.clone(), submission.body.clone()] {
        append(&mut incoming, chunk)?;
    }
    while let Some(piece) = source.next().map_err(unread)? {
        append(&mut incoming, reader.body(piece).map_err(|why| why.to_string())?)?;
    }
    append(&mut incoming, reader.finish().map_err(|why| why.to_string())?)?;
    let envelope = submission.envelope(&submission.recipients, origin, incoming.len(), reader.body_kind(), now);
    Ok((incoming, envelope))
}

fn needs_utf8(sender: &ReversePath, recipients: &[Mailbox], content: &[u8]) -> bool {
    let sender = matches!(sender, ReversePath::Mailbox(mailbox) if !mailbox.is_ascii());
    sender || recipients.iter().any(|to| !to.is_ascii()) || !scan(content).is_ascii()
}

fn append(incoming: &mut Incoming, chunk: Bytes) -> Result<(), String> {
    Handle::current().block_on(incoming.append(chunk)).map_err(not_taken)
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn not_taken(reply: Reply) -> String {
    format!("the queue does not take it: {}", reply.one_line())
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unread(error: io::Error) -> String {
    format!("it cannot be read: {error}")
}

/// A file, piece by piece, to the end that it had when it was opened.
struct Source<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl Source<'_> {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(PIECE).min(PIECE);
        if left == 0 {
            return Ok(None);
        }
        let mut octets = vec![0; left];
        self.file.read_exact_at(&mut octets, self.at)?;
        self.at += left as u64;
        Ok(Some(octets.into()))
    }
}
