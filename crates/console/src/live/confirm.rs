//! A question before what cannot be taken back, and the page for what could not be done.

use super::page;
use crate::layout::Frame;
use askama::Template;

/// A question with what it concerns, a button, and a way back.
#[derive(Template)]
#[template(path = "live/confirm.html")]
pub struct Confirm {
    /// What stands around it; its title is the question.
    pub frame: Frame,
    /// The virtual server, or empty.
    pub server: String,
    /// What will happen, in sentences.
    pub says: Vec<String>,
    /// Where the answer goes.
    pub action: String,
    /// What goes there with it.
    pub fields: Vec<(String, String)>,
    /// What the button says.
    pub button: String,
    /// It cannot be taken back.
    pub danger: bool,
    /// Where to go instead.
    pub back: String,
}

/// What could not be shown or done, and why.
#[derive(Template)]
#[template(path = "live/trouble.html")]
pub struct Trouble {
    /// What stands around it; its title says it in a few words.
    pub frame: Frame,
    /// Why, in a sentence.
    pub text: String,
    /// In detail, line by line.
    pub more: Vec<String>,
    /// Where to go now.
    pub back: String,
}

page!(Confirm);
page!(Trouble);
