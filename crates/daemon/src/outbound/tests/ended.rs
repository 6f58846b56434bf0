//! A connection that an operator ends, whatever its peer does.

use super::*;
use relay::admin::Direction;

/// Waits until the only connection is at that point, where it waits for the peer; its id.
async fn waits_at(site: &Site, state: &str) -> String {
    let view = loop {
        let views = site.outbound.shared.sessions.views(Some(Direction::Outbound), site.outbound.shared.clock.now());
        match views.into_iter().next() {
            Some(view) if view.state == state => break view,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    view.id
}

/// Ends the only connection at that point, and gives what the queue hears and how long that took.
async fn end_at(site: &mut Site, state: &str) -> (String, Duration) {
    let id = waits_at(site, state).await;
    assert!(site.outbound.shared.sessions.end(&id));
    let began = tokio::time::Instant::now();
    let story = site.story().await;
    (story, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn it_ends_at_once_wherever_the_peer_stalls_and_the_message_stays() {
    let ehlo = "S: 220 peer.test\nC: EHLO\nS: 250 peer.test\n";
    let table = [
        ("H:".to_owned(), "connecting"),
        ("S: 220 peer.test\nC: EHLO\nH:".to_owned(), "EHLO"),
        (format!("{ehlo}C: MAIL\nH:"), "MAIL"),
        (format!("{ehlo}C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nH:"), "sending"),
        (format!("{ehlo}C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nH:"), "sending"),
    ];
    for (script, state) in table {
        let peer = Peer::start(&[&script]);
        let mut site = Site::start();
        site.connect(1, message("to@there.test", CONTENT, &peer.hop()));
        let (story, took) = end_at(&mut site, state).await;
        assert_eq!(story, "attempted: 0=Local 4.3.0\nclosed", "{script}");
        assert!(took <= Duration::from_millis(100), "{script}: {took:?}");
        assert_eq!(site.outbound.shared.sessions.count(None), 0, "{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_taken_is_not_sent_again() {
    let peer = Peer::start(&[&(greet(&[]) + TAKE + "C: QUIT\nH:")]);
    let mut site = Site::start();
    site.connect(1, message("to@there.test", CONTENT, &peer.hop()));
    assert_eq!(site.event().await, "attempted: 0=ok(250 2.0.0 taken)");
    let (story, took) = end_at(&mut site, "idle").await;
    assert_eq!(story, "closed");
    assert!(took <= Duration::from_millis(100), "{took:?}");
    assert_eq!(peer.lines().last().unwrap(), "QUIT", "it is told, and not waited for");
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_was_taken_keeps_its_answer() {
    // The server takes one recipient at a time, and stalls at the second one's turn.
    let first = "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 452 4.5.3 too many\nC: DATA\nS: 354 go\nD:\nS: 250 2.0.0 taken\n";
    let peer = Peer::start(&[&(greet(&[]) + first + "C: MAIL\nH:")]);
    let mut site = Site::start();
    site.connect(1, message("a@there.test, b@there.test", CONTENT, &peer.hop()));
    let (story, _) = end_at(&mut site, "MAIL").await;
    assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken) 1=Local 4.3.0\nclosed");
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_has_said_counts_though_nobody_has_read_it_yet() {
    let script = "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nG:\nS: 250 2.0.0 taken\nH:";
    let peer = Peer::start(&[&(greet(&[]) + script)]);
    let mut site = Site::start();
    site.connect(1, message("to@there.test", CONTENT, &peer.hop()));
    let id = waits_at(&site, "sending").await;
    peer.go_on();
    // The reply is written and the connection is woken; before its turn comes, the operator ends it.
    tokio::task::yield_now().await;
    assert!(site.outbound.shared.sessions.end(&id));
    assert_eq!(site.story().await, "attempted: 0=ok(250 2.0.0 taken)\nclosed");
}
