//! The lines that we add to a message: `Received`, `Return-Path`, `X-OriginalArrivalTime`, and a missing `Date` or
//! `Message-ID`.
//!
//! Whatever of them comes from a stranger (the HELO text) is made harmless first: no comment, no second clause, no
//! line end can be smuggled in. The forms are those of the old service with the protocol keyword and our id where it
//! named its version (IIS: §"Headers the service adds").
//!
//! RFC 5321 §4.4; RFC 8314 §4.3 (tls); RFC 3848 and RFC 6531 §4.3 (keywords); RFC 5322 §3.6.1, §3.6.4.

use super::Header;
use crate::address::{Domain, Host, ReversePath};
use crate::time::Timestamp;
use std::fmt::{Display, Write};
use std::net::IpAddr;

/// Characters of a HELO text that a trace line keeps.
const HELO_MAX: usize = 255;

/// How a message was received, for the keyword after `with`.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct With {
    /// The client said EHLO.
    pub esmtp: bool,
    /// Under TLS.
    pub tls: bool,
    /// After AUTH.
    pub auth: bool,
    /// MAIL had SMTPUTF8.
    pub utf8: bool,
}

impl With {
    /// The registered keyword: `SMTP`, `ESMTP`, `ESMTPS`, `ESMTPSA`, `UTF8SMTP`, …
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match (self.esmtp, self.utf8, self.tls, self.auth) {
            (false, ..) => "SMTP",
            (true, false, false, false) => "ESMTP",
            (true, false, false, true) => "ESMTPA",
            (true, false, true, false) => "ESMTPS",
            (true, false, true, true) => "ESMTPSA",
            (true, true, false, false) => "UTF8SMTP",
            (true, true, false, true) => "UTF8SMTPA",
            (true, true, true, false) => "UTF8SMTPS",
            (true, true, true, true) => "UTF8SMTPSA",
        }
    }
}

/// What the trace line of a message received over SMTP tells.
#[derive(Clone)]
pub struct ReceivedBy<'a> {
    /// What the client said after HELO or EHLO, whatever it is.
    pub helo: &'a str,
    /// Its address.
    pub peer: IpAddr,
    /// What reverse DNS says against its name, as the old service wrote it behind the address: `unverified`, `RDNS failed`, or
    /// nothing.
    pub note: &'a str,
    /// Our name.
    pub fqdn: &'a Domain,
    /// How.
    pub with: With,
    /// Under TLS: its version and the cipher suite's registered name (RFC 8314 §4.3).
    pub tls: Option<(&'a str, &'a str)>,
    /// Our id of the message.
    pub id: &'a dyn Display,
    /// When.
    pub now: Timestamp,
}

/// `Received: from HELO ([1.2.3.4]) by FQDN with ESMTP id ID;` and, folded, the date. Under TLS
/// `… with ESMTPS id ID tls CIPHER (VERSION);`.
#[must_use]
pub fn received(by: &ReceivedBy<'_>) -> String {
    let mut line = String::with_capacity(160);
    line.push_str("Received: from ");
    push_helo(&mut line, by.helo, by.with.utf8);
    let peer = Host::Literal(by.peer.to_canonical());
    let (fqdn, with, id, date) = (by.fqdn, by.with.keyword(), by.id, by.now.rfc5322());
    let space = if by.note.is_empty() { "" } else { " " };
    let _ = write!(line, " ({peer}{space}{}) by {fqdn} with {with} id {id}", by.note);
    if let Some((version, cipher)) = by.tls {
        let _ = write!(line, "\r\n\ttls {cipher} ({version})");
    }
    let _ = write!(line, ";\r\n\t{date}\r\n");
    line
}

/// The trace line of a message found in Pickup.
#[must_use]
pub fn received_from_pickup(fqdn: &Domain, id: &dyn Display, now: Timestamp) -> String {
    format!("Received: from mail pickup service by {fqdn} with Mailroot id {id};\r\n\t{}\r\n", now.rfc5322())
}

/// What a HELO text may say in a header line: the characters of names and literals; anything else is shown as `?`.
fn push_helo(line: &mut String, helo: &str, utf8: bool) {
    let harmless =
        |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c) || (utf8 && !c.is_ascii() && c.is_alphanumeric());
    let before = line.len();
    for c in helo.chars() {
        let c = if harmless(c) { c } else { '?' };
        if line.len() - before + c.len_utf8() > HELO_MAX {
            break;
        }
        line.push(c);
    }
    if line.len() == before {
        line.push_str("unknown");
    }
}

/// `Return-Path:` as the old service wrote it into Drop: the bare address, `<>` for a report.
#[must_use]
pub fn return_path(sender: &ReversePath) -> String {
    match sender {
        ReversePath::Null => "Return-Path: <>\r\n".to_owned(),
        ReversePath::Mailbox(mailbox) => format!("Return-Path: {mailbox}\r\n"),
    }
}

/// `X-OriginalArrivalTime: 16 Nov 2020 16:13:46.0385 (UTC) FILETIME=[760BD810:01D6BC33]`: milliseconds with four
/// digits, and the low and high word of the count of 100-ns ticks since 1601.
#[must_use]
pub fn original_arrival_time(arrived: Timestamp) -> String {
    const MS_FROM_1601_TO_1970: i64 = 11_644_473_600_000;
    let ticks = u64::try_from(arrived.0.saturating_add(MS_FROM_1601_TO_1970)).unwrap_or(0).saturating_mul(10_000);
    let date = arrived.rfc5322();
    // "Mon, 16 Nov 2020 16:13:46 +0000" without the day of the week and the zone.
    let date = date.get(5..25).unwrap_or(&date);
    let (ms, low, high) = (arrived.0.rem_euclid(1000), ticks & 0xFFFF_FFFF, ticks >> 32);
    format!("X-OriginalArrivalTime: {date}.{ms:04} (UTC) FILETIME=[{low:08X}:{high:08X}]\r\n")
}

/// The lines that a message handed in without them needs: `Date` and `Message-ID`; empty if it has both.
#[must_use]
pub fn missing(header: &Header<'_>, fqdn: &Domain, id: &dyn Display, now: Timestamp) -> String {
    let mut lines = String::new();
    if header.first("Date").is_none() {
        let _ = write!(lines, "Date: {}\r\n", now.rfc5322());
    }
    if header.first("Message-ID").is_none() {
        let _ = write!(lines, "Message-ID: <{id}@{fqdn}>\r\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Mailbox;
    use crate::header::scan;

    const NOW: Timestamp = Timestamp(1_795_330_800_123);

    fn by<'a>(helo: &'a str, fqdn: &'a Domain, with: With) -> ReceivedBy<'a> {
        ReceivedBy {
            helo,
            peer: "192.0.2.7".parse().unwrap(),
            note: "",
            fqdn,
            with,
            tls: None,
            id: &"00c0ffee",
            now: NOW,
        }
    }

    #[test]
    fn the_trace_line_tells_from_whom_and_when() {
        let fqdn = Domain::parse("relay.example.com").unwrap();
        let with = With { esmtp: true, ..With::default() };
        assert_eq!(
            received(&by("app.example.com", &fqdn, with)),
            "Received: from app.example.com ([192.0.2.7]) by relay.example.com with ESMTP id 00c0ffee;\r\n\
             \tSun, 22 Nov 2026 07:00:00 +0000\r\n"
        );
        let mut v6 = by("[IPv6:2001:db8::1]", &fqdn, with);
        v6.peer = "2001:db8::1".parse().unwrap();
        assert!(received(&v6).starts_with("Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1]) by relay"));
        v6.peer = "::ffff:10.0.0.1".parse().unwrap();
        assert!(received(&v6).contains(" ([10.0.0.1]) by"));
        assert_eq!(
            received_from_pickup(&fqdn, &"1f", NOW),
            "Received: from mail pickup service by relay.example.com with Mailroot id 1f;\r\n\
             \tSun, 22 Nov 2026 07:00:00 +0000\r\n"
        );
    }

    #[test]
    fn the_trace_line_tells_of_tls_and_reverse_dns() {
        let fqdn = Domain::parse("relay.example.com").unwrap();
        let with = With { esmtp: true, tls: true, auth: true, utf8: false };
        let mut by = by("app", &fqdn, with);
        by.note = "RDNS failed";
        by.tls = Some(("TLSv1.3", "TLS_AES_256_GCM_SHA384"));
        assert_eq!(
            received(&by),
            "Received: from app ([192.0.2.7] RDNS failed) by relay.example.com with ESMTPSA id 00c0ffee\r\n\
             \ttls TLS_AES_256_GCM_SHA384 (TLSv1.3);\r\n\tSun, 22 Nov 2026 07:00:00 +0000\r\n"
        );
    }

    #[test]
    fn keywords_are_the_registered_ones() {
        let with = |s: &str| With {
            esmtp: s.contains('e'),
            tls: s.contains('s'),
            auth: s.contains('a'),
            utf8: s.contains('u'),
        };
        for (how, keyword) in [
            ("", "SMTP"),
            ("s", "SMTP"),
            ("e", "ESMTP"),
            ("es", "ESMTPS"),
            ("ea", "ESMTPA"),
            ("esa", "ESMTPSA"),
            ("eu", "UTF8SMTP"),
            ("eus", "UTF8SMTPS"),
            ("eua", "UTF8SMTPA"),
            ("eusa", "UTF8SMTPSA"),
        ] {
            assert_eq!(with(how).keyword(), keyword);
        }
    }

    #[test]
    fn a_hostile_helo_stays_one_word() {
        let fqdn = Domain::parse("r.test").unwrap();
        let long = "x".repeat(60_000);
        for helo in ["a b", "a) by evil.test (", "a;b", "a\r\nX: y", "a\0b", "\u{202e}", "é", "", long.as_str()] {
            let line = received(&by(helo, &fqdn, With::default()));
            let rest = line.strip_prefix("Received: from ").unwrap();
            let (word, rest) = rest.split_once(' ').unwrap();
            assert!(word.bytes().all(|b| b.is_ascii_alphanumeric() || b"?.:".contains(&b)), "{word:?}");
            assert_eq!(rest, "([192.0.2.7]) by r.test with SMTP id 00c0ffee;\r\n\tSun, 22 Nov 2026 07:00:00 +0000\r\n");
            assert!(word.len() <= HELO_MAX);
        }
        let utf8 = With { esmtp: true, utf8: true, ..With::default() };
        assert!(received(&by("bücher.test", &fqdn, utf8)).starts_with("Received: from bücher.test ("));
    }

    #[test]
    fn the_old_services_lines_are_written_as_it_did() {
        // 16 Nov 2020 16:13:46.385 UTC, from a message of the old service; it counted finer than milliseconds.
        let line = original_arrival_time(Timestamp(1_605_543_226_385));
        assert_eq!(line, "X-OriginalArrivalTime: 16 Nov 2020 16:13:46.0385 (UTC) FILETIME=[760BD810:01D6BC33]\r\n");
        assert_eq!(return_path(&ReversePath::Null), "Return-Path: <>\r\n");
        let bob = ReversePath::Mailbox(Mailbox::parse("bob@x.test").unwrap());
        assert_eq!(return_path(&bob), "Return-Path: bob@x.test\r\n");
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let fqdn = Domain::parse("r.test").unwrap();
        let date = "Date: Sun, 22 Nov 2026 07:00:00 +0000\r\n";
        let id = "Message-ID: <1f@r.test>\r\n";
        for (header, lines) in [
            ("From: a\r\n\r\nDate: no\r\n", format!("{date}{id}")),
            ("date: x\r\n\r\n", id.to_owned()),
            ("message-id: x\r\n\r\n", date.to_owned()),
            ("Date: x\r\nMessage-Id: y\r\n\r\n", String::new()),
        ] {
            assert_eq!(missing(&scan(header.as_bytes()), &fqdn, &"1f", NOW), lines, "{header:?}");
        }
    }
}
