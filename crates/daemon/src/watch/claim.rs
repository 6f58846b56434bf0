//! The name of a claimed pickup file: enough to know after a crash what has been done with it.
//!
//! A file is claimed by moving it into our own folder under a name that begins with the id which its message will have.
//! Then the message is accepted under that id; then the file is removed. After a crash in between the name tells: if the
//! spool knows the id, the message was accepted and only the file is left to remove; if not, it is handed in again.
//!
//! A file with more recipients than a message may have becomes several messages. It gets as many ids in a row, the
//! messages are accepted in their order, and the name also says how many they are and how the recipients are shared
//! out, so that a change of the limit meanwhile cannot shift the shares:
//!
//! ```text
//! 00064d2f1f0a9c00.1.0.0.order.eml          one message
//! 00064d2f1f0a9c00.100.100.0.everybody.eml  100 messages of up to 100 recipients each
//! 00064d2f1f0a9d17.60.100.4000.everybody.eml  the rest of it: the first 4000 recipients have theirs
//! ```
//!
//! Names and arithmetic only; the renaming is done in [`super::pickup_folder`].

use relay::envelope::QueueId;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Octets of the file's own name that a claimed file keeps; a name has at most 255.
const ORIGINAL_MAX: usize = 180;

/// What a claimed file's name says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    /// The id of its first message.
    pub id: QueueId,
    /// Messages that it becomes; they have ids in a row.
    pub messages: u32,
    /// Recipients of each but the last; 0 if there is one message.
    pub share: u32,
    /// Recipients at the beginning of the file who have got theirs already.
    pub done: u32,
    /// How the file was called in Pickup, cut if that was long.
    pub file: OsString,
}

impl Claim {
    /// A claim for a file that has been found, of which nothing is known yet.
    pub fn new(id: QueueId, file: &OsStr) -> Claim {
        let file = &file.as_bytes()[..file.len().min(ORIGINAL_MAX)];
        Claim { id, messages: 1, share: 0, done: 0, file: OsString::from_vec(file.to_vec()) }
    }

    /// The claimed file's name.
    pub fn name(&self) -> OsString {
        let mut name = OsString::from(format!("{}.{}.{}.{}.", self.id, self.messages, self.share, self.done));
        name.push(&self.file);
        name
    }

    /// Reads what [`Claim::name`] makes; `None` for anything else.
    pub fn parse(name: &OsStr) -> Option<Claim> {
        let mut parts = name.as_bytes().splitn(5, |octet| *octet == b'.');
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let id = QueueId::parse(text()?)?;
        let mut number = || text()?.parse::<u32>().ok();
        let (messages, share, done) = (number()?, number()?, number()?);
        let file = OsString::from_vec(parts.next()?.to_vec());
        let claim = Claim { id, messages, share, done, file };
        // Numbers that no name of ours has (a sign, leading zeros, nothing to send) are somebody else's.
        (claim.messages > 0 && (claim.messages == 1 || claim.share > 0) && claim.name() == name).then_some(claim)
    }

    /// The id of its `n`th message, counted from 0.
    pub fn message(&self, n: u32) -> QueueId {
        QueueId(self.id.0 + u64::from(n))
    }

    /// How many of its messages have been accepted. They are accepted in order, so it is the known ones at the
    /// beginning that count.
    pub fn accepted(&self, mut knows: impl FnMut(QueueId) -> bool) -> u32 {
        (0..self.messages).take_while(|n| knows(self.message(*n))).count().try_into().unwrap_or(u32::MAX)
    }

    /// The recipients who have theirs once `accepted` of its messages have been accepted.
    pub fn done_after(&self, accepted: u32) -> u32 {
        self.done.saturating_add(accepted.saturating_mul(self.share))
    }

    /// The file's own name, for people.
    pub fn shown(&self) -> String {
        smtp::reply::clean(self.file.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: QueueId = QueueId(0x0006_4d2f_1f0a_9c00);

    fn claim(messages: u32, share: u32, done: u32, file: &[u8]) -> Claim {
        Claim { id: ID, messages, share, done, file: OsString::from_vec(file.to_vec()) }
    }

    #[test]
    fn names_say_all_there_is_to_know() {
        for (claim, name) in [
            (claim(1, 0, 0, b"order.eml"), &b"00064d2f1f0a9c00.1.0.0.order.eml"[..]),
            (claim(60, 100, 4_000, b"x"), b"00064d2f1f0a9c00.60.100.4000.x"),
            (claim(1, 0, 0, b"..\xff\n"), b"00064d2f1f0a9c00.1.0.0...\xff\n"),
            (claim(1, 0, 0, b""), b"00064d2f1f0a9c00.1.0.0."),
        ] {
            assert_eq!(claim.name().as_bytes(), name);
            assert_eq!(Claim::parse(&claim.name()), Some(claim));
        }
        let long = Claim::new(ID, OsStr::from_bytes(&[b'x'; 255]));
        assert!(long.name().len() <= 255);
        assert_eq!(Claim::parse(&long.name()), Some(long));
        let longest = Claim {
            messages: u32::MAX,
            share: u32::MAX,
            done: u32::MAX,
            ..Claim::new(ID, OsStr::from_bytes(&[b'x'; 255]))
        };
        assert!(longest.name().len() <= 255);
    }

    #[test]
    fn other_names_are_none_of_ours() {
        for name in [
            "",
            "order.eml",
            "00064d2f1f0a9c00",
            "00064d2f1f0a9c00.eml",
            "00064d2f1f0a9c00.1.0.0",
            "00064d2f1f0a9c00.0.0.0.x",
            "00064d2f1f0a9c00.2.0.0.x",
            "00064d2f1f0a9c00.01.0.0.x",
            "00064d2f1f0a9c00.+1.0.0.x",
            "00064d2f1f0a9c00.99999999999.1.0.x",
            "00064D2F1F0A9C00.1.0.0.x",
        ] {
            assert_eq!(Claim::parse(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn what_was_accepted_is_counted_from_the_first() {
        let claim = claim(4, 100, 1_000, b"x");
        let known = |ids: &[u64]| claim.accepted(|id| ids.contains(&(id.0 - ID.0)));
        assert_eq!(known(&[]), 0);
        assert_eq!(known(&[0, 1]), 2);
        assert_eq!(known(&[0, 1, 2, 3, 4, 5]), 4);
        assert_eq!(known(&[1, 2]), 0);
        assert_eq!(claim.done_after(2), 1_200);
    }
}
