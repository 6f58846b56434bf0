//! Changes a header on its way to the next host: another `From`, another domain in it, fields that a sloppy sender left out.
//!
//! What is not named is not touched, octet for octet: no field is folded anew or moved, so that a signature over the others still
//! holds. New fields stand behind all others, `Reply-To` behind the `From` whose value it keeps. A `From` that is replaced
//! takes further ones with it, since a message has one. One pass; what comes out is longer by at most a second copy of `From` and a
//! few lines. Who wants which change, and that reports want none, is decided elsewhere.
//!
//! RFC 5322 §3.6.1, §3.6.2, §3.6.4; IIS: masquerade domain, Delivery tab.

use super::{Field, Header, addresses, scan};
use crate::address::{Domain, Mailbox, Path};
use crate::time::Timestamp;
use std::fmt::Write;
use std::ops::Range;

/// What to change; the default changes nothing.
#[derive(Copy, Clone, Default)]
pub struct Changes<'a> {
    /// Stands in `From` whatever was there; `Reply-To` keeps the old one, unless there is one already.
    pub replace_from: Option<&'a Mailbox>,
    /// Domains in `From` that are written otherwise; not where it is replaced.
    pub mask_from: Option<Mask<'a>>,
    /// Stands in `From` if there is none.
    pub add_from: Option<&'a Mailbox>,
    /// Stands in `Date` if there is none.
    pub add_date: Option<Timestamp>,
    /// Stands in `Message-ID`, in brackets, if there is none.
    pub add_message_id: Option<&'a str>,
}

/// Which domains are written otherwise.
#[derive(Copy, Clone)]
pub struct Mask<'a> {
    /// Those of which this is true,
    pub hides: &'a dyn Fn(&Domain) -> bool,
    /// are written like this.
    pub shows: &'a Domain,
}

/// A header that was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revised {
    /// What the message now begins with.
    pub head: Vec<u8>,
    /// So many octets of the message it stands for.
    pub instead_of: usize,
}

/// Applies the changes to the header at the beginning of `octets`, which may be a whole message (`is_whole`) or its head
/// alone; `None` if there is nothing to change, or if the header does not end within the octets.
#[must_use]
pub fn revise(octets: &[u8], is_whole: bool, changes: &Changes<'_>) -> Option<Revised> {
    let header = scan(octets);
    if !header.is_complete() && !is_whole {
        return None;
    }
    let mut edits = Edits { octets: header.octets(), list: Vec::new() };
    let from = from(&header, changes, &mut edits);
    let added = added(&header, from, changes);
    if edits.list.is_empty() && added.is_empty() {
        return None;
    }
    let mut head = edits.applied();
    // A last field that the message ends with may lack its line end.
    if !added.is_empty() && !head.is_empty() && !head.ends_with(b"\n") {
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(added.as_bytes());
    if !header.has_empty_line() && header.body_at() < octets.len() {
        // The body began with the first line that is no field; behind new fields it needs the line between.
        head.extend_from_slice(b"\r\n");
    }
    Some(Revised { head, instead_of: header.octets().len() })
}

/// What becomes of `From`.
#[derive(Copy, Clone, PartialEq, Eq)]
enum From {
    /// It is there, changed or not.
    Present,
    /// It must be added.
    Missing,
}

fn from(header: &Header<'_>, changes: &Changes<'_>, edits: &mut Edits<'_>) -> From {
    let mut fields = header.fields().filter(|field| field.is("From"));
    let Some(first) = fields.next() else { return From::Missing };
    if let Some(new) = changes.replace_from {
        replace(header, &first, new, edits);
        fields.for_each(|further| edits.list.push((further.span, Vec::new())));
        return From::Present;
    }
    if first.value.trim_ascii().is_empty() {
        let Some(new) = changes.add_from else { return From::Present };
        edits.list.push((first.span, format!("From: {new}\r\n").into_bytes()));
        return From::Present;
    }
    if let Some(mask) = changes.mask_from {
        for field in std::iter::once(first).chain(fields) {
            let value_at =
                field.span.start + (field.span.len() - behind_colon(&header.octets()[field.span.clone()]).len());
            for domain in domains(field.value) {
                let text = std::str::from_utf8(&field.value[domain.clone()]).unwrap_or_default();
                if Domain::parse(text).is_ok_and(|domain| (mask.hides)(&domain)) {
                    let span = value_at + domain.start..value_at + domain.end;
                    edits.list.push((span, mask.shows.as_str().as_bytes().to_vec()));
                }
            }
        }
    }
    From::Present
}

/// Another `From`, and the old one in `Reply-To`.
fn replace(header: &Header<'_>, old: &Field<'_>, new: &Mailbox, edits: &mut Edits<'_>) {
    let found = addresses(old.value, 2);
    let is_it = |path: &Path| {
        // A bare address is completed with our own domain here, and so is none of another's.
        new.host().domain().is_some_and(|domain| !path.is_bare() && path.clone().complete(domain) == *new)
    };
    if found.bad_count == 0 && matches!(&found.paths[..], [one] if is_it(one)) {
        return;
    }
    let mut text = format!("From: {new}\r\n").into_bytes();
    let whole = &header.octets()[old.span.clone()];
    // What is no address would make a Reply-To that nobody can answer to.
    if !found.paths.is_empty() && header.first("Reply-To").is_none() {
        text.extend_from_slice(b"Reply-To:");
        text.extend_from_slice(behind_colon(whole));
        if !whole.ends_with(b"\n") {
            text.extend_from_slice(b"\r\n");
        }
    }
    edits.list.push((old.span.clone(), text));
}

/// The lines that are added at the end.
fn added(header: &Header<'_>, from: From, changes: &Changes<'_>) -> String {
    let mut lines = String::new();
    let add_from = changes.replace_from.or(changes.add_from).filter(|_| from == From::Missing);
    // Writing to a String cannot fail.
    if let Some(from) = add_from {
        let _ = write!(lines, "From: {from}\r\n");
    }
    if let Some(date) = changes.add_date.filter(|_| header.first("Date").is_none()) {
        let _ = write!(lines, "Date: {}\r\n", date.rfc5322());
    }
    if let Some(id) = changes.add_message_id.filter(|_| header.first("Message-ID").is_none()) {
        let _ = write!(lines, "Message-ID: <{id}>\r\n");
    }
    lines
}

/// A field's value with its line end.
fn behind_colon(field: &[u8]) -> &[u8] {
    memchr::memchr(b':', field).map_or(&[], |colon| &field[colon + 1..])
}

/// Replacements of runs of octets, in order.
struct Edits<'a> {
    octets: &'a [u8],
    list: Vec<(Range<usize>, Vec<u8>)>,
}

impl Edits<'_> {
    fn applied(&self) -> Vec<u8> {
        let more: usize = self.list.iter().map(|(_, new)| new.len()).sum();
        let mut out = Vec::with_capacity(self.octets.len() + more);
        let mut at = 0;
        for (span, new) in &self.list {
            out.extend_from_slice(&self.octets[at..span.start]);
            out.extend_from_slice(new);
            at = span.end;
        }
        out.extend_from_slice(&self.octets[at..]);
        out
    }
}

/// Where in the value of an address field domains stand behind a local part: not in quotes, comments or encoded words.
fn domains(value: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut depth = 0_usize;
    // Was there a local part before the `@`? A route (`<@relay:user@domain>`) has none.
    let mut local = false;
    while let Some(&b) = value.get(at) {
        match b {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            b'"' => {
                at = end_of_quotes(value, at);
                local = true;
                continue;
            }
            b'=' if let Some(len) = encoded_word(&value[at..]) => {
                at += len;
                continue;
            }
            b'<' | b',' | b';' | b':' => local = false,
            b'@' if local => {
                let blanks = value[at + 1..].iter().take_while(|b| b.is_ascii_whitespace()).count();
                let start = at + 1 + blanks;
                let len = value[start..].iter().take_while(|b| is_domain_octet(**b)).count();
                if len > 0 {
                    found.push(start..start + len);
                }
                at = start + len;
                local = false;
                continue;
            }
            b if b.is_ascii_whitespace() => {}
            _ => local = true,
        }
        at += 1;
    }
    found
}

/// The length of the encoded word (`=?charset?Q?text?=`) at the beginning, if there is one.
fn encoded_word(octets: &[u8]) -> Option<usize> {
    let word = octets.split(u8::is_ascii_whitespace).next()?;
    let text = word.strip_prefix(b"=?")?;
    let mut marks = text.iter().enumerate().filter(|(_, b)| **b == b'?').map(|(at, _)| at);
    let (_, encoding) = (marks.next()?, marks.next()?);
    let len = memchr::memmem::find(&text[encoding + 1..], b"?=")?;
    Some(2 + encoding + 1 + len + 2)
}

/// Behind the quote that closes the one at `at`, or the end.
fn end_of_quotes(value: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(&b) = value.get(at) {
        at += if b == b'\\' { 2 } else { 1 };
        if b == b'"' {
            break;
        }
    }
    at.min(value.len())
}

fn is_domain_octet(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') || !b.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(octets: &[u8], changes: &Changes<'_>) -> Option<String> {
        revise(octets, true, changes).map(|revised| {
            let mut all = revised.head;
            all.extend_from_slice(&octets[revised.instead_of..]);
            String::from_utf8(all).unwrap()
        })
    }

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    #[test]
    fn from_is_replaced_and_reply_to_keeps_the_old_one() {
        let new = mailbox("relay@contoso.test");
        let changes = Changes { replace_from: Some(&new), ..Changes::default() };
        for (before, after) in [
            // The old value, folds and names and all, octet for octet; the rest is where it was.
            (
                "Received: x\r\nFrom: \"Visitor, A\"\r\n <v@a.test>\r\nTo: b@b.test\r\n\r\nFrom: body\r\n",
                Some(
                    "Received: x\r\nFrom: relay@contoso.test\r\nReply-To: \"Visitor, A\"\r\n <v@a.test>\r\nTo: b@b.test\r\n\r\nFrom: body\r\n",
                ),
            ),
            // It has one already.
            (
                "REPLY-TO: r@a.test\r\nfrom : v@a.test\r\n\r\n",
                Some("REPLY-TO: r@a.test\r\nFrom: relay@contoso.test\r\n\r\n"),
            ),
            // It is the one that is wanted, under whatever name.
            ("From: Relay <relay@CONTOSO.test>\r\n\r\n", None),
            // Two senders, one of them the wanted one.
            (
                "From: relay@contoso.test, v@a.test\r\n\r\n",
                Some("From: relay@contoso.test\r\nReply-To: relay@contoso.test, v@a.test\r\n\r\n"),
            ),
            // Nobody can answer to that.
            ("From: Web Form\r\n\r\n", Some("From: relay@contoso.test\r\n\r\n")),
            ("From:\r\n\r\n", Some("From: relay@contoso.test\r\n\r\n")),
            // A message has one From.
            (
                "From: a@a.test\r\nX: y\r\nFrom: b@a.test\r\n c\r\nZ: z\r\n\r\n",
                Some("From: relay@contoso.test\r\nReply-To: a@a.test\r\nX: y\r\nZ: z\r\n\r\n"),
            ),
            ("To: b@b.test\r\n\r\nbody", Some("To: b@b.test\r\nFrom: relay@contoso.test\r\n\r\nbody")),
            ("From: a@a.test", Some("From: relay@contoso.test\r\nReply-To: a@a.test\r\n")),
            ("no header at all\r\n", Some("From: relay@contoso.test\r\n\r\nno header at all\r\n")),
        ] {
            assert_eq!(text(before.as_bytes(), &changes).as_deref(), after, "{before:?}");
        }
    }

    #[test]
    fn the_mask_covers_domains_and_nothing_else() {
        let shows = Domain::parse("mask.test").unwrap();
        let hides = |domain: &Domain| matches!(domain.as_str(), "local.test" | "deep.local.test" | "bücher.test");
        let mask = Mask { hides: &hides, shows: &shows };
        let changes = Changes { mask_from: Some(mask), ..Changes::default() };
        for (before, after) in [
            (" bob@local.test", Some(" bob@mask.test")),
            ("Bob <bob@LOCAL.test>", Some("Bob <bob@mask.test>")),
            (" \"bob@local.test\" <bob@local.test>", Some(" \"bob@local.test\" <bob@mask.test>")),
            (
                " bob@local.test (at bob@local.test (or\\) b@local.test))",
                Some(" bob@mask.test (at bob@local.test (or\\) b@local.test))"),
            ),
            (
                " \"a b\"@local.test,\r\n\tc@out.test, d@deep.local.test",
                Some(" \"a b\"@mask.test,\r\n\tc@out.test, d@mask.test"),
            ),
            (" bob@\r\n local.test", Some(" bob@\r\n mask.test")),
            (" <@local.test:bob@local.test>", Some(" <@local.test:bob@mask.test>")),
            (" b@bücher.test", Some(" b@mask.test")),
            (" friends: a@local.test;", Some(" friends: a@mask.test;")),
            (
                " =?utf-8?Q?a@local.test,?= =?x?q??=\r\n <a@local.test>",
                Some(" =?utf-8?Q?a@local.test,?= =?x?q??=\r\n <a@mask.test>"),
            ),
            (" =?a@local.test", Some(" =?a@mask.test")),
            (" bob@local.test.out.test", None),
            (" bob@notlocal.test", None),
            (" bob@[192.0.2.1]", None),
            (" bob", None),
            (" bob@", None),
            (" \"unclosed bob@local.test", None),
            ("", None),
        ] {
            let before = format!("X: a@local.test\r\nFrom:{before}\r\nTo: b@local.test\r\n\r\nFrom: a@local.test\r\n");
            let after = after.map(|from| {
                format!("X: a@local.test\r\nFrom:{from}\r\nTo: b@local.test\r\n\r\nFrom: a@local.test\r\n")
            });
            assert_eq!(text(before.as_bytes(), &changes), after, "{before:?}");
        }
        let latin = b"From: J\xfcrgen <j@local.test>\r\n\r\n";
        let revised = revise(latin, true, &changes).unwrap();
        assert_eq!(revised.head, b"From: J\xfcrgen <j@mask.test>\r\n");
    }

    #[test]
    fn what_is_missing_is_added_behind_the_rest() {
        let from = mailbox("app@a.test");
        let all = Changes {
            add_from: Some(&from),
            add_date: Some(Timestamp(1_795_330_800_123)),
            add_message_id: Some("17@relay.test"),
            ..Changes::default()
        };
        let three = "From: app@a.test\r\nDate: Sun, 22 Nov 2026 07:00:00 +0000\r\nMessage-ID: <17@relay.test>\r\n";
        for (before, after) in [
            (
                "Received: x\r\nTo: a@b.test\r\n\r\nbody\r\n",
                Some(format!("Received: x\r\nTo: a@b.test\r\n{three}\r\nbody\r\n")),
            ),
            (
                "Received: x\r\nbody without a line between\r\n",
                Some(format!("Received: x\r\n{three}\r\nbody without a line between\r\n")),
            ),
            ("", Some(three.to_owned())),
            ("\r\nbody", Some(format!("{three}\r\nbody"))),
            ("DATE: x\r\nmessage-id: y\r\nfrom: z\r\n\r\n", None),
            (
                "Date: x\r\nMessage-ID: y\r\nFrom: \r\n\r\n",
                Some("Date: x\r\nMessage-ID: y\r\nFrom: app@a.test\r\n\r\n".to_owned()),
            ),
            (
                "Date: x\r\nFrom: z\r\n\r\n",
                Some("Date: x\r\nFrom: z\r\nMessage-ID: <17@relay.test>\r\n\r\n".to_owned()),
            ),
        ] {
            assert_eq!(text(before.as_bytes(), &all), after, "{before:?}");
        }
        assert_eq!(revise(b"To: a@b.test\r\n\r\n", true, &Changes::default()), None);
    }

    #[test]
    fn a_header_whose_end_is_not_there_is_left_alone() {
        let new = mailbox("relay@contoso.test");
        let changes = Changes { replace_from: Some(&new), ..Changes::default() };
        assert_eq!(revise(b"From: a@a.test\r\nTo: b", false, &changes), None);
        assert!(revise(b"From: a@a.test\r\n\r\nTo: b", false, &changes).is_some());
    }

    /// Whatever comes in: the octets of other fields and the body stay, and revising twice is revising once.
    #[test]
    fn every_short_header_keeps_its_other_fields() {
        let new = mailbox("n@n.test");
        let shows = Domain::parse("m.test").unwrap();
        let hides = |domain: &Domain| domain.as_str() == "a";
        let both = [
            Changes { replace_from: Some(&new), ..Changes::default() },
            Changes {
                mask_from: Some(Mask { hides: &hides, shows: &shows }),
                add_from: Some(&new),
                ..Changes::default()
            },
        ];
        let alphabet = b"a@:\"\\(< \r\n";
        let mut pending = vec![b"From:".to_vec()];
        while let Some(tail) = pending.pop() {
            let octets = [b"X: a@a\r\n", tail.as_slice(), b"\r\nTo: a@a\r\n\r\nbody a@a"].concat();
            for changes in &both {
                let Some(revised) = revise(&octets, true, changes) else { continue };
                let whole = [&revised.head[..], &octets[revised.instead_of..]].concat();
                assert!(whole.starts_with(b"X: a@a\r\n"), "{octets:?}");
                assert!(whole.ends_with(b"body a@a"), "{octets:?}");
                let others = |octets: &[u8]| -> Vec<Vec<u8>> {
                    let header = scan(octets);
                    let is_other = |f: &Field<'_>| !f.is("From") && !f.is("Reply-To");
                    header.fields().filter(is_other).map(|field| header.octets()[field.span].to_vec()).collect()
                };
                assert_eq!(others(&whole), others(&octets), "{octets:?}");
                assert!(revise(&whole, true, changes).is_none_or(|again| again.head == revised.head), "{octets:?}");
            }
            if tail.len() < 9 {
                pending.extend(alphabet.iter().map(|&b| [tail.as_slice(), &[b]].concat()));
            }
        }
    }
}
