//! Smart hosts: hosts that take mail for us, shared by all virtual servers.

use super::Sheet;
use crate::layout::Frame;
use crate::{Page, path, words, written};
use askama::Template;
use relay::admin::Command;
use relay::admin::view::SmartHostView;

/// The list.
#[derive(Template)]
#[template(path = "desk/smart_hosts.html")]
pub struct SmartHosts {
    /// What stands around it.
    pub frame: Frame,
    /// In the file's order.
    pub hosts: Vec<SmartHostView>,
}

impl Page for SmartHosts {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl SmartHosts {
    fn may_change(&self) -> bool {
        may_change(&self.frame)
    }
}

/// A setting of a smart host in a line.
pub(crate) fn says(host: &SmartHostView, key: &str) -> String {
    let view = host.settings.iter().find(|view| view.name.strip_prefix("smart_host.") == Some(key));
    view.map(|view| view.text.replace('\n', ", ")).unwrap_or_default()
}

fn may_change(frame: &Frame) -> bool {
    frame.may(&Command::SmartHostRemove { smart_host: String::new() })
}

/// A new one.
#[derive(Template)]
#[template(path = "desk/new_smart_host.html")]
pub struct NewSmartHostPage {
    /// What stands around it.
    pub frame: Frame,
    /// The name that was typed.
    pub name: String,
    /// Its fields.
    pub sheet: Sheet,
}

impl Page for NewSmartHostPage {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl NewSmartHostPage {
    fn may_change(&self) -> bool {
        may_change(&self.frame)
    }
}

/// One of them.
#[derive(Template)]
#[template(path = "desk/smart_host.html")]
pub struct SmartHostPage {
    /// What stands around it.
    pub frame: Frame,
    /// As it is.
    pub host: SmartHostView,
    /// Its fields.
    pub sheet: Sheet,
}

impl Page for SmartHostPage {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl SmartHostPage {
    fn may_change(&self) -> bool {
        may_change(&self.frame)
    }

    fn address(&self, rest: &[&str]) -> String {
        let mut segments = vec!["smart-hosts", self.host.name.as_str()];
        segments.extend(rest);
        path::of(&segments)
    }
}
