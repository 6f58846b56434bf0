//! Finds the refusals among the replies that go to a peer, so that the log can answer "why was this refused".
//!
//! Refusals by the gate and the store are announced with the command that they answer; those of the machine itself
//! (syntax, sequence, limits) are known by their code only. Each is noted once, when it is sent.

use crate::desk::Refusal;
use relay::record::Record;
use smtp::reply::{Reply, ReplyReader};
use std::collections::VecDeque;
use std::net::IpAddr;

/// Refusals that were decided and are not sent yet.
#[derive(Default)]
pub(super) struct Refusals {
    announced: VecDeque<(Box<str>, Refusal)>,
}

impl Refusals {
    /// This reply is about to be sent, to this command.
    pub(super) fn announce(&mut self, command: impl Into<Box<str>>, reply: &Reply) {
        self.announce_by(command, reply, None);
    }

    /// The same, with the setting or limit that decided.
    pub(super) fn announce_by(&mut self, command: impl Into<Box<str>>, reply: &Reply, by: Option<&'static str>) {
        self.announced.push_back((command.into(), Refusal { reply: reply.clone(), by }));
    }

    /// The refusals in `replies`, as they are sent to `peer`; `otherwise` names the command if it is not known.
    ///
    /// What was announced and is not among them was told in other words: it is forgotten, so that nothing gathers here.
    pub(super) fn sent(&mut self, replies: &[u8], peer: IpAddr, otherwise: &str) -> Vec<Record> {
        let mut found = Vec::new();
        if may_refuse(replies) {
            let mut reader = ReplyReader::default();
            for line in replies.split(|&b| b == b'\n') {
                let Ok(Some(reply)) = reader.line(line.strip_suffix(b"\r").unwrap_or(line)) else { continue };
                if reply.code >= 400 {
                    let (command, by) = self.command_of(&reply).unwrap_or_else(|| (otherwise.into(), None));
                    found.push(Record::Refused { peer, command, reply, by });
                }
            }
        }
        self.announced.clear();
        found
    }

    /// What was announced and will not be sent.
    pub(super) fn unsent(&mut self, peer: IpAddr) -> Vec<Record> {
        let record = |(command, Refusal { reply, by })| Record::Refused { peer, command, reply, by };
        self.announced.drain(..).map(record).collect()
    }

    fn command_of(&mut self, reply: &Reply) -> Option<(Box<str>, Option<&'static str>)> {
        let words = reply.one_line();
        let at = self.announced.iter().position(|(_, announced)| announced.reply.one_line() == words)?;
        self.announced.drain(..=at).next_back().map(|(command, announced)| (command, announced.by))
    }
}

/// A quick look, for nearly always there is none: does any line begin with 4 or 5?
fn may_refuse(replies: &[u8]) -> bool {
    let refusing = |octet: Option<&u8>| matches!(octet, Some(b'4' | b'5'));
    refusing(replies.first())
        || replies.iter().zip(&replies[1.min(replies.len())..]).any(|(&end, next)| end == b'\n' && refusing(Some(next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(refusals: &mut Refusals, replies: &[u8]) -> Vec<String> {
        let found = refusals.sent(replies, "192.0.2.1".parse().unwrap(), "content");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_refusal_is_told_once_with_its_command() {
        let mut refusals = Refusals::default();
        let reply = Reply::new(550, 7, 1, "Unable to relay for c@x.test");
        refusals.announce("RCPT TO:<c@x.test>", &reply);
        let batch = b"250 2.1.0 Sender ok\r\n550 5.7.1 Unable to relay for c@x.test\r\n503 5.5.1 No recipients\r\n";
        let expected = [
            "refused peer=192.0.2.1 command=\"RCPT TO:<c@x.test>\" reply=\"550 5.7.1 Unable to relay for c@x.test\"",
            "refused peer=192.0.2.1 command=content reply=\"503 5.5.1 No recipients\"",
        ];
        assert_eq!(told(&mut refusals, batch), expected);
        assert_eq!(told(&mut refusals, batch).len(), 2, "the same reply again, by the machine");
    }

    #[test]
    fn a_refusal_told_in_other_words_does_not_hide_the_next() {
        let mut refusals = Refusals::default();
        let (lost, next) = (Reply::new(550, 7, 1, "x".repeat(5_000)), Reply::new(550, 7, 1, "No"));
        refusals.announce("RCPT TO:<a@x.test>", &lost);
        refusals.announce("RCPT TO:<b@x.test>", &next);
        let lines = told(&mut refusals, b"550 5.7.1 Cut\r\n550 5.7.1 No\r\n");
        assert!(lines[0].contains(" command=content ") && lines[1].contains("RCPT TO:<b@x.test>"), "{lines:?}");
        refusals.announce("RCPT TO:<c@x.test>", &lost);
        told(&mut refusals, b"250 ok\r\n");
        assert!(refusals.announced.is_empty());
    }

    #[test]
    fn nothing_is_found_where_nothing_is_refused() {
        let mut refusals = Refusals::default();
        for fine in ["", "250 ok\r\n", "220-4\r\n220 5\r\n", "354 go\r\n250-550 x\r\n250 x\r\n"] {
            assert!(told(&mut refusals, fine.as_bytes()).is_empty(), "{fine:?}");
        }
        assert!(!may_refuse(b"250 5\r\n250 4\r\n"));
        assert!(may_refuse(b"250 5\r\n421 4\r\n"));
        assert!(may_refuse(b"5"));
    }

    #[test]
    fn lines_of_one_reply_are_one_refusal() {
        let mut refusals = Refusals::default();
        let lines = told(&mut refusals, b"554-5.7.1 One\r\n554 5.7.1 Two\r\n");
        assert_eq!(lines, ["refused peer=192.0.2.1 command=content reply=\"554 5.7.1 One / Two\""]);
    }
}
