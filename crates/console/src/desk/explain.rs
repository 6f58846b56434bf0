//! What would be decided about a mail, and why.

use super::Tab;
use crate::form::Fields;
use crate::layout::Frame;
use crate::{Page, path, written};
use askama::Template;
use relay::admin::view::{DecisionView, ExplainView};
use relay::admin::{Inquiry, Sight};

/// The form, with the answer below it.
#[derive(Template)]
#[template(path = "desk/explain.html")]
pub struct Explain {
    /// What stands around it.
    pub frame: Frame,
    /// What was typed.
    pub form: Fields,
    /// The answer.
    pub answer: Option<ExplainView>,
    /// Why there is none.
    pub wrong: Option<String>,
}

impl Page for Explain {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl Explain {
    fn typed(&self, field: &str) -> &str {
        self.form.get(field).unwrap_or_default()
    }

    /// The page with the setting that decided, if he may see it.
    fn link(&self, decision: &DecisionView) -> Option<String> {
        let server = &self.answer.as_ref()?.server;
        let setting = decision.setting.as_deref()?;
        if !self.frame.sees(Sight::Configuration, Some(server)) {
            return None;
        }
        match (decision.tab.as_deref()?, decision.whose.as_deref()) {
            ("domain", Some(domain)) => Some(format!("{}#{setting}", path::server(server, &["domains", domain]))),
            ("domain", None) => Some(path::server(server, &["domains"])),
            ("smart_host", Some(host)) => Some(format!("{}#{setting}", path::of(&["smart-hosts", host]))),
            ("smart_host", None) => Some("/smart-hosts".into()),
            (table, _) => {
                let tab = Tab::of_table(table)?;
                Some(format!("{}#{setting}", path::server(server, &["properties", tab.segment()])))
            }
        }
    }
}

/// The form as a question.
#[must_use]
pub fn inquiry(form: &Fields) -> Inquiry {
    let text = |field: &str| form.get(field).map(str::to_owned);
    Inquiry {
        server: text("server"),
        from: text("from").unwrap_or_default(),
        port: form.get("port").and_then(|port| port.parse().ok()),
        tls: form.get("tls").is_some(),
        certificate: text("certificate"),
        certificate_name: text("certificate_name"),
        helo: text("helo"),
        name: text("name"),
        auth: text("auth"),
        method: text("method"),
        sender: text("sender").unwrap_or_default(),
        rcpt: text("rcpt").unwrap_or_default(),
    }
}
