//! Obtains certificates from an authority by ACME (RFC 8555), and says when one is to be renewed.
//!
//! [`obtain`] takes one certificate from the order to the file: the account (made once for each authority), the order, the
//! proof of each name by http-01 or tls-alpn-01 (RFC 8737) on an address that is open only meanwhile, a new key, and
//! one file with chain and key that takes the old one's place as a whole. The account and the certificates lie under the
//! state folder, which is its owner's alone. It promises to end: after [`OBTAIN_BOUND`] at the latest. One process at a time asks.

mod account;
mod proof;
mod renew;

#[cfg(test)]
mod with_pebble;

pub use account::Binding;
pub use renew::{Backoff, is_due};

use super::make::request_der;
use super::place::{self, PlaceFault, Readers};
use crate::tls::acme_file;
use instant_acme::{AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, RetryPolicy};
use proof::{Proof, Stand};
use relay::config::{Acme, AcmeChallenge, CertificateSource};
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one certificate may take.
pub const OBTAIN_BOUND: Duration = Duration::from_secs(300);
/// How long the authority may take to check the proofs, and to issue.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).timeout(Duration::from_secs(120));

/// How an authority says that it has forgotten us (RFC 8555 §6.7).
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why no certificate was obtained, in words that say what to do.
#[derive(Debug)]
pub enum AcmeFault {
    /// The account or the certificate cannot be kept.
    Unkept(PlaceFault),
    /// The proof cannot be shown.
    NoStand(String),
    /// The authority did not do what it was asked for, or cannot be reached.
    Refused(String),
    /// Something else is wrong on our side.
    Ours(String),
    /// Another process, or another virtual server, is asking right now.
    Busy,
    /// It took too long.
    TimedOut,
}

impl fmt::Display for AcmeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcmeFault::Unkept(fault) => fault.fmt(f),
            AcmeFault::NoStand(words) | AcmeFault::Refused(words) | AcmeFault::Ours(words) => f.write_str(words),
            AcmeFault::Busy => {
                f.write_str("another process is asking for a certificate right now; try again in a minute")
            }
            AcmeFault::TimedOut => write!(f, "the authority took longer than {} s", OBTAIN_BOUND.as_secs()),
        }
    }
}

impl std::error::Error for AcmeFault {}

impl From<PlaceFault> for AcmeFault {
    fn from(fault: PlaceFault) -> AcmeFault {
        AcmeFault::Unkept(fault)
    }
}

impl From<instant_acme::Error> for AcmeFault {
    fn from(error: instant_acme::Error) -> AcmeFault {
        AcmeFault::Refused(match error {
            instant_acme::Error::Api(problem) => format!("the authority says: {}", words_of(&problem)),
            other => format!("the authority cannot be asked: {}", with_causes(&other)),
        })
    }
}

fn words_of(problem: &instant_acme::Problem) -> String {
    let detail = problem.detail.as_deref().unwrap_or("no reason given");
    let kind = problem.r#type.as_deref().map(|kind| kind.rsplit(':').next().unwrap_or(kind));
    kind.map_or_else(|| detail.to_owned(), |kind| format!("{detail} ({kind})"))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

/// Obtains one certificate and puts it into its file under `state`; the file. `binding` is needed once, if the authority wants
/// to know its customers.
///
/// # Errors
/// None was obtained; what was there before is there still.
pub async fn obtain(acme: &Acme, state: &Path, binding: Option<&Binding>) -> Result<PathBuf, AcmeFault> {
    let folder = state.join("acme");
    // First the outer one: each must be its owner's alone.
    place::private_folder(&folder.join("certificates"))?;
    let lock = lock(&folder)?;
    let file = acme_file(state, &CertificateSource::Acme(acme.clone()));
    let obtained = tokio::time::timeout(OBTAIN_BOUND, ask(acme, &folder, binding)).await;
    let (chain, key) = obtained.map_err(|_| AcmeFault::TimedOut)??;
    place::write(&file, (chain + &key).as_bytes(), Readers::Owner)?;
    drop(lock);
    Ok(file)
}

/// Held as long as we ask; goes with the process, however it ends.
fn lock(folder: &Path) -> Result<File, AcmeFault> {
    let file = folder.join("lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&file);
    let unusable = |error: std::io::Error| AcmeFault::Ours(format!("{} cannot be locked: {error}", file.display()));
    let opened = opened.map_err(unusable)?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(AcmeFault::Busy),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// The chain and its key, PEM.
async fn ask(acme: &Acme, folder: &Path, binding: Option<&Binding>) -> Result<(String, String), AcmeFault> {
    let account = account::open(acme, folder, binding).await?;
    let names: Vec<String> = acme.names.iter().map(ToString::to_string).collect();
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = match account.new_order(&NewOrder::new(&identifiers)).await {
        Err(instant_acme::Error::Api(problem)) if problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT) => {
            let file = account::file(folder, &acme.directory);
            return Err(AcmeFault::Refused(format!(
                "the authority does not know the account in {} any more; remove the file, and a new one will be made",
                file.display()
            )));
        }
        order => order?,
    };
    if order.state().status == OrderStatus::Pending {
        let proofs = proofs(&mut order, acme.challenge).await?;
        // Open as long as the authority may look.
        let _stand = Stand::open(acme.challenge, acme.challenge_listen, proofs).await?;
        announce(&mut order, acme.challenge).await?;
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) | Err(instant_acme::Error::Api(_)) => return Err(why_invalid(&mut order, acme).await),
            Err(error) => return Err(error.into()),
        }
    }
    let (request, key) = request_der(&names).map_err(|fault| AcmeFault::Ours(fault.to_string()))?;
    order.finalize_csr(&request).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok((chain, key))
}

fn kind(challenge: AcmeChallenge) -> ChallengeType {
    match challenge {
        AcmeChallenge::Http01 => ChallengeType::Http01,
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

/// What is to be shown for each name that the authority does not take for proved.
async fn proofs(order: &mut Order, challenge: AcmeChallenge) -> Result<Vec<Proof>, AcmeFault> {
    let mut proofs = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let offered = authorization.challenge(kind(challenge)).ok_or_else(|| {
            AcmeFault::Refused("the authority does not offer this challenge; set the other one".to_owned())
        })?;
        proofs.push(Proof::new(
            &offered.identifier().to_string(),
            &offered.token,
            offered.key_authorization().as_str(),
            offered.key_authorization().digest().as_ref(),
        ));
    }
    Ok(proofs)
}

/// Tells the authority that it may look.
async fn announce(order: &mut Order, challenge: AcmeChallenge) -> Result<(), AcmeFault> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        if let Some(mut offered) = authorization.challenge(kind(challenge)) {
            offered.set_ready().await?;
        }
    }
    Ok(())
}

/// Which name was not proved, and what the authority saw.
async fn why_invalid(order: &mut Order, acme: &Acme) -> AcmeFault {
    let mut words = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let name = authorization.identifier().to_string();
        let errors = authorization.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        words.extend(errors.map(|problem| format!("{name}: {}", words_of(problem))));
    }
    if words.is_empty() {
        words.push("it does not say why".to_owned());
    }
    AcmeFault::Refused(format!(
        "the authority could not check the proof shown at {}: {}",
        acme.challenge_listen,
        words.join("; ")
    ))
}
