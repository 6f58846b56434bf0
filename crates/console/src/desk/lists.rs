//! The audit log, and the certificates.

use crate::form::Fields;
use crate::layout::Frame;
use crate::{Page, path, words, written};
use askama::Template;
use relay::admin::AuditFilter;
use relay::admin::view::{AuditRecord, CertificateView, Page as Items};

/// The audit log.
#[derive(Template)]
#[template(path = "desk/audit.html")]
pub struct Audit {
    /// What stands around it.
    pub frame: Frame,
    /// Which records.
    pub filter: AuditFilter,
    /// They are not the newest.
    pub older: bool,
    /// The records.
    pub records: Items<AuditRecord>,
}

impl Page for Audit {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl Audit {
    fn next(&self) -> Option<String> {
        let after = self.records.next.as_deref()?;
        Some(format!("/audit{}", self.query(after)))
    }

    fn newest(&self) -> String {
        format!("/audit{}", self.query(""))
    }

    fn is_chosen(&self, outcome: &str) -> bool {
        self.filter.outcome.as_deref() == Some(outcome)
    }

    fn query(&self, after: &str) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let AuditFilter { who, server, text: words, outcome } = &self.filter;
        let fields = [text(who), text(server), text(words), text(outcome)];
        path::query(&[
            ("who", &fields[0]),
            ("server", &fields[1]),
            ("text", &fields[2]),
            ("outcome", &fields[3]),
            ("after", after),
        ])
    }
}

/// The form as a filter.
#[must_use]
pub fn audit_filter(form: &Fields) -> AuditFilter {
    let text = |field: &str| form.get(field).map(str::to_owned);
    AuditFilter { who: text("who"), server: text("server"), text: text("text"), outcome: text("outcome") }
}

/// A filter's text in a field.
pub(crate) fn or_empty(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// What a record says was done: a command in JSON is turned into words.
pub(crate) fn done(what: &str) -> String {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_str(what) else { return what.to_owned() };
    let Some(serde_json::Value::String(command)) = fields.remove("command") else { return what.to_owned() };
    fields.remove("server");
    let rest: Vec<String> =
        fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| field(name, value)).collect();
    let name = command.replace('_', " ");
    if rest.is_empty() { name } else { format!("{name}: {}", rest.join(", ")) }
}

fn field(name: &str, value: &serde_json::Value) -> String {
    match (name, value) {
        ("changes", serde_json::Value::Array(changes)) => changes.iter().map(change).collect::<Vec<_>>().join(", "),
        (_, serde_json::Value::String(text)) => format!("{name} {text}"),
        _ => format!("{name} {value}"),
    }
}

fn change(change: &serde_json::Value) -> String {
    let setting = change["setting"].as_str().unwrap_or_default();
    match change["value"].as_str() {
        Some(value) => format!("{setting} = {value}"),
        None => format!("{setting} taken out"),
    }
}

/// The certificates.
#[derive(Template)]
#[template(path = "desk/certificates.html")]
pub struct Certificates {
    /// What stands around it.
    pub frame: Frame,
    /// Of all virtual servers.
    pub certificates: Vec<CertificateView>,
}

impl Page for Certificates {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl Certificates {
    fn state(&self, certificate: &CertificateView) -> &'static str {
        match certificate {
            _ if !certificate.trouble.is_empty() => "bad",
            _ if certificate.days_left < 21 => "warn",
            _ => "good",
        }
    }
}
