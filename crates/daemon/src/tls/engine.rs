//! One TLS channel without a socket: octets of the wire in, plain octets out, and back.
//!
//! The driver reads into a buffer of its own and hands in what came, in any pieces; it writes what [`TlsEngine::take_tls`]
//! gives it after each call. It promises that a channel which was cut off is never taken for one that was ended: only
//! the peer's close_notify is an end (RFC 8446 §6.1), so a message that was cut short in DATA cannot look whole.

use super::clients::Clients;
use super::credentials::Credentials;
use super::facts::{ClientCertificate, TlsFacts};
use super::flow::{self, Inflow, TlsFailure};
use bytes::Bytes;
use rustls::AlertDescription;
use rustls::pki_types::UnixTime;
use rustls::server::{Accepted, AcceptedAlert, Acceptor, ServerConnection};
use std::fmt;
use std::io::Write;
use std::sync::Arc;

enum State {
    /// The client's first words are not complete yet; which certificate it gets depends on them.
    Hello(Box<Acceptor>, Arc<Credentials>),
    Running(Box<ServerConnection>),
    Failed(TlsFailure),
}

/// One TLS channel, the server's side.
pub struct TlsEngine {
    state: State,
    end_point: Option<Arc<[u8]>>,
    /// Until the handshake is done: whose certificates are identities.
    clients: Option<Clients>,
    facts: Option<Arc<TlsFacts>>,
    is_closed: bool,
    unsent: Vec<u8>,
}

impl TlsEngine {
    /// A channel that waits for the client's first octets.
    #[must_use]
    pub fn new(credentials: Arc<Credentials>) -> TlsEngine {
        let state = State::Hello(Box::default(), credentials);
        TlsEngine { state, end_point: None, clients: None, facts: None, is_closed: false, unsent: Vec::new() }
    }

    /// Takes octets from the wire; gives `plain` those of the session, in order. There may be something to send afterwards.
    ///
    /// # Errors
    /// The peer does not speak TLS, or not as we do, or its certificate is wrong, or octets were changed on their way. What is to
    /// send then is an alert.
    pub fn read_tls(&mut self, mut octets: &[u8], plain: &mut impl FnMut(&[u8])) -> Result<Inflow, TlsFailure> {
        while !octets.is_empty() && !self.is_closed {
            if let State::Hello(acceptor, credentials) = &mut self.state {
                match acceptor.read_tls(&mut octets) {
                    Ok(_) => {}
                    Err(error) => return Err(self.fail(error.to_string(), None)),
                }
                let credentials = Arc::clone(credentials);
                match acceptor.accept() {
                    Ok(None) => continue,
                    Ok(Some(accepted)) => self.begin(accepted, &credentials)?,
                    Err((error, alert)) => return Err(self.fail(words(&error), Some(alert))),
                }
                // More than the first words may have come with them.
                self.process(plain)?;
                continue;
            }
            match &mut self.state {
                State::Running(connection) => {
                    if let Err(error) = connection.read_tls(&mut octets) {
                        return Err(self.fail(error.to_string(), None));
                    }
                    self.process(plain)?;
                }
                State::Failed(failure) => return Err(failure.clone()),
                State::Hello(..) => {}
            }
        }
        Ok(if self.is_closed { Inflow::Closed } else { Inflow::Open })
    }

    /// The client has said what it can: choose our certificate and answer.
    fn begin(&mut self, accepted: Accepted, credentials: &Credentials) -> Result<(), TlsFailure> {
        let Some(shown) = credentials.choose(&accepted.client_hello()) else {
            return Err(self.fail("there is no certificate".to_owned(), None));
        };
        self.end_point = Some(shown.end_point());
        self.clients = shown.clients();
        match accepted.into_connection(shown.config()) {
            Ok(mut connection) => {
                // What is written is taken away at once.
                connection.set_buffer_limit(None);
                self.state = State::Running(Box::new(connection));
                Ok(())
            }
            Err((error, alert)) => Err(self.fail(words(&error), Some(alert))),
        }
    }

    /// Has rustls work on what it was given.
    fn process(&mut self, plain: &mut impl FnMut(&[u8])) -> Result<(), TlsFailure> {
        let State::Running(connection) = &mut self.state else { return Ok(()) };
        match flow::process(connection, plain) {
            Ok(inflow) => self.is_closed = inflow == Inflow::Closed,
            Err(error) => {
                let failure = self.fail(words(&error), None);
                return Err(failure);
            }
        }
        if self.facts.is_none() && !connection.is_handshaking() {
            match facts_of(connection, self.end_point.take(), self.clients.take()) {
                Ok(facts) => self.facts = Some(Arc::new(facts)),
                Err(error) => {
                    let failure = self.fail(words(&error), None);
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// Encrypts octets of the session. Before the handshake is done they are kept and follow it.
    pub fn write_plain(&mut self, octets: &[u8]) {
        if let State::Running(connection) = &mut self.state {
            // Into memory without a limit: it cannot fail, but for a channel on which nothing may be sent any more.
            let _ = connection.writer().write_all(octets);
        }
    }

    /// Says that we send no more (close_notify).
    pub fn close(&mut self) {
        if let State::Running(connection) = &mut self.state {
            connection.send_close_notify();
        }
    }

    /// What is to be written to the wire now; empty if nothing is.
    pub fn take_tls(&mut self) -> Bytes {
        let mut taken = std::mem::take(&mut self.unsent);
        if let State::Running(connection) = &mut self.state {
            while connection.wants_write() {
                // Into memory: it takes all that is given to it.
                if connection.write_tls(&mut taken).is_err() {
                    break;
                }
            }
        }
        Bytes::from(taken)
    }

    /// Is the handshake still going on?
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.facts.is_none()
    }

    /// What is known about the channel, once the handshake is done.
    #[must_use]
    pub fn facts(&self) -> Option<Arc<TlsFacts>> {
        self.facts.clone()
    }

    /// Has the peer ended the channel as it should, by close_notify? If not, an end of the connection is a cut.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn fail(&mut self, words: String, alert: Option<AcceptedAlert>) -> TlsFailure {
        if let Some(mut alert) = alert {
            // Into memory: it cannot fail.
            let _ = alert.write_all(&mut self.unsent);
        }
        self.unsent = Vec::from(self.take_tls());
        let failure = TlsFailure { in_handshake: self.facts.is_none(), words: words.into() };
        self.state = State::Failed(failure.clone());
        failure
    }
}

impl fmt::Debug for TlsEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsEngine").field("facts", &self.facts).finish_non_exhaustive()
    }
}

fn facts_of(
    connection: &ServerConnection,
    end_point: Option<Arc<[u8]>>,
    clients: Option<Clients>,
) -> Result<TlsFacts, rustls::Error> {
    let (version, cipher, exporter) = flow::agreed(connection)?;
    // After a short handshake too: a ticket makes no certificate last longer.
    let chain = connection.peer_certificates().unwrap_or_default();
    let known = clients.is_some_and(|clients| clients.know(chain, UnixTime::now()));
    let leaf = chain.first().filter(|_| known);
    Ok(TlsFacts {
        version,
        cipher,
        sni: connection.server_name().map(|name| name.to_ascii_lowercase().into()),
        exporter,
        server_end_point: end_point.unwrap_or_else(|| Arc::from([])),
        client_certificate: leaf.and_then(|leaf| ClientCertificate::read(leaf)),
    })
}

/// What went wrong, in a line for the log.
fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::CertificateUnknown) => {
            "the client does not trust our certificate".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("the client ended the handshake: {alert:?}"),
        rustls::Error::InvalidMessage(_) => "the client does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}
