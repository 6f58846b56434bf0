//! Messages carried out of one relay and into another: whole, once, and by files that other programs can open.

use super::{hand_in, waiting};
use crate::harness::client::Client;
use crate::harness::mail::{assert_same, plain, tricky};
use crate::harness::operator::{done, mailroot};
use crate::harness::peer::{At, Mood, Peer, Script};
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::{Process, SOON, Site, has, run, until};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

fn ids(relay: &Relay) -> Vec<String> {
    let list: Value = serde_json::from_str(&done(&relay.config, &["queue", "list", "--json"])).unwrap();
    list.as_array().unwrap().iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
}

fn tar(words: &[&str]) -> String {
    let output = Command::new("tar").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn messages_go_from_one_relay_to_another_whole_and_once() {
    let (one, two) = (Site::new(), Site::new());
    let (from, to) = (waiting(&one), waiting(&two));
    let large = tricky(&"x".repeat(50)).repeat(200);
    for content in [&tricky("small"), &large] {
        hand_in(&from, &["bob@far.test", "carol@far.test"], content);
    }
    let file = one.folder.join("queue.tar");
    let told = done(&from.config, &["queue", "export", text(&file), "--all", "--remove", "--yes"]);
    assert!(told.starts_with("2 messages written and taken out of the queue"), "{told}");
    assert!(ids(&from).is_empty(), "they are here no more");
    // Other programs can open it.
    let names = tar(&["tf", text(&file)]);
    assert_eq!(names.lines().filter(|name| name.ends_with(".eml")).count(), 2, "{names}");
    assert!(tar(&["xOf", text(&file), "export.txt"]).starts_with("2 messages of the queue of 'Test'"));
    let (code, _, error) = mailroot(&from.config, &["queue", "export", text(&file), "--all"]);
    assert!(code == 1 && error.contains("exists"), "a file is never overwritten: {error}");

    let told = done(&to.config, &["queue", "import", text(&file)]);
    assert_eq!(told, "2 messages carried into the queue\n");
    let (code, told, _) = mailroot(&to.config, &["queue", "import", text(&file)]);
    assert!(code == 1 && told.starts_with("0 messages") && told.contains("2 passed over"), "{told}");
    assert!(told.contains("carried in before"), "{told}");
    let peer = Peer::start(two.at(2, 2525), Script::default());
    done(&to.config, &["queue", "retry", "--sender", "alice", "--yes"]);
    until(SOON, "both arrive", || (peer.taken_count() == 2).then_some(()));
    let taken = peer.taken();
    let found = |sent: &[u8]| {
        let taken = taken.iter().find(|taken| taken.content.ends_with(&sent[sent.len().saturating_sub(2_000)..]));
        taken.filter(|taken| taken.rcpt.len() == 2 && taken.content.len() < sent.len() + 1_000).cloned()
    };
    assert_same(&found(&tricky("small")).expect("the small one").content, &tricky("small"), "the other relay's peer");
    assert_same(&found(&large).expect("the large one").content, &large, "the other relay's peer");
    until(SOON, "the queue is empty", || ids(&to).is_empty().then_some(()));
}

#[test]
fn a_copy_leaves_the_queue_alone_and_says_so() {
    let site = Site::new();
    let relay = waiting(&site);
    let id = hand_in(&relay, &["bob@far.test"], &plain("one", "bob@far.test"));
    hand_in(&relay, &["carol@far.test"], &plain("two", "carol@far.test"));
    let file = site.folder.join("one.tar");
    let told = done(&relay.config, &["queue", "export", text(&file), &id]);
    assert!(told.starts_with("1 messages written; they stay"), "{told}");
    assert_eq!(ids(&relay).len(), 2);
    let (code, told, _) = mailroot(&relay.config, &["queue", "import", text(&file)]);
    assert!(code == 1 && told.contains("it is in this queue"), "{told}");
    assert_eq!(ids(&relay).len(), 2, "never two copies silently");
    let (_, told, _) = mailroot(&relay.config, &["queue", "import", text(&file), "--again", "--hold"]);
    assert!(told.starts_with("1 messages carried"), "{told}");
    assert!(done(&relay.config, &["queue", "list", "--held"]).contains("bob@far.test"));
    let (code, _, error) = mailroot(&relay.config, &["queue", "export", text(&file)]);
    assert!(code == 1 && error.contains("Which messages"), "{error}");
    let missing = site.folder.join("none.tar");
    let told = mailroot(&relay.config, &["queue", "export", text(&missing), "0123456789abcdef"]).1;
    assert!(told.starts_with("0 messages") && told.contains("no message 0123456789abcdef"), "{told}");
}

#[test]
fn who_has_got_it_does_not_get_it_again() {
    let site = Site::new();
    let script = Script::default().when(At::Rcpt, "carol", Mood::Say("451 4.2.1 later".into()));
    let peer = Peer::start(site.at(2, 2525), script);
    let relay = waiting(&site);
    hand_in(&relay, &["bob@far.test", "carol@far.test"], &plain("shared", "bob@far.test"));
    until(SOON, "bob has it", || (peer.taken_count() == 1).then_some(()));
    until(SOON, "carol waits", || done(&relay.config, &["queue", "list"]).contains(" waiting ").then_some(()));
    let file = site.folder.join("queue.tar");
    done(&relay.config, &["queue", "export", text(&file), "--all", "--remove", "--yes"]);
    peer.play(Script::default());
    done(&relay.config, &["queue", "import", text(&file)]);
    let second = until(SOON, "carol has it", || peer.taken().get(1).cloned());
    assert_eq!(second.rcpt.len(), 1, "{second:?}");
    assert!(second.rcpt[0].contains("carol"), "{second:?}");
}

#[test]
fn what_a_person_has_edited_or_broken_is_mended_or_told() {
    let site = Site::new();
    let relay = waiting(&site);
    let id = hand_in(&relay, &["bob@far.test"], &plain("edited", "bob@far.test"));
    let file = site.folder.join("queue.tar");
    done(&relay.config, &["queue", "export", text(&file), "--all", "--remove", "--yes"]);
    let folder = site.folder.join("opened");
    fs::create_dir(&folder).unwrap();
    tar(&["xf", text(&file), "-C", text(&folder)]);
    // An editor has its own line ends; the archive comes back in another order, with folders and other names around.
    let message = folder.join(format!("{id}.eml"));
    let lf = fs::read_to_string(&message).unwrap().replace("\r\n", "\n") + "one more line\n";
    fs::write(&message, lf).unwrap();
    for (name, content) in [
        ("0000000000000001.env", "no envelope"),
        ("0000000000000001.eml", "From: a@x.test\n\n"),
        ("0000000000000002.eml", "alone"),
        ("notes.txt", "x"),
    ] {
        fs::write(folder.join(name), content).unwrap();
    }
    let again = site.folder.join("again.tar");
    tar(&["cf", text(&again), "--sort=name", "-C", text(&site.folder.join("")), "opened"]);
    let (code, told, _) = mailroot(&relay.config, &["queue", "import", text(&again)]);
    assert_eq!(code, 1, "{told}");
    assert!(told.starts_with("1 messages carried into the queue; 2 not taken"), "{told}");
    assert!(told.contains("0000000000000001") && told.contains("0000000000000002: its .env is not next to"), "{told}");
    let peer = Peer::start(site.at(2, 2525), Script::default());
    done(&relay.config, &["queue", "retry", "--sender", "alice", "--yes"]);
    let taken = until(SOON, "it arrives", || peer.taken().pop());
    assert!(has(&taken.content, "one more line\r\n"), "{}", String::from_utf8_lossy(&taken.content));

    let whole = fs::read(&file).unwrap();
    fs::write(&again, &whole[..1_000]).unwrap();
    let (code, told, _) = mailroot(&relay.config, &["queue", "import", text(&again), "--again"]);
    assert!(code == 1 && told.contains("breaks off"), "{told}");
    let (code, told, _) = mailroot(&relay.config, &["queue", "import", text(&relay.config)]);
    assert!(code == 1 && (told.contains("no tar archive") || told.contains("breaks off")), "{told}");
}

#[test]
fn what_is_in_an_archive_twice_comes_once() {
    let site = Site::new();
    let relay = waiting(&site);
    let id = hand_in(&relay, &["bob@far.test"], &plain("twice", "bob@far.test"));
    let file = site.folder.join("queue.tar");
    done(&relay.config, &["queue", "export", text(&file), "--all", "--remove", "--yes"]);
    tar(&["xf", text(&file), "-C", text(&site.folder.join(""))]);
    let (envelope, content) = (format!("{id}.env"), format!("{id}.eml"));
    // What follows at once is not durable yet, what follows later may be.
    for _ in 0..3 {
        tar(&["rf", text(&file), "-C", text(&site.folder.join("")), &envelope, &content]);
    }
    for more in [&["--hold"] as &[&str], &["--hold", "--again"]] {
        let (code, told, _) = mailroot(&relay.config, &[&["queue", "import", text(&file)], more].concat());
        assert!(code == 1 && told.starts_with("1 messages carried into the queue; "), "{told}");
        assert!(told.contains("twice"), "{told}");
    }
    assert_eq!(ids(&relay).len(), 2);
}

#[test]
fn an_export_that_ends_early_leaves_nothing_held() {
    let site = Site::new();
    // One message is under way for good, so that the export waits for it.
    let script = Script::default().when(At::Rcpt, "carol", Mood::Stall);
    let script = script.when(At::Rcpt, "bob", Mood::Say("451 4.2.1 later".into()));
    let _peer = Peer::start(site.at(2, 2525), script);
    let relay = waiting(&site);
    hand_in(&relay, &["carol@far.test"], &plain("stalls", "carol@far.test"));
    until(SOON, "it is under way", || done(&relay.config, &["queue", "list"]).contains(" sending ").then_some(()));
    let waits = hand_in(&relay, &["bob@far.test"], &plain("waits", "bob@far.test"));
    let held = || done(&relay.config, &["queue", "list", "--held"]).contains("bob@");
    let nowhere = site.folder.join("no/queue.tar");
    let (code, _, error) = mailroot(&relay.config, &["queue", "export", text(&nowhere), &waits, "--remove", "--yes"]);
    assert!(code == 1 && error.contains("cannot be made") && !held(), "{error}");
    for signal in ["INT", "TERM", "HUP"] {
        let file = site.folder.join("queue.tar");
        let mut command = Command::new(PROGRAM);
        command.args(["queue", "export", text(&file), "--all", "--remove", "--yes", "--config"]).arg(&relay.config);
        let mut export = Process::start(&mut command);
        until(SOON, "it is held", || held().then_some(()));
        export.signal(signal);
        let status = export.ended(SOON, "the export ends");
        assert_eq!(status.code(), Some(1), "{signal}");
        assert!(!held() && !file.exists(), "{signal}");
    }
    assert_eq!(ids(&relay).len(), 2);
}

/// The program as somebody whom permissions bind, root or not.
fn bound() -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(PROGRAM);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-dac_override,-dac_read_search", PROGRAM]);
    command
}

#[test]
fn nothing_leaves_the_queue_before_the_name_of_its_archive_is_safe() {
    let site = Site::new();
    let relay = waiting(&site);
    hand_in(&relay, &["bob@far.test"], &plain("one", "bob@far.test"));
    // A file can be made and written there, but the folder cannot be opened to make the file's name durable.
    let folder = site.folder.join("blind");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o300)).unwrap();
    let file = folder.join("queue.tar");
    let words = ["queue", "export", text(&file), "--all", "--remove", "--yes", "--config"];
    let output = run(bound().args(words).arg(&relay.config));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("queue.tar cannot be written"), "{output:?}");
    assert!(!file.exists(), "what may be gone after a power cut is no archive");
    assert_eq!(ids(&relay).len(), 1);
    assert!(!done(&relay.config, &["queue", "list", "--held"]).contains("bob@"), "it goes on as before");
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn one_import_into_a_queue_at_a_time_and_one_into_each() {
    let site = Site::new();
    let relay = waiting(&site);
    let listen = site.at(3, 2525).to_string();
    let new = ["server", "new", "Second", "--listen", &listen, "--home", "second", "--domain", "second.test"];
    done(&relay.config, &new);
    let reply = Client::greet(relay.at).message("alice@local.test", &["bob@far.test"], &plain("one", "bob@far.test"));
    assert_eq!(reply.code, 250);
    let file = site.folder.join("queue.tar");
    done(&relay.config, &["queue", "export", text(&file), "--all", "--server", "Test"]);
    // One that has begun, and whose rest does not come yet.
    let archive = fs::read(&file).unwrap();
    let mut first = UnixStream::connect(relay.config.with_file_name("state").join("control.sock")).unwrap();
    let head = "POST /api/v1/servers/Test/queue-import?again=true HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: application/x-tar\r\n";
    write!(first, "{head}Content-Length: {}\r\n\r\n", archive.len()).unwrap();
    first.write_all(&archive[..512]).unwrap();
    let into = |server: &str| {
        mailroot(&relay.config, &["queue", "import", text(&file), "--again", "--hold", "--server", server])
    };
    let refused = until(SOON, "the first has begun", || Some(into("Test")).filter(|(code, ..)| *code == 1));
    assert!(refused.2.contains("another import into 'Test' is under way"), "{refused:?}");
    // Though nothing comes from what it reads.
    let mut command = Command::new(PROGRAM);
    command.args(["queue", "import", "-", "--server", "Test", "--config"]).arg(&relay.config);
    let mut waits = Process(command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    assert_eq!(waits.ended(SOON, "it is refused at once").code(), Some(1));
    assert_eq!(into("Second"), (0, "1 messages carried into the queue\n".to_owned(), String::new()));
    // It goes on, and the queue is free after it.
    first.write_all(&archive[512..]).unwrap();
    let mut answer = String::new();
    first.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("1 messages carried into the queue\""), "{answer}");
    assert_eq!(into("Test").0, 0);
}
