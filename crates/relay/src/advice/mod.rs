//! What the words of a provider mean, and what to do about them: advice for the operator.
//!
//! Two tables, of identity providers that give no token ([`token_refusal`]). Texts for people only: what an outcome means
//! for a message is said by `relay::settle`. docs/smart-hosts.md lists them.

mod token;

pub use token::token_refusal;

/// Characters of a provider's words that are passed on.
pub const WORDS_MAX: usize = 300;

/// A provider's words as they can be shown: one line, no control characters, bounded.
#[must_use]
pub fn cleaned(words: &str) -> String {
    let mut text = String::new();
    let mut count = 0;
    for word in words.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        let room = WORDS_MAX.saturating_sub(count);
        if room == 0 {
            return text + "…";
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.extend(word.chars().take(room));
        count += word.chars().count() + 1;
        if count > WORDS_MAX + 1 {
            return text + "…";
        }
    }
    text
}

/// The words with a stop at their end.
#[must_use]
pub fn sentence(words: &str) -> String {
    let words = words.trim();
    if words.ends_with(['.', '!', '?', '…']) { words.to_owned() } else { format!("{words}.") }
}
