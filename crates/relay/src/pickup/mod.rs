//! A file from the Pickup folder becomes envelope and content, or a reason why it cannot.
//!
//! The file is a message as RFC 5322 has it. Its envelope comes from the lines that it begins with,
//!
//! ```text
//! x-sender: app@example.com
//! x-receiver: alice@example.com          one line per recipient
//! x-receiver: bob@example.net
//! ```
//!
//! in whatever case (.NET writes `X-Sender`). Only lines before all others count; further down they are fields like any
//! other, so that a mail program's own `X-Sender` field changes nothing. Without x-receiver lines the recipients are the
//! addresses in To, Cc and Bcc; without an x-sender line the sender is the address in Sender, else the first one in From.
//! A bare local part gets the default domain. An address named twice gets one message.
//!
//! What changes on the way: x-sender and x-receiver lines and Bcc fields are taken out, Date and Message-ID are added if
//! they are missing, line ends become CRLF ([`Normalizer`]), an empty line separates header and body, and the trace line
//! goes on top. Nothing else: dots are text, long lines stay long, nothing is re-encoded.
//!
//! A file is sent to all its recipients or to none: one address that cannot be read puts it into Badmail with the reason
//! ([`Unreadable`]), because nobody would learn that the others got it and this one did not. The reason is also given for a
//! file without a From field, as the old service did.
//!
//! Works on chunks ([`Reader`]): the header is held, up to [`HEADER_MAX`], the body passes through. Nothing here opens
//! a file or knows whether it is complete; that is the daemon's `watch`. Whoever may write into the folder may relay.
//!
//! IIS: "Pickup", "Limit number of recipients per message"; RFC 5322 §3.6; threats: S10, L4, 2.9.

mod normalize;
mod unreadable;

pub use normalize::Normalizer;
pub use unreadable::{PICKUP_CODE, Unreadable};

use crate::config::VirtualServer;
use crate::envelope::{Envelope, Origin, QueueId, Recipient};
use crate::subject::subject;
use bytes::Bytes;
use smtp::address::{AddressError, Domain, Mailbox, Path, ReversePath};
use smtp::command::BodyKind;
use smtp::header::{Field, Header, addresses, missing, received_from_pickup, scan};
use smtp::reply::clean;
use smtp::time::Timestamp;
use std::collections::HashSet;

/// Octets that a file's header may have.
pub const HEADER_MAX: usize = 4 << 20;
/// Recipients that one file may have. Those above the limit per message go in further messages.
pub const RECIPIENTS_PER_FILE_MAX: usize = 50_000;

/// What the virtual server says about pickup files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Completes bare addresses.
    pub default_domain: Domain,
    /// Our name, for Received and Message-ID.
    pub fqdn: Domain,
    /// Octets of a message.
    pub size_max: Option<u64>,
    /// `Received` fields of a message.
    pub hop_count_max: u32,
}

impl Rules {
    /// As this virtual server has them.
    #[must_use]
    pub fn of(server: &VirtualServer) -> Rules {
        Rules {
            default_domain: server.default_domain.name.clone(),
            fqdn: server.delivery.fqdn.clone(),
            size_max: server.messages.size_max,
            hop_count_max: server.delivery.hop_count_max,
        }
    }

    /// May a file of this length hold a message within the limit? Asked before the file is read: one that is
    /// announced as 10 GB is not read to its end to find out.
    ///
    /// # Errors
    /// [`Unreadable::TooLarge`].
    pub fn admit(&self, file_len: u64) -> Result<(), Unreadable> {
        match self.size_max {
            // What is taken out of the file is header, so a message within the limit has at most so much more.
            Some(max) if file_len > max.saturating_add(HEADER_MAX as u64) => Err(Unreadable::TooLarge { max }),
            _ => Ok(()),
        }
    }
}

/// What a file's header says: whom it is for, and how it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Submission {
    /// The sender.
    pub sender: ReversePath,
    /// At least one, none twice.
    pub recipients: Vec<Mailbox>,
    /// An address has letters beyond ASCII, so that the message needs SMTPUTF8.
    pub utf8: bool,
    /// `TLS-Required: No`.
    pub waives_tls: bool,
    /// Its subject, as an envelope keeps it.
    pub subject: Option<Box<str>>,
    /// The header as it is sent, with the empty line behind it, without the trace line.
    pub header: Bytes,
    /// As much of the body as came with it.
    pub body: Bytes,
}

impl Submission {
    /// The envelope of the message that goes to these recipients.
    #[must_use]
    pub fn envelope(&self, recipients: &[Mailbox], file: &str, size: u64, body: BodyKind, now: Timestamp) -> Envelope {
        let recipients = recipients.iter().map(|address| Recipient::new(address.clone(), now)).collect();
        let envelope = Envelope::new(self.sender.clone(), recipients, Origin::Pickup { file: file.into() }, now);
        let (utf8, waives_tls, subject) = (self.utf8, self.waives_tls, self.subject.clone());
        Envelope { size, body, utf8, waives_tls, subject, ..envelope }
    }
}

/// The trace line that goes on top of each message made from a file.
#[must_use]
pub fn trace_line(rules: &Rules, id: QueueId, now: Timestamp) -> String {
    received_from_pickup(&rules.fqdn, &id, now)
}

/// Reads one file: chunks of it in; the submission, then chunks of the body out.
///
/// Call [`Reader::header`] until it gives the submission (or [`Reader::end_of_header`] if the file ends first), then
/// [`Reader::body`] for the rest of the file, then [`Reader::finish`]. After an error the reader is of no use. A clone made
/// behind the header reads the body once more.
#[derive(Clone, Debug)]
pub struct Reader<'r> {
    rules: &'r Rules,
    id: QueueId,
    now: Timestamp,
    normalizer: Normalizer,
    /// The file's beginning, with CRLF line ends, while the header may go on.
    head: Vec<u8>,
    /// How long `head` must be before it is worth looking for the header's end again.
    look_at: usize,
    /// Octets of the message that have been given out.
    size: u64,
}

impl<'r> Reader<'r> {
    /// A reader for a file whose (first) message will be `id`.
    #[must_use]
    pub fn new(rules: &'r Rules, id: QueueId, now: Timestamp) -> Reader<'r> {
        Reader { rules, id, now, normalizer: Normalizer::default(), head: Vec::new(), look_at: 0, size: 0 }
    }

    /// Takes the file's next chunk. `Some` once the header is there as a whole.
    ///
    /// # Errors
    /// The file cannot be sent.
    pub fn header(&mut self, chunk: Bytes) -> Result<Option<Submission>, Unreadable> {
        let chunk = self.normalizer.next(chunk)?;
        self.head.extend_from_slice(&chunk);
        if self.head.len() < self.look_at {
            return Ok(None);
        }
        // Looked at again when it has doubled, so that a long header in small chunks costs no square of its length.
        self.look_at = (self.head.len() * 2).min(HEADER_MAX);
        let header = scan(&self.head);
        let held = if header.is_complete() { header.octets().len() } else { self.head.len() };
        match held {
            _ if held > HEADER_MAX => Err(Unreadable::HeaderTooLong),
            _ if header.is_complete() => self.submission().map(Some),
            _ => Ok(None),
        }
    }

    /// The file has ended before [`Reader::header`] gave the submission: it is all header.
    ///
    /// # Errors
    /// The file cannot be sent.
    pub fn end_of_header(&mut self) -> Result<Submission, Unreadable> {
        self.head.extend_from_slice(&self.normalizer.finish()?);
        if self.head.is_empty() {
            return Err(Unreadable::Empty);
        }
        if scan(&self.head).octets().len() > HEADER_MAX {
            return Err(Unreadable::HeaderTooLong);
        }
        self.submission()
    }

    /// Takes a further chunk of the file, gives the same of the body.
    ///
    /// # Errors
    /// The file cannot be sent.
    pub fn body(&mut self, chunk: Bytes) -> Result<Bytes, Unreadable> {
        let chunk = self.normalizer.next(chunk)?;
        self.count(chunk.len())?;
        Ok(chunk)
    }

    /// The file has ended: what is still to send.
    ///
    /// # Errors
    /// The file cannot be sent.
    pub fn finish(&mut self) -> Result<Bytes, Unreadable> {
        let chunk = self.normalizer.finish()?;
        self.count(chunk.len())?;
        Ok(chunk)
    }

    /// What the message holds; true once the file has been read to its end.
    #[must_use]
    pub fn body_kind(&self) -> BodyKind {
        if self.normalizer.eight_bit() { BodyKind::EightBitMime } else { BodyKind::SevenBit }
    }

    /// Reads the held header, whose end is known.
    fn submission(&mut self) -> Result<Submission, Unreadable> {
        let head = std::mem::take(&mut self.head);
        let header = scan(&head);
        let body = Bytes::copy_from_slice(&head[header.body_at()..]);
        if header.octets().is_empty() {
            return Err(if head.iter().all(u8::is_ascii_whitespace) {
                Unreadable::Empty
            } else {
                Unreadable::NoHeader
            });
        }
        let hops = u32::try_from(header.count_hops()).unwrap_or(u32::MAX);
        if hops > self.rules.hop_count_max {
            return Err(Unreadable::TooManyHops { hops, max: self.rules.hop_count_max });
        }
        let (sender, recipients) = envelope_of(&header, &self.rules.default_domain)?;
        let utf8 = needs_utf8(&header, &sender, &recipients, &self.rules.default_domain);
        let waives_tls = header.waives_tls();
        let subject = subject(&header);
        let header = self.rewrite(&header);
        self.count(header.len())?;
        self.count(body.len())?;
        Ok(Submission { sender, recipients, utf8, waives_tls, subject, header, body })
    }

    fn rewrite(&self, header: &Header<'_>) -> Bytes {
        let envelope_end = envelope_fields(header).last().map_or(0, |field| field.span.end);
        let rest = &header.octets()[envelope_end..];
        let rest = scan(rest);
        let mut out = Vec::with_capacity(rest.octets().len() + 128);
        for run in rest.without(&["Bcc", "Resent-Bcc"]) {
            out.extend_from_slice(run);
        }
        // Behind the others, so that trace lines which the file may have already stay together on top.
        out.extend(missing(&rest, &self.rules.fqdn, &self.id, self.now).into_bytes());
        out.extend_from_slice(b"\r\n");
        out.into()
    }

    fn count(&mut self, octets: usize) -> Result<(), Unreadable> {
        self.size += octets as u64;
        match self.rules.size_max {
            Some(max) if self.size > max => Err(Unreadable::TooLarge { max }),
            _ => Ok(()),
        }
    }
}

/// The x-sender and x-receiver lines that the header begins with.
fn envelope_fields<'a>(header: &Header<'a>) -> impl Iterator<Item = Field<'a>> {
    header.fields().take_while(|field| field.is("x-sender") || field.is("x-receiver"))
}

/// Who sends it to whom.
fn envelope_of(header: &Header<'_>, default: &Domain) -> Result<(ReversePath, Vec<Mailbox>), Unreadable> {
    // Required whatever the x-sender line says: the old service put a file without it into Badmail at once.
    let from = header.first("From").ok_or(Unreadable::NoFrom)?;
    let mut recipients = Recipients::new(default);
    let mut sender = None;
    let mut named = false;
    for field in envelope_fields(header) {
        if field.is("x-receiver") {
            named = true;
            recipients.add(&field)?;
        } else {
            sender = Some(sender_of(&field, default)?);
        }
    }
    let says_something = |field: &Field<'_>| !field.value.trim_ascii().is_empty();
    let sender = match (sender, header.first("Sender").filter(says_something)) {
        (Some(sender), _) => sender,
        (None, Some(field)) => sender_of(&field, default)?,
        (None, None) => sender_of(&from, default)?,
    };
    if !named {
        for field in header.fields().filter(|field| ["To", "Cc", "Bcc"].iter().any(|name| field.is(name))) {
            recipients.add(&field)?;
        }
    }
    if recipients.list.is_empty() { Err(Unreadable::NoRecipients) } else { Ok((sender, recipients.list)) }
}

/// The sender that a field names: its first address, or nobody if it says `<>`.
fn sender_of(field: &Field<'_>, default: &Domain) -> Result<ReversePath, Unreadable> {
    if field.value.trim_ascii() == b"<>" {
        return Ok(ReversePath::Null);
    }
    let found = addresses(field.value, 1);
    if let Some(path) = found.paths.into_iter().next() {
        return Ok(ReversePath::Mailbox(path.complete(default)));
    }
    Err(found.bad.first().map_or(Unreadable::NoSender, |bad| bad_address(field, bad)))
}

/// The recipients found so far.
struct Recipients<'d> {
    default: &'d Domain,
    list: Vec<Mailbox>,
    seen: HashSet<Mailbox>,
}

impl<'d> Recipients<'d> {
    fn new(default: &'d Domain) -> Recipients<'d> {
        Recipients { default, list: Vec::new(), seen: HashSet::new() }
    }

    fn add(&mut self, field: &Field<'_>) -> Result<(), Unreadable> {
        let found = addresses(field.value, RECIPIENTS_PER_FILE_MAX);
        if let Some(bad) = found.bad.first() {
            return Err(bad_address(field, bad));
        }
        for path in found.paths {
            let mailbox = path.complete(self.default);
            if self.seen.insert(mailbox.clone()) {
                self.list.push(mailbox);
            }
        }
        if found.more || self.list.len() > RECIPIENTS_PER_FILE_MAX {
            Err(Unreadable::TooManyRecipients)
        } else {
            Ok(())
        }
    }
}

fn bad_address(field: &Field<'_>, address: &str) -> Unreadable {
    let error = Path::parse(address).err().unwrap_or(AddressError::LocalPart);
    Unreadable::BadAddress { field: clean(field.name).into(), address: address.into(), error }
}

/// Does an address, in the envelope or in the header, have letters beyond ASCII? Other fields in UTF-8 do not make it so:
/// programs that write them have never heard of SMTPUTF8, and few hosts have it.
fn needs_utf8(header: &Header<'_>, sender: &ReversePath, recipients: &[Mailbox], default: &Domain) -> bool {
    let sender = match sender {
        ReversePath::Null => true,
        ReversePath::Mailbox(mailbox) => mailbox.is_ascii(),
    };
    if !sender || !recipients.iter().all(Mailbox::is_ascii) {
        return true;
    }
    let address_fields = ["From", "Sender", "Reply-To", "To", "Cc"];
    header
        .fields()
        .filter(|field| !field.value.is_ascii() && address_fields.iter().any(|name| field.is(name)))
        .flat_map(|field| addresses(field.value, RECIPIENTS_PER_FILE_MAX).paths)
        .any(|path| !path.complete(default).is_ascii())
}
