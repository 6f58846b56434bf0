//! The page for what could not be shown or done.

use super::page;
use crate::layout::Frame;
use askama::Template;

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

page!(Trouble);
