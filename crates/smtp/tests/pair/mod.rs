//! Both machines together over a wire in memory that is cut after every single octet, in both directions, with and
//! without PIPELINING and CHUNKING, in the clear and with STARTTLS and AUTH before the first message.
//!
//! What must hold wherever the wire is cut: whom the client calls taken, the server has committed, with exactly the
//! content that was sent; whom the client calls refused, the server has not; and only somebody whose content was
//! under way or complete may be lost to the client and committed at the server.

mod wire;

use bytes::{Bytes, BytesMut};
use smtp::body::{BareNewlines, Decoder};
use smtp::client::{Stage, Stuffer, Why};
use wire::{Cut, Life, Message, Offer, live};

/// The messages of one life: with one refused recipient, for nobody, refused at the end, empty, of octets, and one more
/// to see that the connection still stands.
fn messages() -> Vec<Message> {
    let octets = b"Subject: ae\r\n\r\n\xe4\r\n..\r\n.\r\n\r\n.x\r\n";
    vec![
        Message::new("a@x.test", &["b@y.test", "no@y.test", "c@y.test"], b"Subject: 1\r\n\r\n.dot\r\n..two\r\n.\r\n"),
        Message::new("a@x.test", &["no@y.test", "no@z.test"], b"Subject: 2\r\n\r\nfor nobody\r\n"),
        Message::new("a@x.test", &["b@y.test"], b"Subject: 3\r\n\r\nrefuse this\r\n"),
        Message::new("nobody@x.test", &["b@y.test"], b"Subject: 4\r\n\r\n"),
        Message::new("", &["b@y.test"], b""),
        Message::new("a@x.test", &["b@y.test", "d@y.test"], octets).eight_bit(),
        Message::new("a@x.test", &["e@y.test"], b"Subject: 7\r\n\r\nlast\r\n"),
    ]
}

fn offers() -> impl Iterator<Item = Offer> {
    let offer = |bits| Offer { pipelining: bits & 1 > 0, chunking: bits & 2 > 0, dsn: bits == 3, guarded: bits == 5 };
    (0..4).chain([5]).map(offer)
}

/// What must hold for every life.
fn check(life: &Life, messages: &[Message], what: &str) {
    for (i, message) in messages.iter().enumerate() {
        let committed = life.committed.iter().filter(|commit| commit.sender == *message.sender() && commit.is(message));
        let committed: Vec<_> = committed.collect();
        assert!(committed.len() <= 1, "{what}: message {i} is there twice");
        let Some(results) = life.results.get(i) else {
            assert!(committed.is_empty(), "{what}: message {i} was never begun");
            continue;
        };
        assert_eq!(results.len(), message.recipients.len(), "{what}");
        for (to, result) in message.recipients.iter().zip(results) {
            let there = committed.first().is_some_and(|commit| commit.recipients.contains(to));
            match result {
                Ok(_) => assert!(there, "{what}: {to} of message {i} is called taken, but is not there"),
                Err(rejection) => match &rejection.why {
                    Why::Said(reply) => assert!(!there, "{what}: {to} of message {i} is there in spite of {reply}"),
                    Why::Lost(_) => {
                        let may = matches!(rejection.stage, Stage::Content | Stage::Dot);
                        assert!(!there || may, "{what}: {to} of message {i} is there, lost at {:?}", rejection.stage);
                    }
                    Why::Unfit { text, .. } => panic!("{what}: {text}"),
                },
            }
        }
    }
    for commit in &life.committed {
        assert!(messages.iter().any(|message| commit.is(message)), "{what}: a message that nobody sent: {commit:?}");
    }
}

#[test]
fn with_a_whole_wire_everybody_has_a_definite_answer() {
    for offer in offers() {
        for piece in [1, 3, 4096] {
            let messages = messages();
            let life = live(&messages, offer, Cut::Never, piece);
            check(&life, &messages, &format!("{offer:?}"));
            let taken: Vec<Vec<bool>> = life.results.iter().map(|r| r.iter().map(Result::is_ok).collect()).collect();
            let expected: [&[bool]; 7] =
                [&[true, false, true], &[false, false], &[false], &[false], &[true], &[true, true], &[true]];
            assert_eq!(taken, expected, "{offer:?} {piece}");
            let lost = life.results.iter().flatten().any(|r| matches!(r, Err(e) if matches!(e.why, Why::Lost(_))));
            assert!(!lost && life.closed_well, "{offer:?}");
        }
    }
}

#[test]
fn a_wire_cut_anywhere_loses_and_doubles_nothing() {
    let messages = messages();
    let mut lives = 0;
    let mut ambiguous = 0;
    for offer in offers() {
        let whole = live(&messages, offer, Cut::Never, 4096);
        let both = (0..whole.to_server).flat_map(|n| [Cut::ToServer(n), Cut::ToServerAlone(n)]);
        for cut in both.chain((0..whole.to_client).map(Cut::ToClient)) {
            let life = live(&messages, offer, cut, 4096);
            check(&life, &messages, &format!("{offer:?} {cut:?}"));
            assert!(!life.closed_well, "{offer:?} {cut:?}");
            lives += 1;
            ambiguous += usize::from(is_ambiguous(&life, &messages));
        }
    }
    assert!(lives > 5_000, "{lives}");
    // The window in which nobody can know is there, and it is small.
    assert!((8..lives / 4).contains(&ambiguous), "{ambiguous} of {lives}");
}

/// The dotted form of every short content of lines, in pieces, is what the server's dot machine takes it for.
#[test]
fn the_dot_machine_undoes_what_the_stuffer_did() {
    let mut pending: Vec<Vec<u8>> = vec![Vec::new()];
    let mut tried = 0;
    while let Some(content) = pending.pop() {
        for size in 1..=content.len().max(1) {
            let mut stuffer = Stuffer::new();
            let mut wire = BytesMut::new();
            for chunk in content.chunks(size) {
                wire.extend_from_slice(&stuffer.chunk(Bytes::copy_from_slice(chunk)));
            }
            wire.extend_from_slice(&stuffer.finish());
            let mut decoder = Decoder::dotted(BareNewlines::Reject);
            wire.extend_from_slice(b"QUIT");
            let decoded = decoder.decode(&mut wire);
            let end = if content.is_empty() || content.ends_with(b"\r\n") { &b""[..] } else { b"\r\n" };
            assert_eq!(decoded.content, [content.as_slice(), end].concat(), "{content:?} {size}");
            assert!(decoded.ended && decoder.fault().is_none() && &wire[..] == b"QUIT", "{content:?} {size}");
            tried += 1;
        }
        if content.len() < 10 {
            pending.extend([&b"."[..], b"x", b"\r\n"].iter().map(|piece| [content.as_slice(), piece].concat()));
        }
    }
    assert!(tried > 50_000, "{tried}");
}

/// Is somebody lost to the client, but committed at the server?
fn is_ambiguous(life: &Life, messages: &[Message]) -> bool {
    life.results.iter().zip(messages).any(|(results, message)| {
        let there = life.committed.iter().any(|commit| commit.is(message));
        there && results.iter().any(|result| matches!(result, Err(r) if matches!(r.why, Why::Lost(_))))
    })
}
