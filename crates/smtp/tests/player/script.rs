//! The text of a transcript: read into acts and what they are expected to lead to, and written again.

use smtp::address::Domain;
use smtp::body::BareNewlines;
use smtp::reply::{EnhancedStatus, Reply};
use smtp::sasl::Mechanism;
use smtp::server::{Closing, Offer, Question, Settings};
use std::fmt::Write as _;
use std::time::Duration;

/// One file.
pub struct Script {
    pub settings: Settings,
    pub offer: Offer,
    /// The peer is not let in.
    pub refuse: Option<Reply>,
    /// The first has no act: it is the greeting.
    pub blocks: Vec<Block>,
}

/// An act and all that happens before the next one.
#[derive(Default)]
pub struct Block {
    /// Comments and the act itself, as they stand in the file.
    source: Vec<String>,
    pub act: Act,
    /// The driver's answers, in the order of the questions.
    pub answers: Vec<String>,
    pub expected: Vec<Event>,
}

/// What is done to the session.
#[derive(Default)]
pub enum Act {
    #[default]
    Connect,
    /// Octets from the peer; those that are `whole` come in one piece, however small the others are cut.
    Send(Vec<Sending>),
    Wait(Duration),
    /// The peer closes its side.
    End,
    /// We shut down.
    Drain,
    /// TLS is on.
    Secured,
}

pub struct Sending {
    pub octets: Vec<u8>,
    pub whole: bool,
}

/// What the session did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A line that it sent.
    Reply(String),
    /// A question, with its number within the block.
    Question(String),
    /// Content, a line at a time.
    Body(String),
    /// The transaction died, or the connection is closed.
    Over(String),
}

impl Event {
    pub fn question(question: &Question) -> Event {
        let text = match question {
            Question::Hello { host, esmtp: true } => format!("hello {host}"),
            Question::Hello { host, esmtp: false } => format!("hello {host} without extensions"),
            Question::Sender(mail) => mail.to_string().replacen("MAIL FROM:", "sender ", 1),
            Question::Recipient(rcpt) => rcpt.to_string().replacen("RCPT TO:", "recipient ", 1),
            Question::Auth { mechanism, initial: None } => format!("auth {mechanism}"),
            Question::Auth { mechanism, initial: Some(octets) } => {
                return Event::Question(format!("auth {mechanism} with '{}'", escape(octets)));
            }
            Question::AuthResponse(octets) => return Event::Question(format!("response '{}'", escape(octets))),
            Question::Begin => "begin".to_owned(),
            Question::Commit => "commit".to_owned(),
        };
        Event::Question(escape(text.as_bytes()))
    }

    pub fn closed(why: Closing) -> Event {
        Event::Over(format!("closed: {why:?}"))
    }

    fn line(&self) -> (char, &str) {
        match self {
            Event::Reply(text) => ('S', text),
            Event::Question(text) => ('?', text),
            Event::Body(text) => ('B', text),
            Event::Over(text) => ('X', text),
        }
    }
}

impl Script {
    pub fn parse(text: &str) -> Script {
        let name = |text| Domain::parse(text).unwrap();
        let mut script = Script {
            settings: Settings::new(name("mx.contoso.test"), name("contoso.test")),
            offer: Offer::default(),
            refuse: None,
            blocks: vec![Block::default()],
        };
        // Comments, and the blank lines between them, belong to what follows.
        let mut comments = Vec::new();
        for line in text.lines() {
            if line.is_empty() || line.starts_with('#') {
                comments.push(line.to_owned());
            } else if let Some(setting) = line.strip_prefix("@ ") {
                script.set(setting);
                let block = script.blocks.last_mut().unwrap();
                block.source.append(&mut comments);
                block.source.push(line.to_owned());
            } else {
                if script.is_at_top() {
                    script.blocks[0].source.append(&mut comments);
                }
                script.line(line, &mut comments);
            }
        }
        script.blocks.last_mut().unwrap().source.append(&mut comments);
        script
    }

    /// What the file says about itself stands above the greeting.
    fn is_at_top(&self) -> bool {
        self.blocks.len() == 1 && self.blocks[0].expected.is_empty()
    }

    fn line(&mut self, line: &str, comments: &mut Vec<String>) {
        let (head, text) = line.split_once(':').unwrap_or_else(|| panic!("no line of a transcript: {line}"));
        let text = text.strip_prefix(' ').unwrap_or(text);
        let (kind, times) = head.split_once('*').unwrap_or((head, "1"));
        let times: usize = times.parse().unwrap();
        let last = self.blocks.last_mut().unwrap();
        let event = match kind {
            "S" => Event::Reply(text.to_owned()),
            "?" => Event::Question(text.to_owned()),
            "B" => Event::Body(text.to_owned()),
            "X" => Event::Over(text.to_owned()),
            "!" => {
                last.answers.extend(std::iter::repeat_n(text.to_owned(), times));
                return;
            }
            _ => return self.act(kind, text, times, line, comments),
        };
        last.expected.extend(std::iter::repeat_n(event, times));
        // A comment among expectations: it stays with their block, in front of it.
        last.source.append(comments);
    }

    fn act(&mut self, kind: &str, text: &str, times: usize, line: &str, comments: &mut Vec<String>) {
        let act = match (kind, text) {
            ("C" | "P", _) => {
                Act::Send(vec![Sending { octets: octets_of_line(text).repeat(times), whole: kind == "P" }])
            }
            ("T", wait) => Act::Wait(duration(wait.strip_prefix('+').unwrap())),
            ("D", "end") => Act::End,
            ("D", "drain") => Act::Drain,
            ("D", "secured") => Act::Secured,
            _ => panic!("no line of a transcript: {line}"),
        };
        let last = self.blocks.last_mut().unwrap();
        match (act, &mut last.act) {
            // Lines that follow one another without an answer in between are one batch.
            (Act::Send(mut sending), Act::Send(sent)) if last.expected.is_empty() && last.answers.is_empty() => {
                match sent.last_mut() {
                    Some(before) if before.whole == sending[0].whole => before.octets.append(&mut sending[0].octets),
                    _ => sent.append(&mut sending),
                }
                last.source.append(comments);
                last.source.push(line.to_owned());
            }
            (act, _) => {
                let mut source = std::mem::take(comments);
                source.push(line.to_owned());
                self.blocks.push(Block { source, act, ..Block::default() });
            }
        }
    }

    fn set(&mut self, setting: &str) {
        let (name, value) = setting.split_once(" = ").unwrap();
        let number = || value.replace('_', "").parse().unwrap();
        let settings = &mut self.settings;
        match name {
            "size_max" => settings.size_max = (value != "none").then(|| u64::from(number())),
            "session_size_max" => settings.session_size_max = (value != "none").then(|| u64::from(number())),
            "recipients_max" => settings.recipients_max = number(),
            "errors_max" => settings.errors_max = number(),
            "commands_max" => settings.commands_max = number(),
            "refusals_max" => settings.refusals_max = number(),
            "content_rate_min" => settings.content_rate_min = number(),
            "timeout" => settings.timeout = duration(value),
            "content_grace" => settings.content_grace = duration(value),
            "bare_newlines" if value == "normalize" => settings.bare_newlines = BareNewlines::Normalize,
            "greeting_delay" => settings.greeting_delay = duration(value),
            "verbs" => settings.inspection.verbs = Some(value.split(' ').map(verb).collect()),
            "extensions" => settings.inspection.extensions = Some(value.split(' ').map(Into::into).collect()),
            "starttls" => self.offer.starttls = value == "yes",
            "tls_required" => self.offer.tls_required = value == "yes",
            "secured" => self.offer.secured = value == "yes",
            "auth_required" => self.offer.auth_required = value == "yes",
            "mechanisms" => self.offer.mechanisms = mechanisms(value),
            "under_tls" => self.offer.under_tls = mechanisms(value),
            "refuse" => self.refuse = Some(reply(value)),
            _ => panic!("no setting: {setting}"),
        }
    }

    /// The script with what happened in the place of what was expected.
    pub fn write(&self, happened: &[Vec<Event>]) -> String {
        let mut text = String::new();
        for (block, events) in self.blocks.iter().zip(happened) {
            block.source.iter().for_each(|line| writeln!(text, "{line}").unwrap());
            let mut answers = block.answers.iter();
            let mut at = 0;
            while at < events.len() {
                let (kind, line) = events[at].line();
                let mut times = events[at..].iter().take_while(|other| **other == events[at]).count();
                // The same question may have had different answers.
                let same = answers.clone().take(times).all(|answer| Some(answer) == answers.clone().next());
                if times < 4 || (kind == '?' && !same) {
                    times = 1;
                }
                let repeat = if times == 1 { String::new() } else { format!("*{times}") };
                writeln!(text, "{}", format!("{kind}{repeat}: {line}").trim_end_matches(' ')).unwrap();
                if kind == '?' {
                    let answer = answers.nth(times - 1).map_or(default_answer(line), String::as_str);
                    writeln!(text, "!{repeat}: {answer}").unwrap();
                }
                at += times;
            }
        }
        text
    }
}

/// `MAIL=512`
fn verb(text: &str) -> (Box<str>, u32) {
    let (verb, octets) = text.split_once('=').unwrap();
    (verb.into(), octets.parse().unwrap())
}

fn mechanisms(names: &str) -> Vec<Mechanism> {
    names.split(' ').map(|name| Mechanism::parse(name).unwrap()).collect()
}

/// What a question is answered if the script does not say.
pub fn default_answer(question: &str) -> &'static str {
    match question {
        "begin" => "begun",
        "commit" => "queued q1",
        _ => "accept",
    }
}

/// A reply as one line: `550 5.7.1 Unable to relay`.
pub fn reply(line: &str) -> Reply {
    let (code, text) = line.split_once(' ').unwrap_or((line, ""));
    let (status, rest) = text.split_once(' ').unwrap_or((text, ""));
    let status = EnhancedStatus::parse(status);
    let text = if status.is_some() { rest } else { text };
    Reply { code: code.parse().unwrap(), status, lines: vec![text.to_owned().into()] }
}

fn duration(text: &str) -> Duration {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => panic!("no duration: {text}"),
    };
    Duration::from_millis(digits.parse::<u64>().unwrap() * unit)
}

/// The octets of a line that the peer sends; CRLF is added unless the text ends with `\`.
fn octets_of_line(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        octets.extend_from_slice(plain.as_bytes());
        if escaped.is_empty() {
            return octets;
        }
        rest = match escaped.as_bytes()[0] {
            b'x' => {
                octets.push(u8::from_str_radix(&escaped[1..3], 16).unwrap());
                &escaped[3..]
            }
            b'{' => {
                let (repeat, rest) = escaped[1..].split_once('}').unwrap();
                let (times, what) = repeat.split_once('*').unwrap();
                octets.extend_from_slice(what.repeat(times.parse().unwrap()).as_bytes());
                rest
            }
            letter => {
                octets.push(match letter {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    b'\\' => b'\\',
                    _ => panic!("no escape: {text}"),
                });
                &escaped[1..]
            }
        };
    }
    octets.extend_from_slice(rest.as_bytes());
    octets.extend_from_slice(b"\r\n");
    octets
}

/// Octets as a line of a script shows them.
pub fn escape(octets: &[u8]) -> String {
    let mut text = String::new();
    for chunk in octets.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            let mut times = 1;
            while c.is_alphanumeric() && chars.peek() == Some(&c) {
                times += 1;
                chars.next();
            }
            match c {
                '\r' => text.push_str("\\r"),
                '\n' => text.push_str("\\n"),
                '\0' => text.push_str("\\0"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                    c.encode_utf8(&mut [0; 4]).bytes().for_each(|octet| write!(text, "\\x{octet:02x}").unwrap());
                }
                c if times >= 20 => write!(text, "\\{{{times}*{c}}}").unwrap(),
                c => text.extend(std::iter::repeat_n(c, times)),
            }
        }
        chunk.invalid().iter().for_each(|octet| write!(text, "\\x{octet:02x}").unwrap());
    }
    text
}
