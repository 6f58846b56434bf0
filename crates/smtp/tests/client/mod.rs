//! The client machine by transcripts: each file in `transcripts/` is a dialogue, readable by itself.
//!
//! ```text
//! # about what it is
//! >: esmtp | helo | lmtp [tls] [tls-required] [secure] [auth]
//!                                            how to speak (first line; esmtp if there is none)
//! S: 220 mx.test                             the server says this; each reply comes in pieces of 1, 2, 7 and 4096 octets
//! S- 250 ok                                  … together with the line that follows, as one piece
//! >: begin SENDER to RCPT RCPT [size=N] [body=8bit|binary] [utf8] [ret=full|hdrs] [envid=X] [requiretls]
//!                                            RCPT may have ;notify=… and ;orcpt=…; u{1..120}@x.test stands for many
//! S: {50} 250 ok                             … so many times; within a line \{50*x} stands for many x
//! >: sent | failed TEXT | quit | end | +10s  what the driver does, or that the peer closes, or that time passes
//! >: secured | tls-failed TEXT | auth METHOD [TEXT] | no-auth TEXT | respond TEXT | cancel TEXT | confirm
//!                                            the same, of TLS and AUTH
//! C: EHLO relay.test                         the machine sends; `C+` is a further line of the same Send
//! =: ready | content … | done … | failed …   what else it wants
//! =: waits 300s                              the deadline is in so many seconds, when that has changed
//! ```
//!
//! `BLESS=1 cargo test -p smtp` writes what the machine does into the files, to be looked at in the diff.

mod anything;

use smtp::address::{Mailbox, ReversePath};
use smtp::client::{Addressee, Form, Protocol, Session, Settings, StartTls, Step, Transaction, Why};
use smtp::command::{BodyKind, Notify, Ret};
use smtp::sasl::Mechanism;
use smtp::time::Timestamp;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn the_machine_speaks_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client/transcripts");
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 10);
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        for piece in [4096, 1, 2, 7] {
            let played = play(&text, piece);
            if bless && piece == 4096 {
                std::fs::write(&path, &played).unwrap();
            } else if played != text && !bless {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                wrong.push(format!("{name} in pieces of {piece}:\n{}", difference(&text, &played)));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first lines that differ.
fn difference(expected: &str, played: &str) -> String {
    let mut lines = expected.lines().zip(played.lines()).enumerate();
    match lines.find(|(_, (a, b))| a != b) {
        Some((i, (a, b))) => format!("  line {}\n    expected {a}\n    played   {b}", i + 1),
        None => "  one is longer".to_owned(),
    }
}

struct Player {
    session: Session,
    now: Timestamp,
    out: String,
    waits: Duration,
}

/// The transcript as the machine plays it: its inputs as they stand, its outputs as they are.
fn play(text: &str, piece: usize) -> String {
    let settings = settings(text.lines().find_map(|line| line.strip_prefix(">: ")).unwrap_or_default());
    let now = Timestamp(1_000_000);
    let mut player =
        Player { session: Session::new(Arc::new(settings), now), now, out: String::new(), waits: Duration::ZERO };
    let mut wire = String::new();
    let mut whole = false;
    for line in text.lines() {
        if ["C: ", "C+ ", "=: "].iter().any(|mark| line.starts_with(mark)) {
            continue;
        }
        player.out.push_str(line);
        player.out.push('\n');
        let said = line.strip_prefix("S: ").or_else(|| line.strip_prefix("S- "));
        if let Some(said) = said {
            let (times, said) = match said.strip_prefix('{').and_then(|said| said.split_once("} ")) {
                Some((times, said)) => (times.parse().unwrap(), said),
                None => (1, said),
            };
            let said = unescaped(said);
            (0..times).for_each(|_| wire.push_str(&format!("{said}\r\n")));
            let more = said.as_bytes().get(3) == Some(&b'-') && said.as_bytes()[0].is_ascii_digit();
            whole |= line.starts_with("S-");
            if line.starts_with("S: ") && !more {
                player.feed(wire.as_bytes(), if std::mem::take(&mut whole) { 4096 } else { piece });
                wire.clear();
            }
        } else if let Some(action) = line.strip_prefix(">: ") {
            player.act(action);
        }
    }
    player.out
}

fn settings(words: &str) -> Settings {
    let mut settings = Settings::plain("relay.test", Protocol::Esmtp, Duration::from_secs(600));
    for word in words.split(' ') {
        match word {
            "helo" => settings.protocol = Protocol::Helo,
            "lmtp" => settings.protocol = Protocol::Lmtp,
            "tls" => settings.start_tls = StartTls::WhenOffered,
            "tls-required" => settings.start_tls = StartTls::Required,
            "secure" => settings.secure = true,
            "auth" => settings.auth = true,
            _ => {}
        }
    }
    settings
}

fn unescaped(text: &str) -> String {
    if let Some((before, rest)) = text.split_once("\\{") {
        let (repeat, after) = rest.split_once('}').unwrap();
        let (times, what) = repeat.split_once('*').unwrap();
        return format!("{}{}{}", unescaped(before), what.repeat(times.parse().unwrap()), unescaped(after));
    }
    text.replace("\\0", "\0").replace("\\e", "\u{1b}").replace("\\r", "\r").replace("\\n", "\n")
}

impl Player {
    fn feed(&mut self, octets: &[u8], piece: usize) {
        for piece in octets.chunks(piece) {
            self.session.receive(piece);
            self.steps();
        }
        self.wait();
    }

    fn act(&mut self, action: &str) {
        let (verb, rest) = action.split_once(' ').unwrap_or((action, ""));
        match verb {
            "esmtp" | "helo" | "lmtp" => {}
            "begin" => self.session.begin(transaction(rest)),
            "sent" => self.session.content_sent(),
            "failed" => self.session.content_failed(rest),
            "quit" => self.session.quit(),
            "end" => self.session.receive_end(),
            "secured" => self.session.secured(self.now),
            "tls-failed" => self.session.tls_failed(rest),
            "auth" => {
                let (method, initial) =
                    rest.split_once(' ').map_or((rest, None), |(method, text)| (method, Some(text)));
                let initial = initial.map(|text| unescaped(text).into_bytes());
                self.session.authenticate(Mechanism::parse(method).unwrap(), initial);
            }
            "no-auth" => self.session.no_auth(rest),
            "respond" => self.session.respond(unescaped(rest).into_bytes()),
            "cancel" => self.session.cancel_auth(rest),
            "confirm" => self.session.confirm_auth(),
            "half" => self.session.receive(unescaped(rest).as_bytes()),
            _ => {
                let seconds: i64 = verb.strip_prefix('+').unwrap().strip_suffix('s').unwrap().parse().unwrap();
                self.now = Timestamp(self.now.0 + seconds * 1_000);
            }
        }
        self.steps();
        self.wait();
    }

    fn steps(&mut self) {
        while let Some(step) = self.session.next(self.now) {
            let out = &mut self.out;
            match step {
                Step::Send(octets) => {
                    let lines: Vec<_> = std::str::from_utf8(&octets).unwrap().split_terminator("\r\n").collect();
                    for (i, line) in lines.iter().enumerate() {
                        let _ = match i {
                            0 if line.len() > 200 => writeln!(out, "C: {}... {} octets", &line[..20], line.len()),
                            0 => writeln!(out, "C: {line}"),
                            8.. if i + 3 < lines.len() && i > 8 => Ok(()),
                            8 if i + 3 < lines.len() => writeln!(out, "C+ ... {} lines ...", lines.len() - 11),
                            _ => writeln!(out, "C+ {line}"),
                        };
                    }
                    assert!(octets.ends_with(b"\r\n"));
                }
                Step::StartTls => out.push_str("=: start TLS\n"),
                Step::Authenticate { offered } => {
                    let _ = writeln!(out, "=: authenticate by {offered}");
                }
                Step::Challenge(octets) if octets.len() > 200 => {
                    let _ = writeln!(out, "=: challenge of {} octets", octets.len());
                }
                Step::Challenge(octets) => {
                    let _ = writeln!(out, "=: challenge \"{}\"", octets.escape_ascii());
                }
                Step::Authenticated => out.push_str("=: authenticated\n"),
                Step::Ready => out.push_str("=: ready\n"),
                Step::Content(Form::Dotted) => out.push_str("=: content, dotted\n"),
                Step::Content(Form::Chunk) => out.push_str("=: content, as a chunk\n"),
                Step::Done(results) => {
                    let results: Vec<_> = results
                        .iter()
                        .map(|result| match result {
                            Ok(ok) => format!("taken: {}{}", ok.reply, if ok.reports { " (reports)" } else { "" }),
                            Err(no) => {
                                let why = match &no.why {
                                    Why::Said(reply) => reply.to_string(),
                                    Why::Lost(trouble) => format!("lost, {:?}", trouble.kind),
                                    Why::Unfit { status, text } => format!("unfit {status} {text}"),
                                };
                                let many = if no.too_many { " (too many)" } else { "" };
                                format!("refused at {:?}: {why}{many}", no.stage)
                            }
                        })
                        .collect();
                    out.push_str("=: done\n");
                    let mut at = 0;
                    while let Some(result) = results.get(at) {
                        let same = results[at..].iter().take_while(|other| *other == result).count();
                        let _ = match same {
                            1 => writeln!(out, "=:   {result}"),
                            _ => writeln!(out, "=:   {same} times {result}"),
                        };
                        at += same;
                    }
                }
                Step::Failed(trouble) => {
                    let _ = writeln!(out, "=: failed, {:?} at {:?}: {trouble}", trouble.kind, trouble.stage);
                }
                Step::Close => out.push_str("=: close\n"),
            }
        }
    }

    fn wait(&mut self) {
        let left = match self.session.deadline() {
            Timestamp::NEVER => Duration::MAX,
            deadline => deadline.since(self.now),
        };
        if std::mem::replace(&mut self.waits, left) == left {
            return;
        }
        let _ = match left {
            Duration::MAX => writeln!(self.out, "=: waits for ever"),
            left => writeln!(self.out, "=: waits {}s", left.as_secs()),
        };
    }
}

fn transaction(text: &str) -> Transaction {
    let mut words = text.split_whitespace();
    let sender = match words.next().unwrap() {
        "<>" => ReversePath::Null,
        sender => ReversePath::Mailbox(Mailbox::parse(sender).unwrap()),
    };
    assert_eq!(words.next(), Some("to"));
    let mut made = Transaction {
        sender,
        recipients: Vec::new(),
        size: 100,
        body: BodyKind::SevenBit,
        utf8: false,
        ret: None,
        envid: None,
        require_tls: false,
    };
    for word in words {
        match word.split_once('=') {
            Some(("size", octets)) => made.size = octets.parse().unwrap(),
            Some(("body", "8bit")) => made.body = BodyKind::EightBitMime,
            Some(("body", "binary")) => made.body = BodyKind::BinaryMime,
            Some(("ret", "full")) => made.ret = Some(Ret::Full),
            Some(("ret", "hdrs")) => made.ret = Some(Ret::Headers),
            Some(("envid", envid)) => made.envid = Some(envid.into()),
            None if word == "utf8" => made.utf8 = true,
            None if word == "requiretls" => made.require_tls = true,
            _ => addressees(word, &mut made.recipients),
        }
    }
    made
}

fn addressees(word: &str, recipients: &mut Vec<Addressee>) {
    let mut parameters = word.split(";");
    let address = parameters.next().unwrap();
    let mut notify = Notify::Default;
    let mut orcpt = None;
    for parameter in parameters {
        match parameter.split_once('=').unwrap() {
            ("notify", "never") => notify = Notify::Never,
            ("notify", words) => {
                let has = |word| words.split(',').any(|w| w == word);
                notify = Notify::On { success: has("success"), failure: has("failure"), delay: has("delay") };
            }
            ("orcpt", address) => orcpt = Some(format!("rfc822;{address}").into()),
            other => panic!("{other:?}"),
        }
    }
    let mut add = |address: &str| {
        let address = Mailbox::parse(address).unwrap();
        recipients.push(Addressee { address, notify, orcpt: orcpt.clone() });
    };
    match address.split_once("{1..") {
        Some((before, rest)) => {
            let (count, after) = rest.split_once('}').unwrap();
            (1..=count.parse::<u32>().unwrap()).for_each(|i| add(&format!("{before}{i}{after}")));
        }
        None => add(address),
    }
}
