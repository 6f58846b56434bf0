//! Walks a MIME message, encodes what must be encoded, and copies the rest.

use super::{DEPTH_MAX, Unconvertible, encode};
use crate::header::{Header, scan};
use memchr::{memchr, memmem};

/// Octets of a line that a 7-bit transport carries, without its end (RFC 5321 §4.5.3.1.6).
const LINE_MAX: usize = 998;

/// Converts a whole message into 7-bit lines. A message of 7-bit lines comes back as it is.
///
/// # Errors
/// Why the standards do not allow it, or why it cannot be done.
pub fn to_seven_bit(message: &[u8]) -> Result<Vec<u8>, Unconvertible> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 3 + 256);
    entity(message, Level { depth: 0, message: true }, &mut out)?;
    Ok(out)
}

/// Where an entity stands.
#[derive(Copy, Clone)]
struct Level {
    depth: usize,
    /// It is a message with a header of its own, not a part of a multipart.
    message: bool,
}

impl Level {
    fn below(self, message: bool) -> Result<Level, Unconvertible> {
        if self.depth >= DEPTH_MAX {
            return Err(Unconvertible::TooDeep);
        }
        Ok(Level { depth: self.depth + 1, message })
    }
}

/// One header with its body: the message, a part, or a message within it.
fn entity(octets: &[u8], level: Level, out: &mut Vec<u8>) -> Result<(), Unconvertible> {
    let header = scan(octets);
    let body = &octets[header.body_at()..];
    if !is_lines(header.octets(), usize::MAX) {
        return Err(Unconvertible::Header);
    }
    let encoding = Encoding::of(&header);
    let kind = Kind::of(&header);
    if is_lines(body, LINE_MAX) {
        let relabel = matches!(encoding, Encoding::None(true)) && !matches!(kind, Kind::Sealed);
        put_header(out, &header, relabel.then_some("7bit"), "");
        out.extend_from_slice(body);
        return Ok(());
    }
    if !matches!(encoding, Encoding::None(_)) {
        return Err(Unconvertible::Encoded);
    }
    match kind {
        Kind::Sealed => Err(Unconvertible::Sealed),
        Kind::Fixed => Err(Unconvertible::Encoded),
        Kind::Multipart(None) => Err(Unconvertible::Structure),
        Kind::Multipart(Some(boundary)) => {
            put_header(out, &header, encoding.relabelled(), "");
            parts(body, &boundary, level, out)
        }
        Kind::Message => {
            put_header(out, &header, encoding.relabelled(), "");
            entity(body, level.below(true)?, out)
        }
        Kind::Text | Kind::Other => {
            leaf(&header, body, matches!(kind, Kind::Text), level, out);
            Ok(())
        }
    }
}

/// A part without parts: its body is encoded.
fn leaf(header: &Header<'_>, body: &[u8], text: bool, level: Level, out: &mut Vec<u8>) {
    let escaped = body.iter().filter(|b| !matches!(b, b' '..=b'~' | b'\r' | b'\n' | b'\t')).count();
    // Base64 is shorter where more than a third is escaped; a short text stays readable all the same.
    let readable = text && escaped <= body.len() / 3 + 20;
    let mut more = String::new();
    if level.message && header.first("MIME-Version").is_none() {
        more.push_str("MIME-Version: 1.0\r\n");
        if header.first("Content-Type").is_none() {
            let charset = if std::str::from_utf8(body).is_ok() { "utf-8" } else { "unknown-8bit" };
            more.push_str(&format!("Content-Type: text/plain; charset={charset}\r\n"));
        }
    }
    put_header(out, header, Some(if readable { "quoted-printable" } else { "base64" }), &more);
    if readable {
        out.extend_from_slice(&encode::quoted_printable(body));
        if level.message && !out.ends_with(b"\r\n") {
            // A soft break: the message ends with a line end, the text does not.
            out.extend_from_slice(b"=\r\n");
        }
    } else {
        let encoded = encode::base64(body);
        // The line end before a boundary belongs to the boundary.
        let end = if level.message { encoded.len() } else { encoded.len().saturating_sub(2) };
        out.extend_from_slice(&encoded[..end]);
    }
}

/// The parts of a multipart; what stands before the first and behind the last means nothing and is only masked.
fn parts(body: &[u8], boundary: &[u8], level: Level, out: &mut Vec<u8>) -> Result<(), Unconvertible> {
    let below = level.below(false)?;
    let mut delimiters = Delimiters { body, finder: memmem::Finder::new(boundary), length: boundary.len(), at: 0 };
    let Some(mut open) = delimiters.next() else { return Err(Unconvertible::Structure) };
    masked(&body[..open.start], out);
    loop {
        out.extend_from_slice(&body[open.start..open.end]);
        if open.closes {
            masked(&body[open.end..], out);
            return Ok(());
        }
        let mut next = delimiters.next();
        if let Some(next) = &mut next {
            // An empty part has no line end of its own: one serves both boundaries.
            next.start = next.start.max(open.end);
        }
        let until = next.as_ref().map_or(body.len(), |next| next.start);
        entity(body.get(open.end..until).unwrap_or_default(), below, out)?;
        let Some(next) = next else { return Ok(()) };
        open = next;
    }
}

/// A boundary line with the line end before it, which is its own.
struct Delimiter {
    start: usize,
    end: usize,
    closes: bool,
}

struct Delimiters<'a> {
    body: &'a [u8],
    /// Finds the boundary's text.
    finder: memmem::Finder<'a>,
    length: usize,
    at: usize,
}

impl Delimiters<'_> {
    fn next(&mut self) -> Option<Delimiter> {
        loop {
            let found = self.at + self.finder.find(self.body.get(self.at..)?)?;
            self.at = found + self.length;
            let Some(before) = self.body[..found].strip_suffix(b"--") else { continue };
            let start = match before {
                [] => 0,
                [rest @ .., b'\r', b'\n'] => rest.len(),
                _ => continue,
            };
            let rest = &self.body[self.at..];
            let closes = rest.starts_with(b"--");
            let rest = if closes { &rest[2..] } else { rest };
            let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            let line_end = match &rest[blanks..] {
                [] => 0,
                [b'\r', b'\n', ..] => 2,
                // A longer boundary, of a part within.
                _ => continue,
            };
            // The line end behind the last boundary belongs to what follows.
            let end = self.at + blanks + if closes { 2 } else { line_end };
            return Some(Delimiter { start, end, closes });
        }
    }
}

/// Writes the header, with another encoding if one is given, more fields at its end, and an empty line behind it.
fn put_header(out: &mut Vec<u8>, header: &Header<'_>, encoding: Option<&str>, more: &str) {
    match encoding {
        None => out.extend_from_slice(header.octets()),
        Some(encoding) => {
            for run in header.without(&["Content-Transfer-Encoding"]) {
                out.extend_from_slice(run);
            }
            out.extend_from_slice(format!("{more}Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
        }
    }
    if header.has_empty_line() || encoding.is_some() {
        out.extend_from_slice(b"\r\n");
    }
}

/// Only CRLF lines of ASCII without NUL, none longer than `line_max`; the last may lack its end.
fn is_lines(octets: &[u8], line_max: usize) -> bool {
    if !octets.is_ascii() || memchr(0, octets).is_some() {
        return false;
    }
    let mut rest = octets;
    while let Some(end) = memchr(b'\n', rest) {
        let Some(line) = rest[..end].strip_suffix(b"\r") else { return false };
        if line.len() > line_max || memchr(b'\r', line).is_some() {
            return false;
        }
        rest = &rest[end + 1..];
    }
    rest.len() <= line_max && memchr(b'\r', rest).is_none()
}

/// Copies text that means nothing, with `?` for what no 7-bit line may hold.
fn masked(octets: &[u8], out: &mut Vec<u8>) {
    for (i, &b) in octets.iter().enumerate() {
        let lone = match b {
            b'\r' => octets.get(i + 1) != Some(&b'\n'),
            b'\n' => i == 0 || octets[i - 1] != b'\r',
            _ => b == 0 || !b.is_ascii(),
        };
        out.push(if lone { b'?' } else { b });
    }
}

/// What Content-Transfer-Encoding says.
#[derive(Copy, Clone)]
enum Encoding {
    /// 7bit, 8bit, binary or nothing; `true` if it is not 7bit.
    None(bool),
    /// Quoted-printable, base64, or one that we do not know.
    Some,
}

impl Encoding {
    fn of(header: &Header<'_>) -> Encoding {
        let Some(field) = header.first("Content-Transfer-Encoding") else { return Encoding::None(false) };
        let words = without_comments(field.value);
        match words.trim().to_ascii_lowercase().as_str() {
            "7bit" | "" => Encoding::None(false),
            "8bit" | "binary" => Encoding::None(true),
            _ => Encoding::Some,
        }
    }

    fn relabelled(self) -> Option<&'static str> {
        matches!(self, Encoding::None(true)).then_some("7bit")
    }
}

/// What Content-Type means for conversion.
enum Kind {
    Text,
    /// Octets of whatever meaning.
    Other,
    /// With its boundary, if it has one.
    Multipart(Option<Vec<u8>>),
    /// Another message, which may not be encoded as a whole.
    Message,
    /// Signed or encrypted.
    Sealed,
    /// May not be encoded, and has no parts that could be.
    Fixed,
}

impl Kind {
    fn of(header: &Header<'_>) -> Kind {
        let Some(field) = header.first("Content-Type") else { return Kind::Text };
        let value = without_comments(field.value);
        let (full, parameters) = value.split_once(';').unwrap_or((&value, ""));
        let full: String = full.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
        match full.split_once('/') {
            Some(("multipart", "signed" | "encrypted")) => Kind::Sealed,
            Some(("multipart", _)) => Kind::Multipart(boundary(parameters)),
            Some(("message", "rfc822" | "news")) => Kind::Message,
            // RFC 6532 §3.7 and RFC 6533 allow what RFC 2046 §5.2 forbids for the others.
            Some(("message", subtype)) if subtype.starts_with("global") => Kind::Other,
            Some(("message", _)) => Kind::Fixed,
            Some(("text", _)) | None => Kind::Text,
            Some(_) => Kind::Other,
        }
    }
}

/// The boundary parameter, if there is one that RFC 2046 §5.1.1 allows or that at least can be looked for.
fn boundary(parameters: &str) -> Option<Vec<u8>> {
    let mut rest = parameters;
    loop {
        let (name, value) = rest.split_once('=')?;
        let name = name.trim_start_matches([';', ' ', '\t', '\r', '\n']).trim_end();
        let value = value.trim_start();
        let (text, after) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = value.find([';', ' ', '\t', '\r', '\n']).unwrap_or(value.len());
                (value[..end].to_owned(), &value[end..])
            }
        };
        if name.eq_ignore_ascii_case("boundary") {
            return (!text.is_empty() && text.len() <= 200).then(|| text.into_bytes());
        }
        rest = after;
    }
}

/// A quoted string after its first quote, and what follows the last.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => out.push(chars.next()?.1),
            '\r' | '\n' => {}
            _ => out.push(c),
        }
    }
    None
}

/// A structured value as text, without its comments.
fn without_comments(value: &[u8]) -> String {
    let mut out = String::new();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for c in String::from_utf8_lossy(value).chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => {
                depth -= 1;
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(message: &str) -> String {
        String::from_utf8(to_seven_bit(message.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn text_becomes_quoted_printable_and_the_rest_base64() {
        assert_eq!(
            converted(
                "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\
                 Subject: x\r\n\r\nGrüße\r\n.\r\n"
            ),
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nSubject: x\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n.\r\n"
        );
        assert_eq!(
            to_seven_bit(b"MIME-Version: 1.0\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n\x00").unwrap(),
            b"MIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n\
              iVBORw0KGgoA\r\n"
        );
    }

    #[test]
    fn a_message_without_mime_becomes_one() {
        assert_eq!(
            converted("Subject: x\r\n\r\nGrüße"),
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe=\r\n"
        );
        let latin = to_seven_bit(b"Subject: x\r\n\r\nGr\xfc\xdfe an alle\r\n").unwrap();
        assert!(String::from_utf8(latin).unwrap().contains("charset=unknown-8bit"));
    }

    #[test]
    fn parts_are_converted_each_for_itself() {
        let message = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; x=\"y;z\"; boundary=\"b 1\"\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\npreämble\r\n--b 1\r\n\r\nplain\r\n--b 1\r\n\
             Content-Type: text/html\r\nContent-Transfer-Encoding: 8bit\r\n\r\nä long enough line\r\n--b 1x\r\nno\r\n\
             --b 1\r\nContent-Type: multipart/alternative;\r\n boundary=b (nested)\r\n\r\n\
             --b\r\nContent-Type: application/x\r\n\r\nü\r\n--b--\r\n\r\n--b 1\r\nContent-Type: message/rfc822\r\n\r\n\
             Subject: inner\r\n\r\nö and more text\r\n--b 1--\r\nepilög\r\n";
        assert_eq!(
            converted(message),
            "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; x=\"y;z\"; boundary=\"b 1\"\r\n\
             Content-Transfer-Encoding: 7bit\r\n\r\npre??mble\r\n--b 1\r\n\r\nplain\r\n--b 1\r\n\
             Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4 long enough \
             line\r\n--b 1x\r\nno\r\n--b 1\r\nContent-Type: multipart/alternative;\r\n boundary=b (nested)\r\n\r\n\
             --b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\nw7w=\r\n--b--\r\n\r\n\
             --b 1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             =C3=B6 and more text=\r\n\r\n--b 1--\r\nepil??g\r\n"
        );
    }

    #[test]
    fn empty_parts_stay_empty() {
        let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b \r\n\r\nä\r\n--b--";
        let head = "Content-Type: text/plain; charset=utf-8\r\n";
        let converted = converted(&message.replace("\r\n\r\nä", &format!("\r\n{head}\r\nä")));
        assert_eq!(
            converted,
            message
                .replace("\r\n\r\nä", &format!("\r\n{head}Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4"))
        );
    }

    #[test]
    fn seven_bit_lines_come_back_as_they_are() {
        for message in [
            "",
            "body only\r\n",
            "Subject: x\r\n\r\nbody\r\n",
            "Content-Type: multipart/signed\r\n\r\nx\r\n",
            "Content-Type: multipart/mixed\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n",
            "Subject: x",
        ] {
            assert_eq!(converted(message), message);
        }
        assert_eq!(
            converted("Content-Transfer-Encoding: BINARY (why)\r\n\r\nascii\r\n"),
            "Content-Transfer-Encoding: 7bit\r\n\r\nascii\r\n"
        );
        let long = format!("Subject: x\r\n\r\n{}\r\n", "y".repeat(999));
        assert!(converted(&long).lines().all(|line| line.len() <= 76));
    }

    #[test]
    fn what_may_not_be_converted_is_refused() {
        use Unconvertible::{Encoded, Header, Sealed, Structure, TooDeep};
        for (message, why) in [
            ("Subject: ä\r\n\r\nx\r\n", Header),
            ("Subject: a\0\r\n\r\nx\r\n", Header),
            ("Subject: a\nb: c\r\n\r\nx\r\n", Header),
            ("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nä\r\n--b--\r\n", Sealed),
            ("Content-Type: Multipart (x) / Encrypted; boundary=b\r\n\r\n--b\r\n\r\nä\r\n--b--\r\n", Sealed),
            (
                "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n\
                 --b\r\n\r\nä\r\n--b--\r\n--a--\r\n",
                Sealed,
            ),
            ("Content-Transfer-Encoding: quoted-printable\r\n\r\nä\r\n", Encoded),
            ("Content-Transfer-Encoding: x-uuencode\r\n\r\nä\r\n", Encoded),
            ("Content-Type: message/partial\r\n\r\nä\r\n", Encoded),
            ("Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nä\r\n", Structure),
            ("Content-Type: multipart/mixed; boundary=b\r\n\r\nä\r\n--bb\r\n", Structure),
            ("Content-Type: multipart/mixed; boundary=\"b\r\n\r\nä\r\n", Structure),
        ] {
            assert_eq!(to_seven_bit(message.as_bytes()), Err(why), "{message:?}");
        }
        let nested = |depth| "Content-Type: message/rfc822\r\n\r\n".repeat(depth) + "\r\nä\r\n";
        assert!(to_seven_bit(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(to_seven_bit(nested(DEPTH_MAX + 1).as_bytes()), Err(TooDeep));
        assert_eq!(to_seven_bit(nested(100_000).as_bytes()), Err(TooDeep));
    }

    #[test]
    fn hostile_structure_takes_no_time() {
        let many =
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n", "--b\r\n\r\nä\r\n".repeat(20_000));
        assert!(converted(&many).is_ascii());
        let near = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\nä{}", "--b-\r\n".repeat(200_000));
        assert_eq!(to_seven_bit(near.as_bytes()), Err(Unconvertible::Structure));
        let deep: String = (0..49)
            .map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n"))
            .collect::<String>()
            + "\r\n"
            + &"ä".repeat(100_000);
        assert!(converted(&deep).is_ascii());
    }

    #[test]
    fn every_short_body_is_converted_to_seven_bit_lines() {
        // All bodies of these pieces: each either becomes 7-bit lines or is refused, and nothing panics.
        let pieces: [&[u8]; 8] = [b"--b", b"--", b"\r\n", b"\xe4", b"\r", b"\n", b"x: y", b" "];
        let mut pending = vec![(Vec::new(), 0)];
        while let Some((body, length)) = pending.pop() {
            let message = [b"Content-Type: multipart/mixed; boundary=b\r\n\r\n", body.as_slice()].concat();
            if let Ok(out) = to_seven_bit(&message) {
                assert!(is_lines(&out, LINE_MAX), "{body:?} {:?}", String::from_utf8_lossy(&out));
            }
            if length < 5 {
                pending.extend(pieces.iter().map(|piece| ([body.as_slice(), piece].concat(), length + 1)));
            }
        }
    }
}
