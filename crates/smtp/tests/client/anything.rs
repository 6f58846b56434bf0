//! A peer that says anything, a driver that does anything: the machine keeps its promises.

use super::transaction;
use smtp::client::{Protocol, Session, Settings, StartTls, Step, TroubleKind};
use smtp::sasl::Mechanism;
use smtp::time::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What the peer may say when it does not say what is due.
const WORDS: [&[u8]; 28] = [
    b"220 mx.test\r\n",
    b"250 ok\r\n",
    b"250-mx.test\r\n250-PIPELINING\r\n250-DSN\r\n250-SMTPUTF8\r\n250 SIZE 10000\r\n",
    b"250-mx.test\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 BINARYMIME\r\n",
    b"250-mx.test\r\n250 8BITMIME\r\n",
    b"250-mx.test\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n",
    b"250-mx.test\r\n250-CHUNKING\r\n250-STARTTLS\r\n250 AUTH SCRAM-SHA-256\r\n",
    b"220 go ahead\r\n250 injected\r\n",
    b"334 \r\n",
    b"334 Zm9v\r\n",
    b"334 what?\r\n",
    b"235 2.7.0 ok\r\n",
    b"535 5.7.8 no\r\n",
    b"454 4.7.0 no\r\n",
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

/// One connection, and what was seen of it.
struct Life {
    seed: u64,
    chance: Chance,
    settings: Settings,
    session: Session,
    now: Timestamp,
    /// What a peer in its right mind would say.
    due: VecDeque<&'static [u8]>,
    content: bool,
    positive_since_content: bool,
    /// The driver was content with AUTH.
    confirmed: bool,
    must_hello: bool,
    begun: usize,
    done: usize,
    taken: usize,
    proved: usize,
    over: bool,
}

#[test]
fn whatever_is_said_the_promises_hold() {
    let (mut begun, mut taken, mut secure, mut proved) = (0, 0, 0, 0);
    for seed in 1..=20_000_u64 {
        let life = Life::live(seed);
        begun += life.begun;
        taken += life.taken;
        secure += usize::from(life.session.is_secure());
        proved += life.proved;
    }
    // It got somewhere: these are not all lives that end at the greeting.
    assert!(begun > 20_000 && taken > 5_000, "{begun} {taken}");
    assert!(secure > 2_000 && proved > 400, "{secure} {proved}");
}

impl Life {
    fn live(seed: u64) -> Life {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let protocol = [Protocol::Esmtp, Protocol::Esmtp, Protocol::Helo, Protocol::Lmtp][chance.below(4)];
        let mut settings = Settings::plain("relay.test", protocol, Duration::from_secs(60));
        settings.start_tls = [StartTls::Never, StartTls::WhenOffered, StartTls::Required][chance.below(3)];
        settings.auth = chance.below(3) == 0;
        let now = Timestamp(0);
        let mut life = Life {
            seed,
            chance,
            session: Session::new(Arc::new(settings.clone()), now),
            settings,
            now,
            due: VecDeque::from([WORDS[0]]),
            content: false,
            positive_since_content: false,
            confirmed: false,
            must_hello: false,
            proved: 0,
            begun: 0,
            done: 0,
            taken: 0,
            over: false,
        };
        for round in 0..60 {
            life.steps();
            life.event(round > 30);
        }
        life.steps();
        life.session.quit();
        life.steps();
        life.session.receive_end();
        life.steps();
        assert_eq!(life.done, life.begun, "{seed}: one answer for each transaction");
        assert!(life.over, "{seed}: it has come to an end");
        life
    }

    /// Carries out what the machine wants, until it waits.
    fn steps(&mut self) {
        for _ in 0..1_000 {
            let Some(step) = self.session.next(self.now) else { return };
            assert!(!self.over, "{}: something follows the end", self.seed);
            match step {
                Step::Ready if self.chance.below(8) == 0 => self.session.quit(),
                Step::Ready => {
                    assert!(self.is_fit_for_mail(), "{}", self.seed);
                    let transaction = transaction(TRANSACTIONS[self.chance.below(TRANSACTIONS.len())]);
                    self.session.begin(transaction);
                    self.begun += 1;
                    self.positive_since_content = false;
                }
                Step::Content(_) => self.content = true,
                Step::StartTls => self.start_tls(),
                Step::Authenticate { .. } => match self.chance.below(8) {
                    0 => self.session.no_auth("no"),
                    1 => self.session.authenticate(Mechanism::Login, None),
                    _ => self.session.authenticate(Mechanism::Plain, Some(vec![b'x'; self.chance.below(500)])),
                },
                Step::Challenge(_) => match self.chance.below(8) {
                    0 => self.session.cancel_auth("no"),
                    _ => self.session.respond(vec![b'x'; self.chance.below(500)]),
                },
                Step::Authenticated => match self.chance.below(8) {
                    0 => self.session.cancel_auth("no"),
                    _ => {
                        self.confirmed = true;
                        self.proved += 1;
                        self.session.confirm_auth();
                    }
                },
                Step::Done(results) => {
                    self.done += 1;
                    self.content = false;
                    assert!(!results.is_empty());
                    let ok = results.iter().filter(|result| result.is_ok()).count();
                    assert!(ok == 0 || self.positive_since_content, "{}: taken without a word", self.seed);
                    self.taken += ok;
                }
                Step::Failed(_) | Step::Close => self.over = true,
                Step::Send(octets) => self.sent(&octets),
            }
        }
        panic!("{}: it never wants to wait", self.seed);
    }

    fn sent(&mut self, octets: &[u8]) {
        assert!(octets.ends_with(b"\r\n") && octets.len() < 2_000);
        for command in octets.split_inclusive(|&b| b == b'\n') {
            let verb = command.get(..4).unwrap_or(b"*");
            let is_hello = matches!(verb, b"EHLO" | b"HELO" | b"LHLO");
            assert!(!std::mem::take(&mut self.must_hello) || is_hello || verb == b"QUIT", "{}", self.seed);
            assert!(!matches!(verb, b"MAIL" | b"DATA" | b"BDAT") || self.is_fit_for_mail(), "{}", self.seed);
            match command.get(..4) {
                Some(b"EHLO" | b"LHLO") => self.due.push_back(WORDS[2 + self.chance.below(5)]),
                Some(b"STAR") => {
                    assert!(!self.session.is_secure());
                    self.due.push_back(b"220 go ahead\r\n");
                }
                Some(b"AUTH") => {
                    assert!(self.settings.auth && (self.session.is_secure() || !self.needs_tls()), "{}", self.seed);
                    let rounds = self.chance.below(3);
                    self.due.extend([&b"334 Zm9v\r\n"[..], b"334 \r\n"].into_iter().take(rounds));
                    self.due.push_back(b"235 2.7.0 ok\r\n");
                }
                _ if !command[0].is_ascii_uppercase() || !command[..4].is_ascii() => {}
                Some(b"DATA") => self.due.push_back(b"354 go on\r\n"),
                Some(b"BDAT") => {}
                _ => self.due.push_back(b"250 ok\r\n"),
            }
        }
    }

    fn needs_tls(&self) -> bool {
        self.settings.start_tls == StartTls::Required
    }

    /// May anybody hear of a message now?
    fn is_fit_for_mail(&self) -> bool {
        (self.session.is_secure() || !self.needs_tls()) && (self.confirmed || !self.settings.auth)
    }

    /// The handshake goes well, or not, or somebody speaks before it.
    fn start_tls(&mut self) {
        assert!(!self.session.is_secure());
        // What the other side had to say in the clear is over.
        self.due.clear();
        match self.chance.below(8) {
            0 => self.session.tls_failed("no"),
            1 => {
                self.session.receive(WORDS[self.chance.below(WORDS.len())]);
                let next = self.session.next(self.now);
                let injected = matches!(&next, Some(Step::Failed(trouble)) if trouble.kind == TroubleKind::Injected);
                assert!(injected, "{}: {next:?}", self.seed);
                self.over = true;
            }
            _ => {
                self.session.secured(self.now);
                self.must_hello = true;
                assert!(self.session.is_secure() && *self.session.extensions() == Default::default());
            }
        }
    }

    /// Something happens: mostly the peer says what is due.
    fn event(&mut self, late: bool) {
        match self.chance.below(32) {
            0 => self.now = self.now.plus(Duration::from_secs(45)),
            1 if late => self.session.receive_end(),
            2 if self.content => self.session.content_failed("the disk is gone"),
            3 if late => self.session.quit(),
            4..=12 if self.content => {
                self.session.content_sent();
                self.content = false;
                self.positive_since_content = false;
                let replies = 1 + self.chance.below(3) / 2;
                self.due.extend(std::iter::repeat_n(&b"250 ok\r\n"[..], replies));
            }
            _ => {
                let other = self.chance.below(20) == 0;
                let word = if other { Some(WORDS[self.chance.below(WORDS.len())]) } else { self.due.pop_front() };
                let word = word.unwrap_or_default();
                self.positive_since_content |= word.contains(&b'2');
                self.session.receive(word);
            }
        }
    }
}

const TRANSACTIONS: [&str; 6] = [
    "a@relay.test to b@mx.test",
    "a@relay.test to b@mx.test c@mx.test d@mx.test",
    "<> to u{1..10}@mx.test size=100000",
    "a@relay.test to b@mx.test body=8bit",
    "a@relay.test to b@mx.test body=binary",
    "a@relay.test to ü@mx.test;notify=never utf8",
];
