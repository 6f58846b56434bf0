//! Sessions over real sockets, with clients that are honest, hasty, rude, slow or gone.

use super::*;
use crate::desk::fixture::Office;
use crate::listen::Sessions;
use relay::envelope::Origin;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::ops::Add;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(20);

/// Comes in at the first listener.
fn caller(address: SocketAddr, office: &Office) -> Caller {
    Caller { address, door: office.desk.door(office.desk.server().general.listen[0].address) }
}

/// One session and its client.
struct Talk {
    office: Office,
    sessions: Arc<Sessions>,
    client: std::net::TcpStream,
    runtime: tokio::runtime::Runtime,
}

impl Talk {
    fn new(office: Office) -> Talk {
        Talk::over(office, None)
    }

    /// `window`: octets that the sockets may hold between them, about.
    fn over(office: Office, window: Option<usize>) -> Talk {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        if let Some(window) = window {
            client.set_recv_buffer_size(window).unwrap();
        }
        client.connect(&listener.local_addr().unwrap().into()).unwrap();
        let client = std::net::TcpStream::from(client);
        client.set_read_timeout(Some(LONG)).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let sessions = Sessions::new(10);
        let in_runtime = runtime.enter();
        let stream = TcpStream::from_std(stream).unwrap();
        if let Some(window) = window {
            socket2::SockRef::from(&stream).set_send_buffer_size(window).unwrap();
        }
        runtime.spawn(serve(stream, caller(peer, &office), None, Arc::clone(&office.desk), sessions.enter()));
        drop(in_runtime);
        Talk { office, sessions, client, runtime }
    }

    fn say(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).unwrap();
    }

    /// The next reply, whole.
    fn hear(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut octet = [0];
            self.client.read_exact(&mut octet).unwrap_or_else(|e| panic!("{e} after {reply:?}"));
            reply.push(char::from(octet[0]));
            let last = reply[..reply.len() - 1].rfind('\n').map_or(0, |at| at + 1);
            if octet == *b"\n" && reply.as_bytes().get(last + 3) == Some(&b' ') {
                return reply;
            }
        }
    }

    /// Says each line and hears a reply to it, whose code must be that.
    fn exchange(&mut self, lines: &[(&str, &str)]) {
        for (line, code) in lines {
            self.say(&format!("{line}\r\n"));
            let reply = self.hear();
            assert!(reply.starts_with(code), "{line}: {reply}");
        }
    }

    /// As far as the content.
    fn begin(&mut self) {
        assert!(self.hear().starts_with("220 "));
        self.exchange(&[
            ("EHLO client.test", "250"),
            ("MAIL FROM:<a@client.test>", "250"),
            ("RCPT TO:<b@local.test>", "250"),
            ("DATA", "354"),
        ]);
    }

    /// Everything that still comes, until the server closes.
    fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.client.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            Err(e) => panic!("{e} after {:?}", String::from_utf8_lossy(&rest)),
        }
        String::from_utf8_lossy(&rest).into_owned()
    }

    fn ended(&self) {
        let ended = async { tokio::time::timeout(LONG, self.sessions.emptied()).await };
        self.runtime.block_on(ended).expect("the session has not ended");
    }
}

#[test]
fn a_message_is_kept_whole_with_the_trace_line_first() {
    let mut talk = Talk::new(Office::new());
    talk.begin();
    talk.say("Subject: hello\r\n\r\n..a leading dot\r\n.\r\n");
    let reply = talk.hear();
    assert!(reply.starts_with("250 2.6.0 ") || reply.starts_with("250 2.0.0 "), "{reply}");
    talk.exchange(&[("QUIT", "221")]);
    assert_eq!(talk.rest(), "");
    talk.ended();
    let kept = talk.office.kept();
    assert_eq!(kept.len(), 1);
    let content = String::from_utf8(kept[0].content.clone()).unwrap();
    let trace = "Received: from client.test ([127.0.0.1]) by host.test with ESMTP id ";
    assert!(content.starts_with(trace), "{content}");
    assert!(content.ends_with("+0000\r\nSubject: hello\r\n\r\n.a leading dot\r\n"), "{content}");
    let envelope = &kept[0].envelope;
    assert_eq!(envelope.size, content.len() as u64);
    assert_eq!(envelope.sender.to_string(), "a@client.test");
    assert_eq!(envelope.recipients.len(), 1);
    assert_eq!(envelope.recipients[0].address.to_string(), "b@local.test");
    assert_eq!(
        envelope.origin,
        Origin::Smtp { peer: Ipv4Addr::LOCALHOST.into(), helo: "client.test".into(), account: None }
    );
    let log = talk.office.log();
    assert!(log[0].starts_with("connected peer=127.0.0.1:"), "{log:?}");
    assert!(log[1].starts_with("accepted id="), "{log:?}");
    assert!(
        log[1].ends_with(&format!("size={} recipients=1 peer=127.0.0.1 helo=client.test", content.len())),
        "{log:?}"
    );
    assert!(log[2].ends_with("messages=1 how=quit"), "{log:?}");
    assert_eq!(log.len(), 3);
}

#[test]
fn envelopes_take_over_every_parameter() {
    let mut talk = Talk::new(Office::new());
    talk.hear();
    talk.exchange(&[
        ("EHLO client.test", "250"),
        ("MAIL FROM:<> BODY=8BITMIME RET=HDRS ENVID=x+2By SMTPUTF8", "250"),
        ("RCPT TO:<b@local.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+40d", "250"),
        ("RCPT TO:<c@local.test>", "250"),
        ("DATA", "354"),
        ("x\r\n.", "250"),
    ]);
    let kept = talk.office.kept();
    let envelope = &kept[0].envelope;
    assert!(envelope.sender.is_null() && envelope.utf8);
    assert_eq!(envelope.body, smtp::command::BodyKind::EightBitMime);
    assert_eq!(envelope.ret, Some(smtp::command::Ret::Headers));
    assert_eq!(envelope.envid.as_deref(), Some("x+2By"));
    assert_eq!(envelope.recipients[0].orcpt.as_deref(), Some("rfc822;c+40d"));
    assert!(envelope.recipients[0].notify.success() && !envelope.recipients[0].notify.failure());
    assert_eq!(envelope.recipients[1].orcpt, None);
    assert!(String::from_utf8_lossy(&kept[0].content).contains(" with UTF8SMTP id "));
}

#[test]
fn a_pipelined_batch_is_answered_in_order() {
    let mut talk = Talk::new(Office::new());
    talk.hear();
    talk.exchange(&[("EHLO client.test", "250")]);
    for round in 0..3 {
        talk.say("MAIL FROM:<a@client.test>\r\nRCPT TO:<b@local.test>\r\nDATA\r\n");
        for code in ["250", "250", "354"] {
            assert!(talk.hear().starts_with(code));
        }
        talk.say(&format!("round {round}\r\n.\r\n"));
        assert!(talk.hear().starts_with("250"));
    }
    assert_eq!(talk.office.kept().len(), 3);
}

#[test]
fn a_client_that_vanishes_before_the_dot_leaves_nothing() {
    let mut talk = Talk::new(Office::new());
    talk.begin();
    talk.say("Subject: half\r\n\r\nnot all of");
    talk.client.shutdown(Shutdown::Both).unwrap();
    talk.ended();
    assert!(talk.office.kept().is_empty());
    let log = talk.office.log();
    assert!(log.iter().any(|line| line.starts_with("abandoned id=")), "{log:?}");
    assert!(log.last().unwrap().ends_with("messages=0 how=vanished"), "{log:?}");
}

#[test]
fn a_client_that_resets_the_connection_leaves_nothing() {
    let mut talk = Talk::new(Office::new());
    talk.begin();
    talk.say("Subject: half\r\n\r\nnot all of");
    socket2::SockRef::from(&talk.client).set_linger(Some(Duration::ZERO)).unwrap();
    let Talk { office, sessions, client, runtime } = talk;
    drop(client);
    runtime.block_on(async { tokio::time::timeout(LONG, sessions.emptied()).await.unwrap() });
    assert!(office.kept().is_empty());
}

#[test]
fn a_message_that_goes_round_is_refused() {
    let mut talk = Talk::new(Office::with("", "", "hop_count_max = 3"));
    talk.begin();
    let hop = "Received: from a by b; now\r\n";
    talk.say(&format!("{}Subject: x\r\n\r\n{hop}.\r\n", hop.repeat(3)));
    assert!(talk.hear().starts_with("250"), "three hops are allowed, and the body does not count");
    talk.exchange(&[("MAIL FROM:<a@client.test>", "250"), ("RCPT TO:<b@local.test>", "250"), ("DATA", "354")]);
    talk.say(&format!("{}Subject: x\r\n\r\n.\r\n", hop.repeat(4)));
    let reply = talk.hear();
    assert!(reply.starts_with("554 5.4.6 "), "{reply}");
    assert_eq!(talk.office.kept().len(), 1);
    let log = talk.office.log();
    assert!(
        log.iter().any(|line| line.starts_with("refused peer=127.0.0.1 command=DATA reply=\"554 5.4.6 ")),
        "{log:?}"
    );
}

#[test]
fn refusals_are_in_the_log_with_their_commands() {
    let mut talk = Talk::new(Office::new());
    talk.hear();
    talk.exchange(&[
        ("EHLO client.test", "250"),
        ("MAIL FROM:<a@client.test>", "250"),
        ("RCPT TO:<x%y@[127.0.0.1]>", "55"),
        ("BOGUS", "5"),
    ]);
    let log = talk.office.log();
    assert!(
        log[1].starts_with("refused peer=127.0.0.1 command=\"RCPT TO:<x%y@[127.0.0.1]>\" reply=\"55")
            || log[1].starts_with("refused peer=127.0.0.1 command=\"RCPT"),
        "{log:?}"
    );
    assert!(log[2].starts_with("refused peer=127.0.0.1 command=message reply=\"5"), "{log:?}");
}

#[test]
fn an_idle_client_is_told_and_hung_up_on() {
    let mut talk = Talk::new(Office::with("timeout = \"1 s\"", "", ""));
    talk.hear();
    let began = Instant::now();
    let last = talk.rest();
    assert!(last.starts_with("421 4.4.2 "), "{last:?}");
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    talk.ended();
    assert!(talk.office.log().last().unwrap().ends_with("how=timed_out"));
}

/// Less than the number of commands that ends a session, and more replies than small sockets hold.
const FLOOD: usize = 99;

#[test]
fn a_client_that_reads_nothing_is_not_read_and_hung_up_on() {
    let mut talk = Talk::over(Office::with("timeout = \"1 s\"", "", ""), Some(2_048));
    let began = Instant::now();
    talk.say(&"EHLO client.test\r\n".repeat(FLOOD));
    talk.ended();
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    assert!(talk.office.log().last().unwrap().ends_with("how=timed_out"), "{:?}", talk.office.log());
    let replies = talk.rest().matches("250 HELP").count();
    assert!(replies < FLOOD, "all replies fitted into the sockets: this tests nothing");
}

#[test]
fn a_client_that_reads_late_hears_everything() {
    let mut talk = Talk::over(Office::new(), Some(2_048));
    talk.say(&"EHLO client.test\r\n".repeat(FLOOD));
    talk.say("QUIT\r\n");
    std::thread::sleep(Duration::from_millis(100));
    let all = talk.rest();
    assert_eq!(all.matches("250 HELP").count(), FLOOD);
    assert!(all.ends_with("\r\n") && all.lines().last().unwrap().starts_with("221 "), "{all}");
}

#[test]
fn a_stopping_service_says_421_between_commands() {
    let mut talk = Talk::new(Office::new());
    talk.hear();
    talk.exchange(&[("EHLO client.test", "250")]);
    std::thread::sleep(Duration::from_millis(100)); // until the session waits
    talk.sessions.drain();
    let last = talk.rest();
    assert!(last.starts_with("421 4.3.2 "), "{last:?}");
    talk.ended();
    assert!(talk.office.log().last().unwrap().ends_with("how=stopping"));
}

#[test]
fn a_stopping_service_still_takes_the_message_that_has_begun() {
    let mut talk = Talk::new(Office::new());
    talk.begin();
    talk.say("Subject: hello\r\n");
    talk.sessions.drain();
    std::thread::sleep(Duration::from_millis(50));
    talk.say("\r\nthe end\r\n.\r\n");
    assert!(talk.hear().starts_with("250"));
    assert!(talk.rest().starts_with("421 "));
    assert_eq!(talk.office.kept().len(), 1);
}

#[test]
fn the_last_reply_reaches_a_client_that_goes_on_talking() {
    let mut talk = Talk::new(Office::new());
    talk.hear();
    // What a browser sends; the body must not be obeyed, and its octets must not destroy our answer.
    talk.say("POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b.test>\r\n");
    talk.say(&"junk ".repeat(30_000));
    let mut last = String::new();
    talk.client.read_to_string(&mut last).expect("the connection is closed, not reset");
    assert!(last.starts_with("5") || last.starts_with("421"), "{last:?}");
    talk.ended();
    assert!(talk.office.kept().is_empty());
}

#[test]
fn a_large_message_comes_in_whole() {
    let mut talk = Talk::new(Office::with("", "size_max = \"8 MB\"", ""));
    talk.begin();
    let line = format!("{}\r\n", "x".repeat(76));
    let body = line.repeat(50_000);
    talk.say(&format!("Subject: large\r\n\r\n{body}.\r\n"));
    assert!(talk.hear().starts_with("250"));
    let kept = talk.office.kept();
    assert!(kept[0].content.ends_with(body.as_bytes()));
}

#[test]
fn content_that_cannot_be_kept_is_refused_at_its_end() {
    let mut talk = Talk::new(Office::with("", "size_max = \"8 MB\"", ""));
    talk.begin();
    // What is larger than a megabyte goes into a file of its own while it comes in; there is no folder for it.
    std::fs::remove_dir_all(talk.office.home.path().join("Queue")).unwrap();
    talk.say(&"x".repeat(70).add("\r\n").repeat(50_000));
    talk.say(".\r\n");
    let reply = talk.hear();
    assert!(reply.starts_with("452 4.3.1 "), "{reply}");
    assert!(talk.office.kept().is_empty());
    let log = talk.office.log();
    assert!(
        log.iter().any(|line| line.starts_with("refused peer=127.0.0.1 command=DATA reply=\"452 4.3.1 ")),
        "{log:?}"
    );
    talk.exchange(&[("NOOP", "250")]);
}

#[test]
fn octet_by_octet_is_the_same() {
    let mut talk = Talk::new(Office::new());
    let parts = [
        ("EHLO c.test\r\n", "250"),
        ("MAIL FROM:<a@c.test>\r\nRCPT TO:<b@local.test>\r\nDATA\r\n", "354"),
        ("a\r\n..b\r\n.\r\nQUIT\r\n", "221"),
    ];
    talk.hear();
    for (part, code) in parts {
        for octet in part.bytes() {
            talk.client.write_all(&[octet]).unwrap();
        }
        while !talk.hear().starts_with(code) {}
    }
    assert!(talk.office.kept()[0].content.ends_with(b"a\r\n.b\r\n"));
}

#[test]
fn the_task_of_a_session_is_small() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let size = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = stream.peer_addr().unwrap();
        let office = Office::new();
        let caller = caller(peer, &office);
        std::mem::size_of_val(&serve(stream, caller, None, Arc::clone(&office.desk), Sessions::new(1).enter()))
    });
    assert!(size < 1_024, "{size} octets");
}

/// Ends the only session, and gives how long it took until nobody is in the registry any more.
fn end(talk: &Talk) -> Duration {
    let began = Instant::now();
    assert_eq!(talk.sessions.registry().end_all(None), 1);
    while talk.sessions.registry().count(None) > 0 {
        assert!(began.elapsed() < LONG, "the session goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
    began.elapsed()
}

#[test]
fn an_operator_sees_what_goes_on_and_ends_an_idle_session() {
    let mut talk = Talk::new(Office::new());
    talk.hear();
    talk.exchange(&[("EHLO client.test", "250")]);
    let registry = Arc::clone(talk.sessions.registry());
    let view = registry.views(None, talk.office.desk.clock().now()).remove(0);
    assert_eq!((view.user.as_str(), view.state.as_str()), ("[client.test]", "EHLO"));
    assert_eq!(view.peer, talk.client.local_addr().unwrap().to_string());
    let lines = registry.dialogue(&view.id, talk.office.desk.clock().now()).unwrap().lines;
    let said: Vec<&str> = lines.iter().map(|line| &line.text[..3]).collect();
    assert_eq!(said, ["220", "EHL", "250"]);
    let took = end(&talk);
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert!(talk.rest().starts_with("421 4.3.2 host.test Session ended by the operator"));
    talk.ended();
    assert!(talk.office.log().last().unwrap().ends_with("how=ended"));
}

#[test]
fn an_operator_ends_a_session_that_sends_a_message() {
    let mut talk = Talk::new(Office::with("", "size_max = \"500 MB\"", ""));
    talk.begin();
    let mut writer = talk.client.try_clone().unwrap();
    let writing = std::thread::spawn(move || while writer.write_all(&b"a line of text\r\n".repeat(4_000)).is_ok() {});
    std::thread::sleep(Duration::from_millis(200));
    let took = end(&talk);
    assert!(took < Duration::from_millis(100), "{took:?}");
    let last = talk.rest();
    assert!(last.is_empty() || last.starts_with("421 4.3.2"), "{last}");
    talk.ended();
    writing.join().unwrap();
    assert!(talk.office.kept().is_empty(), "a half message is forgotten");
}

#[test]
fn an_operator_ends_a_session_that_reads_nothing() {
    let mut talk = Talk::over(Office::new(), Some(1));
    talk.say("EHLO client.test\r\n");
    talk.client.set_nonblocking(true).unwrap();
    // Until neither side takes anything more.
    let mut full = Instant::now();
    while full.elapsed() < Duration::from_millis(300) {
        if talk.client.write(&b"HELP\r\n".repeat(200)).is_ok() {
            full = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = end(&talk);
    assert!(took < Duration::from_millis(100), "{took:?}");
    talk.ended();
}
