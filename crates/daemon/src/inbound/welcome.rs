//! What must be waited for before a client can be talked with: its name in DNS, and TLS.
//!
//! Both are bounded ([`HANDSHAKE_MAX`], [`crate::dns::PEER_NAME_MAX`]). A client that speaks no TLS where it should is let go
//! without a word, for it would not understand one.
//!
//! RFC 3207 §4, RFC 8314 §3.

use super::guest::Guest;
use super::wire::Wire;
use crate::sessions::Phase;
use relay::config::ListenerTls;
use relay::record::{Level, Record};
use smtp::server::{Closing, Session};
use std::sync::Arc;
use std::time::Duration;

/// How long a TLS handshake may take.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Is there anything to wait for before the greeting?
pub(super) fn takes_time(guest: &Guest) -> bool {
    guest.desk().wants_names() || guest.listener().tls == ListenerTls::Implicit
}

/// The session, once all is known that must be known before the greeting.
pub(super) async fn welcome(guest: &mut Guest, wire: &mut Wire) -> Result<Session, Closing> {
    let is_implicit = guest.listener().tls == ListenerTls::Implicit;
    if guest.desk().wants_names() {
        guest.set_phase(Phase::Connecting);
        let name = guest.desk().resolver().peer_name(guest.peer()).await;
        guest.set_phase(Phase::Talk);
        guest.set_name(name);
        if let Err(reply) = guest.take_turn() {
            if is_implicit {
                guest.note_refusal_unsent();
                return Err(Closing::Refused);
            }
            let settings = Arc::clone(guest.desk().settings());
            return Ok(Session::refuse(settings, guest.peer(), &reply, guest.desk().clock().now()));
        }
    }
    let early = if is_implicit { secure(guest, wire).await? } else { Vec::new() };
    let mut session = guest.session();
    if !early.is_empty() {
        session.receive(&early);
    }
    Ok(session)
}

/// Begins TLS; gives what the client said under it already.
pub(super) async fn secure(guest: &mut Guest, wire: &mut Wire) -> Result<Vec<u8>, Closing> {
    let peer = guest.caller().address;
    guest.set_phase(Phase::Handshake);
    let begun = match guest.desk().credentials() {
        Some(credentials) => match tokio::time::timeout(HANDSHAKE_MAX, wire.shake_hands(credentials)).await {
            Ok(begun) => begun,
            Err(_) => Err("the handshake took too long".into()),
        },
        None => Err("there is no certificate".into()),
    };
    match begun {
        Ok((facts, early)) => {
            let log = guest.desk().log();
            if log.wants(Level::Debug) {
                log.write(&Record::Secured {
                    peer,
                    version: facts.version.name(),
                    cipher: facts.cipher,
                    name: facts.sni.clone(),
                    certificate: facts.client_certificate.as_ref().map(|shown| shown.subject.clone()),
                });
            }
            guest.secured(facts);
            Ok(early)
        }
        Err(why) => {
            guest.desk().log().write(&Record::NotSecured { peer, why });
            Err(Closing::Tls)
        }
    }
}
