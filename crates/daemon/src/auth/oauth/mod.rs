//! Tokens of an identity provider: is this one signed by the issuer's keys, made for us, and not yet over?
//!
//! The issuer's keys are found as OpenID Connect Discovery says and kept: an hour without asking, a day when the provider does
//! not answer. A token with a key that we do not know makes us ask again, but not more than once in half a minute.
//! Which claims hold is judged here and not by the library, which would ask the system's clock.
//!
//! RFC 7519 (JWT), RFC 7517 (keys), RFC 8725 (what to be wary of), OpenID Connect Discovery 1.0 §4.

mod fetch;
mod keys;

pub use fetch::IssuerFault;

use crate::clock::Clock;
use fetch::Fetcher;
use jsonwebtoken::{Algorithm, Validation};
use keys::Keys;
use relay::config::OAuth;
use serde_json::{Map, Value};
use smtp::sasl::Secret;
use smtp::time::Timestamp;
use std::time::Duration;
use tokio::sync::Mutex;

/// How far the provider's clock and ours may differ.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);
/// For how long keys are used without asking.
const FRESH_FOR: Duration = Duration::from_secs(3_600);
/// For how long keys are used when the provider does not answer.
pub const KEYS_KEPT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The least time between two questions.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// The algorithms that a token may be signed with: none with a shared secret, and not `none`.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Why a token opens nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenFault {
    /// It does not hold, for this reason.
    Wrong(&'static str),
    /// It cannot be said: the provider's keys are not to be had.
    Unavailable(Box<str>),
}

/// An issuer of tokens.
pub struct Issuer {
    wanted: OAuth,
    fetcher: Fetcher,
    clock: Clock,
    /// Held while keys are fetched: one question at a time.
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: Keys,
    /// When the keys came.
    since: Option<Timestamp>,
    /// When they were last asked for, and what came of it.
    asked: Option<(Timestamp, Result<(), Box<str>>)>,
}

impl Issuer {
    /// Ready to ask; nothing is asked yet.
    ///
    /// # Errors
    /// The authorities for its certificate cannot be read.
    pub fn new(wanted: OAuth, clock: Clock) -> Result<Issuer, IssuerFault> {
        let fetcher = Fetcher::new(wanted.authority.as_deref())?;
        Ok(Issuer { wanted, fetcher, clock, cache: Mutex::default() })
    }

    /// Could it be asked? It is not.
    ///
    /// # Errors
    /// The authorities for its certificate cannot be read.
    pub(super) fn look(wanted: &OAuth) -> Result<(), IssuerFault> {
        Fetcher::new(wanted.authority.as_deref()).map(drop)
    }

    /// Whose token it is, if it holds.
    ///
    /// # Errors
    /// It does not, or that cannot be said.
    pub async fn user(&self, token: &Secret) -> Result<Box<str>, TokenFault> {
        let token = token.text().ok_or(TokenFault::Wrong("it is no text"))?;
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenFault::Wrong("it is no JWT"))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(TokenFault::Wrong("its algorithm is not allowed"));
        }
        let claims = self.claims(token, header.kid.as_deref(), header.alg).await?;
        judge(&claims, &self.wanted, self.clock.now())
    }

    /// The claims, if the signature is the issuer's.
    async fn claims(
        &self,
        token: &str,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Map<String, Value>, TokenFault> {
        let mut cache = self.cache.lock().await;
        let now = self.clock.now();
        let fresh = cache.since.is_some_and(|since| now.since(since) < FRESH_FOR);
        if !fresh || cache.keys.matching(kid, algorithm).next().is_none() {
            self.ask(&mut cache, now).await;
        }
        let usable = cache.since.is_some_and(|since| now.since(since) < KEYS_KEPT_MAX);
        if !usable {
            let why = cache.asked.as_ref().and_then(|(_, outcome)| outcome.clone().err());
            return Err(TokenFault::Unavailable(why.unwrap_or_else(|| "no keys".into())));
        }
        let keys: Vec<_> = cache.keys.matching(kid, algorithm).cloned().collect();
        drop(cache);
        if keys.is_empty() {
            return Err(TokenFault::Wrong("it is signed with a key that the issuer does not have"));
        }
        let validation = signature_only(algorithm);
        let verified = keys.iter().find_map(|key| jsonwebtoken::decode(token, key, &validation).ok());
        verified.map(|token| token.claims).ok_or(TokenFault::Wrong("its signature does not hold"))
    }

    /// Asks for the keys, unless that was done just now.
    async fn ask(&self, cache: &mut Cache, now: Timestamp) {
        if cache.asked.as_ref().is_some_and(|(at, _)| now.since(*at) < ASK_AGAIN_AFTER) {
            return;
        }
        let outcome = match self.fetcher.keys(&self.wanted.issuer).await {
            Ok(keys) => {
                cache.keys = keys;
                cache.since = Some(now);
                Ok(())
            }
            Err(fault) => Err(fault.into()),
        };
        cache.asked = Some((now, outcome));
    }
}

/// Only the signature: the claims are judged by [`judge`].
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

/// Whose token it is, if its claims hold now.
fn judge(claims: &Map<String, Value>, wanted: &OAuth, now: Timestamp) -> Result<Box<str>, TokenFault> {
    let issuer = claims.get("iss").and_then(Value::as_str).ok_or(TokenFault::Wrong("it has no issuer"))?;
    if issuer.trim_end_matches('/') != wanted.issuer.trim_end_matches('/') {
        return Err(TokenFault::Wrong("it is another issuer's"));
    }
    let for_us = match claims.get("aud") {
        Some(Value::String(audience)) => **audience == *wanted.audience,
        Some(Value::Array(list)) => list.iter().any(|audience| audience.as_str() == Some(&wanted.audience)),
        _ => false,
    };
    if !for_us {
        return Err(TokenFault::Wrong("it is made for another service"));
    }
    // A time is a number of seconds, with a fraction or without (RFC 7519 §2).
    let time = |key: &str| claims.get(key).map(|value| value.as_f64().map(|seconds| seconds * 1_000.0));
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this age are far below 2^53")]
    let (now, skew) = (now.0 as f64, CLOCK_SKEW_MAX.as_secs_f64() * 1_000.0);
    match time("exp") {
        Some(Some(expires)) if now < expires + skew => {}
        Some(Some(_)) => return Err(TokenFault::Wrong("it has expired")),
        _ => return Err(TokenFault::Wrong("it has no end")),
    }
    for (key, words) in [("nbf", "it does not hold yet"), ("iat", "it was made in the future")] {
        match time(key) {
            None => {}
            Some(Some(begins)) if begins <= now + skew => {}
            Some(_) => return Err(TokenFault::Wrong(words)),
        }
    }
    let user = claims.get(&*wanted.user_claim).and_then(Value::as_str).filter(|user| !user.trim().is_empty());
    // An address that the provider has not looked at could be anybody's. Some write text where a truth value belongs.
    let is_yes = |value: &Value| *value == Value::Bool(true) || value.as_str() == Some("true");
    if &*wanted.user_claim == "email" && !claims.get("email_verified").is_none_or(is_yes) {
        return Err(TokenFault::Wrong("its mail address is not verified"));
    }
    user.map(Into::into).ok_or(TokenFault::Wrong("it does not name its user"))
}

#[cfg(test)]
impl Issuer {
    /// As if the last question, and the keys that it brought, were so many seconds old.
    pub(super) async fn pretend_asked_earlier(&self, seconds: i64) {
        let mut cache = self.cache.lock().await;
        let at = Timestamp(self.clock.now().0 - seconds * 1_000);
        cache.since = cache.since.map(|_| at);
        cache.asked = cache.asked.take().map(|(_, outcome)| (at, outcome));
    }
}
