//! A whole life of a relay in one thread: clients, peers, disk, clock and operator, all drawn from one seed.
//!
//! The real machines, queue and spool run here; what the daemon does with threads and sockets is done by an agenda of
//! acts, each at its time. First a phase with faults (moody peers, cut wires, failing disk, power cuts, changed
//! configurations), then one without, in which everything must come to its end.

use crate::chance::Chance;
use crate::ledger::Ledger;
use crate::limits::{Limits, Strict};
use crate::node::Node;
use crate::operator::Checks;
use crate::peer::Peer;
use crate::wire::Wire;
use relay::badmail::BadmailJob;
use relay::envelope::QueueId;
use relay::parcel::{ConnectionId, Parcel};
use relay::queue::{Event, ReportJob, Totals};
use relay::scheduler::Paced;
use smtp::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// How long the world makes trouble.
const TROUBLE: Duration = Duration::from_secs(6 * 3_600);
/// How long it then has to bring everything to its end: longer than the expiry of a report about an expired message.
const PEACE: Duration = Duration::from_secs(9 * 86_400);
/// Acts in one life; more means that something goes round in circles.
const ACTS_MAX: u64 = 3_000_000;

/// Something that happens at a time.
#[derive(Debug)]
pub(crate) enum Act {
    /// A wire moves.
    Pump(u64),
    /// A client connects with some messages.
    Submit,
    /// A connection that the queue asked for reaches its host, or not.
    Arrive(ConnectionId, Box<Parcel>),
    /// The journal writes what waits.
    Commit,
    /// The folder does its next job.
    Folder,
    /// The queue wanted to be woken.
    Wake,
    /// A parcel is written to Drop.
    Drop(Box<Parcel>),
    /// A message is put into Badmail.
    Badmail(Box<BadmailJob>),
    /// A report is composed.
    Report(Box<ReportJob>),
    /// A host changes its mood.
    Sway(usize),
    /// An operator changes the configuration.
    Reconfigure,
    /// The power fails.
    PowerCut,
    /// And comes back.
    Restart,
    /// The disk's weather changes.
    Weather,
    /// An operator looks at the queue, or gives an order about it.
    Operate,
    /// The operator lets all go that is held or suspended.
    LetGo,
    /// An operator asks the relay to end.
    Drain,
    /// It has had time enough for what was under way.
    Stop,
}

/// What a wire is for.
pub(crate) enum Role {
    /// A client hands in messages.
    Inbound(Box<crate::node::Intake>),
    /// The relay delivers to a peer.
    Outbound(Box<Delivery>),
}

impl Role {
    /// The message that is on its way here.
    fn carries(&self) -> Option<QueueId> {
        match self {
            Role::Inbound(_) => None,
            Role::Outbound(delivery) => delivery.parcel.as_ref().map(|parcel| parcel.id),
        }
    }
}

/// The outbound end of a wire and the peer at the other end.
pub(crate) struct Delivery {
    pub connection: ConnectionId,
    pub peer: usize,
    /// The parcel that is to be sent, or is being sent.
    pub parcel: Option<Parcel>,
    pub begun: bool,
    pub greeted: bool,
    /// What the peer has been told in this transaction.
    pub taken: Vec<String>,
    pub content: Vec<u8>,
}

/// What a life came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Story {
    /// The seed.
    pub seed: u64,
    /// Messages promised, reports included.
    pub promised: usize,
    /// Power cuts survived.
    pub cuts: u32,
    /// Acts.
    pub acts: u64,
    /// Limits of smart hosts that were reached to the full.
    pub reached: BTreeSet<Strict>,
    /// What went wrong: empty in a good life.
    pub faults: Vec<String>,
}

/// See the module.
pub struct Life {
    pub(crate) seed: u64,
    pub(crate) chance: Chance,
    pub(crate) now: Timestamp,
    agenda: BTreeMap<(Timestamp, u64), Act>,
    serial: u64,
    pub(crate) node: Node,
    pub(crate) peers: Vec<Peer>,
    pub(crate) wires: BTreeMap<u64, (Wire, Role)>,
    pub(crate) outbound: HashMap<ConnectionId, u64>,
    pub(crate) ledger: Ledger,
    pub(crate) checks: Checks,
    pub(crate) limits: Limits,
    /// What had gone out on terms with limits when the last life ended.
    paced: Vec<Paced>,
    pub(crate) peace: bool,
    pub(crate) cuts: u32,
    wake_at: Option<Timestamp>,
    /// When the journal tries again what found no room.
    pub(crate) commit_again_at: Option<Timestamp>,
    trace: bool,
}

impl Life {
    /// The life of a seed; `trace` prints every act.
    #[must_use]
    pub fn new(seed: u64, trace: bool) -> Life {
        let mut chance = Chance::new(seed);
        let peers = ["far.test", "near.test", "slow.test", "a.example", "b.example", "smart1.test", "smart2.test"]
            .map(Peer::new)
            .into();
        let now = Timestamp(1_800_000_000_000);
        let node = Node::new(&mut chance, now);
        Life {
            seed,
            chance,
            now,
            agenda: BTreeMap::new(),
            serial: 0,
            node,
            peers,
            wires: BTreeMap::new(),
            outbound: HashMap::new(),
            ledger: Ledger::default(),
            checks: Checks::default(),
            limits: Limits::default(),
            paced: Vec::new(),
            peace: false,
            cuts: 0,
            wake_at: None,
            commit_again_at: None,
            trace,
        }
    }

    /// Lives it to its end.
    #[must_use]
    pub fn live(mut self) -> Story {
        self.plan();
        let trouble_ends = self.now.plus(TROUBLE);
        let acts = self.run_until(trouble_ends, 0);
        self.make_peace();
        let end = self.now.plus(PEACE);
        let acts = self.run_until(end, acts);
        self.last_look();
        Story {
            seed: self.seed,
            promised: self.ledger.len(),
            cuts: self.cuts,
            acts,
            reached: std::mem::take(&mut self.limits.reached),
            faults: std::mem::take(&mut self.ledger.faults),
        }
    }

    fn plan(&mut self) {
        let submits = self.chance.between(5, 60);
        for _ in 0..submits {
            let at = self.chance.below(TROUBLE.as_secs());
            self.at(Duration::from_secs(at), Act::Submit);
        }
        for peer in 0..self.peers.len() {
            for _ in 0..self.chance.below(8) {
                let at = self.chance.below(TROUBLE.as_secs());
                self.at(Duration::from_secs(at), Act::Sway(peer));
            }
        }
        for _ in 0..self.chance.below(6) {
            let at = self.chance.below(TROUBLE.as_secs() * 1_000);
            self.at(Duration::from_millis(at), Act::PowerCut);
        }
        for _ in 0..self.chance.below(4) {
            let at = self.chance.below(TROUBLE.as_secs());
            self.at(Duration::from_secs(at), Act::Reconfigure);
        }
        for _ in 0..self.chance.below(8) {
            let at = self.chance.below(TROUBLE.as_secs());
            self.at(Duration::from_secs(at), Act::Weather);
        }
        for _ in 0..self.chance.below(3) {
            let at = self.chance.below(TROUBLE.as_secs());
            self.at(Duration::from_secs(at), Act::Drain);
        }
        self.plan_operator(TROUBLE);
    }

    fn make_peace(&mut self) {
        self.peace = true;
        self.agenda
            .retain(|_, act| !matches!(act, Act::Sway(_) | Act::PowerCut | Act::Weather | Act::Drain | Act::Operate));
        // An order to hold may still be under way.
        for minutes in [2, 60, 180] {
            self.at(Duration::from_secs(minutes * 60), Act::LetGo);
        }
        for peer in &mut self.peers {
            peer.mood = crate::peer::Mood::Kind;
        }
        for (wire, _) in self.wires.values_mut() {
            wire.cut_after = None;
        }
        self.node.heal();
    }

    fn run_until(&mut self, end: Timestamp, mut acts: u64) -> u64 {
        while let Some(entry) = self.agenda.first_entry() {
            let (at, _) = *entry.key();
            if at > end || !self.ledger.faults.is_empty() {
                break;
            }
            let act = entry.remove();
            self.now = self.now.max(at);
            if self.trace {
                println!("{} {act:.300?}", self.now.rfc3339());
            }
            self.act(act);
            acts += 1;
            if acts > ACTS_MAX {
                self.ledger.faults.push(format!("still busy after {acts} acts"));
            }
        }
        acts
    }

    /// Puts an act on the agenda, `wait` from now.
    pub(crate) fn at(&mut self, wait: Duration, act: Act) {
        self.serial += 1;
        self.agenda.insert((self.now.plus(wait), self.serial), act);
    }

    /// Puts an act on the agenda, up to `most` milliseconds from now.
    pub(crate) fn soon(&mut self, most: u64, act: Act) {
        let wait = Duration::from_millis(self.chance.below(most));
        self.at(wait, act);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Restart => self.restart(),
            Act::Sway(peer) => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.sway(&mut self.chance);
                }
            }
            Act::Submit => self.submit(),
            _ if !self.node.is_up() => {}
            Act::Pump(wire) => self.pump(wire),
            Act::Arrive(connection, parcel) => self.arrive(connection, *parcel),
            Act::Commit => self.commit(),
            Act::Folder => self.folder_job(),
            // Another one has been planned for an earlier time since.
            Act::Wake if self.wake_at.is_none_or(|at| at > self.now) => {}
            Act::Wake => {
                self.wake_at = None;
                self.tell(Event::Tick);
            }
            Act::Drop(parcel) => self.drop_parcel(&parcel),
            Act::Badmail(job) => self.put_into_badmail(&job),
            Act::Report(job) => self.make_report(&job),
            Act::Reconfigure => {
                let server = self.node.another_server(&mut self.chance);
                self.tell(Event::Configured(server));
            }
            Act::PowerCut => self.power_cut(),
            Act::Operate => self.operate(),
            Act::LetGo => self.let_go(),
            Act::Weather => self.node.change_weather(&mut self.chance),
            Act::Drain => {
                self.tell(Event::Drain);
                self.at(Duration::from_secs(10), Act::Stop);
            }
            Act::Stop => self.stop(),
        }
        self.ledger.check_once();
    }

    /// Applies an event and carries out what the queue asks for.
    pub(crate) fn tell(&mut self, event: Event) {
        if let Event::Closed { connection, .. } = &event {
            self.limits.closed(*connection);
        }
        let mut effects = Vec::new();
        self.node.queue.apply(event, self.now, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
        if let Some(due) = self.node.queue.next_due()
            && self.wake_at.is_none_or(|at| at > due)
        {
            self.wake_at = Some(due);
            self.at(due.since(self.now), Act::Wake);
        }
    }

    fn power_cut(&mut self) {
        self.cuts += 1;
        self.wires.clear();
        self.outbound.clear();
        self.wake_at = None;
        self.commit_again_at = None;
        // Whatever was in flight, or noted and not synced, may be delivered again.
        self.ledger.make_all_ambiguous();
        self.end_life();
        self.node.power_cut(&mut self.chance);
        self.nothing_but_plans();
        self.soon(60_000, Act::Restart);
    }

    /// What the program is told of its last life when it starts again.
    fn end_life(&mut self) {
        self.paced = self.node.queue.paced(self.now);
        self.limits.next_life();
        self.checks.end();
    }

    fn nothing_but_plans(&mut self) {
        self.agenda.retain(|_, act| {
            let planned = matches!(act, Act::Submit | Act::Sway(_) | Act::Reconfigure | Act::PowerCut);
            planned || matches!(act, Act::Weather | Act::Drain | Act::Restart | Act::Operate | Act::LetGo)
        });
    }

    /// The relay ends politely: what was handed over is written, what is under way is left.
    pub(crate) fn stop(&mut self) {
        for _ in 0..3 {
            self.commit();
            while !self.node.jobs.is_empty() {
                self.folder_job();
            }
        }
        if self.node.has_unwritten() || !self.node.queue.is_settled() {
            self.ledger.make_all_ambiguous();
        }
        let under_way: Vec<QueueId> = self.wires.values().filter_map(|(_, role)| role.carries()).collect();
        for id in under_way {
            self.ledger.make_ambiguous(id);
        }
        self.wires.clear();
        self.outbound.clear();
        self.wake_at = None;
        self.commit_again_at = None;
        self.end_life();
        self.node.shut_down();
        self.nothing_but_plans();
        self.soon(5_000, Act::Restart);
    }

    fn restart(&mut self) {
        if self.node.is_up() {
            return;
        }
        match self.node.recover(self.now, &mut self.ledger, &self.checks) {
            Ok(events) => {
                let paced = std::mem::take(&mut self.paced);
                self.tell(Event::Paced(paced));
                self.remember_suspensions();
                for event in events {
                    self.tell(event);
                }
                self.tell(Event::FoundAll);
            }
            Err(why) => self.ledger.faults.push(format!("recovery failed: {why}")),
        }
    }

    fn last_look(&mut self) {
        if !self.ledger.faults.is_empty() {
            return;
        }
        let left: Vec<QueueId> = self.node.queue.ids().collect();
        if !left.is_empty() {
            self.ledger.faults.push(format!("with the faults gone, these are still queued: {left:?}"));
            for id in left {
                self.ledger.faults.push(self.node.queue.explain(id));
            }
        }
        self.ledger.check_kept();
        let queue = &self.node.queue;
        let (totals, alarms, memory) = (queue.totals(), queue.alarms(), queue.envelopes_in_memory());
        if totals != Totals::default() || alarms + memory > 0 {
            self.ledger.faults.push(format!("the queue is empty and still holds {totals:?}, {alarms} alarms"));
        }
        // What could not be removed in bad weather is swept at the next start.
        self.stop();
        self.restart();
        let files = self.node.files();
        if !files.is_empty() {
            self.ledger.faults.push(format!("the queue is empty, and its folder holds {files:?}"));
        }
    }
}
