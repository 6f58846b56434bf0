//! A virtual server that takes long to start, because its queue is large: nobody else waits for it, and whatever is wanted of it meanwhile
//! comes to a good end.
//!
//! What takes long is made by a pipe in the place of a file that each start reads: the start goes on when the test writes into it.

use super::House;
use crate::harness::client::Client;
use crate::harness::console::{accept, first_link, with_console};
use crate::harness::mail::plain;
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{Process, SOON, Site, until};
use crate::operate::{done, mailroot};
use nix::libc::O_NONBLOCK;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A start that waits.
struct Slow {
    path: PathBuf,
    before: Option<Vec<u8>>,
}

/// A start that has got there.
struct Waiting(Slow, Arc<Mutex<Option<File>>>);

/// After this it goes on anyway, so that a test fails and does not hang, when somebody waits for it who should not.
const LONGEST: Duration = Duration::from_secs(60);

impl Slow {
    fn at(home: &Path) -> Slow {
        let path = home.join("Queue/standing.json");
        fs::create_dir_all(home.join("Queue")).unwrap();
        let before = fs::read(&path).ok();
        let _ = fs::remove_file(&path);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        Slow { path, before }
    }

    /// Returns when the start has got there.
    fn reached(self) -> Waiting {
        // As long as nobody reads a pipe it cannot be opened without waiting.
        let open = || OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(&self.path).ok();
        let pipe = Arc::new(Mutex::new(Some(until(SOON, "the start gets there", open))));
        let at_last = Arc::clone(&pipe);
        thread::spawn(move || {
            thread::sleep(LONGEST);
            drop(at_last.lock().unwrap().take());
        });
        Waiting(self, pipe)
    }
}

impl Waiting {
    /// The start goes on.
    fn let_go(self) {
        let Waiting(slow, pipe) = self;
        let mut pipe = pipe.lock().unwrap().take().expect("somebody has waited for the start");
        let what = slow.before.as_deref().unwrap_or(b"{}");
        fs::remove_file(&slow.path).unwrap();
        fs::write(&slow.path, what).unwrap();
        pipe.write_all(what).unwrap();
    }
}

/// `mailroot server start` beside the test; what it says.
fn started_beside(house: &House, name: &str) -> thread::JoinHandle<(i32, String, String)> {
    let (config, name) = (house.relay.config.clone(), name.to_owned());
    thread::spawn(move || mailroot(&config, &["server", "start", &name]))
}

/// It has ended and says this; or, on a machine that has much to do, that it would not wait so long.
fn says(ended: thread::JoinHandle<(i32, String, String)>, code: i32, text: &str, or: &str) {
    let (ended, said, _) = ended.join().unwrap();
    assert!((ended == code && said.contains(text)) || (ended == 0 && said.contains(or)), "{text}: {ended} {said}");
}

/// The list says that this one runs.
fn runs(house: &House, at: usize) {
    until(SOON, "it runs", || house.states()[at].ends_with(" running").then_some(()));
}

#[test]
fn one_that_starts_slowly_holds_up_nobody() {
    let mut house = House::with(with_console);
    let root = accept(house.site.at(1, 8025), &first_link(&house.relay));
    let mut client = Client::greet(house.relay.at);
    house.done(&["server", "stop", "Other"]);
    let slow = Slow::at(&house.site.folder.join("other"));
    let starting = started_beside(&house, "Other");
    let waiting = slow.reached();
    // Pages and commands are answered, for this one and for others.
    assert_eq!(house.states(), ["Test running", "Other starting"]);
    let counters = house.done(&["counters", "--json", "--server", "Other"]);
    assert!(counters.contains("mailroot_up") && !counters.contains("mailroot_queue_messages"), "{counters}");
    let page = root.get("/").send();
    assert!(page.status == 200 && page.body.contains("starting"), "{page:?}");
    let view = root.get("/api/v1/servers/Other").send().json();
    assert_eq!((&view["state"], &view["queue"]), (&"starting".into(), &serde_json::Value::Null));
    house.done(&["server", "pause", "Test"]);
    house.done(&["server", "continue", "Test"]);
    house.done(&["set", "messages.size_max", "5 MB", "--server", "Test"]);
    assert_eq!(house.done(&["config", "reload"]).lines().next(), Some("the file as it stands is in force"));
    house.done(&["set", "messages.size_max", "6 MB", "--server", "Other"]);
    assert_eq!(client.message("a@x.test", &["b@local.test"], &plain("one", "b@local.test")).code, 250);
    assert!(Client::greet(house.relay.at).say("EHLO a.test").text().contains("SIZE 5242880"));
    house.relay.process().signal("HUP");
    assert_eq!(house.states(), ["Test running", "Other starting"], "nobody has started it again");
    waiting.let_go();
    says(starting, 0, "'Other' runs\n", "'Other' is still starting\n");
    runs(&house, 1);
    let said = Client::greet(house.other).say("EHLO a.test");
    assert!(said.text().contains("SIZE 6291456"), "as it is configured by now: {said:?}");
    let starts = || house.relay.log().matches("started listen=").count();
    until(SOON, "the log tells of it", || (starts() >= 3).then_some(()));
    assert_eq!(starts(), 3, "{}", house.relay.log());
}

#[test]
fn stopped_renamed_and_taken_out_while_it_starts() {
    let house = House::new(|settings| settings);
    house.done(&["server", "stop", "Other"]);
    let home = house.site.folder.join("other");
    let waiting = {
        let slow = Slow::at(&home);
        let starting = started_beside(&house, "Other");
        let waiting = slow.reached();
        let config = house.relay.config.clone();
        let stopping = thread::spawn(move || mailroot(&config, &["server", "stop", "Other"]));
        says(starting, 1, "was stopped before it had started", "'Other' is still starting\n");
        until(SOON, "it is stopped", || house.states()[1].ends_with(" stopped").then_some(()));
        (waiting, stopping)
    };
    assert_eq!(house.states(), ["Test running", "Other stopped"]);
    assert!(!House::is_open(house.other));
    // Started again, it waits for the end of what had begun.
    let starting = started_beside(&house, "Other");
    until(SOON, "it is wanted again", || (house.states()[1] == "Other starting").then_some(()));
    waiting.0.let_go();
    says(waiting.1, 0, "'Other' is stopped; it had not started yet\n", "'Other' is stopping; it had not started yet, ");
    says(starting, 0, "'Other' runs\n", "'Other' is still starting\n");
    runs(&house, 1);
    Client::greet(house.other);
    house.done(&["server", "stop", "Other", "--yes"]);
    // Another name, and then none any more.
    let slow = Slow::at(&home);
    let starting = started_beside(&house, "Other");
    let waiting = slow.reached();
    house.done(&["server", "rename", "Other", "Second"]);
    assert_eq!(house.states(), ["Test running", "Second starting"]);
    house.done(&["server", "delete", "Second", "--yes"]);
    assert_eq!(house.states(), ["Test running"]);
    says(starting, 1, "was stopped before it had started", "'Other' is still starting\n");
    waiting.let_go();
    until(SOON, "its home is free", || free(&home).then_some(()));
    assert!(!House::is_open(house.other));
}

/// Has nobody the lock of this home's queue?
fn free(home: &Path) -> bool {
    let lock = OpenOptions::new().write(true).open(home.join("Queue/lock")).unwrap();
    lock.try_lock().is_ok()
}

#[test]
fn systemd_waits_for_a_slow_start_and_is_told_when_it_is_over() {
    let site = Site::new();
    let notified = UnixDatagram::bind(site.folder.join("notify")).unwrap();
    notified.set_read_timeout(Some(SOON)).unwrap();
    let heard = || {
        let mut octets = [0; 1024];
        let read = notified.recv(&mut octets).expect("nothing more is told");
        String::from_utf8_lossy(&octets[..read]).into_owned()
    };
    let relay = Relay::prepare(&site, &Settings::new(&site));
    let slow = Slow::at(&relay.home);
    let mut command = relay.command();
    command.env("NOTIFY_SOCKET", site.folder.join("notify"));
    let process = Process::start(&mut command);
    let first = heard();
    assert!(first.contains("EXTEND_TIMEOUT_USEC=") && first.contains("1 starting"), "{first}");
    slow.reached().let_go();
    let next = heard();
    assert!(next.contains("READY=1") && next.contains(&relay.at.to_string()), "{next}");
    drop(process);
}

#[test]
fn the_process_starts_and_ends_beside_one_that_is_slow() {
    let mut house = House::new(|settings| settings.delivery("glitch_retry = { every = \"1 h\", times = 3 }"));
    let route = format!("route=smtp://[{}]:2525", house.site.ip(2));
    house.done(&["domain", "add", "far.test", "--kind", "remote", &route, "--server", "Other"]);
    let sent = Client::greet(house.other).message("a@x.test", &["b@far.test"], &plain("waits", "b@far.test"));
    assert_eq!(sent.code, 250);
    house.relay.stop();
    let home = house.site.folder.join("other");
    let slow = Slow::at(&home);
    house.relay.up();
    let waiting = slow.reached();
    // The first one listens, and operators are in.
    assert_eq!(Client::greet(house.relay.at).say("NOOP").code, 250);
    assert_eq!(house.states(), ["Test running", "Other starting"]);
    // Told to end, it waits for what has begun, and loses nothing.
    house.relay.process().signal("TERM");
    until(SOON, "the end has begun", || (!House::is_open(house.relay.at)).then_some(()));
    waiting.let_go();
    let status = house.relay.process().ended(SOON, "it ends");
    assert!(status.success(), "{status}: {}", house.relay.log());
    let peer = Peer::start(house.site.at(2, 2525), Script::default());
    let _process = Process::start(&mut house.relay.command());
    until(SOON, "the other one listens", || House::is_open(house.other).then_some(()));
    done(&house.relay.config, &["destination", "retry", &format!("[{}]:2525", house.site.ip(2)), "--server", "Other"]);
    peer.wait_for("waits");
}
