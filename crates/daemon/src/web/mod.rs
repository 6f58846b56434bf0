//! The console's door: where operators come in by a browser and programs by HTTP, and what every request must pass on its way.
//!
//! [`Console`] follows `[console]` of the configuration: it opens and closes addresses and reads certificates; where one cannot be
//! opened, mail goes on, and it is tried again. Every request passes [`guard`]: is the host one of ours, who asks, does the request come
//! from a page of ours. Behind it are the log-on ([`log_on`]), the API ([`crate::control::api`]) and the [`pages`], which find a
//! [`Visitor`] in the request. What somebody may do is no business of this module: [`crate::control::Control`] asks for each view and
//! each command.
//!
//! HTTP/1.1 ([`crate::control::http`]); bounds: [`CONNECTIONS_MAX`], [`ANSWER_WITHIN`], [`BODY_MAX`].

mod door;
mod guard;
mod log_on;
pub mod pages;
mod telling;

#[cfg(test)]
mod tests;

pub use door::{CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX};
pub use guard::{ANSWER_WITHIN, BODY_MAX, Visitor};

use crate::clock::Clock;
use crate::control::operators::{Lasting, Operators};
use crate::control::{Control, api};
use crate::log::Log;
use crate::tls::{Certificates, Keeper};
use axum::Router;
use axum::extract::Path as Segment;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use door::{Door, Hall};
use relay::config;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use telling::Telling;

/// What pages and middleware have; cheap to clone.
#[derive(Clone)]
pub struct Web {
    /// What shows and carries out.
    pub control: Control,
    shared: Arc<Shared>,
}

struct Shared {
    rules: RwLock<Rules>,
    telling: Telling,
    log: Log,
    clock: Clock,
}

/// What the configuration says about a request.
struct Rules {
    enabled: bool,
    /// Names by which we are reached, in lower case.
    names: Vec<String>,
    certificates: Option<Arc<Certificates>>,
    /// The longest that a log-on holds: for cookies.
    longest: Duration,
}

impl Web {
    fn operators(&self) -> &Operators {
        self.control.operators_house()
    }

    fn rules(&self) -> std::sync::RwLockReadGuard<'_, Rules> {
        self.shared.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is this log-on still in force? For pages that go on telling (events).
    #[must_use]
    pub fn knows(&self, visitor: &Visitor) -> bool {
        self.rules().enabled && guard::knows(self.operators(), visitor)
    }
}

/// Everything that answers.
fn app(web: &Web) -> Router {
    let open = Router::new().route("/assets/{name}", get(asset)).merge(log_on::router());
    let pages = open.merge(pages::router()).with_state(web.clone());
    pages
        .merge(api::routes(web.control.clone()))
        .fallback(guard::nothing)
        .layer(from_fn_with_state(web.clone(), guard::guard))
}

/// A file that never changes under its name.
async fn asset(Segment(name): Segment<String>) -> Response {
    match console::asset(&name) {
        Some((kind, octets)) => {
            let kept = "public, max-age=31536000, immutable";
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)], octets).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// See the module.
pub struct Console {
    web: Web,
    state: PathBuf,
    /// What it follows.
    wanted: Option<config::Console>,
    hall: Arc<Hall>,
    doors: Vec<Door>,
    /// Addresses whose trouble has been told; that of the certificate under nobody's.
    told: BTreeSet<Option<SocketAddr>>,
    /// It was open once, and whoever is needed to begin with was welcomed.
    welcomed: bool,
    link: Option<String>,
    keeper: Option<Keeper>,
}

impl Console {
    /// Closed, until it is told what to follow.
    #[must_use]
    pub fn new(control: &Control, state: &Path, log: &Log, clock: &Clock) -> Console {
        let rules =
            Rules { enabled: false, names: Vec::new(), certificates: None, longest: Lasting::default().longest };
        let shared =
            Shared { rules: RwLock::new(rules), telling: Telling::default(), log: log.clone(), clock: clock.clone() };
        let web = Web { control: control.clone(), shared: Arc::new(shared) };
        let hall = Arc::new(Hall::new(app(&web)));
        let (state, doors, told) = (state.to_owned(), Vec::new(), BTreeSet::new());
        Console { web, state, wanted: None, hall, doors, told, welcomed: false, link: None, keeper: None }
    }

    /// Makes it what the configuration says. Connections that are open go on.
    pub async fn follow(&mut self, wanted: &config::Console) {
        if self.wanted.as_ref() == Some(wanted) {
            return;
        }
        let new_certificates = self.wanted.as_ref().is_none_or(|old| old.certificates != wanted.certificates);
        self.wanted = Some(wanted.clone());
        self.told.clear();
        if new_certificates {
            self.set_certificates(None);
        }
        {
            let mut rules = self.web.shared.rules.write().unwrap_or_else(PoisonError::into_inner);
            rules.enabled = wanted.enabled;
            rules.names = wanted.names.iter().map(|name| name.as_str().to_ascii_lowercase()).collect();
            rules.longest = wanted.session_max;
        }
        let lasting = Lasting { idle: wanted.session_idle, longest: wanted.session_max };
        self.web.operators().set_lasting(lasting);
        let stays = |door: &Door| wanted.enabled && wanted.listen.contains(&door.configured());
        for door in self.doors.extract_if(.., |door| !stays(door) || new_certificates).collect::<Vec<_>>() {
            door.close().await;
        }
        self.try_again().await;
    }

    /// Opens what should be open and is not.
    pub async fn try_again(&mut self) {
        let wanted = self.wanted.clone().filter(|wanted| wanted.enabled);
        let troubles = match wanted {
            Some(wanted) => self.open_missing(&wanted).await,
            None => Vec::new(),
        };
        self.web.operators().set_troubles(troubles);
        let address = self.address();
        self.web.operators().set_address(address.as_deref().unwrap_or_default());
        if address.is_some() && !self.welcomed {
            self.welcomed = true;
            self.link = self.welcome();
        }
    }

    /// What could not be opened, each in a sentence.
    async fn open_missing(&mut self, wanted: &config::Console) -> Vec<String> {
        let certificates = self.web.rules().certificates.clone();
        if certificates.is_none() && !wanted.certificates.is_empty() {
            let read = self.read_certificates(wanted).await;
            self.set_certificates(read);
        }
        let certificates = self.web.rules().certificates.clone();
        if certificates.is_none() && !wanted.certificates.is_empty() {
            // Without one nothing is opened: what was to be secret would not be.
            return vec!["The console is not opened, as it has no certificate that can be used.".into()];
        }
        let mut troubles = Vec::new();
        for address in &wanted.listen {
            if self.doors.iter().any(|door| door.configured() == *address) {
                continue;
            }
            match Door::open(*address, certificates.clone(), &self.hall) {
                Ok(door) => self.doors.push(door),
                Err(error) => {
                    let text = format!("The console cannot listen on {address}: {error}.");
                    if self.told.insert(Some(*address)) {
                        self.web.shared.log.alarm(format!(
                            "{text} Mail goes on, and it is tried again every minute; stop what listens there, or write another \
                             address under console.listen."
                        ));
                    }
                    troubles.push(text);
                }
            }
        }
        troubles
    }

    async fn read_certificates(&mut self, wanted: &config::Console) -> Option<Arc<Certificates>> {
        if wanted.certificates.is_empty() {
            return None;
        }
        let (sources, state) = (wanted.certificates.clone(), self.state.clone());
        let now = self.web.shared.clock.now();
        let read = tokio::task::spawn_blocking(move || Certificates::from(&sources, None, &state, now)).await;
        let log = &self.web.shared.log;
        match read {
            Ok(Ok((certificates, faults))) => {
                faults
                    .iter()
                    .for_each(|fault| log.alarm(format!("A certificate of the console is left out: {fault}.")));
                Some(Arc::new(certificates))
            }
            Ok(Err(fault)) if self.told.insert(None) => {
                log.alarm(format!("The console is not opened, as it has no certificate: {fault}. Mail goes on."));
                None
            }
            Ok(Err(_)) | Err(_) => None,
        }
    }

    fn set_certificates(&mut self, certificates: Option<Arc<Certificates>>) {
        let (log, clock) = (&self.web.shared.log, &self.web.shared.clock);
        self.keeper = certificates.clone().map(|own| Keeper::start(own, log.clone(), clock.clone()));
        self.web.shared.rules.write().unwrap_or_else(PoisonError::into_inner).certificates = certificates;
    }

    /// Where a browser finds it; `None`: nowhere.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let bound = self.doors.first()?.bound();
        let rules = self.web.rules();
        let Some(certificates) = &rules.certificates else {
            return Some(format!("http://{bound}"));
        };
        let credentials = certificates.credentials();
        let mut named = credentials.pairs().flat_map(|pair| pair.names().iter().map(ToString::to_string));
        let name = rules.names.first().cloned().or_else(|| named.find(|name| !name.starts_with('*')));
        Some(match name {
            Some(name) if bound.port() == 443 => format!("https://{name}"),
            Some(name) => format!("https://{name}:{}", bound.port()),
            None => format!("https://{bound}"),
        })
    }

    /// While nobody can log on: the link by which the first administrator sets his password. It was made when the console was opened.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        self.link.as_deref()
    }

    /// Makes that link, if it is needed; it is in the log as well.
    fn welcome(&self) -> Option<String> {
        let operators = self.web.operators().clone();
        let link = operators.welcome()?;
        self.web.shared.log.alarm(format!(
            "Nobody can log on to the console yet. By this link the first administrator sets his password, one time, within 24 \
             hours: {link}"
        ));
        Some(link)
    }
}
