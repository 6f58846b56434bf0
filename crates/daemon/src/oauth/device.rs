//! A person agrees once, on any machine with a browser: the device authorization grant.
//!
//! [`log_in`] shows an address and a code, and waits until the person has entered it there, has said no, or the time is over. The
//! provider says how often it may be asked; one that cannot be reached is asked less often. What it grants is kept
//! before this ends.
//!
//! RFC 8628.

use super::kept::{self, Claim, Kept};
use super::plan::Span;
use super::provider::{self, Granted, NotGranted};
use super::{TokenFault, grant, slot};
use crate::clock::Clock;
use crate::https::Https;
use relay::advice::{self, Remedy};
use relay::config::terms::{Grant, OAuthClient, Owner};
use serde_json::Value;
use smtp::sasl::Secret;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How often the provider is asked if it does not say.
const INTERVAL: Duration = Duration::from_secs(5);
/// How much more seldom it is asked each time it says `slow_down`.
const SLOWER: Duration = Duration::from_secs(5);
/// The longest pause between two questions.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The longest that a code is waited for, whatever the provider says.
const CODE_LIFE_MAX: Duration = Duration::from_secs(3_600);

/// What the person has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoginPrompt {
    /// Where the code is to be entered.
    pub address: Box<str>,
    /// The code.
    pub code: Box<str>,
    /// How long it is good.
    pub lasts: Duration,
}

/// What we need to ask whether the person has agreed.
struct Pending {
    device_code: Secret,
    interval: Duration,
    until: Instant,
}

/// Lets a person agree: shows what is to be done by `show`, waits for it, and keeps what is granted.
///
/// # Errors
/// Nothing was granted, or it cannot be kept; and why.
pub async fn log_in(
    state: &Path,
    owner: &Owner,
    client: &OAuthClient,
    clock: &Clock,
    show: impl FnOnce(&LoginPrompt),
) -> Result<(), TokenFault> {
    let fault = |refusal: NotGranted| slot::Slot::new(owner.clone(), client.clone()).fault(&refusal);
    let Grant::DeviceCode { secret } = &client.grant else {
        return Err(fault(NotGranted::lasting("Its grant is no device code.".to_owned(), "Nobody needs to log in.")));
    };
    let granted = async {
        let https = grant::https(client).await?;
        let secret = match secret {
            Some(secret) => Some(grant::read(secret).await?),
            None => None,
        };
        let (prompt, pending) = begin(&https, client).await?;
        show(&prompt);
        wait(&https, client, secret.as_ref(), pending).await
    };
    let granted = granted.await.map_err(fault)?;
    let unkept = |why: String| TokenFault::Refused {
        why: format!("What was granted cannot be kept: {why}.").into(),
        advice: "Mend it and log in again.".into(),
    };
    let Some(refresh) = granted.refresh else {
        return Err(TokenFault::Refused {
            why: "The provider gives no refresh token, so the log-in would end within the hour.".into(),
            advice: "Ask for one by the scope (Microsoft and others: offline_access), or allow it for this client."
                .into(),
        });
    };
    let stem = kept::stem(owner, client);
    let claim = Claim::wait(state, &stem, owner).await.map_err(|fault| unkept(fault.to_string()))?;
    let access = Some((granted.access, Span::new(clock.now(), granted.life)));
    let kept = Kept { access, refresh: Some(refresh), seed: None };
    let written = grant::on_the_disk(move || claim.write(&kept)).await.map_err(fault)?;
    written.map_err(|fault| unkept(fault.to_string()))
}

/// Asks for a code (RFC 8628 §3.1, §3.2).
async fn begin(https: &Https, client: &OAuthClient) -> Result<(LoginPrompt, Pending), NotGranted> {
    let endpoint = client.device_endpoint.as_deref().unwrap_or_default();
    let form = [("client_id", &*client.client_id), ("scope", &*client.scope)];
    let answer = provider::post(https, endpoint, &form).await?;
    let mut document = provider::document(endpoint, &answer, &form)?;
    let device_code = match document.get_mut("device_code").map(Value::take) {
        Some(Value::String(code)) => Some(Secret::new(code.into_bytes())).filter(provider::is_token),
        _ => None,
    };
    let text =
        |key: &str| document.get(key).and_then(Value::as_str).map(advice::cleaned).filter(|text| !text.is_empty());
    // Google has its own name for the address.
    let address = text("verification_uri").or_else(|| text("verification_url"));
    let (Some(device_code), Some(code), Some(address)) = (device_code, text("user_code"), address) else {
        return Err(NotGranted::passing(format!("{endpoint} answers without a code.")));
    };
    let seconds = |key: &str| document.get(key).and_then(provider::seconds);
    let lasts = seconds("expires_in").unwrap_or(Duration::from_secs(600)).min(CODE_LIFE_MAX);
    let interval = seconds("interval").unwrap_or(INTERVAL).min(INTERVAL_MAX);
    let prompt = LoginPrompt { address: address.into(), code: code.into(), lasts };
    Ok((prompt, Pending { device_code, interval, until: Instant::now() + lasts }))
}

/// Asks until the person has agreed or not, or the time is over (RFC 8628 §3.4, §3.5).
async fn wait(
    https: &Https,
    client: &OAuthClient,
    secret: Option<&Secret>,
    mut pending: Pending,
) -> Result<Granted, NotGranted> {
    let mut form = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", &*client.client_id),
        ("device_code", pending.device_code.text().unwrap_or_default()),
    ];
    form.extend(secret.and_then(|secret| Some(("client_secret", secret.text()?))));
    loop {
        tokio::time::sleep(pending.interval).await;
        if Instant::now() >= pending.until {
            return Err(NotGranted {
                remedy: Remedy::AgreeAgain,
                ..NotGranted::passing("The code was not entered in time.".to_owned())
            });
        }
        match provider::ask(https, &client.token_endpoint, &form).await {
            Ok(granted) => return Ok(granted),
            Err(refusal) => match next(pending.interval, &refusal) {
                Some(interval) => pending.interval = interval,
                None => return Err(refusal),
            },
        }
    }
}

/// How long to wait before the next question, after an answer without a token; `None`: it is over.
fn next(interval: Duration, refusal: &NotGranted) -> Option<Duration> {
    match &*refusal.error {
        "authorization_pending" => Some(interval),
        "slow_down" => Some((interval + SLOWER).min(INTERVAL_MAX)),
        // It cannot be reached right now: less often, and no end before the code's.
        _ if refusal.remedy == Remedy::Wait => Some((interval * 2).clamp(Duration::from_secs(1), INTERVAL_MAX)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_asked_as_often_as_it_likes() {
        let seconds = Duration::from_secs;
        let says =
            |error: &str, remedy| NotGranted { error: error.into(), remedy, ..NotGranted::passing(String::new()) };
        for (interval, error, remedy, expected) in [
            (5, "authorization_pending", Remedy::AgreeAgain, Some(5)),
            (5, "slow_down", Remedy::Wait, Some(10)),
            (58, "slow_down", Remedy::Wait, Some(60)),
            (5, "", Remedy::Wait, Some(10)),
            (0, "", Remedy::Wait, Some(1)),
            (50, "", Remedy::Wait, Some(60)),
            (5, "access_denied", Remedy::AgreeAgain, None),
            (5, "expired_token", Remedy::AgreeAgain, None),
            (5, "invalid_client", Remedy::Mend("x"), None),
        ] {
            assert_eq!(next(seconds(interval), &says(error, remedy)), expected.map(seconds), "{error}");
        }
    }
}
