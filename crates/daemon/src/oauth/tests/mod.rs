//! Tokens against an identity provider on loopback: real https, a real disk, a clock that tests move.

mod faults;
mod grants;
mod sharing;
mod with_openssl;

use super::*;
use crate::https::fixture::{Asked, Says, Website};
use relay::config::terms::{BearerMechanism, Grant, SecretSource};
use relay::record::Level;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_795_330_800_000);

/// A log that can be read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A provider and a relay that asks it.
struct World {
    site: Website,
    folder: TempDir,
    clock: Clock,
    lines: Lines,
    flush: crate::log::Flush,
    tokens: Tokens,
}

impl World {
    fn new(answer: impl Fn(&Asked) -> Option<Says> + Send + Sync + 'static) -> World {
        let folder = tempfile::tempdir().unwrap();
        let site = Website::start(answer);
        site.authority(folder.path());
        let (clock, lines) = (Clock::starting_at(NOW), Lines::default());
        let (log, flush) = Log::start(Level::Info, clock.clone(), Box::new(lines.clone())).unwrap();
        let tokens = Tokens::new(&folder.path().join("state"), log, clock.clone());
        let world = World { site, folder, clock, lines, flush, tokens };
        world.write("secret", "s3cret&value");
        world
    }

    /// As a process that was started again sees it.
    fn restarted(&self) -> Tokens {
        Tokens::new(&self.state(), self.tokens.shared.log.clone(), self.clock.clone())
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    fn secret(&self) -> SecretSource {
        SecretSource::File(self.path("secret"))
    }

    fn client(&self, grant: Grant) -> OAuthClient {
        OAuthClient {
            user: "relay@contoso.com".into(),
            mechanism: BearerMechanism::Any,
            token_endpoint: format!("{}/token", self.site.address).into(),
            device_endpoint: Some(format!("{}/device", self.site.address).into()),
            client_id: "client-1".into(),
            scope: "https://mail.example/.default offline_access".into(),
            grant,
            authorities: Some(self.path("ca.pem")),
        }
    }

    /// By client credentials with the secret in its file.
    fn plain(&self) -> OAuthClient {
        self.client(Grant::ClientSecret(self.secret()))
    }

    async fn bearer(&self, client: &OAuthClient) -> Result<String, TokenFault> {
        bearer(&self.tokens, client).await
    }

    fn pass(&self, seconds: u64) {
        self.clock.jump(Duration::from_secs(seconds));
    }

    fn asked(&self) -> usize {
        self.site.asked().len()
    }

    /// What the log says by now.
    fn log(&self) -> String {
        self.flush.flush();
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    /// How often the operator was told something with these words.
    fn alarms(&self, words: &str) -> usize {
        self.log().lines().filter(|line| line.contains(" alarm ") && line.contains(words)).count()
    }

    /// What the keeper does every two seconds, and what comes of it.
    async fn look(&self) {
        keeper::look(&self.tokens.shared).await;
        for slot in self.tokens.shared.slots() {
            loop {
                let mut landed = std::pin::pin!(slot.landed.notified());
                landed.as_mut().enable();
                if slot.insist() {
                    slot.ended();
                    break;
                }
                landed.await;
            }
        }
    }
}

fn office() -> Owner {
    Owner::SmartHost("office".into())
}

async fn bearer(tokens: &Tokens, client: &OAuthClient) -> Result<String, TokenFault> {
    tokens.bearer(&office(), client).await.map(|token| token.secret().text().unwrap().to_owned())
}

fn grants(token: &str, life: u64) -> Option<Says> {
    Some(Says::json(200, &json!({"token_type": "Bearer", "access_token": token, "expires_in": life})))
}

fn refuses(error: &str, description: &str) -> Option<Says> {
    Some(Says::json(400, &json!({"error": error, "error_description": description})))
}
