//! The domains of a virtual server: list, wizard, properties.

use super::Sheet;
use crate::form::{Fields, FormFault};
use crate::layout::Frame;
use crate::{Page, path, words, written};
use askama::Template;
use relay::admin::view::DomainView;
use relay::admin::{Change, Command, DomainKind, NewDomain, settings};

/// The list.
#[derive(Template)]
#[template(path = "desk/domains.html")]
pub struct Domains {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// Its domains.
    pub domains: Vec<DomainView>,
}

impl Page for Domains {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl Domains {
    fn may_change(&self) -> bool {
        may_change(&self.frame, &self.server)
    }
}

/// The wizard for a new one.
#[derive(Template)]
#[template(path = "desk/new_domain.html")]
pub struct NewDomainPage {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// The smart hosts that there are.
    pub smart_hosts: Vec<String>,
    /// What was typed.
    pub form: Fields,
    /// What is wrong with it.
    pub wrong: Vec<String>,
}

impl Page for NewDomainPage {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl NewDomainPage {
    fn is(&self, field: &str, value: &str, default: bool) -> bool {
        self.form.get(field).map_or(default, |typed| typed == value)
    }

    fn typed(&self, field: &str) -> &str {
        self.form.get(field).unwrap_or_default()
    }
}

/// The wizard's answers as a command.
///
/// # Errors
/// One is missing.
pub fn new_domain(server: &str, form: &Fields) -> Result<Command, FormFault> {
    let name = form.need("name", "The domain's name")?.to_owned();
    let kind = match form.get("kind") {
        Some("default") => DomainKind::Default,
        Some("alias") => DomainKind::Alias,
        Some("remote") => DomainKind::Remote,
        _ => return Err(FormFault("Say which kind of domain it is".into())),
    };
    let mut changes = Vec::new();
    let mut set = |setting: &str, text: &str| {
        if let Some(Some(value)) = settings::change(&format!("domain.{setting}"), text) {
            changes.push(Change { setting: setting.into(), value: Some(value) });
        }
    };
    if kind == DomainKind::Remote && form.get("allow_relay").is_some() {
        set("allow_relay", "yes");
    }
    if kind != DomainKind::Alias {
        let host = || form.need("host", "The host that takes its mail");
        let hosts = |scheme: &str, text: &str| {
            let hosts = text.split([',', ';', '\n', ' ']).map(str::trim).filter(|host| !host.is_empty());
            hosts.map(|host| format!("{scheme}{}", with_port(host, scheme))).collect::<Vec<_>>().join("\n")
        };
        match form.get("route").unwrap_or_default() {
            "mx" => set("route", "mx"),
            "smtp" => set("route", &hosts("smtp://", host()?)),
            "lmtp" => set("route", &hosts("lmtp://", host()?)),
            "smart_host" => set("route", &format!("smart_host:{}", form.need("smart_host", "The smart host")?)),
            _ => {}
        }
    }
    Ok(Command::DomainAdd { server: server.into(), new: NewDomain { name, kind, changes } })
}

/// A host is asked at the usual port unless another one is written.
fn with_port(host: &str, scheme: &str) -> String {
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    let usual = if scheme == "lmtp://" { "24" } else { "25" };
    if behind.contains(':') { host.to_owned() } else { format!("{host}:{usual}") }
}

/// One domain.
#[derive(Template)]
#[template(path = "desk/domain.html")]
pub struct DomainPage {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// The domain.
    pub domain: DomainView,
    /// Its fields.
    pub sheet: Sheet,
}

impl Page for DomainPage {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl DomainPage {
    fn may_change(&self) -> bool {
        may_change(&self.frame, &self.server)
    }

    fn address(&self, rest: &[&str]) -> String {
        let mut segments = vec!["domains", self.domain.name.as_str()];
        segments.extend(rest);
        path::server(&self.server, &segments)
    }
}

fn may_change(frame: &Frame, server: &str) -> bool {
    frame.may(&Command::DomainRemove { server: server.into(), domain: String::new() })
}

/// What a kind of domain is called.
#[must_use]
pub(crate) fn kind(kind: &DomainKind) -> &'static str {
    match kind {
        DomainKind::Default => "Local (default)",
        DomainKind::Alias => "Local (alias)",
        DomainKind::Remote => "Remote",
    }
}
