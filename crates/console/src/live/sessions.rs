//! Current Sessions: who is connected to us, and whom we are connected to; one session with its dialogue.
//!
//! IIS: Current Sessions (User, From, Connected Time; Terminate, Terminate All).

use super::page;
use crate::layout::Frame;
use crate::{path, words};
use askama::Template;
use relay::admin::view::{DialogueView, SessionView};
use relay::admin::{Command, Direction};

/// The list.
#[derive(Template)]
#[template(path = "live/sessions.html", blocks = ["live"])]
pub struct Sessions {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// Only these.
    pub direction: Option<Direction>,
    /// Only those with this in their user, address or destination.
    pub find: String,
    /// Those of this page.
    pub sessions: Vec<SessionView>,
    /// How many there are in all, of this direction and with this in them.
    pub total: usize,
    /// How many come before this page.
    pub skipped: usize,
}

/// One session with its dialogue so far.
#[derive(Template)]
#[template(path = "live/dialogue.html", blocks = ["live"])]
pub struct Dialogue {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// The session.
    pub view: DialogueView,
}

/// A session that was looked at and has ended.
#[derive(Template)]
#[template(path = "live/session_gone.html", blocks = ["live"])]
pub struct SessionGone {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// Its id.
    pub id: String,
}

page!(Sessions, live);
page!(Dialogue, live);
page!(SessionGone, live);

/// A direction as a form or an address has it; anything else: both.
#[must_use]
pub fn direction(word: Option<&str>) -> Option<Direction> {
    match word {
        Some("inbound") => Some(Direction::Inbound),
        Some("outbound") => Some(Direction::Outbound),
        _ => None,
    }
}

fn direction_word(direction: Option<Direction>) -> &'static str {
    match direction {
        Some(Direction::Inbound) => "inbound",
        Some(Direction::Outbound) => "outbound",
        None => "",
    }
}

impl Sessions {
    /// This page's address with another direction or another beginning.
    fn address(&self, direction: &str, skip: usize) -> String {
        let skip = if skip == 0 { String::new() } else { skip.to_string() };
        let fields = [("direction", direction), ("find", &*self.find), ("skip", &*skip)];
        path::server(&self.server, &["sessions"]) + &path::query(&fields)
    }

    fn here(&self) -> String {
        self.address(self.direction_word(), self.skipped)
    }

    fn direction_word(&self) -> &'static str {
        direction_word(self.direction)
    }

    fn tabs(&self) -> [(&'static str, String, bool); 3] {
        [("All", None), ("Inbound", Some(Direction::Inbound)), ("Outbound", Some(Direction::Outbound))]
            .map(|(label, direction)| (label, self.address(direction_word(direction), 0), self.direction == direction))
    }

    /// The number of the first one on this page.
    fn first(&self) -> u64 {
        self.skipped as u64 + 1
    }

    fn last(&self) -> u64 {
        (self.skipped + self.sessions.len()) as u64
    }

    fn all(&self) -> u64 {
        self.total as u64
    }

    fn next(&self) -> Option<String> {
        let shown = self.skipped + self.sessions.len();
        (shown < self.total).then(|| self.address(self.direction_word(), shown))
    }

    fn may_end(&self) -> bool {
        let all = Command::SessionEndAll { server: self.server.clone(), direction: self.direction };
        self.frame.may(&all)
    }

    fn end_all(&self) -> String {
        path::server(&self.server, &["sessions", "end-all"]) + &path::query(&[("direction", self.direction_word())])
    }
}

impl Dialogue {
    fn may_end(&self) -> bool {
        let one = Command::SessionEnd { server: self.server.clone(), session: self.view.session.id.clone() };
        self.frame.may(&one)
    }

    fn other(&self) -> &'static str {
        match self.view.session.direction {
            Direction::Inbound => "client",
            Direction::Outbound => "host",
        }
    }
}
