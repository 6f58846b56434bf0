//! STARTTLS and AUTH: who may begin them when, and what is forgotten.
//!
//! What was sent behind STARTTLS came in the clear, from whomever: it is thrown away, and with TLS the session begins anew
//! (CVE-2011-0411). An AUTH exchange is a line for a line; what it says is for the driver to judge, and is wiped here as soon as
//! it has been handed on. Late answers to wrong passwords are the driver's too; a session is worth four.
//!
//! RFC 3207 §4, RFC 4954 §4.

use super::offer::{AUTH_FAILURES_MAX, AUTH_LINE_MAX, AUTH_ROUNDS_MAX, Offer};
use super::settings::{LINE_MAX, SWALLOW_MAX};
use super::{Asked, Closing, Phase, Progress, Question, Session, replies};
use crate::command::Auth;
use crate::line::{Cut, LineCutter};
use crate::reply::Reply;
use crate::sasl::{Mechanism, Secret, base64};
use crate::time::Timestamp;
use bytes::BytesMut;
use std::sync::Arc;
use zeroize::Zeroize;

impl std::fmt::Debug for Session {
    /// Without what was received and is not used up: it may be half of a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = self.input.len();
        f.debug_struct("Session").field("peer", &self.peer).field("waiting", &waiting).finish_non_exhaustive()
    }
}

impl Session {
    /// TLS is on: all that the peer has said is forgotten, and it may say EHLO again. Answers [`Step::StartTls`](super::Step::StartTls).
    pub fn secured(&mut self, offer: Arc<Offer>, now: Timestamp) {
        if !matches!(self.phase, Phase::Handshake) {
            return;
        }
        self.offer = offer;
        self.phase = Phase::Command;
        self.cutter = LineCutter::new(LINE_MAX, self.settings.bare_newlines);
        self.input = BytesMut::new();
        self.greeted = false;
        self.authenticated = false;
        self.away = None;
        self.since = now;
    }

    pub(super) fn start_tls(&mut self) {
        if self.offer.secured {
            self.protest(&replies::tls_twice());
        } else if !self.greeted {
            self.protest(&replies::hello_first());
        } else if self.transaction.is_some() {
            self.protest(&replies::tls_in_transaction());
        } else {
            self.input = BytesMut::new();
            self.reply(&replies::start_tls());
            self.phase = Phase::Handshake;
            self.tls_due = true;
        }
    }

    pub(super) fn auth(&mut self, auth: &Auth) -> Progress {
        let offer = &self.offer;
        let refusal = match auth.mechanism {
            _ if !self.greeted => replies::hello_first(),
            _ if self.authenticated => replies::auth_twice(),
            _ if self.transaction.is_some() => replies::auth_in_transaction(),
            Some(mechanism) if offer.mechanisms.contains(&mechanism) => {
                return self.begin_auth(mechanism, auth.initial.as_ref());
            }
            Some(mechanism) if offer.under_tls.contains(&mechanism) => replies::auth_needs_tls(offer.starttls),
            _ if offer.wants_tls() => replies::tls_first(),
            _ => replies::mechanism_unknown(),
        };
        self.protest(&refusal);
        Progress::Made
    }

    fn begin_auth(&mut self, mechanism: Mechanism, initial: Option<&Secret>) -> Progress {
        let initial = match initial.map(Secret::reveal) {
            None => None,
            Some(b"=") => Some(Vec::new()),
            Some(text) => match base64::decode(text) {
                Some(octets) => Some(octets),
                None => {
                    self.protest(&replies::base64_broken());
                    return Progress::Made;
                }
            },
        };
        self.ask(Question::Auth { mechanism, initial }, Asked::Auth { rounds: 0 })
    }

    /// Looks for the response to the last of so many challenges.
    pub(super) fn auth_response(&mut self, rounds: u8) -> Progress {
        if self.draining {
            self.close(&replies::shutting_down(&self.settings), Closing::Drained);
            return Progress::Made;
        }
        self.cutter.set_max(AUTH_LINE_MAX);
        match self.cutter.cut(&mut self.input) {
            Some(Cut::Line(mut line)) => {
                self.note_response(&line);
                let progress = self.respond(line.trim_ascii_end(), rounds);
                line.zeroize();
                return progress;
            }
            Some(Cut::TooLong) => self.protest(&replies::auth_too_long()),
            Some(Cut::BareLf) => self.protest(&replies::bare_newline()),
            None if self.cutter.swallowed().is_some_and(|octets| octets > SWALLOW_MAX) => {
                self.close(&replies::too_many_errors(&self.settings), Closing::Limit);
            }
            None => {
                self.phase = Phase::Auth { rounds };
                return Progress::Starved;
            }
        }
        Progress::Made
    }

    fn respond(&mut self, line: &[u8], rounds: u8) -> Progress {
        let reply = match base64::decode(line) {
            Some(response) => return self.ask(Question::AuthResponse(response), Asked::Auth { rounds }),
            None if line == b"*" => replies::auth_cancelled(),
            None => replies::base64_broken(),
        };
        self.protest(&reply);
        Progress::Made
    }

    /// The driver wants to know more.
    pub(super) fn challenge(&mut self, challenge: &[u8], rounds: u8) {
        if rounds >= AUTH_ROUNDS_MAX {
            self.protest(&replies::auth_too_long());
            return;
        }
        // Not a `Reply`: a challenge may be longer than any line of text.
        self.replies.extend_from_slice(b"334 ");
        self.replies.extend_from_slice(base64::encode(challenge).as_bytes());
        self.replies.extend_from_slice(b"\r\n");
        self.note_challenge();
        self.phase = Phase::Auth { rounds: rounds + 1 };
    }

    /// Whoever cannot prove who it is may try again, but not often.
    pub(super) fn auth_refused(&mut self, reply: &Reply) {
        self.tally.failures += 1;
        if self.tally.failures > AUTH_FAILURES_MAX {
            self.close(&replies::too_many_failures(&self.settings), Closing::Limit);
        } else {
            self.reply(reply);
        }
    }
}
