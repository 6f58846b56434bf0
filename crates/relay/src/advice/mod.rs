//! What the words of a provider mean, and what to do about them: advice for the operator.
//!
//! A table of why identity providers give no token ([`token_refusal`]). Texts for people only: what an outcome means
//! for a message is said by `relay::settle`. docs/smart-hosts.md lists them.

mod token;

pub use token::{REFUSALS, Refusal, Remedy, token_refusal};

/// Characters of a provider's words that are passed on.
pub const WORDS_MAX: usize = 300;

/// A provider's words as they can be shown: one line, no control characters, bounded.
#[must_use]
pub fn cleaned(words: &str) -> String {
    let parts = words.split(|c: char| c.is_whitespace() || c.is_control()).filter(|part| !part.is_empty());
    let text = parts.collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The words with a stop at their end.
#[must_use]
pub fn sentence(words: &str) -> String {
    let words = words.trim();
    if words.ends_with(['.', '!', '?', '…']) { words.to_owned() } else { format!("{words}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_are_one_bounded_line() {
        assert_eq!(cleaned("  AADSTS1:\r\n\tno\u{0}way\u{1b}[31m  "), "AADSTS1: no way [31m");
        assert_eq!(cleaned(""), "");
        let long = cleaned(&"ä ".repeat(1_000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (WORDS_MAX + 1, true));
        assert_eq!(cleaned(&"x".repeat(WORDS_MAX)).len(), WORDS_MAX);
        assert_eq!((&*sentence("no "), &*sentence("no!"), &*sentence("no.")), ("no.", "no!", "no."));
    }
}
