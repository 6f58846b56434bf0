//! One transaction under way: what to ask next, which answers are due, and what became of each recipient so far.
//!
//! Knows the order of commands and replies; knows nothing of time or of the rest of the session.

use super::{Accepted, Form, Protocol, Rejection, Stage, Transaction, Trouble, Why, command, fit};
use crate::command::{BodyKind, Notify};
use crate::extension::Extensions;
use crate::reply::{EnhancedStatus, Reply};
use std::collections::VecDeque;
use std::sync::Arc;

/// Commands in one batch: their replies must fit into the buffers between the two hosts, since the driver may write
/// the whole batch before it reads (RFC 2920 §3.1).
const BATCH_MAX: usize = 100;
/// Octets of commands in one batch, for the same reason.
const BATCH_OCTETS_MAX: usize = 32 * 1024;
/// Content up to this size is sent in one batch with its commands, before it is known whether any recipient is taken.
const TOGETHER_MAX: u64 = 1 << 20;

/// What a reply that is due answers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Asked {
    Mail,
    Rcpt(u32),
    Data,
    /// The content: for all who were taken, or, in LMTP, for the first of them who has no answer yet.
    Final,
    /// A lone dot, sent because the peer wanted content although it had taken nobody.
    Nothing,
}

/// How far the content is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Content {
    NotYet,
    Sending,
    Sent,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// Say this; the content follows at once if a form is given.
    Say(String, Option<Form>),
    /// Send the content.
    Content(Form),
    /// Wait for a reply.
    Wait,
    /// All is said.
    Finished,
    /// The peer broke the order of the session.
    OutOfTurn(&'static str, Reply),
}

#[derive(Debug)]
pub(super) struct Transfer {
    transaction: Transaction,
    lmtp: bool,
    pipelined: bool,
    form: Form,
    /// The chunk goes out in the batch of its commands.
    together: bool,
    /// The peer offers DSN.
    reports: bool,
    results: Vec<Option<Result<Accepted, Rejection>>>,
    asked: VecDeque<Asked>,
    mail_asked: bool,
    /// How many recipients were asked for.
    rcpt_asked: usize,
    /// Recipients taken by RCPT whose fate the content's reply decides.
    taken: VecDeque<u32>,
    /// The reply by which the peer took no more recipients.
    full: Option<Reply>,
    content: Content,
    /// The peer has ended the transaction by its reply to the content.
    consumed: bool,
}

impl Transfer {
    pub(super) fn new(transaction: Transaction, offered: &Extensions, protocol: Protocol) -> Transfer {
        let lmtp = protocol == Protocol::Lmtp;
        let form = if offered.chunking && (!lmtp || transaction.body == BodyKind::BinaryMime) {
            Form::Chunk
        } else {
            Form::Dotted
        };
        // How many replies a chunk gets in LMTP depends on how many recipients were taken: that must be known first.
        let together = form == Form::Chunk && offered.pipelining && !lmtp && transaction.size <= TOGETHER_MAX;
        Transfer {
            lmtp,
            pipelined: offered.pipelining,
            form,
            together,
            reports: offered.dsn,
            results: transaction.recipients.iter().map(|_| None).collect(),
            asked: VecDeque::new(),
            mail_asked: false,
            rcpt_asked: 0,
            taken: VecDeque::new(),
            full: None,
            content: Content::NotYet,
            consumed: false,
            transaction,
        }
    }

    pub(super) fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Has everybody an answer?
    pub(super) fn is_decided(&self) -> bool {
        self.results.iter().all(Option::is_some)
    }

    /// What is waited for.
    pub(super) fn stage(&self) -> Stage {
        match self.content {
            Content::Sending => return Stage::Content,
            Content::Sent => return Stage::Dot,
            Content::NotYet => {}
        }
        match self.asked.front() {
            None | Some(Asked::Mail) => Stage::Mail,
            Some(Asked::Rcpt(_)) => Stage::Rcpt,
            Some(Asked::Data) => Stage::Data,
            Some(Asked::Final | Asked::Nothing) => Stage::Dot,
        }
    }

    pub(super) fn content_sent(&mut self) {
        if self.content == Content::Sending {
            self.content = Content::Sent;
        }
    }

    /// The peer cannot have this message: nobody is asked.
    pub(super) fn unfit(&mut self, status: EnhancedStatus, text: &str) {
        self.reject_rest(Stage::Mail, &Why::Unfit { status, text: text.into() });
        self.consumed = true;
    }

    /// Must the peer be told to forget the transaction?
    pub(super) fn needs_reset(&self) -> bool {
        !self.consumed
    }

    /// Ends it: a recipient without an answer was lost with the connection.
    pub(super) fn results(self, trouble: Option<&Arc<Trouble>>) -> Vec<Result<Accepted, Rejection>> {
        let stage = self.stage();
        let lost = || match trouble {
            Some(trouble) => Why::Lost(Arc::clone(trouble)),
            // Not reached: a transaction ends without trouble only when everybody has an answer.
            None => Why::Unfit { status: EnhancedStatus(4, 3, 0), text: "There was no answer.".into() },
        };
        let answer =
            |result: Option<_>| result.unwrap_or_else(|| Err(Rejection { stage, why: lost(), too_many: false }));
        self.results.into_iter().map(answer).collect()
    }

    /// The next batch of commands; to be called when no reply is due.
    pub(super) fn next(&mut self, offered: &Extensions) -> Next {
        if self.is_decided() {
            return Next::Finished;
        }
        let mut out = String::new();
        if !self.mail_asked {
            self.mail_asked = true;
            command::mail(&mut out, offered, &self.transaction);
            self.asked.push_back(Asked::Mail);
            if !self.pipelined {
                return Next::Say(out, None);
            }
        }
        if let Some(reply) = self.full.take() {
            self.reject_unasked(&reply);
        }
        let utf8 = offered.utf8 && fit::needs_utf8(&self.transaction);
        while let Some(to) = self.transaction.recipients.get(self.rcpt_asked) {
            if self.asked.len() >= if self.pipelined { BATCH_MAX } else { 1 } || out.len() >= BATCH_OCTETS_MAX {
                return Next::Say(out, None);
            }
            // Those that MAIL's refusal has answered are not asked for.
            if self.results[self.rcpt_asked].is_none() {
                command::rcpt(&mut out, offered, utf8, to);
                self.asked.push_back(Asked::Rcpt(u32::try_from(self.rcpt_asked).unwrap_or(u32::MAX)));
            }
            self.rcpt_asked += 1;
        }
        self.ask_for_content(out)
    }

    /// Everybody is asked for: the content's command, if it may go now.
    fn ask_for_content(&mut self, mut out: String) -> Next {
        let waiting = !self.asked.is_empty();
        if self.taken.is_empty() && !waiting {
            return Next::Finished;
        }
        let now = !waiting || (self.pipelined && (self.form == Form::Dotted || self.together));
        if !now {
            return Next::Say(out, None);
        }
        match self.form {
            Form::Dotted => {
                out.push_str("DATA\r\n");
                self.asked.push_back(Asked::Data);
                Next::Say(out, None)
            }
            Form::Chunk => {
                out.push_str(&format!("BDAT {} LAST\r\n", self.transaction.size));
                self.expect_final();
                Next::Say(out, Some(Form::Chunk))
            }
        }
    }

    fn expect_final(&mut self) {
        self.content = Content::Sending;
        let replies = if self.lmtp { self.taken.len() } else { 1 };
        self.asked.extend(std::iter::repeat_n(Asked::Final, replies));
    }

    /// Takes the reply to what was asked first.
    pub(super) fn heard(&mut self, reply: Reply, offered: &Extensions) -> Next {
        let Some(asked) = self.asked.pop_front() else {
            return Next::OutOfTurn("the server answered what was not asked", reply);
        };
        if (300..400).contains(&reply.code) && asked != Asked::Data {
            self.asked.push_front(asked);
            return Next::OutOfTurn("the server asked for something that we did not offer", reply);
        }
        match asked {
            Asked::Mail if reply.is_positive() => {}
            Asked::Mail => {
                self.reject_rest(Stage::Mail, &Why::Said(reply));
            }
            Asked::Rcpt(index) => self.heard_rcpt(index, reply),
            Asked::Data => return self.heard_data(reply, offered),
            Asked::Final => return self.heard_final(reply, offered),
            Asked::Nothing => self.consumed = true,
        }
        self.after(offered)
    }

    /// The next batch once no reply is due.
    fn after(&mut self, offered: &Extensions) -> Next {
        if self.asked.is_empty() { self.next(offered) } else { Next::Wait }
    }

    fn heard_rcpt(&mut self, index: u32, reply: Reply) {
        let too_many = self.is_too_many(&reply);
        // A recipient that MAIL's refusal has answered keeps that answer.
        let Some(result @ None) = self.results.get_mut(index as usize) else { return };
        if reply.is_positive() {
            self.taken.push_back(index);
            return;
        }
        if too_many {
            self.full = Some(reply.clone());
        }
        *result = Some(Err(Rejection { stage: Stage::Rcpt, why: Why::Said(reply), too_many }));
    }

    /// 452 4.5.3, and 552 when somebody was taken before, unless its status says that it is about a mailbox.
    fn is_too_many(&self, reply: &Reply) -> bool {
        match (reply.code, reply.status) {
            (452 | 552, Some(EnhancedStatus(_, 5, 3))) => true,
            (452 | 552, None) => !self.taken.is_empty(),
            _ => false,
        }
    }

    fn heard_data(&mut self, reply: Reply, offered: &Extensions) -> Next {
        match reply.code {
            354 if !self.taken.is_empty() => {
                self.expect_final();
                Next::Content(Form::Dotted)
            }
            354 if self.lmtp => {
                self.asked.push_front(Asked::Data);
                Next::OutOfTurn("the server wants a message for nobody", reply)
            }
            354 => {
                self.asked.push_back(Asked::Nothing);
                Next::Say(".\r\n".to_owned(), None)
            }
            200..400 => {
                self.asked.push_front(Asked::Data);
                Next::OutOfTurn("the server gave no answer to DATA that has a meaning", reply)
            }
            _ => {
                self.decide_taken(Stage::Data, &reply);
                self.after(offered)
            }
        }
    }

    fn heard_final(&mut self, reply: Reply, offered: &Extensions) -> Next {
        if self.content == Content::Sending {
            // A refusal in the middle is taken at its word, but where the stream stands is not known any more.
            if !reply.is_positive() {
                self.decide_taken(Stage::Content, &reply);
            }
            return Next::OutOfTurn("the server answered before it had the whole message", reply);
        }
        self.consumed |= self.form == Form::Dotted || reply.is_positive();
        if self.lmtp {
            if let Some(index) = self.taken.pop_front() {
                self.decide(index, Stage::Dot, &reply);
            }
        } else {
            self.decide_taken(Stage::Dot, &reply);
        }
        self.after(offered)
    }

    fn decide_taken(&mut self, stage: Stage, reply: &Reply) {
        while let Some(index) = self.taken.pop_front() {
            self.decide(index, stage, reply);
        }
    }

    fn decide(&mut self, index: u32, stage: Stage, reply: &Reply) {
        let index = index as usize;
        let (Some(result), Some(to)) = (self.results.get_mut(index), self.transaction.recipients.get(index)) else {
            return;
        };
        *result = Some(if reply.is_positive() {
            Ok(Accepted { reply: reply.clone(), reports: self.reports && to.notify != Notify::Default })
        } else {
            Err(Rejection { stage, why: Why::Said(reply.clone()), too_many: false })
        });
    }

    fn reject_rest(&mut self, stage: Stage, why: &Why) {
        for result in self.results.iter_mut().filter(|result| result.is_none()) {
            *result = Some(Err(Rejection { stage, why: why.clone(), too_many: false }));
        }
    }

    /// The peer takes no more: those who were not asked for yet need not hear it one by one.
    fn reject_unasked(&mut self, reply: &Reply) {
        for result in self.results.iter_mut().skip(self.rcpt_asked).filter(|result| result.is_none()) {
            let why = Why::Said(reply.clone());
            *result = Some(Err(Rejection { stage: Stage::Rcpt, why, too_many: true }));
        }
    }
}
