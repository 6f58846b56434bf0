//! What a virtual server needs to receive its clients beside its store: certificates, accounts, names, counts.
//!
//! Made at start and on each reload. What a reload does not change goes over to the new one, and what could not be made
//! anew too: a certificate or an accounts file that is broken now does not take away what was good before. What was counted
//! of clients stays counted.
//!
//! IIS: Access tab.

use super::Turnstile;
use crate::auth::{Authenticator, Passwords, Plan};
use crate::clock::Clock;
use crate::dns::Resolver;
use crate::log::Log;
use crate::tls::{Certificates, Keeper};
use relay::config::{ListenerTls, VirtualServer};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// What the clients of one virtual server are received with.
#[derive(Clone)]
pub struct Reception {
    pub(super) certificates: Option<Shown>,
    pub(super) authenticator: Option<Arc<Authenticator>>,
    pub(super) resolver: Resolver,
    pub(super) turnstile: Arc<Turnstile>,
    /// Why there is no certificate although one is wanted.
    no_certificate: Option<Box<str>>,
}

/// Certificates, and who looks after them.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) certificates: Arc<Certificates>,
    _keeper: Arc<Keeper>,
}

/// What is the same for all virtual servers of a process.
pub struct Premises<'a> {
    /// Where ACME keeps what it obtained.
    pub state: &'a Path,
    /// The cores that hash passwords.
    pub passwords: &'a Passwords,
    /// The time.
    pub clock: &'a Clock,
}

impl Reception {
    /// Makes everything ready for `server`, with what can be taken over from `before`; and what is wrong, each in a sentence.
    /// Only within the runtime.
    #[must_use]
    pub fn open(
        server: &VirtualServer,
        premises: &Premises<'_>,
        resolver: Resolver,
        log: &Log,
        before: Option<(&Reception, &VirtualServer)>,
    ) -> (Reception, Vec<String>) {
        let mut faults = Vec::new();
        let turnstile = match before {
            Some((before, _)) => Arc::clone(&before.turnstile),
            None => Arc::default(),
        };
        turnstile.set_limits(server.access.rate);
        let mut reception =
            Reception { certificates: None, authenticator: None, resolver, turnstile, no_certificate: None };
        reception.open_certificates(server, premises, log, before, &mut faults);
        reception.open_accounts(server, premises, log, before, &mut faults);
        (reception, faults)
    }

    fn open_certificates(
        &mut self,
        server: &VirtualServer,
        premises: &Premises<'_>,
        log: &Log,
        before: Option<(&Reception, &VirtualServer)>,
        faults: &mut Vec<String>,
    ) {
        let access = &server.access;
        if access.certificates.is_empty() {
            self.no_certificate = Some("the virtual server has no access.certificate".into());
            return;
        }
        let shown = before.filter(|(_, server)| {
            server.access.certificates == access.certificates
                && server.access.client_certificates == access.client_certificates
        });
        if let Some(shown) = shown.and_then(|(before, _)| before.certificates.clone()) {
            self.certificates = Some(shown);
            return;
        }
        match Certificates::open(server, premises.state, premises.clock.now()) {
            Ok((certificates, troubles)) => {
                faults.extend(troubles.iter().map(|trouble| format!("a certificate is left out: {trouble}")));
                let certificates = Arc::new(certificates);
                let keeper = Keeper::start(Arc::clone(&certificates), log.clone(), premises.clock.clone());
                self.certificates = Some(Shown { certificates, _keeper: Arc::new(keeper) });
            }
            Err(none) => self.no_certificate = Some(none.to_string().into()),
        }
    }

    fn open_accounts(
        &mut self,
        server: &VirtualServer,
        premises: &Premises<'_>,
        log: &Log,
        before: Option<(&Reception, &VirtualServer)>,
        faults: &mut Vec<String>,
    ) {
        if server.access.authentication.methods.is_empty() {
            return;
        }
        let before = before.and_then(|(before, _)| before.authenticator.as_ref());
        let passwords = premises.passwords.clone();
        let opened = Authenticator::open(
            Plan::of(server),
            passwords,
            log.clone(),
            premises.clock.clone(),
            before.map(|before| &**before),
        );
        match opened {
            Ok(authenticator) => self.authenticator = Some(authenticator),
            Err(fault) => {
                let instead = if before.is_some() { "as before the reload" } else { "without authentication" };
                faults.push(format!("{fault}. It runs on {instead}"));
                self.authenticator = before.map(Arc::clone);
            }
        }
    }

    /// The addresses that can be listened on, and why the others cannot: TLS needs a certificate.
    #[must_use]
    pub fn usable(&self, server: &VirtualServer) -> (Vec<SocketAddr>, Vec<String>) {
        let (mut usable, mut faults) = (Vec::new(), Vec::new());
        for listener in &server.general.listen {
            match &self.no_certificate {
                Some(why) if listener.tls != ListenerTls::Plain => faults.push(format!(
                    "{} is not listened on, because it asks for TLS and there is no certificate to show: {why}",
                    listener.address
                )),
                _ => usable.push(listener.address),
            }
        }
        (usable, faults)
    }
}
