//! A peer that sends anything, in any pieces, at any time; a driver that answers as it likes; and what must hold.
//!
//! Every run comes from a seed, which is named when something fails.

use super::*;
use crate::body::BareNewlines;
use crate::reply::Reply;
use crate::sasl::Mechanism;

const SEEDS: u64 = 2_500;
const OPERATIONS: usize = 120;

/// Small and repeatable, not random (xorshift, Marsaglia 2003).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    pub(super) fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

/// What a peer may say, in whatever order.
const WORDS: [&[u8]; 42] = [
    b"EHLO c.test\r\n",
    b"HELO c.test\r\n",
    b"MAIL FROM:<a@b.test>\r\n",
    b"MAIL FROM:<a@b.test> BODY=BINARYMIME SIZE=10\r\n",
    b"RCPT TO:<c@d.test>\r\n",
    b"DATA\r\n",
    b"BDAT 5\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 7 LAST\r\n",
    b"BDAT 5000\r\n",
    b"BDAT 99999999999\r\n",
    b"BDAT x\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY x\r\n",
    b"HELP\r\n",
    b"QUIT\r\n",
    b"FOO\r\n",
    b"\r\n.\r\n",
    b".\r\n",
    b".",
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b"text of a line\r\n",
    b"Subject: x\r\n\r\ntext",
    b"GET / HTTP/1.1\r\n",
    b"STARTTLS\r\n",
    b"STARTTLS\r\nMAIL FROM:<evil@b.test>\r\n",
    b"STARTTLS now\r\n",
    b"AUTH PLAIN AGEAaHVudGVyMg==\r\n",
    b"AUTH LOGIN\r\n",
    b"AUTH PLAIN =\r\n",
    b"AUTH PLAIN aHVudGVyMg\r\n",
    b"AUTH\r\n",
    b"aHVudGVyMg==\r\n",
    b"*\r\n",
    b"=\r\n",
    b"AUTH PLAIN aHVu",
    &[b'x'; 3_000],
];

/// What brings a session on, by how far it is.
const TO_BEGIN: [&[u8]; 4] = [
    b"EHLO c.test\r\nAUTH PLAIN AGEAaHVudGVyMg==\r\n",
    b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n",
    b"MAIL FROM:<a@b.test> BODY=BINARYMIME\r\nRCPT TO:<c@d.test>\r\n",
    b"RSET\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test> NOTIFY=NEVER\r\nRCPT TO:<c@d.test>\r\n",
];
/// What an open exchange may be answered with.
const TO_AUTH: [&[u8]; 5] = [b"aHVudGVyMg==\r\n", b"\r\n", b"*\r\n", b"aHVudGVyMg\r\n", &[b'A'; 3_000]];
const TO_CONTENT: [&[u8]; 4] = [b"DATA\r\n", b"DATA\r\n", b"BDAT 5 LAST\r\ntext\n", b"BDAT 6\r\ntext\r\n"];
const TO_END: [&[u8]; 8] = [
    b"\r\n.\r\n",
    b"text\r\n.\r\n",
    b"..\r\n.\r\n",
    b".\r\n",
    b"text\r\n",
    b"a\n.\nb\r\n.\r\n",
    b"\r\n.\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n",
    &[b'x'; 3_000],
];
const TO_LAST_CHUNK: [&[u8]; 3] = [b"BDAT 6 LAST\r\ntext\r\n", b"BDAT 6\r\ntext\r\n", b"BDAT 0 LAST\r\n"];

/// A session, and all that is known about it from outside.
struct Run {
    session: Session,
    chance: Chance,
    now: Timestamp,
    /// A sender was accepted, and neither `queued` nor `Abandon` came since.
    sender: bool,
    recipients: usize,
    /// Begin was answered with yes, and neither Commit nor Abandon came since.
    begun: bool,
    /// What came from the peer since DATA was answered; `None` if the content comes by BDAT.
    raw: Option<Vec<u8>>,
    content: Vec<u8>,
    closed: bool,
    commits: usize,
    greeted: bool,
    authenticated: bool,
    /// The last answer was a challenge.
    challenged: bool,
    logons: usize,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let name = |text| Domain::parse(text).unwrap();
        let mut settings = Settings::new(name("mx.test"), name("contoso.test"));
        settings.size_max = *chance.of(&[&None, &Some(10), &Some(6_000), &Some(1 << 20)]);
        settings.session_size_max = *chance.of(&[&None, &Some(20_000)]);
        settings.bare_newlines = *chance.of(&[&BareNewlines::Reject, &BareNewlines::Normalize]);
        settings.recipients_max = 3;
        settings.commands_max = *chance.of(&[&10, &1_000]);
        settings.errors_max = *chance.of(&[&10, &1_000]);
        settings.refusals_max = *chance.of(&[&10, &1_000]);
        let secured = chance.below(2) == 0;
        let open = chance.below(2) == 0;
        let offer = Offer {
            starttls: chance.below(2) == 0,
            tls_required: chance.below(8) == 0,
            secured,
            mechanisms: if secured || open { vec![Mechanism::Plain, Mechanism::Login] } else { Vec::new() },
            under_tls: if secured || open { Vec::new() } else { vec![Mechanism::Plain] },
            auth_required: chance.below(8) == 0,
        };
        let peer = IpAddr::from([192, 0, 2, 1]);
        let session = match chance.below(10) {
            0 => {
                settings.greeting_delay = Duration::from_secs(5);
                Session::delayed(Arc::new(settings), Arc::new(offer), peer, START)
            }
            _ => Session::new(Arc::new(settings), Arc::new(offer), peer, START),
        };
        Run {
            session,
            chance,
            now: START,
            sender: false,
            recipients: 0,
            begun: false,
            raw: None,
            content: Vec::new(),
            closed: false,
            commits: 0,
            greeted: false,
            authenticated: false,
            challenged: false,
            logons: 0,
        }
    }

    fn operate(&mut self) {
        match self.chance.below(200) {
            0 => self.now = self.now.plus(Duration::from_secs(self.chance.below(700))),
            1 if self.chance.below(5) == 0 => self.session.receive_end(),
            2 if self.chance.below(5) == 0 => self.session.drain(),
            3 => {
                let noise: Vec<u8> = (0..50).map(|_| u8::try_from(self.chance.below(256)).unwrap()).collect();
                self.send(&noise);
            }
            4..20 => {
                let words = 1 + self.chance.below(3);
                let said: Vec<u8> = (0..words).flat_map(|_| self.chance.of(&WORDS)).copied().collect();
                self.say(&said);
            }
            _ => {
                let said = match (self.begun, &self.raw) {
                    _ if self.challenged => self.chance.of(&TO_AUTH),
                    (true, Some(_)) => self.chance.of(&TO_END),
                    (true, None) => self.chance.of(&TO_LAST_CHUNK),
                    _ if self.recipients > 0 && self.sender => self.chance.of(&TO_CONTENT),
                    _ => self.chance.of(&TO_BEGIN),
                };
                self.say(said);
            }
        }
        self.steps();
    }

    /// Says something, whole or in pieces.
    fn say(&mut self, said: &[u8]) {
        let pieces = *self.chance.of(&[&said.len(), &said.len(), &(1 + said.len() / 2), &3]);
        said.chunks(pieces).for_each(|piece| self.send(piece));
    }

    fn send(&mut self, piece: &[u8]) {
        if self.session.wants_input() {
            self.session.receive(piece);
            self.raw.iter_mut().for_each(|raw| raw.extend_from_slice(piece));
            assert!(self.session.input.len() <= INPUT_MAX + piece.len());
            self.steps();
        }
    }

    fn steps(&mut self) {
        let bound = 10 + self.session.input.len();
        let mut steps = 0;
        while let Some(step) = self.next() {
            steps += 1;
            assert!(steps <= bound, "more steps than octets");
            assert!(!self.closed, "something after the end: {step:?}");
            self.step(step);
        }
        assert!(self.session.asked.is_none() && self.session.replies.is_empty());
        assert!(self.closed || self.session.wants_input(), "waits for nothing");
        assert!(self.closed || self.session.deadline() > self.now, "a deadline that has passed");
        let most = if self.session.offer.mechanisms.is_empty() { LINE_MAX } else { AUTH_LINE_MAX } as usize;
        assert!(self.session.input.len() < most, "{} octets are held", self.session.input.len());
        assert!(self.session.input.capacity() <= 2 * most);
    }

    /// The next step; while an answer is held back, time passes.
    fn next(&mut self) -> Option<Step> {
        loop {
            let step = self.session.next(self.now);
            if step.is_some() || self.session.held.is_none() {
                return step;
            }
            assert!(!self.session.wants_input() && self.session.deadline() == self.now.plus(SLOW_BY));
            self.now = self.session.deadline();
        }
    }

    /// TLS is to begin: all that was known of the peer is forgotten, and what it sent is lost.
    fn start_tls(&mut self) {
        assert!(!self.sender && !self.session.offer.secured && self.session.offer.starttls);
        assert!(!self.session.wants_input() && self.session.next(self.now).is_none());
        if self.chance.below(5) == 0 {
            self.session.receive_end();
            return;
        }
        let mechanisms = vec![Mechanism::Plain, Mechanism::Login];
        let offer = Offer { secured: true, mechanisms, under_tls: Vec::new(), ..Offer::clone(&self.session.offer) };
        self.session.secured(Arc::new(offer), self.now);
        (self.greeted, self.authenticated) = (false, false);
    }

    /// An exchange goes on only after a challenge, and nobody can read what it says.
    fn auth_asked(&mut self, question: &Question) -> Answer {
        match question {
            Question::Auth { mechanism, .. } => {
                assert!(self.greeted && !self.sender && !self.authenticated);
                assert!(self.session.offer.mechanisms.contains(mechanism));
            }
            _ => assert!(self.challenged),
        }
        assert!(!format!("{question:?}{:?}", self.session).contains("hunter2"));
        let answer = match self.chance.below(4) {
            0 => Answer::Accept,
            1 => Answer::Refuse(Reply::new(535, 7, 8, "No")),
            _ => Answer::Challenge(vec![b'x'; 900]),
        };
        self.authenticated |= answer == Answer::Accept;
        self.logons += usize::from(answer == Answer::Accept);
        answer
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(octets) => check_replies(&octets),
            Step::Ask(question) => self.asked(&question),
            Step::Body(piece) => {
                assert!(self.begun && !piece.is_empty());
                self.content.extend_from_slice(&piece);
            }
            Step::Abandon => {
                assert!(self.sender, "nothing to abandon");
                (self.sender, self.begun, self.raw) = (false, false, None);
            }
            Step::StartTls => self.start_tls(),
            Step::Close(_) => self.closed = true,
        }
    }

    fn asked(&mut self, question: &Question) {
        if matches!(question, Question::Auth { .. } | Question::AuthResponse(_)) {
            let answer = self.auth_asked(question);
            self.challenged = matches!(answer, Answer::Challenge(_));
            self.session.answer(answer);
            return;
        }
        self.challenged = false;
        let refuse = self.chance.below(12) == 0;
        let answer = match question {
            _ if refuse => Answer::Refuse(Reply::new(550, 7, 1, "No")),
            Question::Begin => Answer::Begun,
            // Sometimes a driver that has gone mad.
            _ if self.chance.below(100) == 0 => Answer::Begun,
            _ => Answer::Accept,
        };
        let yes = answer == Answer::Accept;
        match question {
            Question::Hello { .. } => {
                assert!(!self.sender, "a transaction outlived EHLO");
                self.greeted |= yes;
            }
            Question::Auth { .. } | Question::AuthResponse(_) => unreachable!(),
            Question::Sender(_) => {
                assert!(!self.sender, "two senders");
                let offer = &self.session.offer;
                assert!(self.greeted && (offer.secured || !offer.tls_required));
                assert!(self.authenticated || !offer.auth_required);
                (self.sender, self.recipients) = (yes, 0);
            }
            Question::Recipient(_) => {
                assert!(self.sender && !self.begun && self.recipients < 3);
                self.recipients += usize::from(yes);
            }
            Question::Begin => {
                assert!(self.sender && self.recipients > 0 && !self.begun);
                self.begun = answer == Answer::Begun;
                self.content.clear();
                let by_chunks = matches!(self.session.asked, Some(Asked::Begin { chunk: Some(_) }));
                self.raw = (self.begun && !by_chunks).then(Vec::new);
            }
            Question::Commit => return self.commit(&answer),
        }
        self.session.answer(answer);
    }

    /// A Commit is only asked after a complete body, which is what the peer sent.
    fn commit(&mut self, answer: &Answer) {
        assert!(self.sender && self.begun);
        if let Some(raw) = self.raw.take() {
            let framed = [b"\r\n", raw.as_slice()].concat();
            let end = memchr::memmem::find(&framed, b"\r\n.\r\n").expect("the end has come");
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            if self.session.settings.bare_newlines == BareNewlines::Reject {
                let sent = text(&framed[..end + 2]).replace("\r\n.", "\r\n");
                assert_eq!(text(&self.content), sent[2..]);
            }
            assert!(!text(&self.content).replace("\r\n", "").contains(['\r', '\n', '\0']));
        }
        if *answer == Answer::Accept {
            self.session.queued(&Receipt);
            self.sender = false;
            self.commits += 1;
        } else {
            self.session.answer(answer.clone());
        }
        self.begun = false;
    }
}

fn check_replies(octets: &[u8]) {
    assert!(octets.len() <= REPLIES_MAX + 2_048);
    let text = std::str::from_utf8(octets).unwrap();
    for line in text.strip_suffix("\r\n").unwrap().split("\r\n") {
        let (code, rest) = line.split_at(3);
        assert!(code.bytes().all(|digit| digit.is_ascii_digit()) && rest.starts_with([' ', '-']), "{line}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

#[test]
fn nothing_that_a_peer_does_breaks_a_session() {
    let mut commits = 0;
    let mut finished = 0;
    let mut logons = 0;
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            run.steps();
            for _ in 0..OPERATIONS {
                run.operate();
            }
            (run.commits, usize::from(run.closed), run.logons)
        });
        let Ok((committed, closed, logged_on)) = result else { panic!("seed {seed}") };
        commits += committed;
        finished += closed;
        logons += logged_on;
    }
    let far = commits > 1_000 && finished > 1_000 && logons > 200;
    assert!(far, "{commits} messages, {finished} ends, {logons} logons: the peers did not get far");
}
