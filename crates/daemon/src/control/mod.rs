//! The one place that shows an operator what runs and carries out what he wants: for the socket, the API and pages alike.
//!
//! [`Control`] is cheap to clone. What concerns the virtual servers goes to the service's own loop as an [`Order`], so that they
//! keep their one owner; what concerns a queue goes on from there to the queue's thread. Each view and each command
//! asks first whether the operator may ([`relay::admin::may`]), and every command leaves an audit record, done or refused.
//!
//! Rooms: `config` (changes to the file, its versions), `audit`, `queue`, `sessions`, `states`, [`operators`], [`asker`],
//! [`api`] and [`socket`] (HTTP on a Unix socket, by [`http`]), [`client`] (the other end, for the command line).

mod alarms;
pub mod api;
pub mod asker;
mod audit;
pub mod client;
mod config;
mod content;
mod counters;
mod fault;
mod folders;
pub mod http;
pub mod operators;
mod queue;
mod sessions;
mod settings;
pub mod socket;
mod states;
mod transfer;
mod work;

pub use audit::{AUDIT_LINES_MAX, AUDIT_OCTETS_MAX, AUDIT_PART_MAX, Audit};
pub use config::{HISTORY_MAX, Versions};
pub use fault::{Fault, FileProblem, ProblemDetails};
pub use queue::DestinationsWanted;
pub use transfer::{ExportOrder, ImportWishes, Pieces};

use crate::clock::Clock;
use crate::service::{ConfigFile, Servers, Site};
use operators::Operators;
use relay::admin::view::{AuditRecord, Outcome, Page, ServerView, ServiceView};
use relay::admin::{AuditFilter, Command, Operator, Sight, may, may_see};
use serde::{Deserialize, Serialize};
use smtp::time::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use utoipa::ToSchema;

/// Orders that wait for the service's loop; whoever has more waits himself.
const ORDERS_MAX: usize = 64;

/// What the service's loop is asked to do between two signals.
pub enum Order {
    /// To look at the virtual servers.
    Look(Box<dyn FnOnce(&Servers) + Send>),
    /// To change something.
    Change {
        /// What.
        command: Box<Command>,
        /// Who wants it, for the version's note.
        by: String,
        /// Only say what would happen.
        dry_run: bool,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<Outcome, Fault>>,
    },
}

/// A line of what is told while a command is carried out, and at its end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It is done for so many messages.
    Done(u64),
    /// It is done: the last line.
    Outcome(Outcome),
    /// It is not done: the last line.
    Problem(ProblemDetails),
}

/// What waits for the service's loop.
pub type Orders = mpsc::Receiver<Order>;

/// See the module.
#[derive(Clone)]
pub struct Control {
    orders: mpsc::Sender<Order>,
    house: Arc<House>,
}

/// What does not change while the service runs.
struct House {
    started: Timestamp,
    file: PathBuf,
    clock: Clock,
    audit: Audit,
    versions: Versions,
    work: work::Work,
    operators: Operators,
}

impl Control {
    /// For a service with this configuration file and state folder.
    #[must_use]
    pub fn new(file: &ConfigFile, state: &Path, clock: &Clock, operators: Operators) -> (Control, Orders) {
        let (orders, waiting) = mpsc::channel(ORDERS_MAX);
        let house = House {
            started: clock.now(),
            file: file.path().to_owned(),
            clock: clock.clone(),
            audit: Audit::at(state),
            versions: Versions::at(state),
            work: work::Work::default(),
            operators,
        };
        (Control { orders, house: Arc::new(house) }, waiting)
    }

    /// Operators, their log-ons and tokens, for the doors.
    #[must_use]
    pub fn operators_house(&self) -> &Operators {
        &self.house.operators
    }

    /// The service as a whole.
    ///
    /// # Errors
    /// He may not see it.
    pub async fn service(&self, by: &Operator) -> Result<ServiceView, Fault> {
        may_see(by, Sight::Operation, None)?;
        let file = ConfigFile::new(&self.house.file);
        let source = self.look(|servers| servers.source().map(str::to_owned)).await?;
        // A slow disk holds up whoever asks, and not the service.
        let on_disk = tokio::task::spawn_blocking(move || file.text().ok()).await.map_err(|_| ending())?;
        let edited = source != on_disk;
        Ok(ServiceView {
            version: env!("CARGO_PKG_VERSION").into(),
            started: self.house.started.rfc3339(),
            config: self.house.file.display().to_string(),
            config_edited: edited,
            operator: by.clone(),
        })
    }

    /// The virtual servers that he has to do with.
    ///
    /// # Errors
    /// The service is ending.
    pub async fn servers(&self, by: &Operator) -> Result<Vec<ServerView>, Fault> {
        let all = self.look(Servers::views).await?;
        Ok(all.into_iter().filter(|view| may_see(by, Sight::Operation, Some(&view.name)).is_ok()).collect())
    }

    /// One virtual server.
    ///
    /// # Errors
    /// He may not see it, or there is none of that name.
    pub async fn server(&self, by: &Operator, name: &str) -> Result<ServerView, Fault> {
        may_see(by, Sight::Operation, Some(name))?;
        let all = self.look(Servers::views).await?;
        all.into_iter().find(|view| view.name == name).ok_or_else(|| no_server(name))
    }

    /// The audit log, newest first.
    ///
    /// # Errors
    /// He may not see it, or it cannot be read.
    pub async fn audit(
        &self,
        by: &Operator,
        filter: &AuditFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<AuditRecord>, Fault> {
        may_see(by, Sight::Audit, None)?;
        let after =
            after.map(str::parse::<audit::Place>).transpose().map_err(|_| Fault::invalid("there is no such page"))?;
        let (house, filter) = (Arc::clone(&self.house), filter.clone());
        let read = tokio::task::spawn_blocking(move || house.audit.page(&filter, after, limit)).await;
        read.map_err(|_| ending())?
            .map_err(|error| Fault::Unavailable(format!("the audit log cannot be read: {error}")))
    }

    /// The versions of the configuration, newest first.
    ///
    /// # Errors
    /// He may not see them, or they cannot be read.
    pub async fn versions(&self, by: &Operator) -> Result<Vec<relay::admin::view::VersionView>, Fault> {
        may_see(by, Sight::Configuration, None)?;
        let house = Arc::clone(&self.house);
        let read = tokio::task::spawn_blocking(move || house.versions.list()).await;
        read.map_err(|_| ending())?.map_err(|error| Fault::Unavailable(format!("the versions cannot be read: {error}")))
    }

    /// What a setting says in the file that is in force, as TOML.
    ///
    /// # Errors
    /// He may not see it, or there is no such virtual server.
    pub async fn setting(&self, by: &Operator, server: Option<&str>, setting: &str) -> Result<Option<String>, Fault> {
        may_see(by, Sight::Configuration, server)?;
        let source = self.look(|servers| servers.source().map(str::to_owned)).await?.unwrap_or_default();
        Ok(relay::admin::edit::get(&source, server, setting)?)
    }

    /// The difference between the file that is in force and the one on disk.
    ///
    /// # Errors
    /// He may not see it, or the file cannot be read.
    pub async fn edited(&self, by: &Operator) -> Result<String, Fault> {
        may_see(by, Sight::Configuration, None)?;
        let source = self.look(|servers| servers.source().map(str::to_owned)).await?.unwrap_or_default();
        let now = ConfigFile::new(&self.house.file).text().map_err(|unusable| Fault::Unavailable(unusable.render()))?;
        // What somebody has not finished writing may have a secret where it does not belong.
        Ok(relay::admin::settings::conceal(&relay::admin::edit::diff(&source, &now)))
    }

    /// Carries out a command, or with `dry_run` says what it would do. `from`: where he is, for the audit log.
    ///
    /// # Errors
    /// He may not, or it cannot be done, and why.
    pub async fn execute(&self, by: &Operator, from: &str, command: Command, dry_run: bool) -> Result<Outcome, Fault> {
        self.execute_told(by, from, command, dry_run, None).await
    }

    /// The same; `told` hears for how many messages it is done so far.
    ///
    /// # Errors
    /// He may not, or it cannot be done, and why.
    pub async fn execute_told(
        &self,
        by: &Operator,
        from: &str,
        command: Command,
        dry_run: bool,
        told: Option<watch::Sender<u64>>,
    ) -> Result<Outcome, Fault> {
        let (control, by, from) = (self.clone(), by.clone(), from.to_owned());
        whole(async move {
            let outcome = match may(&by, &command) {
                Ok(()) => control.carry_out(&by, &command, dry_run, told).await,
                Err(denied) => Err(Fault::Denied(denied)),
            };
            // Who only asks what would happen changes nothing; who may not even ask is written down.
            if !dry_run || matches!(outcome, Err(Fault::Denied(_))) {
                let record = audit::record(control.house.clock.now(), &by, &from, &command, &outcome);
                control.write_down(record).await;
            }
            outcome
        })
        .await
    }

    /// Notes in the audit log what is no command: a log-on, a password. `what` and `who` may be a stranger's words.
    pub async fn note(&self, who: &str, from: &str, what: &str, outcome: &Result<Outcome, Fault>) {
        self.write_down(audit::event(self.house.clock.now(), who, from, what, outcome)).await;
    }

    async fn write_down(&self, record: AuditRecord) {
        let house = Arc::clone(&self.house);
        let written = tokio::task::spawn_blocking(move || house.audit.write(&record)).await;
        if let Ok(Err(error)) = written {
            let text = format!("The audit log cannot be written: {error}. The change was made all the same.");
            let _ = self.look(move |servers| servers.log().alarm(text)).await;
        }
    }

    async fn carry_out(
        &self,
        by: &Operator,
        command: &Command,
        dry_run: bool,
        told: Option<watch::Sender<u64>>,
    ) -> Result<Outcome, Fault> {
        if let Some(done) = queue::carry_out(self, command, dry_run, told).await {
            return done;
        }
        if let Some(done) = sessions::carry_out(self, command, dry_run).await {
            return done;
        }
        if let Some(done) = folders::carry_out(self, command, dry_run).await {
            return done;
        }
        if let Some(done) = operators::carry_out(self, by, command, dry_run).await {
            return done;
        }
        let (answer, answered) = oneshot::channel();
        let order = Order::Change { command: Box::new(command.clone()), by: by.name.clone(), dry_run, answer };
        self.orders.send(order).await.map_err(|_| ending())?;
        let mut outcome = answered.await.map_err(|_| ending())??;
        if let (Command::ServerRename { server, name }, false) = (command, dry_run) {
            let (operators, old, new) = (self.operators_house().clone(), server.clone(), name.clone());
            let kept = tokio::task::spawn_blocking(move || operators.server_renamed(&old, &new)).await;
            if let Ok(Err(fault)) = kept {
                outcome.troubles.push(format!("operators of '{server}' do not know it by its new name: {fault}"));
            }
        }
        Ok(outcome)
    }

    /// The time.
    fn now(&self) -> Timestamp {
        self.house.clock.now()
    }

    /// One virtual server, as far as work for operators needs it.
    async fn site(&self, name: &str) -> Result<Site, Fault> {
        let wanted = name.to_owned();
        self.look(move |servers| servers.site(&wanted)).await?.ok_or_else(|| no_server(name))
    }

    /// Looks at the virtual servers from within the service's loop.
    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Servers) -> T + Send + 'static) -> Result<T, Fault> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Look(Box::new(move |servers| {
            // Whoever asked may have gone.
            let _ = answer.send(look(servers));
        }));
        self.orders.send(order).await.map_err(|_| ending())?;
        answered.await.map_err(|_| ending())
    }
}

/// Carries out what the service's loop was asked for.
pub(crate) async fn obey(order: Order, servers: &mut Servers, file: &ConfigFile) {
    match order {
        Order::Look(look) => look(servers),
        Order::Change { command, by, dry_run, answer } => match *command {
            Command::ServerState { server, verb } => states::change(servers, &server, verb, dry_run, answer).await,
            command => match config::change(servers, file, &command, &by, dry_run).await {
                // What it has begun to start takes its time, and nobody else waits for it.
                Ok(changed) if !changed.starts.is_empty() => {
                    drop(tokio::spawn(async move { answer.send(Ok(changed.settled().await)) }));
                }
                changed => drop(answer.send(changed.map(|changed| changed.outcome))),
            },
        },
    }
}

/// Does it to the end, its audit record included, though whoever asked hangs up and nobody waits for the answer any more.
async fn whole<T: Send + 'static>(work: impl Future<Output = Result<T, Fault>> + Send + 'static) -> Result<T, Fault> {
    let broken = |_| Err(Fault::Unavailable("a fault in Mailroot itself ended the work".into()));
    tokio::spawn(work).await.unwrap_or_else(broken)
}

fn no_server(name: &str) -> Fault {
    Fault::NotFound(format!("virtual server \"{name}\""))
}

fn ending() -> Fault {
    Fault::Unavailable("the service is ending".into())
}

#[cfg(test)]
mod tests;
