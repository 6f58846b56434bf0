//! What both ends of a TLS channel do alike: rustls is given octets of the wire and works on them, the session's come out.

use super::facts::TlsVersion;
use super::provider::registered_name;
use rustls::{ConnectionCommon, ProtocolVersion};
use std::fmt;
use std::io::BufRead;

/// The exporter's label of RFC 9266 §4.2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// What the octets of the wire have brought.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Inflow {
    /// The channel goes on.
    Open,
    /// The peer has said that it sends no more (close_notify); what follows is thrown away.
    Closed,
}

/// The channel is of no more use. What is left to send is an alert; then the connection is to be closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFailure {
    /// It broke before the handshake was done.
    pub in_handshake: bool,
    pub(super) words: Box<str>,
}

impl fmt::Display for TlsFailure {
    /// What went wrong, for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for TlsFailure {}

/// Has rustls work on what it was given, and gives `plain` the session's octets, in order.
pub(super) fn process<S>(
    connection: &mut ConnectionCommon<S>,
    plain: &mut impl FnMut(&[u8]),
) -> Result<Inflow, rustls::Error> {
    let io = connection.process_new_packets()?;
    let mut left = io.plaintext_bytes_to_read();
    let mut reader = connection.reader();
    while left > 0 {
        let Ok(chunk) = reader.fill_buf() else { break };
        let len = chunk.len();
        plain(chunk);
        reader.consume(len);
        left = left.saturating_sub(len.max(1));
    }
    Ok(if io.peer_has_closed() { Inflow::Closed } else { Inflow::Open })
}

/// What a finished handshake has agreed upon: version, cipher, and the exporter of RFC 9266, which TLS 1.2 has not: there the
/// other side need not know the extended master secret, without which two channels may have one exporter.
pub(super) fn agreed<S>(
    connection: &ConnectionCommon<S>,
) -> Result<(TlsVersion, &'static str, Option<[u8; 32]>), rustls::Error> {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    };
    let cipher = connection.negotiated_cipher_suite().map_or("unknown", |suite| registered_name(suite.suite()));
    let exporter = match version {
        TlsVersion::Tls13 => Some(connection.export_keying_material([0; 32], EXPORTER_LABEL, Some(b""))?),
        TlsVersion::Tls12 => None,
    };
    Ok((version, cipher, exporter))
}
