//! One message that waits: envelope, headers and text, recipients, every attempt with the other side's words.

use super::queue::verbs;
use super::{page, tone};
use crate::layout::Frame;
use crate::{path, words};
use askama::Template;
use relay::admin::view::{ContentView, MessageView};

/// The page.
#[derive(Template)]
#[template(path = "live/message.html", blocks = ["live"])]
pub struct Message {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// Its envelope.
    pub view: MessageView,
    /// What it says, or why that cannot be read.
    pub content: Result<ContentView, String>,
}

page!(Message, live);

impl Message {
    /// What makes sense with it as it stands.
    fn verbs(&self) -> Vec<(&'static str, &'static str, bool)> {
        let useless = if self.view.summary.state == "held" { "hold" } else { "release" };
        verbs(&self.frame, &self.server).into_iter().filter(|(verb, ..)| *verb != useless).collect()
    }
}
