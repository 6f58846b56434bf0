//! The program's life: start, reload, stop, and every way in which a start can fail and must say why.

use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::peer::{At, Mood, Peer, Script};
use crate::harness::relay::{PROGRAM, Relay, Settings};
use crate::harness::{Process, SOON, Site, has, run, until};
use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat()).into_owned()
}

#[test]
fn the_version_and_the_usage_are_told() {
    for arguments in [["version"], ["--version"]] {
        let output = run(Command::new(PROGRAM).args(arguments));
        assert!(output.status.success() && words(&output).contains(env!("CARGO_PKG_VERSION")), "{}", words(&output));
    }
    let output = run(Command::new(PROGRAM).arg("--help"));
    let text = words(&output);
    for verb in ["try", "serve", "check", "version"] {
        assert!(text.contains(verb), "{text}");
    }
    assert!(!run(Command::new(PROGRAM).arg("nonsense")).status.success());
}

#[test]
fn check_points_at_the_line_and_says_what_to_write() {
    let site = Site::new();
    let good = Relay::prepare(&site, &Settings::new(&site));
    let output = run(Command::new(PROGRAM).args(["check", "--config"]).arg(&good.config));
    assert!(output.status.success(), "{}", words(&output));
    let faults = [
        ("delivery", "expriy = \"2 days\"", "expiry"),
        ("delivery", "expiry = \"2 parsecs\"", "days"),
        ("messages", "size_max = \"banana\"", "MB"),
        ("messages", "recipients_max = 0", "1"),
        ("access", "relay = { only = [\"10.0.0.0/99\"] }", "/"),
        ("general", "timeout = 5", "\""),
    ];
    for (table, line, hint) in faults {
        let settings = Settings::new(&site);
        let settings = match table {
            "delivery" => settings.delivery(line),
            "messages" => settings.messages(line),
            "access" => settings.access(line),
            _ => settings.general(line),
        };
        let bad = Relay::prepare(&site, &settings);
        let number = fs::read_to_string(&bad.config).unwrap().lines().position(|l| l == line).unwrap() + 1;
        let output = run(Command::new(PROGRAM).args(["check", "--config"]).arg(&bad.config));
        let text = words(&output);
        assert!(!output.status.success(), "{line} passed");
        assert!(text.contains(&format!("mailroot.toml:{number}")) && text.contains('^'), "{line}:\n{text}");
        assert!(text.contains(hint), "{line}: no hint of {hint:?}:\n{text}");
        let output = run(Command::new(PROGRAM).args(["serve", "--config"]).arg(&bad.config));
        assert!(!output.status.success() && words(&output).contains('^'), "{}", words(&output));
    }
    let output = run(Command::new(PROGRAM).args(["check", "--config", "/nowhere/mailroot.toml"]));
    assert!(!output.status.success() && words(&output).contains("/nowhere/mailroot.toml"), "{}", words(&output));
}

#[test]
fn two_servers_that_want_the_same_port_are_refused() {
    let site = Site::new();
    let text = Settings::new(&site).text(&site.folder.join("one"));
    let second = Settings::new(&site).text(&site.folder.join("two")).replace("\"Test\"", "\"Second\"");
    let second = second.split_once("[[virtual_server]]").unwrap().1;
    let config = site.folder.write("both.toml", format!("{text}\n[[virtual_server]]{second}"));
    let output = run(Command::new(PROGRAM).args(["check", "--config"]).arg(&config));
    assert!(!output.status.success(), "{}", words(&output));
    assert!(words(&output).contains(&site.at(1, 2525).to_string()), "{}", words(&output));
}

#[test]
fn several_virtual_servers_live_side_by_side() {
    let site = Site::new();
    let mut text = Settings::new(&site).text(&site.folder.join("one"));
    let mut second = Settings::new(&site);
    second.listen = vec![site.at(2, 2525).to_string()];
    let second =
        second.text(&site.folder.join("two")).replace("\"Test\"", "\"Second\"").replace("local.test", "second.test");
    text = format!("{text}\n[[virtual_server]]{}", second.split_once("[[virtual_server]]").unwrap().1);
    let mut relay = Relay::prepare(&site, &Settings::new(&site));
    fs::write(&relay.config, text).unwrap();
    relay.up();
    crate::harness::listening(site.at(2, 2525), "the second server");
    let reply = Client::greet(relay.at).message("a@apps.test", &["b@local.test"], &plain("for one", "b@local.test"));
    assert_eq!(reply.code, 250);
    let reply =
        Client::greet(site.at(2, 2525)).message("a@apps.test", &["b@second.test"], &plain("for two", "b@second.test"));
    assert_eq!(reply.code, 250);
    for home in ["one", "two"] {
        until(SOON, "one message in each Drop", || {
            let drop = crate::harness::files(&site.folder.join(home).join("Drop"));
            (drop.len() == 1 && has(&fs::read(&drop[0]).unwrap(), &format!("for {home}"))).then_some(())
        });
    }
}

#[test]
fn a_second_process_on_the_same_home_is_refused_and_told_who_holds_it() {
    let site = Site::new();
    let mut relay = Relay::start(&site, &Settings::new(&site));
    let mut other = Settings::new(&site);
    other.listen = vec![site.at(9, 2525).to_string()];
    let config = site.folder.write("other.toml", other.text(&relay.home));
    let output = run(Command::new(PROGRAM).args(["serve", "--config"]).arg(&config));
    assert!(!output.status.success());
    let pid = relay.process().0.id().to_string();
    assert!(words(&output).contains(&pid), "process {pid} is not named:\n{}", words(&output));
    // The first one does not mind; and when it was killed, its lock is gone with it.
    assert_eq!(Client::greet(relay.at).say("NOOP").code, 250);
    relay.kill();
    relay.up();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let site = Site::new();
    let _taken = TcpListener::bind(site.at(1, 2525)).unwrap();
    let relay = Relay::prepare(&site, &Settings::new(&site));
    let output = run(Command::new(PROGRAM).args(["serve", "--config"]).arg(&relay.config));
    assert!(!output.status.success());
    assert!(words(&output).contains(&site.at(1, 2525).to_string()), "{}", words(&output));
}

#[test]
fn term_lets_what_is_under_way_finish() {
    let site = Site::new();
    let script = Script::default().at(At::End, Mood::Wait(Duration::from_secs(1)));
    let peer = Peer::start(site.at(2, 2525), script);
    let mut relay = Relay::start(&site, &Settings::new(&site).smart_host(peer.at));
    let mut idle = Client::greet(relay.at);
    let mut busy = Client::greet(relay.at);
    let reply = busy.message("a@local.test", &["b@far.test"], &plain("on its way", "b@far.test"));
    assert_eq!(reply.code, 250);
    busy.open("a@local.test", &["b@far.test"]);
    busy.send("Subject: half said\r\n\r\n");
    until(SOON, "the next hop has the first", || (peer.taken_count() == 1).then_some(()));
    let start = Instant::now();
    relay.process().signal("TERM");
    // Who is in the middle of a message may finish it; who is idle is told that we close.
    assert_eq!(idle.try_reply().map(|reply| reply.code), Some(421));
    busy.send("the other half\r\n.\r\n");
    assert_eq!(busy.try_reply().map(|reply| reply.code), Some(250), "it may finish");
    let status = relay.process().ended(SOON, "the relay ends");
    assert!(status.success(), "{status}\n{}", relay.log());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    // Nothing was sent twice, nothing acknowledged is missing.
    peer.play(Script::default());
    relay.up();
    peer.wait_for("half said");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(peer.taken().iter().filter(|taken| taken.subject() == "on its way").count(), 1);
}

#[test]
fn hup_takes_a_good_file_and_keeps_the_running_one_before_a_bad_one() {
    let site = Site::new();
    let mut relay = Relay::start(&site, &Settings::new(&site));
    let mut client = Client::greet(relay.at);
    assert_eq!(client.say("MAIL FROM:<a@apps.test> SIZE=100000").code, 250);
    relay.configure(&Settings::new(&site).messages("size_max = \"16 KB\""));
    relay.process().signal("HUP");
    until(SOON, "the new limit holds", || {
        (Client::greet(relay.at).say("MAIL FROM:<a@apps.test> SIZE=100000").code == 552).then_some(())
    });
    // The old session lives on.
    assert_eq!(client.say("NOOP").code, 250);
    // A bad file changes nothing, and the log says why.
    relay.configure(&Settings::new(&site).messages("size_max = \"banana\""));
    relay.process().signal("HUP");
    relay.wait_for_log(&["alarm", "messages.size_max", "not a size"]);
    assert_eq!(Client::greet(relay.at).say("MAIL FROM:<a@apps.test> SIZE=100000").code, 552);
    // A new listener opens and an old one closes, without a restart.
    let mut moved = Settings::new(&site);
    moved.listen = vec![site.at(1, 2526).to_string()];
    relay.configure(&moved);
    relay.process().signal("HUP");
    crate::harness::listening(site.at(1, 2526), "the relay");
    until(SOON, "the old port is closed", || std::net::TcpStream::connect(relay.at).is_err().then_some(()));
}

#[test]
fn systemd_is_told_when_the_relay_is_ready() {
    let site = Site::new();
    let socket = UnixDatagram::bind(site.folder.join("notify")).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut relay = Relay::prepare(&site, &Settings::new(&site));
    let mut command = relay.command();
    command.env("NOTIFY_SOCKET", site.folder.join("notify"));
    relay.up_by(&mut command);
    let mut told = String::new();
    let mut octets = [0; 1024];
    while !told.contains("READY=1") {
        let n = socket.recv(&mut octets).expect("READY=1 was never told");
        told.push_str(&String::from_utf8_lossy(&octets[..n]));
        told.push('\n');
    }
    relay.process().signal("TERM");
    while !told.contains("STOPPING=1") {
        let n = socket.recv(&mut octets).expect("STOPPING=1 was never told");
        told.push_str(&String::from_utf8_lossy(&octets[..n]));
    }
    relay.process().ended(SOON, "the relay ends");
}

#[test]
fn a_socket_that_systemd_opened_is_used() {
    let site = Site::new();
    // The relay itself could not open this port again: it must use what it is handed.
    let listener = TcpListener::bind(site.at(1, 2525)).unwrap();
    let mut relay = Relay::prepare(&site, &Settings::new(&site));
    let log = fs::File::create(site.folder.join("activated.log")).unwrap();
    let script = format!(
        "export LISTEN_FDS=1 LISTEN_PID=$$; exec {PROGRAM} serve --config {} 3<&0 </dev/null",
        relay.config.display()
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).stdin(Stdio::from(OwnedFd::from(listener))).stderr(Stdio::from(log));
    let child = command.spawn().unwrap();
    let mut process = Process(child);
    let reply = until(SOON, "the relay greets on the socket it was handed", || {
        if let Some(status) = process.0.try_wait().unwrap() {
            panic!("{status}: {}", fs::read_to_string(site.folder.join("activated.log")).unwrap());
        }
        Client::connect(relay.at).try_reply()
    });
    assert_eq!(reply.code, 220);
    let reply = Client::greet(relay.at).message("a@apps.test", &["b@local.test"], &plain("activated", "b@local.test"));
    assert_eq!(reply.code, 250);
    relay.wait_for_drop("activated");
    drop(process);
    relay.at = site.at(1, 2525);
}
