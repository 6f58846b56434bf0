//! The configuration for operators: settings, domains, smart hosts, certificates, versions as texts; and what would be taken, and why.
//!
//! What is shown is what is in force, not what somebody is writing into the file at the moment. Secrets in texts are hidden.

use super::{Control, Fault, ending, no_server};
use crate::certificate::list;
use crate::explain;
use crate::service::ConfigFile;
use relay::admin::settings::{self, conceal};
use relay::admin::view::{CertificateView, DecisionView, DomainView, ExplainView, SettingView, SmartHostView};
use relay::admin::{Inquiry, Operator, Sight, edit, may_see};
use relay::config::Config;
use relay::explain::{Decision, is_accepted};
use smtp::address::Domain;
use smtp::sasl::Mechanism;

impl Control {
    /// All settings of a virtual server, or of the tables at the top of the file.
    ///
    /// # Errors
    /// He may not see them, or there is no such virtual server.
    pub async fn settings(&self, by: &Operator, server: Option<&str>) -> Result<Vec<SettingView>, Fault> {
        may_see(by, Sight::Configuration, server)?;
        let (text, server) = (self.text().await?, server.map(str::to_owned));
        let read = move || match server {
            Some(name) => settings::of_server(&text, &name),
            None => settings::at_the_top(&text),
        };
        Ok(aside(read).await??)
    }

    /// The domains of a virtual server.
    ///
    /// # Errors
    /// He may not see them, or there is no such virtual server.
    pub async fn domains(&self, by: &Operator, server: &str) -> Result<Vec<DomainView>, Fault> {
        may_see(by, Sight::Configuration, Some(server))?;
        let text = self.text().await?;
        let config = self.config(&text).await?;
        let configured = config.servers.iter().find(|other| *other.name == *server).ok_or_else(|| no_server(server))?;
        let (server, default) = (server.to_owned(), configured.default_domain.name.to_string());
        Ok(aside(move || settings::domains(&text, &server, &default)).await??)
    }

    /// The smart hosts.
    ///
    /// # Errors
    /// He may not see them.
    pub async fn smart_hosts(&self, by: &Operator) -> Result<Vec<SmartHostView>, Fault> {
        may_see(by, Sight::Configuration, None)?;
        let text = self.text().await?;
        Ok(aside(move || settings::smart_hosts(&text)).await??)
    }

    /// The certificates of his virtual servers.
    ///
    /// # Errors
    /// The service is ending.
    pub async fn certificates(&self, by: &Operator) -> Result<Vec<CertificateView>, Fault> {
        let text = self.text().await?;
        let mut config = self.config(&text).await?;
        config.servers.retain(|server| may_see(by, Sight::Configuration, Some(&server.name)).is_ok());
        let now = self.house.clock.now();
        let listed = tokio::task::spawn_blocking(move || list::list(&config)).await.map_err(|_| ending())?;
        Ok(listed.iter().map(|listed| certificate(listed, now)).collect())
    }

    /// Would this mail be taken, and what decides?
    ///
    /// # Errors
    /// He may not ask, or the question makes no sense.
    pub async fn explain(&self, by: &Operator, inquiry: &Inquiry) -> Result<ExplainView, Fault> {
        let text = self.text().await?;
        let mut config = self.config(&text).await?;
        // Of a virtual server that is not his he is told nothing, not even that it would answer.
        config.servers.retain(|server| may_see(by, Sight::Operation, Some(&server.name)).is_ok());
        let question = question(inquiry)?;
        if let Some(name) = &question.server {
            may_see(by, Sight::Operation, Some(name))?;
        }
        let answering = tokio::task::spawn_blocking(move || {
            tokio::runtime::Handle::current().block_on(explain::answer(&config, &question))
        });
        let answer = answering.await.map_err(|_| ending())?.map_err(Fault::invalid)?;
        let accepted = is_accepted(&answer.decisions);
        Ok(ExplainView { server: answer.server, accepted, decisions: answer.decisions.iter().map(decision).collect() })
    }

    /// The text of a version of the configuration, without secrets.
    ///
    /// # Errors
    /// He may not see it, or there is none of that number.
    pub async fn version_text(&self, by: &Operator, version: u64) -> Result<String, Fault> {
        may_see(by, Sight::Configuration, None)?;
        Ok(conceal(&self.version(version).await?))
    }

    /// What a version of the configuration changed, or with `to_now` what going back to it would change.
    ///
    /// # Errors
    /// He may not see it, or there is none of that number.
    pub async fn version_diff(&self, by: &Operator, version: u64, to_now: bool) -> Result<String, Fault> {
        may_see(by, Sight::Configuration, None)?;
        let text = self.version(version).await?;
        let other = match version.checked_sub(1) {
            _ if to_now => self.text().await?,
            // The one before may have been forgotten.
            Some(before) => self.version(before).await.unwrap_or_else(|_| text.clone()),
            None => text.clone(),
        };
        Ok(conceal(&edit::diff(&other, &text)))
    }

    /// The text that is in force, without secrets.
    ///
    /// # Errors
    /// He may not see it.
    pub async fn configuration(&self, by: &Operator) -> Result<String, Fault> {
        may_see(by, Sight::Configuration, None)?;
        Ok(conceal(&self.text().await?))
    }

    /// A mark that is another one as soon as another configuration is in force.
    ///
    /// # Errors
    /// The service is ending.
    pub async fn mark(&self) -> Result<String, Fault> {
        let text = self.text().await?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        Ok(digest.as_ref().iter().take(12).map(|octet| format!("{octet:02x}")).collect())
    }

    async fn version(&self, version: u64) -> Result<String, Fault> {
        let versions = self.house.versions.clone();
        let read = tokio::task::spawn_blocking(move || versions.text(version)).await.map_err(|_| ending())?;
        read.map_err(|_| Fault::NotFound(format!("version {version}")))
    }

    async fn text(&self) -> Result<String, Fault> {
        Ok(self.look(|servers| servers.source().map(str::to_owned)).await?.unwrap_or_default())
    }

    async fn config(&self, text: &str) -> Result<Config, Fault> {
        let (file, text) = (ConfigFile::new(&self.house.file), text.to_owned());
        let loaded = aside(move || file.check(&text)).await?;
        Ok(loaded.map_err(|unusable| Fault::Unavailable(unusable.render()))?.config)
    }
}

/// What may take a while with a long file, away from those who serve sessions.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ending())
}

fn question(inquiry: &Inquiry) -> Result<explain::Question, Fault> {
    let text =
        |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let from = inquiry.from.trim();
    let name = text(&inquiry.name).map(|name| Domain::parse(&name).map_err(|error| error.to_string())).transpose();
    let method = text(&inquiry.method).map(|method| Mechanism::parse_served(&method).ok_or(method)).transpose();
    let known = || Mechanism::SERVED.map(Mechanism::name).join(", ");
    Ok(explain::Question {
        from: from.parse().map_err(|_| Fault::invalid(format!("{from:?} is no address; write one as 192.0.2.1")))?,
        auth: text(&inquiry.auth),
        method: method
            .map_err(|method| Fault::invalid(format!("there is no method {method}; write one of {}", known())))?,
        tls: inquiry.tls,
        certificate: text(&inquiry.certificate)
            .map(|print| print.parse().map_err(|error: relay::config::NoFingerprint| Fault::invalid(error.to_string())))
            .transpose()?,
        certificate_name: text(&inquiry.certificate_name),
        helo: text(&inquiry.helo),
        name: name.map_err(Fault::invalid)?,
        sender: if inquiry.sender.trim().is_empty() { "<>".into() } else { inquiry.sender.trim().into() },
        rcpt: inquiry.rcpt.trim().into(),
        server: text(&inquiry.server),
        port: inquiry.port,
    })
}

fn decision(decision: &Decision) -> DecisionView {
    let setting = (!decision.setting.is_empty()).then(|| decision.setting.to_owned());
    DecisionView {
        stage: decision.stage.name().into(),
        asked: decision.asked.clone(),
        accepted: decision.outcome.is_ok(),
        outcome: match &decision.outcome {
            Ok(words) => words.clone(),
            Err(reply) => reply.one_line(),
        },
        because: decision.words.clone(),
        tab: setting.as_deref().map(|name| {
            settings::find(name).map_or(name.split('.').next().unwrap_or(name), |setting| setting.tab.word()).to_owned()
        }),
        whose: decision.whose.clone(),
        setting,
        value: decision.value.clone(),
        line: decision.place.as_ref().map(|(_, line)| u64::from(*line)),
    }
}

fn certificate(listed: &list::Listed, now: smtp::time::Timestamp) -> CertificateView {
    let found = listed.found.as_ref().ok();
    let text = |text: fn(&crate::tls::Particulars) -> String| found.map(text).unwrap_or_default();
    CertificateView {
        server: listed.server.to_string(),
        source: format!("{} ({})", listed.file.display(), listed.kind),
        names: found.map(|particulars| particulars.names.iter().map(ToString::to_string).collect()).unwrap_or_default(),
        issuer: text(|particulars| {
            if particulars.is_self_signed() { "itself (self-signed)".into() } else { particulars.issuer.to_string() }
        }),
        from: text(|particulars| particulars.not_before.rfc3339()),
        until: text(|particulars| particulars.not_after.rfc3339()),
        days_left: found.map(|particulars| particulars.days_left(now)).unwrap_or_default(),
        trouble: list::fault(listed, now).into_iter().collect(),
        listeners: listed.listeners.clone(),
        fingerprint: text(|particulars| particulars.fingerprint.to_string()),
        key: text(|particulars| particulars.key.to_string()),
    }
}
