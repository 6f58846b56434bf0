//! What came of a change: the difference that it makes, what must be said at once, and why something was not done.

use crate::layout::Frame;
use crate::{Page, written};
use askama::Template;
use relay::admin::settings::conceal;
use relay::admin::view::Outcome;

/// A line of a difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// `add`, `del`, or nothing.
    pub kind: &'static str,
    /// As `diff -u` has it.
    pub text: String,
}

/// A difference, line by line, without its head and without secrets.
#[must_use]
pub fn diff_lines(diff: &str) -> Vec<Line> {
    let diff = conceal(diff);
    let lines = diff.lines().filter(|line| !line.starts_with("--- ") && !line.starts_with("+++ "));
    let line = |text: &str| {
        let kind = match text.as_bytes().first() {
            Some(b'+') => "add",
            Some(b'-') => "del",
            _ => "",
        };
        Line { kind, text: text.to_owned() }
    };
    lines.map(line).collect()
}

/// What was done: a secret that is shown this once, troubles that must be known.
#[derive(Template)]
#[template(path = "desk/done.html")]
pub struct Done {
    /// What stands around it.
    pub frame: Frame,
    /// What was done.
    pub outcome: Outcome,
    /// What to do with the secret.
    pub secret_note: String,
    /// The page to go to.
    pub back: String,
}

impl Page for Done {
    fn html(&self) -> String {
        written(self.render())
    }
}

/// Why something cannot be shown or done.
#[derive(Template)]
#[template(path = "desk/trouble.html")]
pub struct Trouble {
    /// What stands around it.
    pub frame: Frame,
    /// In a sentence that says what to do.
    pub text: String,
    /// The configuration's problems.
    pub problems: Vec<String>,
    /// The configuration file was edited by hand: where to look at that.
    pub edited: bool,
    /// The page to go back to.
    pub back: String,
}

impl Page for Trouble {
    fn html(&self) -> String {
        written(self.render())
    }
}
