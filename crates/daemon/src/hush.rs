//! What was said to somebody to prove who we are, remembered as long as the log-on lasts, so that nothing of it is told: some servers and
//! identity providers repeat what they do not understand, and their words go into the log, the queue, alarms and reports.
//!
//! Hides whole secrets, and every longer piece of one, since whoever repeats it may cut it; as it is, in base64 wherever it stands in
//! what was encoded, and percent-encoded as forms and addresses have it.

use relay::envelope::Failure;
use smtp::reply::Reply;
use smtp::sasl::{Secret, base64};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use zeroize::Zeroizing;

/// Octets of a secret below which it could be any word.
const WHOLE_MIN: usize = 4;
/// The same for a word that is a piece of it.
const WORD_MIN: usize = 6;
/// The same for a piece of it in the middle of something else.
const PIECE_MIN: usize = 8;
/// What needs no percent in a form, beside letters and digits (URL Standard, application/x-www-form-urlencoded).
const IN_FORMS: &[u8] = b"*-._";
/// The same in an address (RFC 3986 §2.3).
const IN_ADDRESSES: &[u8] = b"-._~";
/// What stands in its place.
const HIDDEN: &str = "…";

/// See the module.
#[derive(Default)]
pub(crate) struct Hush {
    /// What nobody may see, in all its forms.
    secrets: Vec<Secret>,
}

impl Hush {
    /// This goes to the server, in base64.
    pub(crate) fn note_response(&mut self, response: &[u8]) {
        self.note(base64::encode(response));
    }

    /// This is in what goes to the server.
    pub(crate) fn note_secret(&mut self, secret: &Secret) {
        self.secrets.push(secret.clone());
        for plain in [IN_FORMS, IN_ADDRESSES] {
            for blank in ["+", "%20"] {
                for lower in [false, true] {
                    self.note(percent_encoded(secret.reveal(), plain, blank, lower));
                }
            }
        }
        for before in 0..3 {
            let text = in_base64(secret.reveal(), before);
            self.note(text.replace('+', "-").replace('/', "_"));
            self.note(text);
        }
    }

    fn note(&mut self, text: String) {
        let new = Secret::new(text.into_bytes());
        // A short one would be found in any text once it is cut.
        if new.reveal().len() >= WHOLE_MIN && !self.secrets.iter().any(|known| known.reveal() == new.reveal()) {
            self.secrets.push(new);
        }
    }

    /// The failure without what nobody may see.
    pub(crate) fn over(&self, failure: Failure) -> Failure {
        let text = self.hide(&failure.text).into();
        let reply = failure
            .reply
            .map(|reply| Reply { lines: reply.lines.iter().map(|line| self.hide(line).into()).collect(), ..reply });
        Failure { text, reply, ..failure }
    }

    /// The text without what nobody may see.
    pub(crate) fn hide(&self, text: &str) -> String {
        let secrets: Vec<&[u8]> =
            self.secrets.iter().map(Secret::reveal).filter(|secret| secret.len() >= WHOLE_MIN).collect();
        if secrets.is_empty() {
            return text.to_owned();
        }
        let mut hidden = vec![false; text.len()];
        for secret in secrets.iter().filter_map(|secret| std::str::from_utf8(secret).ok()) {
            text.match_indices(secret).for_each(|(at, found)| hidden[at..at + found.len()].fill(true));
            for (at, word) in words(text).filter(|(_, word)| word.len() >= WORD_MIN && secret.contains(word)) {
                hidden[at..at + word.len()].fill(true);
            }
        }
        // No copy of a piece is kept, only its mark, that means nothing elsewhere.
        let marks = RandomState::new();
        let known: HashSet<u64> =
            secrets.iter().flat_map(|secret| secret.windows(PIECE_MIN)).map(|piece| marks.hash_one(piece)).collect();
        for (at, piece) in text.as_bytes().windows(PIECE_MIN).enumerate() {
            if known.contains(&marks.hash_one(piece)) {
                hidden[at..at + PIECE_MIN].fill(true);
            }
        }
        let mut told = String::with_capacity(text.len());
        let mut was_hidden = false;
        for (at, c) in text.char_indices() {
            let is_hidden = hidden[at..at + c.len_utf8()].contains(&true);
            match (is_hidden, was_hidden) {
                (false, _) => told.push(c),
                (true, false) => told.push_str(HIDDEN),
                (true, true) => {}
            }
            was_hidden = is_hidden;
        }
        told
    }
}

/// The parts of a text that may be base64, a token, or percent-encoded, and where each is.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let may_stand_in_one = |c: char| c.is_ascii_alphanumeric() || "+/=._~-%".contains(c);
    let parts = text.split(move |c: char| !may_stand_in_one(c)).filter(|word| !word.is_empty());
    parts.map(|word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
}

/// As forms (`+` for a blank) and addresses (`%20`) have it; `plain` stays as it is.
fn percent_encoded(octets: &[u8], plain: &[u8], blank: &str, lower: bool) -> String {
    let mut text = String::with_capacity(3 * octets.len());
    for octet in octets {
        match octet {
            _ if octet.is_ascii_alphanumeric() || plain.contains(octet) => text.push(char::from(*octet)),
            b' ' => text.push_str(blank),
            _ if lower => text.push_str(&format!("%{octet:02x}")),
            _ => text.push_str(&format!("%{octet:02X}")),
        }
    }
    text
}

/// What it is in base64 of more that has so many octets before it, but for what depends on those around it.
fn in_base64(octets: &[u8], before: usize) -> String {
    let mut all = Zeroizing::new(vec![0; before]);
    all.extend_from_slice(octets);
    let text = Zeroizing::new(base64::encode(&all));
    let text = text.trim_end_matches('=');
    let from = [0, 2, 3][before % 3];
    let to = text.len() - usize::from(!all.len().is_multiple_of(3));
    text.get(from..to).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_pieces_of_them_are_hidden_and_other_words_are_not() {
        let mut hush = Hush::default();
        hush.note_response(b"\0alice\0s3cret");
        hush.note_secret(&Secret::new("s3cret pä$$".as_bytes().to_vec()));
        hush.note_secret(&Secret::new(b"abc".to_vec()));
        for (said, told) in [
            ("Authentication failed for alice", "Authentication failed for alice"),
            ("what is AGFsaWNlAHMzY3JldA==?", "what is …?"),
            ("what is \"AGFsaWNlAHMz\"", "what is \"…\""),
            ("AUTH PLAIN AGFsaWNlAHMzY3JldA== (AGFsaW)", "AUTH PLAIN … (…)"),
            ("not s3cret pä$$, abc", "not …, abc"),
            ("", ""),
            ("AGFs", "AGFs"),
        ] {
            assert_eq!(hush.hide(said), told);
        }
        assert_eq!(Hush::default().hide("AGFsaWNlAHMzY3JldA=="), "AGFsaWNlAHMzY3JldA==");
    }

    #[test]
    fn in_no_form_and_in_no_piece() {
        let secret = "a!b@c#d$ e%f^g~h*(ß)";
        let mut hush = Hush::default();
        hush.note_secret(&Secret::new(secret.as_bytes().to_vec()));
        let base64 = |before: &str| {
            let form = base64::encode(format!("{before}{secret}:more").as_bytes());
            // What comes of the secret alone.
            let core = form[(before.len() * 4).div_ceil(3)..(before.len() + secret.len()) * 4 / 3].to_owned();
            (form, core)
        };
        let url = |text: String| text.replace('+', "-").replace('/', "_");
        let same = |text: &str| (text.to_owned(), text.to_owned());
        let (form, core) = base64("id:");
        for (form, core) in [
            same(secret),
            same("a%21b%40c%23d%24+e%25f%5Eg%7Eh*%28%C3%9F%29"),
            same("a%21b%40c%23d%24%20e%25f%5eg~h%2a%28%c3%9f%29"),
            (base64::encode(secret.as_bytes()), base64("").1),
            base64("i:"),
            base64("ide:"),
            (url(form.clone()), url(core.clone())),
            (form, core),
        ] {
            // However it is cut, nothing longer than the least piece of it is seen.
            for from in (0..form.len()).filter(|at| form.is_char_boundary(*at)) {
                for to in (from..=form.len()).filter(|at| form.is_char_boundary(*at)) {
                    let told = hush.hide(&format!("you sent <{}>", &form[from..to]));
                    let told: HashSet<&[u8]> = told.as_bytes().windows(PIECE_MIN).collect();
                    let seen = core.as_bytes().windows(PIECE_MIN).find(|piece| told.contains(piece));
                    assert!(seen.is_none(), "{} of {form}: {seen:?}", &form[from..to]);
                }
            }
        }
        let plain = "AADSTS7000215: Invalid client secret provided for app 'x'.";
        assert_eq!(hush.hide(plain), plain);
    }
}
