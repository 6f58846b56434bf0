//! Sessions as operators see and end them: at once, whatever the peer does or does not, and without losing a message.

mod top;

use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::peer::{At, Mood, Peer, Script};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, until};
use crate::operate::{done, mailroot};
use relay::admin::view::{DialogueView, SessionView};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// What ending a session may take.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Each time it takes no longer than it may.
fn at_once(mut attempt: impl FnMut() -> Duration) {
    let took: Vec<Duration> = (0..5).map(|_| attempt()).collect();
    assert!(took.iter().all(|took| *took < AT_ONCE), "{took:?}");
}

/// A stretch of time without what the system took away from it: on a machine that does other things beside, threads of ours and of the
/// service stand in the queue for a processor, which is no work and no waiting of theirs.
struct Stretch {
    began: Instant,
    queued: Duration,
    process: u32,
}

impl Stretch {
    fn begin(process: u32) -> Stretch {
        Stretch { began: Instant::now(), queued: Stretch::queued(process), process }
    }

    fn took(&self) -> Duration {
        let (took, queued) = (self.began.elapsed(), Stretch::queued(self.process));
        took.saturating_sub(queued.saturating_sub(self.queued))
    }

    /// How long that one of the service's threads which waited longest, and this test's, have been ready to run and did not (the second number of schedstat).
    fn queued(process: u32) -> Duration {
        let of = |path: std::path::PathBuf| {
            let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            text.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let service = threads.map(|thread| of(thread.path())).max().unwrap_or(0);
        Duration::from_nanos(service + of("/proc/thread-self".into()))
    }
}

/// One request to the service on its socket; the body of the answer.
pub fn ask(relay: &Relay, method: &str, address: &str, body: &str) -> String {
    let socket = relay.config.with_file_name("state").join("control.sock");
    let mut stream = until(SOON, "the service answers", || UnixStream::connect(&socket).ok());
    let head = format!(
        "{method} /api/v1{address} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{method} {address}: {answer}");
    body.to_owned()
}

fn sessions(relay: &Relay) -> Vec<SessionView> {
    serde_json::from_str(&ask(relay, "GET", "/servers/Test/sessions", "")).unwrap()
}

/// The only session, once it does this.
fn the_only(relay: &Relay, state: &str) -> SessionView {
    until(SOON, &format!("one session is at {state}"), || match sessions(relay).as_slice() {
        [one] if one.state == state => Some(one.clone()),
        _ => None,
    })
}

/// Ends the only session, once it does this.
fn end_only(relay: &mut Relay, state: &str) -> Duration {
    let id = the_only(relay, state).id;
    end(relay, &id)
}

/// Ends it, and waits until nobody sees it any more; how long that took. (The answer comes when the disk has the record of it: that is
/// another matter.)
fn end(relay: &mut Relay, id: &str) -> Duration {
    let process = relay.process().0.id();
    let relay = &*relay;
    let body = format!("{{\"command\":\"session_end\",\"server\":\"Test\",\"session\":\"{id}\"}}");
    std::thread::scope(|scope| {
        let stretch = Stretch::begin(process);
        let ending = scope.spawn(|| ask(relay, "POST", "/commands", &body));
        while sessions(relay).iter().any(|session| session.id == id) {
            assert!(stretch.began.elapsed() < SOON, "the session goes on");
        }
        let took = stretch.took();
        ending.join().unwrap();
        took
    })
}

#[test]
fn an_idle_session_is_seen_shown_and_ended() {
    let site = Site::new();
    let mut relay = Relay::start(&site, &Settings::new(&site));
    let mut client = Client::greet(relay.at);
    let view = the_only(&relay, "EHLO");
    assert_eq!(view.user, "[client.test]");
    assert_eq!(view.local, relay.at.to_string());
    let list = done(&relay.config, &["session", "list"]);
    assert!(list.starts_with("ID") && list.contains("[client.test]") && list.contains(" EHLO "), "{list}");
    assert_eq!(done(&relay.config, &["session", "list", "--outbound"]).lines().count(), 1);
    let shown = done(&relay.config, &["session", "show", &view.id]);
    assert!(shown.contains("S: 220 relay.test") && shown.contains("C: EHLO client.test\n"), "{shown}");
    end(&mut relay, &view.id);
    assert!(client.reply().text().starts_with("421 4.3.2"));
    assert!(client.try_reply().is_none());
    at_once(|| {
        let mut client = Client::greet(relay.at);
        let took = end_only(&mut relay, "EHLO");
        assert!(client.reply().text().starts_with("421 4.3.2"));
        took
    });
    let (code, _, error) = mailroot(&relay.config, &["session", "end", &view.id]);
    assert!(code == 1 && error.contains("it may have ended"), "{error}");
    let log = std::fs::read_to_string(relay.config.with_file_name("state").join("audit.log")).unwrap();
    assert!(log.contains("session_end"), "{log}");
}

#[test]
fn one_that_sends_a_message_is_ended_and_half_of_it_is_forgotten() {
    let site = Site::new();
    let mut relay = Relay::start(&site, &Settings::new(&site).messages("size_max = \"900 MB\""));
    at_once(|| {
        let mut client = Client::greet(relay.at);
        client.open("a@client.test", &["b@local.test"]);
        let sending = std::thread::spawn(move || {
            let lines = b"a line of a long message\r\n".repeat(4_000);
            while client.try_send(&lines) {}
            client
        });
        let took = end_only(&mut relay, "DATA");
        let last = sending.join().unwrap().rest();
        assert!(last.is_empty() || last.starts_with(b"421 4.3.2"), "{last:?}");
        took
    });
    assert!(relay.dropped().is_empty() && relay.queued().1.is_empty());
}

/// A client that reads nothing of what is said to it, until it is ended; how long that took.
fn end_a_deaf_one(relay: &mut Relay) -> Duration {
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    deaf.set_recv_buffer_size(1).unwrap();
    deaf.connect(&relay.at.into()).unwrap();
    let mut deaf = TcpStream::from(deaf);
    let local = deaf.local_addr().unwrap().to_string();
    deaf.write_all(b"EHLO deaf.test\r\nMAIL FROM:<a@deaf.test>\r\n").unwrap();
    deaf.set_nonblocking(true).unwrap();
    // Until the relay takes nothing more, because nobody reads what it says.
    let domain = ["x"; 60].join(".x");
    let line = format!("RCPT TO:<b@{domain}.test>\r\n");
    let lines = line.repeat(100);
    let (mut rest, mut last) = (lines.as_bytes(), Instant::now());
    while last.elapsed() < Duration::from_millis(500) {
        match deaf.write(rest) {
            Ok(written) => {
                rest = if written < rest.len() { &rest[written..] } else { lines.as_bytes() };
                last = Instant::now();
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    let view = sessions(relay).into_iter().find(|session| session.peer == local).expect("it goes on");
    assert_eq!(view.state, "RCPT");
    end(relay, &view.id)
}

#[test]
fn one_that_reads_nothing_is_ended_and_another_goes_on() {
    let site = Site::new();
    let mut relay = Relay::start(&site, &Settings::new(&site).messages("recipients_max = 100000"));
    let mut other = Client::greet(relay.at);
    at_once(|| end_a_deaf_one(&mut relay));
    assert_eq!(other.say("NOOP").code, 250);
}

#[test]
fn a_number_is_given_once_whatever_is_started_anew() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let client = Client::greet(relay.at);
    let before: u64 = the_only(&relay, "EHLO").id.parse().unwrap();
    done(&relay.config, &["server", "stop", "--yes"]);
    done(&relay.config, &["server", "start"]);
    drop(client);
    let _client = Client::greet(relay.at);
    let after: u64 = the_only(&relay, "EHLO").id.parse().unwrap();
    assert!(after > before, "{after} after {before}");
    assert_eq!(mailroot(&relay.config, &["session", "end", &before.to_string()]).0, 1);
    assert_eq!(sessions(&relay).len(), 1);
}

#[test]
fn all_are_ended_after_a_question() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let mut clients = [Client::greet(relay.at), Client::greet(relay.at)];
    until(SOON, "both are seen", || (sessions(&relay).len() == 2).then_some(()));
    let (code, _, question) = mailroot(&relay.config, &["session", "end-all"]);
    assert_eq!(code, 1);
    assert!(question.starts_with("2 sessions would end; nothing was done. Add --yes"), "{question}");
    assert_eq!(done(&relay.config, &["session", "end-all", "--outbound", "--yes"]), "0 outbound sessions ended\n");
    assert_eq!(done(&relay.config, &["session", "end-all", "--yes"]), "2 sessions ended\n");
    for client in &mut clients {
        assert!(client.reply().text().starts_with("421 4.3.2"));
    }
}

#[test]
fn an_outbound_one_is_ended_where_its_peer_stalls_and_the_message_goes_later() {
    for (at, state) in [(At::Banner, "connecting"), (At::Mail, "MAIL"), (At::Data, "sending"), (At::End, "sending")] {
        let site = Site::new();
        let peer = Peer::start(site.at(2, 2525), Script::default().at(at, Mood::Stall));
        let settings = Settings::new(&site)
            .smart_host(peer.at)
            .delivery("glitch_retry = { every = \"1 s\", times = 1 }")
            .delivery("retry = [\"1 s\"]");
        let mut relay = Relay::start(&site, &settings);
        let mut client = Client::greet(relay.at);
        assert_eq!(client.message("a@local.test", &["b@far.test"], &plain("one", "b@far.test")).code, 250);
        assert_eq!(client.say("QUIT").code, 221);
        let view = the_only(&relay, state);
        assert!(view.peer.contains(&site.ip(2).to_string()) && view.destination.is_some(), "{view:?}");
        let dialogue: DialogueView =
            serde_json::from_str(&ask(&relay, "GET", &format!("/servers/Test/sessions/{}", view.id), "")).unwrap();
        assert_eq!(dialogue.lines.is_empty(), at == At::Banner, "{dialogue:?}");
        until(SOON, "the peer stalls", || (peer.stalls() == 1).then_some(()));
        peer.play(Script::default());
        // How long this takes, the tests of the connection know.
        end(&mut relay, &view.id);
        until(SOON, "the message arrives", || (peer.taken_count() == 1).then_some(()));
        relay.wait_for_log(&["deferred", "an operator ended the connection"]);
    }
}

#[test]
fn no_secret_is_in_a_dialogue() {
    let site = Site::new();
    crate::access::make_accounts(&site);
    let methods =
        "authentication = { methods = [\"PLAIN\", \"LOGIN\", \"SCRAM-SHA-256\"], clear_text_from = [\"127.0.0.0/8\"] }";
    let relay = Relay::start(&site, &Settings::new(&site).access(methods));
    // `hunter2`, and what stands for it on the wire.
    let secret = "aHVudGVyMg==";
    let mut client = Client::greet(relay.at);
    assert_eq!(client.say("AUTH PLAIN AGFsaWNlAGh1bnRlcjI=").code, 535);
    for line in ["AUTH LOGIN", secret, secret, "AUTH SCRAM-SHA-256 biwsbj1hbGljZSxyPWh1bnRlcjI=", "*"] {
        client.say(line);
    }
    // A password that comes when nobody has asked for it, and one in a command that is none.
    for line in [secret, "PASS hunter2", "AUTH hunter2"] {
        assert!(client.say(line).code >= 500, "{line}");
    }
    let view = the_only(&relay, "AUTH");
    let shown = done(&relay.config, &["session", "show", &view.id]);
    for trace in ["aHVud", "hunter2", "AGFsaWNl", "biws"] {
        assert!(!shown.contains(trace), "{trace} in {shown}");
    }
    for seen in ["C: AUTH PLAIN ***\n", "S: 334 ***\n", "C: ***\n", "C: AUTH SCRAM-SHA-256 ***\n", "C: *\n"] {
        assert!(shown.contains(seen), "{seen:?} in {shown}");
    }
}
