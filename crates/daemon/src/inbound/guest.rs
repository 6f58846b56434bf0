//! The client of one session: who it is, and the message that it is handing in.
//!
//! Answers the machine's questions with the [`Desk`]'s words, gathers sender, recipients and content, and hands the
//! whole over to the store. The trace line goes in first, so that it is part of what is made durable; the header's
//! trace lines are counted before, so that a message that goes round in circles is not taken again.
//!
//! RFC 5321 §4.4 (trace), §6.3 (loops), §4.2.5 (who is responsible for a message).

use super::Caller;
use super::refusals::Refusals;
use crate::auth::{self, ChannelFacts, Exchange};
use crate::desk::{Desk, Refusal, Turn};
use crate::sessions::{Live, Phase};
use crate::store::Incoming;
use crate::tls::TlsFacts;
use bytes::Bytes;
use relay::account;
use relay::config::Listener;
use relay::envelope::{Envelope, Fate, Origin, QueueId, Recipient};
use relay::gate::{self, CertificateIdentity, Client, Identity, PeerName, TlsIdentity};
use relay::record::{Level, Record};
use relay::spool::Receipt;
use relay::subject::subject;
use smtp::command::{MailFrom, RcptTo};
use smtp::header::{self, ReceivedBy, With};
use smtp::reply::Reply;
use smtp::server::{Answer, Offer, Question, Session};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Guest {
    desk: Arc<Desk>,
    caller: Caller,
    /// Its name in DNS, if somebody wanted to know.
    name: Option<Box<PeerName>>,
    /// Its place among the counted connections.
    turn: Option<Turn>,
    /// Its TLS channel.
    tls: Option<Arc<TlsFacts>>,
    /// An AUTH command that is not answered yet.
    exchange: Option<Box<Exchange>>,
    /// Who it has proved to be.
    identity: Option<Box<Identity>>,
    /// What it calls itself.
    helo: Box<str>,
    /// It said EHLO.
    esmtp: bool,
    /// From MAIL until the message is queued, refused or forgotten.
    message: Option<Box<Message>>,
    refusals: Refusals,
    /// What operators see of it.
    live: Arc<Live>,
}

/// A message that is being handed in.
struct Message {
    mail: MailFrom,
    recipients: Vec<Recipient>,
    /// From DATA on.
    arriving: Option<(QueueId, Incoming)>,
    /// The content could not be kept; to be said when it has been received.
    failed: Option<Reply>,
}

impl Guest {
    pub(super) fn new(caller: Caller, turn: Option<Turn>, desk: Arc<Desk>, live: Arc<Live>) -> Guest {
        Guest {
            desk,
            caller,
            name: None,
            turn,
            tls: None,
            exchange: None,
            identity: None,
            helo: Box::default(),
            esmtp: false,
            message: None,
            refusals: Refusals::default(),
            live,
        }
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) fn peer(&self) -> IpAddr {
        self.caller.address.ip()
    }

    pub(super) fn listener(&self) -> Listener {
        self.desk.listener(self.caller.door)
    }

    /// Its name in DNS, or why there is none.
    pub(super) fn set_name(&mut self, name: PeerName) {
        self.name = Some(Box::new(name));
    }

    /// What is known of it by now, for the gate.
    fn client(&self) -> Client<'_> {
        let tls = self.tls.as_ref().map(|facts| TlsIdentity {
            certificate: facts.client_certificate.as_ref().map(|shown| CertificateIdentity {
                sha256: &shown.sha256,
                names: &shown.names,
                subject: &shown.subject,
            }),
            exporter: facts.exporter.is_some(),
        });
        Client {
            address: self.peer(),
            listener: self.listener(),
            name: self.name.as_deref().unwrap_or(&PeerName::NotAsked),
            tls,
            identity: self.identity.as_deref(),
            helo: Some(&*self.helo).filter(|helo| !helo.is_empty()),
        }
    }

    /// What it is offered now.
    pub(super) fn offer(&self) -> Arc<Offer> {
        self.desk.offer(&self.client())
    }

    /// Its session, at the point of our greeting.
    pub(super) fn session(&self) -> Session {
        let (settings, offer) = (Arc::clone(self.desk.settings()), self.offer());
        let now = self.desk.clock().now();
        if settings.greeting_delay > Duration::ZERO && !gate::may_relay(self.desk.server(), &self.client()) {
            return Session::delayed(settings, offer, self.peer(), now);
        }
        Session::new(settings, offer, self.peer(), now)
    }

    /// Judges a client whose name is known now.
    pub(super) fn take_turn(&mut self) -> Result<(), Reply> {
        match self.desk.connect(&self.client()) {
            Ok(turn) => {
                self.turn = turn;
                Ok(())
            }
            Err(refusal) => Err(self.refuse("connect", refusal)),
        }
    }

    /// What goes on, for operators.
    pub(super) fn set_phase(&self, phase: Phase) {
        self.live.set_phase(phase);
    }

    /// TLS is on: what was known before is forgotten (RFC 3207 §4.2).
    pub(super) fn secured(&mut self, facts: Arc<TlsFacts>) {
        self.live.set_tls(facts.version.name(), facts.cipher);
        self.live.set_user("");
        self.tls = Some(facts);
        self.exchange = None;
        self.identity = None;
        self.helo = Box::default();
        self.esmtp = false;
    }

    /// Answers what proves who the client is.
    pub(super) async fn prove(&mut self, question: Question) -> Answer {
        let response = match question {
            Question::Auth { mechanism, initial } => {
                let Some(authenticator) = self.desk.authenticator() else { return Answer::Refuse(out_of_order()) };
                let channel = ChannelFacts { tls: self.tls.clone() };
                let offered = &self.offer().mechanisms;
                self.exchange = Some(Box::new(authenticator.begin(mechanism, offered, self.peer(), &channel)));
                initial
            }
            Question::AuthResponse(response) => Some(response),
            _ => return Answer::Refuse(out_of_order()),
        };
        let Some(mut exchange) = self.exchange.take() else { return Answer::Refuse(out_of_order()) };
        match exchange.step(response).await {
            auth::Verdict::Challenge(challenge) => {
                self.exchange = Some(exchange);
                Answer::Challenge(challenge)
            }
            auth::Verdict::Accepted(identity) => {
                self.live.set_user(identity.account.clone());
                self.identity = Some(Box::new(identity));
                Answer::Accept
            }
            auth::Verdict::Refused(reply) => {
                self.refusals.announce("AUTH", &reply);
                Answer::Refuse(reply)
            }
        }
    }

    /// What is said to a refused command, once the log knows of it.
    fn refuse(&mut self, command: impl Into<Box<str>>, refusal: Refusal) -> Reply {
        self.refusals.announce_by(command, &refusal.reply, refusal.by);
        refusal.reply
    }

    /// Notes refusals that nobody is told of.
    pub(super) fn note_refusal_unsent(&mut self) {
        for refused in self.refusals.unsent(self.peer()) {
            self.desk.log().write(&refused);
        }
    }

    /// How many messages were queued.
    pub(super) fn messages(&self) -> u64 {
        self.live.messages()
    }

    /// Answers what needs no waiting: who the client is, and its addresses.
    pub(super) fn answer(&mut self, question: Question) -> Answer {
        let verdict = match question {
            Question::Hello { host, esmtp } => {
                if self.identity.is_none() {
                    self.live.set_user(format!("[{host}]"));
                }
                self.helo = host;
                self.esmtp = esmtp;
                Ok(())
            }
            Question::Sender(mail) => self.sender(mail),
            Question::Recipient(rcpt) => self.recipient(rcpt),
            Question::Auth { .. } | Question::AuthResponse(_) | Question::Begin | Question::Commit => {
                Err(out_of_order())
            }
        };
        verdict.map_or_else(Answer::Refuse, |()| Answer::Accept)
    }

    /// Answers [`Question::Begin`]: makes room for a message and writes its trace line.
    pub(super) async fn begin(&mut self) -> Answer {
        match self.open_message().await {
            Ok(()) => Answer::Begun,
            Err(reply) => {
                self.refusals.announce("DATA", &reply);
                Answer::Refuse(reply)
            }
        }
    }

    /// Answers [`Question::Commit`]: the receipt of the message, once it is durable.
    pub(super) async fn commit(&mut self) -> Result<Receipt, Answer> {
        let committed = self.hand_over().await;
        if let Err(reply) = &committed {
            self.refusals.announce("DATA", reply);
        }
        committed.map_err(Answer::Refuse)
    }

    /// Keeps a piece of the content. Trouble is told when the whole has been received: not before may we speak.
    pub(super) async fn keep(&mut self, chunk: Bytes) {
        let Some(message) = &mut self.message else { return };
        let Some((_, incoming)) = &mut message.arriving else { return };
        if let Err(reply) = incoming.append(chunk).await {
            message.failed = Some(reply);
            message.arriving = None;
        }
    }

    /// Forgets the message that was being handed in.
    pub(super) fn forget_message(&mut self) {
        let Some(message) = self.message.take() else { return };
        if let Some((id, incoming)) = &message.arriving
            && self.desk.log().wants(Level::Info)
        {
            self.desk.log().write(&Record::Abandoned {
                id: *id,
                from: message.mail.sender.clone(),
                size: incoming.len(),
                recipients: message.recipients.len(),
                peer: self.peer(),
            });
        }
    }

    /// Notes each refusal in what is being sent.
    pub(super) fn note_refusals(&mut self, replies: &[u8]) {
        let otherwise = if self.message.is_some() { "message" } else { "session" };
        for refused in self.refusals.sent(replies, self.peer(), otherwise) {
            self.desk.log().write(&refused);
        }
    }

    fn sender(&mut self, mail: MailFrom) -> Result<(), Reply> {
        if let Err(refusal) = self.desk.sender(&self.client(), &mail) {
            return Err(self.refuse(format!("MAIL FROM:<{}>", mail.sender), refusal));
        }
        self.message = Some(Box::new(Message { mail, recipients: Vec::new(), arriving: None, failed: None }));
        Ok(())
    }

    fn recipient(&mut self, rcpt: RcptTo) -> Result<(), Reply> {
        if let Err(refusal) = self.desk.recipient(&self.client(), &rcpt) {
            return Err(self.refuse(format!("RCPT TO:<{}>", rcpt.recipient), refusal));
        }
        let Some(message) = &mut self.message else { return Err(out_of_order()) };
        message.recipients.push(Recipient {
            address: rcpt.recipient,
            orcpt: rcpt.orcpt,
            notify: rcpt.notify,
            fate: Fate::Pending { tries: 0, due: self.desk.clock().now() },
            delay_noticed: false,
        });
        Ok(())
    }

    /// An account that was disabled or removed meanwhile hands in nothing more.
    async fn ask_the_roll_again(&mut self) -> Result<(), Reply> {
        let (Some(identity), Some(authenticator)) = (&self.identity, self.desk.authenticator()) else { return Ok(()) };
        if authenticator.still_knows(identity).await {
            return Ok(());
        }
        self.identity = None;
        let reply = account::Refusal::Disabled.reply();
        self.refusals.announce("DATA", &reply);
        Err(reply)
    }

    async fn open_message(&mut self) -> Result<(), Reply> {
        self.ask_the_roll_again().await?;
        let Some(message) = &mut self.message else { return Err(out_of_order()) };
        let id = self.desk.begin()?;
        let mut incoming = self.desk.store().incoming(id);
        let trace = header::received(&ReceivedBy {
            helo: &self.helo,
            peer: self.caller.address.ip(),
            note: name_note(&self.desk, self.name.as_deref(), &self.helo),
            fqdn: &self.desk.settings().fqdn,
            with: With {
                esmtp: self.esmtp,
                utf8: message.mail.utf8,
                tls: self.tls.is_some(),
                auth: self.identity.is_some(),
            },
            tls: self.tls.as_ref().map(|facts| (facts.version.name(), facts.cipher)),
            id: &id,
            now: self.desk.clock().now(),
        });
        incoming.append(trace.into()).await?;
        message.arriving = Some((id, incoming));
        Ok(())
    }

    async fn hand_over(&mut self) -> Result<Receipt, Reply> {
        let message = *self.message.take().ok_or_else(out_of_order)?;
        if let Some(reply) = message.failed {
            return Err(reply);
        }
        let (id, incoming) = message.arriving.ok_or_else(out_of_order)?;
        let head = header::scan(incoming.head());
        self.check_hops(head.count_hops())?;
        // A second field may stand behind what was looked at, and then nothing was said.
        let waives_tls = head.is_complete() && head.waives_tls();
        let envelope = Envelope {
            sender: message.mail.sender,
            arrived: self.desk.clock().now(),
            origin: Origin::Smtp {
                peer: self.peer(),
                helo: self.helo.clone(),
                account: self.identity.as_ref().map(|identity| identity.account.clone()),
            },
            size: incoming.len(),
            body: message.mail.body,
            utf8: message.mail.utf8,
            ret: message.mail.ret,
            envid: message.mail.envid,
            require_tls: message.mail.require_tls,
            waives_tls,
            recipients: message.recipients,
            attempts: Vec::new(),
            released: None,
            subject: subject(&head),
        };
        let wanted = self.desk.log().wants(Level::Info);
        let record = if wanted { Record::accepted(id, &envelope) } else { None };
        let size = incoming.len();
        let receipt = self.desk.store().commit(incoming, envelope).await?;
        self.live.count(size);
        if let Some(record) = record {
            self.desk.log().write(&record);
        }
        Ok(receipt)
    }

    /// Our own trace line is not counted.
    fn check_hops(&self, fields: usize) -> Result<(), Reply> {
        let hops = fields.saturating_sub(1);
        let most = self.desk.server().delivery.hop_count_max as usize;
        if hops > most {
            let text = format!(
                "Too many hops: {hops} Received fields, at most {most} are allowed; this message probably goes round in circles"
            );
            return Err(Reply::new(554, 4, 6, text));
        }
        Ok(())
    }
}

/// What reverse DNS has to say against the client, in the words of the old service: nothing if its name is the one that it
/// calls itself by.
fn name_note(desk: &Desk, name: Option<&PeerName>, helo: &str) -> &'static str {
    match name {
        _ if !desk.server().access.reverse_dns => "",
        None | Some(PeerName::NotAsked) => "",
        Some(PeerName::Confirmed(name)) if name.as_str().eq_ignore_ascii_case(helo.trim_end_matches('.')) => "",
        Some(PeerName::Confirmed(_) | PeerName::Unconfirmed) => "unverified",
        Some(PeerName::None | PeerName::Unanswered) => "RDNS failed",
    }
}

/// The machine asks in order; if it ever did not, no message would be lost by this.
fn out_of_order() -> Reply {
    Reply::new(451, 3, 0, "The message could not be taken, try again later")
}
