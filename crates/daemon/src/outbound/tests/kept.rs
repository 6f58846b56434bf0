//! A connection that is kept for more than one message.

use super::identities::terms;
use super::*;
use relay::config::terms::TlsPolicy;

fn to_peer(peer: &Peer) -> Parcel {
    message("to@there.test", CONTENT, &peer.hop())
}

const OK: &str = "attempted: 0=ok(250 2.0.0 taken)";

#[tokio::test(start_paused = true)]
async fn it_serves_parcel_after_parcel() {
    let peer = Peer::start(&[&(greet(&["PIPELINING"]) + TAKE_PIPELINED + TAKE_PIPELINED + TAKE_PIPELINED + BYE)]);
    let mut site = Site::start();
    site.connect(1, to_peer(&peer));
    assert_eq!(site.event().await, OK);
    site.deliver(1, to_peer(&peer));
    assert_eq!(site.event().await, OK);
    site.deliver(1, to_peer(&peer));
    site.quit(1);
    assert_eq!(site.event().await, OK);
    assert_eq!(site.event().await, "closed");
    let seen = peer.seen();
    assert_eq!((seen.connections, seen.contents.len()), (1, 3));
}

/// The commands come before any of them is answered.
const TAKE_PIPELINED: &str = "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 2.0.0 taken\n";

#[tokio::test(start_paused = true)]
async fn it_goes_on_after_a_refusal() {
    let refuse = "C: MAIL\nS: 250 ok\nC: RCPT\nS: 550 5.1.1 who?\nC: RSET\nS: 250 ok\n";
    let peer = Peer::start(&[&(greet(&[]) + refuse + TAKE + BYE)]);
    let mut site = Site::start();
    site.connect(1, to_peer(&peer));
    assert_eq!(site.event().await, "attempted: 0=Refused 5.1.1");
    site.deliver(1, to_peer(&peer));
    assert_eq!(site.story().await, format!("{OK}\nclosed"));
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nothing_comes() {
    let peer = Peer::start(&[&(greet(&[]) + TAKE + TAKE + BYE)]);
    let mut site = Site::start();
    site.connect(1, to_peer(&peer));
    assert_eq!(site.event().await, OK);
    tokio::time::sleep(IDLE_KEEP - Duration::from_millis(200)).await;
    site.deliver(1, to_peer(&peer));
    assert_eq!(site.event().await, OK);
    let quiet = tokio::time::Instant::now();
    assert_eq!(site.event().await, "closed");
    let quiet = quiet.elapsed();
    assert!(quiet + Duration::from_millis(50) >= IDLE_KEEP && quiet <= IDLE_KEEP * 2, "{quiet:?}");
    assert_eq!(peer.lines().last().unwrap(), "QUIT");
}

#[tokio::test(start_paused = true)]
async fn it_begins_anew_after_a_while_however_much_there_is_to_do() {
    let slow = format!(
        "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nW: {}\nS: 250 2.0.0 taken\n",
        SERVE_MAX.as_millis() / 2
    );
    let peer = Peer::start(&[&(greet(&[]) + TAKE + &slow + &slow + BYE)]);
    let mut site = Site::start();
    site.connect(1, to_peer(&peer));
    assert_eq!(site.event().await, OK);
    site.deliver(1, to_peer(&peer));
    assert_eq!(site.event().await, OK);
    site.deliver(1, to_peer(&peer));
    site.deliver(1, to_peer(&peer));
    assert_eq!(site.story().await, format!("{OK}\nclosed untried"));
    assert_eq!(peer.lines().last().unwrap(), "QUIT");
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_server_ends_it() {
    for end in ["X:", "S: 421 4.4.2 idle\nX:", "S: hello\nH:", "S: 250 ok\nH:"] {
        let peer = Peer::start(&[&(greet(&[]) + TAKE + "W: 500\n" + end)]);
        let mut site = Site::start();
        site.connect(1, to_peer(&peer));
        assert_eq!(site.event().await, OK, "{end}");
        let quiet = tokio::time::Instant::now();
        assert_eq!(site.event().await, "closed", "{end}");
        assert!(quiet.elapsed() < Duration::from_secs(1), "{end}: at once, not when it has been idle long enough");
        site.deliver(1, to_peer(&peer));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(site.events.try_recv().is_err(), "what comes after the end gets no second one");
    }
}

/// The server's time-out for idle sessions or its limit of messages for one connection: no fault of the message.
#[tokio::test(start_paused = true)]
async fn a_parcel_that_comes_too_late_comes_back_untried() {
    let ends = [
        ("before MAIL", "X:"),
        ("before MAIL, with a word", "S: 421 4.4.2 idle\nX:"),
        ("at MAIL", "C: MAIL\nX:"),
        ("at MAIL, with a word", "C: MAIL\nS: 421-4.3.2 enough\nS: 421 4.3.2 for one connection\nX:"),
        ("at MAIL, by silence", "C: MAIL\nH:"),
    ];
    for (when, end) in ends {
        let peer = Peer::start(&[&(greet(&[]) + TAKE + end)]);
        let mut site = Site::start();
        site.connect(1, to_peer(&peer));
        // The second one is there before the connection can notice anything.
        site.deliver(1, to_peer(&peer));
        assert_eq!(site.story().await, format!("{OK}\nclosed untried"), "{when}");
    }
    // With CHUNKING all of the message is on its way before the word comes.
    let chunk = "C: MAIL\nC: RCPT\nB:\nS: 250 ok\nS: 250 ok\nS: 250 2.0.0 taken\n";
    for (when, end) in
        [("with a word", "C: MAIL\nC: RCPT\nB:\nS: 421 4.3.2 enough\nX:"), ("without", "C: MAIL\nC: RCPT\nB:\nX:")]
    {
        let peer = Peer::start(&[&(greet(&["PIPELINING", "CHUNKING"]) + chunk + end)]);
        let mut site = Site::start();
        site.connect(1, to_peer(&peer));
        site.deliver(1, to_peer(&peer));
        assert_eq!(site.story().await, format!("{OK}\nclosed untried"), "{when}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_parcel_that_was_answered_does_not_come_back_untried() {
    let ends = [
        ("C: MAIL\nS: 250 ok\nC: RCPT\nX:", "Unreachable 4.4.2"),
        ("C: MAIL\nS: 250 ok\nC: RCPT\nS: 421 4.3.2 enough\nX:", "Refused 4.3.2"),
        ("C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nX:", "Unreachable 4.4.2"),
    ];
    for (end, what) in ends {
        let peer = Peer::start(&[&(greet(&[]) + TAKE + end)]);
        let mut site = Site::start();
        site.connect(1, to_peer(&peer));
        site.deliver(1, to_peer(&peer));
        assert_eq!(site.story().await, format!("{OK}\nattempted: 0={what}\nclosed"), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_queue() {
    let peer = Peer::start(&[&(greet(&[]) + TAKE + BYE)]);
    let mut site = Site::start();
    site.connect(1, to_peer(&peer));
    assert_eq!(site.event().await, OK);
    let Site { outbound, events, _store, .. } = site;
    drop(outbound);
    while events.try_recv().is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(peer.lines().last().unwrap(), "QUIT");
}

#[tokio::test(start_paused = true)]
async fn connections_that_have_ended_are_forgotten() {
    let mut site = Site::start();
    let nobody = Arc::new(NextHop::plain(Hosts::Unix("/nowhere/at/all".into()), Protocol::Lmtp));
    for connection in 0..1_000 {
        site.connect(connection, message("to@there.test", CONTENT, &nobody));
        assert_eq!(site.event().await, "closed: 0=Unreachable 4.4.1");
    }
    assert!(site.outbound.connections.len() <= SWEEP_MIN, "{}", site.outbound.connections.len());
}

#[test]
fn a_runtime_that_ends_leaves_no_message_without_an_answer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let site = runtime.block_on(async {
        let peer = Peer::start(&["H:"]);
        let mut site = Site::start();
        site.connect(1, to_peer(&peer));
        tokio::time::sleep(Duration::from_millis(50)).await;
        site
    });
    drop(runtime);
    assert_eq!(show(&site.events.try_recv().unwrap()), "closed untried");
    assert!(site.events.try_recv().is_err());
}

/// Thousands of connections may be open at a time, each of them a task of this size.
#[tokio::test]
async fn a_connection_that_waits_is_small() {
    let site = Site::start();
    let (_sender, receiver) = unbounded_channel();
    let shared = site.outbound.shared.clone();
    let task = connection::run(shared, ConnectionId(1), parcel("to@there.test"), receiver);
    assert!(size_of_val(&task) < 4_096, "{}", size_of_val(&task));
}

/// However long it would be waited for otherwise; and what has greeted in time is not hurried.
#[tokio::test(start_paused = true)]
async fn a_silent_host_gives_its_place_to_those_who_wait() {
    let peer = Peer::start(&["H:", "H:"]);
    let mut site = Site::start();
    let began = tokio::time::Instant::now();
    site.connect(1, to_peer(&peer));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(site.events.try_recv().is_err(), "nobody waits for its place");
    site.outbound.note_waiting(1);
    assert_eq!(site.event().await, "closed untried", "the host is not to blame yet");
    assert!(began.elapsed() < Duration::from_secs(62), "{:?}", began.elapsed());

    let began = tokio::time::Instant::now();
    site.outbound.note_waiting(1);
    site.connect(2, to_peer(&peer));
    assert_eq!(site.event().await, "closed: 0=Unreachable 4.4.2");
    let after = began.elapsed();
    assert!(after >= Duration::from_secs(9) && after < Duration::from_secs(20), "{after:?}");

    site.outbound.note_waiting(1);
    let slow =
        greet(&[]).replace("S: 220", "W: 5000\nS: 220") + &TAKE.replace("S: 250 2.0.0", "W: 30000\nS: 250 2.0.0");
    // Its first turn was too short, its second is long enough.
    let peer = Peer::start(&["W: 600", &(slow + BYE)]);
    site.connect(3, to_peer(&peer));
    assert_eq!(site.event().await, "closed untried");
    site.outbound.note_waiting(1);
    site.connect(4, to_peer(&peer));
    assert_eq!(site.event().await, OK);
}

/// The same for what comes before the greeting: the look-ups, and TLS from the first octet.
#[tokio::test]
async fn a_silent_resolver_and_a_silent_handshake_give_their_place_to_those_who_wait() {
    // A socket that is never read: questions to it have no answer.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = relay::config::Dns { servers: vec![silent.local_addr().unwrap()], ..relay::config::Dns::default() };
    let by_name = NextHop::plain(
        Hosts::Mx { domain: smtp::address::Domain::parse("there.test").unwrap(), port: 2, then: Vec::new() },
        Protocol::Esmtp,
    );
    let peer = Peer::start(&["H:", "H:"]);
    let implicit = Arc::unwrap_or_clone(peer.hop());
    let implicit = NextHop { terms: Arc::new(terms(TlsPolicy::Implicit)), ..implicit };
    for hop in [by_name, implicit] {
        let mut site = Site::with("", &dns);
        let began = tokio::time::Instant::now();
        site.outbound.note_waiting(1);
        site.connect(1, message("to@there.test", CONTENT, &Arc::new(hop)));
        assert_eq!(site.event().await, "closed untried");
        let after = began.elapsed();
        assert!(after >= Duration::from_millis(500) && after < Duration::from_millis(2_500), "{after:?}");
    }
}
