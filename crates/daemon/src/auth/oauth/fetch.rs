//! Asks an issuer for its keys over https: two small documents, with bounds on time and size, and no redirections.

use super::keys::Keys;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Octets of a document.
pub const DOCUMENT_MAX: usize = 1_024 * 1_024;
/// How long the provider may take for one document.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why an issuer cannot be asked at all.
#[derive(Debug)]
pub enum IssuerFault {
    /// The file of authorities cannot be read, or has none.
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        why: Box<str>,
    },
    /// The system has no authorities.
    NoAuthorities,
    /// TLS cannot be set up.
    Tls(rustls::Error),
}

impl fmt::Display for IssuerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IssuerFault::Authority { path, why } => {
                write!(f, "the authorities of oauth in {} cannot be used: {why}", path.display())
            }
            IssuerFault::NoAuthorities => f.write_str(
                "the system trusts no authorities, so no issuer of tokens can be asked. Install ca-certificates, or name a file \
                 with oauth = { authority = \"…\" }",
            ),
            IssuerFault::Tls(error) => write!(f, "TLS to the issuer of tokens cannot be set up: {error}"),
        }
    }
}

impl std::error::Error for IssuerFault {}

pub(super) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Fetcher {
    pub(super) fn new(authority: Option<&Path>) -> Result<Fetcher, IssuerFault> {
        let roots = roots(authority)?;
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(IssuerFault::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
        Ok(Fetcher { client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector) })
    }

    /// The keys that the issuer publishes now, or why they are not to be had.
    pub(super) async fn keys(&self, issuer: &str) -> Result<Keys, String> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.get(&address).await?;
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("issuer").trim_end_matches('/') != issuer.trim_end_matches('/') {
            return Err(format!("{address} is another issuer's"));
        }
        let address = text("jwks_uri");
        if !address.starts_with("https://") {
            return Err(format!("{issuer} names no https address of its keys"));
        }
        let keys = Keys::read(&self.get(address).await?).filter(|keys| !keys.is_empty());
        keys.ok_or_else(|| format!("{address} has no keys that we can use"))
    }

    async fn get(&self, address: &str) -> Result<Value, String> {
        let asked = async {
            let uri = address.parse().map_err(|_| "it is no address".to_owned())?;
            let answer = self.client.get(uri).await.map_err(|error| deepest(&error))?;
            if answer.status().as_u16() != 200 {
                return Err(format!("it answers {}", answer.status().as_u16()));
            }
            let body = Limited::new(answer.into_body(), DOCUMENT_MAX).collect().await;
            let body = body.map_err(|error| format!("the answer is cut or too long: {error}"))?.to_bytes();
            serde_json::from_slice(&body).map_err(|_| "the answer is no JSON".to_owned())
        };
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(outcome) => outcome.map_err(|why| format!("{address}: {why}")),
            Err(_) => Err(format!("{address}: no answer within {} seconds", TIMEOUT.as_secs())),
        }
    }
}

/// The cause at the bottom says most: `connection refused`, not `client error`.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn roots(authority: Option<&Path>) -> Result<RootCertStore, IssuerFault> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authority else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(IssuerFault::NoAuthorities) } else { Ok(roots) };
    };
    let fault = |why: String| IssuerFault::Authority { path: path.to_owned(), why: why.into() };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))? {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() { Err(fault("it has no certificate".to_owned())) } else { Ok(roots) }
}
