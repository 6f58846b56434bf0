//! Counters and plots for operators, and the same for Prometheus.
//!
//! What is in memory is read as it is; how many messages wait for a retry or are held, the queue is asked, at most so often that the
//! answers take a small part of its time.

use super::{Control, Fault};
use crate::counters::{Depth, POINT_EVERY, series};
use crate::service::{Servers, Site};
use relay::admin::view::{CounterView, SeriesView};
use relay::admin::{Operator, Sight, may_see};
use relay::counter::{ALL, COUNTERS, Counter, Kind, exposition};
use relay::queue::ask::{Answer, Ask, Filter, MessageState};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// The queue is asked how deep it is at most so often,
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// and so rarely that the answers take one part in so many of the time.
const ASK_SHARE: u32 = 50;
/// The destination whose messages are delivered here.
const LOCAL: &str = "drop";

impl Control {
    /// Takes a point of each plot, every ten seconds, as long as the task lives.
    #[must_use]
    pub fn take_points(&self) -> JoinHandle<()> {
        let control = self.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(POINT_EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                if control.look(Servers::sample).await.is_err() {
                    return;
                }
            }
        })
    }

    /// All counters of a virtual server, but those that are not known now.
    ///
    /// # Errors
    /// He may not see it, or there is no such virtual server.
    pub async fn counters(&self, by: &Operator, server: &str) -> Result<Vec<CounterView>, Fault> {
        may_see(by, Sight::Operation, Some(server))?;
        let values = self.values(&self.site(server).await?).await;
        let view = |(definition, value): (&relay::counter::Definition, Option<u64>)| {
            Some(CounterView {
                name: definition.name.into(),
                label: definition.label.into(),
                help: definition.help.into(),
                rises: definition.kind == Kind::Sum,
                value: value?,
            })
        };
        Ok(ALL.iter().zip(values).filter_map(view).collect())
    }

    /// The last hour of a virtual server, or of all that are his.
    ///
    /// # Errors
    /// He may not see it, or there is no such virtual server.
    pub async fn series(&self, by: &Operator, server: Option<&str>) -> Result<SeriesView, Fault> {
        may_see(by, Sight::Operation, server)?;
        let sites = match server {
            Some(name) => vec![self.site(name).await?],
            None => self.sites_of(by).await?,
        };
        let counts: Vec<_> = sites.into_iter().map(|site| site.counts).collect();
        Ok(series(&counts))
    }

    /// The counters of all virtual servers that are his, as Prometheus reads them.
    ///
    /// # Errors
    /// He may not see them.
    pub async fn metrics(&self, by: &Operator) -> Result<String, Fault> {
        may_see(by, Sight::Operation, None)?;
        let mut servers = Vec::new();
        for site in self.sites_of(by).await? {
            servers.push((site.view.name.clone(), self.values(&site).await));
        }
        Ok(exposition(&servers))
    }

    /// The virtual servers that are his.
    pub(super) async fn sites_of(&self, by: &Operator) -> Result<Vec<Site>, Fault> {
        let sites = self.look(Servers::sites).await?;
        Ok(sites.into_iter().filter(|site| may_see(by, Sight::Operation, Some(&site.view.name)).is_ok()).collect())
    }

    async fn values(&self, site: &Site) -> [Option<u64>; COUNTERS] {
        let mut values = site.counts.values(&site.view).map(Some);
        let mut set = |counter: Counter, value| values[counter.index()] = value;
        let waiting = site.view.queue;
        if waiting.is_none() {
            set(Counter::Queue, None);
        }
        if waiting != Some(0) {
            let depth = self.depth(site).await;
            let of = |value: fn(&Depth) -> u64| depth.as_ref().map(value);
            set(Counter::LocalQueue, of(|depth| depth.local));
            set(Counter::LocalRetryQueue, of(|depth| depth.local_retry));
            let remote = waiting.zip(of(|depth| depth.local));
            set(Counter::RemoteQueue, remote.map(|(all, local)| all.saturating_sub(local)));
            set(Counter::RemoteRetryQueue, of(|depth| depth.retry.saturating_sub(depth.local_retry)));
            set(Counter::Held, of(|depth| depth.held));
        }
        values
    }

    /// How deep the queue is; as it was a moment ago, if it was asked then.
    async fn depth(&self, site: &Site) -> Option<Depth> {
        let mut known = site.counts.depth.lock().await;
        let is_fresh = |depth: &Depth| depth.asked.elapsed() < (depth.took * ASK_SHARE).max(ASK_PAUSE);
        if let Some(depth) = known.filter(is_fresh) {
            return Some(depth);
        }
        let asked = Instant::now();
        let of = |destination: Option<&str>, state| {
            let filter = Filter { destination: destination.map(Into::into), state, ..Filter::default() };
            self.count(&site.view.name, filter)
        };
        let (local, local_waiting, local_resting, waiting, resting, held) = tokio::join!(
            of(Some(LOCAL), None),
            of(Some(LOCAL), Some(MessageState::Waiting)),
            of(Some(LOCAL), Some(MessageState::Resting)),
            of(None, Some(MessageState::Waiting)),
            of(None, Some(MessageState::Resting)),
            of(None, Some(MessageState::Held)),
        );
        let depth = Depth {
            asked: Instant::now(),
            took: asked.elapsed(),
            local: local?,
            local_retry: local_waiting? + local_resting?,
            retry: waiting? + resting?,
            held: held?,
        };
        *known = Some(depth);
        Some(depth)
    }

    async fn count(&self, server: &str, filter: Filter) -> Option<u64> {
        match self.ask(server, Ask::Count(filter)).await {
            Ok(Answer::Count { messages, .. }) => Some(messages),
            _ => None,
        }
    }
}
