//! How much has gone out on one owner's terms lately, and when more may.
//!
//! The limits of a smart host or a remote domain ([`Pacing`]) hold for all mail that goes out on its terms, whichever
//! destination it has, and count what is under way and what has ended within the last minute or 24 hours. A message
//! counts from the moment it is given to a connection until that long after its end: so by whichever of the instants between
//! the other side counts, no window of its own ever holds more than the limit. What came back untried does not count.
//!
//! The count is kept in slots (a second, five minutes) and not by message, so it is small however high the limit; a slot
//! counts until all of it is past. It is kept under the owner's name, so a changed configuration does not begin it anew.
//!
//! Reads no clock.

use super::{DestinationId, forecast};
use crate::config::Pacing;
use crate::config::terms::Owner;
use smtp::time::Timestamp;
use std::collections::VecDeque;

/// Grain and length of the window for limits a minute.
const MINUTE: Span = Span { slot_ms: 1_000, slots: 60 };
/// Grain and length of the window for limits a day.
const DAY: Span = Span { slot_ms: 5 * 60 * 1_000, slots: 288 };

#[derive(Copy, Clone, Debug)]
struct Span {
    slot_ms: i64,
    slots: i64,
}

/// What ended within one slot of time.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Slot {
    number: i64,
    messages: u64,
    recipients: u64,
}

/// What has ended within the last minute, or day.
#[derive(Debug)]
struct Window {
    span: Span,
    slots: VecDeque<Slot>,
    messages: u64,
    recipients: u64,
}

impl Window {
    fn new(span: Span) -> Window {
        Window { span, slots: VecDeque::new(), messages: 0, recipients: 0 }
    }

    /// Forgets what is past. What a clock that was ahead has written counts from now.
    fn turn(&mut self, now: Timestamp) {
        let present = now.0.div_euclid(self.span.slot_ms);
        while let Some(oldest) = self.slots.front()
            && self.end(*oldest) <= now
        {
            self.messages -= oldest.messages;
            self.recipients -= oldest.recipients;
            self.slots.pop_front();
        }
        let (mut messages, mut recipients) = (0, 0);
        while let Some(slot) = self.slots.pop_back_if(|slot| slot.number > present) {
            messages += slot.messages;
            recipients += slot.recipients;
        }
        if messages > 0 {
            self.slots.push_back(Slot { number: present, messages, recipients });
        }
    }

    fn note(&mut self, messages: u64, recipients: u64, at: Timestamp) {
        let number = at.0.div_euclid(self.span.slot_ms);
        self.messages += messages;
        self.recipients += recipients;
        match self.slots.back_mut() {
            Some(last) if last.number >= number => {
                last.messages += messages;
                last.recipients += recipients;
            }
            _ => self.slots.push_back(Slot { number, messages, recipients }),
        }
    }

    /// From when on this slot counts no more.
    fn end(&self, slot: Slot) -> Timestamp {
        Timestamp((slot.number + 1 + self.span.slots).saturating_mul(self.span.slot_ms))
    }

    /// When `more` fit under `limit`, beside `flying` that are under way.
    fn room(&self, more: u64, flying: u64, limit: u64, count: impl Fn(&Slot) -> u64) -> Room {
        let Some(most) = limit.saturating_sub(flying).checked_sub(more) else { return Room::WhenOneEnds };
        let mut left: u64 = self.slots.iter().map(&count).sum();
        let mut at = None;
        for slot in &self.slots {
            if left <= most {
                break;
            }
            left -= count(slot);
            at = Some(self.end(*slot));
        }
        at.map_or(Room::Now, Room::At)
    }
}

impl Window {
    /// When the last of `more` finds room under `limit`, if all go as soon as they may. The first go into what is free at
    /// `start`, the next as slots end; and each makes room for another one a window later.
    fn when(&self, more: u64, limit: u64, start: Timestamp, count: impl Fn(&Slot) -> u64) -> Timestamp {
        let limit = limit.max(1);
        let used: u64 = self.slots.iter().map(&count).sum();
        let (windows, last) = (more.saturating_sub(1) / limit, more.saturating_sub(1) % limit);
        let mut room = limit.saturating_sub(used);
        let mut at = start;
        for slot in &self.slots {
            if last < room {
                break;
            }
            room += count(slot);
            at = self.end(*slot).max(start);
        }
        let window = (self.span.slots + 1) * self.span.slot_ms;
        Timestamp(at.0.saturating_add(window.saturating_mul(i64::try_from(windows).unwrap_or(i64::MAX))))
    }
}

/// When one more message may go.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Room {
    Now,
    /// Not before.
    At(Timestamp),
    /// As soon as one that is under way has ended, at the earliest.
    WhenOneEnds,
    /// As soon as a connection of the same owner is closed, at the earliest.
    WhenOneCloses,
}

/// What went out on an owner's terms, for the daemon to keep over a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paced {
    /// Whose terms.
    pub owner: Owner,
    /// What ended in the last 24 hours: until when it counts, messages, recipients. Oldest first.
    pub ended: Vec<(Timestamp, u64, u64)>,
}

/// What goes out on one owner's terms. See the module.
#[derive(Debug)]
pub(super) struct Pace {
    pub owner: Owner,
    /// Destinations that share it.
    pub destinations: u32,
    /// Connections open or opening.
    pub connections: u32,
    /// Those of them that have nothing to do.
    pub idle: u32,
    flying_messages: u64,
    flying_recipients: u64,
    minute: Window,
    day: Window,
    /// Destinations that have work and room of their own, and wait for this.
    pub waiting: VecDeque<DestinationId>,
    /// It may have room, as far as is known.
    pub open: bool,
    /// Its name stands among those that may have room.
    pub listed: bool,
    /// It will be looked at again then.
    pub wake: Option<Timestamp>,
}

impl Pace {
    pub fn new(owner: Owner) -> Pace {
        Pace {
            owner,
            destinations: 0,
            connections: 0,
            idle: 0,
            flying_messages: 0,
            flying_recipients: 0,
            minute: Window::new(MINUTE),
            day: Window::new(DAY),
            waiting: VecDeque::new(),
            open: false,
            listed: false,
            wake: None,
        }
    }

    /// Nobody uses it, and nothing counts any more.
    pub fn is_blank(&self) -> bool {
        self.destinations == 0 && self.connections == 0 && self.day.slots.is_empty()
    }

    /// A blank one serves another owner. (Where its name stands, it stands.)
    pub fn begin_anew(&mut self, owner: Owner) {
        *self = Pace { wake: self.wake, listed: self.listed, ..Pace::new(owner) };
    }

    pub fn turn(&mut self, now: Timestamp) {
        self.minute.turn(now);
        self.day.turn(now);
    }

    /// May a message to so many recipients go? `opens`: it needs a connection of its own. After [`Pace::turn`].
    pub fn room(&self, pacing: &Pacing, recipients: u32, opens: bool) -> Room {
        if opens && pacing.connections_max.is_some_and(|most| self.connections >= most) {
            return Room::WhenOneCloses;
        }
        let (messages, flying) = (|slot: &Slot| slot.messages, self.flying_messages);
        let by_minute = pacing.messages_per_minute.map(|most| self.minute.room(1, flying, most.into(), messages));
        let by_day = pacing.messages_per_day.map(|most| self.day.room(1, flying, most.into(), messages));
        let by_recipients = pacing.recipients_per_day.map(|most| {
            // A lot that was made under a higher limit has its turn when nothing else counts.
            let more = recipients.min(most);
            self.day.room(more.into(), self.flying_recipients, most.into(), |slot| slot.recipients)
        });
        let mut latest = Room::Now;
        for room in [by_minute, by_day, by_recipients].into_iter().flatten() {
            latest = match (latest, room) {
                (Room::At(a), Room::At(b)) => Room::At(a.max(b)),
                (Room::Now, other) | (other, Room::Now) => other,
                _ => Room::WhenOneEnds,
            };
        }
        latest
    }

    /// Until when the limits a minute and a day hold up a message to so many; `None` within: until one that is under way ends.
    pub fn holds_up(&self, pacing: &Pacing, recipients: u32) -> Option<Option<Timestamp>> {
        match self.room(pacing, recipients, false) {
            Room::Now => None,
            Room::At(time) => Some(Some(time)),
            Room::WhenOneEnds | Room::WhenOneCloses => Some(None),
        }
    }

    pub fn begin(&mut self, recipients: u32) {
        self.flying_messages += 1;
        self.flying_recipients += u64::from(recipients);
    }

    /// It was tried.
    pub fn ended(&mut self, recipients: u32, now: Timestamp) {
        self.untried(recipients);
        self.turn(now);
        self.minute.note(1, recipients.into(), now);
        self.day.note(1, recipients.into(), now);
    }

    /// It came back untried.
    pub fn untried(&mut self, recipients: u32) {
        self.flying_messages = self.flying_messages.saturating_sub(1);
        self.flying_recipients = self.flying_recipients.saturating_sub(u64::from(recipients));
    }

    /// Messages and recipients that count for today's limits.
    pub fn today(&self) -> (u64, u64) {
        (self.day.messages + self.flying_messages, self.day.recipients + self.flying_recipients)
    }

    /// When `waiting` more messages will have gone, if nothing but the limits holds them up; `None` without such limits.
    /// Their recipients are taken to be as many as those of the last messages.
    pub fn when_all(&self, pacing: &Pacing, waiting: u64, start: Timestamp) -> Option<Timestamp> {
        let by_minute = pacing.messages_per_minute.map(|most| {
            let minutes = waiting as f64 / f64::from(most.max(1));
            start.plus(forecast::minutes(minutes))
        });
        let by_day =
            pacing.messages_per_day.map(|most| self.day.when(waiting, most.into(), start, |slot| slot.messages));
        let by_recipients = pacing.recipients_per_day.map(|most| {
            let (messages, recipients) = self.today();
            let more = waiting.saturating_mul(recipients.max(1)).div_ceil(messages.max(1)).max(waiting);
            self.day.when(more, most.into(), start, |slot| slot.recipients)
        });
        by_minute.max(by_day).max(by_recipients)
    }

    /// What counts for today; what is under way may have arrived, and counts as if it ended now.
    pub fn paced(&self, now: Timestamp) -> Paced {
        let slots = self.day.slots.iter().copied();
        let flying = Slot {
            number: now.0.div_euclid(DAY.slot_ms),
            messages: self.flying_messages,
            recipients: self.flying_recipients,
        };
        let all = slots.chain([flying]).filter(|slot| slot.messages > 0);
        let ended = all.map(|slot| (self.day.end(slot), slot.messages, slot.recipients));
        Paced { owner: self.owner.clone(), ended: ended.collect() }
    }

    /// What an earlier life had sent counts as well.
    pub fn resume(&mut self, paced: &Paced) {
        let span = DAY.slots + 1;
        for (until, messages, recipients) in &paced.ended {
            self.day.note(*messages, *recipients, Timestamp(until.0.saturating_sub(span * DAY.slot_ms)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp(1_800_000_000_500);

    fn pacing(minute: Option<u32>, day: Option<u32>, recipients: Option<u32>) -> Pacing {
        Pacing {
            messages_per_minute: minute,
            messages_per_day: day,
            recipients_per_day: recipients,
            ..Pacing::default()
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(T.0 + seconds * 1_000)
    }

    fn send(pace: &mut Pace, recipients: u32, now: Timestamp) {
        pace.begin(recipients);
        pace.ended(recipients, now);
    }

    #[test]
    fn a_minutes_limit_opens_again_a_minute_after_the_end() {
        let mut pace = Pace::new(Owner::Server);
        let limit = pacing(Some(2), None, None);
        send(&mut pace, 1, at(0));
        assert_eq!(pace.room(&limit, 1, true), Room::Now);
        pace.begin(1);
        assert_eq!(pace.room(&limit, 1, true), Room::At(Timestamp(T.0 - 500 + 61_000)), "the first leaves the window");
        pace.begin(1);
        assert_eq!(pace.room(&limit, 1, true), Room::WhenOneEnds, "both places are taken by what is under way");
        pace.untried(1);
        pace.ended(1, at(30));
        pace.turn(at(60));
        assert!(matches!(pace.room(&limit, 1, true), Room::At(_)));
        pace.turn(at(61));
        assert_eq!(pace.room(&limit, 1, true), Room::Now);
    }

    #[test]
    fn a_days_limits_count_messages_and_recipients() {
        let mut pace = Pace::new(Owner::Server);
        for hour in 0..10 {
            send(&mut pace, 10, at(hour * 3_600));
        }
        pace.turn(at(40_000));
        assert_eq!(pace.room(&pacing(None, Some(11), Some(110)), 10, true), Room::Now);
        let Room::At(when) = pace.room(&pacing(None, Some(10), None), 1, true) else { panic!() };
        assert!(when >= at(86_400) && when <= at(86_400 + 300), "when the oldest is a day old");
        let Room::At(when) = pace.room(&pacing(None, None, Some(105)), 25, true) else { panic!() };
        assert!(when >= at(86_400 + 3_600) && when <= at(86_400 + 3_900), "when two of them are a day old: {when:?}");
        assert_eq!(
            pace.room(&pacing(None, None, Some(100)), 200, true),
            pace.room(&pacing(None, None, Some(100)), 100, true)
        );
        assert_eq!(pace.today(), (10, 100));
        assert!(pace.day.slots.len() == 10 && pace.minute.slots.len() <= 1);
    }

    /// By whatever instant between beginning and end the other side counts.
    #[test]
    fn no_window_ever_holds_more_than_the_limit() {
        let mut pace = Pace::new(Owner::Server);
        let limit = pacing(Some(5), None, None);
        let mut seen: Vec<i64> = Vec::new();
        let mut flying: Vec<(i64, i64)> = Vec::new();
        let mut seed = 7u64;
        for now in (0..600_000).step_by(250) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (over, still): (Vec<_>, Vec<_>) = flying.into_iter().partition(|(_, end)| *end <= now);
            flying = still;
            for (begun, _) in over {
                // Counted by the other side at any time while it was under way.
                let counted = begun + i64::try_from(seed >> 40).unwrap() % (now - begun + 1);
                seen.push(counted);
                pace.ended(1, Timestamp(T.0 + now));
            }
            pace.turn(Timestamp(T.0 + now));
            while pace.room(&limit, 1, true) == Room::Now {
                pace.begin(1);
                flying.push((now, now + 250 + i64::try_from(seed >> 33).unwrap() % 20_000));
            }
        }
        seen.sort_unstable();
        assert!(seen.len() > 30, "{}", seen.len());
        assert!(seen.windows(6).all(|six| six[5] - six[0] >= 60_000), "{seen:?}");
    }

    #[test]
    fn a_clock_that_was_ahead_blocks_nothing_for_longer_than_a_window() {
        let mut pace = Pace::new(Owner::Server);
        let limit = pacing(Some(1), Some(1), None);
        send(&mut pace, 1, at(86_400 * 3_650));
        pace.turn(at(0));
        let Room::At(when) = pace.room(&limit, 1, true) else { panic!() };
        assert!(when <= at(86_400 + 600), "{when:?}");
    }

    #[test]
    fn what_an_earlier_life_sent_counts() {
        let mut pace = Pace::new(Owner::SmartHost("office".into()));
        for hour in 0..5 {
            send(&mut pace, 3, at(hour * 3_600));
        }
        let kept = pace.paced(at(18_000));
        let mut next = Pace::new(kept.owner.clone());
        next.resume(&kept);
        next.turn(at(20_000));
        pace.turn(at(20_000));
        assert_eq!(next.paced(at(20_000)), kept);
        let limit = pacing(None, Some(5), None);
        assert_eq!(next.room(&limit, 1, true), pace.room(&limit, 1, true));
    }
}
