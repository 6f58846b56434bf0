//! A scripted next hop: takes mail, refuses it, stalls, cuts or lies at any step, and remembers what it took.
//!
//! Its script may be changed while it runs; a connection looks at it at each step.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The steps at which a script can do something else.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum At {
    Banner,
    Hello,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    End,
    Rset,
    Quit,
}

/// What it does instead of answering well.
#[derive(Clone, Debug)]
pub enum Mood {
    /// Says this (CRLF is added).
    Say(String),
    /// Closes the connection.
    Cut,
    /// Says this, and closes the connection.
    SayAndCut(String),
    /// Answers well, and closes the connection.
    AnswerAndCut,
    /// Says nothing more, and keeps the connection open.
    Stall,
    /// Takes the message but closes before the reply is sent.
    TakeAndCut,
    /// Waits before the good answer.
    Wait(Duration),
}

/// How it answers.
#[derive(Clone, Default)]
pub struct Script {
    /// EHLO keywords.
    pub offers: Vec<String>,
    /// At these steps it does something else; for `Rcpt` only if the command contains the text.
    pub moods: Vec<(At, String, Mood)>,
    /// Speaks LMTP: one reply for each recipient after the message.
    pub lmtp: bool,
    /// Offers STARTTLS, and shakes hands so.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Script {
    pub fn offering(offers: &[&str]) -> Script {
        Script { offers: offers.iter().map(|o| (*o).to_owned()).collect(), ..Script::default() }
    }

    pub fn at(mut self, at: At, mood: Mood) -> Script {
        self.moods.push((at, String::new(), mood));
        self
    }

    pub fn tls(mut self, tls: Arc<ServerConfig>) -> Script {
        self.tls = Some(tls);
        self
    }

    /// At commands that contain this text.
    pub fn when(mut self, at: At, text: &str, mood: Mood) -> Script {
        self.moods.push((at, text.to_owned(), mood));
        self
    }

    fn mood(&self, at: At, command: &str) -> Option<Mood> {
        self.moods.iter().find(|(step, text, _)| *step == at && command.contains(text.as_str())).map(|m| m.2.clone())
    }
}

/// A message that it took.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What stood after `MAIL FROM:`.
    pub mail: String,
    /// What stood after `RCPT TO:`, of those it answered well.
    pub rcpt: Vec<String>,
    /// The content, dots unstuffed.
    pub content: Vec<u8>,
    /// On which connection, counted from 1.
    pub connection: usize,
    /// It came under TLS; the name that was asked for in the handshake (SNI), or nothing.
    pub tls: Option<String>,
}

impl Taken {
    pub fn subject(&self) -> String {
        super::mail::values(&self.content, "Subject").pop().unwrap_or_default()
    }
}

#[derive(Default)]
struct Shared {
    script: Mutex<Script>,
    taken: Mutex<Vec<Taken>>,
    commands: Mutex<Vec<String>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    stalls: AtomicUsize,
    over: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

/// The peer; it stops when dropped.
pub struct Peer {
    pub at: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    pub fn start(at: SocketAddr, script: Script) -> Peer {
        let listener = TcpListener::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"));
        let at = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { script: Mutex::new(script), ..Shared::default() });
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own.over.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                own.streams.lock().unwrap().extend(stream.try_clone());
                // Others keep it open.
                let Ok(end) = stream.try_clone() else { continue };
                let shared = Arc::clone(&own);
                let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
                shared.most_open.fetch_max(open, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let _ = Dialogue::new(&shared, stream, number).and_then(|mut dialogue| dialogue.run());
                    let _ = end.shutdown(Shutdown::Both);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Peer { at, shared, thread: Some(thread) }
    }

    /// From now on it answers so.
    pub fn play(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }

    pub fn taken_count(&self) -> usize {
        self.shared.taken.lock().unwrap().len()
    }

    /// Every command line it was given.
    pub fn commands(&self) -> Vec<String> {
        self.shared.commands.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How often it has begun to say nothing more ([`Mood::Stall`]).
    pub fn stalls(&self) -> usize {
        self.shared.stalls.load(Ordering::SeqCst)
    }

    /// The most connections that were open at one time.
    pub fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::SeqCst)
    }

    /// Waits for a message whose subject contains this.
    pub fn wait_for(&self, subject: &str) -> Taken {
        super::until(super::SOON, &format!("a message with {subject:?} in its subject comes to {}", self.at), || {
            self.taken().into_iter().find(|taken| taken.subject().contains(subject))
        })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the listener, and ends the connections that others keep open.
        let _ = TcpStream::connect(self.at);
        for stream in self.shared.streams.lock().unwrap().iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// In the clear or under TLS.
enum Wire {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Read for Wire {
    fn read(&mut self, octets: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Wire::Clear(stream) => stream.read(octets),
            Wire::Tls(stream) => stream.read(octets),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        match self {
            Wire::Clear(stream) => stream.write(octets),
            Wire::Tls(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Wire::Clear(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

/// One connection.
struct Dialogue<'a> {
    shared: &'a Shared,
    reader: BufReader<Wire>,
    number: usize,
    mail: String,
    rcpt: Vec<String>,
    content: Vec<u8>,
}

/// Go on with the connection, or end it.
type Flow = std::io::Result<bool>;

impl<'a> Dialogue<'a> {
    fn new(shared: &'a Shared, stream: TcpStream, number: usize) -> std::io::Result<Dialogue<'a>> {
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        stream.set_nodelay(true)?;
        let reader = BufReader::new(Wire::Clear(stream));
        Ok(Dialogue { shared, reader, number, mail: String::new(), rcpt: Vec::new(), content: Vec::new() })
    }

    fn run(&mut self) -> std::io::Result<()> {
        if !self.answer(At::Banner, "", "220 peer.test ESMTP")? {
            return Ok(());
        }
        loop {
            let mut line = Vec::new();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.shared.commands.lock().unwrap().push(line.clone());
            if !self.command(&line)? {
                return Ok(());
            }
        }
    }

    fn command(&mut self, line: &str) -> Flow {
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "LHLO" => {
                let (offers, tls) = {
                    let script = self.shared.script.lock().unwrap();
                    (script.offers.clone(), script.tls.is_some())
                };
                let mut lines = vec!["peer.test".to_owned()];
                lines.extend(offers);
                if tls && matches!(self.reader.get_ref(), Wire::Clear(_)) {
                    lines.push("STARTTLS".to_owned());
                }
                let last = lines.len() - 1;
                let reply: Vec<String> = lines
                    .iter()
                    .enumerate()
                    .map(|(i, text)| format!("250{}{text}", if i == last { ' ' } else { '-' }))
                    .collect();
                self.answer(At::Hello, line, &reply.join("\r\n"))
            }
            "STARTTLS" if self.mood(At::StartTls, line).is_some() => {
                self.answer(At::StartTls, line, "220 2.0.0 go ahead")
            }
            "STARTTLS" => self.start_tls(),
            // Whoever it is.
            "AUTH" => self.answer(At::Auth, line, "235 2.7.0 welcome"),
            "HELO" => self.answer(At::Hello, line, "250 peer.test"),
            "MAIL" => {
                line.split_once(':').map_or("", |(_, rest)| rest).clone_into(&mut self.mail);
                self.rcpt.clear();
                self.content.clear();
                self.answer(At::Mail, line, "250 2.1.0 ok")
            }
            "RCPT" => {
                let path = line.split_once(':').map_or("", |(_, rest)| rest).to_owned();
                if self.mood(At::Rcpt, line).is_none() {
                    self.rcpt.push(path);
                }
                self.answer(At::Rcpt, line, "250 2.1.5 ok")
            }
            "DATA" if self.rcpt.is_empty() => self.answer(At::Data, line, "554 5.5.1 no valid recipients"),
            "DATA" => {
                if self.mood(At::Data, line).is_some() {
                    return self.answer(At::Data, line, "");
                }
                self.say("354 go on")?;
                self.dotted()?;
                self.end()
            }
            "BDAT" => {
                let mut words = line.split(' ').skip(1);
                let size: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
                let mut chunk = vec![0; size];
                self.reader.read_exact(&mut chunk)?;
                self.content.extend_from_slice(&chunk);
                if self.rcpt.is_empty() {
                    return self.answer(At::Data, line, "554 5.5.1 no valid recipients");
                }
                if words.next().is_some() { self.end() } else { self.answer(At::Data, line, "250 2.0.0 chunk") }
            }
            "RSET" => self.answer(At::Rset, line, "250 2.0.0 ok"),
            "QUIT" => {
                self.answer(At::Quit, line, "221 2.0.0 bye")?;
                Ok(false)
            }
            _ => {
                self.say("500 5.5.2 what?")?;
                Ok(true)
            }
        }
    }

    fn start_tls(&mut self) -> Flow {
        let tls = self.shared.script.lock().unwrap().tls.clone();
        let (Some(tls), Wire::Clear(stream)) = (tls, self.reader.get_ref()) else {
            self.say("502 5.5.1 no")?;
            return Ok(true);
        };
        let stream = stream.try_clone()?;
        self.say("220 2.0.0 go ahead")?;
        let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        self.reader = BufReader::new(Wire::Tls(Box::new(stream)));
        Ok(true)
    }

    /// Reads up to the lone dot.
    fn dotted(&mut self) -> std::io::Result<()> {
        loop {
            let mut line = Vec::new();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line == b".\r\n" {
                return Ok(());
            }
            self.content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    fn end(&mut self) -> Flow {
        let mood = self.mood(At::End, "");
        if matches!(mood, None | Some(Mood::TakeAndCut | Mood::AnswerAndCut | Mood::Wait(_))) {
            let taken = Taken {
                mail: self.mail.clone(),
                rcpt: self.rcpt.clone(),
                content: std::mem::take(&mut self.content),
                connection: self.number,
                tls: match self.reader.get_ref() {
                    Wire::Clear(_) => None,
                    Wire::Tls(stream) => Some(stream.conn.server_name().unwrap_or_default().to_owned()),
                },
            };
            self.shared.taken.lock().unwrap().push(taken);
        }
        let lmtp = self.shared.script.lock().unwrap().lmtp;
        let replies = if lmtp { self.rcpt.len() } else { 1 };
        for _ in 1..replies {
            self.say("250 2.0.0 taken")?;
        }
        self.answer(At::End, "", "250 2.0.0 taken")
    }

    fn mood(&self, at: At, command: &str) -> Option<Mood> {
        self.shared.script.lock().unwrap().mood(at, command)
    }

    fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.reader.get_mut().write_all(format!("{text}\r\n").as_bytes())?;
        self.reader.get_mut().flush()
    }

    /// Answers well, or as the script wants it.
    fn answer(&mut self, at: At, command: &str, well: &str) -> Flow {
        match self.mood(at, command) {
            None => self.say(well).map(|()| true),
            Some(Mood::Say(text)) => self.say(&text).map(|()| true),
            Some(Mood::Cut | Mood::TakeAndCut) => Ok(false),
            Some(Mood::SayAndCut(text)) => self.say(&text).map(|()| false),
            Some(Mood::AnswerAndCut) => self.say(well).map(|()| false),
            Some(Mood::Wait(time)) => {
                std::thread::sleep(time);
                self.say(well).map(|()| true)
            }
            Some(Mood::Stall) => {
                // Until the other side gives up, or the test is over.
                self.shared.stalls.fetch_add(1, Ordering::SeqCst);
                let mut octets = [0; 512];
                loop {
                    let read = self.reader.read(&mut octets)?;
                    if read == 0 || self.shared.over.load(Ordering::SeqCst) {
                        return Ok(false);
                    }
                }
            }
        }
    }
}
