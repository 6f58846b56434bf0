//! May this peer connect, send, relay? The only place that judges a peer.
//!
//! A verdict is `Ok`, or the reply that refuses, with its enhanced code and words that say what to do. Nobody is believed
//! for what he says: neither HELO nor the sender's address opens anything, only the peer's own address, a proof of
//! identity, and the recipient's domain do. Does not look at mailboxes (any local part of a local domain is taken, so that nobody can
//! harvest addresses) and does not know where mail goes ([`crate::route`]).
//!
//! RFC 5321 §7.1, RFC 3463 §3.8; IIS: Access tab, Relay restrictions.

pub use crate::account::Identity;
use crate::config::{AccessList, CONNECTIONS_CEILING, Entry, RelayRule, VirtualServer};
use crate::domain::Place;
use smtp::address::{Host, Mailbox, ReversePath};
use smtp::reply::Reply;
use std::net::IpAddr;

/// May one more connection be served beside the `connections` that are open?
///
/// # Errors
/// 421: too many.
pub fn connect(server: &VirtualServer, connections: usize) -> Result<(), Reply> {
    let most = server.general.connections_max.unwrap_or(CONNECTIONS_CEILING);
    if u32::try_from(connections).is_ok_and(|open| open < most) {
        return Ok(());
    }
    Err(Reply::new(421, 3, 2, "Too many connections are open; try again later"))
}

/// May this peer relay to any domain?
#[must_use]
pub fn may_relay(rule: &RelayRule, peer: IpAddr, authenticated: bool) -> bool {
    let within = |entry: &Entry| matches!(entry, Entry::Network(network) if network.contains(peer));
    let listed = match &rule.list {
        AccessList::Only(entries) => entries.iter().any(within),
        AccessList::AllExcept(entries) => !entries.iter().any(within),
    };
    listed || authenticated && rule.authenticated
}

/// May this peer name this sender? The name gives no rights; it only must not be a way to have reports carried on.
///
/// # Errors
/// 553 5.1.7: a stranger's local sender address hides another one.
pub fn sender(server: &VirtualServer, peer: IpAddr, authenticated: bool, sender: &ReversePath) -> Result<(), Reply> {
    let Some(mailbox) = sender.mailbox() else { return Ok(()) };
    let is_local = mailbox.host().domain().is_some_and(|domain| server.place(domain).is_local());
    if is_local && hides_route(mailbox.local()) && !may_relay(&server.access.relay, peer, authenticated) {
        let text = format!("The sender {mailbox} hides another address before the @; use a plain one");
        return Err(Reply::new(553, 1, 7, text));
    }
    Ok(())
}

/// May this peer send to this mailbox?
///
/// # Errors
/// 550 5.7.1: it may not relay. 553 5.1.3: the local part holds another address, which the next host might
/// act upon. 550 5.1.2: nobody may send there.
pub fn recipient(server: &VirtualServer, peer: IpAddr, authenticated: bool, mailbox: &Mailbox) -> Result<(), Reply> {
    let trusted = may_relay(&server.access.relay, peer, authenticated);
    let place = match mailbox.host() {
        Host::Literal(_) => Place::Foreign,
        Host::Name(domain) => server.place(domain),
    };
    if let (true, Host::Literal(ip)) = (trusted, mailbox.host())
        && let Some(fault) = server.literal_fault(*ip)
    {
        return Err(Reply::new(550, 1, 2, format!("Unable to send to {mailbox}: {fault}; write a domain after the @")));
    }
    if trusted {
        return Ok(());
    }
    let is_open = match place {
        Place::Default | Place::Alias => true,
        Place::Remote(remote) => remote.allow_relay,
        Place::Foreign => false,
    };
    if !is_open {
        let text = format!(
            "Unable to relay for {mailbox}: {} is not allowed to send to other domains here; ask the administrator",
            peer.to_canonical()
        );
        return Err(Reply::new(550, 7, 1, text));
    }
    if hides_route(mailbox.local()) {
        let text = format!("{mailbox} hides another address before the @; write to that one itself");
        return Err(Reply::new(553, 1, 3, text));
    }
    Ok(())
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
