//! The relay under test: the real queue and spool over the lying disk, without threads.

use crate::chance::Chance;
use crate::ledger::Ledger;
use crate::operator::Checks;
use relay::config::terms::{Owner, Waits};
use relay::config::{Config, GlitchRetry, Pacing, Terms, VirtualServer};
use relay::disk::sim::{Cut, Fate as OctetFate, SimDisk};
use relay::envelope::{Envelope, QueueId};
use relay::parcel::Place;
use relay::queue::{Accepted, Event, Queue};
use relay::spool::folder::Folder;
use relay::spool::journal::{Accept, Entry, Journal, Options, Position};
use relay::spool::{Note, ParkJob, Receipt, UpdateJob, recover};
use smtp::time::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A job for the folder, done in order.
#[derive(Debug)]
pub(crate) enum FolderJob {
    Park(Vec<ParkJob>),
    Update(UpdateJob),
    Remove(QueueId),
    Load(QueueId),
}

/// A message that waits for the journal.
#[derive(Debug)]
pub(crate) struct Pending {
    pub id: QueueId,
    pub envelope: Envelope,
    pub content: Vec<u8>,
    /// Who waits for the receipt.
    pub waits: Waiting,
}

/// Who waits for a receipt.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// The session on this wire.
    Session(u64),
    /// The report about this message's failed recipients.
    Report { about: QueueId, failed: Vec<u32>, told: Vec<String> },
}

/// A message that waited for the journal, and what came of it.
pub(crate) type Answered = (Pending, Result<Receipt, String>);

/// What a session has of a message so far.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub helo: Box<str>,
    pub sender: Option<smtp::command::MailFrom>,
    pub recipients: Vec<smtp::command::RcptTo>,
    pub id: Option<QueueId>,
    pub content: Vec<u8>,
    /// Transactions that the client still wants to bring.
    pub to_send: Vec<(smtp::client::Transaction, Vec<u8>)>,
}

/// See the module.
pub(crate) struct Node {
    pub server: Arc<VirtualServer>,
    pub queue: Queue,
    disk: SimDisk,
    up: Option<(Journal<SimDisk>, Folder<SimDisk>)>,
    pub pending: Vec<Pending>,
    pub notes: Vec<Note>,
    pub jobs: VecDeque<FolderJob>,
    parked: Vec<QueueId>,
    /// Everything that was ever handed to the journal: what a crash may have kept although nobody was told.
    submitted: HashMap<QueueId, (Vec<u8>, Envelope)>,
    /// Contents of the messages accepted in this life, as the memory holds them.
    next_id: u64,
    lives: u64,
}

impl Node {
    pub fn new(chance: &mut Chance, now: Timestamp) -> Node {
        let server = server(chance);
        let disk = SimDisk::new();
        let mut node = Node {
            queue: Queue::new(server.clone()),
            server,
            disk,
            up: None,
            pending: Vec::new(),
            notes: Vec::new(),
            jobs: VecDeque::new(),
            parked: Vec::new(),
            submitted: HashMap::new(),
            next_id: u64::try_from(now.0).unwrap_or(0) * 1_000,
            lives: 0,
        };
        let _ = node.recover(now, &mut Ledger::default(), &Checks::default());
        node
    }

    pub fn is_up(&self) -> bool {
        self.up.is_some()
    }

    pub fn next_id(&mut self) -> QueueId {
        self.next_id += 1;
        QueueId(self.next_id)
    }

    /// Another configuration of the same relay: other limits, the same domains.
    pub fn another_server(&mut self, chance: &mut Chance) -> Arc<VirtualServer> {
        self.server = server(chance);
        self.server.clone()
    }

    /// From now on the disk does what it is told.
    pub fn heal(&mut self) {
        self.disk.set_room(None);
        self.disk.set_weather(None, 0, 0);
    }

    /// Files of the Queue folder cannot be written, read, renamed or removed for a while, or can again.
    pub fn change_weather(&mut self, chance: &mut Chance) {
        use std::io::ErrorKind::{Other, PermissionDenied, ReadOnlyFilesystem, StorageFull};
        let kind = [None, Some(Other), Some(PermissionDenied), Some(ReadOnlyFilesystem), Some(StorageFull)];
        let kind = kind[usize::try_from(chance.below(5)).unwrap_or(0)];
        let percent = [10, 50, 100][usize::try_from(chance.below(3)).unwrap_or(0)];
        self.disk.set_weather(kind, percent, chance.draw());
    }

    /// The process ends as it should, its notes written as far as the disk took them.
    pub fn shut_down(&mut self) {
        self.forget_memory();
        self.heal();
    }

    fn forget_memory(&mut self) {
        self.up = None;
        self.queue = Queue::new(self.server.clone());
        self.pending.clear();
        self.notes.clear();
        self.jobs.clear();
        self.parked.clear();
    }

    /// Files in the Queue folder, the journal's not among them.
    pub fn files(&self) -> Vec<String> {
        self.disk.contents().into_keys().filter(|name| !name.contains('/')).collect()
    }

    /// The disk gets full, or has room again.
    pub fn squeeze(&mut self, chance: &mut Chance) {
        let used: usize = self.disk.contents().values().map(|octets| octets.len()).sum();
        let room = used as u64 + chance.below(2_000_000);
        self.disk.set_room(chance.happens(50).then_some(room));
    }

    /// Everything in memory is gone, and what the disk had not synced may be.
    pub fn power_cut(&mut self, chance: &mut Chance) {
        self.forget_memory();
        let octets = match chance.below(5) {
            0 => OctetFate::Lost,
            1 => OctetFate::Kept,
            2 => OctetFate::First,
            3 => OctetFate::Last,
            _ => OctetFate::Mixed(chance.draw()),
        };
        self.disk = self.disk.after_power_cut(Cut { names: chance.draw(), octets });
    }

    /// Reads what the last life left; checks that every promise that is not kept yet is there.
    pub fn recover(&mut self, now: Timestamp, ledger: &mut Ledger, checks: &Checks) -> Result<Vec<Event>, String> {
        self.lives += 1;
        let mut options = Options::new(self.lives);
        options.segment_size = 256 << 10;
        options.urgent_size = 64 << 10;
        let mut found = recover(&self.disk, options).map_err(|e| e.to_string())?;
        if let Some(trouble) = found.troubles.first() {
            return Err(format!("a power cut left damage: {trouble}"));
        }
        let mut troubles = Vec::new();
        let mut parked = Vec::new();
        while found.scan.left() > 0 {
            parked.extend(found.scan.slice::<SimDisk>(&self.disk, &found.folder, 64, &mut troubles));
        }
        if let Some(trouble) = troubles.first() {
            return Err(format!("a power cut left damage in the folder: {trouble}"));
        }
        self.up = Some((found.journal, found.folder));
        for message in found.messages.iter().chain(&parked) {
            self.check_found(message, ledger)?;
        }
        let there: HashMap<QueueId, &Accepted> = found.messages.iter().chain(&parked).map(|m| (m.id, m)).collect();
        check_promises(ledger, &there)?;
        checks.look_at(&there, ledger);
        self.next_id = self.next_id.max(found.highest.0).max(u64::try_from(now.0).unwrap_or(0) * 1_000);
        Ok(vec![Event::Accepted(found.messages), Event::Found(parked)])
    }

    /// A message that is found is whole; one that was never acknowledged is taken on as if it had been.
    fn check_found(&self, message: &Accepted, ledger: &mut Ledger) -> Result<(), String> {
        let content = self.content(message.id, &message.place)?;
        let Some((submitted, _)) = self.submitted.get(&message.id) else {
            return Err(format!("{} was found and never handed in", message.id));
        };
        if *submitted != content {
            return Err(format!("{} was found altered", message.id));
        }
        if ledger.find(&content).is_none() {
            let envelope = &message.envelope;
            ledger.promise(
                message.id,
                content,
                envelope.sender.is_null(),
                envelope.recipients.iter().map(|r| (r.address.to_string(), r.notify.failure())),
            );
            ledger.make_ambiguous(message.id);
        }
        Ok(())
    }

    /// What a message holds.
    pub fn content(&self, id: QueueId, place: &Place) -> Result<Vec<u8>, String> {
        let (_, folder) = self.up.as_ref().ok_or("the node is down")?;
        match place {
            Place::Journal { memory: Some(content), .. } => Ok(content.to_vec()),
            Place::Journal { segment, offset, len, memory: None } => {
                let read = relay::spool::content::read_journal(&self.disk, *segment, *offset, *len);
                // It may have been parked since, as in the daemon.
                read.or_else(|why| self.content_file(folder, id).map_err(|_| why)).map_err(|e| e.to_string())
            }
            Place::File => self.content_file(folder, id).map_err(|e| e.to_string()),
        }
    }

    fn content_file(&self, folder: &Folder<SimDisk>, id: QueueId) -> std::io::Result<Vec<u8>> {
        folder.open_content(id)?;
        relay::disk::read(&self.disk, &relay::spool::content::file_name(id), u64::MAX)
    }

    /// The journal writes what waits. Gives what became durable, who waits for it, and what the queue is to hear.
    pub fn commit(&mut self) -> (Vec<Answered>, Vec<Event>) {
        let Some((journal, folder)) = self.up.as_mut() else { return (Vec::new(), Vec::new()) };
        let mut entries = Vec::new();
        let parked = std::mem::take(&mut self.parked);
        let notes = std::mem::take(&mut self.notes);
        let pending = std::mem::take(&mut self.pending);
        entries.extend(parked.iter().map(|id| Entry::Parked(*id)));
        entries.extend(notes.iter().cloned().map(Entry::Note));
        let (pending, mut answers) = stream_all(folder, pending);
        for p in &pending {
            self.submitted.insert(p.id, (p.content.clone(), p.envelope.clone()));
            entries.push(Entry::Accept(if is_large(p) {
                Accept::in_file(p.id, p.envelope.print())
            } else {
                Accept::new(p.id, p.envelope.print(), p.content.clone().into())
            }));
        }
        let written = journal.write(&entries);
        folder.remove_contents(&written.gone_files);
        for at in written.strangers {
            match entries.get(at) {
                Some(Entry::Note(Note::Fates(id, envelope))) => {
                    let job = UpdateJob { id: *id, envelope: envelope.clone(), version: None };
                    self.jobs.push_back(FolderJob::Update(job));
                }
                Some(Entry::Note(Note::Gone(id))) => self.jobs.push_back(FolderJob::Remove(*id)),
                _ => {}
            }
        }
        let mut events = Vec::new();
        let done_parked = parked.iter().take(written.done).copied().collect::<Vec<_>>();
        self.parked = parked.get(written.done..).unwrap_or_default().to_vec();
        if !done_parked.is_empty() {
            events.push(Event::Parked(done_parked));
        }
        let first_note = parked.len();
        let notes_done = written.done.saturating_sub(first_note).min(notes.len());
        self.notes.extend(notes.into_iter().skip(notes_done));
        let mut receipts = written.receipts.into_iter();
        let why = written.trouble.map_or_else(String::new, |t| t.to_string());
        let mut accepted = Vec::new();
        for p in pending {
            let Some((receipt, position)) = receipts.next() else {
                if is_large(&p) {
                    folder.remove_contents(&[p.id]);
                }
                answers.push((p, Err(why.clone())));
                continue;
            };
            let place = match position {
                Position::Journal { segment, offset, len } => Place::Journal { segment, offset, len, memory: None },
                Position::File => Place::File,
            };
            accepted.push(Accepted { id: p.id, envelope: p.envelope.clone(), place });
            answers.push((p, Ok(receipt)));
        }
        if !accepted.is_empty() {
            events.push(Event::Accepted(accepted));
        }
        while let Some(chore) = self.up.as_mut().and_then(|(journal, _)| journal.chore()) {
            let done = chore.run(&self.disk);
            if let Some((journal, _)) = self.up.as_mut() {
                let _ = journal.chore_done(done);
            }
        }
        (answers, events)
    }

    /// There was no room for all: what is left is written later.
    pub fn has_unwritten(&self) -> bool {
        !self.parked.is_empty() || !self.notes.is_empty()
    }

    /// The folder does its next job. `Err`: a sync failed, the store is poisoned.
    pub fn folder_job(&mut self) -> Result<Vec<Event>, String> {
        let Some((_, folder)) = self.up.as_ref() else { return Ok(Vec::new()) };
        let Some(job) = self.jobs.pop_front() else { return Ok(Vec::new()) };
        let mut events = Vec::new();
        match job {
            FolderJob::Park(jobs) => {
                let failed = folder.park(&jobs).map_err(|e| e.to_string())?;
                let mut lost = Vec::new();
                for error in failed {
                    if let relay::spool::folder::FolderError::Message(id, why) = error {
                        lost.push(id);
                        events.push(Event::ParkFailed(vec![id], why));
                    }
                }
                self.parked.extend(jobs.iter().map(|j| j.id).filter(|id| !lost.contains(id)));
            }
            FolderJob::Update(UpdateJob { id, envelope, version }) => {
                let failed = folder.update([(id, &*envelope)]).map_err(|e| e.to_string())?;
                if let Some(version) = version {
                    events.push(match failed.first() {
                        None => Event::Updated(id, version),
                        Some(why) => Event::UpdateFailed(id, version, why.to_string()),
                    });
                }
            }
            FolderJob::Remove(id) => {
                let failed = folder.remove(&[id]).map_err(|e| e.to_string())?;
                if let Some(why) = failed.first() {
                    events.push(Event::RemoveFailed(vec![id], why.to_string()));
                }
            }
            FolderJob::Load(id) => events.push(Event::Loaded(id, folder.load(id))),
        }
        Ok(events)
    }
}

/// Larger ones are streamed into their file.
const STREAM_OVER: usize = 12_000;

fn is_large(pending: &Pending) -> bool {
    pending.content.len() > STREAM_OVER
}

/// Those whose content could go where it belongs, and those that are refused because it could not.
fn stream_all(folder: &Folder<SimDisk>, pending: Vec<Pending>) -> (Vec<Pending>, Vec<Answered>) {
    let (mut streamed, mut refused) = (Vec::new(), Vec::new());
    for one in pending {
        match stream(folder, &one) {
            Ok(()) => streamed.push(one),
            Err(why) => {
                folder.remove_contents(&[one.id]);
                refused.push((one, Err(why)));
            }
        }
    }
    (streamed, refused)
}

/// A large content goes into its file before the journal hears of it.
fn stream(folder: &Folder<SimDisk>, pending: &Pending) -> Result<(), String> {
    if !is_large(pending) {
        return Ok(());
    }
    let file = folder.create_content(pending.id).map_err(|e| e.to_string())?;
    for piece in pending.content.chunks(5_000) {
        folder.append_content(&file, piece).map_err(|e| e.to_string())?;
    }
    folder.finish_content(&file).map_err(|e| e.to_string())
}

/// Every promise that is not kept yet must be in what was found, with its recipient still to be served.
fn check_promises(ledger: &Ledger, there: &HashMap<QueueId, &Accepted>) -> Result<(), String> {
    for promise in ledger.promises() {
        for (to, _) in promise.accounts.iter().filter(|(_, a)| !a.is_settled()) {
            let Some(found) = there.get(&promise.id) else {
                return Err(format!("{} to {to} was acknowledged, and is gone after the power cut", promise.id));
            };
            let open = found.envelope.recipients.iter().any(|r| r.address.to_string() == *to && !r.fate.is_final());
            if !open {
                return Err(format!("{} to {to} is unserved, and its envelope says it is done", promise.id));
            }
        }
    }
    Ok(())
}

/// A configuration drawn by chance.
#[allow(clippy::panic, reason = "the simulator writes its own configuration: a bad one is a mistake in it")]
fn server(chance: &mut Chance) -> Arc<VirtualServer> {
    let pick = |chance: &mut Chance, of: &[&str]| {
        let n = usize::try_from(chance.below(of.len() as u64)).unwrap_or(0);
        of.get(n).copied().unwrap_or_default().to_owned()
    };
    let total = chance.between(1, 12);
    let per = chance.between(1, 8);
    let each = chance.between(1, 20);
    let ladder = pick(chance, &["[\"15 min\", \"30 min\", \"1 h\", \"4 h\"]", "[\"1 min\"]", "[\"5 min\", \"2 h\"]"]);
    let expiry = pick(chance, &["2 days", "6 h", "1 h"]);
    let smart =
        pick(chance, &["", "", "smart_host = \"[192.0.2.1]\"\n", "smart_host = [\"[192.0.2.2]\", \"[192.0.2.1]\"]\n"]);
    let copy = pick(chance, &["", "ndr_copy_to = \"watch@near.test\"\n"]);
    let text = format!(
        "[[virtual_server]]\nname = \"sim\"\nhome = \"/sim\"\n\
         [virtual_server.access]\nrelay = {{ only = [\"127.0.0.1\"] }}\n\
         [virtual_server.messages]\nmessages_per_connection = {each}\n{copy}\
         [virtual_server.delivery]\nfqdn = \"relay.sim.test\"\nconnections_max = {total}\n\
         connections_per_domain_max = {per}\n{smart}retry = {ladder}\nexpiry = \"{expiry}\"\ndelay_notice = \"30 min\"\n\
         local_expiry = \"{expiry}\"\nlocal_delay_notice = \"30 min\"\n\
         [[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n"
    );
    match Config::parse(&text, "sim.toml", "relay.sim.test") {
        Ok(config) => {
            let mut server = (*config.servers[0]).clone();
            server.delivery.terms = Arc::new(terms(chance));
            Arc::new(server)
        }
        Err(problems) => panic!("the simulator's configuration is wrong: {problems:?}"),
    }
}

/// On what terms mail goes out.
fn terms(chance: &mut Chance) -> Terms {
    let mut some = |of: &[u32]| {
        let n = usize::try_from(chance.below(2 * of.len() as u64)).unwrap_or(0);
        of.get(n).copied()
    };
    let mut terms = Terms::plain();
    if some(&[1]).is_some() {
        return terms;
    }
    terms.owner = Owner::SmartHost("office".into());
    terms.pacing = Pacing {
        connections_max: some(&[1, 2, 3]),
        messages_per_connection: some(&[1, 5]),
        recipients_per_message: some(&[1, 2]),
        messages_per_minute: some(&[1, 3, 30]),
        messages_per_day: some(&[30, 200]),
        recipients_per_day: some(&[20, 100, 500]),
        slow_down: some(&[10, 300, 3_600]).map(|seconds| Duration::from_secs(seconds.into())),
    };
    let minutes = |n: u32| Duration::from_secs(u64::from(n) * 60);
    terms.waits = some(&[90, 1_000]).map(|expiry| Waits {
        retry: vec![minutes(5), minutes(20)],
        glitch_retry: GlitchRetry { every: minutes(1), times: 1 },
        delay_notice: minutes(60),
        expiry: minutes(expiry),
    });
    terms
}
