//! Messages to hand in, and what must be left of them when they arrive: content compared octet for octet once the trace
//! fields on top are taken off.

/// A message that tries a relay: dots at line starts, long lines, spaces at line ends, empty lines at the end.
pub fn tricky(subject: &str) -> Vec<u8> {
    let long = "x".repeat(996);
    let text = format!(
        "From: Alice <alice@apps.test>\r\nTo: Bob <bob@dest.test>\r\nSubject: {subject}\r\n\
         Date: Sat, 1 Mar 2025 10:00:00 +0100\r\nMessage-ID: <{}@apps.test>\r\n\
         X-Folded: one\r\n two\r\n\tthree\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         .\r\n..\r\n.x leading dot\r\n...\r\n{long}\r\ntrailing blanks  \t \r\nFrom the start of a line\r\n\
         = equals, % percent, \\ backslash, \x07 bell\r\n\r\n.\r\nlast line\r\n\r\n\r\n",
        subject.replace(|c: char| !c.is_ascii_alphanumeric(), ".")
    );
    text.into_bytes()
}

/// A plain one.
pub fn plain(subject: &str, to: &str) -> Vec<u8> {
    format!(
        "From: alice@apps.test\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Sat, 1 Mar 2025 10:00:00 +0100\r\n\
         Message-ID: <{}@apps.test>\r\n\r\nHello, this is {subject}.\r\n",
        subject.replace(|c: char| !c.is_ascii_alphanumeric(), ".")
    )
    .into_bytes()
}

/// One header field with its folded lines, CRLF included.
fn fields(header: &[u8]) -> Vec<&[u8]> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    for line in header.split_inclusive(|&b| b == b'\n') {
        let end = at + line.len();
        match found.last_mut() {
            Some(last) if line.starts_with(b" ") || line.starts_with(b"\t") => last.1 = end,
            _ => found.push((at, end)),
        }
        at = end;
    }
    found.into_iter().map(|(start, end)| &header[start..end]).collect()
}

fn name_of(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|&b| b == b':').next().unwrap_or_default()).trim().to_ascii_lowercase()
}

/// With CRLF line ends, as it went over the wire: mail servers store messages with the line ends of their system.
pub fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 40);
    for (at, &octet) in octets.iter().enumerate() {
        if octet == b'\n' && (at == 0 || octets[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(octet);
    }
    out
}

/// Header (with its line ends) and the rest, the empty line included.
pub fn split(message: &[u8]) -> (&[u8], &[u8]) {
    if message.starts_with(b"\r\n") {
        return (&message[..0], message);
    }
    let end = message.windows(4).position(|w| w == b"\r\n\r\n").map_or(message.len(), |n| n + 2);
    message.split_at(end)
}

/// What was handed in: the stored message without the fields that servers on the way put on top or, in Drop, at the end of
/// the header.
pub fn without_trace(stored: &[u8]) -> Vec<u8> {
    const ON_TOP: &[&str] = &["return-path", "delivered-to", "x-original-to", "x-sender", "x-receiver", "received"];
    const AT_END: &[&str] = &["return-path", "x-originalarrivaltime"];
    let stored = with_crlf(stored);
    let (header, rest) = split(&stored);
    let fields = fields(header);
    let start = fields.iter().take_while(|field| ON_TOP.contains(&name_of(field).as_str())).count();
    let end = fields.iter().rev().take_while(|field| AT_END.contains(&name_of(field).as_str())).count();
    let mut out = fields[start..fields.len().max(end + start) - end].concat();
    out.extend_from_slice(rest);
    out
}

/// The values of all fields of this name, unfolded.
pub fn values(message: &[u8], name: &str) -> Vec<String> {
    let message = with_crlf(message);
    let (header, _) = split(&message);
    fields(header)
        .into_iter()
        .filter(|field| name_of(field) == name.to_ascii_lowercase())
        .map(|field| {
            let text = String::from_utf8_lossy(field).replace("\r\n", "");
            text.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        })
        .collect()
}

/// Panics with the first difference.
pub fn assert_same(arrived: &[u8], sent: &[u8], where_to: &str) {
    let arrived = without_trace(arrived);
    if arrived != sent {
        let at = arrived.iter().zip(sent).position(|(a, b)| a != b).unwrap_or(arrived.len().min(sent.len()));
        let around = |octets: &[u8]| {
            String::from_utf8_lossy(&octets[at.saturating_sub(60)..(at + 60).min(octets.len())]).into_owned()
        };
        panic!(
            "{where_to}: {} octets arrived, {} were sent; they differ at {at}:\narrived …{:?}…\nsent    …{:?}…",
            arrived.len(),
            sent.len(),
            around(&arrived),
            around(sent)
        );
    }
}
