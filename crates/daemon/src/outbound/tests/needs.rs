//! What a message needs and what the server offers: extensions, conversion, several recipients, LMTP.

use super::*;
use smtp::command::Ret;

/// One message to one peer with these scripts; what the queue heard, and the peer.
async fn send(script: &str, parcel: impl FnOnce(&Arc<NextHop>) -> Parcel) -> (String, Peer) {
    let peer = Peer::start(&[script]);
    let mut site = Site::start();
    site.connect(1, parcel(&peer.hop()));
    (site.story().await, peer)
}

#[tokio::test(start_paused = true)]
async fn a_chunk_goes_out_with_its_commands() {
    let script =
        greet(&["PIPELINING", "CHUNKING"]) + "C: MAIL\nC: RCPT\nB:\nS: 250 ok\nS: 250 ok\nS: 250 2.0.0 taken\n" + BYE;
    let (story, peer) = send(&script, |hop| message("to@there.test", CONTENT, hop)).await;
    assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken)\nclosed");
    assert_eq!(peer.seen().contents, [CONTENT.as_bytes()], "as it is, dots and all");
}

#[tokio::test(start_paused = true)]
async fn dsn_is_passed_on_and_the_duty_with_it() {
    let wants = |hop: &Arc<NextHop>| {
        with(message("a@there.test, b@there.test", CONTENT, hop), |envelope| {
            envelope.ret = Some(Ret::Headers);
            envelope.envid = Some("QQ1".into());
            envelope.recipients[0].notify = Notify::On { success: true, failure: true, delay: false };
            envelope.recipients[0].orcpt = Some("rfc822;o@there.test".into());
        })
    };
    let take =
        "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nS: 250 2.0.0 taken\n";
    let (story, peer) = send(&(greet(&["DSN", "SIZE 1000000"]) + take + BYE), wants).await;
    assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken), reports 1=ok(250 2.0.0 taken)\nclosed");
    assert_eq!(
        peer.lines()[1..4],
        [
            "MAIL FROM:<from@here.test> SIZE=30 RET=HDRS ENVID=QQ1",
            "RCPT TO:<a@there.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;o@there.test",
            "RCPT TO:<b@there.test>"
        ]
    );
    let (story, peer) = send(&(greet(&[]) + take + BYE), wants).await;
    assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken) 1=ok(250 2.0.0 taken)\nclosed");
    assert_eq!(peer.lines()[2], "RCPT TO:<a@there.test>");
}

#[tokio::test(start_paused = true)]
async fn eight_bit_lines_are_converted_for_a_server_that_lacks_them() {
    let content = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                   Content-Transfer-Encoding: 8bit\r\n\r\nK\u{fc}che\r\n";
    let eight = |hop: &Arc<NextHop>| with(message("to@there.test", content, hop), |e| e.body = BodyKind::EightBitMime);
    let (story, peer) = send(&(greet(&["8BITMIME"]) + TAKE + BYE), eight).await;
    assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken)\nclosed");
    assert_eq!(peer.lines()[1], "MAIL FROM:<from@here.test> BODY=8BITMIME");
    assert!(peer.seen().contents[0].starts_with(content.as_bytes()));
    let (story, peer) = send(&(greet(&["SIZE"]) + TAKE + BYE), eight).await;
    assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken)\nclosed");
    let seen = peer.seen();
    assert!(seen.contents[0].is_ascii());
    assert!(String::from_utf8_lossy(&seen.contents[0]).contains("K=C3=BCche"));
    let size = seen.contents[0].len() - ".\r\n".len();
    assert_eq!(seen.lines[1], format!("MAIL FROM:<from@here.test> SIZE={size}"), "the new size");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_converted_is_refused_before_the_server_is_asked() {
    let signed = "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\
                  Content-Transfer-Encoding: 8bit\r\n\r\n\u{fc}\r\n--b\r\nContent-Type: application/x\r\n\r\nx\r\n--b--\r\n";
    let big = "x".repeat(2_000);
    let cases: [(&str, &[&str], Parcel, &str); 4] = [
        (
            "signed",
            &[],
            with(message("to@there.test", signed, &listed(&[])), |e| e.body = BodyKind::EightBitMime),
            "Unsupported 5.6.2",
        ),
        ("addresses", &["8BITMIME"], message("k\u{fc}che@there.test", CONTENT, &listed(&[])), "Unsupported 5.6.7"),
        ("size", &["SIZE 1000"], message("to@there.test", &big, &listed(&[])), "Unsupported 5.3.4"),
        (
            "too large to be converted",
            &[],
            with(message("to@there.test", &"x\u{fc}\r\n".repeat(17_000_000), &listed(&[])), |e| {
                e.body = BodyKind::EightBitMime;
            }),
            "Unsupported 5.6.3",
        ),
    ];
    for (what, extensions, parcel, expected) in cases {
        // The connection is as good as before: the next message goes over it.
        let peer = Peer::start(&[&(greet(extensions) + TAKE + BYE)]);
        let hop = peer.hop();
        let mut site = Site::start();
        site.connect(1, Parcel { hop: hop.clone(), ..parcel });
        assert_eq!(site.event().await, format!("attempted: 0={expected}"), "{what}");
        site.deliver(1, message("to@there.test", CONTENT, &hop));
        assert_eq!(site.story().await, "attempted: 0=ok(250 2.0.0 taken)\nclosed", "{what}");
        assert_eq!(peer.seen().contents.len(), 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn recipients_have_answers_of_their_own() {
    let script = greet(&["PIPELINING"])
        + "C: MAIL\nC: RCPT TO:<a@\nC: RCPT TO:<b@\nC: RCPT TO:<c@\nC: DATA\n\
           S: 250 ok\nS: 250 ok\nS: 550 5.1.1 who?\nS: 450 4.2.1 later\nS: 354 go\nD:\nS: 250 2.0.0 taken\n"
        + BYE;
    let (story, _) = send(&script, |hop| message("a@x.test, b@x.test, c@x.test", CONTENT, hop)).await;
    assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken) 1=Refused 5.1.1 2=Refused 4.2.1\nclosed");
}

#[tokio::test(start_paused = true)]
async fn only_the_parcels_own_recipients_are_named() {
    let (story, peer) = send(&(greet(&[]) + TAKE + BYE), |hop| Parcel {
        recipients: vec![1],
        ..message("a@x.test, b@x.test, c@x.test", CONTENT, hop)
    })
    .await;
    assert_eq!(story, "attempted: 1=ok(250 2.0.0 taken)\nclosed");
    assert_eq!(peer.lines()[2], "RCPT TO:<b@x.test>");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_few_at_a_time_gets_the_rest_at_once() {
    let two = "C: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\nC: RCPT\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\n\
               S: 452 4.5.3 enough\nS: 452 4.5.3 enough\nS: 452 4.5.3 enough\nS: 354 go\nD:\nS: 250 2.0.0 first\n";
    let more = "C: MAIL\nC: RCPT TO:<c@\nC: RCPT TO:<d@\nC: RCPT TO:<e@\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 550 5.1.1 who?\n\
                S: 452 4.5.3 enough\nS: 354 go\nD:\nS: 250 2.0.0 second\n";
    let last = "C: MAIL\nC: RCPT TO:<e@\nC: DATA\nS: 250 ok\nS: 452 4.5.3 enough\nS: 503 no\nC: RSET\nS: 250 ok\n";
    let script = greet(&["PIPELINING"]) + two + more + last + BYE;
    let (story, peer) =
        send(&script, |hop| message("a@x.test, b@x.test, c@x.test, d@x.test, e@x.test", CONTENT, hop)).await;
    // Nobody was taken in the last round: the rest waits.
    assert_eq!(
        story,
        "attempted: 0=ok(250 2.0.0 first) 1=ok(250 2.0.0 first) 2=ok(250 2.0.0 second) 3=Refused 5.1.1 \
         4=Refused 4.5.3\nclosed"
    );
    assert_eq!(peer.seen().contents.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn lmtp_answers_for_each_recipient_after_the_message() {
    let script = "S: 220 box.test\nC: LHLO relay.test\nS: 250-box.test\nS: 250 PIPELINING\nC: MAIL\nC: RCPT\nC: RCPT\nC: RCPT\n\
                  C: DATA\nS: 250 ok\nS: 250 ok\nS: 550 5.1.1 who?\nS: 250 ok\nS: 354 go\nD:\nS: 250 2.0.0 stored\n\
                  S: 452 4.2.2 full\nC: QUIT\nS: 221 bye\n";
    let peer = Peer::start(&[script]);
    let mut site = Site::start();
    site.connect(1, message("a@x.test, b@x.test, c@x.test", CONTENT, &peer.hop_speaking(Protocol::Lmtp)));
    let expected = "attempted: 0=ok(250 2.0.0 stored) 1=Refused 5.1.1 2=Refused 4.2.2\nclosed";
    assert_eq!(site.story().await, expected);
    drop(peer.seen());
}

#[tokio::test(start_paused = true)]
async fn helo_only_means_no_extensions() {
    let peer = Peer::start(&[&("S: 220 peer.test\nC: HELO relay.test\nS: 250 peer.test\n".to_owned() + TAKE + BYE)]);
    let mut site = Site::start();
    site.connect(1, message("to@there.test", CONTENT, &peer.hop_speaking(Protocol::Helo)));
    assert_eq!(site.story().await, "attempted: 0=ok(250 2.0.0 taken)\nclosed");
}

#[tokio::test(start_paused = true)]
async fn the_masquerade_domain_stands_for_a_local_sender() {
    let peer = Peer::start(&[&(greet(&[]) + TAKE + TAKE + BYE)]);
    let mut site = Site::with("masquerade_domain = \"mask.test\"", &no_dns());
    let hop = peer.hop();
    site.connect(1, message("to@there.test", CONTENT, &hop));
    site.event().await;
    site.deliver(1, with(message("to@there.test", CONTENT, &hop), |envelope| envelope.sender = ReversePath::Null));
    site.story().await;
    let lines = peer.lines();
    assert_eq!((&*lines[1], &*lines[4]), ("MAIL FROM:<from@mask.test>", "MAIL FROM:<>"));
}

/// A content of another length than BDAT has promised: what is over would be read as commands, what is missing be lost.
#[tokio::test(start_paused = true)]
async fn a_content_of_another_length_is_never_sent_as_whole() {
    for (noted, chunking) in [(29, true), (31, true), (29, false), (31, false)] {
        let (extensions, tail) = if chunking { (&["CHUNKING"][..], "E:") } else { (&[][..], "C: DATA\nS: 354 go\nE:") };
        let script = greet(extensions) + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\n" + tail;
        let peer = Peer::start(&[&script]);
        let site = Site::start();
        let parcel = message("to@there.test", CONTENT, &peer.hop());
        let shared = &site.outbound.shared;
        let (mut transaction, content) =
            message::prepare(shared, &Default::default(), "peer", (&parcel, &parcel.hop.terms), &[0]).await.unwrap();
        assert_eq!(transaction.size, 30);
        transaction.size = noted;
        let (protocol, timeout) = (smtp::client::Protocol::Esmtp, Duration::from_secs(600));
        let settings = Arc::new(smtp::client::Settings::plain("relay.test", protocol, timeout));
        let stream = tokio::net::UnixStream::connect(peer.label()).await.unwrap();
        let mut talk = talk::Talk::new(wire::Wire::new(wire::Stream::Unix(stream)), &settings, Timestamp(0));
        assert!(matches!(talk.next().await, talk::Said::Ready));
        talk.begin(transaction, content);
        let talk::Said::Done(results) = talk.next().await else { panic!() };
        let failure = words::rejected(results.into_iter().next().unwrap().unwrap_err(), "peer", talk.has_stalled());
        assert_eq!(failure.status.to_string(), "4.3.0", "{}", failure.text);
        assert!(matches!(talk.next().await, talk::Said::Failed(_)));
        drop(talk);
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(peer.seen());
    }
}

/// Not in memory: from the file in the Queue folder, piece by piece.
#[tokio::test]
async fn a_large_message_comes_from_the_disk() {
    for extensions in [&["PIPELINING"][..], &["PIPELINING", "CHUNKING"]] {
        let content = format!("Subject: large\r\n\r\n{}", ".a line that begins with a dot\r\n".repeat(100_000));
        let mut site = Site::start();
        let parcel = message("to@there.test", &content, &listed(&[]));
        let id = site.outbound.shared.store.begin().unwrap();
        let mut incoming = site.outbound.shared.store.incoming(id);
        for piece in content.as_bytes().chunks(100_000) {
            incoming.append(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        drop(site.outbound.shared.store.commit(incoming, Envelope::clone(&parcel.envelope)).await.unwrap());
        let take = match extensions {
            [_] => "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nD:\nS: 250 2.0.0 taken\n",
            _ => "C: MAIL\nC: RCPT\nS: 250 ok\nS: 250 ok\nB:\nS: 250 2.0.0 taken\n",
        };
        let peer = Peer::start(&[&(greet(extensions) + take + BYE)]);
        site.connect(1, Parcel { id, place: Place::File, hop: peer.hop(), ..parcel });
        site.quit(1);
        assert_eq!(site.story().await, "attempted: 0=ok(250 2.0.0 taken)\nclosed");
        let wire = match extensions {
            [_] => content.replace("\r\n.", "\r\n..") + ".\r\n",
            _ => content,
        };
        assert!(peer.seen().contents[0] == wire.as_bytes());
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_fails_for_now_and_alone() {
    let peer = Peer::start(&[&(greet(&[]) + TAKE + BYE)]);
    let mut site = Site::start();
    site.connect(1, Parcel { place: Place::File, ..message("to@there.test", CONTENT, &peer.hop()) });
    assert_eq!(site.event().await, "attempted: 0=Local 4.3.0");
    site.deliver(1, message("to@there.test", CONTENT, &peer.hop()));
    site.quit(1);
    assert_eq!(site.story().await, "attempted: 0=ok(250 2.0.0 taken)\nclosed");
}

#[tokio::test(start_paused = true)]
async fn an_empty_message_and_one_without_a_last_line_end() {
    for (content, wire) in [("", ".\r\n"), ("x", "x\r\n.\r\n"), (".", "..\r\n.\r\n"), (".\r\n", "..\r\n.\r\n")] {
        let (story, peer) = send(&(greet(&[]) + TAKE + BYE), |hop| message("to@there.test", content, hop)).await;
        assert_eq!(story, "attempted: 0=ok(250 2.0.0 taken)\nclosed", "{content:?}");
        assert_eq!(peer.seen().contents, [wire.as_bytes()], "{content:?}");
    }
}
