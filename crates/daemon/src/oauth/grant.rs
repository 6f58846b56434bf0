//! By what right a token is asked for: the form of each grant.

use super::assertion::Signer;
use super::kept::Kept;
use super::provider::{self, Granted, NotGranted};
use crate::https::Https;
use crate::secret;
use crate::tls::sha256;
use relay::advice::Remedy;
use relay::config::terms::{Grant, OAuthClient, SecretSource};
use smtp::sasl::Secret;
use smtp::time::Timestamp;
use std::time::Duration;

/// How far a provider's clock may differ from ours before we sign by its clock.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);
/// How an assertion that proves a client is named (RFC 7523 §2.2).
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a flight brings.
pub(super) struct Gained {
    pub(super) granted: Granted,
    /// The hash of the configured refresh token from which it all comes.
    pub(super) seed: Option<[u8; 32]>,
    /// By how much the provider's clock is ahead of ours (behind, if negative), in seconds, if that matters.
    pub(super) skew: Option<i64>,
}

impl From<Granted> for Gained {
    fn from(granted: Granted) -> Gained {
        Gained { granted, seed: None, skew: None }
    }
}

/// The https client for a client's provider.
pub(super) async fn https(client: &OAuthClient) -> Result<Https, NotGranted> {
    let authorities = client.authorities.clone();
    let made = on_the_disk(move || Https::new(authorities.as_deref())).await?;
    made.map_err(|fault| unmended(&fault))
}

/// Obtains a token at `now`; `kept` is what has been kept of former ones.
pub(super) async fn obtain(client: &OAuthClient, kept: &Kept, now: Timestamp) -> Result<Gained, NotGranted> {
    let https = https(client).await?;
    match &client.grant {
        Grant::ClientSecret(secret) => {
            let secret = read(secret).await?;
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", &client.client_id),
                ("client_secret", secret.text().unwrap_or_default()),
                ("scope", &client.scope),
            ];
            provider::ask(&https, &client.token_endpoint, &form).await.map(Gained::from)
        }
        Grant::ClientCertificate { certificate, key } => {
            let (id, certificate, key) = (client.client_id.clone(), certificate.clone(), key.clone());
            let signer = on_the_disk(move || Signer::of_client(&id, &certificate, &key)).await??;
            signed(&https, client, &signer, now).await
        }
        Grant::ServiceAccount { file } => {
            let (file, user, scope) = (file.clone(), client.user.clone(), client.scope.clone());
            let signer = on_the_disk(move || Signer::of_service_account(&file, &user, &scope)).await??;
            signed(&https, client, &signer, now).await
        }
        Grant::DeviceCode { secret } => {
            let refresh = kept.refresh.clone().ok_or_else(|| NotGranted {
                remedy: Remedy::AgreeAgain,
                ..NotGranted::passing("Nobody has logged in yet.".to_owned())
            })?;
            refreshed(&https, client, &refresh, secret.as_ref()).await.map(Gained::from)
        }
        Grant::RefreshToken { token, secret } => {
            let first = read(token).await?;
            let seed = Some(sha256(first.reveal()));
            // A new one in the configured place takes the kept one's place.
            let kept = kept.refresh.clone().filter(|_| kept.seed == seed);
            let granted = refreshed(&https, client, &kept.unwrap_or(first), secret.as_ref()).await?;
            Ok(Gained { granted, seed, skew: None })
        }
    }
}

/// What has to be done when what we were granted is over.
pub(super) fn agree_again(client: &OAuthClient, name: &str) -> String {
    match &client.grant {
        Grant::DeviceCode { .. } => format!("Log in: mailroot oauth login {name}"),
        Grant::RefreshToken { token: SecretSource::File(file), .. } => {
            format!("Put a new refresh token into {}.", file.display())
        }
        Grant::RefreshToken { .. } => "Give a new refresh token.".to_owned(),
        Grant::ServiceAccount { .. } => {
            "Check the key file, the user and the delegation of the service account.".to_owned()
        }
        Grant::ClientSecret(_) | Grant::ClientCertificate { .. } => {
            "Check the client's registration at the identity provider, and its secret or certificate.".to_owned()
        }
    }
}

/// Asks with a refresh token (RFC 6749 §6).
async fn refreshed(
    https: &Https,
    client: &OAuthClient,
    refresh: &Secret,
    secret: Option<&SecretSource>,
) -> Result<Granted, NotGranted> {
    let secret = match secret {
        Some(secret) => Some(read(secret).await?),
        None => None,
    };
    let mut form = vec![
        ("grant_type", "refresh_token"),
        ("client_id", &*client.client_id),
        ("refresh_token", refresh.text().unwrap_or_default()),
    ];
    form.extend(secret.as_ref().and_then(|secret| Some(("client_secret", secret.text()?))));
    if !client.scope.is_empty() {
        form.push(("scope", &client.scope));
    }
    let mut granted = provider::ask(https, &client.token_endpoint, &form).await?;
    // One that is not replaced stays good.
    granted.refresh.get_or_insert_with(|| refresh.clone());
    Ok(granted)
}

/// Asks with an assertion; if the provider does not take it and its clock shows another time, once more by its clock.
async fn signed(https: &Https, client: &OAuthClient, signer: &Signer, now: Timestamp) -> Result<Gained, NotGranted> {
    let refusal = match by_assertion(https, client, signer, now).await {
        Ok(granted) => return Ok(granted.into()),
        Err(refusal) => refusal,
    };
    let theirs = refusal.date.filter(|_| refusal.remedy != Remedy::Wait);
    let Some(theirs) = theirs.filter(|theirs| theirs.since(now).max(now.since(*theirs)) > CLOCKS_DIFFER) else {
        return Err(refusal);
    };
    let skew = (theirs.0 - now.0 + 500).div_euclid(1_000);
    match by_assertion(https, client, signer, theirs).await {
        Ok(granted) => Ok(Gained { granted, seed: None, skew: Some(skew) }),
        Err(_) => Err(refusal),
    }
}

async fn by_assertion(
    https: &Https,
    client: &OAuthClient,
    signer: &Signer,
    now: Timestamp,
) -> Result<Granted, NotGranted> {
    let assertion = signer.sign(&client.token_endpoint, now)?;
    let assertion = assertion.text().unwrap_or_default();
    let form = match client.grant {
        Grant::ServiceAccount { .. } => {
            vec![("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion)]
        }
        _ => vec![
            ("grant_type", "client_credentials"),
            ("client_id", &*client.client_id),
            ("scope", &client.scope),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ],
    };
    provider::ask(https, &client.token_endpoint, &form).await
}

/// A secret from where it lies.
pub(super) async fn read(source: &SecretSource) -> Result<Secret, NotGranted> {
    let source = source.clone();
    on_the_disk(move || secret::read(&source)).await?.map_err(|fault| unmended(&fault))
}

fn unmended(fault: &dyn std::fmt::Display) -> NotGranted {
    NotGranted::lasting(format!("{fault}."), "Mend it and the mail goes on.")
}

/// Runs what touches the disk, not on the threads of the sockets.
pub(super) async fn on_the_disk<T: Send + 'static>(deed: impl FnOnce() -> T + Send + 'static) -> Result<T, NotGranted> {
    let done = tokio::task::spawn_blocking(deed).await;
    done.map_err(|_| NotGranted::passing("Something could not be read, by a fault in Mailroot itself.".to_owned()))
}
