//! An envelope from its text, strictly: what is not understood is an error, never a guess.
//!
//! A text that was cut anywhere lacks its `end` line and is refused. Line ends may be CRLF, so that an operator may
//! mend a file with any editor. The form stands in [`super::print`].

use super::print::{FIRST_LINE, LAST_LINE, kind_word};
use super::{Attempt, Envelope, Failure, FailureKind, Fate, Origin, QueueId, Recipient};
use crate::channel::Channel;
use smtp::address::{Host, Mailbox, ReversePath};
use smtp::command::{BodyKind, Notify, Ret};
use smtp::reply::{EnhancedStatus, Reply};
use smtp::time::Timestamp;
use std::fmt;
use std::iter::Peekable;
use std::sync::Arc;

/// Numbers that one `recipients:` line may stand for: `0-4294967295` is nine octets of file and 16 GiB of memory.
const RANGE_MAX: usize = 1_000_000;

/// Why a text is no envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAnEnvelope {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for NotAnEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for NotAnEnvelope {}

/// One `name: value`.
struct Line<'a> {
    number: usize,
    name: &'a str,
    value: &'a str,
}

impl Line<'_> {
    fn wrong(&self, why: &'static str) -> NotAnEnvelope {
        NotAnEnvelope { line: self.number, why }
    }
}

type Parsed<T> = Result<T, NotAnEnvelope>;
type Lines<'a, I> = Peekable<I>;

impl Envelope {
    /// Reads what [`Envelope::print`] writes.
    ///
    /// # Errors
    /// The first line that is not understood; or the text was cut.
    pub fn parse(text: &str) -> Result<Envelope, NotAnEnvelope> {
        let body = frame(text)?;
        let mut lines = body
            .lines()
            .enumerate()
            .map(|(i, line)| match line.split_once(':') {
                Some((name, value)) => {
                    Ok(Line { number: i + 2, name, value: value.strip_prefix(' ').unwrap_or(value) })
                }
                None => Err(NotAnEnvelope { line: i + 2, why: "not of the form `name: value`" }),
            })
            .peekable();
        let mut head = Head::default();
        while let Some(Ok(line)) = lines.next_if(|l| !matches!(l, Ok(Line { name: "recipient" | "attempt", .. }))) {
            head.take(&line)?;
        }
        let mut recipients = Vec::new();
        while let Some(Ok(line)) = lines.next_if(|l| matches!(l, Ok(Line { name: "recipient", .. }))) {
            recipients.push(recipient(&line, &mut lines)?);
        }
        let mut attempts = Vec::new();
        while let Some(Ok(line)) = lines.next_if(|l| matches!(l, Ok(Line { name: "attempt", .. }))) {
            attempts.push(attempt(&line, &mut lines)?);
        }
        match lines.next() {
            None => head.finish(recipients, attempts),
            Some(Ok(line)) => Err(line.wrong("a line of this name cannot stand here")),
            Some(Err(error)) => Err(error),
        }
    }
}

/// Takes off the first and the last line.
fn frame(text: &str) -> Parsed<&str> {
    let (first, rest) = text.split_once('\n').ok_or(NotAnEnvelope { line: 1, why: "not an envelope" })?;
    if first.strip_suffix('\r').unwrap_or(first) != FIRST_LINE {
        return Err(NotAnEnvelope { line: 1, why: "not an envelope of version 1" });
    }
    let cut = NotAnEnvelope { line: text.lines().count(), why: "cut: the line `end` is missing" };
    let rest = rest.trim_end_matches(['\r', '\n']).strip_suffix(LAST_LINE).ok_or(cut.clone())?;
    if rest.is_empty() || rest.ends_with('\n') { Ok(rest) } else { Err(cut) }
}

#[derive(Default)]
struct Head {
    arrived: Option<Timestamp>,
    released: Option<Timestamp>,
    origin: Option<Origin>,
    account: Option<Box<str>>,
    sender: Option<ReversePath>,
    size: Option<u64>,
    body: Option<BodyKind>,
    utf8: Option<()>,
    ret: Option<Ret>,
    envid: Option<Box<str>>,
    require_tls: Option<()>,
    waives_tls: Option<()>,
    subject: Option<Box<str>>,
}

impl Head {
    fn take(&mut self, line: &Line<'_>) -> Parsed<()> {
        match line.name {
            "arrived" => once(&mut self.arrived, line, date(line.value)),
            "released" => once(&mut self.released, line, date(line.value)),
            "origin" => once(&mut self.origin, line, origin(line.value)),
            "account" => once(&mut self.account, line, unescape(line.value)),
            "sender" => once(&mut self.sender, line, sender(line.value)),
            "size" => once(&mut self.size, line, line.value.parse().ok()),
            "body" => {
                let kind = match line.value {
                    "8bitmime" => Some(BodyKind::EightBitMime),
                    "binarymime" => Some(BodyKind::BinaryMime),
                    _ => None,
                };
                once(&mut self.body, line, kind)
            }
            "utf8" => once(&mut self.utf8, line, (line.value == "yes").then_some(())),
            "ret" => {
                let ret = match line.value {
                    "full" => Some(Ret::Full),
                    "headers" => Some(Ret::Headers),
                    _ => None,
                };
                once(&mut self.ret, line, ret)
            }
            "envid" => once(&mut self.envid, line, unescape(line.value)),
            "subject" => once(&mut self.subject, line, unescape(line.value)),
            "require-tls" => once(&mut self.require_tls, line, (line.value == "yes").then_some(())),
            "tls-required" => once(&mut self.waives_tls, line, (line.value == "no").then_some(())),
            _ => Err(line.wrong("a line of this name cannot stand here")),
        }
    }

    fn finish(self, recipients: Vec<Recipient>, attempts: Vec<Attempt>) -> Parsed<Envelope> {
        let missing = |why| NotAnEnvelope { line: 1, why };
        if recipients.is_empty() {
            return Err(missing("there is no recipient"));
        }
        Ok(Envelope {
            sender: self.sender.ok_or(missing("the line `sender` is missing"))?,
            arrived: self.arrived.ok_or(missing("the line `arrived` is missing"))?,
            origin: with_account(self.origin.ok_or(missing("the line `origin` is missing"))?, self.account)
                .ok_or(missing("only a client over SMTP has an `account`"))?,
            size: self.size.ok_or(missing("the line `size` is missing"))?,
            body: self.body.unwrap_or_default(),
            utf8: self.utf8.is_some(),
            ret: self.ret,
            envid: self.envid,
            require_tls: self.require_tls.is_some(),
            waives_tls: self.waives_tls.is_some(),
            recipients,
            attempts,
            released: self.released,
            subject: self.subject,
        })
    }
}

/// Sets what may be said once.
fn once<T>(slot: &mut Option<T>, line: &Line<'_>, value: Option<T>) -> Parsed<()> {
    if slot.is_some() {
        return Err(line.wrong("this is said twice"));
    }
    *slot = Some(value.ok_or(line.wrong("the value is not understood"))?);
    Ok(())
}

/// The lines that belong to the one before: indented by a space.
fn next_inner<'a, I>(lines: &mut Lines<'a, I>) -> Option<Line<'a>>
where
    I: Iterator<Item = Parsed<Line<'a>>>,
{
    lines.next_if(|l| matches!(l, Ok(line) if line.name.starts_with(' '))).and_then(Result::ok)
}

fn recipient<'a, I>(first: &Line<'a>, lines: &mut Lines<'a, I>) -> Parsed<Recipient>
where
    I: Iterator<Item = Parsed<Line<'a>>>,
{
    let address = mailbox(first.value).ok_or(first.wrong("not an address"))?;
    let (mut orcpt, mut notify, mut noticed, mut fate) = (None, None, None, None);
    let mut failed = FailureLines::default();
    while let Some(line) = next_inner(lines) {
        match line.name {
            // Said for the reader only; the order counts.
            " number" => {}
            " orcpt" => once(&mut orcpt, &line, unescape(line.value))?,
            " notify" => once(&mut notify, &line, notify_words(line.value))?,
            " delay-noticed" => once(&mut noticed, &line, (line.value == "yes").then_some(()))?,
            " fate" => once(&mut fate, &line, fate_words(line.value))?,
            " failed-host" => once(&mut failed.host, &line, unescape(line.value))?,
            " failed-reply" => once(&mut failed.reply, &line, reply_codes(line.value))?,
            " failed-said" => match (&mut failed.reply, unescape(line.value)) {
                (Some(reply), Some(text)) => reply.lines.push(String::from(text).into()),
                _ => return Err(line.wrong("words without a reply before them")),
            },
            " failed-text" => once(&mut failed.text, &line, unescape(line.value))?,
            _ => return Err(line.wrong("a line of this name cannot stand here")),
        }
    }
    let fate = match fate.ok_or(first.wrong("this recipient has no `fate`"))? {
        FateWords::Complete(fate) => fate,
        FateWords::Failed(kind, status) => Fate::Failed(Box::new(Failure {
            kind,
            status,
            host: failed.host.take(),
            reply: failed.reply.take(),
            text: failed.text.take().ok_or(first.wrong("this recipient's failure has no `failed-text`"))?,
        })),
    };
    if failed.host.is_some() || failed.reply.is_some() || failed.text.is_some() {
        return Err(first.wrong("a failure is told of, but this recipient has not failed"));
    }
    Ok(Recipient { address, orcpt, notify: notify.unwrap_or(Notify::Default), fate, delay_noticed: noticed.is_some() })
}

#[derive(Default)]
struct FailureLines {
    host: Option<Box<str>>,
    reply: Option<Reply>,
    text: Option<Box<str>>,
}

enum FateWords {
    Complete(Fate),
    Failed(FailureKind, EnhancedStatus),
}

fn fate_words(value: &str) -> Option<FateWords> {
    let (word, rest) = value.split_once(' ').unwrap_or((value, ""));
    Some(FateWords::Complete(match word {
        "pending" => {
            let (tries, due) = rest.strip_prefix("tries ")?.split_once(" due ")?;
            Fate::Pending { tries: tries.parse().ok()?, due: date(due)? }
        }
        "held" if rest.is_empty() => Fate::Held,
        "delivered" => {
            let (at, by) = rest.split_once(' ')?;
            Fate::Delivered { at: date(at)?, by: unescape(by)? }
        }
        "reported" => Fate::Reported { at: date(rest)? },
        "badmail" => Fate::Badmail { at: date(rest)? },
        "deleted" => Fate::Deleted { at: date(rest)? },
        "failed" => {
            let (kind, status) = rest.split_once(' ')?;
            return Some(FateWords::Failed(kind_from(kind)?, status_number(status)?));
        }
        _ => return None,
    }))
}

fn kind_from(word: &str) -> Option<FailureKind> {
    use FailureKind as K;
    let all = [
        K::Refused,
        K::Unreachable,
        K::Dns,
        K::Tls,
        K::Auth,
        K::Unsupported,
        K::Quota,
        K::Local,
        K::Loop,
        K::Expired,
        K::Operator,
    ];
    all.into_iter().find(|kind| kind_word(*kind) == word)
}

fn reply_codes(value: &str) -> Option<Reply> {
    let (code, status) = match value.split_once(' ') {
        None => (value, None),
        Some((code, status)) => (code, Some(status_number(status)?)),
    };
    Some(Reply { code: code.parse().ok()?, status, lines: Vec::new() })
}

fn status_number(text: &str) -> Option<EnhancedStatus> {
    let mut numbers = text.splitn(3, '.');
    let class = numbers.next()?.parse().ok()?;
    let subject = numbers.next()?.parse().ok()?;
    Some(EnhancedStatus(class, subject, numbers.next()?.parse().ok()?))
}

fn attempt<'a, I>(first: &Line<'a>, lines: &mut Lines<'a, I>) -> Parsed<Attempt>
where
    I: Iterator<Item = Parsed<Line<'a>>>,
{
    let when_where = first.value.split_once(' ').and_then(|(at, host)| Some((date(at)?, unescape(host)?)));
    let (at, host) = when_where.ok_or(first.wrong("the value is not understood"))?;
    let (mut recipients, mut channel, mut said) = (None, None, None);
    while let Some(line) = next_inner(lines) {
        match line.name {
            " recipients" => once(&mut recipients, &line, numbers(line.value))?,
            " channel" => once(&mut channel, &line, unescape(line.value).and_then(|text| Channel::parse(&text)))?,
            " said" => once(&mut said, &line, unescape(line.value))?,
            _ => return Err(line.wrong("a line of this name cannot stand here")),
        }
    }
    let recipients = recipients.ok_or(first.wrong("this attempt has no `recipients`"))?;
    let said = said.ok_or(first.wrong("this attempt has no `said`"))?;
    Ok(Attempt { at, host, recipients, said, channel: channel.map(Arc::new) })
}

/// `0 3-5 9`
fn numbers(value: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for word in value.split(' ').filter(|w| !w.is_empty()) {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        let count = usize::try_from(last.checked_sub(first)?).ok()?;
        if all.len() + count >= RANGE_MAX {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// Envelopes of a time without accounts have no such line.
fn with_account(origin: Origin, account: Option<Box<str>>) -> Option<Origin> {
    match (origin, account) {
        (origin, None) => Some(origin),
        (Origin::Smtp { peer, helo, .. }, account) => Some(Origin::Smtp { peer, helo, account }),
        _ => None,
    }
}

fn origin(value: &str) -> Option<Origin> {
    let (way, rest) = value.split_once(' ')?;
    match way {
        "smtp" => {
            let (peer, helo) = rest.split_once(' ')?;
            Some(Origin::Smtp { peer: peer.parse().ok()?, helo: unescape(helo)?, account: None })
        }
        "pickup" => Some(Origin::Pickup { file: unescape(rest)? }),
        "report" => Some(Origin::Report { about: QueueId::parse(rest)? }),
        _ => None,
    }
}

fn sender(value: &str) -> Option<ReversePath> {
    match value {
        "<>" => Some(ReversePath::Null),
        _ => mailbox(value).map(ReversePath::Mailbox),
    }
}

/// By its parts: a bare local part that we completed may be longer than the path that a peer may give.
fn mailbox(text: &str) -> Option<Mailbox> {
    let (local, host) = text.rsplit_once('@')?;
    Mailbox::new(local, Host::parse(host).ok()?).ok()
}

fn notify_words(value: &str) -> Option<Notify> {
    if value == "never" {
        return Some(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in value.split(' ').filter(|w| !w.is_empty()) {
        match word {
            "success" => success = true,
            "failure" => failure = true,
            "delay" => delay = true,
            _ => return None,
        }
    }
    Some(Notify::On { success, failure, delay })
}

fn date(text: &str) -> Option<Timestamp> {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Timestamp),
        None => Timestamp::parse_rfc3339(text),
    }
}

/// Undoes the escapes; `None` for one that is none.
fn unescape(value: &str) -> Option<Box<str>> {
    if !value.contains('\\') {
        return Some(value.into());
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        rest = if let Some(after) = after.strip_prefix('\\') {
            out.push('\\');
            after
        } else {
            let (number, after) = after.strip_prefix("u{")?.split_once('}')?;
            out.push(char::from_u32(u32::from_str_radix(number, 16).ok()?)?);
            after
        };
    }
    out.push_str(rest);
    Some(out.into())
}
