//! Operators on the command line: what a running service shows, and what it does for them.

mod found;
mod golden;

use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::{PROGRAM, Relay, Settings};
use crate::harness::{SOON, Site, until};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the program did: its exit code, standard output, standard error.
pub fn mailroot(config: &Path, words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    command.args(words).arg("--config").arg(config).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub fn done(config: &Path, words: &[&str]) -> String {
    // The service greets a moment before it answers on its socket.
    let (code, out, error) = until(SOON, "the service answers", || {
        let (code, out, error) = mailroot(config, words);
        (!error.contains("no service answers")).then_some((code, out, error))
    });
    assert_eq!(code, 0, "{words:?}: {out}{error}");
    out
}

/// A relay whose smart host is not there yet.
fn waiting(site: &Site) -> Relay {
    let settings = Settings::new(site)
        .smart_host(site.at(2, 2525))
        .delivery("glitch_retry = { every = \"1 h\", times = 3 }")
        .delivery("retry = [\"1 h\"]");
    Relay::start(site, &settings)
}

fn hand_in(relay: &Relay, to: &str, subject: &str) {
    let reply = Client::greet(relay.at).message("alice@local.test", &[to], &plain(subject, to));
    assert_eq!(reply.code, 250, "{reply:?}");
}

#[test]
fn the_queue_is_seen_and_steered() {
    let site = Site::new();
    let relay = waiting(&site);
    let config = relay.config.clone();
    hand_in(&relay, "bob@far.test", "one");
    hand_in(&relay, "carol@far.test", "two");
    let destination = format!("[{}]:2525", site.ip(2));
    let line = until(SOON, "the destination waits for its next try", || {
        let list = done(&config, &["destination", "list"]);
        list.lines().find(|line| line.starts_with(&destination) && line.contains("waiting")).map(str::to_owned)
    });
    assert!(line.contains("refused"), "the reason stands there: {line}");

    let list = done(&config, &["queue", "list", "--recipient", "BOB@"]);
    let id = list.lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(list.contains("bob@far.test") && !list.contains("carol"), "{list}");
    let shown = done(&config, &["queue", "show", &id]);
    assert!(shown.contains("alice@local.test") && shown.contains("bob@far.test"), "{shown}");

    let (code, _, refused) = mailroot(&config, &["queue", "hold", "--recipient", "bob"]);
    assert_eq!(code, 1);
    assert!(refused.contains("1 messages") && refused.contains("--yes"), "{refused}");
    assert!(done(&config, &["queue", "hold", "--recipient", "bob", "--yes"]).starts_with("1 messages held"));
    assert!(done(&config, &["queue", "list", "--held"]).contains(&id));

    // The host comes back: what is not held goes when it is told to.
    let peer = Peer::start(site.at(2, 2525), Script::default());
    done(&config, &["destination", "retry", &destination]);
    until(SOON, "the other message arrives", || (peer.taken_count() == 1).then_some(()));
    assert!(done(&config, &["queue", "list"]).contains(&id), "the held one stays");
    done(&config, &["queue", "release", &id]);
    until(SOON, "the released message arrives", || (peer.taken_count() == 2).then_some(()));
}

#[test]
fn what_is_suspended_stays_so_over_a_restart() {
    let site = Site::new();
    let mut relay = waiting(&site);
    let config = relay.config.clone();
    let destination = format!("[{}]:2525", site.ip(2));
    let peer = Peer::start(site.at(2, 2525), Script::default());
    done(&config, &["destination", "suspend", &destination]);
    hand_in(&relay, "bob@far.test", "one");
    relay.stop();
    relay.up();
    let state = |word: &str| {
        let list = done(&config, &["destination", "list"]);
        list.lines().any(|line| line.starts_with(&destination) && line.contains(word)).then_some(())
    };
    until(SOON, "it is suspended after the restart", || state("suspended"));
    assert_eq!(peer.taken_count(), 0);
    done(&config, &["destination", "resume", &destination]);
    until(SOON, "the message arrives", || (peer.taken_count() == 1).then_some(()));
}

#[test]
fn settings_are_changed_in_the_file_and_in_force() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let config = relay.config.clone();
    let before = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("# Ours.\n{before}")).unwrap();

    let (code, _, conflict) = mailroot(&config, &["set", "messages.size_max", "5 MB"]);
    assert_eq!(code, 1);
    assert!(conflict.contains("edited by hand"), "{conflict}");
    assert!(done(&config, &["config", "diff"]).contains("+# Ours."));
    done(&config, &["config", "reload"]);

    let told = done(&config, &["set", "messages.size_max", "5 MB"]);
    assert!(told.contains("+size_max = \"5 MB\""), "{told}");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.starts_with("# Ours.\n") && text.contains("size_max = \"5 MB\""), "{text}");
    assert!(Client::greet(relay.at).say("EHLO again.test").text().contains("SIZE 5242880"), "it is in force");

    let (code, _, refused) = mailroot(&config, &["set", "messages.size_max", "soon"]);
    assert_eq!(code, 1);
    assert!(refused.contains("line") && fs::read_to_string(&config).unwrap() == text, "{refused}");

    done(&config, &["domain", "add", "far.test", "--kind", "remote", "route=smtp://192.0.2.7:26"]);
    assert!(fs::read_to_string(&config).unwrap().contains("smtp://192.0.2.7:26"));
    let history = done(&config, &["config", "history"]);
    assert!(history.contains("size_max") && history.contains("far.test") && history.contains("unix:"), "{history}");
    let first = history.lines().find(|line| line.contains("messages.size_max")).unwrap().split(' ').next().unwrap();
    done(&config, &["config", "rollback", first]);
    assert_eq!(fs::read_to_string(&config).unwrap(), text, "as it was after the first change");
    let log = |name| fs::read_to_string(config.with_file_name("state").join(name)).unwrap();
    let (log, refused) = (log("audit.log"), log("refused.log"));
    assert!(log.contains("\"outcome\":\"done\"") && refused.contains("\"outcome\":\"failed\""), "{log}{refused}");
}

#[test]
fn what_cannot_be_done_is_said_in_a_sentence() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let config = relay.config.clone();
    for (words, said) in [
        (&["queue", "show", "0123456789abcdef"][..], "no message"),
        (&["queue", "show", "../../audit"], "no id"),
        (&["queue", "delete"], "Which messages"),
        (&["queue", "list", "--server", "Other"], "no virtual server"),
        (&["set", "messages.colour", "red"], "no setting"),
        (&["domain", "remove", "gone.test"], "no domain"),
        (&["config", "rollback", "77"], "no version 77"),
    ] {
        let (code, _, error) = mailroot(&config, words);
        assert_eq!(code, 1, "{words:?}");
        assert!(error.contains(said), "{words:?}: {error}");
    }
    drop(relay);
    let (code, _, error) = mailroot(&config, &["queue", "list"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("no service answers") || error.contains("cannot be read") || error.contains("no file"),
        "{error}"
    );
}

#[test]
fn settings_are_listed_and_written_as_one_says_them() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let config = relay.config.clone();
    let list = done(&config, &["get", "messages"]);
    let line = list.lines().find(|line| line.starts_with("messages.size_max")).unwrap().to_owned();
    assert!(line.ends_with("2 MB") && line.contains(" -  ") && !list.contains("delivery."), "{list}");
    done(&config, &["set", "Test", "messages.size_max", "5MB"]);
    assert_eq!(done(&config, &["get", "Test", "messages.size_max"]), "\"5MB\"\n");
    done(&config, &["set", "access.reverse_dns", "yes"]);
    done(&config, &["set", "access.relay.only", "127.0.0.0/8, 192.0.2.7"]);
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("reverse_dns = true") && text.contains("[\"127.0.0.0/8\", \"192.0.2.7\"]"), "{text}");
    let written = done(&config, &["get", "--written"]);
    assert!(written.contains("messages.size_max") && !written.contains("messages.recipients_max"), "{written}");
    let json: serde_json::Value = serde_json::from_str(&done(&config, &["get", "access", "--json"])).unwrap();
    assert!(
        json.as_array().unwrap().iter().any(|view| view["name"] == "access.reverse_dns" && view["value"] == "true")
    );
    let (code, _, told) = mailroot(&config, &["set", "Test", "messages.size_max", "1 MB", "--server", "Test"]);
    assert!(code == 2 && told.contains("once"), "{told}");
    done(&config, &["set", "--unset", "Test", "messages.size_max"]);
    assert!(done(&config, &["get", "messages.size_max"]).contains("not written"));
    // What stands at the top of the file is known by its name.
    done(&config, &["set", "console.session_idle", "20 min"]);
    assert_eq!(done(&config, &["get", "console.session_idle"]), "\"20 min\"\n");
    let (code, _, told) = mailroot(&config, &["get", "messages.colour"]);
    assert!(code == 1 && told.contains("no setting messages.colour"), "{told}");

    done(
        &config,
        &["domain", "add", "*.branch.test", "--kind", "remote", "route=smtp://mail.branch.test:25", "allow_relay=yes"],
    );
    let list = done(&config, &["domain", "list"]);
    assert!(list.contains("*.branch.test") && list.contains("smtp://mail.branch.test:25"), "{list}");
    assert!(list.lines().any(|line| line.starts_with("local.test") && line.contains("the Drop folder")), "{list}");
    done(&config, &["smart-host", "set", "office", "hosts=smtp.office.test:587", "tls=required"]);
    let list = done(&config, &["smart-host", "list"]);
    assert!(list.contains("office") && list.contains("smtp.office.test:587"), "{list}");
    assert!(done(&config, &["smart-host", "show", "OFFICE"]).contains("smart_host.tls"));
    done(&config, &["smart-host", "remove", "office"]);
    let audit = done(&config, &["audit", "--what", "branch.test"]);
    assert!(audit.contains("domain_add") && audit.contains("socket") && !audit.contains("smart_host"), "{audit}");
}
