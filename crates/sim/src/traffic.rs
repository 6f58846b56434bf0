//! What moves: clients that hand messages in, and connections to peers.

use crate::life::{Act, Delivery, Life, Role};
use crate::limits::Limits;
use crate::node::{FolderJob, Intake, Pending, Waiting};
use crate::peer::{Mood, judged, no_host, settings};
use crate::wire::{Happening, Wire};
use relay::envelope::{Envelope, Failure, FailureKind, Fate, Origin, QueueId, Recipient};
use relay::gate::{self, Client};
use relay::parcel::{ConnectionId, Outcome, Parcel};
use relay::queue::{Effect, Event};
use relay::record::Record;
use relay::route::Hosts;
use smtp::address::{Mailbox, ReversePath};
use smtp::client::{self, Addressee, Rejection, Transaction, Why};
use smtp::command::{BodyKind, Notify, Ret};
use smtp::header::{self, ReceivedBy, With};
use smtp::reply::{EnhancedStatus, Reply};
use smtp::server::{Answer, Durable, Question};
use smtp::time::Timestamp;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Octets of the largest body that a client writes.
const BODY_MAX: u64 = 20_000;

/// A peer's receipt: it keeps its mail in memory, and its memory is not under test.
struct Kept(QueueId);

impl Durable for Kept {
    fn id(&self) -> String {
        format!("kept-{}", self.0)
    }
}

impl Life {
    pub(crate) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { connection, parcel } => {
                self.check_due(&parcel);
                let terms = &parcel.hop.terms;
                self.ledger.faults.extend(self.limits.connect(connection, &terms.owner, terms.pacing));
                self.soon(200, Act::Arrive(connection, Box::new(parcel)));
            }
            Effect::Deliver { connection, parcel } => self.deliver(connection, parcel),
            Effect::Quit { connection } => {
                if let Some((wire, _)) = self.outbound.get(&connection).and_then(|w| self.wires.get_mut(w)) {
                    wire.sender.quit();
                }
            }
            Effect::Drop(parcel) => self.soon(500, Act::Drop(Box::new(parcel))),
            Effect::Badmail(job) => self.soon(500, Act::Badmail(Box::new(job))),
            Effect::Report(job) => {
                if job.envelope.sender.is_null() {
                    self.ledger.faults.push(format!("a report about {}, which is a report itself", job.id));
                }
                self.soon(500, Act::Report(Box::new(job)));
            }
            Effect::Note(note) => {
                self.node.notes.push(note);
                self.soon(50, Act::Commit);
            }
            Effect::Park(jobs) => self.folder(FolderJob::Park(jobs)),
            Effect::Update(job) => self.folder(FolderJob::Update(job)),
            Effect::Remove(id) => self.folder(FolderJob::Remove(id)),
            Effect::Load(id) => self.folder(FolderJob::Load(id)),
            Effect::Lost(id) => self.ledger.faults.push(format!("{id} left the queue without an end")),
            // A full disk is an alarm; a message that leaves the queue unread is a fault.
            Effect::Record(Record::Alarm { text }) if text.contains("left the queue") => {
                self.ledger.faults.push(format!("alarm: {text}"));
            }
            Effect::Answer(id, answer) => self.answered(id, &answer),
            Effect::Record(Record::Deleted { id, .. }) => self.ledger.deleted(id),
            Effect::Record(Record::Failed { id, failure, .. })
                if matches!(failure.kind, FailureKind::Tls | FailureKind::Auth) =>
            {
                self.ledger.faults.push(format!("{id} was sent back for the want of TLS or a log-on"));
            }
            Effect::Record(Record::Failed { id, to, .. }) => self.ledger.failed(id, &to.to_string()),
            Effect::Record(_) => {}
        }
    }

    fn folder(&mut self, job: FolderJob) {
        self.node.jobs.push_back(job);
        self.soon(200, Act::Folder);
    }

    fn check_due(&mut self, parcel: &Parcel) {
        if let Hosts::Mx { domain, .. } = &parcel.hop.hosts
            && self.checks.suspended.contains(domain.as_str())
        {
            self.ledger.faults.push(format!("{} is tried, and {domain} is suspended", parcel.id));
        }
        for index in &parcel.recipients {
            let fate = parcel.envelope.recipients.get(*index as usize).map(|r| &r.fate);
            // An operator who wants it tried does not wait for its time.
            let tried = parcel.envelope.attempts.iter().rev().find(|attempt| attempt.recipients.contains(index));
            let last_try = tried.map_or(parcel.envelope.arrived, |attempt| attempt.at);
            let wanted = self.checks.retried.is_some_and(|at| at >= last_try);
            if !matches!(fate, Some(Fate::Pending { due, .. }) if *due <= self.now || wanted) {
                self.ledger.faults.push(format!("{} is tried before its time: {fate:?}", parcel.id));
            }
        }
    }

    // --- clients -----------------------------------------------------------------------------------------------

    pub(crate) fn submit(&mut self) {
        if !self.node.is_up() {
            return;
        }
        let mut intake = Intake::default();
        for _ in 0..self.chance.between(1, 6) {
            let message = self.write_message();
            intake.to_send.push(message);
        }
        let cut = (!self.peace && self.chance.happens(15)).then(|| self.chance.below(30_000));
        let server = &self.node.server;
        let receiving = settings(server.delivery.fqdn.as_str(), server.default_domain.name.as_str());
        let wire = Wire::new(sending("client.sim.test"), receiving, CLIENT, self.now, cut);
        self.connect(wire, Role::Inbound(Box::new(intake)));
    }

    fn connect(&mut self, wire: Wire, role: Role) -> u64 {
        let name = self.wires.last_key_value().map_or(1, |(last, _)| last + 1).max(self.node.next_id().0);
        self.wires.insert(name, (wire, role));
        self.soon(20, Act::Pump(name));
        name
    }

    fn write_message(&mut self) -> (Transaction, Vec<u8>) {
        let mailbox = |text: &str| Mailbox::parse(text).ok();
        let domains = ["far.test", "near.test", "slow.test", "a.example", "b.example", "local.test"];
        let mut recipients = Vec::new();
        for n in 0..self.chance.between(1, 4) {
            let pick = usize::try_from(self.chance.below(6)).unwrap_or(0);
            let address = format!("user{n}-{}@{}", self.chance.below(50), domains[pick]);
            recipients.extend(mailbox(&address));
        }
        let mut notify = || match self.chance.below(12) {
            0 => Notify::Never,
            1 => Notify::On { success: true, failure: true, delay: true },
            2 => Notify::On { success: true, failure: false, delay: false },
            3 => Notify::On { success: false, failure: true, delay: false },
            _ => Notify::Default,
        };
        let addressee = |address| Addressee { address, notify: notify(), orcpt: None };
        let recipients = recipients.into_iter().map(addressee).collect();
        let sender = match self.chance.below(6) {
            0 => ReversePath::Null,
            1 => mailbox("sender@far.test").map_or(ReversePath::Null, ReversePath::Mailbox),
            2 => mailbox("sender@nowhere.example").map_or(ReversePath::Null, ReversePath::Mailbox),
            _ => mailbox("sender@local.test").map_or(ReversePath::Null, ReversePath::Mailbox),
        };
        let mut body = format!("From: <a@local.test>\r\nSubject: {}\r\n\r\n", self.chance.draw());
        let size = self.chance.below(BODY_MAX);
        while (body.len() as u64) < size {
            body.push_str(match self.chance.below(4) {
                0 => ".\r\n",
                1 => "..dots\r\n",
                2 => "\r\n",
                _ => "A line of text as people write them, neither short nor long.\r\n",
            });
        }
        let content = body.into_bytes();
        let size = content.len() as u64;
        let body = BodyKind::SevenBit;
        let ret = [None, Some(Ret::Full), Some(Ret::Headers)][usize::try_from(self.chance.below(3)).unwrap_or(0)];
        (Transaction { sender, recipients, size, body, utf8: false, ret, envid: None, require_tls: false }, content)
    }

    // --- wires -------------------------------------------------------------------------------------------------

    pub(crate) fn pump(&mut self, name: u64) {
        let Some((mut wire, mut role)) = self.wires.remove(&name) else { return };
        for _ in 0..self.chance.between(1, 8) {
            let Some(happening) = wire.step(self.now, &mut self.chance) else { continue };
            match &mut role {
                Role::Inbound(intake) => self.inbound(name, &mut wire, intake, happening),
                Role::Outbound(delivery) => self.outbound_step(&mut wire, delivery, happening),
            }
        }
        if wire.is_over() {
            if let Role::Outbound(delivery) = role {
                self.outbound.remove(&delivery.connection);
            }
            return;
        }
        if wire.still > 20
            && let Role::Outbound(delivery) = &role
            && delivery.greeted
            && delivery.parcel.is_none()
        {
            // As the daemon does with a connection that has had nothing to do for a while.
            wire.sender.quit();
        }
        let most = if wire.still > 10 { 20_000 } else { 60 };
        let wait = self.chance.between(1, most);
        self.wires.insert(name, (wire, role));
        self.at(Duration::from_millis(wait), Act::Pump(name));
    }

    fn inbound(&mut self, name: u64, wire: &mut Wire, intake: &mut Intake, happening: Happening) {
        match happening {
            Happening::SenderReady => match intake.to_send.pop() {
                Some((transaction, content)) => {
                    wire.content = content.into();
                    wire.sender.begin(transaction);
                }
                None => wire.sender.quit(),
            },
            Happening::SenderDone(_) | Happening::SenderGone | Happening::ReceiverGone => {}
            Happening::Body(chunk) => intake.content.extend_from_slice(&chunk),
            Happening::Abandoned => {
                intake.sender = None;
                intake.recipients.clear();
                intake.content.clear();
            }
            Happening::Asked(question) => self.answer_client(name, wire, intake, question),
        }
    }

    fn answer_client(&mut self, name: u64, wire: &mut Wire, intake: &mut Intake, question: Question) {
        match question {
            Question::Hello { host, .. } => {
                intake.helo = host;
                wire.receiver.answer(Answer::Accept);
            }
            Question::Sender(from) => {
                intake.sender = Some(from);
                intake.recipients.clear();
                wire.receiver.answer(Answer::Accept);
            }
            Question::Recipient(to) => {
                let server = &self.node.server;
                let client = Client::stranger(CLIENT, server.general.listen[0]);
                let verdict = gate::recipient(server, &client, &to.recipient).outcome;
                wire.receiver.answer(match verdict {
                    Ok(()) => {
                        intake.recipients.push(to);
                        Answer::Accept
                    }
                    Err(reply) => Answer::Refuse(reply),
                });
            }
            Question::Begin => {
                let id = self.node.next_id();
                intake.id = Some(id);
                let fqdn = &self.node.server.delivery.fqdn;
                let with = With { esmtp: true, ..With::default() };
                let by = ReceivedBy {
                    helo: &intake.helo,
                    peer: CLIENT,
                    note: "",
                    fqdn,
                    with,
                    tls: None,
                    id: &id,
                    now: self.now,
                };
                intake.content = header::received(&by).into_bytes();
                wire.receiver.answer(Answer::Begun);
            }
            Question::Commit => self.hand_in(name, intake),
            // Not offered in this world.
            Question::Auth { .. } | Question::AuthResponse(_) => wire.receiver.answer(Answer::Begun),
        }
    }

    fn hand_in(&mut self, wire: u64, intake: &mut Intake) {
        let (Some(id), Some(from)) = (intake.id.take(), intake.sender.take()) else { return };
        let recipients = std::mem::take(&mut intake.recipients);
        let content = std::mem::take(&mut intake.content);
        let envelope = Envelope {
            sender: from.sender,
            arrived: self.now,
            origin: Origin::Smtp { peer: CLIENT, helo: intake.helo.clone(), account: None },
            size: content.len() as u64,
            body: from.body,
            utf8: from.utf8,
            ret: from.ret,
            envid: from.envid,
            require_tls: from.require_tls,
            waives_tls: false,
            recipients: recipients
                .into_iter()
                .map(|to| Recipient {
                    address: to.recipient,
                    orcpt: to.orcpt,
                    notify: to.notify,
                    fate: Fate::Pending { tries: 0, due: self.now },
                    delay_noticed: false,
                })
                .collect(),
            attempts: Vec::new(),
            released: None,
            subject: None,
        };
        self.node.pending.push(Pending { id, envelope, content, waits: Waiting::Session(wire) });
        self.soon(30, Act::Commit);
    }

    // --- the disk ----------------------------------------------------------------------------------------------

    pub(crate) fn commit(&mut self) {
        if !self.peace && self.chance.happens(1) {
            self.node.squeeze(&mut self.chance);
        }
        let (answers, events) = self.node.commit();
        for (pending, answer) in answers {
            match answer {
                Ok(receipt) => {
                    let recipients = pending.envelope.recipients.iter();
                    let to = recipients.map(|r| (r.address.to_string(), r.notify.failure()));
                    self.ledger.promise(pending.id, pending.content, pending.envelope.sender.is_null(), to);
                    self.acknowledge(pending.waits, Some(&receipt));
                }
                Err(_) => self.acknowledge(pending.waits, None),
            }
        }
        for event in events {
            self.tell(event);
        }
        // One that tries again is enough, however many wait for room.
        if self.node.has_unwritten() && self.commit_again_at.is_none_or(|at| at <= self.now) {
            let wait = Duration::from_millis(self.chance.below(5_000) + 1);
            self.commit_again_at = Some(self.now.plus(wait));
            self.at(wait, Act::Commit);
        }
        if !self.node.jobs.is_empty() {
            self.soon(200, Act::Folder);
        }
    }

    fn acknowledge(&mut self, waits: Waiting, receipt: Option<&relay::spool::Receipt>) {
        match (waits, receipt) {
            (Waiting::Session(name), Some(receipt)) => {
                if let Some((wire, _)) = self.wires.get_mut(&name) {
                    wire.receiver.queued(receipt);
                }
            }
            (Waiting::Session(name), None) => {
                if let Some((wire, _)) = self.wires.get_mut(&name) {
                    wire.receiver.answer(Answer::Refuse(Reply::new(452, 3, 1, "No room; try again later")));
                }
            }
            (Waiting::Report { about, failed, told }, Some(_)) => {
                let named = told.len();
                for to in told {
                    if let Some(account) = self.ledger.account(about, &to) {
                        account.reported += 1;
                    }
                }
                self.tell(Event::Reported { id: about, recipients: failed, named });
            }
            (Waiting::Report { about, failed, .. }, None) => {
                self.tell(Event::ReportFailed { id: about, recipients: failed, why: "no room".into() });
            }
        }
    }

    pub(crate) fn folder_job(&mut self) {
        match self.node.folder_job() {
            Ok(events) => {
                for event in events {
                    self.tell(event);
                }
                self.soon(50, Act::Commit);
                if !self.node.jobs.is_empty() {
                    self.soon(200, Act::Folder);
                }
            }
            Err(why) => self.ledger.faults.push(format!("the folder: {why}")),
        }
    }

    // --- peers -------------------------------------------------------------------------------------------------

    pub(crate) fn arrive(&mut self, connection: ConnectionId, parcel: Parcel) {
        let domain = match &parcel.hop.hosts {
            Hosts::Mx { domain, .. } => domain.as_str().to_owned(),
            Hosts::Listed(hosts) => match hosts.first().map(|first| first.host.to_string()) {
                Some(host) if host.contains("192.0.2.2") => "smart2.test".to_owned(),
                _ => "smart1.test".to_owned(),
            },
            _ => String::new(),
        };
        let peer = self.peers.iter().position(|p| *p.domain == domain);
        let Some(peer) = peer.filter(|p| self.peers[*p].mood != Mood::Dead) else {
            let known = peer.is_some();
            let failures = parcel.recipients.iter().map(|index| (*index, no_host(known))).collect();
            self.tell(Event::Closed { connection, unsent: Some((parcel.id, failures)) });
            return;
        };
        if let Some(failure) = self.peers[peer].protection() {
            let failures = parcel.recipients.iter().map(|index| (*index, failure.clone())).collect();
            self.tell(Event::Closed { connection, unsent: Some((parcel.id, failures)) });
            return;
        }
        let cut = if self.peace { None } else { self.peers[peer].cuts_after(&mut self.chance) };
        let receiving = self.peers[peer].settings();
        let fqdn = self.node.server.delivery.fqdn.to_string();
        let mut wire = Wire::new(sending(&fqdn), receiving.clone(), CLIENT, self.now, cut);
        let crowded = self.peers[peer].mood == Mood::Crowded && self.chance.happens(50);
        if self.peers[peer].mood == Mood::Busy || crowded {
            let busy = Reply::new(421, 3, 2, if crowded { "Too many concurrent connections" } else { "Too busy" });
            wire.receiver = smtp::server::Session::refuse(receiving, CLIENT, &busy, self.now);
        }
        let delivery = Delivery {
            connection,
            peer,
            parcel: Some(parcel),
            begun: false,
            greeted: false,
            taken: Vec::new(),
            content: Vec::new(),
        };
        let name = self.connect(wire, Role::Outbound(Box::new(delivery)));
        self.outbound.insert(connection, name);
        let most = self.node.server.delivery.connections_max.map_or(usize::MAX, |n| n as usize);
        // A changed limit holds for new connections only; 12 is the highest that is ever drawn.
        if self.outbound.len() > most.max(12) {
            self.ledger.faults.push(format!("{} connections, more than {most}", self.outbound.len()));
        }
    }

    fn deliver(&mut self, connection: ConnectionId, parcel: Parcel) {
        self.check_due(&parcel);
        let name = self.outbound.get(&connection).copied();
        match name.and_then(|name| self.wires.get_mut(&name)) {
            Some((wire, Role::Outbound(delivery))) if !wire.is_cut => {
                match self.node.content(parcel.id, &parcel.place) {
                    Ok(content) => {
                        delivery.begun = true;
                        let fault = begin(wire, (connection, &mut self.limits), &parcel, content, self.now);
                        self.ledger.faults.extend(fault);
                        delivery.parcel = Some(parcel);
                    }
                    Err(why) => self.unreadable(connection, &parcel, &why),
                }
            }
            _ => {
                // It closed while the queue thought it idle.
                self.outbound.remove(&connection);
                self.tell(Event::Closed { connection, unsent: Some((parcel.id, Vec::new())) });
            }
        }
    }

    fn outbound_step(&mut self, wire: &mut Wire, delivery: &mut Delivery, happening: Happening) {
        match happening {
            Happening::SenderReady => self.sender_ready(wire, delivery),
            Happening::SenderDone(results) => self.sender_done(delivery, results),
            Happening::SenderGone => self.sender_gone(delivery),
            Happening::ReceiverGone => {}
            Happening::Body(chunk) => delivery.content.extend_from_slice(&chunk),
            Happening::Abandoned => {
                delivery.taken.clear();
                delivery.content.clear();
            }
            Happening::Asked(question) => self.answer_relay(wire, delivery, question),
        }
    }

    fn sender_ready(&mut self, wire: &mut Wire, delivery: &mut Delivery) {
        delivery.greeted = true;
        if let Some(parcel) = delivery.parcel.as_ref().filter(|_| !delivery.begun) {
            delivery.begun = true;
            let content = self.node.content(parcel.id, &parcel.place);
            match content {
                Ok(content) => {
                    let fault = begin(wire, (delivery.connection, &mut self.limits), parcel, content, self.now);
                    self.ledger.faults.extend(fault);
                }
                Err(why) => {
                    delivery.begun = false;
                    let parcel = delivery.parcel.take();
                    parcel.iter().for_each(|parcel| self.unreadable(delivery.connection, parcel, &why));
                }
            }
        }
    }

    /// The disk does not give the content now; the connection goes on.
    fn unreadable(&mut self, connection: ConnectionId, parcel: &Parcel, why: &str) {
        if why.contains("not found") {
            self.ledger.faults.push(format!("{}: its content is gone: {why}", parcel.id));
        }
        let (kind, status) = (FailureKind::Local, EnhancedStatus(4, 3, 0));
        let failure = Failure { kind, status, host: None, reply: None, text: why.into() };
        let results = parcel.recipients.iter().map(|index| (*index, Err(failure.clone()))).collect();
        let outcome = Outcome { id: parcel.id, host: "peer".into(), at: self.now, channel: None, results };
        self.tell(Event::Attempted { connection: Some(connection), outcome });
    }

    fn sender_done(&mut self, delivery: &mut Delivery, results: Vec<Result<client::Accepted, Rejection>>) {
        let Some(parcel) = delivery.parcel.take() else { return };
        delivery.begun = false;
        let lost = results.iter().any(|r| matches!(r, Err(Rejection { why: Why::Lost(_), .. })));
        if lost {
            self.ledger.make_ambiguous(parcel.id);
        }
        let results = parcel.recipients.iter().copied().zip(results.into_iter().map(judged)).collect();
        let outcome = Outcome { id: parcel.id, host: "peer".into(), at: self.now, channel: None, results };
        self.tell(Event::Attempted { connection: Some(delivery.connection), outcome });
    }

    fn sender_gone(&mut self, delivery: &mut Delivery) {
        let failure = if delivery.greeted { None } else { Some(no_host(true)) };
        let unsent = delivery.parcel.take().map(|parcel| {
            let failures = failure.into_iter().flat_map(|f| parcel.recipients.iter().map(move |i| (*i, f.clone())));
            (parcel.id, failures.collect())
        });
        self.outbound.remove(&delivery.connection);
        self.tell(Event::Closed { connection: delivery.connection, unsent });
    }

    fn answer_relay(&mut self, wire: &mut Wire, delivery: &mut Delivery, question: Question) {
        let Some(peer) = self.peers.get_mut(delivery.peer) else { return };
        let about = delivery.parcel.as_ref().map_or(QueueId(0), |p| p.id);
        let refusal = match &question {
            Question::Sender(_) => {
                delivery.taken.clear();
                peer.judge_sender(about)
            }
            Question::Recipient(_) => peer.judge_recipient(&mut self.chance),
            Question::Commit => peer.judge_content(&mut self.chance),
            _ => None,
        };
        if let Some(reply) = refusal {
            wire.receiver.answer(Answer::Refuse(reply));
            return;
        }
        match question {
            Question::Recipient(to) => {
                delivery.taken.push(to.recipient.to_string());
                wire.receiver.answer(Answer::Accept);
            }
            Question::Begin => {
                delivery.content.clear();
                wire.receiver.answer(Answer::Begun);
            }
            Question::Commit => {
                self.peer_takes(delivery, about);
                wire.receiver.queued(&Kept(about));
            }
            _ => wire.receiver.answer(Answer::Accept),
        }
    }

    fn peer_takes(&mut self, delivery: &mut Delivery, about: QueueId) {
        let Some(id) = self.ledger.find(&delivery.content) else {
            self.ledger.faults.push(format!("a peer was given what nobody handed in, as {about}"));
            return;
        };
        for to in delivery.taken.drain(..) {
            match self.ledger.account(id, &to) {
                Some(account) => account.delivered += 1,
                None => self.ledger.faults.push(format!("{id} was brought to {to}, who is not its recipient")),
            }
        }
        delivery.content.clear();
    }
}

fn sending(hello: &str) -> Arc<client::Settings> {
    Arc::new(client::Settings::plain(hello, client::Protocol::Esmtp, Duration::from_secs(300)))
}

/// A transaction begins; what is wrong with that, if anything is.
fn begin(
    wire: &mut Wire,
    (connection, limits): (ConnectionId, &mut Limits),
    parcel: &Parcel,
    content: Vec<u8>,
    now: Timestamp,
) -> Option<String> {
    let terms = &parcel.hop.terms;
    let fault = limits.begin(connection, (&terms.owner, terms.pacing), parcel.recipients.len(), now);
    let envelope = &parcel.envelope;
    let recipients = parcel
        .recipients
        .iter()
        .filter_map(|index| envelope.recipients.get(*index as usize))
        .map(|r| Addressee { address: r.address.clone(), notify: r.notify, orcpt: r.orcpt.clone() })
        .collect();
    let (sender, size, ret, envid) =
        (envelope.sender.clone(), content.len() as u64, envelope.ret, envelope.envid.clone());
    wire.content = content.into();
    let (body, utf8) = (envelope.body, envelope.utf8);
    let require_tls = envelope.require_tls;
    wire.sender.begin(Transaction { sender, recipients, size, body, utf8, ret, envid, require_tls });
    fault
}
