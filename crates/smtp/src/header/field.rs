//! Cuts a header block into its fields.
//!
//! The block ends at the first empty line, or before the first line that can be no field (then the body begins with
//! that line), or where the octets end. A line may end with CRLF or, as files have it, with a lone LF. A field's name
//! may hold any octet but controls, space and the colon, and blanks before the colon are forgiven: a relay passes
//! such fields on, so it must see past them.
//!
//! RFC 5322 §2.2, §2.2.3, §4.5.

use crate::reply::clean;
use memchr::memchr;
use std::ops::Range;

/// The header block of a message.
#[derive(Copy, Clone, Debug)]
pub struct Header<'a> {
    octets: &'a [u8],
    len: usize,
    body_at: usize,
    complete: bool,
}

/// Finds the header block at the beginning of `octets`, which may be a whole message or its head alone.
#[must_use]
pub fn scan(octets: &[u8]) -> Header<'_> {
    let mut at = 0;
    while at < octets.len() {
        let (line, next) = line_at(octets, at);
        if line.is_empty() && next > at {
            return Header { octets, len: at, body_at: next, complete: true };
        }
        let belongs = if is_blank(line[0]) { at > 0 } else { name_len(line).is_some() };
        if !belongs {
            // A last line without its end may have been cut in the middle of a name.
            let cut = next == octets.len() && !octets.ends_with(b"\n");
            return Header { octets, len: at, body_at: at, complete: !cut };
        }
        at = next;
    }
    Header { octets, len: octets.len(), body_at: octets.len(), complete: false }
}

/// How many `Received` fields the header at the beginning of `octets` has: how often the message was relayed.
#[must_use]
pub fn count_hops(octets: &[u8]) -> usize {
    scan(octets).count_hops()
}

impl<'a> Header<'a> {
    /// The fields, as they came, without the empty line.
    #[must_use]
    pub fn octets(&self) -> &'a [u8] {
        &self.octets[..self.len]
    }

    /// Where the body begins: behind the empty line, or at the first line that is no field.
    #[must_use]
    pub fn body_at(&self) -> usize {
        self.body_at
    }

    /// Was its end found? If not, the octets ended first: they are a head that was cut, or a message without a body.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Does an empty line end it? If not, a field added at its end needs one behind it.
    #[must_use]
    pub fn has_empty_line(&self) -> bool {
        self.body_at > self.len
    }

    /// Its fields in order.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields { octets: self.octets(), at: 0 }
    }

    /// The first field of this name, in whatever case.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.is(name))
    }

    /// How many `Received` fields it has.
    #[must_use]
    pub fn count_hops(&self) -> usize {
        self.fields().filter(|field| field.is("Received")).count()
    }

    /// Does the sender care more for arrival than for protection? So says one field `TLS-Required: No`; several, or any other
    /// value, say nothing (RFC 8689 §3).
    #[must_use]
    pub fn waives_tls(&self) -> bool {
        let mut said = self.fields().filter(|field| field.is("TLS-Required"));
        said.next().is_some_and(|field| field.text().eq_ignore_ascii_case("no")) && said.next().is_none()
    }

    /// Has it octets beyond ASCII, so that it must travel as SMTPUTF8 (RFC 6532)?
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.octets().is_ascii()
    }

    /// The header without the fields of these names, as the runs of octets that stay, in order.
    pub fn without<'n>(&self, names: &'n [&'n str]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let octets = self.octets();
        let mut fields = self.fields();
        let mut from = 0;
        let mut over = false;
        std::iter::from_fn(move || {
            while !over {
                let until = match fields.next() {
                    Some(field) if names.iter().any(|name| field.is(name)) => field.span,
                    Some(_) => continue,
                    None => {
                        over = true;
                        octets.len()..octets.len()
                    }
                };
                let run = &octets[from..until.start];
                from = until.end;
                if !run.is_empty() {
                    return Some(run);
                }
            }
            None
        })
    }
}

/// The fields of a header in order.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.at >= self.octets.len() {
            return None;
        }
        let start = self.at;
        let (line, mut end) = line_at(self.octets, start);
        // Only lines that a colon makes a field come here.
        let colon = memchr(b':', line).unwrap_or(line.len());
        while end < self.octets.len() && is_blank(self.octets[end]) {
            end = line_at(self.octets, end).1;
        }
        self.at = end;
        let field = &self.octets[start..end];
        let name = trim_end_blanks(&field[..colon]);
        let value = trim_line_end(&field[(colon + 1).min(field.len())..]);
        Some(Field { name, value, span: start..end })
    }
}

/// One field of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field<'a> {
    /// What stands before the colon.
    pub name: &'a [u8],
    /// What stands behind the colon, folds included, without the last line's end.
    pub value: &'a [u8],
    /// Where the whole field stands in the header, from its name to its last line end.
    pub span: Range<usize>,
}

impl Field<'_> {
    /// Is this its name, in whatever case?
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value on one line, fit to show: folds undone, control characters replaced, cut to
    /// [`crate::reply::LINE_MAX`] octets.
    #[must_use]
    pub fn text(&self) -> String {
        let line =
            self.value.iter().filter(|b| !matches!(b, b'\r' | b'\n')).map(|&b| if b == b'\t' { b' ' } else { b });
        clean(&line.take(crate::reply::LINE_MAX + 1).collect::<Vec<u8>>()).trim().to_owned()
    }
}

/// The line at `at` without its end, and where the next one begins.
fn line_at(octets: &[u8], at: usize) -> (&[u8], usize) {
    let rest = &octets[at..];
    match memchr(b'\n', rest) {
        Some(lf) => {
            let end = if rest[..lf].ends_with(b"\r") { lf - 1 } else { lf };
            (&rest[..end], at + lf + 1)
        }
        None => (rest, octets.len()),
    }
}

/// Octets of the name, if the line begins with one and a colon.
fn name_len(line: &[u8]) -> Option<usize> {
    let colon = memchr(b':', line)?;
    let name = trim_end_blanks(&line[..colon]);
    (!name.is_empty() && name.iter().all(|&b| b > b' ' && b != 0x7f)).then_some(name.len())
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

fn trim_end_blanks(octets: &[u8]) -> &[u8] {
    let kept = octets.iter().rposition(|&b| !is_blank(b)).map_or(0, |last| last + 1);
    &octets[..kept]
}

fn trim_line_end(octets: &[u8]) -> &[u8] {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    octets.strip_suffix(b"\r").unwrap_or(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(octets: &[u8]) -> Vec<String> {
        scan(octets).fields().map(|f| String::from_utf8_lossy(f.name).into_owned()).collect()
    }

    #[test]
    fn fields_come_with_their_folds() {
        let octets = b"Subject: one\r\n two\r\n\tthree\r\nX : y\r\nEmpty:\r\n\r\nBody: no\r\n";
        let header = scan(octets);
        assert_eq!(names(octets), ["Subject", "X", "Empty"]);
        assert_eq!(header.first("SUBJECT").unwrap().value, b" one\r\n two\r\n\tthree");
        assert_eq!(header.first("subject").unwrap().text(), "one two three");
        assert_eq!(header.first("x").unwrap().value, b" y");
        assert_eq!(header.first("empty").unwrap().value, b"");
        assert_eq!(&octets[header.body_at()..], b"Body: no\r\n");
        assert!(header.is_complete() && header.has_empty_line());
    }

    #[test]
    fn junk_ends_the_header_and_is_body() {
        for (octets, fields, body) in [
            (&b"hello\r\nA: b\r\n"[..], 0, &b"hello\r\nA: b\r\n"[..]),
            (b" leading\r\nA: b\r\n", 0, b" leading\r\nA: b\r\n"),
            (b"A: b\r\nno colon here\r\nC: d\r\n\r\n", 1, b"no colon here\r\nC: d\r\n\r\n"),
            (b"A: b\r\nsp ace: x\r\n", 1, b"sp ace: x\r\n"),
            (b"A: b\r\n: x\r\n", 1, b": x\r\n"),
            (b"A: b\nC: d\n\nbody", 2, b"body"),
            (b"A: b", 1, b""),
            (b"\r\nbody", 0, b"body"),
            (b"", 0, b""),
            (b"\x00\xff: b\r\n", 0, b"\x00\xff: b\r\n"),
            (b"Na\xefve: b\r\n\r\n", 1, b""),
        ] {
            let header = scan(octets);
            assert_eq!(header.fields().count(), fields, "{octets:?}");
            assert_eq!(&octets[header.body_at()..], body, "{octets:?}");
        }
        assert!(!scan(b"A: b\r\nRecei").is_complete());
        assert!(!scan(b"A: b\r\n").is_complete());
        assert!(scan(b"A: b\r\njunk\r\n").is_complete());
    }

    #[test]
    fn hops_are_counted_in_the_header_alone() {
        let octets = b"Received: a\r\nreceived : b\r\n fold\r\nX-Received: c\r\nRECEIVED:d\r\n\r\nReceived: e\r\n";
        assert_eq!(count_hops(octets), 3);
    }

    #[test]
    fn fields_are_left_out_whole() {
        let octets = b"x-sender: a\r\nX-Receiver: b\r\nTo: c\r\nBCC: d,\r\n e\r\nFrom: f\r\n\r\nBcc: g\r\n";
        let kept: Vec<u8> = scan(octets).without(&["bcc", "x-sender", "x-receiver"]).flatten().copied().collect();
        assert_eq!(kept, b"To: c\r\nFrom: f\r\n");
        let all: Vec<_> = scan(octets).without(&[]).collect();
        assert_eq!(all, [scan(octets).octets()]);
        assert_eq!(scan(b"Bcc: x\r\n").without(&["Bcc"]).count(), 0);
    }

    #[test]
    fn a_huge_header_takes_no_time() {
        let mut octets = b"X: ".to_vec();
        octets.extend(std::iter::repeat_n(b'a', 1_000_000));
        octets.extend(b"\r\n ".repeat(100_000));
        octets.extend(b"\r\n");
        octets.extend(b"Received: x\r\n".repeat(20_000));
        assert_eq!(count_hops(&octets), 20_000);
        assert_eq!(scan(&octets).first("X").unwrap().text().len(), 511);
    }

    #[test]
    fn every_short_header_scans_to_the_same_octets() {
        // All strings of these octets up to length 7: spans touch, nothing is lost or twice, nothing panics.
        let alphabet = b"a: \r\n";
        let mut pending = vec![Vec::new()];
        while let Some(octets) = pending.pop() {
            let header = scan(&octets);
            let mut at = 0;
            for field in header.fields() {
                assert_eq!(field.span.start, at, "{octets:?}");
                assert!(!field.name.is_empty(), "{octets:?}");
                at = field.span.end;
            }
            assert_eq!(at, header.octets().len(), "{octets:?}");
            assert!(header.body_at() >= at);
            if octets.len() < 7 {
                pending.extend(alphabet.iter().map(|&b| [octets.as_slice(), &[b]].concat()));
            }
        }
    }

    #[test]
    fn the_sender_may_waive_tls() {
        for (header, waived) in [
            ("TLS-Required: No\r\n", true),
            ("subject: x\r\ntls-required:\r\n nO \r\n\r\n", true),
            ("", false),
            ("TLS-Required: Yes\r\n", false),
            ("TLS-Required:\r\n", false),
            ("TLS-Required: No, not really\r\n", false),
            ("TLS-Required: No\r\nTLS-Required: No\r\n", false),
            ("X-TLS-Required: No\r\n", false),
            ("Subject: x\r\n\r\nTLS-Required: No\r\n", false),
        ] {
            assert_eq!(scan(header.as_bytes()).waives_tls(), waived, "{header:?}");
        }
    }
}
