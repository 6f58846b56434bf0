//! The question before a change, or before what cannot be taken back: what it concerns or what would change, a button that does it, and
//! a way back.

use crate::desk::{Line, diff_lines};
use crate::layout::Frame;
use crate::{Page, written};
use askama::Template;
use relay::admin::view::Outcome;

/// See the module.
#[derive(Template)]
#[template(path = "confirm.html")]
pub struct Confirm {
    /// What stands around it; its title is the question.
    pub frame: Frame,
    /// The virtual server, or empty.
    pub server: String,
    /// What to know before, in sentences.
    pub says: Vec<String>,
    /// What the change would do, if the configuration's difference is to be shown.
    pub change: Option<Outcome>,
    /// Where the answer goes.
    pub action: String,
    /// What goes there with it.
    pub fields: Vec<(String, String)>,
    /// What the button says.
    pub button: String,
    /// It takes something away.
    pub danger: bool,
    /// Where to go instead.
    pub back: String,
}

impl Confirm {
    /// The difference in the configuration file.
    fn lines(&self) -> Vec<Line> {
        self.change.iter().flat_map(|outcome| diff_lines(&outcome.diff)).collect()
    }
}

impl Page for Confirm {
    fn html(&self) -> String {
        written(self.render())
    }
}
