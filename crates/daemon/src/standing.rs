//! What a queue must know again after a restart and no message tells: destinations that are suspended, and what counts for
//! limits a day.
//!
//! `Queue/standing.json`, written whole when an operator has suspended or resumed something, and otherwise once a minute if
//! anything has changed. A crash may so forget the last minute's messages of a daily limit, never a suspension. A file that
//! cannot be read is left, told of, and treated as empty.

use crate::log::Log;
use relay::config::terms::Owner;
use relay::queue::{DestinationOrder, Event, Queue};
use relay::scheduler::Paced;
use serde::{Deserialize, Serialize};
use smtp::time::Timestamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked whether something has changed.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// See the module. Belongs to the queue's thread.
pub(crate) struct Standing {
    path: PathBuf,
    /// As it is on the disk.
    kept: Kept,
    look_at: Timestamp,
    log: Log,
    /// The operator was told that it cannot be written.
    told: bool,
}

#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(default)]
    suspended: Vec<String>,
    #[serde(default)]
    paced: Vec<KeptPace>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct KeptPace {
    owner: KeptOwner,
    /// Until when it counts (milliseconds since 1970), messages, recipients.
    ended: Vec<(i64, u64, u64)>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptOwner {
    Server,
    SmartHost(String),
    Domain(String),
}

impl Standing {
    /// Reads what the life before has left in this Queue folder; the events that tell the queue of it.
    pub fn read(folder: &Path, log: &Log) -> (Standing, Vec<Event>) {
        let path = folder.join("standing.json");
        let kept = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::default(),
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                log.alarm(format!(
                    "{} cannot be read ({error}): no destination is suspended, no daily limit has begun.",
                    path.display()
                ));
                Kept::default()
            }),
            Err(error) => {
                log.alarm(format!(
                    "{} cannot be read ({error}): no destination is suspended, no daily limit has begun.",
                    path.display()
                ));
                Kept::default()
            }
        };
        let suspend = |name: &String| Event::Destination(name.as_str().into(), DestinationOrder::Suspend);
        let mut events: Vec<Event> = kept.suspended.iter().map(suspend).collect();
        if !kept.paced.is_empty() {
            events.push(Event::Paced(kept.paced.iter().map(KeptPace::paced).collect()));
        }
        (Standing { path, kept, look_at: Timestamp(0), log: log.clone(), told: false }, events)
    }

    /// Writes what has changed, if it is time to look. `now_or_never`: look at once.
    pub fn keep(&mut self, queue: &Queue, now: Timestamp, now_or_never: bool) {
        if !now_or_never && now < self.look_at {
            return;
        }
        self.look_at = now.plus(LOOK_EVERY);
        let mut suspended: Vec<String> = queue.suspended().map(|(name, _)| name.to_owned()).collect();
        suspended.sort_unstable();
        let kept = Kept { suspended, paced: queue.paced(now).iter().map(KeptPace::of).collect() };
        if kept == self.kept {
            return;
        }
        match self.write(&kept) {
            Ok(()) => {
                self.kept = kept;
                self.told = false;
            }
            Err(error) if !self.told => {
                self.told = true;
                self.log.alarm(format!(
                    "{} cannot be written: {error}. A restart would forget what is suspended.",
                    self.path.display()
                ));
            }
            Err(_) => {}
        }
    }

    fn write(&self, kept: &Kept) -> io::Result<()> {
        let new = self.path.with_extension("json.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(kept)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

impl KeptPace {
    fn of(paced: &Paced) -> KeptPace {
        let owner = match &paced.owner {
            Owner::Server => KeptOwner::Server,
            Owner::SmartHost(name) => KeptOwner::SmartHost(name.to_string()),
            Owner::Domain(name) => KeptOwner::Domain(name.to_string()),
        };
        KeptPace { owner, ended: paced.ended.iter().map(|(until, m, r)| (until.0, *m, *r)).collect() }
    }

    fn paced(&self) -> Paced {
        let owner = match &self.owner {
            KeptOwner::Server => Owner::Server,
            KeptOwner::SmartHost(name) => Owner::SmartHost(name.as_str().into()),
            KeptOwner::Domain(name) => Owner::Domain(name.as_str().into()),
        };
        Paced { owner, ended: self.ended.iter().map(|(until, m, r)| (Timestamp(*until), *m, *r)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use relay::config::Config;

    fn queue() -> Queue {
        let text = "[[virtual_server]]\nname = \"T\"\nhome = \"x\"\n[virtual_server.delivery]\nfqdn = \"a.test\"\n";
        Queue::new(Config::parse(text, "/x/mailroot.toml", "a.test").unwrap().servers[0].clone())
    }

    #[test]
    fn what_is_suspended_is_so_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::nowhere();
        let (mut standing, events) = Standing::read(folder.path(), &log);
        assert!(events.is_empty());
        let (mut first, now) = (queue(), Clock::start().now());
        let suspend = Event::Destination("example.com".into(), DestinationOrder::Suspend);
        first.apply(suspend, now, &mut Vec::new());
        standing.keep(&first, now, true);
        let (mut standing, events) = Standing::read(folder.path(), &log);
        let mut second = queue();
        events.into_iter().for_each(|event| second.apply(event, now, &mut Vec::new()));
        assert_eq!(second.suspended().map(|(name, _)| name).collect::<Vec<_>>(), ["example.com"]);
        second.apply(Event::Destination("example.com".into(), DestinationOrder::Resume), now, &mut Vec::new());
        standing.keep(&second, now, true);
        assert!(Standing::read(folder.path(), &log).1.is_empty(), "resumed is resumed");
    }

    #[test]
    fn limits_a_day_go_on_where_they_were_and_a_broken_file_begins_anew() {
        let pace = Paced { owner: Owner::SmartHost("office".into()), ended: vec![(Timestamp(5), 2, 3)] };
        assert_eq!(KeptPace::of(&pace).paced(), pace);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("standing.json"), "{ broken").unwrap();
        assert!(Standing::read(folder.path(), &Log::nowhere()).1.is_empty());
    }
}
