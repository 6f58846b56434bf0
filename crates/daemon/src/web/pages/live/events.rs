//! `/events`: once a second, what moves on every page (sessions and queue of each virtual server, alarms), as server-sent events.
//!
//! One task looks while anybody listens, and all listeners get what it saw, each as much as is his: a listener costs one line a
//! second and no question to the service. A listener who does not take his lines is dropped ([`DEAD_AFTER`]), and so is one whose
//! log-on is over; more than [`VIEWERS_MAX`], or
//! [`VIEWERS_OF_ONE_MAX`] of one operator, are not let in. HTML Living Standard, Server-sent events.

use super::Visit;
use crate::control::{Control, Fault};
use crate::web::{Visitor, Web};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream::{self, Stream};
use relay::account::AccountKey;
use relay::admin::roster::key;
use relay::admin::view::{ServerState, ServerView};
use relay::admin::{Operator, Role, Scope, Sight, may_see};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Pages that are kept up to date at the same time.
pub const VIEWERS_MAX: usize = 256;
/// Of them those of one operator.
pub const VIEWERS_OF_ONE_MAX: usize = 16;
/// Whoever takes no line for so long is not there any more.
pub const DEAD_AFTER: Duration = Duration::from_secs(20);
/// A line is made so often.
const EVERY: Duration = Duration::from_secs(1);
/// Alarms are gathered once in so many lines: that looks at disks.
const ALARMS_EVERY: u32 = 10;

pub(super) fn router() -> Router<Web> {
    Router::new().route("/events", get(events)).layer(Extension(Stage::default()))
}

/// What all listeners have in common.
#[derive(Clone, Default)]
struct Stage {
    house: Arc<Mutex<House>>,
    news: Arc<watch::Sender<Option<Arc<News>>>>,
}

#[derive(Default)]
struct House {
    /// When each listener took his last line, and who he is.
    seats: HashMap<u64, (Instant, AccountKey)>,
    next: u64,
    /// Somebody looks.
    running: bool,
}

/// What was seen.
struct News {
    servers: Vec<ServerView>,
    alarms: Vec<Option<String>>,
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    servers: BTreeMap<&'a str, Figures>,
    alarms: usize,
}

#[derive(Serialize)]
struct Figures {
    state: ServerState,
    sessions: u64,
    /// None: nobody has counted.
    queue: Option<u64>,
}

/// A listener's place; free again when he goes.
struct Seat {
    stage: Stage,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.stage.house().seats.remove(&self.number);
    }
}

impl Stage {
    fn house(&self) -> MutexGuard<'_, House> {
        self.house.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, and somebody who looks; none: all are taken, or all that one may have.
    fn enter(&self, control: &Control, by: &Operator) -> Option<Seat> {
        let seat = self.seat(Instant::now(), &by.name)?;
        if !std::mem::replace(&mut self.house().running, true) {
            tokio::spawn(look(self.clone(), control.clone()));
        }
        Some(seat)
    }

    fn seat(&self, now: Instant, name: &str) -> Option<Seat> {
        let (mut house, who) = (self.house(), key(name));
        let his = house.seats.values().filter(|(_, other)| *other == who).count();
        if house.seats.len() >= VIEWERS_MAX || his >= VIEWERS_OF_ONE_MAX {
            return None;
        }
        house.next += 1;
        let number = house.next;
        house.seats.insert(number, (now, who));
        Some(Seat { stage: self.clone(), number })
    }

    /// Whoever takes no lines goes; is anybody left?
    fn sweep(&self, now: Instant) -> bool {
        let mut house = self.house();
        house.seats.retain(|_, (last, _)| now.saturating_duration_since(*last) < DEAD_AFTER);
        house.running = !house.seats.is_empty();
        house.running
    }

    /// He takes a line; false: his place was given up.
    fn takes(&self, number: u64, now: Instant) -> bool {
        self.house().seats.get_mut(&number).map(|(last, _)| *last = now).is_some()
    }
}

/// Looks once a second, as long as anybody listens.
async fn look(stage: Stage, control: Control) {
    // Sees all; each listener gets what is his.
    let everything = Operator { name: "console".into(), role: Role::Auditor, scope: Scope::All };
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut turn, mut alarms) = (0_u32, Vec::new());
    loop {
        tick.tick().await;
        if !stage.sweep(Instant::now()) {
            stage.news.send_replace(None);
            return;
        }
        if turn.is_multiple_of(ALARMS_EVERY)
            && let Ok(found) = control.alarms(&everything).await
        {
            alarms = found.into_iter().map(|alarm| alarm.server).collect();
        }
        turn = turn.wrapping_add(1);
        if let Ok(servers) = control.servers(&everything).await {
            stage.news.send_replace(Some(Arc::new(News { servers, alarms: alarms.clone() })));
        }
    }
}

async fn events(visit: Visit, Extension(stage): Extension<Stage>) -> Response {
    let Some(seat) = stage.enter(&visit.web.control, visit.by()) else {
        let full = Fault::Unavailable("too many pages are open; close some".into());
        return visit.fail(&full, "/").await;
    };
    Sse::new(lines(seat, visit.web, visit.visitor)).into_response()
}

/// One listener's lines.
fn lines(seat: Seat, web: Web, visitor: Visitor) -> impl Stream<Item = Result<Event, Infallible>> {
    let news = seat.stage.news.subscribe();
    stream::unfold(Some((seat, web, visitor, news)), |place| async move {
        let (seat, web, visitor, mut news) = place?;
        let seen = loop {
            news.changed().await.ok()?;
            if let Some(seen) = news.borrow_and_update().clone() {
                break seen;
            }
        };
        if !seat.stage.takes(seat.number, Instant::now()) {
            return None;
        }
        if !web.knows(&visitor) {
            // The page is told, so that it does not ask again and again as a stranger.
            return Some((Ok(Event::default().event("end").data("log-on")), None));
        }
        let event = Event::default().data(line(&seen, &visitor.operator));
        Some((Ok(event), Some((seat, web, visitor, news))))
    })
}

fn line(news: &News, by: &Operator) -> String {
    let his = |name: &str| may_see(by, Sight::Operation, Some(name)).is_ok();
    let servers = news.servers.iter().filter(|server| his(&server.name));
    let figures = |server: &ServerView| Figures {
        state: server.state,
        sessions: server.sessions_in + server.sessions_out,
        queue: server.queue,
    };
    let line = Line {
        servers: servers.map(|server| (server.name.as_str(), figures(server))).collect(),
        alarms: news.alarms.iter().filter(|server| server.as_deref().map_or(by.scope == Scope::All, his)).count(),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_are_bounded_and_whoever_takes_no_line_goes() {
        let (stage, start) = (Stage::default(), Instant::now());
        let mut seats: Vec<_> =
            (0..VIEWERS_MAX).map_while(|n| stage.seat(start, &format!("anna{}", n / VIEWERS_OF_ONE_MAX))).collect();
        assert_eq!(seats.len(), VIEWERS_MAX);
        assert!(stage.seat(start, "bert").is_none(), "all are taken");
        drop(seats.pop());
        let last = stage.seat(start, "bert").expect("one went");
        let later = start + DEAD_AFTER;
        assert!(stage.takes(last.number, later));
        assert!(stage.sweep(later), "one is left");
        assert_eq!(stage.house().seats.len(), 1);
        assert!(!stage.takes(seats[0].number, later), "his place was given up");
        drop(last);
        assert!(!stage.sweep(later), "nobody: nobody looks any more");
    }

    #[test]
    fn one_operator_keeps_nobody_else_out() {
        let (stage, now) = (Stage::default(), Instant::now());
        let mut seats: Vec<_> = (0..VIEWERS_OF_ONE_MAX).map_while(|_| stage.seat(now, "anna")).collect();
        assert_eq!(seats.len(), VIEWERS_OF_ONE_MAX);
        assert!(stage.seat(now, "Anna").is_none());
        assert!(stage.seat(now, "bert").is_some());
        drop(seats.pop());
        assert!(stage.seat(now, "anna").is_some());
    }
}
