//! What was said to a server to prove who we are, remembered as long as the log-on lasts, so that nothing of it is told: some servers repeat
//! what they do not understand, and their words go into the log, the queue and reports.
//!
//! Hides whole secrets, and every longer piece of one, since a server may cut what it repeats.

use relay::envelope::Failure;
use smtp::reply::Reply;
use smtp::sasl::{Secret, base64};

/// Octets of a secret below which it could be any word.
const WHOLE_MIN: usize = 4;
/// The same for a piece of it.
const PIECE_MIN: usize = 6;
/// What stands in its place.
const HIDDEN: &str = "…";

/// See the module.
#[derive(Default)]
pub(super) struct Hush {
    secrets: Vec<Secret>,
}

impl Hush {
    /// This goes to the server, in base64.
    pub(super) fn note_response(&mut self, response: &[u8]) {
        self.secrets.push(Secret::new(base64::encode(response).into_bytes()));
    }

    /// This is in what goes to the server.
    pub(super) fn note_secret(&mut self, secret: &Secret) {
        self.secrets.push(secret.clone());
    }

    /// The failure without what nobody may see.
    pub(super) fn over(&self, failure: Failure) -> Failure {
        let text = self.hide(&failure.text).into();
        let reply = failure
            .reply
            .map(|reply| Reply { lines: reply.lines.iter().map(|line| self.hide(line).into()).collect(), ..reply });
        Failure { text, reply, ..failure }
    }

    fn hide(&self, text: &str) -> String {
        let secrets: Vec<&str> =
            self.secrets.iter().filter_map(Secret::text).filter(|secret| secret.len() >= WHOLE_MIN).collect();
        let mut text = text.to_owned();
        for secret in &secrets {
            if text.contains(secret) {
                text = text.replace(secret, HIDDEN);
            }
        }
        let mut told = String::with_capacity(text.len());
        let mut rest = &*text;
        while !rest.is_empty() {
            let end = rest.find(|c| !may_stand_in_one(c)).unwrap_or(rest.len());
            let (piece, behind) = rest.split_at(end);
            let is_piece = piece.len() >= PIECE_MIN && secrets.iter().any(|secret| secret.contains(piece));
            told.push_str(if is_piece { HIDDEN } else { piece });
            let next = behind.find(may_stand_in_one).unwrap_or(behind.len());
            told.push_str(&behind[..next]);
            rest = &behind[next..];
        }
        told
    }
}

/// May this stand in base64, or in a token?
fn may_stand_in_one(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=._~-".contains(c)
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
}
