//! By what right a token is asked for: the form of each grant.

use super::provider::{self, Granted, NotGranted};
use crate::https::Https;
use crate::secret;
use relay::config::terms::{Grant, OAuthClient, SecretSource};
use smtp::sasl::Secret;

/// Obtains a token. Reads what it needs from the disk.
pub(super) async fn obtain(client: &OAuthClient) -> Result<Granted, NotGranted> {
    let https = Https::new(client.authorities.as_deref())
        .map_err(|fault| NotGranted::lasting(format!("{fault}."), "Mend it and the mail goes on."))?;
    match &client.grant {
        Grant::ClientSecret(secret) => {
            let secret = read(secret.clone()).await?;
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", &client.client_id),
                ("client_secret", secret.text().unwrap_or_default()),
                ("scope", &client.scope),
            ];
            provider::ask(&https, &client.token_endpoint, &form).await
        }
        _ => Err(NotGranted::lasting("This version knows no such grant.".to_owned(), "Use grant = \"client_secret\".")),
    }
}

async fn read(source: SecretSource) -> Result<Secret, NotGranted> {
    let read = tokio::task::spawn_blocking(move || secret::read(&source)).await;
    match read {
        Ok(Ok(secret)) => Ok(secret),
        Ok(Err(fault)) => Err(NotGranted::lasting(format!("{fault}."), "Mend it and the mail goes on.")),
        Err(_) => Err(NotGranted::passing("The secret could not be read, by a fault in Mailroot itself.".to_owned())),
    }
}
