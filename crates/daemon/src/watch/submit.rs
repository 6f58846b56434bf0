//! Claimed pickup files become accepted messages: read, normalised, handed to the store.
//!
//! Small files are read whole and committed together, so that one sync of the journal serves many of them; a large file is
//! streamed, one at a time. A file with more recipients than a message may have becomes several messages, accepted one
//! after the other ([`super::claim`]). If a file turns out to have been written to while it was read, nothing of it is
//! accepted.
//!
//! Removes nothing and decides nothing about a file: [`super`] does, by the [`Fate`] that is told here.

use super::claim::Claim;
use super::pickup_folder::Taken;
use crate::clock::Clock;
use crate::log::Log;
use crate::store::{Incoming, Store};
use bytes::Bytes;
use relay::config::VirtualServer;
use relay::envelope::{Envelope, QueueId};
use relay::pickup::{Reader, Rules, Submission, Unreadable, trace_line};
use relay::record::Record;
use relay::spool::Receipt;
use smtp::address::Mailbox;
use smtp::command::BodyKind;
use smtp::reply::Reply;
use smtp::time::Timestamp;
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A file up to this is read whole.
pub(crate) const SMALL_MAX: u64 = 256 << 10;
/// Octets of a larger one that are read at a time.
const PIECE: usize = 256 << 10;

/// What came of a claimed file.
#[derive(Debug)]
pub(crate) enum Fate {
    /// All its messages are accepted.
    Accepted,
    /// Somebody has written to it meanwhile: it is not complete.
    Changed,
    /// It is no message.
    Unreadable(Unreadable),
    /// The store takes nothing now.
    Refused(Reply),
    /// It cannot be read now.
    Io(io::Error),
    /// The service is stopping.
    Stopping,
}

impl From<Unreadable> for Fate {
    fn from(why: Unreadable) -> Fate {
        Fate::Unreadable(why)
    }
}

impl From<io::Error> for Fate {
    fn from(e: io::Error) -> Fate {
        Fate::Io(e)
    }
}

/// Hands files in.
pub(crate) struct Submitter {
    store: Store,
    rules: Arc<Rules>,
    recipients_max: usize,
    clock: Clock,
    log: Log,
    runtime: Handle,
    stopping: Arc<AtomicBool>,
    /// Messages accepted in this life whose file is not yet removed.
    accepted: HashSet<QueueId>,
}

/// A commit under way.
type Pending = JoinHandle<Result<Receipt, Reply>>;

/// Where a file stands after the first round.
enum Begun {
    Done(Fate),
    Pending(Pending, Box<Envelope>),
}

impl Submitter {
    pub fn new(
        server: &VirtualServer,
        store: Store,
        clock: Clock,
        log: Log,
        runtime: Handle,
        stopping: Arc<AtomicBool>,
    ) -> Submitter {
        let (rules, recipients_max) = (Arc::new(Rules::of(server)), recipients_max(server));
        Submitter { store, rules, recipients_max, clock, log, runtime, stopping, accepted: HashSet::new() }
    }

    /// Another configuration holds from now on.
    pub fn configure(&mut self, server: &VirtualServer) {
        self.rules = Arc::new(Rules::of(server));
        self.recipients_max = recipients_max(server);
    }

    /// The id for a file's message.
    pub fn begin(&self) -> Result<QueueId, Reply> {
        self.store.begin()
    }

    /// How many of the claim's messages have been accepted, in this life or the one before.
    pub fn accepted(&self, claim: &Claim) -> u32 {
        claim.accepted(|id| self.accepted.contains(&id) || self.store.knows(id))
    }

    /// The claimed file is gone: its ids will not be asked for again.
    pub fn forget(&mut self, claim: &Claim) {
        for n in 0..claim.messages {
            self.accepted.remove(&claim.message(n));
        }
    }

    /// Hands all files in; says what came of each, in order.
    pub fn submit(&mut self, batch: &mut [Taken]) -> Vec<Fate> {
        let begun: Vec<Begun> = batch.iter_mut().map(|taken| self.begin_one(taken)).collect();
        let mut fates = Vec::with_capacity(begun.len());
        for (begun, taken) in begun.into_iter().zip(batch) {
            fates.push(match begun {
                Begun::Done(fate) => fate,
                Begun::Pending(commit, envelope) => match self.runtime.block_on(commit) {
                    Ok(Ok(receipt)) => {
                        self.note(receipt, &envelope);
                        Fate::Accepted
                    }
                    Ok(Err(reply)) => Fate::Refused(reply),
                    Err(e) => Fate::Io(io::Error::other(format!("{}: {e}", taken.claim.id))),
                },
            });
        }
        fates
    }

    fn begin_one(&mut self, taken: &mut Taken) -> Begun {
        let small = taken.look.size <= SMALL_MAX;
        let begun = if small { self.submit_small(taken) } else { self.submit_large(taken).map(|()| None) };
        match begun {
            Ok(Some((commit, envelope))) => Begun::Pending(commit, envelope),
            Ok(None) => Begun::Done(Fate::Accepted),
            Err(fate) => Begun::Done(fate),
        }
    }

    /// Reads the file whole; begins the commit of its one message, or carries out those of its many.
    fn submit_small(&mut self, taken: &mut Taken) -> Result<Option<(Pending, Box<Envelope>)>, Fate> {
        if self.is_stopping() {
            return Err(Fate::Stopping);
        }
        let now = self.clock.now();
        let message = Message::read(taken, &self.rules, now)?;
        self.split(taken, &message.submission)?;
        let shares = shares(&taken.claim, &message.submission.recipients);
        if let [share] = shares[..] {
            let (content, envelope) = message.of(share, taken.claim.id, taken, &self.rules, now);
            let commit = accept(self.store.clone(), taken.claim.id, content, envelope.clone());
            return Ok(Some((self.runtime.spawn(commit), Box::new(envelope))));
        }
        for (n, share) in (0..).zip(shares) {
            let id = taken.claim.message(n);
            if self.is_accepted(id)? {
                continue;
            }
            let (content, envelope) = message.of(share, id, taken, &self.rules, now);
            let commit = accept(self.store.clone(), id, content, envelope.clone());
            let receipt = self.runtime.block_on(commit).map_err(Fate::Refused)?;
            self.note(receipt, &envelope);
        }
        Ok(None)
    }

    /// Streams the file, once for each of its messages.
    fn submit_large(&mut self, taken: &mut Taken) -> Result<(), Fate> {
        self.rules.admit(taken.look.size)?;
        let now = self.clock.now();
        let rules = Arc::clone(&self.rules);
        let (submission, stream) = Stream::open(taken, &rules, now)?;
        self.split(taken, &submission)?;
        for (n, share) in (0..).zip(shares(&taken.claim, &submission.recipients)) {
            let id = taken.claim.message(n);
            if self.is_accepted(id)? {
                continue;
            }
            let incoming = self.store.incoming(id);
            let streamed = stream.clone().pour(&submission, taken, share, incoming, &self.stopping);
            let (incoming, envelope) = match self.runtime.block_on(streamed) {
                // Some have got it already: it cannot go back as if nobody had. It is read again later.
                Err(Fate::Changed) if n > 0 || taken.claim.done > 0 => {
                    let file = taken.claim.shown();
                    return Err(io::Error::other(format!("{file} was written to while it was sent")).into());
                }
                streamed => streamed?,
            };
            let commit = self.store.commit(incoming, envelope.clone());
            let receipt = self.runtime.block_on(commit).map_err(Fate::Refused)?;
            self.note(receipt, &envelope);
        }
        Ok(())
    }

    /// If the file becomes several messages, claims it anew with ids for all of them.
    fn split(&self, taken: &mut Taken, submission: &Submission) -> Result<(), Fate> {
        let todo = submission.recipients.len().saturating_sub(taken.claim.done as usize);
        let messages = u32::try_from(todo.div_ceil(self.recipients_max)).unwrap_or(u32::MAX);
        if messages <= 1 {
            return Ok(());
        }
        let id = self.store.begin_many(messages).map_err(Fate::Refused)?;
        let share = u32::try_from(self.recipients_max).unwrap_or(u32::MAX);
        let claim = Claim { id, messages, share, ..taken.claim.clone() };
        Ok(taken.claim_as(claim)?)
    }

    fn is_accepted(&self, id: QueueId) -> Result<bool, Fate> {
        if self.is_stopping() { Err(Fate::Stopping) } else { Ok(self.accepted.contains(&id)) }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// A message is accepted.
    #[allow(clippy::needless_pass_by_value, reason = "a receipt is used up")]
    fn note(&mut self, receipt: Receipt, envelope: &Envelope) {
        let id = receipt.queue_id();
        self.accepted.insert(id);
        if let Some(record) = Record::accepted(id, envelope) {
            self.log.write(&record);
        }
    }
}

fn recipients_max(server: &VirtualServer) -> usize {
    usize::try_from(server.messages.recipients_max).unwrap_or(usize::MAX).max(1)
}

/// The recipients that each of the claim's messages goes to.
fn shares<'s>(claim: &Claim, recipients: &'s [Mailbox]) -> Vec<&'s [Mailbox]> {
    let todo = recipients.get(claim.done as usize..).unwrap_or_default();
    match claim.share as usize {
        0 if todo.is_empty() => Vec::new(),
        0 => vec![todo],
        share => todo.chunks(share).collect(),
    }
}

async fn accept(store: Store, id: QueueId, content: Vec<Bytes>, envelope: Envelope) -> Result<Receipt, Reply> {
    let mut incoming = store.incoming(id);
    for chunk in content {
        incoming.append(chunk).await?;
    }
    store.commit(incoming, envelope).await
}

/// A small file, read.
struct Message {
    submission: Submission,
    body: Vec<Bytes>,
    kind: BodyKind,
}

impl Message {
    fn read(taken: &Taken, rules: &Rules, now: Timestamp) -> Result<Message, Fate> {
        let size = usize::try_from(taken.look.size).map_err(io::Error::other)?;
        let mut octets = vec![0; size];
        if !fill(&taken.file, 0, &mut octets)? || !taken.is_unchanged()? {
            return Err(Fate::Changed);
        }
        let mut reader = Reader::new(rules, taken.claim.id, now);
        let mut body = Vec::new();
        let submission = match reader.header(octets.into())? {
            Some(submission) => {
                body.push(submission.body.clone());
                body.push(reader.finish()?);
                submission
            }
            None => {
                let submission = reader.end_of_header()?;
                body.push(submission.body.clone());
                submission
            }
        };
        Ok(Message { submission, body, kind: reader.body_kind() })
    }

    /// Content and envelope of the message that goes to this share of the recipients.
    fn of(
        &self,
        share: &[Mailbox],
        id: QueueId,
        taken: &Taken,
        rules: &Rules,
        now: Timestamp,
    ) -> (Vec<Bytes>, Envelope) {
        let mut content = vec![trace_line(rules, id, now).into(), self.submission.header.clone()];
        content.extend(self.body.iter().cloned());
        let size = content.iter().map(|chunk| chunk.len() as u64).sum();
        (content, self.submission.envelope(share, &taken.claim.shown(), size, self.kind, now))
    }
}

/// A large file, its header read: a clone reads the rest once more.
#[derive(Clone)]
struct Stream<'r> {
    rules: &'r Rules,
    now: Timestamp,
    reader: Reader<'r>,
    /// Octets of the file that have been read.
    at: u64,
    /// The file has been read to its end already.
    ended: bool,
}

impl<'r> Stream<'r> {
    fn open(taken: &Taken, rules: &'r Rules, now: Timestamp) -> Result<(Submission, Stream<'r>), Fate> {
        let mut reader = Reader::new(rules, taken.claim.id, now);
        let mut at = 0;
        loop {
            let piece = next_piece(taken, &mut at)?;
            let ended = piece.is_empty();
            let submission = if ended { Some(reader.end_of_header()?) } else { reader.header(piece)? };
            if let Some(submission) = submission {
                return Ok((submission, Stream { rules, now, reader, at, ended }));
            }
        }
    }

    /// Pours the message for this share of the recipients into `incoming`.
    async fn pour(
        mut self,
        submission: &Submission,
        taken: &Taken,
        share: &[Mailbox],
        mut incoming: Incoming,
        stopping: &AtomicBool,
    ) -> Result<(Incoming, Envelope), Fate> {
        let trace = trace_line(self.rules, incoming.id(), self.now).into();
        for chunk in [trace, submission.header.clone(), submission.body.clone()] {
            incoming.append(chunk).await.map_err(Fate::Refused)?;
        }
        while !self.ended {
            if stopping.load(Ordering::Relaxed) {
                return Err(Fate::Stopping);
            }
            let piece = next_piece(taken, &mut self.at)?;
            self.ended = piece.is_empty();
            let chunk = if self.ended { self.reader.finish()? } else { self.reader.body(piece)? };
            incoming.append(chunk).await.map_err(Fate::Refused)?;
        }
        if self.at != taken.look.size || !taken.is_unchanged()? {
            return Err(Fate::Changed);
        }
        let kind = self.reader.body_kind();
        let envelope = submission.envelope(share, &taken.claim.shown(), incoming.len(), kind, self.now);
        Ok((incoming, envelope))
    }
}

/// The file's next octets; none at the end that it had when it was taken.
fn next_piece(taken: &Taken, at: &mut u64) -> Result<Bytes, Fate> {
    let left = usize::try_from(taken.look.size.saturating_sub(*at)).unwrap_or(PIECE);
    let mut octets = vec![0; left.min(PIECE)];
    if !fill(&taken.file, *at, &mut octets)? {
        return Err(Fate::Changed);
    }
    *at += octets.len() as u64;
    Ok(octets.into())
}

/// Reads until `into` is full; `false` if the file has become shorter than it was.
fn fill(file: &std::fs::File, at: u64, into: &mut [u8]) -> io::Result<bool> {
    match file.read_exact_at(into, at) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
