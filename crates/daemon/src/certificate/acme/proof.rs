//! Shows the authority that a name is ours: a page (http-01, RFC 8555 §8.3) or a certificate (tls-alpn-01, RFC 8737).
//!
//! The address is open only while a [`Stand`] is. Strangers find it too: they get nothing but 404 or a certificate that says
//! nothing, within bounds on time, octets and number.

use super::AcmeFault;
use crate::tls::{Credentials, Pair, TlsEngine, provider};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use relay::config::AcmeChallenge;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The protocol by which the authority asks for the certificate.
const ALPN: &[u8] = b"acme-tls/1";
/// Connections at a time; the next ones wait.
const CONNECTIONS_MAX: usize = 32;
/// Octets of a request; an authority's has a few hundred.
const REQUEST_MAX: usize = 8 * 1024;
/// How long one connection may last.
const CONNECTION_BOUND: Duration = Duration::from_secs(10);
/// Where the page lies.
const PATH: &str = "/.well-known/acme-challenge/";

/// What is to be shown for one name.
pub(super) struct Proof {
    name: String,
    token: String,
    authorization: String,
    digest: Vec<u8>,
}

impl Proof {
    pub(super) fn new(name: &str, token: &str, authorization: &str, digest: &[u8]) -> Proof {
        let (name, token, authorization) = (name.to_owned(), token.to_owned(), authorization.to_owned());
        Proof { name, token, authorization, digest: digest.to_vec() }
    }
}

/// Shows proofs until it is dropped.
pub(super) struct Stand {
    task: JoinHandle<()>,
}

/// What is shown to a connection.
#[derive(Clone)]
enum Show {
    Pages(Arc<Vec<Proof>>),
    Certificates(Arc<Credentials>),
}

impl Stand {
    pub(super) async fn open(how: AcmeChallenge, listen: SocketAddr, proofs: Vec<Proof>) -> Result<Stand, AcmeFault> {
        let show = match how {
            AcmeChallenge::Http01 => Show::Pages(Arc::new(proofs)),
            AcmeChallenge::TlsAlpn01 => Show::Certificates(Arc::new(certificates(&proofs)?)),
        };
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            AcmeFault::NoStand(format!(
                "the proof cannot be shown, because {listen} cannot be opened: {error}; free it, or set challenge_listen"
            ))
        })?;
        Ok(Stand { task: tokio::spawn(serve(listener, show)) })
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, show: Show) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // They end with the stand.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptor is free: it will be.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let show = show.clone();
        connections.spawn(async move {
            let shown = async {
                match show {
                    Show::Pages(proofs) => show_page(stream, &proofs).await,
                    Show::Certificates(credentials) => show_certificate(stream, credentials).await,
                }
            };
            // Whatever goes wrong is the visitor's matter; the authority tells what it saw.
            let _ = tokio::time::timeout(CONNECTION_BOUND, shown).await;
            drop(seat);
        });
    }
}

async fn show_page(mut stream: TcpStream, proofs: &[Proof]) -> io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") && request.len() < REQUEST_MAX {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    let reply = match page(&request, proofs) {
        Some(text) => format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        ),
        None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
    };
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// The page that a request asks for.
fn page<'p>(request: &[u8], proofs: &'p [Proof]) -> Option<&'p str> {
    let line = request.split(|octet| *octet == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (verb, path) = (words.next()?, words.next()?);
    let token = path.strip_prefix(PATH).filter(|_| verb == "GET")?;
    proofs.iter().find(|proof| proof.token == token).map(|proof| &*proof.authorization)
}

async fn show_certificate(mut stream: TcpStream, credentials: Arc<Credentials>) -> io::Result<()> {
    let mut engine = TlsEngine::new(credentials);
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let outcome = engine.read_tls(&buffer[..read], &mut |_| ());
        if outcome.is_ok() && !engine.is_handshaking() {
            engine.close();
        }
        stream.write_all(&engine.take_tls()).await?;
        if outcome.is_err() || !engine.is_handshaking() {
            return stream.shutdown().await;
        }
    }
}

/// One certificate for each name, with the proof in it.
fn certificates(proofs: &[Proof]) -> Result<Credentials, AcmeFault> {
    let ours = |what: &dyn std::fmt::Display| AcmeFault::Ours(format!("the proof cannot be made: {what}"));
    let mut pairs = Vec::with_capacity(proofs.len());
    for proof in proofs {
        let key = KeyPair::generate().map_err(|error| ours(&error))?;
        let mut params = CertificateParams::new(vec![proof.name.clone()]).map_err(|error| ours(&error))?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(&proof.digest)];
        let certificate = params.self_signed(&key).map_err(|error| ours(&error))?;
        let der = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let key = provider().key_provider.load_private_key(der).map_err(|error| ours(&error))?;
        // Not with the usual checks: the extension with the proof is critical, and rustls does not know it.
        let key = CertifiedKey::new(vec![certificate.der().clone()], key);
        let pair = Pair::new(key).map_err(|error| ours(&error))?;
        pairs.push(Arc::new(pair));
    }
    Credentials::for_protocol(pairs, ALPN).map_err(|fault| ours(&fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_that_was_asked_for_is_shown() {
        let proofs = [Proof::new("a.test", "tok", "tok.thumb", b""), Proof::new("b.test", "other", "other.thumb", b"")];
        let ask = |request: &str| page(request.as_bytes(), &proofs);
        assert_eq!(ask("GET /.well-known/acme-challenge/tok HTTP/1.1\r\nHost: a.test\r\n\r\n"), Some("tok.thumb"));
        assert_eq!(ask("GET /.well-known/acme-challenge/other HTTP/1.1\r\n\r\n"), Some("other.thumb"));
        for request in [
            "",
            "GET",
            "GET / HTTP/1.1\r\n\r\n",
            "GET /.well-known/acme-challenge/ HTTP/1.1\r\n\r\n",
            "GET /.well-known/acme-challenge/to HTTP/1.1\r\n\r\n",
            "GET /.well-known/acme-challenge/../tok HTTP/1.1\r\n\r\n",
            "POST /.well-known/acme-challenge/tok HTTP/1.1\r\n\r\n",
            "\u{ff}\0\r\n\r\n",
        ] {
            assert_eq!(ask(request), None, "{request}");
        }
    }
}
