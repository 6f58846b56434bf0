//! A connection that an operator ends, whatever its peer does.

use super::*;
use relay::admin::Direction;

/// Waits until the only connection is at that point, ends it, and gives what the queue hears and how long that took.
async fn end_at(site: &mut Site, state: &str) -> (String, Duration) {
    let sessions = site.outbound.shared.sessions.clone();
    let view = loop {
        let views = sessions.views(Some(Direction::Outbound), site.outbound.shared.clock.now());
        match views.into_iter().next() {
            Some(view) if view.state == state => break view,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    // Where it waits for the peer.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(sessions.end(&view.id));
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
