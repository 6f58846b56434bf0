//! Gathers what an operator should see to: facts about certificates, tokens, disks, Badmail, destinations, listeners and the file;
//! the sentences are [`relay::admin::alarms`]'.
//!
//! Gathered when somebody asks, at most every [`ALARMS_FRESH_FOR`], in the same way for all who ask; what is not his, an operator does not see.

use super::folders::Shelf;
use super::queue::PAGE_ITEMS_MAX;
use super::{Control, DestinationsWanted, Fault};
use crate::certificate::list::{self, Listed};
use crate::oauth::TokenFault;
use crate::service::{ConfigFile, Servers, Site};
use relay::admin::alarms::{self, CertificateFacts};
use relay::admin::view::Alarm;
use relay::admin::{FolderName, Operator, Scope, Sight, may_see};
use smtp::time::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What was gathered is told again for so long.
pub const ALARMS_FRESH_FOR: Duration = Duration::from_secs(2);
/// Messages in Badmail that are counted.
pub const BADMAIL_COUNTED_MAX: u64 = 10_000;

/// What the service's loop knows.
struct Known {
    sites: Vec<Site>,
    tokens: Vec<(String, TokenFault, bool)>,
    source: Option<String>,
    state: PathBuf,
}

impl Control {
    /// What he should see to, the urgent first.
    ///
    /// # Errors
    /// He may not see it, or the service is ending.
    pub async fn alarms(&self, by: &Operator) -> Result<Vec<Alarm>, Fault> {
        may_see(by, Sight::Operation, None)?;
        let all = self.gathered().await?;
        let is_his = |alarm: &&Alarm| match &alarm.server {
            Some(server) => may_see(by, Sight::Operation, Some(server)).is_ok(),
            None => by.scope == Scope::All,
        };
        Ok(all.iter().filter(is_his).cloned().collect())
    }

    async fn gathered(&self) -> Result<Arc<[Alarm]>, Fault> {
        let mut last = self.house.work.alarms.lock().await;
        if let Some((_, alarms)) = last.as_ref().filter(|(at, _)| at.elapsed() < ALARMS_FRESH_FOR) {
            return Ok(Arc::clone(alarms));
        }
        let known = self.look(known).await?;
        let mut found = Vec::new();
        for site in &known.sites {
            found.extend(alarms::server(&site.view));
            if let Some(store) = &site.store {
                found.extend(alarms::disk(&site.view.name, &site.view.home, &store.disk()));
                let longest = DestinationsWanted::first(PAGE_ITEMS_MAX);
                if let Ok(destinations) = self.waiting_at(&site.view.name, &longest).await {
                    found.extend(alarms::destinations(&site.view.name, &destinations.items));
                }
            }
        }
        found.extend(self.operators_house().troubles().iter().map(|text| alarms::console(text)));
        let (file, now) = (self.house.file.clone(), self.house.clock.now());
        found.extend(self.on_a_thread(move || on_disk(&known, &file, now)).await?);
        found.sort_by_key(|alarm| !alarm.urgent);
        let found: Arc<[Alarm]> = found.into();
        *last = Some((Instant::now(), Arc::clone(&found)));
        Ok(found)
    }
}

fn known(servers: &Servers) -> Known {
    let tokens = servers.tokens().troubles();
    Known {
        sites: servers.sites(),
        tokens: tokens.into_iter().map(|(owner, fault, left)| (owner.to_string(), fault, left)).collect(),
        source: servers.source().map(str::to_owned),
        state: servers.state().to_owned(),
    }
}

/// What takes a look at the disk, and what is known anyway.
fn on_disk(known: &Known, file: &Path, now: Timestamp) -> Vec<Alarm> {
    let mut found = Vec::new();
    for site in &known.sites {
        for listed in list::of_server(&site.server, &known.state) {
            found.extend(certificate(&listed, now));
        }
        found.extend(badmail(site));
    }
    for (owner, fault, left) in &known.tokens {
        let (why, advice) = match fault {
            TokenFault::Refused { why, advice } => (why, &**advice),
            TokenFault::Later { why } => (why, ""),
        };
        found.push(alarms::token(owner, why, advice, *left));
    }
    let text = ConfigFile::new(file).text().ok();
    if text.is_some() && text != known.source {
        found.push(alarms::config_edited(&file.display().to_string()));
    }
    found
}

fn certificate(listed: &Listed, now: Timestamp) -> Option<Alarm> {
    let (names, ends) = match &listed.found {
        Ok(particulars) => {
            let ends = (particulars.not_after.rfc3339(), particulars.days_left(now));
            (particulars.names.join(", "), Ok(ends))
        }
        Err(fault) => (String::new(), Err(fault)),
    };
    let file = listed.file.display().to_string();
    alarms::certificate(&CertificateFacts {
        server: &listed.server,
        file: &file,
        names: &names,
        acme: listed.kind == "acme",
        shown: !listed.listeners.is_empty(),
        ends: ends.as_ref().map(|(on, days)| (on.as_str(), *days)).map_err(|fault| fault.as_str()),
    })
}

fn badmail(site: &Site) -> Option<Alarm> {
    let shelf = Shelf::open(&site.server, FolderName::Badmail).ok()??;
    let (count, more) = shelf.count(BADMAIL_COUNTED_MAX).ok()?;
    let folder = site.server.messages.badmail.display().to_string();
    alarms::badmail(&site.view.name, &folder, count, more, site.counts.badmailed_lately())
}
