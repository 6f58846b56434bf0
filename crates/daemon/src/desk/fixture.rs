//! A desk for tests: a whole virtual server in a folder of its own, with a log that can be read.

use super::{Desk, Premises, Reception};
use crate::auth::Passwords;
use crate::clock::Clock;
use crate::dns::Resolver;
use crate::log::{Flush, Log};
use crate::store::Store;
use relay::config::{Config, Dns, VirtualServer};
use relay::queue::{Accepted, Event};
use relay::record::Level;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// A virtual server of its own.
pub(crate) struct Office {
    pub(crate) desk: Arc<Desk>,
    store: Store,
    accepted: Mutex<Receiver<Event>>,
    lines: Lines,
    flush: Flush,
    pub(crate) home: TempDir,
}

/// A message that was committed.
pub(crate) struct Kept {
    pub(crate) envelope: relay::envelope::Envelope,
    pub(crate) content: Vec<u8>,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The default domain is `local.test`; 127.0.0.1 may relay. Each argument is the text of a tab.
fn configure(home: &Path, general: &str, messages: &str, delivery: &str) -> Arc<VirtualServer> {
    let text = format!(
        "[[virtual_server]]
         name = \"Test\"
         home = {home:?}
         [virtual_server.general]
         {general}
         [virtual_server.access]
         relay = {{ only = [\"127.0.0.1\"] }}
         [virtual_server.messages]
         {messages}
         [virtual_server.delivery]
         {delivery}
         [[virtual_server.domain]]
         name = \"local.test\"
         kind = \"default\"
        "
    );
    let config = Config::parse(&text, "/nowhere/mailroot.toml", "host.test");
    let config = config.unwrap_or_else(|problems| panic!("{}", problems[0].render(&text)));
    Arc::clone(&config.servers[0])
}

fn reception(server: &VirtualServer, log: &Log, clock: &Clock) -> Reception {
    let premises = Premises { state: Path::new("/nowhere"), passwords: &Passwords::new(1), clock };
    let resolver = Resolver::new(&Dns::default()).unwrap();
    let (reception, faults) = Reception::open(server, &premises, resolver, log, None);
    assert!(faults.is_empty(), "{faults:?}");
    reception
}

impl Office {
    pub(crate) fn new() -> Office {
        Office::with("", "", "")
    }

    /// Each argument is the text of a tab.
    pub(crate) fn with(general: &str, messages: &str, delivery: &str) -> Office {
        let home = TempDir::new().unwrap();
        let server = configure(home.path(), general, messages, delivery);
        let clock = Clock::start();
        let lines = Lines::default();
        let (log, flush) = Log::start(Level::Debug, clock.clone(), Box::new(lines.clone())).unwrap();
        let (events, accepted) = mpsc::channel();
        let (store, _) = Store::open(&server, events).unwrap();
        let desk = Desk::new(Arc::clone(&server), reception(&server, &log, &clock), store.clone(), log, clock);
        Office { desk, store, accepted: Mutex::new(accepted), lines, flush, home }
    }

    /// The same store behind another configuration.
    pub(crate) fn reconfigured(&self, general: &str, delivery: &str) -> Arc<Desk> {
        let desk = &self.desk;
        let server = configure(self.home.path(), general, "", delivery);
        Desk::new(
            Arc::clone(&server),
            reception(&server, desk.log(), desk.clock()),
            self.store.clone(),
            desk.log().clone(),
            desk.clock().clone(),
        )
    }

    /// What was committed since the last call. The store tells its queue right after it has told the session.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        let accepted = self.accepted.lock().unwrap();
        let events = std::iter::from_fn(|| accepted.recv_timeout(Duration::from_millis(200)).ok());
        let messages = events.filter_map(|event| match event {
            Event::Accepted(messages) => Some(messages),
            _ => None,
        });
        messages.flatten().map(|message| self.read(message)).collect()
    }

    fn read(&self, message: Accepted) -> Kept {
        let mut reader = self.store.content_blocking(message.id, &message.place).unwrap();
        let mut content = Vec::new();
        while let Some(chunk) = reader.next_blocking().unwrap() {
            content.extend_from_slice(&chunk);
        }
        Kept { envelope: message.envelope, content }
    }

    /// What the log says, without the times.
    pub(crate) fn log(&self) -> Vec<String> {
        self.flush.flush();
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }
}
