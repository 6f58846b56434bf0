//! May this client connect, authenticate, send, relay? The only place that judges a client.
//!
//! It is asked at each stage with what is known by then ([`Client`]), and answers with a [`Verdict`]: yes, or the reply that
//! refuses, with its enhanced code and words that say what to do; and which setting decided. Real sessions and `mailroot
//! explain` ask the same functions. Nobody is believed for what he says: neither HELO nor the sender's address opens
//! anything, only the client's own address, its confirmed name, a proof of identity, and the recipient's domain do.
//!
//! Does not look at mailboxes (any local part of a local domain is taken, so that nobody can harvest addresses), does not know
//! where mail goes ([`crate::route`]), and does not count ([`crate::rate`]).
//!
//! RFC 5321 §7.1, RFC 3463 §3.8, RFC 4954 §6; IIS: Access tab.

mod client;
mod method;
mod trust;
mod verdict;

pub use crate::account::Identity;
pub use crate::reason::{Reason, Value};
pub use client::{CertificateIdentity, Client, PeerName, TlsIdentity};
pub use method::{Means, Offered, auth, offered};
pub use verdict::Verdict;

use crate::config::{AccessList, CONNECTIONS_CEILING, ListenerTls, VirtualServer};
use crate::domain::Place;
use smtp::address::{Host, Mailbox, ReversePath};
use smtp::reply::Reply;
use smtp::server::replies;

/// May one more connection be served beside the `connections` that are open? 421 4.3.2: too many.
#[must_use]
pub fn room(server: &VirtualServer, connections: usize) -> Verdict<'_> {
    let most = server.general.connections_max.unwrap_or(CONNECTIONS_CEILING);
    let because = |words| Reason::setting(server, "general.connections_max", Value::Number(most.into()), words);
    if u32::try_from(connections).is_ok_and(|open| open < most) {
        return Verdict::yes(because("there is room for one more connection"));
    }
    let reply = Reply::new(421, 3, 2, "Too many connections are open; try again later");
    Verdict::no(reply, because("so many connections are open already"))
}

/// Must a client's name be asked for in DNS before it is judged? Only where a list has the name of a domain.
#[must_use]
pub fn needs_name(server: &VirtualServer) -> bool {
    server.access.connection.needs_name() || server.access.relay.list.needs_name()
}

/// May this client connect? 554 5.7.1: it may not; 421 4.7.1: it depends on its name, and the DNS did not answer.
#[must_use]
pub fn connect<'a>(server: &'a VirtualServer, client: &Client<'_>) -> Verdict<'a> {
    let list = &server.access.connection;
    let found = trust::find(list, client);
    let unknown = trust::is_unknown(list, client);
    let (setting, is_in) = match list {
        AccessList::Only(_) => ("access.connection.only", found.is_some()),
        AccessList::AllExcept(_) => ("access.connection.all_except", found.is_none() && !unknown),
    };
    let because = match found {
        Some((index, entry)) => {
            let words = if is_in {
                "the client is on the list of those who may connect"
            } else {
                "the client is on the list of those who may not connect"
            };
            Reason::setting(server, setting, Value::Entry(entry), words).item(index)
        }
        None => {
            let words = match (list.entries().is_empty(), is_in) {
                _ if unknown => "the list has a domain, and the client's name is not known",
                (true, true) => "everybody may connect",
                (false, true) => "all may connect but those on the list, and the client is not on it",
                (_, false) => "the client is not on the list of those who may connect",
            };
            Reason::setting(server, setting, Value::List(list), words)
        }
    };
    if is_in {
        return Verdict::yes(because);
    }
    if unknown {
        let text = "The DNS did not answer; try again later";
        return Verdict::no(Reply::new(421, 7, 1, text), because);
    }
    let address = client.address.to_canonical();
    Verdict::no(Reply::new(554, 7, 1, format!("Connections from {address} are not taken here")), because)
}

/// May this client relay to any domain?
#[must_use]
pub fn may_relay(server: &VirtualServer, client: &Client<'_>) -> bool {
    trust::relay(server, client).is_ok()
}

/// Is this client one whom the relay list names, authenticated or not? Such a one is not counted among strangers.
#[must_use]
pub fn is_listed(server: &VirtualServer, client: &Client<'_>) -> bool {
    may_relay(server, &Client { identity: None, ..*client })
}

/// May this client go on as it is, with or without TLS? 530 5.7.0: not without on this listener. 502 5.5.1: there is none.
#[must_use]
pub fn secure<'a>(server: &'a VirtualServer, client: &Client<'_>) -> Verdict<'a> {
    let tls = client.listener.tls;
    let because = |words| by_listener(server, client, "general.listen.tls", Value::Word(word(tls)), words);
    match (client.tls, tls) {
        (Some(_), ListenerTls::Plain) => Verdict::no(replies::not_offered(), because("this listener has no TLS")),
        (Some(_), _) => Verdict::yes(because("the connection is encrypted")),
        (None, ListenerTls::Plain) => Verdict::yes(because("this listener has no TLS")),
        (None, ListenerTls::StartTls) => Verdict::yes(because("TLS is offered here and not asked for")),
        (None, ListenerTls::StartTlsRequired | ListenerTls::Implicit) => {
            Verdict::no(replies::tls_first(), because("nothing is taken here without TLS"))
        }
    }
}

/// Because of the listener at which the client came in.
fn by_listener<'a>(
    server: &'a VirtualServer,
    client: &Client<'_>,
    setting: &'static str,
    value: Value<'a>,
    words: &'static str,
) -> Reason<'a> {
    let at = server.general.listen.iter().position(|listener| *listener == client.listener);
    Reason::setting(server, setting, value, words).listener(at.unwrap_or_default())
}

fn word(tls: ListenerTls) -> &'static str {
    match tls {
        ListenerTls::Plain => "plain",
        ListenerTls::StartTls => "starttls",
        ListenerTls::StartTlsRequired => "starttls_required",
        ListenerTls::Implicit => "implicit",
    }
}

/// Must this client authenticate before it may send? 530 5.7.0, if it has not.
#[must_use]
pub fn identified<'a>(server: &'a VirtualServer, client: &Client<'_>) -> Verdict<'a> {
    let anonymous = server.access.authentication.anonymous;
    let by_setting =
        |words| Reason::setting(server, "access.authentication.anonymous", Value::Switch(anonymous), words);
    let because = |words| {
        if client.listener.authentication_required {
            let setting = "general.listen.authentication_required";
            by_listener(server, client, setting, Value::Switch(true), words)
        } else {
            by_setting(words)
        }
    };
    if client.identity.is_some() {
        return Verdict::yes(because("the client has authenticated"));
    }
    if anonymous && !client.listener.authentication_required {
        return Verdict::yes(by_setting("nobody needs to authenticate to send to us"));
    }
    Verdict::no(replies::auth_first(), because("nobody may send here without having authenticated"))
}

/// May this client name this sender? The name gives no rights; but an account may be bound to its own names, and a name
/// must not be a way to have reports carried on.
///
/// 530 5.7.0: not without TLS, or not without authentication. 553 5.7.1: the account may not use it. 553 5.1.7: a
/// stranger's local sender address hides another one.
#[must_use]
pub fn sender<'a>(server: &'a VirtualServer, client: &Client<'a>, sender: &ReversePath) -> Verdict<'a> {
    for verdict in [secure(server, client), identified(server, client)] {
        if !verdict.is_yes() {
            return verdict;
        }
    }
    let Some(mailbox) = sender.mailbox() else {
        return Verdict::yes(Reason::fixed(server, "reports have no sender, and everybody may send them"));
    };
    if let Some(identity) = client.identity.filter(|identity| !identity.may_send_as.is_empty()) {
        let because = |words| Reason::setting(server, "may_send_as", Value::Senders(&identity.may_send_as), words);
        if !identity.may_send_as(mailbox) {
            let text = format!("{mailbox} is not a sender that {} may use", identity.account);
            return Verdict::no(Reply::new(553, 7, 1, text), because("the account may not use this sender"));
        }
        return Verdict::yes(because("the account may use this sender"));
    }
    let is_local = mailbox.host().domain().is_some_and(|domain| server.place(domain).is_local());
    if is_local && hides_route(mailbox.local()) && !may_relay(server, client) {
        let text = format!("The sender {mailbox} hides another address before the @; use a plain one");
        let words = "a local sender hides another address before the @";
        return Verdict::no(Reply::new(553, 1, 7, text), Reason::fixed(server, words));
    }
    Verdict::yes(identified(server, client).because)
}

/// May this client send to this mailbox?
///
/// 550 5.7.1: it may not relay. 450 4.7.1: it depends on its name, and the DNS did not answer. 553 5.1.3: the local part
/// holds another address, which the next host might act upon. 550 5.1.2: nobody may send there.
#[must_use]
pub fn recipient<'a>(server: &'a VirtualServer, client: &Client<'_>, mailbox: &Mailbox) -> Verdict<'a> {
    let trusted = trust::relay(server, client);
    let place = match mailbox.host() {
        Host::Literal(_) => Place::Foreign,
        Host::Name(domain) => server.place(domain),
    };
    if let (true, Host::Literal(ip)) = (trusted.is_ok(), mailbox.host())
        && let Some(fault) = server.literal_fault(*ip)
    {
        let text = format!("Unable to send to {mailbox}: {fault}; write a domain after the @");
        return Verdict::no(Reply::new(550, 1, 2, text), Reason::fixed(server, fault.to_string()));
    }
    let local = "everybody may send to a local domain";
    let because = |setting, value, words| Reason::setting(server, setting, Value::Word(value), words);
    let open = match place {
        Place::Default => {
            let name = &server.default_domain.name;
            Some(because("domain.kind", "default", local).domain(name, false, "kind"))
        }
        Place::Alias(alias) => Some(because("domain.kind", "alias", local).domain(&alias.name, alias.below, "kind")),
        Place::Remote(remote) if remote.allow_relay => {
            let words = "everybody may send to this remote domain";
            let pattern = &remote.pattern;
            Some(because("domain.allow_relay", "true", words).domain(&pattern.name, pattern.below, "allow_relay"))
        }
        Place::Remote(_) | Place::Foreign => None,
    };
    let hides = hides_route(mailbox.local());
    match (trusted, open) {
        (_, Some(because)) if !hides => Verdict::yes(because),
        (Ok(because), _) => Verdict::yes(because),
        (Err(_), Some(_)) => {
            let text = format!("{mailbox} hides another address before the @; write to that one itself");
            let words = "the address hides another one before the @, which the next host might act upon";
            Verdict::no(Reply::new(553, 1, 3, text), Reason::fixed(server, words))
        }
        (Err(because), None) => Verdict::no(no_relay(server, client, mailbox), because),
    }
}

fn no_relay(server: &VirtualServer, client: &Client<'_>, mailbox: &Mailbox) -> Reply {
    if trust::is_unknown(&server.access.relay.list, client) {
        let text = format!("Unable to relay for {mailbox} now: the DNS did not answer; try again later");
        return Reply::new(450, 7, 1, text);
    }
    let text = format!(
        "Unable to relay for {mailbox}: {} is not allowed to send to other domains here; ask the administrator",
        client.address.to_canonical()
    );
    Reply::new(550, 7, 1, text)
}

/// Signs by which hosts of former days went on routing inside the local part (`%`, `!`, `@`, `:`), quoted or not, and the
/// full-width and small forms that Unicode normalisation would turn into them.
const ROUTING_SIGNS: [char; 13] = [
    '%', '!', '@', ':', '\u{FF05}', '\u{FF01}', '\u{FF20}', '\u{FF1A}', '\u{FE6A}', '\u{FE57}', '\u{FE6B}', '\u{FE55}',
    '\u{FE13}',
];

fn hides_route(local: &str) -> bool {
    local.contains(ROUTING_SIGNS)
}
