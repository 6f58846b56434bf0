//! Reads the addresses of a From, Sender, To, Cc, Bcc or Resent field.
//!
//! Written for what programs really put into such fields: display names quoted or not, encoded words with commas in
//! them, comments within comments, groups, folds anywhere, empty list items. One pass over the octets with a counter
//! for nested comments, no recursion. What is no address is handed back as such, never guessed at: two bare words are
//! not an address, and neither is an encoded word.
//!
//! RFC 5322 §3.4 and §4.4; RFC 2047 §5 (where encoded words stand); RFC 6532 (UTF-8).

use crate::address::Path;
use crate::reply::clean;

/// Octets of one list item that are looked at; a longer one is no address.
const ITEM_MAX: usize = 4_096;
/// Items that are no addresses which are kept to be shown.
const BAD_KEPT: usize = 10;
/// Octets of such an item that are shown.
const BAD_SHOWN: usize = 128;
/// Octets of an encoded word (RFC 2047 §2 allows 75, programs write more).
const ENCODED_WORD_MAX: usize = 1_000;

/// What an address field holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Addresses {
    /// The addresses in order, repetitions included; one may lack its domain.
    pub paths: Vec<Path>,
    /// The first few items that are no addresses, fit to show.
    pub bad: Vec<String>,
    /// How many items are no addresses.
    pub bad_count: usize,
    /// There are more addresses than were asked for; the rest was not read.
    pub more: bool,
}

/// Reads the addresses of a field's value (behind the colon, folds included), at most `max` of them.
#[must_use]
pub fn addresses(value: &[u8], max: usize) -> Addresses {
    let mut reader = Reader { octets: value, at: 0, max, found: Addresses::default() };
    while reader.at < value.len() && !reader.found.more {
        reader.item();
    }
    reader.found
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
    max: usize,
    found: Addresses,
}

/// One list item while it is read.
#[derive(Default)]
struct Item {
    /// What stands outside brackets and comments; a run of blanks is one space.
    words: Vec<u8>,
    /// What stands between `<` and `>`.
    angle: Option<Vec<u8>>,
    /// A blank was met, and is due before the next octet.
    blank: bool,
    /// Something that no address has: an unclosed bracket, an encoded word, text after the bracket.
    broken: bool,
    encoded: bool,
}

impl Item {
    fn push(&mut self, octets: &[u8]) {
        if self.blank && !self.words.is_empty() {
            self.words.push(b' ');
        }
        self.blank = false;
        let room = (ITEM_MAX + 1).saturating_sub(self.words.len());
        self.words.extend_from_slice(&octets[..octets.len().min(room)]);
    }
}

impl Reader<'_> {
    /// Reads up to and with the comma or semicolon that ends an item, or a group's name and its colon.
    fn item(&mut self) {
        let start = self.at;
        let mut item = Item::default();
        while let Some(&b) = self.octets.get(self.at) {
            match b {
                b',' | b';' => {
                    self.at += 1;
                    return self.finish(&item, start, self.at - 1);
                }
                // A group's name says nothing; its members are items like others.
                b':' => {
                    self.at += 1;
                    return;
                }
                b'(' => {
                    self.comment();
                    item.blank = true;
                }
                b'"' => {
                    let from = self.at;
                    self.quoted();
                    item.push(&self.octets[from..self.at]);
                }
                b'[' => {
                    let from = self.at;
                    self.skip_to(b']');
                    item.push(&self.octets[from..self.at]);
                }
                b'<' => self.angle(&mut item),
                b'=' if self.encoded_word() => item.encoded = true,
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.at += 1;
                    item.blank = true;
                }
                _ => {
                    self.at += 1;
                    item.push(&[b]);
                }
            }
        }
        self.finish(&item, start, self.at);
    }

    fn finish(&mut self, item: &Item, start: usize, end: usize) {
        if item.words.is_empty() && item.angle.is_none() && !item.encoded && !item.broken {
            return;
        }
        let text = match &item.angle {
            Some(angle) => Some(angle.clone()),
            None if item.encoded => None,
            None => joined(&item.words),
        };
        let path = text
            .filter(|text| !item.broken && text.len() <= ITEM_MAX)
            .and_then(|text| String::from_utf8(text).ok())
            .and_then(|text| Path::parse(&text).ok());
        match path {
            Some(_) if self.found.paths.len() >= self.max => self.found.more = true,
            Some(path) => self.found.paths.push(path),
            None => {
                self.found.bad_count += 1;
                if self.found.bad.len() < BAD_KEPT {
                    let shown: Vec<u8> = self.octets[start..end]
                        .iter()
                        .copied()
                        .filter(|b| !matches!(b, b'\r' | b'\n'))
                        .take(BAD_SHOWN)
                        .collect();
                    self.found.bad.push(clean(&shown).trim().to_owned());
                }
            }
        }
    }

    /// Skips a comment and those within it; an unclosed one reaches to the end.
    fn comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(&b) = self.octets.get(self.at) {
            self.at += 1;
            match b {
                b'\\' => self.at += 1,
                b'(' => depth += 1,
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
        }
        self.at = self.at.min(self.octets.len());
    }

    /// Skips a quoted string; an unclosed one reaches to the end, and then is no local part.
    fn quoted(&mut self) {
        self.at += 1;
        while let Some(&b) = self.octets.get(self.at) {
            self.at += 1;
            match b {
                b'\\' => self.at += 1,
                b'"' => break,
                _ => {}
            }
        }
        self.at = self.at.min(self.octets.len());
    }

    /// Skips to and with `end`, or to the end of the field.
    fn skip_to(&mut self, end: u8) {
        let rest = &self.octets[self.at..];
        self.at += memchr::memchr(end, rest).map_or(rest.len(), |found| found + 1);
    }

    /// Takes what stands in brackets, without comments and blanks, which say nothing there.
    fn angle(&mut self, item: &mut Item) {
        self.at += 1;
        let mut angle = Vec::new();
        let mut closed = false;
        while let Some(&b) = self.octets.get(self.at) {
            let from = self.at;
            match b {
                b'>' => {
                    self.at += 1;
                    closed = true;
                    break;
                }
                b'(' => {
                    self.comment();
                    continue;
                }
                b'"' => self.quoted(),
                _ => self.at += 1,
            }
            let blank = matches!(b, b' ' | b'\t' | b'\r' | b'\n');
            if !blank && angle.len() <= ITEM_MAX {
                angle.extend_from_slice(&self.octets[from..self.at]);
            }
        }
        item.broken |= !closed || item.angle.is_some();
        item.angle = Some(angle);
    }

    /// Skips an encoded word, `=?charset?B?text?=`, if one begins here: its commas and brackets are text.
    fn encoded_word(&mut self) -> bool {
        let rest = &self.octets[self.at..];
        let window = &rest[..rest.len().min(ENCODED_WORD_MAX)];
        let mut marks = 0;
        for (i, &b) in window.iter().enumerate() {
            match b {
                b'?' if marks == 3 => {
                    let is_end = window.get(i + 1) == Some(&b'=');
                    self.at += if is_end { i + 2 } else { 0 };
                    return is_end;
                }
                b'?' if marks > 0 || i == 1 => marks += 1,
                b' ' | b'\t' | b'\r' | b'\n' => return false,
                _ if i == 1 => return false,
                _ => {}
            }
        }
        false
    }
}

/// The words of an address without brackets: blanks are let through around `@` and `.` alone (obsolete, but written);
/// anywhere else they make two words, which are no address.
fn joined(words: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(words.len());
    let mut quoted = false;
    for (i, &b) in words.iter().enumerate() {
        if b == b'"' && (i == 0 || words[i - 1] != b'\\') {
            quoted = !quoted;
        }
        if b != b' ' || quoted {
            text.push(b);
            continue;
        }
        let joins = |b: Option<&u8>| matches!(b, Some(b'@' | b'.'));
        if !joins(text.last()) && !joins(words.get(i + 1)) {
            return None;
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Domain;

    fn read(value: &str) -> (Vec<String>, usize) {
        let found = addresses(value.as_bytes(), 1_000);
        let default = Domain::parse("default.test").unwrap();
        (found.paths.into_iter().map(|p| p.complete(&default).to_string()).collect(), found.bad_count)
    }

    #[test]
    fn addresses_are_found_however_they_are_written() {
        for (value, expected) in [
            (" bob@x.test", &["bob@x.test"][..]),
            ("Bob <bob@x.test>", &["bob@x.test"]),
            ("\"Smith, Bob\" <bob@x.test>, carol@y.test", &["bob@x.test", "carol@y.test"]),
            ("\"a \\\" , <b@c.test>\" <d@e.test>", &["d@e.test"]),
            ("bob@x.test (Bob, (the (third)) \\) one)", &["bob@x.test"]),
            ("(c) bob (c) @ (c) x.test (c)", &["bob@x.test"]),
            ("friends: a@x.test, B <b@x.test>;, c@x.test", &["a@x.test", "b@x.test", "c@x.test"]),
            ("undisclosed-recipients:;", &[]),
            ("=?utf-8?Q?Smith,_Bob?= <bob@x.test>", &["bob@x.test"]),
            ("=?iso-8859-1?Q?a?= =?iso-8859-1?Q?b<c>,?=\r\n <bob@x.test>", &["bob@x.test"]),
            ("a@x.test,\r\n\tb@x.test,\r\n c@x.test\r\n", &["a@x.test", "b@x.test", "c@x.test"]),
            (", ,a@x.test,,; b@x.test;", &["a@x.test", "b@x.test"]),
            ("root", &["root@default.test"]),
            ("Root <root>", &["root@default.test"]),
            ("<@relay.test:bob@x.test>", &["bob@x.test"]),
            ("\"a b\"@x.test", &["\"a b\"@x.test"]),
            ("a@[192.0.2.1], b@[IPv6:2001:db8::1]", &["a@[192.0.2.1]", "b@[IPv6:2001:db8::1]"]),
            ("< bob\r\n @x.test >", &["bob@x.test"]),
            ("Jürgen <jürgen@bücher.test>", &["jürgen@bücher.test"]),
            ("a=b@x.test", &["a=b@x.test"]),
            ("=?@x.test", &["=?@x.test"]),
            ("", &[]),
        ] {
            assert_eq!(read(value), (expected.iter().map(|s| (*s).to_owned()).collect(), 0), "{value:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_not_guessed_at() {
        for value in [
            "Bob Smith",
            "Bob Smith bob@x.test",
            "bob@x.test Bob",
            "=?utf-8?Q?Bob?=",
            "=?utf-8?Q?Bob?= bob",
            "<bob@x.test",
            "<a@x.test> <b@x.test>",
            "<>",
            "a@b@c.test",
            "\"unclosed <a@x.test>, b@x.test",
            "bob@",
            "a@x.test\u{0}",
            "a@x test",
        ] {
            assert_eq!(read(value).0.len(), 0, "{value:?}");
            assert_eq!(read(value).1, 1, "{value:?}");
        }
        let found = addresses(b"good@x.test, \xff\xfe@x.test, Latin \xe9 <also@x.test>", 10);
        assert_eq!((found.paths.len(), found.bad_count), (2, 1));
        assert_eq!(found.bad, ["??@x.test"]);
    }

    #[test]
    fn hostile_fields_are_bounded() {
        let many = "a@x.test, ".repeat(50_000);
        let found = addresses(many.as_bytes(), 50_000);
        assert_eq!((found.paths.len(), found.more), (50_000, false));
        let found = addresses(many.as_bytes(), 100);
        assert_eq!((found.paths.len(), found.more), (100, true));
        for c in ["(", "\"", "<", "[", "=?", "=", ",", ":", "\\", "x", " ", "=?a?b?", "(\\"] {
            let found = addresses(c.repeat(1_000_000 / c.len()).as_bytes(), 10);
            assert!(found.paths.is_empty() && found.bad.len() <= BAD_KEPT, "{c}");
            assert!(found.bad.iter().all(|b| b.len() <= BAD_SHOWN));
        }
    }

    #[test]
    fn every_short_field_is_read_without_a_panic() {
        let alphabet = b"a@<>\"\\(), [";
        let mut pending = vec![Vec::new()];
        while let Some(value) = pending.pop() {
            let _ = addresses(&value, 2);
            if value.len() < 5 {
                pending.extend(alphabet.iter().map(|&b| [value.as_slice(), &[b]].concat()));
            }
        }
    }
}
