//! The part for people: which address, what the other side said in its own words, what it means, what one can do.
//!
//! Recipients to whom the same thing happened are named together. Nothing here is for programs; the words may change.

use super::{About, Kind, Report, broken, one_line};
use crate::reply::EnhancedStatus;
use std::fmt::Write;

/// Width of the text.
const WIDTH: usize = 72;
/// Blanks before an address and before the other side's words, as the old service had them.
const INDENT: &str = "       ";
/// Lines of the other side's words.
const REPLY_LINES_MAX: usize = 20;
/// Different things that happened which are told one by one; there are as many fields as there are recipients anyway.
const GROUPS_MAX: usize = 100;

pub(super) fn text(report: &Report<'_>, note: &str) -> String {
    let mut out = String::new();
    paragraph(&mut out, &format!("This report was made by the mail relay {}, not by a person.", report.reporting_mta));
    if report.kind == Kind::Delayed {
        out.push_str("THIS IS ONLY A NOTICE OF DELAY.\r\nPLEASE DO NOT SEND YOUR MESSAGE AGAIN.\r\n\r\n");
    }
    let groups = grouped(&report.recipients);
    for (i, group) in groups.iter().enumerate() {
        paragraph(&mut out, opening(report, group, i == 0));
        for about in group {
            let _ = write!(out, "{INDENT}{}\r\n", one_line(&about.address.to_string(), 500));
        }
        out.push_str("\r\n");
        if let Some(about) = group.first() {
            told(&mut out, report, about);
        }
    }
    paragraph(&mut out, &format!("{note} This relay received it on {}.", report.arrived.rfc5322()));
    out.truncate(out.trim_end().len() + 2);
    out
}

/// The first sentence above a group of addresses.
fn opening(report: &Report<'_>, group: &[&About], first: bool) -> &'static str {
    let one = group.len() == 1;
    match (report.kind, first, one) {
        (Kind::Failed, true, true) => {
            "Your message could not be delivered to this address, and will not be tried again:"
        }
        (Kind::Failed, true, false) => {
            "Your message could not be delivered to these addresses, and will not be tried again:"
        }
        (Kind::Failed, false, true) => "Nor could it be delivered to this address:",
        (Kind::Failed, false, false) => "Nor could it be delivered to these addresses:",
        (Kind::Delayed, _, true) => "Your message could not be delivered to this address yet:",
        (Kind::Delayed, _, false) => "Your message could not be delivered to these addresses yet:",
        (Kind::Relayed, _, true) => "Your message to this address was handed on to another mail server:",
        (Kind::Relayed, _, false) => "Your message to these addresses was handed on to another mail server:",
        (Kind::Delivered, _, true) => "Your message was delivered to this address:",
        (Kind::Delivered, _, false) => "Your message was delivered to these addresses:",
    }
}

/// What happened to a group, in our words, in the other side's, and what one can do.
fn told(out: &mut String, report: &Report<'_>, about: &About) {
    if !about.text.trim().is_empty() {
        paragraph(out, &one_line(about.text.trim(), 1_000));
    }
    if let Some(reply) = &about.reply {
        match about.host.as_deref() {
            Some(host) => paragraph(out, &format!("The mail server {} said:", one_line(host, 300))),
            None => paragraph(out, "The other mail server said:"),
        }
        said(out, reply);
    }
    match report.kind {
        Kind::Failed => paragraph(out, advice(about.status)),
        Kind::Delayed => match about.retry_until {
            Some(until) => {
                paragraph(
                    out,
                    &format!("This relay keeps trying until {}. You need not do anything.", until.rfc5322()),
                );
            }
            None => paragraph(out, "This relay keeps trying. You need not do anything."),
        },
        Kind::Relayed => paragraph(
            out,
            "That server does not report deliveries, so this is the last that you hear, unless it cannot deliver \
             the message.",
        ),
        Kind::Delivered => {}
    }
}

/// The other side's reply, line by line as it came.
fn said(out: &mut String, reply: &crate::reply::Reply) {
    for (i, line) in reply.lines.iter().take(REPLY_LINES_MAX).enumerate() {
        let mut whole = reply.code.to_string();
        if let Some(status) = reply.status {
            let _ = write!(whole, " {status}");
        }
        if i > 0 && line.trim().is_empty() {
            continue;
        }
        let _ = write!(whole, " {}", one_line(line.trim(), crate::reply::LINE_MAX));
        for piece in broken(whole.trim_end(), WIDTH) {
            let _ = write!(out, "{INDENT}{piece}\r\n");
        }
    }
    out.push_str("\r\n");
}

fn paragraph(out: &mut String, text: &str) {
    for piece in broken(text, WIDTH) {
        out.push_str(&piece);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
}

/// Recipients with the same fate together, in the order of the first of each.
fn grouped(recipients: &[About]) -> Vec<Vec<&About>> {
    let mut groups: Vec<Vec<&About>> = Vec::new();
    for about in recipients {
        let same = |group: &&mut Vec<&About>| {
            group.first().is_some_and(|first| {
                first.status == about.status
                    && first.reply == about.reply
                    && first.host == about.host
                    && first.text == about.text
                    && first.retry_until == about.retry_until
            })
        };
        let full = groups.len() >= GROUPS_MAX;
        match groups.iter_mut().find(same) {
            Some(group) => group.push(about),
            None if full => groups.iter_mut().next_back().into_iter().for_each(|group| group.push(about)),
            None => groups.push(vec![about]),
        }
    }
    groups
}

/// What a status means to the sender, and what to do about it.
fn advice(status: EnhancedStatus) -> &'static str {
    match (status.1, status.2) {
        (1, 2) => "The part of the address after the @ is not known, or takes no mail. Look for a misspelling there.",
        (1, 3) => "The address is not written in a form that mail can be sent to. Look for a misspelling.",
        (1, 6) => "The recipient has moved and left no new address. Ask for it by other means.",
        (1, 7 | 8) => {
            "It was your own address that was not accepted. Check how your program writes it, or ask your postmaster."
        }
        (1, 10) => "The part of the address after the @ is a name that takes no mail at all. Look for a misspelling.",
        (1, _) => {
            "There is no such address. Look for a misspelling, or ask the recipient for the present address by \
             other means."
        }
        (2, 1) => "The recipient's mailbox is closed. Reach the recipient by other means.",
        (2, 2) => "The recipient's mailbox is full. Tell the recipient by other means, or send your message later.",
        (2, 3) | (3, 4) => {
            "Your message is larger than is allowed there. Send it in parts, or make its attachments smaller."
        }
        (2, _) => "The recipient's mailbox does not take the message. Reach the recipient by other means.",
        (3, _) => "The mail system there has no room, or has trouble of its own. Send your message later.",
        (4, 6 | 8) => "The message went round in a circle of mail servers. Please show this report to your postmaster.",
        (4, 7) => {
            "The time within which the message had to be delivered has run out. Reach the recipient by other \
             means, or send your message again later."
        }
        (4, 3 | 4) => {
            "No way was found to the mail server of the address. Look for a misspelling after the @, or ask your \
             postmaster."
        }
        (4, _) => "The mail server of the address could not be reached. Send your message later.",
        (5, 3) => "There are too many recipients in one message for the other server. Send it to fewer at a time.",
        (6, 7) => {
            "The other server does not take addresses with letters beyond ASCII. Ask the recipient for another address."
        }
        (6, _) => {
            "The other server does not take a message of this form. Send it as plain text, or with its attachments \
             packed differently."
        }
        (7, _) => {
            "The other server does not allow this message. Sending it again will not help; if its words above do \
             not tell you why, ask your postmaster or the recipient's."
        }
        _ => {
            "The other server refused the message. If its words above do not tell you why, show this report to \
             your postmaster."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Mailbox;

    #[test]
    fn every_status_has_advice_in_few_lines() {
        for subject in 0..10 {
            for detail in 0..30 {
                let text = advice(EnhancedStatus(5, subject, detail));
                assert!((40..240).contains(&text.len()) && text.ends_with('.'), "{text}");
            }
        }
    }

    #[test]
    fn many_fates_are_grouped_and_bounded() {
        let about = |i: usize, text: &str| About {
            address: Mailbox::parse(&format!("a{i}@b.test")).unwrap(),
            orcpt: None,
            status: EnhancedStatus(5, 1, 1),
            reply: None,
            host: None,
            text: text.into(),
            attempted: None,
            retry_until: None,
        };
        let all: Vec<About> = (0..1_000).map(|i| about(i, if i % 2 == 0 { "even" } else { "odd" })).collect();
        let groups = grouped(&all);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500]);
        let mut others = vec![about(0, ""); 5];
        others[1].status = EnhancedStatus(5, 1, 2);
        others[2].reply = Some(crate::reply::Reply::plain(550, "no"));
        others[3].host = Some("mx.test".into());
        others[4].retry_until = Some(crate::time::Timestamp(1));
        assert_eq!(grouped(&others).len(), 5);
        let all: Vec<About> = (0..1_000).map(|i| about(i, &i.to_string())).collect();
        assert_eq!(grouped(&all).len(), GROUPS_MAX);
        assert_eq!(grouped(&all).iter().map(Vec::len).sum::<usize>(), 1_000);
    }
}
