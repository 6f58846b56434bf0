//! Certificates of a relay that runs: files change under it, one cannot be used, the end comes near.

use super::mailroot;
use crate::harness::relay::{Relay, Settings};
use crate::harness::{Folder, SOON, Site, until};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// Trusts whoever answers: what is shown is looked at, not believed.
#[derive(Debug)]
struct Looking;

impl ServerCertVerifier for Looking {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A client with TLS from the first octet.
struct Secured(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Secured {
    fn connect(at: SocketAddr) -> Secured {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.dangerous().with_custom_certificate_verifier(Arc::new(Looking)).with_no_client_auth();
        let name = ServerName::try_from("relay.test").unwrap();
        let stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut secured = Secured(BufReader::new(StreamOwned::new(client, stream)));
        assert!(secured.line().starts_with("220 "));
        secured
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn say(&mut self, command: &str) -> String {
        write!(self.0.get_mut(), "{command}\r\n").unwrap();
        self.line()
    }

    fn shown(&self) -> Vec<u8> {
        self.0.get_ref().conn.peer_certificates().unwrap()[0].to_vec()
    }
}

fn make(folder: &Folder) {
    let made = ["certificate", "self-signed", "--name", "relay.test", "--folder", "tls", "--force"];
    let made = mailroot(folder, &made);
    assert!(made.good, "{}", made.err);
}

/// The plain listener, and beside it one with TLS from the first octet.
fn prepare(site: &Site) -> (Relay, SocketAddr) {
    let pair = "certificate = { file = \"tls/relay.test.pem\", key = \"tls/relay.test.key\" }";
    let relay = Relay::prepare(site, &Settings::new(site).access(pair));
    let secured = site.at(1, 4650);
    let text = fs::read_to_string(&relay.config).unwrap();
    let plain = format!("\"{}\"", relay.at);
    let both = format!("{{ address = {plain}, tls = \"plain\" }}, {{ address = \"{secured}\", tls = \"implicit\" }}");
    assert!(text.contains(&format!("listen = [{plain}]")), "{text}");
    fs::write(&relay.config, text.replacen(&plain, &both, 1)).unwrap();
    (relay, secured)
}

#[test]
fn a_running_relay_takes_over_a_new_certificate_and_drops_nobody() {
    let site = Site::new();
    make(&site.folder);
    let (mut relay, secured) = prepare(&site);
    relay.up();
    let mut staying = Secured::connect(secured);
    let first = staying.shown();
    assert_eq!(Secured::connect(secured).shown(), first);

    // A bad one first: the old one stays, and the operator hears why.
    let good = fs::read(site.folder.join("tls/relay.test.pem")).unwrap();
    fs::write(site.folder.join("tls/relay.test.pem"), &good[..good.len() / 2]).unwrap();
    relay.wait_for_log(&["alarm", "A certificate is not taken over", "relay.test.pem"]);
    assert_eq!(Secured::connect(secured).shown(), first);

    make(&site.folder);
    let second = until(SOON, "the new certificate is shown", || {
        Some(Secured::connect(secured).shown()).filter(|shown| *shown != first)
    });
    assert_ne!(second, first);
    assert!(staying.say("NOOP").starts_with("250 "));
    assert!(staying.say("QUIT").starts_with("221 "));
    relay.stop();
}

#[test]
fn without_a_certificate_only_the_listener_that_needs_one_stays_shut() {
    let site = Site::new();
    let (mut relay, secured) = prepare(&site);
    relay.up();
    assert!(TcpStream::connect(secured).is_err());
    relay.wait_for_log(&["alarm", &secured.to_string(), "relay.test.pem cannot be read"]);
    // The file comes, and a reload opens it.
    make(&site.folder);
    relay.process().signal("HUP");
    until(SOON, "the listener is open", || TcpStream::connect(secured).ok());
    assert!(Secured::connect(secured).say("NOOP").starts_with("250 "));
    relay.stop();
}
