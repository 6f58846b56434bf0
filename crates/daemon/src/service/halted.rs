//! Which virtual servers an operator has stopped or paused: kept over a restart of the process.
//!
//! `servers.json` in the state folder, written whole before the operator hears that it is done. A virtual server is known by its name,
//! and by its home if it was renamed meanwhile. With it stands how many messages were waiting in it when it had stopped. A file that cannot be read is told of and put aside, and all run.
//!
//! IIS: Start, Stop, Pause; the state of a virtual server (ServerState, ServerAutoStart).

use crate::log::Log;
use relay::config::VirtualServer;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an operator wants of a virtual server that does not simply run.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Halt {
    /// No new connections.
    Paused,
    /// It neither listens nor delivers.
    Stopped,
}

/// See the module.
#[derive(Default)]
pub(super) struct Halted {
    /// `None`: no state folder is known yet.
    path: Option<PathBuf>,
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    home: PathBuf,
    state: Halt,
    /// Messages that wait in one that is stopped, as it was when it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
}

impl Halted {
    /// From now on it is kept in this state folder. What was known before goes on to hold; else what lies there does.
    pub fn keep_in(&mut self, state: &Path, log: &Log) {
        let path = state.join("servers.json");
        if self.path.as_ref() == Some(&path) {
            return;
        }
        if self.path.is_none() {
            self.entries = read(&path).unwrap_or_else(|error| {
                let aside = path.with_extension("json.bad");
                // What somebody may want to mend is not written over.
                let kept = fs::rename(&path, &aside).map_or_else(|_| String::new(), |()| format!(" It lies in {} now.", aside.display()));
                log.alarm(format!(
                    "{} cannot be read ({error}): which virtual servers were stopped or paused is not known, and all are started.{kept}",
                    path.display()
                ));
                Vec::new()
            });
            self.path = Some(path);
        } else {
            self.path = Some(path);
            self.save(log);
        }
    }

    /// Takes over names and homes from a configuration that is about to hold; forgets those that are not in it.
    pub fn follow(&mut self, servers: &[Arc<VirtualServer>], log: &Log) {
        let mut left = self.entries.clone();
        let mut entries = Vec::new();
        for server in servers {
            if let Some(at) = find(&left, server, servers) {
                let entry = left.swap_remove(at);
                entries.push(Entry {
                    name: server.name.to_string(),
                    // Nobody has counted what waits in another home.
                    waiting: entry.waiting.filter(|_| entry.home == server.home),
                    home: server.home.clone(),
                    ..entry
                });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if entries != self.entries {
            self.entries = entries;
            self.save(log);
        }
    }

    /// What is wanted of this virtual server; `None`: it runs.
    pub fn of(&self, server: &VirtualServer) -> Option<Halt> {
        self.entries.iter().find(|entry| entry.name == *server.name).map(|entry| entry.state)
    }

    /// Something else is wanted of it from now on.
    ///
    /// # Errors
    /// It cannot be written down, and holds for this life of the process only.
    pub fn set(&mut self, server: &VirtualServer, state: Option<Halt>) -> io::Result<()> {
        self.entries.retain(|entry| entry.name != *server.name);
        self.entries.extend(state.map(|state| Entry {
            name: server.name.to_string(),
            home: server.home.clone(),
            state,
            waiting: None,
        }));
        self.entries.sort_by(|a, b| a.name.cmp(&b.name));
        self.write()
    }

    /// Messages that wait in one that is stopped; `None`: that is not known.
    pub fn left(&self, server: &VirtualServer) -> Option<u64> {
        self.entries.iter().find(|entry| entry.name == *server.name)?.waiting
    }

    /// So many messages wait in the home of one that was stopped and has come to its end.
    ///
    /// # Errors
    /// It cannot be written down, and is not known after this life of the process.
    pub fn note_left(&mut self, home: &Path, waiting: u64) -> io::Result<()> {
        let stopped = self.entries.iter_mut().find(|entry| entry.home == home && entry.state == Halt::Stopped);
        let Some(entry) = stopped else { return Ok(()) };
        entry.waiting = Some(waiting);
        self.write()
    }

    fn save(&self, log: &Log) {
        if let (Err(error), Some(path)) = (self.write(), &self.path) {
            log.alarm(format!("{} cannot be written: {error}. {}", path.display(), FORGOTTEN));
        }
    }

    fn write(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let Some(folder) = path.parent() else { return Ok(()) };
        if self.entries.is_empty() && !path.exists() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let new = path.with_extension("json.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(&self.entries)?)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    }
}

/// What it means when the file cannot be written.
pub(super) const FORGOTTEN: &str =
    "After a restart of the process it would not be known that it was stopped or paused.";

fn read(path: &Path) -> io::Result<Vec<Entry>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// By its name; else by its home, if the name that is known belongs to nobody any more.
fn find(entries: &[Entry], server: &VirtualServer, all: &[Arc<VirtualServer>]) -> Option<usize> {
    let is_name = |entry: &Entry| entry.name == *server.name;
    let is_orphan = |entry: &Entry| !all.iter().any(|other| entry.name == *other.name);
    entries
        .iter()
        .position(is_name)
        .or_else(|| entries.iter().position(|entry| entry.home == server.home && is_orphan(entry)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::config::Config;

    fn servers(names: &[(&str, &str)]) -> Vec<Arc<VirtualServer>> {
        let text: String = names
            .iter()
            .enumerate()
            .map(|(number, (name, home))| {
                format!(
                    "[[virtual_server]]\nname = \"{name}\"\nhome = \"{home}\"\n[virtual_server.general]\nlisten = [\"127.0.0.1:{}\"]\n[virtual_server.delivery]\nfqdn = \"a.test\"\n",
                    3_000 + number
                )
            })
            .collect();
        Config::parse(&text, "/x/mailroot.toml", "a.test").unwrap_or_else(|p| panic!("{}", p[0].render(&text))).servers
    }

    #[test]
    fn what_was_stopped_is_so_in_the_next_life_under_another_name_too() {
        let folder = tempfile::tempdir().unwrap();
        let (state, log) = (folder.path().join("state"), Log::nowhere());
        let two = servers(&[("one", "h1"), ("two", "h2")]);
        let mut halted = Halted::default();
        halted.keep_in(&state, &log);
        halted.follow(&two, &log);
        assert!(!state.exists(), "nothing to keep, nothing written");
        halted.set(&two[0], Some(Halt::Stopped)).unwrap();
        halted.set(&two[1], Some(Halt::Paused)).unwrap();
        let next = |names: &[(&str, &str)]| {
            let mut halted = Halted::default();
            halted.keep_in(&state, &log);
            let servers = servers(names);
            halted.follow(&servers, &log);
            servers.iter().map(|server| halted.of(server)).collect::<Vec<_>>()
        };
        assert_eq!(next(&[("one", "h1"), ("two", "h2")]), [Some(Halt::Stopped), Some(Halt::Paused)]);
        assert_eq!(next(&[("two", "h2"), ("uno", "h1")]), [Some(Halt::Paused), Some(Halt::Stopped)], "renamed");
        assert_eq!(next(&[("one", "h3"), ("uno", "h1")]), [None, Some(Halt::Stopped)], "the old name is another's now");
        assert_eq!(next(&[("two", "h2")]), [None], "what is not in the configuration is forgotten");
    }

    #[test]
    fn it_can_be_taken_back_and_a_broken_file_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::nowhere();
        let one = servers(&[("one", "h1")]);
        let mut halted = Halted::default();
        halted.keep_in(folder.path(), &log);
        halted.set(&one[0], Some(Halt::Stopped)).unwrap();
        halted.set(&one[0], None).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("servers.json")).unwrap(), "[]");
        fs::write(folder.path().join("servers.json"), "{ broken").unwrap();
        let mut halted = Halted::default();
        halted.keep_in(folder.path(), &log);
        assert_eq!(halted.of(&one[0]), None);
    }

    #[test]
    fn what_waits_in_another_home_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::nowhere();
        let before = servers(&[("one", "h1")]);
        let mut halted = Halted::default();
        halted.keep_in(folder.path(), &log);
        halted.set(&before[0], Some(Halt::Stopped)).unwrap();
        halted.note_left(&before[0].home, 5).unwrap();
        let renamed = servers(&[("uno", "h1")]);
        halted.follow(&renamed, &log);
        assert_eq!(halted.left(&renamed[0]), Some(5));
        let moved = servers(&[("uno", "h2")]);
        halted.follow(&moved, &log);
        assert_eq!((halted.of(&moved[0]), halted.left(&moved[0])), (Some(Halt::Stopped), None));
    }
}
