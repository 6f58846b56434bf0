//! A desk for tests: a whole virtual server in a folder of its own, with a log that can be read.

use super::Desk;
use crate::clock::Clock;
use crate::log::{Flush, Log};
use crate::store::Store;
use relay::config::{Config, VirtualServer};
use relay::record::Level;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// A virtual server of its own.
pub(crate) struct Office {
    pub(crate) desk: Arc<Desk>,
    pub(crate) server: Arc<VirtualServer>,
    store: Store,
    lines: Lines,
    flush: Flush,
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
pub(crate) fn configure(general: &str, messages: &str, delivery: &str) -> Arc<VirtualServer> {
    let text = format!(
        "[[virtual_server]]
         name = \"Test\"
         home = \"home\"
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

impl Office {
    pub(crate) fn new() -> Office {
        Office::with("", "", "")
    }

    /// Each argument is the text of a tab.
    pub(crate) fn with(general: &str, messages: &str, delivery: &str) -> Office {
        let server = configure(general, messages, delivery);
        let clock = Clock::start();
        let lines = Lines::default();
        let (log, flush) = Log::start(Level::Debug, clock.clone(), Box::new(lines.clone())).unwrap();
        let store = Store::default();
        let desk = Desk::new(Arc::clone(&server), store.clone(), log, clock);
        Office { desk, server, store, lines, flush }
    }

    /// The same store behind another configuration.
    pub(crate) fn reconfigured(&self, general: &str, delivery: &str) -> Arc<Desk> {
        let desk = &self.desk;
        Desk::new(configure(general, "", delivery), self.store.clone(), desk.log().clone(), desk.clock().clone())
    }

    /// What was committed.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        let kept = self.store.kept.lock().unwrap();
        kept.iter().map(|(envelope, content)| Kept { envelope: envelope.clone(), content: content.clone() }).collect()
    }

    /// What the log says, without the times.
    pub(crate) fn log(&self) -> Vec<String> {
        self.flush.flush();
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }
}
