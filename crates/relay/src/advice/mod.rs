//! What the words of a provider mean, and what to do about them: advice for the operator.
//!
//! Two tables: what hosts reply ([`of_reply`]), and why identity providers give no token ([`token_refusal`]). Texts for
//! people only: what an outcome means for a message is said by `relay::settle`. docs/smart-hosts.md lists them ([`markdown`]).

mod reply;
mod token;

pub use reply::{Explained, REPLIES, of_reply};
pub use token::{REFUSALS, Refusal, Remedy, token_refusal};

use std::fmt::Write;

/// What something means, and what to do: a sentence each.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub advice: &'static str,
}

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

/// The tables of docs/smart-hosts.md.
#[must_use]
pub fn markdown() -> String {
    let mut page =
        String::from("### What hosts reply\n\n| reply | who | what it means | what to do |\n|---|---|---|---|\n");
    let code = |text: &str| if text.is_empty() { String::new() } else { format!(", `{text}`") };
    for row in REPLIES {
        // Writing to a String cannot fail.
        let words = code(row.words);
        let _ =
            writeln!(page, "| {} {}{words} | {} | {} | {} |", row.code, row.status, row.who, row.meaning, row.advice);
    }
    page.push_str("\n### Why there is no token\n\n| error | what it means | what to do |\n|---|---|---|\n");
    for row in REFUSALS {
        let error = match (row.error, row.words) {
            (error, "") => format!("`{error}`"),
            ("", words) => format!("`{words}`"),
            (error, words) => format!("`{error}`, `{words}`"),
        };
        let advice = match row.remedy {
            Remedy::Wait => "Nothing: it is asked again by itself.",
            Remedy::AgreeAgain => "Log in again (`mailroot oauth login`), or bring a new refresh token.",
            Remedy::Mend(words) => words,
        };
        let _ = writeln!(page, "| {error} | {} | {advice} |", row.meaning);
    }
    page
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
