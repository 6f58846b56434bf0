//! One TLS channel without a socket, the client's side.
//!
//! Octets of the wire go in by [`ClientEngine::read_tls`], what is to be sent comes out by [`ClientEngine::write_to`], straight
//! into a socket and in as few calls as there are pieces of sixteen system calls' worth. As on the server's side, only the
//! peer's close_notify is an end; anything else is a cut.

use super::super::facts::{TlsVersion, end_point};
use super::super::flow::{self, Inflow, TlsFailure};
use super::distrust;
use super::setup::ClientSetup;
use relay::channel::{Checked, Secured};
use rustls::client::ClientConnection;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, HandshakeKind, InconsistentKeys};
use std::fmt;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;

/// What is known about a channel that we opened, once its handshake is done.
#[derive(Clone)]
pub struct ClientFacts {
    /// The version agreed upon.
    pub version: TlsVersion,
    /// The cipher suite by its registered name.
    pub cipher: &'static str,
    /// By what the host's certificate was checked.
    pub checked: Checked,
    /// The handshake was a short one: a session was taken up again.
    pub resumed: bool,
    /// The channel binding `tls-exporter` (RFC 9266); TLS 1.2 has none.
    pub exporter: Option<[u8; 32]>,
    /// The channel binding `tls-server-end-point` (RFC 5929 §4); empty if it is not defined for the host's certificate.
    pub server_end_point: Arc<[u8]>,
}

impl ClientFacts {
    /// For the log and the envelope.
    #[must_use]
    pub fn secured(&self) -> Secured {
        Secured { version: self.version.name().into(), cipher: self.cipher.into(), checked: self.checked }
    }
}

impl fmt::Debug for ClientFacts {
    /// Without the channel bindings, which SCRAM takes as proof of the channel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFacts")
            .field("version", &self.version.name())
            .field("cipher", &self.cipher)
            .field("checked", &self.checked)
            .finish_non_exhaustive()
    }
}

/// One TLS channel, the client's side.
pub struct ClientEngine {
    connection: ClientConnection,
    setup: ClientSetup,
    facts: Option<Arc<ClientFacts>>,
    failure: Option<TlsFailure>,
    is_closed: bool,
}

impl ClientEngine {
    /// A channel whose first words wait to be written.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(setup: ClientSetup) -> Result<ClientEngine, TlsFailure> {
        let connection = ClientConnection::new(setup.config(), setup.name());
        let mut connection =
            connection.map_err(|error| TlsFailure { in_handshake: true, words: words(&error).into() })?;
        // The driver hands in no more than it wants to be written at once.
        connection.set_buffer_limit(None);
        Ok(ClientEngine { connection, setup, facts: None, failure: None, is_closed: false })
    }

    /// Takes octets from the wire; gives `plain` those of the session, in order. There may be something to send afterwards.
    ///
    /// # Errors
    /// The peer does not speak TLS, or not as we do, or its certificate is not as demanded, or octets were changed on their way.
    /// What is to send then is an alert.
    pub fn read_tls(&mut self, mut octets: &[u8], plain: &mut impl FnMut(&[u8])) -> Result<Inflow, TlsFailure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        while !octets.is_empty() && !self.is_closed {
            if let Err(error) = self.connection.read_tls(&mut octets) {
                return Err(self.fail(error.to_string()));
            }
            match flow::process(&mut self.connection, plain) {
                Ok(inflow) => self.is_closed = inflow == Inflow::Closed,
                Err(error) => return Err(self.fail(words(&error))),
            }
            if self.facts.is_none() && !self.connection.is_handshaking() {
                match self.shaken() {
                    Ok(facts) => self.facts = Some(Arc::new(facts)),
                    Err(error) => return Err(self.fail(words(&error))),
                }
            }
        }
        Ok(if self.is_closed { Inflow::Closed } else { Inflow::Open })
    }

    /// The handshake is done.
    fn shaken(&self) -> Result<ClientFacts, rustls::Error> {
        let chain = self.connection.peer_certificates().unwrap_or_default();
        let leaf = chain.first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let resumed = self.connection.handshake_kind() == Some(HandshakeKind::Resumed);
        if resumed {
            // A ticket makes no certificate last longer.
            let (name, now) = (self.setup.name(), UnixTime::now());
            self.setup.verifier().verify_server_cert(leaf, &chain[1..], &name, &[], now)?;
        }
        let (version, cipher, exporter) = flow::agreed(&self.connection)?;
        let checked = self.setup.checked();
        Ok(ClientFacts { version, cipher, checked, resumed, exporter, server_end_point: end_point(leaf) })
    }

    /// Encrypts pieces of the session, one behind the other, into as few records as they fit in.
    pub fn write_plain(&mut self, pieces: &[IoSlice<'_>]) {
        // Into memory without a limit: all is taken, but on a channel on which nothing may be sent any more.
        let _ = self.connection.writer().write_vectored(pieces);
    }

    /// Is there something to be written to the wire?
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Writes what waits to the wire, as much as it takes in one call.
    ///
    /// # Errors
    /// The wire's.
    pub fn write_to(&mut self, wire: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(wire)
    }

    /// Says that we send no more (close_notify).
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// Has the peer ended the channel as it should, by close_notify?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The host's own certificate, in DER, once the handshake is done.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.connection.peer_certificates()?.first().map(|certificate| &**certificate)
    }

    /// What is known about the channel, once the handshake is done.
    #[must_use]
    pub fn facts(&self) -> Option<Arc<ClientFacts>> {
        self.facts.clone()
    }

    /// Why the channel is of no more use, if it is.
    #[must_use]
    pub fn failure(&self) -> Option<&TlsFailure> {
        self.failure.as_ref()
    }

    fn fail(&mut self, words: String) -> TlsFailure {
        let failure = TlsFailure { in_handshake: self.facts.is_none(), words: words.into() };
        self.failure = Some(failure.clone());
        failure
    }
}

impl fmt::Debug for ClientEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientEngine").field("facts", &self.facts).finish_non_exhaustive()
    }
}

/// What went wrong, in words that follow the name of a host.
fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(fault) => distrust::words(fault),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server wants a certificate of ours; give it with certificate = { file = …, key = … }".to_owned()
        }
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => format!("the server does not take our certificate: {error}"),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server speaks only versions of TLS that are not safe any more, and TLSv1.2 at least is wanted"
                .to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the server ended the handshake: {alert:?}"),
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
        rustls::Error::NoCertificatesPresented => "the server shows no certificate".to_owned(),
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "our key does not fit our certificate".to_owned()
        }
        rustls::Error::PeerIncompatible(why) => format!("the server speaks no TLS that is safe enough: {why:?}"),
        other => other.to_string(),
    }
}
