//! What stays in mind of an envelope that is on the disk: enough for a listing and a search.

use crate::envelope::Envelope;
use memchr::memmem::Finder;
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

/// Octets of addresses that are kept of one message; sender and first recipient always are.
pub const ADDRESSES_KEPT_MAX: usize = 256;
/// Octets of a last answer that are kept.
pub const ANSWER_KEPT_MAX: usize = 200;
/// Different answers that are kept once for all messages which got them.
const WORDS_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Brief {
    /// Sender and recipients, each on a line of its own.
    addresses: Box<str>,
    pub said: Option<Arc<str>>,
    pub subject: Option<Box<str>>,
    pub size: u64,
    pub recipients: u32,
    /// Some recipients found no room.
    pub cut: bool,
}

impl Brief {
    pub fn of(envelope: &Envelope, words: &mut Words) -> Brief {
        let mut addresses = sender_of(envelope);
        let mut cut = false;
        for (n, recipient) in envelope.recipients.iter().enumerate() {
            let before = addresses.len();
            addresses.push('\n');
            addresses.push_str(&recipient.address.to_string());
            if n > 0 && addresses.len() > ADDRESSES_KEPT_MAX {
                addresses.truncate(before);
                cut = true;
                break;
            }
        }
        let said = last_answer(envelope).map(|said| words.one(said));
        let recipients = u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX);
        let subject = envelope.subject.clone();
        Brief { addresses: addresses.into(), said, subject, size: envelope.size, recipients, cut }
    }

    /// Sender and those recipients that are kept, each on a line of its own.
    pub fn addresses(&self) -> &str {
        &self.addresses
    }

    pub fn sender(&self) -> &str {
        self.addresses.split('\n').next().unwrap_or_default()
    }

    /// Those that are kept, in order.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        self.addresses.split('\n').skip(1)
    }
}

/// Answers that many messages got, each kept once.
#[derive(Debug, Default)]
pub(super) struct Words(HashSet<Arc<str>>);

impl Words {
    /// The text, bounded; shared if it is known.
    pub fn one(&mut self, text: &str) -> Arc<str> {
        let text = bounded(text);
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        if self.0.len() >= WORDS_MAX {
            self.0.clear();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone());
        new
    }
}

/// The sender, for people.
pub(super) fn sender_of(envelope: &Envelope) -> String {
    envelope.sender.mailbox().map_or_else(|| "<>".to_owned(), ToString::to_string)
}

/// What was said last about recipients that are not done with.
pub(super) fn last_answer(envelope: &Envelope) -> Option<&str> {
    let is_open = |index: &u32| envelope.recipients.get(*index as usize).is_some_and(|r| !r.fate.is_final());
    let last = envelope.attempts.iter().rev().find(|attempt| attempt.recipients.iter().any(is_open));
    last.map(|attempt| &*attempt.said)
}

/// At most [`ANSWER_KEPT_MAX`] octets of it.
pub(super) fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(ANSWER_KEPT_MAX)]
}

/// Sender and recipients of an envelope, as [`Brief::addresses`] has them, appended to `lines`.
pub(super) fn write_addresses(envelope: &Envelope, lines: &mut String) {
    // Writing into a String does not fail.
    let _ = match envelope.sender.mailbox() {
        Some(sender) => write!(lines, "{sender}"),
        None => write!(lines, "<>"),
    };
    for recipient in &envelope.recipients {
        let _ = write!(lines, "\n{}", recipient.address);
    }
}

/// A text that is searched for, without regard to case, in many others.
#[derive(Debug)]
pub(super) struct Needle(Finder<'static>);

impl Needle {
    pub fn new(part: &str) -> Needle {
        let mut lower = part.to_owned();
        make_lower(&mut lower);
        Needle(Finder::new(&lower).into_owned())
    }

    /// Does the text, which is in lower case, contain it?
    pub fn is_in(&self, lower: &str) -> bool {
        self.0.find(lower.as_bytes()).is_some()
    }

    /// The same for a text as it is; `buffer` is used for it, so that a search through many allocates nothing for each.
    pub fn is_in_any_case(&self, text: &str, buffer: &mut String) -> bool {
        self.is_in(lower(text, buffer))
    }
}

/// The text in lower case.
fn lower<'b>(text: &str, buffer: &'b mut String) -> &'b str {
    buffer.clear();
    buffer.push_str(text);
    make_lower(buffer);
    buffer
}

/// Writes a text in lower case: without memory for it, unless it is more than ASCII.
pub(super) fn make_lower(text: &mut String) {
    if text.is_ascii() {
        text.make_ascii_lowercase();
    } else {
        *text = text.chars().flat_map(char::to_lowercase).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Attempt, Fate, Origin, Recipient};
    use smtp::address::{Mailbox, ReversePath};

    use smtp::time::Timestamp;

    fn envelope(recipients: usize) -> Envelope {
        let one = |n: usize| Recipient {
            fate: Fate::Held,
            ..Recipient::new(Mailbox::parse(&format!("recipient{n}@far.test")).unwrap(), Timestamp(0))
        };
        let attempt = Attempt {
            at: Timestamp(0),
            host: "h".into(),
            recipients: vec![0],
            said: "ü".repeat(300).into(),
            channel: None,
        };
        let recipients = (0..recipients).map(one).collect();
        let envelope = Envelope::new(ReversePath::Null, recipients, Origin::Pickup { file: "x".into() }, Timestamp(0));
        Envelope { size: 7, attempts: vec![attempt], ..envelope }
    }

    #[test]
    fn a_brief_is_bounded_and_says_when_it_is_cut() {
        let mut words = Words::default();
        let one = Brief::of(&envelope(1), &mut words);
        assert_eq!((one.sender(), one.cut, one.recipients), ("<>", false, 1));
        assert_eq!(one.recipients().collect::<Vec<_>>(), ["recipient0@far.test"]);
        let many = Brief::of(&envelope(1_000), &mut words);
        assert!(many.addresses.len() <= ADDRESSES_KEPT_MAX && many.cut && many.recipients == 1_000);
        assert!(many.recipients().all(|r| r.ends_with("@far.test")), "whole addresses");
        let said = many.said.unwrap();
        assert!(said.len() <= ANSWER_KEPT_MAX && said.chars().all(|c| c == 'ü'));
        assert!(Arc::ptr_eq(&said, &one.said.unwrap()), "kept once");
    }

    #[test]
    fn answers_that_are_all_different_do_not_pile_up() {
        let mut words = Words::default();
        for n in 0..10_000 {
            words.one(&n.to_string());
        }
        assert!(words.0.len() <= WORDS_MAX);
    }

    #[test]
    fn case_does_not_matter() {
        let mut buffer = String::new();
        let mut contains = |text: &str, part: &str| Needle::new(part).is_in_any_case(text, &mut buffer);
        assert!(contains("Alice@Far.Test", "@FAR") && contains("x", "") && !contains("far", "far.test"));
        assert!(contains("\u{dc}bergröße", "\u{fc}BERGRÖ") && !contains("\u{dc}ber", "uber"));
    }

    #[test]
    fn an_envelope_and_its_brief_say_the_same() {
        let (mut lines, envelope) = (String::new(), envelope(3));
        write_addresses(&envelope, &mut lines);
        assert_eq!(lines, Brief::of(&envelope, &mut Words::default()).addresses());
    }
}
