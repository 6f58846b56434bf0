//! Overview: each virtual server's state, with start, stop, pause and continue; plots of the last hour; alarms.
//!
//! IIS: the list of virtual servers with their states; the plots were the System Monitor's.

use crate::layout::Frame;
use crate::{Page, path, words, written};
use askama::Template;
use relay::admin::view::{Alarm, SeriesView, ServerState, ServerView};
use relay::admin::{Command, ServerVerb};

/// The page.
#[derive(Template)]
#[template(path = "live/overview.html", blocks = ["live"])]
pub struct Overview {
    /// What stands around it; its servers are the page's.
    pub frame: Frame,
    /// What an operator should see to.
    pub alarms: Vec<Alarm>,
    /// The last hour of all his virtual servers.
    pub series: SeriesView,
}

impl Page for Overview {
    fn html(&self) -> String {
        written(self.render())
    }

    fn live(&self) -> String {
        written(self.as_live().render())
    }
}

impl Overview {
    /// The series as JSON, for the script that draws it.
    fn plotted(&self) -> String {
        serde_json::to_string(&self.series).unwrap_or_default()
    }

    fn plots(&self) -> &'static [Plot] {
        &PLOTS
    }
}

/// What can be done with a virtual server in this state: the verb, as a form has it, and its label.
pub(crate) fn verbs(frame: &Frame, server: &ServerView) -> Vec<(&'static str, &'static str)> {
    let verbs: &[_] = match server.state {
        ServerState::Running => &[(ServerVerb::Pause, "pause", "Pause"), (ServerVerb::Stop, "stop", "Stop")],
        ServerState::Paused => &[(ServerVerb::Continue, "continue", "Continue"), (ServerVerb::Stop, "stop", "Stop")],
        ServerState::Stopped => &[(ServerVerb::Start, "start", "Start")],
        ServerState::Starting => &[(ServerVerb::Stop, "stop", "Stop")],
        ServerState::Failed => &[(ServerVerb::Start, "start", "Start"), (ServerVerb::Stop, "stop", "Stop")],
    };
    let allowed = |verb: ServerVerb| frame.may(&Command::ServerState { server: server.name.clone(), verb });
    verbs.iter().filter(|(verb, ..)| allowed(*verb)).map(|(_, word, label)| (*word, *label)).collect()
}

/// A plot: which lines of the series it shows.
pub(crate) struct Plot {
    pub(crate) label: &'static str,
    pub(crate) note: &'static str,
    /// As the series names them, and what the page calls them.
    pub(crate) lines: &'static [(&'static str, &'static str)],
}

impl Plot {
    pub(crate) fn names(&self) -> String {
        self.lines.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    }
}

/// What there is to see of the last hour.
pub(crate) const PLOTS: [Plot; 4] = [
    Plot { label: "Messages", note: "in 10 seconds", lines: &[("messages_in", "in"), ("messages_out", "out")] },
    Plot { label: "Queue length", note: "messages", lines: &[("queue", "waiting")] },
    Plot { label: "Connections", note: "open", lines: &[("connections_in", "in"), ("connections_out", "out")] },
    Plot { label: "Refusals", note: "in 10 seconds", lines: &[("refusals", "refused")] },
];
