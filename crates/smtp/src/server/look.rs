//! Who looks on at a session, and who ends it from outside: the minutes of what was said, and the operator's last word.
//!
//! What may not be seen is left out here, where it is known what each line is ([`crate::minutes`]).

use super::commands::{FOREIGN, KNOWN, NOT_OFFERED, verb_of};
use super::{Closing, Session, replies};
use crate::minutes::{self, Minutes, SECRET, Side};

impl Session {
    /// From now on what is said is noted, for [`Session::minutes`]. What waits to be sent already is noted too.
    pub fn keep_minutes(&mut self) {
        let mut minutes = Minutes::default();
        if !self.replies.is_empty() {
            minutes.note_reply(&self.replies);
        }
        self.minutes = Some(Box::new(minutes));
    }

    /// What was said since the last call, as [`minutes::lines`] reads it; empty: nothing, or nobody looks on.
    #[must_use]
    pub fn minutes(&mut self) -> Vec<u8> {
        self.minutes.as_mut().map(|minutes| minutes.take()).unwrap_or_default()
    }

    /// An operator ends the session: 421 is the last that is said, whatever goes on. A message that is not durable yet is
    /// forgotten; where TLS is to begin nothing can be said any more.
    pub fn end(&mut self) {
        self.asked = None;
        self.held = None;
        self.slow = false;
        if self.tls_due || self.is_deaf() {
            self.phase = super::Phase::Closing(Closing::Ended);
            self.tls_due = false;
            return;
        }
        self.close(&replies::ended(&self.settings), Closing::Ended);
    }

    pub(super) fn note_command(&mut self, line: &[u8]) {
        let Some(minutes) = &mut self.minutes else { return };
        let verb = verb_of(line);
        if verb == "AUTH" {
            minutes.note(Side::Theirs, &minutes::auth(line));
        } else if KNOWN.contains(&verb.as_ref()) {
            minutes.note(Side::Theirs, line);
        } else if NOT_OFFERED.contains(&verb.as_ref()) || FOREIGN.contains(&verb.as_ref()) {
            minutes.note(Side::Theirs, verb.as_bytes());
        } else {
            let octets = line.len();
            minutes.note(Side::Theirs, format!("(no command, {octets} octets)").as_bytes());
        }
    }

    pub(super) fn note_response(&mut self, line: &[u8]) {
        let Some(minutes) = &mut self.minutes else { return };
        minutes.note(Side::Theirs, if line.trim_ascii() == b"*" { b"*" } else { SECRET.as_bytes() });
    }

    pub(super) fn note_challenge(&mut self) {
        if let Some(minutes) = &mut self.minutes {
            minutes.note(Side::Ours, format!("334 {SECRET}").as_bytes());
        }
    }

    pub(super) fn note_content(&mut self, octets: u64) {
        if let Some(minutes) = &mut self.minutes {
            minutes.note_content(Side::Theirs, octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sasl::{Mechanism, Mechanisms};
    use crate::server::{Answer, Closing, Offer, Question, Session, Settings, Step};
    use crate::time::Timestamp;
    use std::net::IpAddr;
    use std::sync::Arc;

    fn session() -> Session {
        let mut mechanisms = Mechanisms::default();
        Mechanism::SERVED.into_iter().for_each(|mechanism| mechanisms.insert(mechanism));
        let offer = Offer { mechanisms: mechanisms.iter().collect(), ..Offer::default() };
        let name = crate::address::Domain::parse("mx.test").unwrap();
        let settings = Arc::new(Settings::new(name.clone(), name));
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let mut session = Session::new(settings, Arc::new(offer), peer, Timestamp(0));
        session.keep_minutes();
        session
    }

    /// Says it, and answers what is asked; challenges each response once.
    fn say(session: &mut Session, octets: &[u8], challenges: &mut u8) -> Vec<Step> {
        session.receive(octets);
        let mut steps = Vec::new();
        while let Some(step) = session.next(Timestamp(0)) {
            match step {
                Step::Ask(Question::Auth { .. } | Question::AuthResponse(_)) if *challenges > 0 => {
                    *challenges -= 1;
                    session.answer(Answer::Challenge(b"hunter2".to_vec()));
                }
                Step::Ask(Question::Begin) => session.answer(Answer::Begun),
                Step::Ask(_) => session.answer(Answer::Accept),
                step => steps.push(step),
            }
        }
        steps
    }

    fn noted(session: &mut Session) -> Vec<String> {
        let minutes = session.minutes();
        crate::minutes::lines(&minutes).map(|(_, line)| String::from_utf8_lossy(line).into_owned()).collect()
    }

    #[test]
    fn secrets_are_in_no_minutes_whatever_the_method() {
        for mechanism in Mechanism::SERVED {
            let mut session = session();
            // `hunter2` in base64, as the first response, as an answer to a challenge, and as what comes too late.
            let auth = format!("AUTH {} aHVudGVyMg==\r\n", mechanism.name());
            for line in ["EHLO c.test\r\n", &auth, "aHVudGVyMg==\r\n", "aHVudGVyMg==\r\n", "aHVudGVyMg==\r\n"] {
                say(&mut session, line.as_bytes(), &mut 1);
            }
            let noted = noted(&mut session).join("\n");
            assert!(!noted.contains("aHVud") && !noted.contains("hunter2"), "{mechanism}: {noted}");
            assert!(noted.contains(&format!("AUTH {mechanism} ***")) && noted.contains("334 ***"), "{noted}");
        }
    }

    #[test]
    fn the_dialogue_is_noted_in_order_and_a_message_by_its_length() {
        let mut session = session();
        let mail = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n";
        for octets in [b"EHLO c.test\r\n".as_slice(), mail, b"Subject: secret\r\n\r\nx\r\n.\r\n"] {
            say(&mut session, octets, &mut 0);
        }
        let noted = noted(&mut session);
        let begins: Vec<&str> = noted.iter().map(|line| line.split([' ', '-']).next().unwrap()).collect();
        assert_eq!(
            begins,
            ["220", "EHLO", "250", "MAIL", "250", "RCPT", "250", "DATA", "354", "(22", "451"],
            "{noted:?}"
        );
        assert!(!noted.join("").contains("secret"));
    }

    #[test]
    fn an_operator_ends_it_with_421_in_the_middle_of_a_message() {
        let mut session = session();
        let begun = b"EHLO c.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n";
        say(&mut session, begun, &mut 0);
        say(&mut session, b"half of", &mut 0);
        session.end();
        let steps = say(&mut session, b" a message\r\n.\r\n", &mut 0);
        let [Step::Send(last), Step::Close(Closing::Ended)] = steps.as_slice() else { panic!("{steps:?}") };
        assert!(last.starts_with(b"421 4.3.2 "), "{last:?}");
    }
}
