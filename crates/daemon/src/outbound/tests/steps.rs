//! A server that refuses, cuts, stalls or talks nonsense at each step of a session.

use super::*;

const TAKEN: &str = "attempted: 0=ok(250 2.0.0 taken)\nclosed";

#[tokio::test(start_paused = true)]
async fn a_message_is_taken() {
    let peer = Peer::start(&[&(greet(&[]) + TAKE + BYE)]);
    let mut site = Site::start();
    site.connect(1, message("to@there.test", CONTENT, &peer.hop()));
    let Event::Attempted { connection, outcome } = wait(&site).await else { panic!() };
    assert_eq!(connection, Some(ConnectionId(1)));
    assert_eq!(&*outcome.host, peer.label());
    assert_eq!((outcome.id, outcome.results.len()), (QueueId(1), 1));
    assert_eq!(site.story().await, "closed");
    let seen = peer.seen();
    assert_eq!(
        seen.lines,
        ["EHLO relay.test", "MAIL FROM:<from@here.test>", "RCPT TO:<to@there.test>", "DATA", "QUIT"]
    );
    assert_eq!(seen.contents, [b"Subject: hello\r\n\r\nline\r\n..dot\r\n.\r\n"]);
}

async fn wait(site: &Site) -> Event {
    loop {
        if let Ok(event) = site.events.try_recv() {
            return event;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The steps of a session up to the reply that is spoilt.
fn up_to(step: &str) -> String {
    let steps: [(&str, &str); 7] = [
        ("greeting", ""),
        ("ehlo", "S: 220 peer.test\nC: EHLO\n"),
        ("mail", "S: 250 peer.test\nC: MAIL\n"),
        ("rcpt", "S: 250 ok\nC: RCPT\n"),
        ("data", "S: 250 ok\nC: DATA\n"),
        ("dot", "S: 354 go\nD:\n"),
        ("quit", "S: 250 2.0.0 taken\nC: QUIT\n"),
    ];
    let mut script = String::new();
    for (name, lines) in steps {
        script.push_str(lines);
        if name == step {
            return script;
        }
    }
    panic!("{step}");
}

/// step, what the peer does then, what the queue hears.
#[tokio::test(start_paused = true)]
async fn every_fault_at_every_step() {
    // Before MAIL has an answer it is the host that fails; there is no other, so nobody was reached.
    let unreached = |what: &str| format!("closed: 0={what}");
    let tried = |what: &str| format!("attempted: 0={what}\nclosed");
    let lost = "Unreachable 4.4.2";
    let nonsense = "Unreachable 4.5.0";
    let mut table: Vec<(&str, &str, String)> = vec![
        ("greeting", "S: 421 4.7.0 busy\nE:", unreached("Refused 4.7.0")),
        ("greeting", "S: 451 later\nC: QUIT", unreached("Refused 4.5.0")),
        ("greeting", "S: 554 5.7.1 go away\nC: QUIT", unreached("Refused 4.7.1")),
        ("greeting", "S: 554 go away\nC: QUIT", unreached("Refused 4.3.2")),
        ("greeting", "S: 521 5.3.2 no mail here\nC: QUIT", unreached("Refused 5.3.2")),
        ("ehlo", "S: 421 busy", unreached("Refused 4.3.2")),
        ("ehlo", "S: 451 later\nC: QUIT", unreached("Refused 4.5.0")),
        ("ehlo", "S: 500 what?\nC: HELO relay.test\nS: 554 no\nC: QUIT", unreached("Refused 5.5.0")),
        ("mail", "S: 421 busy", unreached("Refused 4.3.2")),
        ("mail", "S: 451 4.3.0 later\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye", tried("Refused 4.3.0")),
        ("mail", "S: 550 5.7.1 no\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye", tried("Refused 5.7.1")),
        ("rcpt", "S: 450 later\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye", tried("Refused 4.5.0")),
        ("rcpt", "S: 550 5.1.1 who?\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye", tried("Refused 5.1.1")),
        ("rcpt", "S: 421 busy", tried("Refused 4.3.2")),
        ("data", "S: 451 later\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye", tried("Refused 4.5.0")),
        ("data", "S: 554 5.6.0 no\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye", tried("Refused 5.6.0")),
        ("data", "S: 421 busy", tried("Refused 4.3.2")),
        ("data", "S: 250 what", tried(nonsense)),
        ("dot", "S: 451 4.3.0 later\nC: QUIT\nS: 221 bye", tried("Refused 4.3.0")),
        ("dot", "S: 554 5.6.0 spam\nC: QUIT\nS: 221 bye", tried("Refused 5.6.0")),
        ("dot", "S: 421 busy", tried("Refused 4.3.2")),
        ("dot", "S: 354 more", tried(nonsense)),
    ];
    table.push(("ehlo", "F:", unreached(nonsense)));
    table.push(("dot", "F:", tried(nonsense)));
    for step in ["greeting", "ehlo"] {
        table.push((step, "S: hello", unreached(nonsense)));
    }
    for step in ["mail", "rcpt", "data", "dot"] {
        table.push((step, "S: hello", tried(nonsense)));
    }
    for fault in ["X:", "H:"] {
        for step in ["greeting", "ehlo", "mail"] {
            table.push((step, fault, unreached(lost)));
        }
        for step in ["rcpt", "data", "dot"] {
            table.push((step, fault, tried(lost)));
        }
    }
    // What is said to QUIT changes nothing any more.
    for fault in ["S: 500 what?", "S: hello", "X:", "H:", "L: 100000"] {
        table.push(("quit", fault, TAKEN.to_owned()));
    }
    for (step, fault, expected) in table {
        let script = format!("{}{fault}\n", up_to(step));
        assert_eq!(one(&script).await, expected, "at {step}: {fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn long_lines_are_read_to_their_end() {
    for step in ["ehlo", "mail", "rcpt", "dot"] {
        let script = greet(&[]) + TAKE + BYE;
        let said = match step {
            "ehlo" => script.replace("S: 250-peer.test", "L: 100000").replace("S: 250 ENHANCEDSTATUSCODES\n", ""),
            "mail" => script.replacen("S: 250 ok", "L: 100000", 1),
            "rcpt" => script.replace("RCPT TO:\nS: 250 ok", "RCPT TO:\nL: 100000"),
            _ => script.replace("S: 250 2.0.0 taken", "L: 100000"),
        };
        let story = one(&said).await;
        assert!(story.starts_with("attempted: 0=ok(") && story.ends_with("\nclosed"), "at {step}: {story}");
        assert!(story.len() < 700, "the words are cut: {}", story.len());
    }
}

#[tokio::test(start_paused = true)]
async fn helo_when_ehlo_is_refused() {
    let script = "S: 220 peer.test\nC: EHLO\nS: 502 what?\nC: HELO relay.test\nS: 250 peer.test\n".to_owned();
    assert_eq!(one(&(script + TAKE + BYE)).await, TAKEN);
}

#[tokio::test(start_paused = true)]
async fn a_content_that_is_not_taken_in_time() {
    let content = format!("Subject: x\r\n\r\n{}", "a line\r\n".repeat(200_000));
    let script = greet(&[]) + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nH:\n";
    let peer = Peer::start(&[&script]);
    let mut site = Site::start();
    let began = tokio::time::Instant::now();
    site.connect(1, message("to@there.test", &content, &peer.hop()));
    assert_eq!(site.story().await, "attempted: 0=Unreachable 4.4.2\nclosed");
    assert!(began.elapsed() >= Duration::from_secs(180) && began.elapsed() < Duration::from_secs(200));
}

/// A server that does not even read the commands has not taken the message up: another host may have it at once.
#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_not_taken_with_its_commands() {
    let content = format!("Subject: x\r\n\r\n{}", "a line\r\n".repeat(120_000));
    let peer = Peer::start(&[&(greet(&["PIPELINING", "CHUNKING"]) + "H:")]);
    let mut site = Site::start();
    site.connect(1, message("to@there.test", &content, &peer.hop()));
    assert_eq!(site.story().await, "closed: 0=Unreachable 4.4.2");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_middle_of_the_content_is_heard() {
    let content = format!("Subject: x\r\n\r\n{}", "a line\r\n".repeat(200_000));
    let data = "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nN: 100000\n";
    for (end, expected) in [
        ("S: 552 5.3.4 too big\nH:", "Refused 5.3.4"),
        ("S: 552 5.3.4 too big\nX:", "Refused 5.3.4"),
        ("S: 421 4.3.2 going down\nX:", "Refused 4.3.2"),
        ("X:", "Unreachable 4.4.2"),
        ("R:", "Unreachable 4.4.2"),
        ("S: 250 ok already\nH:", "Unreachable 4.5.0"),
    ] {
        let peer = Peer::start(&[&(greet(&[]) + data + end)]);
        let mut site = Site::start();
        site.connect(1, message("to@there.test", &content, &peer.hop()));
        assert_eq!(site.story().await, format!("attempted: 0={expected}\nclosed"), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_operators_time_out_is_kept() {
    for (step, expected) in [("greeting", "closed: 0="), ("mail", "closed: 0="), ("dot", "attempted: 0=")] {
        let peer = Peer::start(&[&(up_to(step) + "H:\n")]);
        let mut site = Site::with_timeout(Duration::from_secs(7), &no_dns());
        let began = tokio::time::Instant::now();
        site.connect(1, message("to@there.test", CONTENT, &peer.hop()));
        let story = site.story().await;
        assert!(story.starts_with(expected), "{step}: {story}");
        assert!(began.elapsed() < Duration::from_secs(8), "{step}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn words_that_nobody_asked_for_end_the_session() {
    // A second greeting, pipelined behind the first: the answer to EHLO would be taken from it.
    assert_eq!(one("S: 220 peer.test\nS: 250 peer.test\nE:\n").await, "closed: 0=Unreachable 4.5.0");
    // A reply too many at DATA would be taken for the reply to the message.
    let script = greet(&[]) + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nS: 250 taken\nH:\n";
    assert_eq!(one(&script).await, "attempted: 0=Unreachable 4.5.0\nclosed");
}

/// A way back to ourselves that no address shows, as a port that is forwarded: found at the first turn.
#[tokio::test(start_paused = true)]
async fn a_server_that_bears_our_own_name_is_ourselves() {
    let script = greet(&[]).replace("250-peer.test", "250-RELAY.test. at your service") + BYE;
    assert_eq!(one(&script).await, "closed: 0=Loop 5.4.6");
}
