//! What a change would do, before it is done; what was done, where that must be said at once; and why something was not.

use crate::layout::Frame;
use crate::{Page, written};
use askama::Template;
use relay::admin::Command;
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

/// "This would happen": with a button that does it.
#[derive(Template)]
#[template(path = "desk/confirm.html")]
pub struct Confirm {
    /// What stands around it.
    pub frame: Frame,
    /// The change itself.
    pub command: Command,
    /// What it would do.
    pub outcome: Outcome,
    /// The button's words.
    pub button: String,
    /// It takes something away.
    pub danger: bool,
    /// What to know before.
    pub notes: Vec<String>,
    /// The configuration that the difference is to ([`Control::mark`]).
    pub mark: String,
    /// The page that follows.
    pub back: String,
    /// The page that one comes from.
    pub cancel: String,
}

impl Confirm {
    fn json(&self) -> String {
        serde_json::to_string(&self.command).unwrap_or_default()
    }

    fn lines(&self) -> Vec<Line> {
        diff_lines(&self.outcome.diff)
    }
}

impl Page for Confirm {
    fn html(&self) -> String {
        written(self.render())
    }
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
