//! The wire between the machines, and a driver for each of them.

use bytes::Bytes;
use smtp::address::{Domain, Mailbox, ReversePath};
use smtp::client::{self, Accepted, Addressee, Form, Rejection, StartTls, Stuffer, Transaction};
use smtp::command::{BodyKind, Notify};
use smtp::reply::Reply;
use smtp::sasl::Mechanism;
use smtp::server::{self, Answer, Durable, Question};
use smtp::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_000_000);

/// A message that the client is given.
#[derive(Clone, Debug)]
pub struct Message {
    sender: ReversePath,
    pub recipients: Vec<Mailbox>,
    content: &'static [u8],
    body: BodyKind,
}

impl Message {
    pub fn new(sender: &str, recipients: &[&str], content: &'static [u8]) -> Message {
        Message {
            sender: if sender.is_empty() {
                ReversePath::Null
            } else {
                ReversePath::Mailbox(Mailbox::parse(sender).unwrap())
            },
            recipients: recipients.iter().map(|to| Mailbox::parse(to).unwrap()).collect(),
            content,
            body: BodyKind::SevenBit,
        }
    }

    pub fn eight_bit(self) -> Message {
        Message { body: BodyKind::EightBitMime, ..self }
    }

    pub fn sender(&self) -> &ReversePath {
        &self.sender
    }

    fn transaction(&self) -> Transaction {
        let to = |address: &Mailbox| Addressee {
            address: address.clone(),
            notify: Notify::On { success: true, failure: true, delay: false },
            orcpt: Some("rfc822;someone".into()),
        };
        Transaction {
            sender: self.sender.clone(),
            recipients: self.recipients.iter().map(to).collect(),
            size: self.content.len() as u64,
            body: self.body,
            utf8: false,
            ret: Some(smtp::command::Ret::Headers),
            envid: Some("Q1".into()),
            require_tls: false,
        }
    }
}

/// A message that the server has made durable.
#[derive(Debug)]
pub struct Commit {
    pub sender: ReversePath,
    pub recipients: Vec<Mailbox>,
    content: Vec<u8>,
}

impl Commit {
    /// Is it this message, octet for octet?
    pub fn is(&self, message: &Message) -> bool {
        self.content == message.content && self.recipients.iter().all(|to| message.recipients.contains(to))
    }
}

/// What the server offers of what it can.
#[derive(Copy, Clone, Debug)]
pub struct Offer {
    pub pipelining: bool,
    pub chunking: bool,
    pub dsn: bool,
    /// Nobody is served without STARTTLS and AUTH.
    pub guarded: bool,
}

/// Where the wire is cut.
#[derive(Copy, Clone, Debug)]
pub enum Cut {
    Never,
    /// Behind so many octets to the server; what it then says is lost too.
    ToServer(usize),
    /// The same, but what the server says still arrives.
    ToServerAlone(usize),
    /// Behind so many octets to the client.
    ToClient(usize),
}

/// What came of one connection.
#[derive(Default, Debug)]
pub struct Life {
    /// For each message that was begun.
    pub results: Vec<Vec<Result<Accepted, Rejection>>>,
    pub committed: Vec<Commit>,
    /// Octets that went to the server and to the client.
    pub to_server: usize,
    pub to_client: usize,
    /// The client ended with QUIT and its reply.
    pub closed_well: bool,
}

/// Octets on their way in one direction.
struct Way {
    waiting: Vec<u8>,
    /// Octets that still get through.
    left: usize,
    carried: usize,
    ended: bool,
}

impl Way {
    fn new(left: usize) -> Way {
        Way { waiting: Vec::new(), left, carried: 0, ended: false }
    }

    /// What arrives next, at most `piece` octets.
    fn carry(&mut self, piece: usize) -> Vec<u8> {
        let count = piece.min(self.waiting.len()).min(self.left);
        self.left -= count;
        self.carried += count;
        self.waiting.drain(..count).collect()
    }

    fn is_cut(&self) -> bool {
        self.left == 0 && !self.waiting.is_empty()
    }
}

struct Receipt(usize);

impl Durable for Receipt {
    fn id(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// One connection: all messages one after another, then QUIT.
pub fn live(messages: &[Message], offer: Offer, cut: Cut, piece: usize) -> Life {
    let limit = |wanted: Option<usize>| wanted.unwrap_or(usize::MAX);
    let (up, down) = match cut {
        Cut::Never => (None, None),
        Cut::ToServer(octets) | Cut::ToServerAlone(octets) => (Some(octets), None),
        Cut::ToClient(octets) => (None, Some(octets)),
    };
    let mut wire = Wire {
        client: client_session(offer.guarded),
        server: server_session(offer.guarded),
        client_waits: false,
        server_waits: false,
        up: Way::new(limit(up)),
        down: Way::new(limit(down)),
        offer,
        life: Life::default(),
        open: None,
        client_over: false,
    };
    for round in 0.. {
        assert!(round < 100_000, "the machines do not come to an end");
        let moved = wire.client_steps(messages) | wire.server_steps() | wire.shake_hands();
        let carried = wire.carry(piece);
        if wire.up.is_cut() && matches!(cut, Cut::ToServer(_)) {
            wire.down.left = 0;
        }
        // A cut, or a close, is noticed when nothing more arrives: by the server first.
        if !carried && !moved && !wire.notice_end() {
            break;
        }
    }
    wire.life.to_server = wire.up.carried;
    wire.life.to_client = wire.down.carried;
    assert!(wire.client_over, "the client has come to an end");
    wire.life
}

fn client_session(guarded: bool) -> client::Session {
    let mut settings = client::Settings::plain("relay.test", client::Protocol::Esmtp, Duration::from_secs(600));
    if guarded {
        settings.start_tls = StartTls::Required;
        settings.auth = true;
    }
    client::Session::new(Arc::new(settings), NOW)
}

fn server_session(guarded: bool) -> server::Session {
    let name = Domain::parse("mx.test").unwrap();
    let settings = server::Settings::new(name.clone(), name);
    let offer = server::Offer { starttls: guarded, tls_required: guarded, ..server::Offer::default() };
    server::Session::new(Arc::new(settings), Arc::new(offer), "127.0.0.1".parse().unwrap(), NOW)
}

struct Wire {
    client: client::Session,
    server: server::Session,
    /// For the handshake.
    client_waits: bool,
    server_waits: bool,
    up: Way,
    down: Way,
    offer: Offer,
    life: Life,
    /// The transaction that the server has open.
    open: Option<Commit>,
    client_over: bool,
}

impl Wire {
    /// Octets go both ways; `false` if there are none.
    fn carry(&mut self, piece: usize) -> bool {
        let (up, down) = (self.up.carry(piece), self.down.carry(piece));
        self.server.receive(&up);
        self.client.receive(&down);
        !(up.is_empty() && down.is_empty())
    }

    fn notice_end(&mut self) -> bool {
        if !self.up.ended && (self.up.is_cut() || self.down.is_cut() || self.client_over) {
            self.up.ended = true;
            self.server.receive_end();
            return true;
        }
        let news = self.up.ended && !self.down.ended;
        if news {
            self.down.ended = true;
            self.client.receive_end();
        }
        news
    }

    /// Carries out what the client wants; `true` if it wanted anything.
    fn client_steps(&mut self, messages: &[Message]) -> bool {
        let mut moved = false;
        while let Some(step) = self.client.next(NOW) {
            moved = true;
            match step {
                client::Step::Send(octets) => self.up.waiting.extend_from_slice(&octets),
                client::Step::Ready => match messages.get(self.life.results.len()) {
                    Some(message) => self.client.begin(message.transaction()),
                    None => self.client.quit(),
                },
                client::Step::Content(form) => {
                    let content = messages[self.life.results.len()].content;
                    self.send(form, content);
                    self.client.content_sent();
                }
                client::Step::Done(results) => self.life.results.push(results),
                client::Step::Failed(_) => self.client_over = true,
                client::Step::StartTls => self.client_waits = true,
                client::Step::Authenticate { offered } => {
                    assert!(self.client.is_secure() && offered.iter().eq([Mechanism::Login]));
                    self.client.authenticate(Mechanism::Login, None);
                }
                client::Step::Challenge(question) => self.client.respond(question),
                client::Step::Authenticated => self.client.confirm_auth(),
                client::Step::Close => {
                    self.client_over = true;
                    self.life.closed_well = !self.down.ended;
                }
            }
        }
        moved
    }

    fn send(&mut self, form: Form, content: &'static [u8]) {
        let mut stuffer = Stuffer::new();
        for chunk in content.chunks(5) {
            let chunk = Bytes::from_static(chunk);
            let chunk = if form == Form::Dotted { stuffer.chunk(chunk) } else { chunk };
            self.up.waiting.extend_from_slice(&chunk);
        }
        if form == Form::Dotted {
            self.up.waiting.extend_from_slice(&stuffer.finish());
        }
    }

    fn server_steps(&mut self) -> bool {
        let mut moved = false;
        while let Some(step) = self.server.next(NOW) {
            moved = true;
            match step {
                server::Step::Send(octets) => {
                    let octets = self.offered(&octets);
                    self.down.waiting.extend_from_slice(&octets);
                }
                server::Step::Ask(question) => self.answer(question),
                server::Step::Body(octets) => self.open.as_mut().unwrap().content.extend_from_slice(&octets),
                server::Step::Abandon => self.open = None,
                server::Step::Close(_) => self.up.ended = true,
                server::Step::StartTls => self.server_waits = true,
            }
        }
        moved
    }

    /// TLS, as far as the sessions see it: everything before it is said, and both begin anew.
    fn shake_hands(&mut self) -> bool {
        if !(self.client_waits && self.server_waits) {
            return false;
        }
        assert!(self.up.waiting.is_empty() && self.down.waiting.is_empty());
        (self.client_waits, self.server_waits) = (false, false);
        let mechanisms = vec![Mechanism::Login];
        let offer = server::Offer { secured: true, mechanisms, auth_required: true, ..server::Offer::default() };
        self.server.secured(Arc::new(offer), NOW);
        self.client.secured(NOW);
        true
    }

    /// The reply to EHLO without what is not to be offered.
    fn offered(&self, octets: &[u8]) -> Vec<u8> {
        let text = String::from_utf8(octets.to_vec()).unwrap();
        if !text.contains("-PIPELINING\r\n") {
            return octets.to_vec();
        }
        let hidden = |line: &str| {
            (!self.offer.pipelining && line.contains("PIPELINING"))
                || (!self.offer.chunking && line.contains("CHUNKING"))
                || (!self.offer.dsn && line.contains("DSN"))
        };
        text.split_inclusive("\r\n").filter(|line| !hidden(line)).collect::<String>().into_bytes()
    }

    fn answer(&mut self, question: Question) {
        let accept = match question {
            Question::Hello { .. } => Answer::Accept,
            Question::Sender(from) if from.sender.to_string().starts_with("nobody@") => {
                Answer::Refuse(Reply::new(550, 7, 1, "not you"))
            }
            Question::Sender(from) => {
                self.open = Some(Commit { sender: from.sender, recipients: Vec::new(), content: Vec::new() });
                Answer::Accept
            }
            Question::Recipient(to) if to.recipient.local() == "no" => Answer::Refuse(Reply::new(550, 1, 1, "nobody")),
            Question::Recipient(to) => {
                self.open.as_mut().unwrap().recipients.push(to.recipient);
                Answer::Accept
            }
            Question::Auth { .. } => Answer::Challenge(b"Username:".to_vec()),
            Question::AuthResponse(response) if response == b"Username:" => Answer::Challenge(b"Password:".to_vec()),
            Question::AuthResponse(response) => {
                assert_eq!(response, b"Password:");
                Answer::Accept
            }
            Question::Begin => Answer::Begun,
            Question::Commit => {
                let commit = self.open.take().unwrap();
                if memchr::memmem::find(&commit.content, b"refuse this").is_none() {
                    self.life.committed.push(commit);
                    self.server.queued(&Receipt(self.life.committed.len()));
                    return;
                }
                Answer::Refuse(Reply::new(554, 7, 1, "not this"))
            }
        };
        self.server.answer(accept);
    }
}
