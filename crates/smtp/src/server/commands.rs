//! What each command does to a session: its order, its limits, its question or its reply.
//!
//! Order is checked before anything is asked. DATA must be the last of a batch: what was sent before its 354 may be
//! content or commands, and guessing is how one server's message becomes another's commands (RFC 2920 §3.1).

use super::content::Chunk;
use super::offer::AUTH_LINE_MAX;
use super::settings::{LINE_MAX, SWALLOW_MAX};
use super::{Asked, Closing, Phase, Progress, Question, Session, Transaction, replies};
use crate::command::{BodyKind, Command, CommandError, MailFrom, RcptTo};
use crate::extension::Extensions;
use crate::line::Cut;
use crate::reply::Reply;
use std::borrow::Cow;
use zeroize::Zeroize;

/// Verbs that servers know and we do not offer; the others are unrecognized.
pub(super) const NOT_OFFERED: [&str; 7] = ["ATRN", "ETRN", "EXPN", "SAML", "SEND", "SOML", "TURN"];

/// Verbs that the session understands, those that come most often first.
pub(super) const KNOWN: [&str; 13] =
    ["RCPT", "MAIL", "DATA", "BDAT", "EHLO", "HELO", "QUIT", "RSET", "NOOP", "STARTTLS", "AUTH", "VRFY", "HELP"];

/// Verbs by which something shows that it does not speak SMTP: web browsers and what is made to send like one
/// (whose request may hold commands), proxies, secure shells.
pub(super) const FOREIGN: [&str; 11] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PRI", "PROXY", "PUT", "TRACE"];

/// The verb of a line, in upper case.
pub(super) fn verb_of(line: &[u8]) -> Cow<'static, str> {
    let verb = line.split(|&octet| octet == b' ').next().unwrap_or_default();
    // No allocation for those that come with every message.
    match KNOWN.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(verb)) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(String::from_utf8_lossy(verb).to_ascii_uppercase()),
    }
}

/// Is the extension offered that this verb belongs to, if it belongs to one?
pub(super) fn is_offered(verb: &str, offered: &Extensions) -> bool {
    match verb {
        "AUTH" => offered.auth,
        "BDAT" => offered.chunking,
        "HELP" => offered.help,
        "STARTTLS" => offered.starttls,
        "VRFY" => offered.verify,
        _ => true,
    }
}

impl Session {
    /// Looks for a command line and carries it out.
    pub(super) fn command(&mut self) -> Progress {
        if self.draining && !self.is_between_chunks() {
            self.close(&replies::shutting_down(&self.settings), Closing::Drained);
            return Progress::Made;
        }
        if self.begins_foreign() {
            self.close(&replies::not_smtp(), Closing::Protocol);
            return Progress::Made;
        }
        self.cutter.skip_refused(&mut self.input);
        let is_auth = self.begins_auth();
        self.cutter.set_max(if is_auth { AUTH_LINE_MAX } else { LINE_MAX });
        match self.cutter.cut(&mut self.input) {
            Some(Cut::Line(mut line)) => {
                self.note_command(&line);
                let progress = self.execute(&line);
                if is_auth {
                    line.zeroize();
                }
                return progress;
            }
            Some(Cut::TooLong) if is_auth => self.protest(&replies::auth_too_long()),
            Some(Cut::TooLong) => self.protest(&replies::line_too_long()),
            // Whoever introduces himself so ends all his lines so: better to tell him once and for all.
            Some(Cut::BareLf) if !self.greeted => self.close(&replies::bare_newline(), Closing::Protocol),
            Some(Cut::BareLf) => self.protest(&replies::bare_newline()),
            None if self.cutter.swallowed().is_some_and(|octets| octets > SWALLOW_MAX) => {
                self.close(&replies::too_many_errors(&self.settings), Closing::Limit);
            }
            None => return Progress::Starved,
        }
        Progress::Made
    }

    /// Before HELO: is the first octet of a line one that no command begins with, as in a TLS or SMB hello, whose
    /// line end may never come?
    fn begins_foreign(&self) -> bool {
        let swallowing = self.cutter.swallowed().is_some();
        let first = self.input.first().copied().unwrap_or(b' ');
        !self.greeted && !swallowing && !matches!(first, b'\r' | b'\n' | b' '..=b'~')
    }

    /// Is the line an AUTH, which may be long where there is one?
    fn begins_auth(&self) -> bool {
        let swallowing = self.cutter.swallowed().is_some();
        !swallowing
            && self.input.first_chunk().is_some_and(|first: &[u8; 5]| first.eq_ignore_ascii_case(b"AUTH "))
            && !self.offer.mechanisms.is_empty()
    }

    fn execute(&mut self, line: &[u8]) -> Progress {
        let offered = self.offered();
        let objection = self.objection_to(line, &offered);
        if !offered.pipelining && !self.input.is_empty() && verb_of(line) != "BDAT" {
            self.close(&replies::no_pipelining(), Closing::Protocol);
            return Progress::Made;
        }
        match (Command::parse_offered(line, &self.settings.default_domain, &offered), objection) {
            (Ok(Command::Unknown(verb)), _) => self.unknown(&verb),
            (Ok(command), None) => return self.carry_out(command),
            (Ok(command), Some(reply)) => self.reject(&command, &reply),
            (Err(CommandError::Chunk), _) => self.malformed(CommandError::Chunk),
            (Err(error), None) => self.malformed(error),
            (Err(_), Some(reply)) => self.protest(&reply),
        }
        Progress::Made
    }

    /// Why no command with this verb may be given now, or no line of this length, whatever else it says.
    fn objection_to(&self, line: &[u8], offered: &Extensions) -> Option<Reply> {
        if let Some(reply) = self.settings.inspection.objection(line, offered) {
            return Some(reply);
        }
        let verb = verb_of(line);
        let may_come_first = matches!(verb.as_ref(), "EHLO" | "HELO" | "NOOP" | "QUIT" | "STARTTLS" | "AUTH");
        (self.offer.wants_tls() && !may_come_first).then(replies::tls_first)
    }

    /// Refuses a command that may not be given, with whatever follows it.
    fn reject(&mut self, command: &Command, reply: &Reply) {
        match command {
            // The octets that it announced are not commands, be it offered or not.
            Command::Bdat { octets, .. } => self.skip_chunk(*octets, reply.clone()),
            Command::Data if !self.input.is_empty() => self.close(&replies::talked_too_soon(), Closing::Protocol),
            _ => self.protest(reply),
        }
    }

    fn carry_out(&mut self, command: Command) -> Progress {
        match command {
            Command::Hello { host, esmtp } => self.hello(host, esmtp),
            Command::Mail(mail) => return self.mail(mail),
            Command::Rcpt(rcpt) => return self.rcpt(rcpt),
            Command::Data => return self.data(),
            Command::Bdat { octets, last } => return self.bdat(Chunk { octets, left: octets, last }),
            Command::StartTls => self.start_tls(),
            Command::Auth(auth) => return self.auth(&auth),
            Command::Rset => {
                self.reset();
                self.indulge(&replies::reset());
            }
            Command::Noop => self.indulge(&replies::noop()),
            Command::Help => {
                let offered = self.offered();
                let inspection = &self.settings.inspection;
                let known = |verb: &str| inspection.line_max(verb).is_some() && is_offered(verb, &offered);
                let reply = replies::help(known);
                self.indulge(&reply);
            }
            Command::Vrfy(asked) => self.indulge(&replies::not_verified(&asked, &self.settings)),
            Command::Quit => self.close(&replies::goodbye(&self.settings), Closing::Quit),
            Command::Unknown(verb) => self.unknown(&verb),
        }
        Progress::Made
    }

    fn malformed(&mut self, error: CommandError) {
        match error {
            // How many octets follow is not known, so neither is where the next command begins.
            CommandError::Chunk => self.close(&error.reply(), Closing::Protocol),
            CommandError::Sender(_) | CommandError::Recipient(_) | CommandError::NeedsUtf8 => {
                self.decline(&error.reply());
            }
            _ => self.protest(&error.reply()),
        }
    }

    fn unknown(&mut self, verb: &str) {
        if FOREIGN.contains(&verb) || verb.starts_with("SSH-") {
            self.close(&replies::not_smtp(), Closing::Protocol);
        } else if NOT_OFFERED.contains(&verb) {
            self.protest(&replies::not_offered());
        } else {
            self.protest(&replies::unrecognized());
        }
    }

    /// HELO or EHLO: takes back a transaction, like RSET.
    fn hello(&mut self, host: Box<str>, esmtp: bool) {
        self.tally.commands += 1;
        if self.tally.commands > self.settings.commands_max {
            self.close(&replies::too_many_commands(&self.settings), Closing::Limit);
            return;
        }
        self.reset();
        self.phase = Phase::Hello { host, esmtp };
    }

    fn mail(&mut self, mail: MailFrom) -> Progress {
        if !self.greeted {
            self.protest(&replies::hello_first());
        } else if self.offer.auth_required && !self.authenticated {
            self.protest(&replies::auth_first());
        } else if self.transaction.is_some() {
            self.protest(&replies::sender_given());
        } else if mail.size.is_some_and(|size| !self.fits_message(size)) {
            self.decline(&replies::too_big(&self.settings));
        } else if !self.fits_session(mail.size.unwrap_or(0).max(1)) {
            self.close(&replies::session_spent(&self.settings), Closing::Limit);
        } else {
            let transaction =
                Transaction { body: mail.body, utf8: mail.utf8, recipients: 0, refused: false, chunks: None };
            let address = mail.sender.to_string().into();
            return self.ask(Question::Sender(mail), Asked::Sender { transaction, address });
        }
        Progress::Made
    }

    fn rcpt(&mut self, rcpt: RcptTo) -> Progress {
        match &self.transaction {
            None if !self.greeted => self.protest(&replies::hello_first()),
            None => self.protest(&replies::mail_first()),
            Some(Transaction { chunks: Some(_), .. }) => self.protest(&replies::chunks_begun()),
            Some(transaction) if rcpt.needs_utf8() && !transaction.utf8 => self.decline(&replies::needs_utf8()),
            Some(transaction) if transaction.recipients >= self.settings.recipients_max => {
                self.reply(&replies::too_many_recipients());
            }
            Some(_) => {
                let address = rcpt.recipient.to_string().into();
                return self.ask(Question::Recipient(rcpt), Asked::Recipient { address });
            }
        }
        Progress::Made
    }

    fn data(&mut self) -> Progress {
        if !self.input.is_empty() {
            self.close(&replies::talked_too_soon(), Closing::Protocol);
            return Progress::Made;
        }
        match &self.transaction {
            None if !self.greeted => self.protest(&replies::hello_first()),
            None => self.protest(&replies::mail_first()),
            Some(Transaction { chunks: Some(_), .. }) => self.protest(&replies::chunks_begun()),
            Some(Transaction { recipients: 0, refused: true, .. }) => self.protest(&replies::no_valid_recipient()),
            Some(Transaction { recipients: 0, .. }) => self.protest(&replies::recipient_first()),
            Some(Transaction { body: BodyKind::BinaryMime, .. }) => self.protest(&replies::binary_needs_chunks()),
            Some(_) => return self.ask(Question::Begin, Asked::Begin { chunk: None }),
        }
        Progress::Made
    }

    /// Takes back what there is of a transaction, between chunks too.
    fn reset(&mut self) {
        self.abandon();
        self.pace = None;
    }

    fn is_between_chunks(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.chunks.is_some())
    }

    /// Is a message of this size let in?
    pub(super) fn fits_message(&self, octets: u64) -> bool {
        // Without a limit, a size that no machine can hold is nonsense all the same.
        octets <= self.settings.message_max().unwrap_or(i64::MAX as u64)
    }

    /// Is there room for so much more in this session?
    pub(super) fn fits_session(&self, octets: u64) -> bool {
        self.settings.session_size_max.is_none_or(|max| self.tally.content.saturating_add(octets) <= max)
    }
}
