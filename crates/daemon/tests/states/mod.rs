//! Virtual servers that are started, stopped, paused and continued: what goes on, what ends, what stays so over a restart.

mod slow;

use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::{PROGRAM, Relay, Settings};
use crate::harness::{Process, SOON, Site, listening, until};
use crate::operate::{done, mailroot};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

/// A relay with two virtual servers, `Test` and `Other`.
struct House {
    site: Site,
    relay: Relay,
    other: SocketAddr,
}

impl House {
    fn new(settings: impl FnOnce(Settings) -> Settings) -> House {
        House::with(|site| settings(Settings::new(site)))
    }

    fn with(settings: impl FnOnce(&Site) -> Settings) -> House {
        let site = Site::new();
        let settings = settings(&site);
        let mut relay = Relay::prepare(&site, &settings);
        let other = site.at(3, 2525);
        let text = fs::read_to_string(&relay.config).unwrap();
        let more = format!(
            "[[virtual_server]]\nname = \"Other\"\nhome = \"{}\"\n[virtual_server.general]\nlisten = [\"{other}\"]\n[virtual_server.access]\nrelay = {{ only = [\"127.0.0.0/8\"] }}\n[virtual_server.delivery]\nfqdn = \"other.test\"\n",
            site.folder.join("other").display()
        );
        fs::write(&relay.config, format!("{text}\n{more}")).unwrap();
        relay.up();
        listening(other, "the other one");
        House { site, relay, other }
    }

    fn done(&self, words: &[&str]) -> String {
        done(&self.relay.config, words)
    }

    fn refused(&self, words: &[&str]) -> String {
        let (code, _, error) = mailroot(&self.relay.config, words);
        assert_eq!(code, 1, "{words:?}: {error}");
        error
    }

    /// What the list says of the states.
    fn states(&self) -> Vec<String> {
        let list = self.done(&["server", "list"]);
        let word = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        list.lines().skip(1).map(word).collect()
    }

    fn is_open(at: SocketAddr) -> bool {
        TcpStream::connect(at).is_ok()
    }

    /// Ends the process and starts another one; `at`: who greets then.
    fn restart(&mut self, at: Option<SocketAddr>) -> Process {
        self.relay.stop();
        let process = Process::start(&mut self.relay.command());
        let config = self.relay.config.clone();
        until(SOON, "the service answers", || (mailroot(&config, &["server", "list"]).0 == 0).then_some(()));
        if let Some(at) = at {
            until(SOON, "it greets", || House::is_open(at).then_some(()));
        }
        process
    }
}

#[test]
fn paused_takes_no_connections_and_all_else_goes_on() {
    let house = House::new(|settings| settings);
    let site = &house.site;
    let peer = Peer::start(site.at(2, 2525), Script::default());
    let route = format!("route=smtp://[{}]:2525", site.ip(2));
    house.done(&["domain", "add", "far.test", "--kind", "remote", &route, "--server", "Test"]);
    let (mut one, mut two) = (Client::greet(house.relay.at), Client::greet(house.other));
    assert_eq!(house.done(&["server", "pause", "Test"]), "'Test' is paused: no new connections; 1 session goes on\n");
    assert_eq!(house.states(), ["Test paused", "Other running"]);
    assert!(!House::is_open(house.relay.at) && House::is_open(house.other));
    // Who is in hands in a message, and it is delivered.
    assert_eq!(one.message("a@local.test", &["b@far.test"], &plain("one", "b@far.test")).code, 250);
    peer.wait_for("one");
    assert_eq!(two.say("NOOP").code, 250);
    assert_eq!(house.done(&["server", "pause", "Test"]), "'Test' is paused already\n");
    assert_eq!(house.done(&["server", "continue", "Test"]), "'Test' takes connections again\n");
    assert_eq!(Client::greet(house.relay.at).say("NOOP").code, 250);
    assert_eq!(house.done(&["server", "continue", "Test"]), "'Test' runs already\n");
    assert_eq!(house.done(&["server", "start", "Test"]), "'Test' runs already\n");
    assert_eq!(one.say("NOOP").code, 250, "nothing of this has touched it");
    house.relay.wait_for_log(&["paused", "server=Test"]);
    house.relay.wait_for_log(&["continued", "server=Test"]);
}

#[test]
fn stopped_stays_stopped_over_a_restart_and_the_other_one_is_not_touched() {
    let mut house = House::new(|settings| settings);
    let (mut one, mut two) = (Client::greet(house.relay.at), Client::greet(house.other));
    let question = house.refused(&["server", "stop", "Test"]);
    assert!(
        question.starts_with("'Test' would stop, and 1 session would end; nothing was done. Add --yes"),
        "{question}"
    );
    assert_eq!(house.done(&["server", "stop", "Test", "--yes"]), "'Test' is stopped; 1 session ended\n");
    assert!(one.reply().text().starts_with("421 4.3.2"));
    assert!(!House::is_open(house.relay.at));
    assert_eq!(two.say("NOOP").code, 250);
    assert_eq!(house.done(&["server", "stop", "Test"]), "'Test' is stopped already\n");
    assert!(house.refused(&["server", "pause", "Test"]).contains("does not run"));
    assert!(house.refused(&["server", "continue", "Test"]).contains("start it"));
    house.done(&["server", "pause", "Other"]);
    assert_eq!(two.say("NOOP").code, 250);

    let _process = house.restart(None);
    assert_eq!(house.states(), ["Test stopped", "Other paused"]);
    house.done(&["set", "messages.size_max", "5 MB", "--server", "Test"]);
    house.done(&["config", "reload"]);
    assert_eq!(house.states(), ["Test stopped", "Other paused"], "a changed configuration starts nothing");
    assert!(!House::is_open(house.relay.at) && !House::is_open(house.other));
    assert_eq!(house.done(&["server", "start", "Other"]), "'Other' takes connections again\n");
    assert_eq!(house.done(&["server", "start", "Test"]), "'Test' runs\n");
    assert!(Client::greet(house.relay.at).say("EHLO again.test").text().contains("SIZE 5242880"));
    Client::greet(house.other);
}

#[test]
fn a_service_of_which_all_is_stopped_waits() {
    let site = Site::new();
    let mut relay = Relay::start(&site, &Settings::new(&site));
    done(&relay.config, &["server", "stop", "--yes"]);
    relay.stop();
    let mut process = Process::start(&mut relay.command());
    let list = until(SOON, "the service answers", || {
        let (code, list, _) = mailroot(&relay.config, &["server", "list"]);
        (code == 0).then_some(list)
    });
    assert_eq!(list, "NAME  STATE    LISTENS ON  IN  OUT  QUEUE  TROUBLE\nTest  stopped              0   0    0\n");
    assert!(process.0.try_wait().unwrap().is_none());
    done(&relay.config, &["server", "start", "Test"]);
    assert_eq!(Client::greet(relay.at).say("NOOP").code, 250);
}

#[test]
fn what_waits_in_a_stopped_server_goes_when_it_is_started() {
    let site = Site::new();
    let settings =
        Settings::new(&site).smart_host(site.at(2, 2525)).delivery("glitch_retry = { every = \"1 h\", times = 3 }");
    let mut relay = Relay::start(&site, &settings);
    let mut client = Client::greet(relay.at);
    assert_eq!(client.message("a@local.test", &["b@far.test"], &plain("waits", "b@far.test")).code, 250);
    done(&relay.config, &["destination", "suspend", &format!("[{}]:2525", site.ip(2))]);
    done(&relay.config, &["server", "stop", "--yes"]);
    // How much waits is known, and stays so over a restart.
    let config = relay.config.clone();
    let waiting = || {
        let list = done(&config, &["server", "list", "--json"]);
        serde_json::from_str::<serde_json::Value>(&list).unwrap()[0]["queue"].as_u64()
    };
    assert_eq!(waiting(), Some(1));
    relay.stop();
    let _process = Process::start(&mut relay.command());
    assert_eq!(waiting(), Some(1));
    let peer = Peer::start(site.at(2, 2525), Script::default());
    done(&relay.config, &["server", "start"]);
    assert!(done(&relay.config, &["destination", "list"]).contains("suspended"), "what was suspended is so still");
    done(&relay.config, &["destination", "resume", &format!("[{}]:2525", site.ip(2))]);
    done(&relay.config, &["destination", "retry", &format!("[{}]:2525", site.ip(2))]);
    peer.wait_for("waits");
}

#[test]
fn another_name_keeps_sessions_and_state() {
    let mut house = House::new(|settings| settings);
    let mut one = Client::greet(house.relay.at);
    house.done(&["destination", "suspend", "gone.test", "--server", "Test"]);
    house.done(&["server", "stop", "Other", "--yes"]);
    let told = house.done(&["server", "rename", "Test", "Main"]);
    assert!(told.contains("'Test' goes on as 'Main'") && !told.contains("started"), "{told}");
    house.done(&["server", "rename", "Other", "Second"]);
    assert_eq!(house.states(), ["Main running", "Second stopped"]);
    assert_eq!(one.say("NOOP").code, 250, "its session goes on");
    assert_eq!(one.message("a@x.test", &["b@local.test"], &plain("one", "b@local.test")).code, 250);
    house.relay.wait_for_log(&["accepted", "server=Main"]);
    assert!(house.done(&["session", "list", "--server", "Main"]).contains("[client.test]"));
    assert!(house.done(&["destination", "list", "--server", "Main"]).contains("suspended"));
    house.done(&["server", "pause", "Main"]);
    let _process = house.restart(None);
    assert_eq!(house.states(), ["Main paused", "Second stopped"]);
    assert!(house.done(&["destination", "list", "--server", "Main"]).contains("suspended"));
}

#[test]
fn a_new_one_comes_and_goes_and_the_others_go_on() {
    let house = House::new(|settings| settings);
    let mut one = Client::greet(house.relay.at);
    let at = house.site.at(4, 2525);
    let (listen, home) = (at.to_string(), house.site.folder.join("third").display().to_string());
    let words = ["server", "new", "Third", "--listen", &listen, "--home", &home, "--domain", "third.test"];
    let told = house.done(&words);
    assert!(told.contains("'Third' is started"), "{told}");
    let mut third = Client::greet(at);
    house.done(&["set", "messages.size_max", "5 MB", "--server", "Third"]);
    assert_eq!(third.say("NOOP").code, 250, "a setting that holds for new sessions ends none");
    let question = house.refused(&["server", "delete", "Third"]);
    assert!(question.contains("1 sessions end") && question.contains("--yes"), "{question}");
    house.done(&["server", "delete", "Third", "--yes"]);
    assert!(third.reply().text().starts_with("421 4.3.2"));
    assert!(!House::is_open(at) && fs::metadata(&home).is_ok(), "its folders stay");
    assert_eq!(house.states(), ["Test running", "Other running"]);
    assert_eq!(one.say("NOOP").code, 250);
}

#[test]
fn one_that_could_not_start_is_failed_and_started_when_it_can() {
    let site = Site::new();
    let taken = TcpListener::bind(site.at(5, 2525)).unwrap();
    let house = House::new(|settings| settings);
    let (listen, home) =
        (taken.local_addr().unwrap().to_string(), house.site.folder.join("third").display().to_string());
    let words = ["server", "new", "Third", "--listen", &listen, "--home", &home, "--domain", "third.test"];
    // The service answers.
    house.states();
    let (code, out, _) = mailroot(&house.relay.config, &words);
    assert!(code == 1 && out.contains("taken by another program"), "{out}");
    assert_eq!(house.states(), ["Test running", "Other running", "Third failed"]);
    let list = house.done(&["server", "list"]);
    assert!(list.contains("is taken by another"), "{list}");
    drop(taken);
    assert_eq!(house.done(&["server", "start", "Third"]), "'Third' runs\n");
    assert_eq!(Client::greet(listen.parse().unwrap()).say("NOOP").code, 250);
}

/// `mailroot serve` with this socket, as systemd hands it over.
fn activated(relay: &Relay, listener: &TcpListener) -> Process {
    let script = format!(
        "export LISTEN_FDS=1 LISTEN_PID=$$; exec {PROGRAM} serve --config {} 3<&0 </dev/null",
        relay.config.display()
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    let log =
        fs::OpenOptions::new().create(true).append(true).open(relay.config.with_file_name("mailroot.log")).unwrap();
    let process = Process(command.stderr(Stdio::from(log)).spawn().unwrap());
    until(SOON, "the service answers", || (mailroot(&relay.config, &["server", "list"]).0 == 0).then_some(()));
    process
}

#[test]
fn a_socket_of_systemd_refuses_while_it_rests_and_is_used_again() {
    let site = Site::new();
    let listener = TcpListener::bind(site.at(1, 2525)).unwrap();
    let relay = Relay::prepare(&site, &Settings::new(&site));
    let config = &relay.config;
    let mut process = activated(&relay, &listener);
    for (away, back) in [("pause", "continue"), ("stop", "start")] {
        assert_eq!(Client::greet(relay.at).say("QUIT").code, 221);
        done(config, &["server", away]);
        assert!(!House::is_open(relay.at), "{away}");
        done(config, &["server", back]);
    }
    assert_eq!(Client::greet(relay.at).say("QUIT").code, 221);
    // The next life is handed the same socket, which is listened on no more.
    done(config, &["server", "stop", "--yes"]);
    process.signal("TERM");
    process.ended(SOON, "it ends");
    let _process = activated(&relay, &listener);
    assert!(!House::is_open(relay.at));
    done(config, &["server", "start"]);
    assert_eq!(Client::greet(relay.at).say("NOOP").code, 250);
}
