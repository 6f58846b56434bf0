//! What each command does to a session: its order, its limits, its question or its reply.
//!
//! Order is checked before anything is asked. DATA must be the last of a batch: what was sent before its 354 may be
//! content or commands, and guessing is how one server's message becomes another's commands (RFC 2920 §3.1).

use super::content::Chunk;
use super::settings::SWALLOW_MAX;
use super::{Asked, Closing, Phase, Progress, Question, Session, Transaction, replies};
use crate::command::{BodyKind, Command, CommandError, MailFrom, RcptTo};
use crate::line::Cut;

/// Verbs that servers know and we do not offer; the others are unrecognized.
const NOT_OFFERED: [&str; 9] = ["ATRN", "AUTH", "ETRN", "EXPN", "SAML", "SEND", "SOML", "STARTTLS", "TURN"];

/// Verbs by which something shows that it does not speak SMTP: web browsers and what is made to send like one
/// (whose request may hold commands), proxies, secure shells.
const FOREIGN: [&str; 11] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PRI", "PROXY", "PUT", "TRACE"];

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
        match self.cutter.cut(&mut self.input) {
            Some(Cut::Line(line)) => return self.execute(&line),
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

    fn execute(&mut self, line: &[u8]) -> Progress {
        let command = match Command::parse(line, &self.settings.default_domain) {
            Ok(command) => command,
            Err(error) => {
                self.malformed(error);
                return Progress::Made;
            }
        };
        match command {
            Command::Hello { host, esmtp } => self.hello(host, esmtp),
            Command::Mail(mail) => return self.mail(mail),
            Command::Rcpt(rcpt) => return self.rcpt(rcpt),
            Command::Data => return self.data(),
            Command::Bdat { octets, last } => return self.bdat(Chunk { octets, left: octets, last }),
            Command::Rset => {
                self.reset();
                self.indulge(&replies::reset());
            }
            Command::Noop => self.indulge(&replies::noop()),
            Command::Help => self.indulge(&replies::help()),
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
