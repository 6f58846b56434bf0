//! The sums of one virtual server's counters, and the last hour as points for plots.
//!
//! [`Counts`] hang on the log of the virtual server ([`crate::log::Log::counting`]): whatever is noted there is counted, whether it is
//! written or not. Counting is adding to atomic numbers: no lock, no allocation. They live as long as the process, so that a
//! virtual server that is restarted by a reload goes on counting where it was.
//!
//! The hour has a fixed size; a point is taken every [`POINT_EVERY`] for all virtual servers at the same time.
//!
//! What is counted is decided in [`relay::counter`].

use relay::admin::view::{SeriesLine, SeriesView, ServerState, ServerView};
use relay::counter::{COUNTERS, Counter, count};
use relay::record::Record;
use smtp::time::Timestamp;
use std::array;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two points.
pub const POINT_EVERY: Duration = Duration::from_secs(10);
/// Points that are kept: an hour of them.
pub const POINTS_MAX: usize = 360;

/// The lines of a plot: name, words, and of what rises the counters that make it up.
const LINES: [(&str, &str, &[Counter]); 6] = [
    ("messages_in", "Messages received", &[Counter::MessagesReceived]),
    ("messages_out", "Messages sent and delivered", &[Counter::MessagesSent, Counter::MessagesDelivered]),
    ("queue", "Messages that wait", &[]),
    ("connections_in", "Sessions of clients", &[]),
    ("connections_out", "Connections to next hops", &[]),
    ("refusals", "Refusals", &[Counter::Refused]),
];
/// What went into Badmail is kept beside them, for alarms.
const BADMAIL: [Counter; 5] = [
    Counter::BadmailPickup,
    Counter::BadmailGeneral,
    Counter::BadmailHops,
    Counter::BadmailNdr,
    Counter::BadmailRecipients,
];
/// Values of one point.
const VALUES: usize = LINES.len() + 1;

/// The sums of one virtual server.
#[derive(Debug)]
pub struct Counts {
    sums: [AtomicU64; COUNTERS],
    dns: Arc<AtomicU64>,
    hour: Mutex<Hour>,
    /// How deep the queue was when it was last asked.
    pub(crate) depth: tokio::sync::Mutex<Option<Depth>>,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            sums: array::from_fn(|_| AtomicU64::new(0)),
            dns: Arc::default(),
            hour: Mutex::default(),
            depth: tokio::sync::Mutex::default(),
        }
    }
}

/// How deep the queue is, as far as it must be asked for it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Depth {
    pub asked: Instant,
    /// How long the answer took.
    pub took: Duration,
    pub local: u64,
    pub local_retry: u64,
    pub retry: u64,
    pub held: u64,
}

/// The points of the last hour.
#[derive(Debug, Default)]
struct Hour {
    points: VecDeque<(u64, [u64; VALUES])>,
    /// What rises, as it was at the newest point.
    before: [u64; VALUES],
}

impl Counts {
    /// Takes a record into account.
    pub fn note(&self, record: &Record) {
        count(record, |counter, by| {
            if by > 0 {
                self.sums[counter.index()].fetch_add(by, Ordering::Relaxed);
            }
        });
    }

    /// Where a resolver counts its questions.
    #[must_use]
    pub fn dns(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dns)
    }

    /// All values: the sums, and the levels as far as `view` has them.
    #[must_use]
    pub fn values(&self, view: &ServerView) -> [u64; COUNTERS] {
        let mut values = array::from_fn(|place| self.sums[place].load(Ordering::Relaxed));
        let mut set = |counter: Counter, value| values[counter.index()] = value;
        set(Counter::DnsQueries, self.dns.load(Ordering::Relaxed));
        set(Counter::Up, u64::from(matches!(view.state, ServerState::Running | ServerState::Paused)));
        set(Counter::ConnectionsInCurrent, view.sessions_in);
        set(Counter::ConnectionsOutCurrent, view.sessions_out);
        set(Counter::Destinations, view.destinations);
        set(Counter::Queue, view.queue.unwrap_or_default());
        values
    }

    fn sum(&self, counters: &[Counter]) -> u64 {
        counters.iter().map(|counter| self.sums[counter.index()].load(Ordering::Relaxed)).sum()
    }

    /// Takes a point.
    pub fn sample(&self, now: Timestamp, view: &ServerView) {
        let at = u64::try_from(now.0 / 1_000).unwrap_or(0);
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rising = [None; VALUES];
        for (line, (_, _, counters)) in LINES.iter().enumerate() {
            rising[line] = (!counters.is_empty()).then(|| self.sum(counters));
        }
        rising[LINES.len()] = Some(self.sum(&BADMAIL));
        let levels = [0, 0, view.queue.unwrap_or_default(), view.sessions_in, view.sessions_out, 0, 0];
        let before = hour.before;
        let point = array::from_fn(|line| rising[line].map_or(levels[line], |sum| sum.saturating_sub(before[line])));
        hour.before = rising.map(Option::unwrap_or_default);
        if hour.points.len() >= POINTS_MAX {
            hour.points.pop_front();
        }
        hour.points.push_back((at, point));
    }

    /// Messages that went into Badmail within the last hour.
    #[must_use]
    pub fn badmailed_lately(&self) -> u64 {
        let hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        let told: u64 = hour.points.iter().map(|(_, point)| point[LINES.len()]).sum();
        told + self.sum(&BADMAIL).saturating_sub(hour.before[LINES.len()])
    }
}

/// The last hour of these virtual servers together.
#[must_use]
pub fn series(counts: &[Arc<Counts>]) -> SeriesView {
    let mut points: BTreeMap<u64, [u64; VALUES]> = BTreeMap::new();
    for counts in counts {
        let hour = counts.hour.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, values) in &hour.points {
            let sum = points.entry(*at).or_insert([0; VALUES]);
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
    let lines = LINES.iter().enumerate().map(|(line, (name, label, _))| SeriesLine {
        name: (*name).into(),
        label: (*label).into(),
        values: points.values().map(|values| values[line]).collect(),
    });
    SeriesView { at: points.keys().copied().collect(), lines: lines.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::envelope::QueueId;
    use smtp::address::ReversePath;

    fn view(queue: u64) -> ServerView {
        ServerView {
            name: "One".into(),
            state: ServerState::Running,
            trouble: Vec::new(),
            listen: Vec::new(),
            home: String::new(),
            fqdn: String::new(),
            sessions_in: 2,
            sessions_out: 1,
            queue: Some(queue),
            destinations: 1,
        }
    }

    fn picked_up() -> Record {
        Record::PickedUp { id: QueueId(1), file: "x".into(), from: ReversePath::Null, size: 10, recipients: 1 }
    }

    #[test]
    fn what_is_noted_is_in_the_values() {
        let counts = Counts::default();
        counts.note(&picked_up());
        counts.dns().fetch_add(3, Ordering::Relaxed);
        let values = counts.values(&view(7));
        let of = |counter: Counter| values[counter.index()];
        assert_eq!(of(Counter::MessagesReceived), 1);
        assert_eq!((of(Counter::DnsQueries), of(Counter::Queue), of(Counter::ConnectionsInCurrent)), (3, 7, 2));
        assert_eq!(of(Counter::Up), 1);
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let counts = Arc::new(Counts::default());
        for point in 0..POINTS_MAX as i64 + 5 {
            counts.note(&picked_up());
            counts.sample(Timestamp(point * 10_000), &view(4));
        }
        let series = series(&[counts]);
        assert_eq!((series.at.len(), series.at[0]), (POINTS_MAX, 50));
        let line = |name: &str| series.lines.iter().find(|line| line.name == name).unwrap().values.clone();
        assert!(line("messages_in").iter().all(|rose| *rose == 1), "how much it rose, not how much there is");
        assert!(line("queue").iter().all(|level| *level == 4));
        assert_eq!(line("messages_in").len(), POINTS_MAX);
    }

    #[test]
    fn several_virtual_servers_are_added_up_point_by_point() {
        let (one, two) = (Arc::new(Counts::default()), Arc::new(Counts::default()));
        one.sample(Timestamp(10_000), &view(1));
        for counts in [&one, &two] {
            counts.sample(Timestamp(20_000), &view(2));
        }
        let series = series(&[one, two]);
        assert_eq!(series.at, [10, 20]);
        assert_eq!(series.lines[2].values, [1, 4]);
    }

    #[test]
    fn badmail_of_the_last_hour_is_told_before_the_next_point_too() {
        let counts = Counts::default();
        let bad = Record::Badmailed { id: QueueId(1), reason: relay::badmail::BadmailReason::NdrOfDsn };
        counts.note(&bad);
        counts.sample(Timestamp(0), &view(0));
        counts.note(&bad);
        assert_eq!(counts.badmailed_lately(), 2);
    }
}
