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
use relay::config::{CertificateSource, ClientCertificates, ListenerTls, VirtualServer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
    /// What they were made from: not always the newest configuration.
    origin: Arc<Origin>,
    _keeper: Arc<Keeper>,
}

/// What certificates are made from.
#[derive(PartialEq)]
struct Origin {
    sources: Vec<CertificateSource>,
    clients: Option<ClientCertificates>,
    state: PathBuf,
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
        before: Option<&Reception>,
    ) -> (Reception, Vec<String>) {
        let mut faults = Vec::new();
        let turnstile = match before {
            Some(before) => Arc::clone(&before.turnstile),
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
        before: Option<&Reception>,
        faults: &mut Vec<String>,
    ) {
        let access = &server.access;
        if access.certificates.is_empty() {
            self.no_certificate = Some("the virtual server has no access.certificate".into());
            return;
        }
        let origin = Origin {
            sources: access.certificates.clone(),
            clients: access.client_certificates.clone(),
            state: premises.state.to_owned(),
        };
        let shown = before.and_then(|before| before.certificates.as_ref());
        if let Some(shown) = shown.filter(|shown| *shown.origin == origin) {
            self.certificates = Some(shown.clone());
            return;
        }
        match (Certificates::open(server, premises.state, premises.clock.now()), shown) {
            (Ok((certificates, troubles)), _) => {
                faults.extend(troubles.iter().map(|trouble| format!("a certificate is left out: {trouble}")));
                let certificates = Arc::new(certificates);
                let keeper = Keeper::start(Arc::clone(&certificates), log.clone(), premises.clock.clone());
                let (origin, keeper) = (Arc::new(origin), Arc::new(keeper));
                self.certificates = Some(Shown { certificates, origin, _keeper: keeper });
            }
            // Not with other authorities for clients: one that the operator has just taken out must not count on.
            (Err(none), Some(shown)) if shown.origin.clients == origin.clients => {
                faults.push(format!("no certificate can be shown: {none}. It shows what it showed before the reload"));
                self.certificates = Some(shown.clone());
            }
            (Err(none), _) => self.no_certificate = Some(none.to_string().into()),
        }
    }

    fn open_accounts(
        &mut self,
        server: &VirtualServer,
        premises: &Premises<'_>,
        log: &Log,
        before: Option<&Reception>,
        faults: &mut Vec<String>,
    ) {
        if server.access.authentication.methods.is_empty() {
            return;
        }
        let before = before.and_then(|before| before.authenticator.as_ref());
        let passwords = premises.passwords.clone();
        let opened = Authenticator::open(
            Plan::of(server),
            passwords,
            log.clone(),
            premises.clock.clone(),
            before.map(|before| &**before),
        );
        match opened {
            Ok(authenticator) => {
                faults.extend(authenticator.fault().map(|fault| format!("{fault}. GSSAPI is not offered")));
                self.authenticator = Some(authenticator);
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::fixture::Office;
    use crate::tls::fixture::Authority;
    use relay::config::{Config, Dns};
    use std::os::unix::fs::PermissionsExt;

    fn put(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn put_pair(folder: &Path, name: &str) {
        let signed = Authority::new("Test CA").issue(&[&format!("{name}.local.test")]);
        put(folder, &format!("{name}.pem"), &(signed.certificate.pem() + &signed.key.serialize_pem()));
    }

    /// Which name is shown, and what is wrong.
    fn told(reception: &Reception) -> String {
        let shown = reception.certificates.as_ref().map(|shown| shown.certificates.credentials());
        shown.map_or("none".to_owned(), |shown| shown.pairs().next().unwrap().names()[0].to_string())
    }

    #[tokio::test]
    async fn a_reload_with_a_broken_certificate_goes_on_with_the_one_before() {
        let office = Office::new();
        let folder = tempfile::TempDir::new().unwrap();
        let open = |access: &str, before: Option<&Reception>| {
            let text = format!(
                "[[virtual_server]]\nname = \"Test\"\nhome = \"home\"\n[virtual_server.general]\n\
                 listen = [\"127.0.0.1:0\"]\n[virtual_server.access]\n{access}\n\
                 [[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n"
            );
            let file = folder.path().join("mailroot.toml").display().to_string();
            let server = Arc::clone(&Config::parse(&text, &file, "relay.local.test").unwrap().servers[0]);
            let premises = Premises { state: folder.path(), passwords: &Passwords::new(1), clock: office.desk.clock() };
            let resolver = Resolver::new(&Dns::default()).unwrap();
            let (reception, faults) = Reception::open(&server, &premises, resolver, office.desk.log(), before);
            let listens = !reception.usable(&server).0.is_empty();
            (reception, faults, listens)
        };
        put_pair(folder.path(), "old");
        let old = "certificate = { file = \"old.pem\" }";
        let (first, faults, listens) = open(old, None);
        assert_eq!((&*told(&first), faults.len(), listens), ("old.local.test", 0, true));

        let new = "certificate = { file = \"new.pem\" }";
        let (second, faults, listens) = open(new, Some(&first));
        assert_eq!((&*told(&second), listens), ("old.local.test", true), "{faults:?}");
        assert!(faults[0].contains("new.pem") && faults[0].contains("before the reload"), "{faults:?}");

        put_pair(folder.path(), "new");
        let (third, faults, _) = open(new, Some(&second));
        assert_eq!((&*told(&third), faults.len()), ("new.local.test", 0), "the same configuration, tried again");

        let clients = format!("{new}\nclient_certificate = {{ authority = \"clients.pem\" }}");
        let (fourth, _, listens) = open(&clients, Some(&third));
        assert_eq!((&*told(&fourth), listens), ("none", false), "who may be trusted is not known");
    }
}
