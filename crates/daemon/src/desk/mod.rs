//! Answers what a session asks: may this sender send, may this recipient be written to, is there room?
//!
//! A desk is one virtual server as one configuration has it, with what its sessions need at hand: settings, store, log and
//! clock. It is made anew on a reload; a session keeps the desk that it began with. It decides nothing itself:
//! [`relay::gate`] judges peers and addresses, [`Store::begin`] knows whether there is room.

#[cfg(test)]
pub(crate) mod fixture;

use crate::clock::Clock;
use crate::log::Log;
use crate::store::Store;
use relay::config::{Listener, ListenerTls, VirtualServer};
use relay::envelope::QueueId;
use relay::gate::{self, Client};
use smtp::command::{MailFrom, RcptTo};
use smtp::reply::Reply;
use smtp::server::Settings;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// One virtual server for its sessions.
pub struct Desk {
    server: Arc<VirtualServer>,
    settings: Arc<Settings>,
    store: Store,
    log: Log,
    clock: Clock,
}

impl Desk {
    /// The desk of `server` as it is configured now.
    #[must_use]
    pub fn new(server: Arc<VirtualServer>, store: Store, log: Log, clock: Clock) -> Arc<Desk> {
        let settings = Arc::new(session_settings(&server));
        Arc::new(Desk { server, settings, store, log, clock })
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

    /// May this sender send?
    ///
    /// # Errors
    /// The reply that says why not.
    pub fn sender(&self, peer: IpAddr, mail: &MailFrom) -> Result<(), Reply> {
        gate::sender(&self.server, &self.stranger(peer), &mail.sender).outcome
    }

    /// May this recipient be written to?
    ///
    /// # Errors
    /// The reply that says why not.
    pub fn recipient(&self, peer: IpAddr, rcpt: &RcptTo) -> Result<(), Reply> {
        gate::recipient(&self.server, &self.stranger(peer), &rcpt.recipient).outcome
    }

    /// Nobody can log on yet.
    fn stranger(&self, peer: IpAddr) -> Client<'static> {
        let anywhere = Listener {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 25),
            tls: ListenerTls::Plain,
            authentication_required: false,
        };
        Client::stranger(peer, self.server.general.listen.first().copied().unwrap_or(anywhere))
    }

    /// Is there room for a message? Its name, if so.
    ///
    /// # Errors
    /// 452 4.3.1, and why.
    pub fn begin(&self) -> Result<QueueId, Reply> {
        self.store.begin()
    }
}

fn session_settings(server: &VirtualServer) -> Settings {
    Settings {
        size_max: server.messages.size_max,
        session_size_max: server.messages.session_size_max,
        recipients_max: server.messages.recipients_max,
        bare_newlines: server.general.bare_newlines,
        timeout: server.general.timeout,
        content_grace: server.general.timeout,
        ..Settings::new(server.delivery.fqdn.clone(), server.default_domain.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::Office;
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
        let ask = |peer: &str, to: &str| office.desk.recipient(peer.parse().unwrap(), &rcpt(to)).map_err(|r| r.code);
        assert_eq!(ask("127.0.0.1", "a@elsewhere.test"), Ok(()));
        assert_eq!(ask("192.0.2.1", "a@elsewhere.test"), Err(550));
        assert_eq!(ask("192.0.2.1", "a@local.test"), Ok(()));
    }
}
