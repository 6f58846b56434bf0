//! The configuration as a file: its versions, what each changed, going back; what somebody edited by hand; the tables that all virtual
//! servers share.

use super::Sheet;
use super::outcome::{Line, diff_lines};
use crate::layout::Frame;
use crate::{Page, words, written};
use askama::Template;
use relay::admin::Command;
use relay::admin::view::VersionView;

/// Versions, and what is not in force yet.
#[derive(Template)]
#[template(path = "desk/configuration.html")]
pub struct Configuration {
    /// What stands around it.
    pub frame: Frame,
    /// Where the file lies.
    pub file: String,
    /// Newest first.
    pub versions: Vec<VersionView>,
    /// How the file on disk differs from what is in force; empty: it does not.
    pub edited: String,
}

impl Page for Configuration {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl Configuration {
    fn edited_lines(&self) -> Vec<Line> {
        diff_lines(&self.edited)
    }

    fn may_change(&self) -> bool {
        self.frame.may(&Command::ConfigReload)
    }
}

/// One version.
#[derive(Template)]
#[template(path = "desk/version.html")]
pub struct Version {
    /// What stands around it.
    pub frame: Frame,
    /// Which.
    pub version: VersionView,
    /// What it changed.
    pub diff: String,
    /// The whole of it.
    pub text: String,
}

impl Page for Version {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl Version {
    fn lines(&self) -> Vec<Line> {
        diff_lines(&self.diff)
    }

    fn may_change(&self) -> bool {
        self.frame.may(&Command::ConfigReload)
    }
}

/// The tables at the top of the file.
#[derive(Template)]
#[template(path = "desk/service_settings.html")]
pub struct ServiceSettings {
    /// What stands around it.
    pub frame: Frame,
    /// Their fields.
    pub sheet: Sheet,
}

impl Page for ServiceSettings {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl ServiceSettings {
    fn may_change(&self) -> bool {
        self.frame.may(&Command::Set { server: None, changes: Vec::new() })
    }
}
