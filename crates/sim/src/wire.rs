//! One connection between a sending and a receiving machine: octets move in pieces of any size, and the wire may be
//! cut after any octet. Either end may be ours; the other is a stranger's.

use crate::chance::Chance;
use bytes::Bytes;
use smtp::client::{self, Form, Stuffer};
use smtp::server::{self, Question};
use smtp::time::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;

/// What happened at one of the ends and wants an answer.
#[derive(Debug)]
pub enum Happening {
    /// The sending machine has nothing under way.
    SenderReady,
    /// The sending machine has the results of its transaction.
    SenderDone(Vec<Result<client::Accepted, client::Rejection>>),
    /// The sending end is over.
    SenderGone,
    /// The receiving machine asks.
    Asked(Question),
    /// Content has come.
    Body(Bytes),
    /// The transaction at the receiving end died.
    Abandoned,
    /// The receiving end is over.
    ReceiverGone,
}

/// See the module.
pub struct Wire {
    /// The sending machine.
    pub sender: client::Session,
    /// The receiving machine.
    pub receiver: server::Session,
    /// What the sender's transaction carries.
    pub content: Bytes,
    forth: VecDeque<u8>,
    back: VecDeque<u8>,
    /// Octets that still pass before the wire is cut.
    pub cut_after: Option<u64>,
    /// The wire was cut.
    pub is_cut: bool,
    /// Steps in a row in which nothing moved.
    pub still: u32,
    sender_over: bool,
    receiver_over: bool,
}

impl Wire {
    /// A wire between two fresh machines.
    #[must_use]
    pub fn new(
        sending: Arc<client::Settings>,
        receiving: Arc<server::Settings>,
        peer: std::net::IpAddr,
        now: Timestamp,
        cut_after: Option<u64>,
    ) -> Wire {
        Wire {
            sender: client::Session::new(sending, now),
            receiver: server::Session::new(receiving, Arc::default(), peer, now),
            content: Bytes::new(),
            forth: VecDeque::new(),
            back: VecDeque::new(),
            cut_after,
            is_cut: false,
            still: 0,
            sender_over: false,
            receiver_over: false,
        }
    }

    /// Are both ends over?
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.sender_over && self.receiver_over
    }

    /// Cuts the wire: both ends see it closed.
    pub fn cut(&mut self) {
        self.is_cut = true;
        self.forth.clear();
        self.back.clear();
        if !self.sender_over {
            self.sender.receive_end();
        }
        if !self.receiver_over {
            self.receiver.receive_end();
        }
    }

    /// Moves one piece each way and lets both machines take their steps; gives the first thing that wants an answer.
    pub fn step(&mut self, now: Timestamp, chance: &mut Chance) -> Option<Happening> {
        let happening = self.receiver_step(now).or_else(|| self.sender_step(now));
        if happening.is_some() {
            self.still = 0;
            return happening;
        }
        self.still = if self.forth.is_empty() && self.back.is_empty() { self.still + 1 } else { 0 };
        self.carry(chance, true);
        self.carry(chance, false);
        None
    }

    fn receiver_step(&mut self, now: Timestamp) -> Option<Happening> {
        if self.receiver_over {
            return None;
        }
        while let Some(step) = self.receiver.next(now) {
            match step {
                server::Step::Send(octets) => self.back.extend(octets),
                server::Step::Ask(question) => return Some(Happening::Asked(question)),
                server::Step::Body(chunk) => return Some(Happening::Body(chunk)),
                server::Step::Abandon => return Some(Happening::Abandoned),
                server::Step::Close(_) | server::Step::StartTls => {
                    self.receiver_over = true;
                    return Some(Happening::ReceiverGone);
                }
            }
        }
        None
    }

    fn sender_step(&mut self, now: Timestamp) -> Option<Happening> {
        if self.sender_over {
            return None;
        }
        while let Some(step) = self.sender.next(now) {
            match step {
                client::Step::Send(octets) => self.forth.extend(octets),
                client::Step::Content(form) => {
                    self.forth.extend(on_the_wire(&self.content, form));
                    self.sender.content_sent();
                }
                client::Step::Ready => return Some(Happening::SenderReady),
                client::Step::Done(results) => return Some(Happening::SenderDone(results)),
                // Neither TLS nor AUTH is asked for.
                client::Step::StartTls
                | client::Step::Authenticate { .. }
                | client::Step::Challenge(_)
                | client::Step::Authenticated
                | client::Step::Failed(_)
                | client::Step::Close => {
                    self.sender_over = true;
                    return Some(Happening::SenderGone);
                }
            }
        }
        None
    }

    fn carry(&mut self, chance: &mut Chance, forth: bool) {
        let takes = if forth { !self.receiver_over && self.receiver.wants_input() } else { !self.sender_over };
        let queue = if forth { &mut self.forth } else { &mut self.back };
        let most = match chance.below(4) {
            0 => 1,
            1 => 7,
            2 => 500,
            _ => 64 * 1024,
        };
        let mut n = queue.len().min(most);
        if let Some(left) = &mut self.cut_after {
            n = n.min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= n as u64;
        }
        let piece: Vec<u8> = queue.drain(..n).collect();
        if takes && !piece.is_empty() {
            if forth {
                self.receiver.receive(&piece);
            } else {
                self.sender.receive(&piece);
            }
        } else if !takes && !self.receiver_over && forth {
            for octet in piece.into_iter().rev() {
                self.forth.push_front(octet);
            }
        }
        if self.cut_after == Some(0) && !self.is_cut {
            self.cut();
        }
        if forth && self.sender_over && self.forth.is_empty() && !self.receiver_over {
            self.receiver.receive_end();
        }
        if !forth && self.receiver_over && self.back.is_empty() && !self.sender_over {
            self.sender.receive_end();
        }
    }
}

/// The content as the sending driver writes it.
fn on_the_wire(content: &Bytes, form: Form) -> Vec<u8> {
    match form {
        Form::Chunk => content.to_vec(),
        Form::Dotted => {
            let mut stuffer = Stuffer::new();
            let mut out = stuffer.chunk(content.clone()).to_vec();
            out.extend_from_slice(&stuffer.finish());
            out
        }
    }
}
