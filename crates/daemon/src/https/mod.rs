//! Small documents over https: asked for with bounds on time and size, and no redirections.
//!
//! What an identity provider or a domain publishes is fetched through here ([`Https::get`], [`Https::post`]). TLS is always checked, against
//! the system's authorities or those of a file. Each question has a connection of its own; nothing is kept and nothing is
//! tried again. What an answer means is the caller's to say: any status comes back.

#[cfg(test)]
pub(crate) mod fixture;
mod names;

use crate::dns::Resolver;
use crate::tls::provider;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::rt::TokioExecutor;
use names::Names;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use smtp::time::Timestamp;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Who asks.
const USER_AGENT: &str = concat!("mailroot/", env!("CARGO_PKG_VERSION"));

/// Why nobody can be asked at all.
#[derive(Debug)]
pub enum HttpsFault {
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

impl fmt::Display for HttpsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpsFault::Authority { path, why } => {
                write!(f, "the authorities in {} cannot be used: {why}", path.display())
            }
            HttpsFault::NoAuthorities => f.write_str(
                "the system trusts no authorities, so nobody can be asked over https. Install ca-certificates, or name a file \
                 with authority = \"…\"",
            ),
            HttpsFault::Tls(error) => write!(f, "TLS cannot be set up: {error}"),
        }
    }
}

impl std::error::Error for HttpsFault {}

/// How long an answer may take, and how large it may be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// From the look-up of the name to the last octet.
    pub time: Duration,
    /// Octets of the body.
    pub octets: usize,
}

/// What came back.
pub struct Answer {
    /// The status, whatever it is.
    pub status: u16,
    /// The media type, in lower case and without parameters; empty if it is not said.
    pub media_type: Box<str>,
    /// The seconds of Retry-After, if that is a number (RFC 9110 §10.2.3).
    pub retry_after: Option<Duration>,
    /// What time it is by the other side's clock.
    pub date: Option<Timestamp>,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    /// Without the body, which may have a secret in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("media_type", &self.media_type)
            .finish_non_exhaustive()
    }
}

/// A client that trusts certain authorities.
pub struct Https {
    client: Client<HttpsConnector<HttpConnector<Names>>, Full<Bytes>>,
}

impl Https {
    /// Trusts the authorities in this file, or the system's.
    ///
    /// # Errors
    /// There are none.
    pub fn new(authorities: Option<&Path>) -> Result<Https, HttpsFault> {
        Https::finding(Names::System(GaiResolver::new()), authorities)
    }

    /// The same, with names looked up by `resolver`: for hosts that the DNS named, not the operator.
    ///
    /// # Errors
    /// There are none.
    pub fn asking(resolver: Resolver, authorities: Option<&Path>) -> Result<Https, HttpsFault> {
        Https::finding(Names::Ours(resolver), authorities)
    }

    fn finding(names: Names, authorities: Option<&Path>) -> Result<Https, HttpsFault> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(HttpsFault::Tls)?
            .with_root_certificates(roots(authorities)?)
            .with_no_client_auth();
        let mut connector = HttpConnector::new_with_resolver(names);
        connector.enforce_http(false);
        let https = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1();
        let connector = https.wrap_connector(connector);
        Ok(Https { client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector) })
    }

    /// The document at an address.
    ///
    /// # Errors
    /// None came, and why, with the address.
    pub async fn get(&self, address: &str, bounds: Bounds) -> Result<Answer, String> {
        self.ask("GET", address, None, bounds).await
    }

    /// The answer to a form (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// None came, and why, with the address and without the form.
    pub async fn post(&self, address: &str, form: &[(&str, &str)], bounds: Bounds) -> Result<Answer, String> {
        self.ask("POST", address, Some(urlencoded(form)), bounds).await
    }

    async fn ask(
        &self,
        method: &str,
        address: &str,
        form: Option<Zeroizing<String>>,
        bounds: Bounds,
    ) -> Result<Answer, String> {
        let asked = async {
            let mut request = http::Request::builder().method(method).uri(address).header("User-Agent", USER_AGENT);
            if form.is_some() {
                request = request.header("Content-Type", "application/x-www-form-urlencoded");
                request = request.header("Accept", "application/json");
            }
            let body = form.map_or_else(Bytes::new, |form| Bytes::copy_from_slice(form.as_bytes()));
            let request = request.body(Full::new(body)).map_err(|_| "it is no address".to_owned())?;
            let answer = self.client.request(request).await.map_err(|error| deepest(&error))?;
            let (head, body) = answer.into_parts();
            let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let media_type = text("content-type").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let retry_after = text("retry-after").trim().parse().ok().map(Duration::from_secs);
            let date =
                jiff::fmt::rfc2822::parse(text("date")).ok().map(|date| Timestamp(date.timestamp().as_millisecond()));
            let body = Limited::new(body, bounds.octets).collect().await;
            let body = body.map_err(|error| format!("the answer is cut or too long: {error}"))?.to_bytes();
            Ok(Answer { status: head.status.as_u16(), media_type: media_type.into(), retry_after, date, body })
        };
        match tokio::time::timeout(bounds.time, asked).await {
            Ok(outcome) => outcome.map_err(|why: String| format!("{address}: {why}")),
            Err(_) => Err(format!("{address}: no answer within {} seconds", bounds.time.as_secs())),
        }
    }
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Https")
    }
}

/// As a form is sent (WHATWG URL, `application/x-www-form-urlencoded`).
fn urlencoded(form: &[(&str, &str)]) -> Zeroizing<String> {
    // All at once, so that no outgrown copy of a secret is left behind.
    let most = form.iter().map(|(key, value)| 3 * (key.len() + value.len()) + 2).sum();
    let mut text = Zeroizing::new(String::with_capacity(most));
    for (at, (key, value)) in form.iter().enumerate() {
        if at > 0 {
            text.push('&');
        }
        encode(key, &mut text);
        text.push('=');
        encode(value, &mut text);
    }
    text
}

fn encode(value: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for octet in value.bytes() {
        match octet {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'*' | b'-' | b'.' | b'_' => into.push(octet.into()),
            b' ' => into.push('+'),
            _ => {
                into.push('%');
                into.push(DIGITS[usize::from(octet >> 4)].into());
                into.push(DIGITS[usize::from(octet & 15)].into());
            }
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

fn roots(authorities: Option<&Path>) -> Result<RootCertStore, HttpsFault> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authorities else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err(HttpsFault::NoAuthorities) } else { Ok(roots) };
    };
    let fault = |why: String| HttpsFault::Authority { path: path.to_owned(), why: why.into() };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))? {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() { Err(fault("it has no certificate".to_owned())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::fixture::{Says, Website};
    use super::*;

    #[test]
    fn a_form_is_encoded_so_that_no_value_can_be_another_field() {
        let form = [("scope", "a b"), ("client_secret", "p&w=%+~ü/?#"), ("empty", "")];
        assert_eq!(&**urlencoded(&form), "scope=a+b&client_secret=p%26w%3D%25%2B%7E%C3%BC%2F%3F%23&empty=");
    }

    #[tokio::test]
    async fn nothing_is_asked_in_the_clear() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, crate::tls::fixture::Authority::new("Any").certificate.pem()).unwrap();
        let https = Https::new(Some(&file)).unwrap();
        let bounds = Bounds { time: Duration::from_secs(5), octets: 10 };
        for address in ["http://127.0.0.1:1/", "127.0.0.1:1", "ftp://127.0.0.1/", "no address"] {
            let why = https.get(address, bounds).await.unwrap_err();
            assert!(why.starts_with(address) && !why.contains("refused"), "{why}");
        }
    }

    #[tokio::test]
    async fn any_answer_comes_back_within_its_bounds_and_no_redirection_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let site = Website::start(|asked| {
            let html = |status, head: &str| Some(Says { head: head.to_owned(), ..Says::html(status) });
            match &*asked.path {
                "/moved" => html(302, "Location: /gone\r\n"),
                "/busy" => html(
                    503,
                    "Retry-After: 120\r\nDate: Sun, 22 Nov 2026 07:00:00 GMT\r\nContent-Type: Text/HTML; charset=x\r\n",
                ),
                "/large" => Some(Says { body: "x".repeat(1_001), ..Says::html(200) }),
                "/cut" => None,
                _ => Some(Says { body: asked.body.clone(), ..Says::html(200) }),
            }
        });
        let https = Https::new(Some(&site.authority(folder.path()))).unwrap();
        let bounds = Bounds { time: Duration::from_secs(20), octets: 1_000 };
        let get = |path: &str| {
            let address = format!("{}{path}", site.address);
            let https = &https;
            async move { https.get(&address, bounds).await }
        };
        assert_eq!(get("/moved").await.unwrap().status, 302);
        let busy = get("/busy").await.unwrap();
        assert_eq!((busy.status, &*busy.media_type), (503, "text/html"));
        assert_eq!(busy.retry_after, Some(Duration::from_secs(120)));
        assert_eq!(busy.date.unwrap().rfc3339(), "2026-11-22T07:00:00.000Z");
        assert!(get("/large").await.unwrap_err().contains("cut or too long"));
        assert!(get("/cut").await.is_err());
        let posted = https.post(&format!("{}/form", site.address), &[("a", "b c")], bounds).await.unwrap();
        assert_eq!(&posted.body[..], b"a=b+c");
        assert_eq!(site.asked().len(), 5, "nobody asked for /gone");
        // Another authority's site is not believed.
        let other = Website::start(|_| None);
        let why = https.get(&format!("{}/", other.address), bounds).await.unwrap_err();
        assert!(why.contains("UnknownIssuer") && other.asked().is_empty(), "{why}");
    }

    #[tokio::test]
    async fn who_does_not_answer_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let site = Website::start(|_| {
            std::thread::park();
            None
        });
        let https = Https::new(Some(&site.authority(folder.path()))).unwrap();
        let bounds = Bounds { time: Duration::from_millis(300), octets: 1_000 };
        let why = https.get(&format!("{}/", site.address), bounds).await.unwrap_err();
        assert!(why.contains("no answer within"), "{why}");
    }

    #[test]
    fn authorities_that_cannot_be_used_are_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(matches!(Https::new(Some(&file)), Err(HttpsFault::Authority { .. })));
        std::fs::write(&file, "nothing").unwrap();
        let told = Https::new(Some(&file)).unwrap_err().to_string();
        assert!(told.contains("ca.pem") && told.contains("no certificate"), "{told}");
    }
}
