//! Answers what a session asks: may this client connect, log on, send; is there room?
//!
//! A desk is one virtual server as one configuration has it, with what its sessions need at hand: settings, store, log and
//! clock, certificates and accounts ([`Reception`]), and its doors, one for each listener. It is made anew on a reload; a session
//! keeps the desk that it began with. It decides nothing itself: [`relay::gate`] judges clients and addresses, [`relay::rate`]
//! counts, [`Authenticator`] proves, [`Store::begin`] knows whether there is room.

#[cfg(test)]
pub(crate) mod fixture;
mod reception;
mod turnstile;

pub use reception::{Premises, Reception};
pub use turnstile::{Turn, Turnstile};

use crate::auth::Authenticator;
use crate::clock::Clock;
use crate::dns::Resolver;
use crate::log::Log;
use crate::store::Store;
use crate::tls::Credentials;
use relay::config::{Listener, ListenerTls, VirtualServer};
use relay::envelope::QueueId;
use relay::gate::{self, Client, Verdict};
use smtp::command::{MailFrom, RcptTo};
use smtp::reply::Reply;
use smtp::server::{Offer, Settings};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// One virtual server for its sessions.
pub struct Desk {
    server: Arc<VirtualServer>,
    settings: Arc<Settings>,
    reception: Reception,
    doors: Vec<Door>,
    store: Store,
    log: Log,
    clock: Clock,
}

/// Which door of a desk.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DoorId(usize);

/// One listener for its sessions.
#[derive(Debug)]
struct Door {
    listener: Listener,
    /// What is offered where nobody can log on: to all the same, before TLS and under it.
    plain: [Arc<Offer>; 2],
}

/// A no, and which setting or limit said it.
#[derive(Debug)]
pub struct Refusal {
    /// What the client is told.
    pub reply: Reply,
    /// The setting's name, for the log.
    pub by: Option<&'static str>,
}

impl Desk {
    /// The desk of `server` as it is configured now.
    #[must_use]
    pub fn new(server: Arc<VirtualServer>, reception: Reception, store: Store, log: Log, clock: Clock) -> Arc<Desk> {
        let settings = Arc::new(session_settings(&server));
        let unknown = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let elsewhere = Listener { address: unknown, tls: ListenerTls::Plain, authentication_required: false };
        let listeners = server.general.listen.iter().copied().chain([elsewhere]);
        let doors = listeners.map(|listener| Door::new(&server, listener)).collect();
        Arc::new(Desk { server, settings, reception, doors, store, log, clock })
    }

    /// The virtual server, as this desk's sessions know it.
    #[must_use]
    pub fn server(&self) -> &VirtualServer {
        &self.server
    }

    /// What a session may do.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Where messages go.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where to note what happens.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What time it is.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What clients are received with.
    #[must_use]
    pub fn reception(&self) -> &Reception {
        &self.reception
    }

    /// The door with the listener of that address, as configured; one without TLS if there is none.
    #[must_use]
    pub fn door(&self, address: SocketAddr) -> DoorId {
        let last = self.doors.len() - 1;
        DoorId(self.doors.iter().position(|door| door.listener.address == address).unwrap_or(last))
    }

    /// The door at which a peer came in through the socket of that listener. A socket for both (see [`crate::listen`]) may serve two
    /// listeners: each peer goes by the rules of its own family's.
    #[must_use]
    pub fn door_of(&self, configured: SocketAddr, peer: IpAddr) -> DoorId {
        let all: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let own = SocketAddr::new(all, configured.port());
        let has_own = self.server.general.addresses().any(|address| address == own);
        self.door(if configured.ip().is_unspecified() && has_own { own } else { configured })
    }

    /// The listener of a door of this desk.
    #[must_use]
    pub fn listener(&self, door: DoorId) -> Listener {
        self.doors[door.0].listener
    }

    /// What a TLS handshake that begins now shows.
    #[must_use]
    pub fn credentials(&self) -> Option<Arc<Credentials>> {
        self.reception.certificates.as_ref().map(|shown| shown.certificates.credentials())
    }

    /// Who proves who clients are.
    #[must_use]
    pub fn authenticator(&self) -> Option<&Arc<Authenticator>> {
        self.reception.authenticator.as_ref()
    }

    /// Must a client's name be known before it is greeted, be it for a list or for the trace line?
    #[must_use]
    pub fn wants_names(&self) -> bool {
        self.server.access.reverse_dns || gate::needs_name(&self.server)
    }

    /// Who knows names.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.reception.resolver
    }

    /// May this client connect? Its turn, if its connections are counted.
    ///
    /// # Errors
    /// Why not.
    pub fn connect(&self, client: &Client<'_>) -> Result<Option<Turn>, Refusal> {
        answer(gate::connect(&self.server, client))?;
        if gate::is_listed(&self.server, client) {
            return Ok(None);
        }
        let turn = self.reception.turnstile.enter(client.address, self.clock.now());
        turn.map(Some).map_err(|limit| Refusal { reply: limit.reply(), by: Some(limit.name()) })
    }

    /// May this client, whose name must be asked for first, wait until it is known? Its turn until then.
    ///
    /// # Errors
    /// Why not.
    pub fn wait(&self, client: &Client<'_>) -> Result<Option<Turn>, Refusal> {
        if gate::is_listed(&self.server, client) {
            return Ok(None);
        }
        let turn = self.reception.turnstile.wait(client.address);
        turn.map(Some).map_err(|limit| Refusal { reply: limit.reply(), by: Some(limit.name()) })
    }

    /// What this client is offered now.
    #[must_use]
    pub fn offer(&self, client: &Client<'_>) -> Arc<Offer> {
        let door = &self.doors[self.door(client.listener.address).0];
        let plain = &door.plain[usize::from(client.tls.is_some())];
        let Some(authenticator) = self.authenticator() else { return Arc::clone(plain) };
        let gate::Offered { now, under_tls } = gate::offered(&self.server, authenticator.means(), client);
        Arc::new(Offer { mechanisms: now, under_tls, ..Offer::clone(plain) })
    }

    /// May this sender send?
    ///
    /// # Errors
    /// Why not.
    pub fn sender(&self, client: &Client<'_>, mail: &MailFrom) -> Result<(), Refusal> {
        answer(gate::sender(&self.server, client, &mail.sender))?;
        let account = client.identity.map(|identity| &*identity.account);
        let counted = self.reception.turnstile.message(client.address, account, self.clock.now());
        counted.map_err(|limit| Refusal { reply: limit.reply(), by: Some(limit.name()) })
    }

    /// May this recipient be written to?
    ///
    /// # Errors
    /// Why not.
    pub fn recipient(&self, client: &Client<'_>, rcpt: &RcptTo) -> Result<(), Refusal> {
        answer(gate::recipient(&self.server, client, &rcpt.recipient))
    }

    /// Is there room for a message? Its name, if so.
    ///
    /// # Errors
    /// 452 4.3.1, and why.
    pub fn begin(&self) -> Result<QueueId, Reply> {
        self.store.begin()
    }
}

impl Door {
    fn new(server: &VirtualServer, listener: Listener) -> Door {
        let stranger = Client::stranger(Ipv4Addr::UNSPECIFIED.into(), listener);
        let plain = [false, true].map(|secured| {
            Arc::new(Offer {
                starttls: matches!(listener.tls, ListenerTls::StartTls | ListenerTls::StartTlsRequired),
                tls_required: !gate::secure(server, &stranger).is_yes(),
                secured,
                auth_required: !gate::identified(server, &stranger).is_yes(),
                ..Offer::default()
            })
        });
        Door { listener, plain }
    }
}

fn answer(verdict: Verdict<'_>) -> Result<(), Refusal> {
    let by = Some(verdict.because.setting).filter(|setting| !setting.is_empty());
    verdict.outcome.map_err(|reply| Refusal { reply, by })
}

fn session_settings(server: &VirtualServer) -> Settings {
    Settings {
        size_max: server.messages.size_max,
        session_size_max: server.messages.session_size_max,
        recipients_max: server.messages.recipients_max,
        bare_newlines: server.general.bare_newlines,
        timeout: server.general.timeout,
        content_grace: server.general.timeout,
        errors_max: server.general.errors_max,
        refusals_max: server.general.refusals_max,
        greeting_delay: server.general.greeting_delay,
        inspection: server.access.inspection.rules(),
        ..Settings::new(server.delivery.fqdn.clone(), server.default_domain.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::Office;
    use relay::config::{Listener, ListenerTls};
    use relay::gate::Client;
    use smtp::address::Mailbox;
    use smtp::command::{Notify, RcptTo};

    #[test]
    fn a_session_may_do_what_the_configuration_says() {
        let office = Office::with(
            "timeout = \"3 min\"\nbare_newlines = \"normalize\"",
            "size_max = \"3 MB\"\nsession_size_max = \"unlimited\"\nrecipients_max = 7",
            "fqdn = \"relay.example.com\"",
        );
        let settings = office.desk.settings();
        assert_eq!(settings.timeout.as_secs(), 180);
        assert_eq!(settings.bare_newlines, smtp::body::BareNewlines::Normalize);
        assert_eq!((settings.size_max, settings.session_size_max), (Some(3 << 20), None));
        assert_eq!(settings.recipients_max, 7);
        assert_eq!(settings.fqdn.as_str(), "relay.example.com");
        assert_eq!(settings.default_domain.as_str(), "local.test");
    }

    #[test]
    fn the_gate_is_asked_with_the_peers_address() {
        let office = Office::new();
        let rcpt = |to: &str| RcptTo { recipient: Mailbox::parse(to).unwrap(), notify: Notify::Default, orcpt: None };
        let listener = Listener {
            address: "0.0.0.0:25".parse().unwrap(),
            tls: ListenerTls::Plain,
            authentication_required: false,
        };
        let ask = |peer: &str, to: &str| {
            let client = Client::stranger(peer.parse().unwrap(), listener);
            office.desk.recipient(&client, &rcpt(to)).map_err(|refusal| (refusal.reply.code, refusal.by))
        };
        assert_eq!(ask("127.0.0.1", "a@elsewhere.test"), Ok(()));
        assert_eq!(ask("192.0.2.1", "a@elsewhere.test"), Err((550, Some("access.relay.only"))));
        assert_eq!(ask("192.0.2.1", "a@local.test"), Ok(()));
    }

    /// A client whose name server does not answer would hold seconds of a place each time, and not be counted yet.
    #[test]
    fn those_who_wait_for_their_names_are_counted() {
        let office = Office::with("[virtual_server.access.rate]\nconnections_at_once_per_address = 2", "", "");
        let listener = office.desk.server().general.listen[0];
        let wait = |peer: &str| office.desk.wait(&Client::stranger(peer.parse().unwrap(), listener));
        let waiting = [wait("192.0.2.1").unwrap(), wait("192.0.2.1").unwrap()];
        let refused = wait("::ffff:192.0.2.1").unwrap_err();
        assert_eq!((refused.reply.code, refused.by), (421, Some("access.rate.connections_at_once_per_address")));
        assert!(wait("192.0.2.2").is_ok());
        assert!(wait("127.0.0.1").unwrap().is_none(), "who may relay is not counted");
        drop(waiting);
        assert!(wait("192.0.2.1").is_ok(), "judged, or gone");
    }
}
