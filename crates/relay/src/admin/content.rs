//! What a message says, for an operator who looks at it.
//!
//! Made of the message's beginning alone ([`CONTENT_READ_MAX`]), whatever its size; every part of the answer has a bound. Header fields come
//! decoded (RFC 2047), the text as text: of a mail that is HTML only, the tags are taken out, and nothing of it is ever shown as
//! HTML. What a stranger chose is in here as he chose it: whoever shows it escapes it for its place.
//!
//! Nothing that is sent or kept is made of what is read here.

use super::view::{ContentView, HeaderLine};
use mail_parser::parsers::MessageStream;
use mail_parser::{HeaderValue, Message, MessageParser, MimeHeaders};
use smtp::header::{Field, Header, addresses, scan};

/// Octets of a message's beginning that are looked at.
pub const CONTENT_READ_MAX: usize = 256 << 10;
/// Octets of its text that are shown.
pub const CONTENT_TEXT_MAX: usize = 64 << 10;
/// Header fields that are shown.
pub const CONTENT_FIELDS_MAX: usize = 500;
/// Octets of one field's value that are shown.
pub const CONTENT_FIELD_MAX: usize = 4 << 10;
/// Octets of all fields together that are shown.
pub const CONTENT_HEADER_MAX: usize = 64 << 10;
/// Attachments that are named.
pub const ATTACHMENTS_NAMED_MAX: usize = 100;
/// Recipients of a file that a listing names.
pub const RECIPIENTS_NAMED_MAX: usize = 20;

/// What the message of this name and size says, by its beginning.
#[must_use]
pub fn view(name: &str, size: u64, beginning: &[u8]) -> ContentView {
    let seen = &beginning[..beginning.len().min(CONTENT_READ_MAX)];
    let header = scan(seen);
    let (headers, fields_cut) = lines(&header);
    let (text, text_cut, attachments) = match MessageParser::new().with_mime_headers().parse(seen) {
        Some(message) => {
            let (text, cut) = text(&message);
            (text, cut, names(&message))
        }
        None => {
            let (text, cut) = cut(&String::from_utf8_lossy(&seen[header.body_at()..]), CONTENT_TEXT_MAX);
            (text, cut, Vec::new())
        }
    };
    let cut = fields_cut || text_cut || size > seen.len() as u64;
    ContentView { name: name.into(), size, headers, text, cut, attachments, why: None }
}

/// The same for somebody who may see the header alone.
#[must_use]
pub fn header_view(name: &str, size: u64, beginning: &[u8]) -> ContentView {
    let seen = &beginning[..beginning.len().min(CONTENT_READ_MAX)];
    let header = scan(seen);
    let (headers, _) = lines(&header);
    let cut = size > header.body_at() as u64;
    ContentView { name: name.into(), size, headers, text: String::new(), cut, attachments: Vec::new(), why: None }
}

fn lines(header: &Header<'_>) -> (Vec<HeaderLine>, bool) {
    let mut lines = Vec::new();
    let (mut octets, mut is_cut) = (0, false);
    for field in header.fields() {
        if lines.len() >= CONTENT_FIELDS_MAX || octets >= CONTENT_HEADER_MAX {
            return (lines, true);
        }
        let (value, value_cut) = cut(&decoded(&field), CONTENT_FIELD_MAX);
        let (name, _) = cut(&String::from_utf8_lossy(field.name), CONTENT_FIELD_MAX);
        octets += name.len() + value.len();
        is_cut |= value_cut;
        lines.push(HeaderLine { name, value });
    }
    (lines, is_cut)
}

/// The field's value on one line, encoded words decoded.
pub(crate) fn decoded(field: &Field<'_>) -> String {
    let end = field.value.len().min(4 * CONTENT_FIELD_MAX);
    let mut value = field.value[..end].to_vec();
    value.push(b'\n');
    match MessageStream::new(&value).parse_unstructured() {
        HeaderValue::Text(text) => text.into_owned(),
        _ => String::new(),
    }
}

fn text(message: &Message<'_>) -> (String, bool) {
    let mut whole = String::new();
    for part in 0..message.text_body_count() {
        let Some(body) = message.body_text(part) else { continue };
        if !whole.is_empty() && !body.is_empty() {
            whole.push('\n');
        }
        whole.push_str(&body.replace("\r\n", "\n"));
        if whole.len() > CONTENT_TEXT_MAX {
            break;
        }
    }
    cut(&whole, CONTENT_TEXT_MAX)
}

fn names(message: &Message<'_>) -> Vec<String> {
    let name = |part: &mail_parser::MessagePart<'_>| match (part.attachment_name(), part.content_type()) {
        (Some(name), _) => cut(name, CONTENT_FIELD_MAX / 16).0,
        (None, Some(kind)) => cut(&format!("({}/{})", kind.c_type, kind.c_subtype.as_deref().unwrap_or("?")), 100).0,
        (None, None) => "(without a name)".to_owned(),
    };
    message.attachments().take(ATTACHMENTS_NAMED_MAX).map(name).collect()
}

/// At most so many octets of it, cut between characters; was there more?
fn cut(text: &str, max: usize) -> (String, bool) {
    (text[..text.floor_char_boundary(max)].to_owned(), text.len() > max)
}

/// What a file in Drop or Pickup, or the message of one in Badmail, says of itself in its first lines.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    /// The sender: of its x-sender line, else of `Sender` or `From`.
    pub sender: Option<String>,
    /// Recipients: of its x-receiver lines, else of `To`; at most [`RECIPIENTS_NAMED_MAX`].
    pub recipients: Vec<String>,
    /// Its subject.
    pub subject: Option<String>,
}

/// Reads it off a file's beginning.
#[must_use]
pub fn summary(beginning: &[u8]) -> Summary {
    let header = scan(beginning);
    let found = |field: &Field<'_>, max: usize| -> Vec<String> {
        let end = field.value.len().min(16 * CONTENT_FIELD_MAX);
        addresses(&field.value[..end], max).paths.iter().map(ToString::to_string).collect()
    };
    let one = |name: &str| header.first(name).and_then(|field| found(&field, 1).pop());
    let named = |name: &'static str| {
        let fields = header.fields().filter(move |field| field.is(name)).take(RECIPIENTS_NAMED_MAX);
        fields.flat_map(|field| found(&field, RECIPIENTS_NAMED_MAX)).take(RECIPIENTS_NAMED_MAX).collect::<Vec<_>>()
    };
    let x_sender = header.first("x-sender");
    let sender = match &x_sender {
        Some(field) if field.value.trim_ascii() == b"<>" => Some("<>".to_owned()),
        Some(field) => found(field, 1).pop(),
        None => one("Sender").or_else(|| one("From")),
    };
    let receivers = named("x-receiver");
    let recipients = if receivers.is_empty() { named("To") } else { receivers };
    let subject = header.first("Subject").map(|field| cut(&decoded(&field), CONTENT_FIELD_MAX / 8).0);
    Summary { sender, recipients, subject }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'v>(view: &'v ContentView, name: &str) -> &'v str {
        &view.headers.iter().find(|line| line.name.eq_ignore_ascii_case(name)).unwrap().value
    }

    #[test]
    fn headers_come_decoded_and_the_text_in_its_character_set() {
        let message =
            b"Received: from x\r\n by y\r\nSUBJECT: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?iso-8859-1?q?_aus_K=F6ln?=\r\n\
            From: =?utf-8?b?SsO2cmc=?= <j@x.test>\r\nContent-Type: text/plain; charset=windows-1252\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\nPreis: 5 =80\r\nEnde=\r\n.\r\n";
        let view = view("1", message.len() as u64, message);
        assert_eq!(value(&view, "Subject"), "Grüße aus Köln");
        assert_eq!(value(&view, "From"), "Jörg <j@x.test>");
        assert_eq!(value(&view, "Received"), "from x by y");
        assert_eq!(view.headers[1].name, "SUBJECT", "names stay as they are");
        assert_eq!(view.text, "Preis: 5 €\nEnde.\n");
        assert!(!view.cut && view.attachments.is_empty());
    }

    #[test]
    fn html_becomes_text_and_attachments_are_named() {
        let message = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
            Content-Type: text/html\r\n\r\n<p>Hello <b>you</b><script>alert(1)</script></p>\r\n--b\r\n\
            Content-Type: application/pdf; name=\"=?utf-8?q?Rechnung_=C3=A4?=.pdf\"\r\nContent-Disposition: attachment\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b\r\nContent-Type: image/png\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n";
        let view = view("1", message.len() as u64, message);
        assert!(view.text.contains("Hello you"), "{}", view.text);
        assert!(!view.text.contains('<'), "{}", view.text);
        assert_eq!(view.attachments, ["Rechnung ä.pdf", "(image/png)"]);
    }

    #[test]
    fn everything_is_bounded() {
        let mut message = b"X: ".to_vec();
        message.extend(std::iter::repeat_n(b'a', 100_000));
        message.extend(b"\r\n");
        message.extend(b"Y: z\r\n".repeat(2_000));
        message.extend(b"\r\n");
        message.extend("ü".repeat(1_000_000).into_bytes());
        let view = view("1", message.len() as u64, &message);
        assert!(view.cut);
        assert_eq!(view.headers.len(), CONTENT_FIELDS_MAX);
        assert!(view.headers[0].value.len() <= CONTENT_FIELD_MAX && view.text.len() <= CONTENT_TEXT_MAX);
        let many = b"--b\r\nContent-Type: a/b; name=x\r\n\r\n\r\n".repeat(20_000);
        let mut message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
        message.extend(many);
        let view = super::view("1", message.len() as u64, &message);
        assert_eq!(view.attachments.len(), ATTACHMENTS_NAMED_MAX);
    }

    #[test]
    fn junk_is_shown_as_it_is_and_a_boundary_in_itself_ends() {
        for junk in [
            &b""[..],
            b"\0\xff\xfe",
            b"no header at all\r\n",
            b"A: b",
            b"\r\n\r\n",
            b"Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n----\r\n",
        ] {
            let _ = view("1", junk.len() as u64, junk);
            let _ = summary(junk);
        }
        let nested = b"Content-Type: message/rfc822\r\n\r\n".repeat(5_000);
        let _ = view("1", nested.len() as u64, &nested);
        let deep: Vec<u8> = (0..4_000)
            .flat_map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n").into_bytes())
            .collect();
        let _ = view("1", deep.len() as u64, &deep);
    }

    #[test]
    fn who_sees_headers_sees_no_text() {
        let view = header_view("1", 30, b"Subject: x\r\n\r\nsecret text\r\n");
        assert_eq!((value(&view, "Subject"), view.text.as_str(), view.cut), ("x", "", true));
    }

    #[test]
    fn a_file_says_whom_it_is_for() {
        let drop = b"x-sender: a@x.test\r\nx-receiver: b@x.test\r\nx-receiver: c@x.test\r\nSubject: =?utf-8?q?=C3=BC?=\r\n\r\n";
        let found = summary(drop);
        assert_eq!(found.sender.as_deref(), Some("a@x.test"));
        assert_eq!((found.recipients.len(), found.subject.as_deref()), (2, Some("ü")));
        let plain = summary(b"From: Anna <a@x.test>\nTo: b@x.test, \"C\" <c@x.test>\n\nx");
        assert_eq!(plain.sender.as_deref(), Some("a@x.test"));
        assert_eq!(plain.recipients, ["b@x.test", "c@x.test"]);
        assert_eq!(summary(b"x-sender: <>\r\n\r\n").sender.as_deref(), Some("<>"));
        let many = [b"x-sender: <>\r\n".to_vec(), b"x-receiver: b@x.test\r\n".repeat(5_000)].concat();
        assert_eq!(summary(&many).recipients.len(), RECIPIENTS_NAMED_MAX);
    }
}
