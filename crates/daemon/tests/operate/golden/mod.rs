//! Golden output of the command line: tables, `--json`, previews, questions, errors and exit codes of the commands for a running
//! service, and the help of every command, as they stand in the files of this folder (`BLESS=1` writes them anew).

mod mask;
mod transcript;

use super::{done, hand_in, mailroot, waiting};
use crate::harness::client::Client;
use crate::harness::console::with_console;
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::{SOON, Site, files_ending, until};
use mask::NO_ID;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use transcript::Transcript;

/// The commands below this one, as its help has them.
fn below(words: &[String]) -> Vec<String> {
    let output = Command::new(PROGRAM).args(words).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let list = text.split("Commands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
    let names = list.lines().filter_map(|line| line.trim().split(' ').next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn help_of_every_command() {
    let site = Site::new();
    let mut transcript = Transcript::new(&site, Path::new("none"));
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(words) = waiting.pop() {
        let typed: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        transcript.say(&typed);
        let deeper = below(&words).into_iter().rev();
        waiting.extend(deeper.map(|word| words.iter().cloned().chain([word]).collect()));
    }
    transcript.compare("help.txt");
}

fn servers(said: &mut Transcript, site: &Site, relay: &Relay) {
    said.say(&["server", "list"]);
    said.say(&["server", "list", "--json"]);
    said.say(&["server", "pause", "Test"]);
    said.say(&["server", "list"]);
    said.say(&["server", "pause"]);
    said.say(&["server", "continue"]);
    said.note("Nobody is connected: nothing is asked.");
    said.say(&["server", "stop"]);
    said.say(&["server", "list"]);
    said.say(&["server", "start", "--json"]);
    said.say(&["server", "start"]);
    let mut client = Client::greet(relay.at);
    assert_eq!(client.say("EHLO one.test").code, 250);
    said.note("A client is connected.");
    said.say(&["server", "stop"]);
    said.answer(&["server", "stop"], "n");
    said.say(&["server", "stop", "--yes"]);
    client.rest();
    said.say(&["server", "start"]);
    let listen = site.at(3, 2525).to_string();
    let new = ["server", "new", "Second One", "--listen", &listen, "--home", "second", "--domain", "second.test"];
    said.say(&[&new[..], &["--dry-run"]].concat());
    said.say(&[&new[..], &["--recipe", "none"]].concat());
    said.say(&new);
    said.say(&new);
    said.say(&["server", "list"]);
    said.say(&["server", "stop"]);
    said.say(&["server", "rename", "Second One", "Test"]);
    said.say(&["server", "rename", "Second One", "Branch"]);
    said.say(&["server", "delete", "Branch"]);
    said.answer(&["server", "delete", "Branch"], "");
    said.answer(&["server", "delete", "Branch"], "y");
    said.say(&["server", "delete", "Test", "--yes"]);
    said.say(&["server", "pause", "Nobody"]);
    said.say(&["server"]);
    said.say(&["server", "new", "Third"]);
    said.say(&["server", "restart"]);
}

fn domains(said: &mut Transcript) {
    said.say(&["domain", "list"]);
    said.say(&["domain", "add", "far.test", "--kind", "remote", "route=smtp://192.0.2.7:26", "allow_relay=yes"]);
    said.say(&["domain", "add", "far.test", "--kind", "alias"]);
    said.say(&["domain", "add", "other.test", "--kind", "alias", "--json"]);
    said.say(&["domain", "add", "bad.test", "--kind", "remote", "route=nowhere"]);
    said.say(&["domain", "add", "bad.test", "--kind", "local"]);
    said.say(&["domain", "add", "bad.test", "--kind", "remote", "route"]);
    said.say(&["domain", "set", "far.test", "allow_relay=", "route=mx"]);
    said.say(&["domain", "set", "far.test", "colour=red"]);
    said.say(&["domain", "set", "gone.test", "route=mx"]);
    said.say(&["domain", "list"]);
    said.say_beginning(&["domain", "list", "--json"], 25);
    said.say(&["domain", "rename", "far.test", "*.branch.test"]);
    said.say(&["domain", "rename", "gone.test", "here.test"]);
    said.say(&["domain", "remove", "*.branch.test"]);
    said.say(&["domain", "remove", "other.test"]);
    said.say(&["domain", "remove", "other.test"]);
    said.say(&["domain", "remove", "local.test"]);
    said.say(&["domain", "list", "--server", "Nobody"]);
}

fn settings(said: &mut Transcript, config: &Path) {
    said.say(&["set", "messages.size_max", "5 MB", "--dry-run"]);
    said.say(&["get", "messages.size_max"]);
    said.say(&["set", "messages.size_max", "5 MB"]);
    said.say(&["set", "Test", "queue.messages_max", "4000", "--json"]);
    said.say(&["get", "Test", "messages.size_max"]);
    said.say(&["get", "messages.size_max", "--json"]);
    said.say(&["get", "messages"]);
    said.say(&["get", "messages", "--json", "--written"]);
    said.say(&["set", "console.session_idle", "20 min"]);
    said.say(&["get", "console"]);
    said.say(&["set", "--unset", "Test", "queue.messages_max"]);
    said.say(&["set", "messages.size_max", "soon"]);
    said.say(&["set", "messages.colour", "red"]);
    said.say(&["get", "messages.colour"]);
    said.say(&["set", "messages.size_max"]);
    said.say(&["set"]);
    said.say(&["set", "Test", "messages.size_max", "1 MB", "--server", "Test"]);
    said.say(&["set", "Nobody", "messages.size_max", "1 MB"]);
    said.say(&["config", "diff"]);
    let text = fs::read_to_string(config).unwrap();
    fs::write(config, format!("# Ours.\n{text}")).unwrap();
    said.note("The file was edited by hand.");
    said.say(&["config", "diff"]);
    said.say(&["set", "messages.size_max", "6 MB"]);
    said.say(&["config", "reload"]);
    said.say(&["config", "history"]);
    said.say(&["config", "history", "--json"]);
    said.say(&["config", "rollback", "1", "--dry-run"]);
    said.say(&["config", "rollback", "1"]);
    said.say(&["config", "rollback", "77"]);
    said.say(&["config", "rollback", "first"]);
}

fn operators(said: &mut Transcript) {
    said.say(&["operator", "list"]);
    said.say(&["operator", "add", "helen", "--role", "help-desk", "--only", "Test"]);
    said.say(&["operator", "add", "helen", "--role", "auditor"]);
    said.say(&["operator", "add", "otto", "--role", "operator", "--json"]);
    said.say(&["operator", "add", "anna", "--role", "boss"]);
    said.pipe(&["operator", "passwd", "helen", "--password-stdin"], "correct horse battery");
    said.pipe(&["operator", "passwd", "helen", "--password-stdin"], "short");
    said.say(&["operator", "passwd", "helen"]);
    said.say(&["operator", "set", "otto", "--disable"]);
    said.say(&["operator", "set", "otto", "--only", "Nobody"]);
    said.say(&["operator", "set", "nobody", "--enable"]);
    said.say(&["operator", "list"]);
    said.say(&["operator", "list", "--json"]);
    said.say(&["operator", "invite", "helen"]);
    said.say(&["operator", "log-out", "helen"]);
    said.say(&["operator", "remove", "otto"]);
    said.say(&["operator", "remove", "otto"]);
    said.pipe(&["operator", "passwd", "administrator", "--password-stdin"], "correct horse battery");
    said.say(&["operator", "remove", "administrator"]);
    said.say(&["operator", "set", "administrator", "--role", "auditor"]);
    said.say(&["operator", "token", "list"]);
    said.say(&["operator", "token", "new", "backup", "--role", "operator", "--days", "30"]);
    said.say(&["operator", "token", "new", "backup", "--role", "operator"]);
    said.say(&["operator", "token", "new", "watch", "--role", "auditor", "--only", "Test", "--json"]);
    said.say(&["operator", "token", "list"]);
    said.say(&["operator", "token", "list", "--json"]);
    said.say(&["operator", "token", "revoke", "backup"]);
    said.say(&["operator", "token", "revoke", "backup"]);
    said.say(&["operator", "token", "new", "old", "--role", "auditor", "--days", "0"]);
}

#[test]
fn servers_domains_settings_and_operators() {
    let site = Site::new();
    let relay = Relay::start(&site, &with_console(&site));
    done(&relay.config, &["server", "list"]);
    for (name, part) in [
        ("server.txt", &mut (|said: &mut Transcript| servers(said, &site, &relay)) as &mut dyn FnMut(&mut Transcript)),
        ("domain.txt", &mut domains),
        ("settings.txt", &mut |said| settings(said, &relay.config)),
        ("operator.txt", &mut operators),
    ] {
        let mut said = Transcript::new(&site, &relay.config);
        part(&mut said);
        said.compare(name);
    }
}

/// Waits until so many messages are in the queue and none is under way; their ids.
fn at_rest(config: &Path, number: usize) -> Vec<String> {
    until(SOON, &format!("{number} messages wait"), || {
        let list: Value = serde_json::from_str(&done(config, &["queue", "list", "--json"])).unwrap();
        let list = list.as_array().unwrap();
        let rests =
            list.iter().all(|message| matches!(message["state"].as_str(), Some("waiting" | "resting" | "held")));
        (rests && list.len() == number)
            .then(|| list.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect())
    })
}

fn queue(said: &mut Transcript, site: &Site, config: &Path, ids: &[String]) {
    said.say(&["queue", "list"]);
    said.say(&["queue", "list", "--json", "--limit", "1"]);
    said.say(&["queue", "list", "--limit", "1"]);
    said.say(&["queue", "search", "CAROL@"]);
    said.say(&["queue", "search", "nobody"]);
    said.say(&["queue", "show", &ids[0]]);
    said.say(&["queue", "show", &ids[0], "--json"]);
    said.say(&["queue", "show", &ids[0], "--headers"]);
    said.say(&["queue", "show", &ids[0], "--content"]);
    said.say(&["queue", "show", NO_ID]);
    said.say(&["queue", "show", "../../audit"]);
    said.say(&["queue", "hold"]);
    said.say(&["queue", "hold", "--recipient", "far.test"]);
    said.answer(&["queue", "hold", "--recipient", "far.test"], "n");
    said.say(&["queue", "list", "--held"]);
    said.answer(&["queue", "hold", "--recipient", "far.test"], "y");
    said.say(&["queue", "list", "--held"]);
    said.say(&["queue", "release", &ids[0]]);
    said.say(&["queue", "release", "--sender", "alice", "--yes", "--json"]);
    said.say(&["queue", "release", &ids[0], "--sender", "alice"]);
    said.say(&["queue", "retry", "--older-than", "1d"]);
    said.say(&["queue", "retry", "--older-than", "soon"]);
    said.say(&["queue", "retry", NO_ID]);
    at_rest(config, 3);
    said.say(&["queue", "retry", "--recipient", "bob", "--yes"]);
    at_rest(config, 3);
    let file = site.folder.join("queue.tar").display().to_string();
    said.say(&["queue", "export", &file]);
    said.say(&["queue", "export", &file, "--recipient", "bob"]);
    said.say(&["queue", "export", &file, "--recipient", "bob"]);
    said.say(&["queue", "import", &file]);
    fs::remove_file(&file).unwrap();
    said.say(&["queue", "export", &file, "--recipient", "bob", "--remove"]);
    said.answer(&["queue", "export", &file, "--recipient", "bob", "--remove"], "y");
    said.say(&["queue", "import", &file, "--hold", "--json"]);
    said.say(&["queue", "import", &site.folder.join("none.tar").display().to_string()]);
    said.say(&["queue", "return", "--recipient", "bob"]);
    said.say(&["queue", "return", "--recipient", "bob", "--yes"]);
    said.say(&["queue", "delete", &ids[1]]);
    said.answer(&["queue", "delete", &ids[1]], "yes");
    said.say(&["queue", "delete", "--recipient", "far.test", "--yes"]);
    at_rest(config, 0);
    said.say(&["queue", "list"]);
    said.say(&["queue", "list", "--json"]);
    said.say(&["queue", "burn"]);
}

fn destinations(said: &mut Transcript, site: &Site) {
    let smart_host = format!("[{}]:2525", site.ip(2));
    said.say(&["destination", "list"]);
    said.say(&["destination", "list", "--json"]);
    said.say(&["destination", "suspend", &smart_host]);
    said.say(&["destination", "suspend", &smart_host]);
    said.say(&["destination", "list"]);
    said.say(&["destination", "resume", &smart_host, "--json"]);
    said.say(&["destination", "retry", &smart_host]);
    said.say(&["destination", "retry", "nobody.test"]);
    said.say(&["destination", "resume", "nobody.test"]);
    said.say(&["destination", "retry"]);
}

fn sessions(said: &mut Transcript, config: &Path, relay: &Relay) {
    until(SOON, "no session is open", || (done(config, &["session", "list"]).lines().count() == 1).then_some(()));
    said.say(&["session", "list"]);
    said.say(&["session", "end-all"]);
    let mut clients: Vec<Client> = (0..2).map(|_| Client::greet(relay.at)).collect();
    assert_eq!(clients[0].say("EHLO printer.test").code, 250);
    assert_eq!(clients[1].say("HELO scanner.test").code, 250);
    said.say(&["session", "list"]);
    said.say(&["session", "list", "--json"]);
    said.say(&["session", "list", "--outbound"]);
    let list: Value = serde_json::from_str(&done(config, &["session", "list", "--json"])).unwrap();
    let id = list[0]["id"].as_str().unwrap().to_owned();
    // Its number follows from how often it was asked before whether the relay is there.
    let show = done(config, &["session", "show", &id]);
    assert!(show.contains("S: 220") && show.contains("C: EHLO printer.test"), "{show}");
    said.say(&["session", "show", "999999"]);
    said.say(&["session", "end", "999999"]);
    said.say(&["session", "end"]);
    said.say(&["session", "end-all", "--inbound"]);
    said.answer(&["session", "end-all"], "no");
    said.say(&["session", "end-all", "--yes"]);
    clients.iter_mut().for_each(|client| drop(client.rest()));
}

fn badmail(said: &mut Transcript, relay: &Relay) {
    said.say(&["badmail", "list"]);
    let badmail = relay.folder("Badmail");
    fs::write(badmail.join("lost.BAD"), "From: alice@local.test\r\nSubject: lost\r\n\r\nNobody is named.\r\n").unwrap();
    let text = "From: alice@local.test\r\nTo: bob@local.test\r\nSubject: figures\r\n\r\nAs every month.\r\n";
    fs::write(badmail.join("figures.BAD"), text).unwrap();
    said.say(&["badmail", "list"]);
    said.say(&["badmail", "list", "--json", "--limit", "1"]);
    said.say(&["badmail", "list", "--limit", "1"]);
    said.say(&["badmail", "show", "figures"]);
    said.say(&["badmail", "show", "figures", "--headers"]);
    said.say(&["badmail", "show", "figures", "--json"]);
    said.say(&["badmail", "show", "gone"]);
    said.say(&["badmail", "requeue"]);
    said.say(&["badmail", "requeue", "--all"]);
    said.answer(&["badmail", "requeue", "--all"], "y");
    until(SOON, "it is delivered", || files_ending(&relay.folder("Drop"), ".eml").pop());
    said.say(&["badmail", "requeue", "gone"]);
    said.say(&["badmail", "delete", "lost"]);
    said.answer(&["badmail", "delete", "lost"], "n");
    said.say(&["badmail", "delete", "lost", "--yes"]);
    said.say(&["badmail", "delete", "--all", "--yes"]);
}

#[test]
fn queue_destinations_sessions_and_badmail() {
    let site = Site::new();
    let relay = waiting(&site);
    let config = relay.config.clone();
    done(&config, &["queue", "list"]);
    let mut ids = Vec::new();
    for name in ["bob", "carol", "dave"] {
        hand_in(&relay, &format!("{name}@far.test"), name);
        // One after the other, so that their order is theirs.
        ids = at_rest(&config, ids.len() + 1);
    }
    for (name, part) in [
        (
            "destination.txt",
            &mut (|said: &mut Transcript| destinations(said, &site)) as &mut dyn FnMut(&mut Transcript),
        ),
        ("queue.txt", &mut |said| queue(said, &site, &config, &ids)),
        ("session.txt", &mut |said| sessions(said, &config, &relay)),
        ("badmail.txt", &mut |said| badmail(said, &relay)),
    ] {
        let mut said = Transcript::new(&site, &config);
        part(&mut said);
        said.compare(name);
    }
    drop(relay);
    let mut said = Transcript::new(&site, &config);
    said.note("No service runs.");
    said.say(&["queue", "list"]);
    said.say(&["server", "list", "--json"]);
    fs::write(&config, "[messages").unwrap();
    said.say(&["queue", "list"]);
    fs::remove_file(&config).unwrap();
    said.say(&["config", "diff"]);
    said.compare("nobody.txt");
    assert_eq!(mailroot(&config, &["queue", "list"]).0, 1);
}
