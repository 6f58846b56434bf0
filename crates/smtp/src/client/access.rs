//! STARTTLS and AUTH, between EHLO and the first transaction: what is said when, and what is forgotten.
//!
//! What the peer says in the clear may be anybody's. So STARTTLS is said before all else, what stands behind its 220 ends the
//! session (CVE-2011-0411, seen from this side), and under TLS the session begins anew with EHLO. An exchange of AUTH is a line
//! for a line: base64, `*`, and the limits are here, what is said is the driver's.
//!
//! RFC 3207 §4, RFC 4954 §4; RFC 5321 §4.5.3.1.4 (an initial response that makes the command longer waits for a challenge).

use super::session::{Session, State};
use super::{StartTls, Step, TroubleKind};
use crate::extension::Extensions;
use crate::reply::Reply;
use crate::sasl::{Mechanism, Secret, base64};
use crate::time::Timestamp;
use zeroize::Zeroizing;

/// Challenges of one exchange.
pub const CHALLENGES_MAX: u8 = 12;
/// Octets of the command AUTH, CRLF included.
const AUTH_COMMAND_MAX: usize = 512;

/// An exchange of AUTH.
#[derive(Debug)]
pub(super) enum Auth {
    /// The driver is to choose a method.
    Choosing,
    /// The peer is to answer. `line`: it is still to be said. `held`: the initial response, which was too long for the command.
    Asked { line: Option<Secret>, held: Option<Secret>, challenges: u8 },
    /// The driver is to answer.
    Challenged(u8),
    /// The driver is to see whether the peer has proved itself.
    Proved,
    /// Given up by this side; the peer is to confirm it.
    Cancelled { line: Option<Secret>, why: Box<str> },
}

impl Auth {
    /// What is to be said now.
    pub(super) fn due(&mut self) -> Option<Secret> {
        match self {
            Auth::Asked { line, .. } | Auth::Cancelled { line, .. } => line.take(),
            Auth::Choosing | Auth::Challenged(_) | Auth::Proved => None,
        }
    }

    /// Is it the peer's turn, not the driver's?
    pub(super) fn waits_for_peer(&self) -> bool {
        matches!(self, Auth::Asked { .. } | Auth::Cancelled { .. })
    }

    fn cancelled(why: &str) -> Box<Auth> {
        Box::new(Auth::Cancelled { line: Some(Secret::new(b"*\r\n".to_vec())), why: why.into() })
    }
}

impl Session {
    /// TLS is on: all that the peer has said is forgotten, and EHLO is said again. Answers [`Step::StartTls`].
    pub fn secured(&mut self, now: Timestamp) {
        if matches!(self.state, State::Handshake) && self.inbox.is_empty() {
            self.secure = true;
            self.extensions = Extensions::default();
            self.hello(self.settings.protocol, now);
        }
    }

    /// TLS could not be begun, or with the wrong one. Answers [`Step::StartTls`]; the connection is of no more use.
    pub fn tls_failed(&mut self, why: &str) {
        if matches!(self.state, State::Handshake) {
            self.fail(TroubleKind::TlsFailed, None, why.into());
        }
    }

    /// Proves who we are by this method, with the response that it begins with, if it does. Answers [`Step::Authenticate`].
    pub fn authenticate(&mut self, mechanism: Mechanism, initial: Option<Vec<u8>>) {
        let State::Auth(auth) = &mut self.state else { return };
        if matches!(**auth, Auth::Choosing) {
            let (line, held) = command(mechanism, initial.map(Secret::new));
            **auth = Auth::Asked { line: Some(line), held, challenges: 0 };
        }
    }

    /// Who we are can be proved by none of the methods. Answers [`Step::Authenticate`]; the session ends.
    pub fn no_auth(&mut self, why: &str) {
        if matches!(&self.state, State::Auth(auth) if matches!(**auth, Auth::Choosing)) {
            self.leave(TroubleKind::NoAuth, None, why.into());
        }
    }

    /// Answers [`Step::Challenge`].
    pub fn respond(&mut self, response: Vec<u8>) {
        let response = Secret::new(response);
        let State::Auth(auth) = &mut self.state else { return };
        if let Auth::Challenged(challenges) = **auth {
            **auth = Auth::Asked { line: Some(line(&[], Some(&response))), held: None, challenges };
        }
    }

    /// Gives the exchange up: the challenge makes no sense, or the peer has not proved itself. Answers [`Step::Challenge`] and
    /// [`Step::Authenticated`]; the session ends.
    pub fn cancel_auth(&mut self, why: &str) {
        let State::Auth(auth) = &mut self.state else { return };
        match **auth {
            Auth::Challenged(_) => *auth = Auth::cancelled(why),
            Auth::Proved => self.leave(TroubleKind::AuthBroken, None, why.into()),
            Auth::Choosing | Auth::Asked { .. } | Auth::Cancelled { .. } => {}
        }
    }

    /// The peer has proved itself, or need not. Answers [`Step::Authenticated`]; [`Step::Ready`] follows.
    pub fn confirm_auth(&mut self) {
        if matches!(&self.state, State::Auth(auth) if matches!(**auth, Auth::Proved)) {
            self.idle();
        }
    }

    /// EHLO is answered: first of all TLS.
    pub(super) fn protect(&mut self, now: Timestamp) {
        match self.settings.start_tls {
            StartTls::WhenOffered | StartTls::Required if !self.secure && self.extensions.starttls => {
                self.state = State::StartTls;
                self.say("STARTTLS\r\n", now);
            }
            StartTls::Required if !self.secure => {
                let text = "the server does not offer TLS (STARTTLS), which is required here";
                self.leave(TroubleKind::NoTls, None, text.to_owned());
            }
            _ => self.log_on(),
        }
    }

    pub(super) fn heard_start_tls(&mut self, reply: Reply, now: Timestamp) {
        match self.settings.start_tls {
            _ if reply.code == 220 && !self.inbox.is_empty() => self.injected(),
            _ if reply.code == 220 => {
                self.state = State::Handshake;
                self.arm(now);
                self.steps.push_back(Step::StartTls);
            }
            _ if !(reply.is_transient() || reply.is_permanent()) => self.meaningless(reply),
            StartTls::Required => {
                let text = "the server offers TLS (STARTTLS), which is required here, and then refuses it";
                self.leave(TroubleKind::NoTls, Some(reply), text.to_owned());
            }
            StartTls::WhenOffered | StartTls::Never => {
                self.tls_refusal = Some(Box::new(reply));
                self.log_on();
            }
        }
    }

    /// Nothing may stand between the peer's 220 and the handshake.
    pub(super) fn injected(&mut self) {
        let text = "the server spoke between its answer to STARTTLS and TLS, or somebody else in its name";
        self.fail(TroubleKind::Injected, None, text.to_owned());
    }

    /// The channel is as it will be: now who we are.
    fn log_on(&mut self) {
        let offered = self.extensions.mechanisms;
        if !self.settings.auth {
            self.idle();
        } else if offered.is_empty() {
            let without = if self.secure { "" } else { " without TLS" };
            self.leave(
                TroubleKind::NoAuth,
                None,
                format!("the server offers no way to log on{without} that is known here"),
            );
        } else {
            self.state = State::Auth(Box::new(Auth::Choosing));
            self.wait_for_driver();
            self.steps.push_back(Step::Authenticate { offered });
        }
    }

    /// The peer said 334.
    pub(super) fn challenged(&mut self, text: &[u8]) {
        let State::Auth(auth) = &mut self.state else { return };
        match &mut **auth {
            // The method begins with a response, so that there is nothing to be asked yet (RFC 4422 §5).
            Auth::Asked { held: held @ Some(_), challenges, .. } => {
                let response = line(&[], held.take().as_ref());
                **auth = Auth::Asked { line: Some(response), held: None, challenges: *challenges };
            }
            Auth::Asked { challenges: CHALLENGES_MAX.., .. } => {
                *auth = Auth::cancelled("the server asks again and again instead of logging us on");
            }
            Auth::Asked { challenges, .. } => match base64::decode(text) {
                Some(challenge) => {
                    **auth = Auth::Challenged(*challenges + 1);
                    self.wait_for_driver();
                    self.steps.push_back(Step::Challenge(challenge));
                }
                None => *auth = Auth::cancelled("the server's challenge is not base64"),
            },
            // A challenge where the end of the exchange was due, and what is out of turn: nothing of it is wanted any more.
            Auth::Cancelled { why, .. } => {
                let why = std::mem::take(why);
                self.leave(TroubleKind::AuthBroken, None, why.into());
            }
            Auth::Choosing | Auth::Challenged(_) | Auth::Proved => {}
        }
    }

    /// The peer said something else than 334.
    pub(super) fn heard_auth(&mut self, reply: Reply) {
        let State::Auth(auth) = &mut self.state else { return };
        match &mut **auth {
            Auth::Choosing | Auth::Challenged(_) | Auth::Proved => self.unasked(reply),
            Auth::Cancelled { why, .. } => {
                let why = std::mem::take(why);
                self.leave(TroubleKind::AuthBroken, None, why.into());
            }
            Auth::Asked { .. } if reply.code == 235 => {
                **auth = Auth::Proved;
                self.wait_for_driver();
                self.steps.push_back(Step::Authenticated);
            }
            Auth::Asked { .. } if reply.is_transient() || reply.is_permanent() => {
                self.leave(TroubleKind::AuthRefused, Some(reply), "the server refused to log us on".to_owned());
            }
            Auth::Asked { .. } => self.meaningless(reply),
        }
    }
}

/// The command, and what of the initial response it has no room for.
fn command(mechanism: Mechanism, initial: Option<Secret>) -> (Secret, Option<Secret>) {
    let verb = format!("AUTH {}", mechanism.name());
    let Some(initial) = initial else { return (line(&[&verb], None), None) };
    let whole = match initial.reveal() {
        // An empty response, which is not none.
        [] => line(&[&verb, " ="], None),
        _ => line(&[&verb, " "], Some(&initial)),
    };
    // What AUTH NTLM is to be followed by, only its own description says: a challenge that is none ([MS-SMTPNTLM] §3.1.5).
    if whole.reveal().len() <= AUTH_COMMAND_MAX && mechanism != Mechanism::Ntlm {
        (whole, None)
    } else {
        (line(&[&verb], None), Some(initial))
    }
}

/// A line with a response in base64 behind the words.
fn line(words: &[&str], response: Option<&Secret>) -> Secret {
    let response = Zeroizing::new(response.map_or_else(String::new, |response| base64::encode(response.reveal())));
    // All of it at once, so that no half of it stays behind in memory.
    Secret::new([&words.concat(), response.as_str(), "\r\n"].concat().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Protocol, Settings};
    use std::sync::Arc;
    use std::time::Duration;

    fn said(mechanism: Mechanism, initial: Option<&[u8]>) -> (String, bool) {
        let (line, held) = command(mechanism, initial.map(|octets| Secret::new(octets.to_vec())));
        (line.text().unwrap().to_owned(), held.is_some())
    }

    #[test]
    fn an_initial_response_goes_along_if_there_is_room() {
        assert_eq!(said(Mechanism::Login, None), ("AUTH LOGIN\r\n".to_owned(), false));
        assert_eq!(said(Mechanism::External, Some(b"")), ("AUTH EXTERNAL =\r\n".to_owned(), false));
        assert_eq!(said(Mechanism::Plain, Some(b"\0a\0b")), ("AUTH PLAIN AGEAYg==\r\n".to_owned(), false));
        let (line, held) = said(Mechanism::Xoauth2, Some(&[b'x'; 372]));
        assert_eq!((line.len(), held), (13 + 496 + 2, false));
        assert_eq!(said(Mechanism::Xoauth2, Some(&[b'x'; 373])), ("AUTH XOAUTH2\r\n".to_owned(), true));
        assert_eq!(said(Mechanism::Ntlm, Some(b"NTLMSSP\0")), ("AUTH NTLM\r\n".to_owned(), true));
    }

    #[test]
    fn what_proves_who_we_are_is_in_no_debug_output() {
        let mut settings = Settings::plain("relay.test", Protocol::Esmtp, Duration::from_secs(60));
        settings.auth = true;
        let mut session = Session::new(Arc::new(settings), Timestamp(0));
        let mut seen = String::new();
        let mut look = |session: &mut Session, said: &[u8]| {
            session.receive(said);
            while let Some(step) = session.next(Timestamp(0)) {
                seen.push_str(&format!("{step:?}"));
            }
            seen.push_str(&format!("{session:?}"));
        };
        look(&mut session, b"220 mx.test\r\n");
        look(&mut session, b"250-mx.test\r\n250 AUTH XOAUTH2 LOGIN\r\n");
        session.authenticate(Mechanism::Xoauth2, Some(b"hunter2".repeat(100)));
        look(&mut session, b"");
        look(&mut session, b"334 \r\n");
        look(&mut session, b"334 Zm9v\r\n");
        session.respond(b"hunter2".to_vec());
        seen_nothing(&format!("{session:?}"));
        look(&mut session, b"");
        seen_nothing(&seen);
    }

    /// A session that keeps minutes and has just said who it is.
    fn logging_on(mechanism: Mechanism) -> Session {
        let mut settings = Settings::plain("relay.test", Protocol::Esmtp, Duration::from_secs(60));
        settings.auth = true;
        let mut session = Session::new(Arc::new(settings), Timestamp(0));
        session.keep_minutes();
        hear(&mut session, "220 mx.test\r\n");
        hear(&mut session, &format!("250-mx.test\r\n250 AUTH {}\r\n", mechanism.name()));
        session.authenticate(mechanism, Some(b"hunter2".to_vec()));
        hear(&mut session, "");
        session
    }

    fn hear(session: &mut Session, said: &str) {
        session.receive(said.as_bytes());
        while session.next(Timestamp(0)).is_some() {}
    }

    #[test]
    fn what_proves_who_we_are_is_in_no_minutes() {
        for mechanism in Mechanism::ALL {
            let mut session = logging_on(mechanism);
            for _ in 0..2 {
                hear(&mut session, "334 aHVudGVyMg==\r\n");
                session.respond(b"hunter2".to_vec());
                hear(&mut session, "");
            }
            let minutes = session.minutes();
            let seen: Vec<_> = crate::minutes::lines(&minutes).map(|line| String::from_utf8_lossy(line.1)).collect();
            let seen = seen.join("\n");
            seen_nothing(&seen);
            assert!(seen.contains(&format!("AUTH {}", mechanism.name())) && seen.contains("***"), "{seen}");
        }
    }

    /// Some servers repeat what they do not understand.
    #[test]
    fn what_the_peer_repeats_of_auth_is_in_no_minutes() {
        for (answer, noted) in [
            ("500 5.5.1 unrecognized: AUTH PLAIN aHVudGVyMg==\r\n", "500 5.5.1 ***"),
            ("500-5.5.1 unrecognized:\r\n500-5.5.1 AUTH PLAIN aHVudGVyMg==\r\n500 5.5.1 hunter2\r\n", "500 5.5.1 ***"),
            ("535 what is aHVudGVyMg==?\r\n", "535 ***"),
            ("421 4.7.0 not with hunter2\r\n", "421 4.7.0 ***"),
            ("235 2.7.0 welcome, hunter2\r\n", "235 2.7.0 ***"),
        ] {
            let mut session = logging_on(Mechanism::Plain);
            hear(&mut session, answer);
            let minutes = session.minutes();
            let seen: Vec<_> = crate::minutes::lines(&minutes).map(|line| String::from_utf8_lossy(line.1)).collect();
            seen_nothing(&seen.join("\n"));
            assert!(seen.iter().any(|line| line == noted), "{noted} in {seen:?}");
            assert!(seen.iter().any(|line| line == "220 mx.test"), "the others as they were said: {seen:?}");
        }
    }

    fn seen_nothing(seen: &str) {
        // As it is, as octets, and the same in base64.
        for trace in ["hunter2", "104, 117", "aHVudGV", "97, 72, 86"] {
            assert!(!seen.contains(trace), "{trace} in {seen}");
        }
    }
}
