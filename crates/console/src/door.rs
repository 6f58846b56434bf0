//! Pages before the log-on: the log-on itself, the first password, and why a request is turned away.
//!
//! They say nothing that a stranger may not know: not which names there are, nor what the program's version is.

use crate::{Page, written};
use askama::Template;

/// The log-on.
#[derive(Template)]
#[template(path = "door/log_on.html")]
pub struct LogOn {
    /// The page's name.
    pub title: &'static str,
    /// The name that was typed.
    pub name: String,
    /// Where to go afterwards: an address of this console.
    pub next: String,
    /// Why it did not work.
    pub trouble: Option<String>,
}

/// A password is set by a link.
#[derive(Template)]
#[template(path = "door/invite.html")]
pub struct Invite {
    /// The page's name.
    pub title: &'static str,
    /// Whose password.
    pub name: String,
    /// Characters that it must have, at least.
    pub least: usize,
    /// Why it did not work.
    pub trouble: Option<String>,
}

/// A request comes to nothing.
#[derive(Template)]
#[template(path = "door/note.html")]
pub struct Note {
    /// In a few words.
    pub title: String,
    /// In a sentence that says what to do.
    pub text: String,
}

impl Page for LogOn {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl Page for Invite {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl Page for Note {
    fn html(&self) -> String {
        written(self.render())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\"><script>alert(1)</script>";

    #[test]
    fn what_was_typed_is_text() {
        let page = LogOn { title: "Log on", name: HOSTILE.into(), next: HOSTILE.into(), trouble: Some(HOSTILE.into()) };
        let invite = Invite { title: "x", name: HOSTILE.into(), least: 12, trouble: Some(HOSTILE.into()) };
        let note = Note { title: HOSTILE.into(), text: HOSTILE.into() };
        for html in [page.html(), invite.html(), note.html()] {
            assert!(!html.contains("<script") && html.contains("&#60;script") || html.contains("&lt;script"), "{html}");
        }
    }
}
