//! Asks an identity provider's token endpoint, and understands what it answers.
//!
//! What it says goes on to people, so it is cut, cleaned, and stripped of every secret that we sent and of pieces of it, however it is
//! encoded ([`crate::hush`]). A web page instead of
//! an answer (a proxy's, a portal's) is trouble of theirs, and no refusal.
//!
//! RFC 6749 §5.1, §5.2.

use super::plan::RETRY_AFTER_MAX;
use crate::https::{Answer, Bounds, Https};
use crate::hush::Hush;
use relay::advice::{self, Remedy};
use serde_json::Value;
use smtp::sasl::Secret;
use smtp::time::Timestamp;
use std::time::Duration;
use zeroize::Zeroize;

/// Octets of an answer.
const ANSWER_MAX: usize = 256 * 1024;
/// How long the provider may take for one.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Octets of a token.
const TOKEN_MAX: usize = 16 * 1024;

/// Characters of an error or its description.
const WORDS_MAX: usize = 4 * 1024;
/// Words for an error that say nothing of anybody (RFC 6749 §5.2, RFC 8628 §3.5).
const ERRORS: [&str; 10] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "authorization_pending",
    "slow_down",
    "access_denied",
    "expired_token",
];

/// A token that was given.
pub(super) struct Granted {
    pub(super) access: Secret,
    /// How long it lives, if the provider says so.
    pub(super) life: Option<Duration>,
    /// What to ask with the next time, if it is new.
    pub(super) refresh: Option<Secret>,
}

/// Why none was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NotGranted {
    /// The provider's word for it (`invalid_grant`); empty when it gave none.
    pub(super) error: Box<str>,
    /// What went wrong, a sentence.
    pub(super) why: Box<str>,
    /// What helps.
    pub(super) remedy: Remedy,
    /// The pause that it asked for.
    pub(super) pause: Option<Duration>,
    /// What time it is by its clock.
    pub(super) date: Option<Timestamp>,
    /// It was not the provider who said so, and it costs nobody anything to try again soon.
    pub(super) is_ours: bool,
}

impl NotGranted {
    /// Something that passes by itself.
    pub(super) fn passing(why: String) -> NotGranted {
        NotGranted { error: "".into(), why: why.into(), remedy: Remedy::Wait, pause: None, date: None, is_ours: false }
    }

    /// Something on our side that stays until somebody does this.
    pub(super) fn lasting(why: String, advice: &'static str) -> NotGranted {
        NotGranted { remedy: Remedy::Mend(advice), is_ours: true, ..NotGranted::passing(why) }
    }
}

/// Asks for a token. No redirection, no second try.
pub(super) async fn ask(https: &Https, endpoint: &str, form: &[(&str, &str)]) -> Result<Granted, NotGranted> {
    let answer = post(https, endpoint, form).await?;
    granted(endpoint, &answer, form)
}

/// Posts a form to one of the provider's addresses.
pub(super) async fn post(https: &Https, endpoint: &str, form: &[(&str, &str)]) -> Result<Answer, NotGranted> {
    let bounds = Bounds { time: TIMEOUT, octets: ANSWER_MAX };
    https.post(endpoint, form, bounds).await.map_err(|why| NotGranted::passing(advice::sentence(&why)))
}

/// The token in an answer.
fn granted(endpoint: &str, answer: &Answer, form: &[(&str, &str)]) -> Result<Granted, NotGranted> {
    let mut document = document(endpoint, answer, form)?;
    let unusable = |what: &str| NotGranted::passing(format!("{endpoint} {what}."));
    let kind = document.get("token_type").and_then(Value::as_str);
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(unusable("gives tokens of a kind that is not Bearer"));
    }
    let life = document.get("expires_in").and_then(seconds);
    let mut take = |key: &str| match document.get_mut(key).map(Value::take) {
        Some(Value::String(token)) => Some(Secret::new(token.into_bytes())),
        _ => None,
    };
    let (access, refresh) = (take("access_token"), take("refresh_token").filter(is_token));
    match access {
        Some(access) if is_token(&access) => Ok(Granted { access, life, refresh }),
        Some(_) => Err(unusable("gives a token that is empty, too long, or has characters that no token has")),
        None => Err(unusable("answers without a token")),
    }
}

/// The JSON object of a good answer to this form.
pub(super) fn document(endpoint: &str, answer: &Answer, form: &[(&str, &str)]) -> Result<Value, NotGranted> {
    let parsed = serde_json::from_slice::<Value>(&answer.body).ok().filter(Value::is_object);
    match (answer.status, parsed) {
        (200, Some(document)) if document.get("error").is_none() => Ok(document),
        (_, Some(mut document)) if document.get("error").is_some() => {
            let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
            let refused = refusal(endpoint, answer, text("error"), text("error_description"), form);
            wipe(&mut document);
            Err(refused)
        }
        (200, _) => Err(NotGranted::passing(format!("{endpoint} answers with {}, not with JSON.", what_it_is(answer)))),
        (status @ 300..400, _) => Err(NotGranted {
            remedy: Remedy::Mend("Write the address that it means as token_endpoint."),
            ..NotGranted::passing(format!(
                "{endpoint} answers {status}, to send us elsewhere; redirections are not followed."
            ))
        }),
        (404, _) => Err(NotGranted {
            remedy: Remedy::Mend("Check token_endpoint, and the tenant."),
            ..NotGranted::passing(format!("{endpoint} answers 404: there is nothing at this address."))
        }),
        (status, _) => {
            let why = format!("{endpoint} answers {status} with {}.", what_it_is(answer));
            Err(NotGranted { pause: answer.retry_after, ..NotGranted::passing(why) })
        }
    }
}

/// What the provider says against it.
fn refusal(endpoint: &str, answer: &Answer, error: &str, description: &str, form: &[(&str, &str)]) -> NotGranted {
    let hush = hush(form);
    // What Microsoft adds is other each time.
    let words = description.split("Trace ID:").next().unwrap_or_default().trim();
    // Before it is cut and cleaned: what is left of a secret then might not be known any more.
    let said = advice::cleaned(&hush.hide(begin(if words.is_empty() { error } else { words })));
    let passing = answer.status >= 500 || answer.status == 429;
    NotGranted {
        error: if ERRORS.contains(&error) { error.into() } else { advice::cleaned(&hush.hide(begin(error))).into() },
        why: format!("{endpoint} says: {}", advice::sentence(&said)).into(),
        remedy: if passing { Remedy::Wait } else { advice::token_refusal(error, description) },
        pause: answer.retry_after.map(|pause| pause.min(RETRY_AFTER_MAX)),
        date: answer.date,
        is_ours: false,
    }
}

fn what_it_is(answer: &Answer) -> &'static str {
    match &*answer.media_type {
        "text/html" | "application/xhtml+xml" => "a web page (is a proxy or a portal in between?)",
        "application/json" => "JSON that cannot be read",
        _ if answer.body.is_empty() => "nothing",
        _ => "something else",
    }
}

/// A number, or one that is written as a text, as some have it.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    let number = value.as_u64().or_else(|| value.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64));
    number.or_else(|| value.as_str()?.trim().parse().ok()).map(Duration::from_secs)
}

/// Visible ASCII (RFC 6749 appendix A.12), and no more than a line can carry.
pub(super) fn is_token(token: &Secret) -> bool {
    let octets = token.reveal();
    (1..=TOKEN_MAX).contains(&octets.len()) && octets.iter().all(u8::is_ascii_graphic)
}

/// No provider is trusted not to give our secrets back to us, into a log.
fn hush(form: &[(&str, &str)]) -> Hush {
    const OPEN: [&str; 4] = ["grant_type", "scope", "client_id", "client_assertion_type"];
    let mut hush = Hush::default();
    for (_, secret) in form.iter().filter(|(key, _)| !OPEN.contains(key)) {
        hush.note_secret(&Secret::new(secret.as_bytes().to_vec()));
    }
    hush
}

/// As much of what a provider says as is looked at.
fn begin(text: &str) -> &str {
    text.char_indices().nth(WORDS_MAX).map_or(text, |(end, _)| &text[..end])
}

/// A refusal may have what we sent in it.
fn wipe(document: &mut Value) {
    if let Some(members) = document.as_object_mut() {
        for value in members.values_mut() {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}
