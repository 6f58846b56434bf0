//! A virtual server in words: what it takes, what it relays and for whom, and where each domain's mail goes.
//!
//! `mailroot try` and `mailroot check` print these lines, so that nobody needs to read the settings to know whether a relay is
//! open. Nothing is hidden behind a number: long lists are cut with a count of the rest.

use super::{
    AccessList, ClientAuth, Config, HostPort, Listener, ListenerTls, RemoteDomain, RouteTo, SmartHost, SmartHostUse,
    Terms, Through, TlsPolicy, VirtualServer,
};
use smtp::address::Domain;
use std::fmt::Display;
use std::sync::Arc;

/// Items of a list that are printed.
const ITEMS_SHOWN: usize = 12;

/// Remote domains that get a line.
const DOMAINS_SHOWN: usize = 40;

impl VirtualServer {
    /// What the virtual server does, one sentence a line, without a line for its name.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let mut lines = vec![
            format!("listens on {} as {}", list(&self.general.listen), self.delivery.fqdn),
            self.folders_in_words(),
        ];
        lines.extend(self.connection_in_words());
        lines.push(self.open_in_words());
        lines.extend(self.relay_in_words());
        lines.push(format!("mail for {} goes to {}", self.default_domain.name, self.default_in_words()));
        if !self.aliases.is_empty() {
            lines.push(format!("mail for {} goes there too", list(&self.aliases)));
        }
        lines.extend(self.remotes.iter().take(DOMAINS_SHOWN).map(|remote| self.remote_in_words(remote)));
        if self.remotes.len() > DOMAINS_SHOWN {
            lines.push(format!("and {} more remote domains", self.remotes.len() - DOMAINS_SHOWN));
        }
        let own = match (&self.delivery.smart_host, self.delivery.smart_host_use) {
            (Through::SmartHost(_), SmartHostUse::Always) => String::new(),
            _ => after(&self.delivery.terms),
        };
        lines.push(format!("all other mail goes to {}", self.others_in_words(&own)));
        lines.extend(self.smart_hosts().iter().map(|host| format!("smart host {}: {}", host.name, special(host))));
        lines.extend(self.notes());
        lines
    }

    fn folders_in_words(&self) -> String {
        let home = self.home.display();
        let within = |path: &std::path::Path, name| path == self.home.join(name);
        let drop = (!within(&self.default_domain.drop, "Drop"))
            .then(|| format!("; Drop is {}", self.default_domain.drop.display()));
        let badmail = (!within(&self.messages.badmail, "Badmail"))
            .then(|| format!("; Badmail is {}", self.messages.badmail.display()));
        format!(
            "keeps Pickup, Drop, Queue and Badmail in {home}{}{}",
            drop.unwrap_or_default(),
            badmail.unwrap_or_default()
        )
    }

    /// The domains that everybody may send to.
    fn open_in_words(&self) -> String {
        let remotes = self.remotes.iter().filter(|remote| remote.allow_relay);
        let open: Vec<String> = std::iter::once(self.default_domain.name.to_string())
            .chain(self.aliases.iter().map(ToString::to_string))
            .chain(remotes.map(|remote| remote.pattern.to_string()))
            .collect();
        format!("takes mail from everybody for {}", list(&open))
    }

    fn relay_in_words(&self) -> Vec<String> {
        let relay = &self.access.relay;
        let mut lines = match &relay.list {
            _ if relay.open => {
                vec!["RELAYS TO OTHER DOMAINS FOR EVERYBODY: this is an open relay, and said to be wanted".to_owned()]
            }
            AccessList::Only(entries) if entries.is_empty() => {
                vec!["relays to other domains for nobody: list those who may in access.relay".to_owned()]
            }
            AccessList::Only(entries) => vec![
                format!("relays to other domains for {}", list(entries)),
                "refuses to relay for everybody else".to_owned(),
            ],
            AccessList::AllExcept(entries) if entries.is_empty() => {
                vec!["relays to other domains for everybody who may connect".to_owned()]
            }
            AccessList::AllExcept(entries) => {
                vec![format!("relays to other domains for everybody who may connect except {}", list(entries))]
            }
        };
        let methods = &self.access.authentication.methods;
        if relay.authenticated && !methods.is_empty() {
            lines.push(format!("relays for whoever authenticates, by {}", list(methods)));
        }
        lines
    }

    /// Who may connect, where that is not everybody.
    fn connection_in_words(&self) -> Option<String> {
        match &self.access.connection {
            AccessList::AllExcept(entries) if entries.is_empty() => None,
            AccessList::AllExcept(entries) => Some(format!("turns {} away", list(entries))),
            AccessList::Only(entries) if entries.is_empty() => Some("turns everybody away".to_owned()),
            AccessList::Only(entries) => Some(format!("lets nobody in but {}", list(entries))),
        }
    }

    fn default_in_words(&self) -> String {
        match &self.default_domain.route {
            None => "the Drop folder".to_owned(),
            Some(to) => {
                let own = own(Some(to), self.default_domain.terms.as_deref());
                format!("{}{own}", route_in_words(to, Some(&self.default_domain.name)))
            }
        }
    }

    fn remote_in_words(&self, remote: &RemoteDomain) -> String {
        let helo = if remote.helo_only { ", greeted with HELO" } else { "" };
        let own = format!("{helo}{}", own(remote.route.as_ref(), remote.terms.as_deref()));
        let to = match &remote.route {
            Some(to) => format!("{}{own}", route_in_words(to, None)),
            None => self.others_in_words(&own),
        };
        format!("mail for {} goes to {to}", remote.pattern)
    }

    /// Where mail goes that no domain's route takes; `own` is what is special about the way there.
    fn others_in_words(&self, own: &str) -> String {
        let mx = "the hosts that DNS names for its domain (MX)";
        let smart_host = match &self.delivery.smart_host {
            Through::Dns => return format!("{mx}{own}"),
            Through::Hosts(hosts) => format!("the smart host {}", in_order(hosts)),
            Through::SmartHost(host) => host.to_string(),
        };
        match self.delivery.smart_host_use {
            SmartHostUse::Always => format!("{smart_host}{own}"),
            SmartHostUse::AfterDirect => format!("{mx}{own}; what does not get through, to {smart_host}"),
        }
    }

    /// The smart hosts that it uses, each once.
    fn smart_hosts(&self) -> Vec<&SmartHost> {
        let routes = self.remotes.iter().filter_map(|remote| remote.route.as_ref()).chain(&self.default_domain.route);
        let named = routes.filter_map(|route| match route {
            RouteTo::SmartHost(host) => Some(&**host),
            _ => None,
        });
        let default = match &self.delivery.smart_host {
            Through::SmartHost(host) => Some(&**host),
            _ => None,
        };
        let mut hosts: Vec<&SmartHost> = Vec::new();
        for host in default.into_iter().chain(named) {
            if !hosts.iter().any(|other| other.name == host.name) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// What is allowed and yet likely to be regretted.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.delivery.fqdn.as_str().contains('.') {
            notes.push(format!(
                "note: many servers refuse mail from a host that calls itself {:?}; set delivery.fqdn to its full name in DNS",
                self.delivery.fqdn.as_str()
            ));
        }
        if self.general.listen.is_empty() {
            notes.push("note: it listens nowhere; only Pickup brings mail".to_owned());
        } else if self.general.addresses().all(|address| address.ip().to_canonical().is_loopback()) {
            notes.push("note: it can be reached from this machine only".to_owned());
        }
        notes.extend(self.access_notes());
        let own = self.remotes.iter().filter_map(|remote| remote.terms.as_deref());
        let terms = self.smart_hosts().into_iter().map(|host| &*host.terms).chain(own);
        notes.extend(terms.filter(|terms| shows_password(terms)).take(ITEMS_SHOWN).map(|terms| {
            format!(
                "note: whoever answers in the place of {} is shown the password; write tls = \"verified\" if it has a certificate",
                terms.owner
            )
        }));
        notes
    }

    /// Settings that will have no effect as they stand.
    fn access_notes(&self) -> Vec<String> {
        let access = &self.access;
        let mut notes = Vec::new();
        let wants_tls = |listener: &&Listener| listener.tls != ListenerTls::Plain;
        if access.certificates.is_empty()
            && let Some(listener) = self.general.listen.iter().find(wants_tls)
        {
            notes.push(format!(
                "note: the listener {} asks for TLS, and there is no certificate: it will not be opened; write access.certificate",
                listener.address
            ));
        }
        let methods = &access.authentication.methods;
        let without_tls = self.general.listen.iter().all(|listener| listener.tls == ListenerTls::Plain);
        let needs_tls = methods.iter().any(|method| method.is_clear_text());
        if needs_tls && without_tls && access.authentication.clear_text_from.is_empty() {
            notes.push(
                "note: passwords and tokens are not taken without TLS, and no listener has it; write access.certificate".to_owned(),
            );
        }
        notes
    }
}

impl Config {
    /// What stands in the file and has no effect, or another one than it seems.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let users = |host: &SmartHost| {
            let uses = |server: &VirtualServer| server.smart_hosts().iter().any(|used| used.name == host.name);
            self.servers.iter().filter(|server| uses(server)).count()
        };
        let about = |host: &Arc<SmartHost>| match users(host) {
            0 => Some(format!("note: no mail goes to the smart host {}", host.name)),
            servers @ 2.. if host.terms.pacing.is_counted() => Some(format!(
                "note: {servers} virtual servers send through the smart host {}, each up to its limits; write each one's share",
                host.name
            )),
            _ => None,
        };
        self.smart_hosts.iter().filter_map(about).collect()
    }
}

/// A password in PLAIN or LOGIN goes under TLS to whoever is there, proved or not.
fn shows_password(terms: &Terms) -> bool {
    let by_password = matches!(&terms.auth, Some(ClientAuth::Password { method, .. }) if method.shows_password());
    terms.tls == TlsPolicy::Required && by_password
}

/// What is special about a domain's own terms. A socket on this machine needs no TLS, and nobody needs to be told.
fn own(route: Option<&RouteTo>, terms: Option<&Terms>) -> String {
    match (route, terms) {
        (Some(RouteTo::LmtpUnix(_)), Some(terms)) => after(&Terms { tls: TlsPolicy::Opportunistic, ..terms.clone() }),
        (_, terms) => terms.map(after).unwrap_or_default(),
    }
}

/// What is special about terms, to stand behind where the mail goes.
fn after(terms: &Terms) -> String {
    let words = terms.in_words();
    if words.is_empty() { words } else { format!(", {words}") }
}

/// What is special about a smart host.
fn special(host: &SmartHost) -> String {
    let words = host.terms.in_words();
    let helo = host.helo_only.then_some("greeted with HELO");
    let plain = (words.is_empty() && helo.is_none()).then_some("as any other host");
    let parts: Vec<&str> =
        helo.into_iter().chain(Some(&*words).filter(|words| !words.is_empty())).chain(plain).collect();
    parts.join(", ")
}

fn in_order(hosts: &[HostPort]) -> String {
    hosts.iter().map(HostPort::to_string).collect::<Vec<_>>().join(", else ")
}

impl Display for SmartHost {
    /// Its name and its hosts.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the smart host {} ({})", self.name, in_order(&self.hosts))
    }
}

impl Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)?;
        let authenticated = if self.authentication_required { ", for whoever authenticates" } else { "" };
        match self.tls {
            ListenerTls::Plain if !self.authentication_required => Ok(()),
            ListenerTls::Plain => f.write_str(" (for whoever authenticates)"),
            ListenerTls::StartTls => write!(f, " (STARTTLS{authenticated})"),
            ListenerTls::StartTlsRequired => write!(f, " (STARTTLS required{authenticated})"),
            ListenerTls::Implicit => write!(f, " (TLS{authenticated})"),
        }
    }
}

fn route_in_words(to: &RouteTo, domain: Option<&Domain>) -> String {
    match (to, domain) {
        (RouteTo::Mx, Some(domain)) => format!("the hosts that DNS names for {domain} (MX)"),
        (RouteTo::Mx, None) => "the hosts that DNS names for its domain (MX)".to_owned(),
        (RouteTo::Smtp(hosts), _) => in_order(hosts),
        (RouteTo::Lmtp(hosts), _) => format!("{} over LMTP", in_order(hosts)),
        (RouteTo::SmartHost(host), _) => host.to_string(),
        (RouteTo::LmtpUnix(path), _) => format!("the LMTP socket {}", path.display()),
    }
}

fn list(items: &[impl Display]) -> String {
    if items.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<String> = items.iter().take(ITEMS_SHOWN).map(ToString::to_string).collect();
    let rest = items.len() - shown.len();
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}
