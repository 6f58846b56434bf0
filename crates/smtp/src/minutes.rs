//! What was said in a session, for somebody who looks on: line after line, without what nobody may see.
//!
//! Both session machines keep minutes if they are told to, and whoever drives them takes what was noted. A machine knows what
//! each line is, so it is the one to leave out secrets: a response of AUTH, and the words of its answer, are noted as `***`, a line that is no known command by its
//! length alone (it might be a password that came at the wrong time), a message as `(1234 octets)`.
//!
//! Nothing here is cleaned for a terminal or a page: what strangers said stands here as they said it.

/// Octets of one line that are noted; the rest is cut off, and `…` stands for it.
pub const NOTED_MAX: usize = 256;
/// What stands for a secret.
pub const SECRET: &str = "***";

/// Which side said it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Side {
    /// We.
    Ours,
    /// The other one.
    Theirs,
}

/// Lines that were noted and not taken yet: one octet for the side, two for the length, then the line.
#[derive(Default)]
pub struct Minutes {
    octets: Vec<u8>,
}

impl std::fmt::Debug for Minutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Minutes({} octets)", self.octets.len())
    }
}

/// Octets that most batches of commands and replies fit into: asked for at once.
const BATCH: usize = 192;
/// Octets before each line.
pub const MARK_LEN: usize = 3;

impl Minutes {
    /// Notes a line, without its end.
    pub fn note(&mut self, side: Side, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let cut = line.len() > NOTED_MAX;
        let line = &line[..line.len().min(NOTED_MAX)];
        self.mark(side, line.len() + if cut { '…'.len_utf8() } else { 0 });
        self.octets.extend_from_slice(line);
        if cut {
            self.octets.extend_from_slice("…".as_bytes());
        }
    }

    /// Notes a reply of ours as it is printed: the first line, and how many more there are.
    pub fn note_reply(&mut self, printed: &[u8]) {
        let first = printed.split(|&octet| octet == b'\n').next().unwrap_or_default();
        if first.get(3) != Some(&b'-') {
            return self.note(Side::Ours, first);
        }
        let more = printed.iter().filter(|&&octet| octet == b'\n').count().saturating_sub(1);
        let first = String::from_utf8_lossy(first.strip_suffix(b"\r").unwrap_or(first));
        self.note(Side::Ours, format!("{first} (and {more} lines more)").as_bytes());
    }

    /// Notes so many octets of a message.
    pub fn note_content(&mut self, side: Side, octets: u64) {
        self.note(side, format!("({octets} octets)").as_bytes());
    }

    /// Takes what was noted.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.octets)
    }

    fn mark(&mut self, side: Side, len: usize) {
        if self.octets.capacity() == 0 {
            self.octets.reserve(BATCH);
        }
        let [low, high] = u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes();
        self.octets.extend_from_slice(&[u8::from(side == Side::Ours), low, high]);
    }
}

/// The first line of what [`Minutes::take`] gave, and how many octets it has with its mark; `None`: there is none.
#[must_use]
pub fn first(noted: &[u8]) -> Option<(Side, &[u8], usize)> {
    let &[side, low, high] = noted.first_chunk::<MARK_LEN>()?;
    let end = MARK_LEN + usize::from(u16::from_le_bytes([low, high]));
    let line = noted.get(MARK_LEN..end)?;
    Some((if side == 1 { Side::Ours } else { Side::Theirs }, line, end))
}

/// All lines of what [`Minutes::take`] gave.
pub fn lines(mut noted: &[u8]) -> impl Iterator<Item = (Side, &[u8])> {
    std::iter::from_fn(move || {
        let (side, line, end) = first(noted)?;
        noted = &noted[end..];
        Some((side, line))
    })
}

/// AUTH as it may be seen: with its method, without what comes behind it.
#[must_use]
pub fn auth(line: &[u8]) -> Vec<u8> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(1);
    let method = words.next().and_then(|word| std::str::from_utf8(word).ok()).and_then(crate::sasl::Mechanism::parse);
    let said = words.next().map_or(String::new(), |_| format!(" {SECRET}"));
    match method {
        Some(method) => format!("AUTH {}{said}", method.name()).into_bytes(),
        None => format!("AUTH {SECRET}").into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_comes_back_line_by_line() {
        let mut minutes = Minutes::default();
        minutes.note(Side::Theirs, b"NOOP\r\n");
        minutes.note_reply(b"250 2.0.0 Ok\r\n");
        minutes.note_reply(b"250-a Hello\r\n250-SIZE\r\n250 HELP\r\n");
        minutes.note_content(Side::Theirs, 12);
        minutes.note(Side::Ours, &[b'x'; 1_000]);
        let taken = minutes.take();
        let got: Vec<(Side, String)> =
            lines(&taken).map(|(side, line)| (side, String::from_utf8(line.to_vec()).unwrap())).collect();
        assert_eq!(got[0], (Side::Theirs, "NOOP".into()));
        assert_eq!(got[1], (Side::Ours, "250 2.0.0 Ok".into()));
        assert_eq!(got[2], (Side::Ours, "250-a Hello (and 2 lines more)".into()));
        assert_eq!(got[3], (Side::Theirs, "(12 octets)".into()));
        assert_eq!(got[4].1.chars().count(), NOTED_MAX + 1);
        assert_eq!((got.len(), minutes.take().len()), (5, 0));
    }

    #[test]
    fn of_auth_only_the_method_is_seen() {
        let seen = |line: &str| String::from_utf8(auth(line.as_bytes())).unwrap();
        assert_eq!(seen("AUTH PLAIN AGEAYg=="), "AUTH PLAIN ***");
        assert_eq!(seen("auth login"), "AUTH LOGIN");
        assert_eq!(seen("AUTH LOGIN  dXNlcg=="), "AUTH LOGIN ***");
        assert_eq!(seen("AUTH AGEAYg=="), "AUTH ***");
        assert_eq!(seen("AUTH"), "AUTH ***");
    }
}
