//! Plays the transcripts: dialogues with the receiving session, written as text.
//!
//! ```text
//! # A comment.
//! @ size_max = 100        a setting, at the top of the file
//! S: 220 ready            the session sends a line
//! C: HELO client.test     the peer sends a line; lines in a row are one pipelined batch
//! P: DATA                 the same, but lines in a row arrive in one piece
//! ?: sender <a@b.test>    the session asks ...
//! !: accept               ... and the script answers: accept, begun, queued ID, challenge TEXT, or a reply that refuses
//! B: Subject: hello\r\n   content is handed over
//! T: +10m                 the clock moves
//! D: end                  the peer closes its side
//! D: drain                we shut down
//! D: secured              TLS is on; the methods that were under_tls are offered now
//! X: abandoned            the transaction died
//! X: TLS                  the peer is to begin TLS
//! X: closed: Quit         the connection is closed
//! ```
//!
//! `S*9:` stands for nine such lines. In what the peer sends, `\r \n \t \0 \\ \xff` are octets, `\{900*x}` is `x`
//! 900 times, and a `\` at the end means that no CRLF follows.
//!
//! While an answer is held back the clock moves by itself.
//!
//! Each file is played in pieces of 4096, 7, 2 and 1 octets. With the largest, everything must happen in the order of
//! the file; with the others, replies may leave earlier and content be handed over later, but all of it must be the same. `BLESS=1` writes what happened
//! into the files, for review in the diff; a new transcript needs only its `C:` lines.

mod script;

use script::{Act, Block, Event, Script, default_answer, escape, reply};
use smtp::server::{Answer, Durable, Offer, Question, SLOW_BY, Session, Step};
use smtp::time::Timestamp;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const START: Timestamp = Timestamp(1_795_330_800_000);

/// Fewer files than this, and some were lost.
const FILES_MIN: usize = 105;

struct Receipt(String);

impl Durable for Receipt {
    fn id(&self) -> String {
        self.0.clone()
    }
}

#[test]
fn transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= FILES_MIN, "only {} transcripts", files.len());
    let failures: Vec<String> = files.iter().filter_map(|path| check(path)).collect();
    assert!(failures.is_empty(), "\n{}\n(BLESS=1 writes what happened)", failures.join("\n"));
}

/// Plays a file; what went wrong, if something did.
fn check(path: &Path) -> Option<String> {
    let name = path.file_name().unwrap().to_string_lossy();
    let text = std::fs::read_to_string(path).unwrap();
    let mut script = Script::parse(&text);
    let mut whole = play(&script, 4096);
    let written = script.write(&whole.blocks);
    if std::env::var_os("BLESS").is_some() && written != text {
        std::fs::write(path, &written).unwrap();
        script = Script::parse(&written);
        whole = play(&script, 4096);
    }
    for (block, events) in script.blocks.iter().zip(&whole.blocks) {
        if let Some(difference) = first_difference(&block.expected, events) {
            return Some(format!("{name}: {difference}"));
        }
    }
    for pieces in [7, 2, 1] {
        let played = play(&script, pieces);
        for (whole, cut) in whole.blocks.iter().zip(&played.blocks) {
            for of in [replies as fn(&[Event]) -> Vec<Event>, questions] {
                if let Some(difference) = first_difference(&of(whole), &of(cut)) {
                    return Some(format!("{name}, in pieces of {pieces}: {difference}"));
                }
            }
        }
        if whole.messages != played.messages {
            return Some(format!("{name}, in pieces of {pieces}: content differs"));
        }
    }
    None
}

fn first_difference(expected: &[Event], happened: &[Event]) -> Option<String> {
    let at = (0..expected.len().max(happened.len())).find(|&i| expected.get(i) != happened.get(i))?;
    Some(format!("expected {:?}, but there was {:?}", expected.get(at), happened.get(at)))
}

fn replies(events: &[Event]) -> Vec<Event> {
    events.iter().filter(|event| matches!(event, Event::Reply(_))).cloned().collect()
}

fn questions(events: &[Event]) -> Vec<Event> {
    events.iter().filter(|event| matches!(event, Event::Question(_) | Event::Over(_))).cloned().collect()
}

/// What became of a script.
struct Played {
    /// What happened, block by block.
    blocks: Vec<Vec<Event>>,
    /// The content of all messages that were complete.
    messages: Vec<Vec<u8>>,
}

/// Plays a script with the peer's octets in such pieces.
fn play(script: &Script, pieces: usize) -> Played {
    let settings = Arc::new(script.settings.clone());
    let peer = IpAddr::from([192, 0, 2, 7]);
    let offer = Arc::new(script.offer.clone());
    let session = match &script.refuse {
        None if settings.greeting_delay > Duration::ZERO => Session::delayed(settings, offer, peer, START),
        None => Session::new(settings, offer, peer, START),
        Some(reply) => Session::refuse(settings, peer, reply, START),
    };
    let mut play = Play {
        session,
        offer: script.offer.clone(),
        now: START,
        answers: VecDeque::new(),
        events: Vec::new(),
        body: Vec::new(),
        message: Vec::new(),
        messages: Vec::new(),
    };
    let blocks = script.blocks.iter().map(|block| play.block(block, pieces)).collect();
    Played { blocks, messages: play.messages }
}

struct Play {
    session: Session,
    offer: Offer,
    now: Timestamp,
    answers: VecDeque<String>,
    events: Vec<Event>,
    /// Content that was handed over and is not an event yet.
    body: Vec<u8>,
    /// All content since Begin.
    message: Vec<u8>,
    messages: Vec<Vec<u8>>,
}

impl Play {
    fn block(&mut self, block: &Block, pieces: usize) -> Vec<Event> {
        self.answers = block.answers.iter().cloned().collect();
        match &block.act {
            Act::Connect => {}
            Act::Send(sendings) => {
                for sending in sendings {
                    let pieces = if sending.whole { sending.octets.len() } else { pieces };
                    for piece in sending.octets.chunks(pieces) {
                        self.send(piece);
                    }
                }
            }
            Act::Wait(wait) => self.now = self.now.plus(*wait),
            Act::End => self.session.receive_end(),
            Act::Drain => self.session.drain(),
            Act::Secured => self.secure(),
        }
        self.steps();
        self.hand_over();
        std::mem::take(&mut self.events)
    }

    /// The peer sends; what comes after the end is lost.
    fn send(&mut self, piece: &[u8]) {
        if self.session.wants_input() {
            self.session.receive(piece);
            self.steps();
        }
    }

    /// The peer has begun TLS.
    fn secure(&mut self) {
        let mechanisms = [self.offer.mechanisms.clone(), self.offer.under_tls.clone()].concat();
        let offer = Offer { secured: true, mechanisms, under_tls: Vec::new(), ..self.offer.clone() };
        self.session.secured(Arc::new(offer), self.now);
    }

    fn next(&mut self) -> Option<Step> {
        loop {
            let step = self.session.next(self.now);
            let due = self.session.deadline();
            let held = !self.session.wants_input() && self.now < due && due <= self.now.plus(SLOW_BY);
            if step.is_some() || !held {
                return step;
            }
            self.now = due;
        }
    }

    fn steps(&mut self) {
        while let Some(step) = self.next() {
            if !matches!(step, Step::Body(_) | Step::Send(_)) {
                self.hand_over();
            }
            match step {
                Step::Send(octets) => self.sent(&octets),
                Step::Body(piece) => {
                    self.body.extend_from_slice(&piece);
                    self.message.extend_from_slice(&piece);
                }
                Step::Ask(question) => self.asked(&question),
                Step::Abandon => self.events.push(Event::Over("abandoned".to_owned())),
                Step::StartTls => self.events.push(Event::Over("TLS".to_owned())),
                Step::Close(why) => self.events.push(Event::closed(why)),
            }
        }
    }

    fn sent(&mut self, octets: &[u8]) {
        let text = octets.strip_suffix(b"\r\n").expect("whole lines are sent");
        for line in String::from_utf8(text.to_vec()).unwrap().split("\r\n") {
            // A challenge may be empty, but the file's lines do not end with a space.
            self.events.push(Event::Reply(escape(line.trim_end().as_bytes())));
        }
    }

    /// Content becomes events a line at a time, so that it does not matter in which pieces it came.
    fn hand_over(&mut self) {
        let body = std::mem::take(&mut self.body);
        self.events.extend(body.split_inclusive(|&octet| octet == b'\n').map(|line| Event::Body(escape(line))));
    }

    fn asked(&mut self, question: &Question) {
        assert!(
            !self.session.wants_input() && self.session.next(self.now).is_none(),
            "a question waits for its answer"
        );
        assert_eq!(self.session.deadline(), Timestamp::NEVER, "our own slowness is not the peer's");
        match question {
            Question::Begin => self.message.clear(),
            Question::Commit => self.messages.push(std::mem::take(&mut self.message)),
            _ => {}
        }
        let event = Event::question(question);
        let Event::Question(text) = &event else { unreachable!() };
        let answer = self.answers.pop_front().unwrap_or_else(|| default_answer(text).to_owned());
        self.events.push(event);
        match answer.as_str() {
            "accept" => self.session.answer(Answer::Accept),
            "begun" => self.session.answer(Answer::Begun),
            "challenge" => self.session.answer(Answer::Challenge(Vec::new())),
            answer => match answer.split_once(' ') {
                Some(("queued", id)) => self.session.queued(&Receipt(id.to_owned())),
                Some(("challenge", text)) => self.session.answer(Answer::Challenge(text.as_bytes().to_vec())),
                _ => self.session.answer(Answer::Refuse(reply(answer))),
            },
        }
    }
}
