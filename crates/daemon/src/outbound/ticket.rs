//! Kerberos by the system's library (MIT or Heimdal), the client's side: GSSAPI towards a server, without a security layer.
//!
//! The library's calls block (files, the key distribution centre), so each has a thread of the blocking pool. The server proves itself too
//! (mutual authentication is asked for), and the layer that it offers is declined: TLS protects the channel. The library finds our keytab by
//! the environment, as that of the acceptor: see [`crate::auth::prepare_kerberos`].
//!
//! RFC 4752 §3.1, RFC 4121; IIS: Delivery tab, Outbound Security.

use crate::auth::{CLIENT_KEYTAB_VARIABLE, kerberos_words, named_keytab};
use libgssapi::context::{ClientCtx, CtxFlags, SecurityContext};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_USER_NAME, OidSet};
use std::fmt;
use std::path::Path;

/// The octet for "no security layer" in what the server offers and in what we choose (RFC 4752 §3.3).
const NO_LAYER: u8 = 1;

/// Why a ticket does not get us in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TicketFault {
    /// There is none, or the library cannot use it.
    Unavailable(Box<str>),
    /// The server did not prove itself, or makes no sense.
    Unproved(Box<str>),
}

impl fmt::Display for TicketFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TicketFault::Unavailable(why) => write!(f, "there is no Kerberos ticket for it: {why}"),
            TicketFault::Unproved(why) => write!(f, "the server did not prove itself by Kerberos: {why}"),
        }
    }
}

impl std::error::Error for TicketFault {}

/// One log-on under way. The library's contexts may go from thread to thread, but not be shared.
pub(super) struct Ticket {
    phase: Phase,
}

enum Phase {
    New {
        principal: Option<Box<str>>,
        host: Box<str>,
    },
    /// Tokens go to and fro.
    Tokens(Box<ClientCtx>),
    /// The server is to say which layers it has.
    Layer(Box<ClientCtx>),
    /// All is said; the server is to be content.
    Said,
    Over,
}

impl Ticket {
    /// For `smtp` at this host, by this keytab's key (`None`: the system's credentials).
    pub(super) fn new(keytab: Option<&Path>, principal: Option<&str>, host: &str) -> Result<Ticket, TicketFault> {
        if let Some(keytab) = keytab
            && std::env::var_os(CLIENT_KEYTAB_VARIABLE).as_ref() != Some(&named_keytab(keytab))
        {
            let why = format!("the program was started with another keytab than {}; start it anew", keytab.display());
            return Err(TicketFault::Unavailable(why.into()));
        }
        Ok(Ticket { phase: Phase::New { principal: principal.map(Into::into), host: host.into() } })
    }

    /// Our first token.
    pub(super) async fn start(self) -> Result<(Ticket, Vec<u8>), TicketFault> {
        self.on_a_thread(Ticket::first).await
    }

    /// Answers a challenge.
    pub(super) async fn respond(self, challenge: Vec<u8>) -> Result<(Ticket, Vec<u8>), TicketFault> {
        self.on_a_thread(move |ticket| ticket.next(&challenge)).await
    }

    /// The server is content: was everything said?
    pub(super) fn finish(&self) -> Result<(), TicketFault> {
        match self.phase {
            Phase::Said => Ok(()),
            _ => Err(TicketFault::Unproved("it was content before the exchange was done".into())),
        }
    }

    async fn on_a_thread(
        mut self,
        step: impl FnOnce(&mut Ticket) -> Result<Vec<u8>, TicketFault> + Send + 'static,
    ) -> Result<(Ticket, Vec<u8>), TicketFault> {
        let work = tokio::task::spawn_blocking(move || step(&mut self).map(|said| (self, said)));
        work.await.unwrap_or_else(|_| Err(TicketFault::Unavailable("the library failed".into())))
    }

    fn first(&mut self) -> Result<Vec<u8>, TicketFault> {
        let Phase::New { principal, host } = std::mem::replace(&mut self.phase, Phase::Over) else {
            return Err(out_of_turn());
        };
        let unavailable = |error: Error| TicketFault::Unavailable(kerberos_words(error).into());
        let target =
            Name::new(format!("smtp@{host}").as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE)).map_err(unavailable)?;
        let own = principal
            .map(|name| Name::new(name.as_bytes(), Some(GSS_NT_USER_NAME)))
            .transpose()
            .map_err(unavailable)?;
        let mut mechanisms = OidSet::new();
        mechanisms.add(GSS_MECH_KRB5).map_err(unavailable)?;
        let credential =
            Cred::acquire(own.as_ref(), None, CredUsage::Initiate, Some(&mechanisms)).map_err(unavailable)?;
        let flags = CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
        let mut context = ClientCtx::new(Some(credential), target, flags, Some(GSS_MECH_KRB5));
        let token = context.step(None, None).map_err(unavailable)?;
        self.phase = Phase::Tokens(Box::new(context));
        Ok(token.map(|token| token.to_vec()).unwrap_or_default())
    }

    fn next(&mut self, challenge: &[u8]) -> Result<Vec<u8>, TicketFault> {
        let unproved = |error: Error| TicketFault::Unproved(kerberos_words(error).into());
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Tokens(mut context) => {
                let token = context.step(Some(challenge), None).map_err(unproved)?;
                self.phase = if context.is_complete() { Phase::Layer(context) } else { Phase::Tokens(context) };
                Ok(token.map(|token| token.to_vec()).unwrap_or_default())
            }
            Phase::Layer(mut context) => {
                let offer = context.unwrap(challenge).map_err(unproved)?;
                if offer.len() != 4 || offer[0] & NO_LAYER == 0 {
                    return Err(TicketFault::Unproved("it wants a security layer, and TLS is ours".into()));
                }
                // The choice, no room for wrapped octets, and nobody else to act as.
                let choice = context.wrap(false, &[NO_LAYER, 0, 0, 0]).map_err(unproved)?;
                self.phase = Phase::Said;
                Ok(choice.to_vec())
            }
            Phase::New { .. } | Phase::Said | Phase::Over => Err(out_of_turn()),
        }
    }
}

fn out_of_turn() -> TicketFault {
    TicketFault::Unproved("it asks although everything is said".into())
}
