//! What is found in a queue and in lists that are longer than a page, and how long work shows how far it is.

use super::{done, hand_in, mailroot, waiting};
use crate::harness::operator::{ask, get};
use crate::harness::relay::PROGRAM;
use crate::harness::{SOON, Site, until};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn messages_are_found_by_their_subject_and_what_is_counted_is_taken() {
    let site = Site::new();
    let mut relay = waiting(&site);
    let config = relay.config.clone();
    hand_in(&relay, "bob@far.test", "Invoice 4711");
    hand_in(&relay, "bob@far.test", "=?utf-8?q?invoice_for_Gr=C3=BC=C3=9Fe?=");
    hand_in(&relay, "bob@far.test", "Holiday");
    let found = |part: &str| -> Vec<String> {
        let list: Value =
            serde_json::from_str(&done(&config, &["queue", "search", "--subject", part, "--json"])).unwrap();
        list.as_array().unwrap().iter().map(|one| one["subject"].as_str().unwrap().to_owned()).collect()
    };
    until(SOON, "all have come", || (found("").len() == 3).then_some(()));
    // As they come, and as they are read from the disk again.
    for _ in 0..2 {
        assert_eq!(found("INVOICE"), ["Invoice 4711", "invoice for Grüße"]);
        assert_eq!(found("GRÜ"), ["invoice for Grüße"]);
        assert_eq!(found("far.test"), [""; 0]);
        relay.stop();
        relay.up();
        until(SOON, "all are found again", || {
            let (code, out, _) = mailroot(&config, &["queue", "list", "--json"]);
            (code == 0 && out.matches("\"subject\"").count() == 3).then_some(())
        });
    }
    let answer = get(&relay, "/api/v1/servers/Test/queue?subject=holi").json();
    assert_eq!(answer["items"][0]["subject"], "Holiday", "{answer}");
    let list = done(&config, &["queue", "list", "--subject", "4711"]);
    assert!(list.lines().count() == 2 && list.contains("Invoice 4711"), "{list}");
    let id = list.lines().nth(1).unwrap().split(' ').next().unwrap();
    assert!(done(&config, &["queue", "show", id]).contains("Subject: Invoice 4711\n"));
    let (code, _, error) = mailroot(&config, &["queue", "search"]);
    assert_eq!(code, 2, "a search for nothing: {error}");

    let (code, _, refused) = mailroot(&config, &["queue", "delete", "--subject", "invoice"]);
    assert!(code == 1 && refused.contains("2 messages") && refused.contains("--yes"), "{refused}");
    assert!(done(&config, &["queue", "delete", "--subject", "invoice", "--yes"]).starts_with("2 messages deleted"));
    assert_eq!(found(""), ["Holiday"]);
}

#[test]
fn what_is_not_held_is_told_apart() {
    let site = Site::new();
    let relay = waiting(&site);
    hand_in(&relay, "bob@far.test", "one");
    hand_in(&relay, "carol@far.test", "two");
    done(&relay.config, &["queue", "hold", "--recipient", "bob", "--yes"]);
    let recipients = |query: &str| -> Vec<String> {
        let answer = get(&relay, &format!("/api/v1/servers/Test/queue?{query}")).json();
        answer["items"].as_array().unwrap().iter().map(|one| one["recipient"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(recipients("held=true"), ["bob@far.test"]);
    assert_eq!(recipients("held=false"), ["carol@far.test"]);
}

#[test]
fn destinations_come_page_by_page_and_all_at_once() {
    let site = Site::new();
    let relay = waiting(&site);
    // There are those of which somebody has said that nothing goes there, mail or not.
    for n in 0..25 {
        done(&relay.config, &["destination", "suspend", &format!("host{n:02}.test")]);
    }
    let page = |query: &str| get(&relay, &format!("/api/v1/servers/Test/destinations?limit=10{query}")).json();
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = page("");
    assert_eq!(
        (names(&first).len(), &first["total"], &first["before"], &first["previous"]),
        (10, &json!(25), &json!(0), &Value::Null)
    );
    let second = page(&format!("&after={}", first["next"].as_str().unwrap()));
    let third = page(&format!("&after={}", second["next"].as_str().unwrap()));
    assert_eq!((&third["before"], &third["next"]), (&json!(20), &Value::Null));
    let mut all = [names(&first), names(&second), names(&third)].concat();
    assert_eq!(page(&format!("&before={}", third["previous"].as_str().unwrap())), second);
    assert_eq!(all.len(), 25);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 25, "each once");
    assert_eq!(page("&name=HOST1")["total"], 10);
    for wrong in ["&after=x", "&before=1.zz.y", "&after=1.2.x&before=1.2.x"] {
        let address = format!("/api/v1/servers/Test/destinations?limit=10{wrong}");
        assert_eq!(ask(&relay, "GET", &address, "").status, 422, "{wrong}");
    }
    let list = done(&relay.config, &["destination", "list"]);
    assert_eq!(list.lines().count(), 26, "{list}");
    let some = done(&relay.config, &["destination", "list", "--name", "host1", "--limit", "3"]);
    assert!(some.lines().count() == 5 && some.ends_with("3 of 10 destinations\n"), "{some}");
}

/// What the program shows on a terminal: its standard output and error.
fn on_a_terminal(config: &Path, words: &[&str]) -> String {
    let command = format!("{PROGRAM} {} --config {}", words.join(" "), config.display());
    let mut script = Command::new("script");
    script.args(["-qefc", &command, "/dev/null"]).stdin(Stdio::null());
    let output = script.output().expect("script, of bsdutils");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{words:?}: {shown}");
    shown
}

#[test]
fn long_work_shows_a_bar_on_a_terminal_and_nowhere_else() {
    let site = Site::new();
    let relay = waiting(&site);
    let config = relay.config.clone();
    hand_in(&relay, "bob@far.test", "one");
    hand_in(&relay, "carol@far.test", "two");
    let file = site.folder.join("queue.tar");
    let file = file.to_str().unwrap();
    let export = ["queue", "export", file, "--all", "--remove", "--yes"];
    for (words, bar) in [
        (&["queue", "hold", "--sender", "alice", "--yes"][..], "Holding [--"),
        (&["queue", "release", "--sender", "alice", "--yes"], "Releasing [--"),
        (&["queue", "retry", "--sender", "alice", "--yes"], "Trying [--"),
        (&export, "Exporting ["),
        (&["queue", "import", file, "--again"], "Importing ["),
    ] {
        let shown = on_a_terminal(&config, words);
        let at = shown.find(bar).unwrap_or_else(|| panic!("{words:?}: {shown:?}"));
        assert!(shown[at..].contains(" of ") && shown[at..].contains(" %"), "{shown:?}");
        let end = shown.rfind("\r\x1b[K").unwrap();
        let rest = shown[end + 4..].trim_end();
        assert!(rest.starts_with("2 messages") && !rest.contains('['), "the bar is taken away: {shown:?}");
    }
    let shown = on_a_terminal(&config, &["queue", "hold", "--sender", "alice", "--yes", "--json"]);
    assert!(shown.starts_with('{') && !shown.contains('\x1b'), "for programs: {shown:?}");
    let (code, out, error) = mailroot(&config, &["queue", "release", "--sender", "alice", "--yes"]);
    assert_eq!((code, out.as_str(), error.as_str()), (0, "2 messages released\n", ""));
}

#[test]
fn a_command_tells_how_far_it_is_and_a_refusal_is_one() {
    let site = Site::new();
    let relay = waiting(&site);
    hand_in(&relay, "bob@far.test", "one");
    let address = "/api/v1/commands?progress=true";
    let hold = json!({"command": "queue", "server": "Test", "verb": "hold", "which": {"matching": {}}});
    let answer = ask(&relay, "POST", address, &hold.to_string());
    assert!(answer.status == 200 && answer.head.contains("application/x-ndjson"), "{}", answer.head);
    let text = answer.text();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["outcome"]["text"], "1 messages held", "{text}");
    let elsewhere = json!({"command": "queue", "server": "Nobody", "verb": "hold", "which": {"matching": {}}});
    let answer = ask(&relay, "POST", address, &elsewhere.to_string());
    assert_eq!((answer.status, &answer.json()["status"]), (404, &json!(404)));
}
