//! An archive is carried into a queue, message by message, as it comes.
//!
//! An envelope and its content are two files next to each other; whichever comes first waits for the other. Line ends that an editor
//! has changed are put right, as for Pickup; what may not be in a message keeps it out. Several commits are under way at a time, so
//! that they share syncs; only what is durable counts.

use super::ledger::Ledger;
use super::{ImportWishes, Pieces};
use crate::control::queue::no_answer;
use crate::control::{Control, Fault};
use crate::log::Log;
use crate::store::{Incoming, Store};
use bytes::Bytes;
use relay::admin::archive::{ARCHIVED_ENVELOPE_MAX, Item, Part, Reader, member};
use relay::admin::transfer::imported;
use relay::admin::view::Outcome;
use relay::envelope::{Envelope, QueueId};
use relay::pickup::Normalizer;
use relay::queue::ask::{Answer, Ask};
use relay::record::Record;
use smtp::command::BodyKind;
use smtp::reply::Reply;
use std::collections::HashSet;
use tokio::task::{JoinError, JoinSet};

/// Troubles that the outcome tells one by one.
pub const IMPORT_TROUBLES_MAX: usize = 100;
/// Commits under way at a time.
const COMMITS: usize = 64;

/// Carries the archive in.
pub(super) async fn run(
    control: &Control,
    server: &str,
    wishes: ImportWishes,
    mut archive: Pieces,
) -> Result<Outcome, Fault> {
    let site = control.site(server).await?;
    let stopped = || Fault::Unavailable("the virtual server does not run, so its queue takes nothing".into());
    let store = site.store.clone().ok_or_else(stopped)?;
    let (_turn, ledger) = control.import_turn(&site).await?;
    let mut import = Import {
        control,
        server,
        wishes,
        store,
        log: site.log,
        ledger,
        handed: HashSet::new(),
        file: File::Other,
        half: None,
        skip: None,
        commits: JoinSet::new(),
        tally: Tally::default(),
    };
    let mut reader = Reader::default();
    let broken = loop {
        let piece = match archive.recv().await {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => break Some(format!("the archive breaks off: {error}")),
            None => break reader.finish().err().map(|damage| damage.to_string()),
        };
        reader.feed(&piece);
        if let Err(why) = import.take(&mut reader).await {
            break Some(why);
        }
    };
    import.finish(broken).await
}

/// The file that is being read.
enum File {
    Envelope(QueueId, Vec<u8>),
    Content(QueueId, Box<Receiving>),
    /// Nothing to do with it.
    Other,
}

/// A message's content that is being read.
struct Receiving {
    incoming: Incoming,
    /// `None`: any octets are right (BINARYMIME).
    normalizer: Option<Normalizer>,
    /// What keeps it out.
    fault: Option<String>,
}

/// One of the two files of a message, waiting for the other.
enum Half {
    Envelope(QueueId, Box<Envelope>),
    Content(QueueId, Box<Receiving>),
}

/// The id that it had, and what came of it.
type Committed = (QueueId, Result<QueueId, Reply>);

struct Import<'a> {
    control: &'a Control,
    server: &'a str,
    wishes: ImportWishes,
    store: Store,
    log: Log,
    ledger: Ledger,
    /// Those of this archive that were handed to the queue: the ledger knows them only later.
    handed: HashSet<QueueId>,
    file: File,
    half: Option<Half>,
    /// Neither file of this message is taken.
    skip: Option<QueueId>,
    commits: JoinSet<Committed>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    done: u64,
    skipped: u64,
    failed: u64,
    troubles: Vec<String>,
}

impl Tally {
    fn trouble(&mut self, text: String) {
        if self.troubles.len() < IMPORT_TROUBLES_MAX {
            self.troubles.push(text);
        }
    }

    fn failed(&mut self, id: QueueId, why: impl std::fmt::Display) {
        self.failed += 1;
        self.trouble(format!("{id}: {why}"));
    }
}

impl Import<'_> {
    /// Takes what the reader has.
    async fn take(&mut self, reader: &mut Reader) -> Result<(), String> {
        while let Some(item) = reader.item().map_err(|damage| damage.to_string())? {
            match item {
                Item::Begin { name, size } => self.begin(&name, size).await?,
                Item::Data(data) => self.data(data).await,
                Item::End => self.end().await,
            }
        }
        Ok(())
    }

    async fn begin(&mut self, name: &str, size: u64) -> Result<(), String> {
        self.file = File::Other;
        let Some((id, part)) = member(name) else { return Ok(()) };
        if self.skip == Some(id) {
            return Ok(());
        }
        let belongs = match &self.half {
            Some(Half::Envelope(other, _) | Half::Content(other, _)) => *other == id,
            None => false,
        };
        if !belongs {
            self.alone();
            if let Some(why) = self.known(id).await.map_err(|fault| fault.to_string())? {
                self.tally.skipped += 1;
                self.tally.trouble(format!("{id}: {why}"));
                self.skip = Some(id);
                return Ok(());
            }
        }
        match part {
            Part::Envelope if size > ARCHIVED_ENVELOPE_MAX => {
                self.tally.failed(id, "its envelope is too long to be one");
                (self.skip, self.half) = (Some(id), None);
            }
            Part::Envelope => self.file = File::Envelope(id, Vec::new()),
            Part::Content => {
                let new = self.store.begin();
                let new = new.map_err(|reply| format!("the queue takes nothing more: {}", reply.one_line()))?;
                let binary = matches!(&self.half, Some(Half::Envelope(_, it)) if it.body == BodyKind::BinaryMime);
                let normalizer = (!binary).then(Normalizer::default);
                let receiving = Receiving { incoming: self.store.incoming(new), normalizer, fault: None };
                self.file = File::Content(id, Box::new(receiving));
            }
        }
        Ok(())
    }

    async fn data(&mut self, data: Bytes) {
        match &mut self.file {
            File::Envelope(_, text) => text.extend_from_slice(&data),
            File::Content(_, receiving) => receiving.take(data).await,
            File::Other => {}
        }
    }

    async fn end(&mut self) {
        let half = match std::mem::replace(&mut self.file, File::Other) {
            File::Other => return,
            File::Envelope(id, text) => match std::str::from_utf8(&text).map(Envelope::parse) {
                Ok(Ok(envelope)) => Half::Envelope(id, Box::new(envelope)),
                Ok(Err(why)) => return self.fail(id, &why.to_string()),
                Err(_) => return self.fail(id, "its envelope is no text"),
            },
            File::Content(id, mut receiving) => {
                receiving.end().await;
                if let Some(why) = receiving.fault.take() {
                    return self.fail(id, &why);
                }
                Half::Content(id, receiving)
            }
        };
        match (self.half.take(), half) {
            (Some(Half::Envelope(id, envelope)), Half::Content(_, receiving))
            | (Some(Half::Content(id, receiving)), Half::Envelope(_, envelope)) => {
                self.commit(id, *envelope, *receiving).await;
            }
            (_, half) => self.half = Some(half),
        }
    }

    fn fail(&mut self, id: QueueId, why: &str) {
        self.tally.failed(id, why);
        (self.skip, self.half) = (Some(id), None);
    }

    /// Is it here, or was it? Why it is not taken. If the queue does not say, nothing more may be taken.
    async fn known(&self, id: QueueId) -> Result<Option<String>, Fault> {
        if self.handed.contains(&id) {
            return Ok(Some("it is in this archive twice".into()));
        }
        if self.wishes.again {
            return Ok(None);
        }
        if let Some(new) = self.ledger.before(id) {
            return Ok(Some(format!("it was carried in before, as {new}; --again carries it in once more")));
        }
        // A virtual server that is not found is no queue that has not got it.
        match self.control.ask(self.server, Ask::Message(id)).await? {
            Answer::Message(None) => Ok(None),
            Answer::Message(Some(_)) => Ok(Some("it is in this queue; --again makes a second one of it".to_owned())),
            other => Err(no_answer(&other)),
        }
    }

    /// What waits for its other half waits in vain.
    fn alone(&mut self) {
        match self.half.take() {
            Some(Half::Envelope(id, _)) => self.tally.failed(id, "its .eml is not next to its .env"),
            Some(Half::Content(id, _)) => self.tally.failed(id, "its .env is not next to its .eml"),
            None => {}
        }
    }

    async fn commit(&mut self, old: QueueId, envelope: Envelope, receiving: Receiving) {
        let Some(mut envelope) = imported(envelope, self.wishes.hold, self.control.now()) else {
            self.tally.skipped += 1;
            self.tally.trouble(format!("{old}: all its recipients are served"));
            return;
        };
        let eight_bit = receiving.normalizer.as_ref().is_some_and(Normalizer::eight_bit);
        if eight_bit && envelope.body == BodyKind::SevenBit {
            envelope.body = BodyKind::EightBitMime;
        }
        while let Some(ended) = self.commits.try_join_next() {
            self.settled(ended);
        }
        while self.commits.len() >= COMMITS {
            self.settle().await;
        }
        self.handed.insert(old);
        let (store, log) = (self.store.clone(), self.log.clone());
        self.commits.spawn(async move {
            let (from, recipients) = (envelope.sender.clone(), envelope.recipients.len());
            let committed = store.commit(receiving.incoming, envelope).await;
            let new = committed.map(|receipt| {
                let id = receipt.queue_id();
                log.write(&Record::Imported { id, was: old, from, recipients });
                id
            });
            (old, new)
        });
    }

    /// Waits until one of the commits has come to its end.
    async fn settle(&mut self) {
        if let Some(ended) = self.commits.join_next().await {
            self.settled(ended);
        }
    }

    fn settled(&mut self, ended: Result<Committed, JoinError>) {
        match ended {
            Ok((old, Ok(new))) => {
                self.tally.done += 1;
                if let Err(error) = self.ledger.add(old, new, self.control.now()) {
                    self.tally.trouble(format!(
                        "{old}: it is in the queue as {new}, but imported.log cannot be written: {error}"
                    ));
                }
            }
            Ok((old, Err(reply))) => {
                self.handed.remove(&old);
                self.tally.failed(old, format!("the queue does not take it: {}", reply.one_line()));
            }
            Err(_) => {
                self.tally.trouble("a fault in Mailroot itself kept a message out; it is in the log".into());
            }
        }
    }

    async fn finish(mut self, broken: Option<String>) -> Result<Outcome, Fault> {
        if broken.is_none() {
            self.alone();
        }
        while !self.commits.is_empty() {
            self.settle().await;
        }
        if let Err(error) = self.ledger.sync() {
            self.tally.trouble(format!("imported.log cannot be written: {error}"));
        }
        let Tally { done, skipped, failed, mut troubles } = self.tally;
        let mut text = format!("{done} messages carried into the queue");
        if skipped > 0 {
            text.push_str(&format!("; {skipped} passed over"));
        }
        if failed > 0 {
            text.push_str(&format!("; {failed} not taken"));
        }
        if let Some(why) = broken {
            text.push_str("; the rest is missing");
            troubles.insert(0, why);
        }
        Ok(Outcome { text, count: done, troubles, ..Outcome::default() })
    }
}

impl Receiving {
    async fn take(&mut self, data: Bytes) {
        if self.fault.is_some() {
            return;
        }
        let data = match &mut self.normalizer {
            Some(normalizer) => match normalizer.next(data) {
                Ok(data) => data,
                Err(why) => {
                    self.fault = Some(why.to_string());
                    return;
                }
            },
            None => data,
        };
        self.keep(data).await;
    }

    async fn end(&mut self) {
        let rest = self.normalizer.as_mut().map_or(Ok(Bytes::new()), Normalizer::finish);
        match rest {
            Ok(rest) => self.keep(rest).await,
            Err(why) => self.fault = self.fault.take().or(Some(why.to_string())),
        }
    }

    async fn keep(&mut self, data: Bytes) {
        if let Err(reply) = self.incoming.append(data).await {
            self.fault = Some(format!("the queue does not take it: {}", reply.one_line()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::control::tests::control;
    use crate::control::{Orders, obey};
    use crate::listen::Inherited;
    use crate::service::{ConfigFile, Servers};
    use relay::config::Config;
    use std::path::Path;

    /// What an import into a virtual server called `test` says to a message, when `answer` has been given what is asked of the service.
    async fn begun(answer: impl FnOnce(Orders, &Path, Config)) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mailroot.toml");
        let text = "[[virtual_server]]\nname = \"test\"\nhome = \"home\"\n";
        let config = Config::parse(text, path.to_str().unwrap(), "relay.test").unwrap();
        let (store, _) = Store::open(&config.servers[0], std::sync::mpsc::channel().0).unwrap();
        let (control, orders) = control(folder.path());
        answer(orders, &path, config);
        let mut import = Import {
            control: &control,
            server: "test",
            wishes: ImportWishes::default(),
            store,
            log: Log::nowhere(),
            ledger: Ledger::open(folder.path(), "test", true).unwrap(),
            handed: HashSet::new(),
            file: File::Other,
            half: None,
            skip: None,
            commits: JoinSet::new(),
            tally: Tally::default(),
        };
        let begun = import.begin("0000000000000001.env", 10).await;
        assert_eq!(begun.is_ok(), matches!(import.file, File::Envelope(..)));
        begun
    }

    #[tokio::test]
    async fn nothing_more_is_taken_when_the_queue_does_not_say_what_it_has() {
        let begun = begun(|orders, _, _| drop(orders)).await;
        assert!(begun.is_err(), "it may be there already");
    }

    #[tokio::test]
    async fn nothing_more_is_taken_when_its_virtual_server_has_another_name_meanwhile() {
        let begun = begun(|mut orders, path, mut config| {
            let clock = Clock::start();
            let mut servers = Servers::new(Log::nowhere(), clock, Inherited::default());
            let file = ConfigFile::new(path);
            config.servers.clear();
            tokio::spawn(async move {
                servers.carry_out(&config).await;
                while let Some(order) = orders.recv().await {
                    obey(order, &mut servers, &file).await;
                }
            });
        });
        let why = begun.await.unwrap_err();
        assert!(why.contains("\"test\""), "{why}");
    }
}
