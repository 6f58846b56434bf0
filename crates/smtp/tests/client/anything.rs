//! A peer that says anything, a driver that does anything: the machine keeps its promises.

use super::transaction;
use smtp::client::{Protocol, Session, Settings, Step};
use smtp::time::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What the peer may say when it does not say what is due.
const WORDS: [&[u8]; 19] = [
    b"220 mx.test\r\n",
    b"250 ok\r\n",
    b"250-mx.test\r\n250-PIPELINING\r\n250-DSN\r\n250-SMTPUTF8\r\n250 SIZE 10000\r\n",
    b"250-mx.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n",
    b"250-mx.test\r\n250 8BITMIME\r\n",
    b"354 go on\r\n",
    b"550 5.1.1 no\r\n",
    b"452 4.5.3 too many\r\n",
    b"552 too many\r\n",
    b"503 no\r\n",
    b"421 bye\r\n",
    b"221 bye\r\n",
    b"250",
    b"-more\r\n",
    b"\r\n",
    b"\n",
    b"hello\r\n",
    b"250-a\r\n550 b\r\n",
    b"\x00\xff\x1b",
];

/// A small generator: the same seed makes the same life.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[derive(Default)]
struct Seen {
    begun: usize,
    done: usize,
    taken: usize,
    over: bool,
}

#[test]
fn whatever_is_said_the_promises_hold() {
    let mut taken = 0;
    let mut begun = 0;
    for seed in 1..=20_000_u64 {
        let seen = live(seed);
        taken += seen.taken;
        begun += seen.begun;
    }
    // It got somewhere: these are not all lives that end at the greeting.
    assert!(begun > 20_000 && taken > 5_000, "{begun} {taken}");
}

fn live(seed: u64) -> Seen {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let protocol = [Protocol::Esmtp, Protocol::Esmtp, Protocol::Helo, Protocol::Lmtp][chance.below(4)];
    let settings = Settings { hello: "relay.test".into(), protocol, timeout: Duration::from_secs(60) };
    let mut now = Timestamp(0);
    let mut session = Session::new(Arc::new(settings), now);
    let mut seen = Seen::default();
    let mut content = false;
    let mut positive_since_content = false;
    // What a peer in its right mind would say.
    let mut due: VecDeque<&[u8]> = VecDeque::from([WORDS[0]]);
    for round in 0..60 {
        for _ in 0..1_000 {
            let Some(step) = session.next(now) else { break };
            assert!(!seen.over, "{seed}: something follows the end");
            match step {
                Step::Ready if chance.below(8) == 0 => session.quit(),
                Step::Ready => {
                    session.begin(transaction(TRANSACTIONS[chance.below(TRANSACTIONS.len())]));
                    seen.begun += 1;
                    positive_since_content = false;
                }
                Step::Content(_) => content = true,
                Step::Done(results) => {
                    seen.done += 1;
                    content = false;
                    assert!(!results.is_empty());
                    let ok = results.iter().filter(|result| result.is_ok()).count();
                    assert!(ok == 0 || positive_since_content, "{seed}: taken without a word");
                    seen.taken += ok;
                }
                Step::Failed(_) | Step::Close => seen.over = true,
                Step::Send(octets) => {
                    assert!(octets.ends_with(b"\r\n") && octets.len() < 2_000);
                    for command in octets.split_inclusive(|&b| b == b'\n') {
                        match &command[..4] {
                            b"EHLO" | b"LHLO" => due.push_back(WORDS[2 + chance.below(3)]),
                            b"DATA" => due.push_back(b"354 go on\r\n"),
                            b"BDAT" => {}
                            _ => due.push_back(b"250 ok\r\n"),
                        }
                    }
                }
            }
        }
        assert!(session.next(now).is_none(), "{seed}: it never wants to wait");
        match chance.below(32) {
            0 => now = now.plus(Duration::from_secs(45)),
            1 if round > 30 => session.receive_end(),
            2 if content => session.content_failed("the disk is gone"),
            3 if round > 30 => session.quit(),
            4..=12 if content => {
                session.content_sent();
                content = false;
                positive_since_content = false;
                due.extend(std::iter::repeat_n(&b"250 ok\r\n"[..], 1 + chance.below(3) / 2));
            }
            _ => {
                let word = if chance.below(20) == 0 { Some(WORDS[chance.below(WORDS.len())]) } else { due.pop_front() };
                let word = word.unwrap_or_default();
                positive_since_content |= word.contains(&b'2');
                session.receive(word);
            }
        }
    }
    session.receive_end();
    while let Some(step) = session.next(now) {
        seen.done += usize::from(matches!(step, Step::Done(_)));
        seen.over |= matches!(step, Step::Failed(_) | Step::Close);
        if matches!(step, Step::Ready) {
            session.quit();
        }
    }
    assert_eq!(seen.done, seen.begun, "{seed}: one answer for each transaction");
    assert!(seen.over, "{seed}: it has come to an end");
    seen
}

const TRANSACTIONS: [&str; 6] = [
    "a@relay.test to b@mx.test",
    "a@relay.test to b@mx.test c@mx.test d@mx.test",
    "<> to u{1..10}@mx.test size=100000",
    "a@relay.test to b@mx.test body=8bit",
    "a@relay.test to b@mx.test body=binary",
    "a@relay.test to ü@mx.test;notify=never utf8",
];
