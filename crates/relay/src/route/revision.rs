//! How a message's header changes on its way to a next hop: masquerade domain, the sender that a provider insists on, helps
//! for sloppy senders.
//!
//! All of it is off unless the operator asks, and a message without an envelope sender (a report, whoever's) is never
//! changed. What comes out depends on message, configuration and next hop alone, so that each attempt sends the same octets.
//!
//! IIS: Delivery tab, masquerade domain (in the envelope alone).

use super::masquerade;
use crate::config::{AddFrom, Terms, VirtualServer};
use crate::envelope::{Envelope, QueueId};
use smtp::address::{Domain, Mailbox};
use smtp::header::{Changes, Mask, Revised, revise};

/// May such a message's header change on its way? Cheap: asked for each message.
#[must_use]
pub fn is_revised(server: &VirtualServer, envelope: &Envelope, terms: &Terms) -> bool {
    let messages = &server.messages;
    let asked = terms.sender.is_some()
        || messages.rewrite_from.is_some()
        || messages.add_from != AddFrom::Nothing
        || messages.add_date
        || messages.add_message_id
        || server.delivery.masquerade_from;
    asked && !envelope.sender.is_null()
}

/// The header as it goes out; `octets` are the message (`is_whole`) or its head. `None`: it goes out as it is.
#[must_use]
pub fn revised(
    server: &VirtualServer,
    (id, envelope): (QueueId, &Envelope),
    terms: &Terms,
    (octets, is_whole): (&[u8], bool),
) -> Option<Revised> {
    if !is_revised(server, envelope, terms) {
        return None;
    }
    let (messages, delivery) = (&server.messages, &server.delivery);
    let hides = |domain: &Domain| server.place(domain).is_local();
    let shows = delivery.masquerade_domain.as_ref().filter(|_| delivery.masquerade_from);
    // As the next hop sees it in MAIL.
    let sender = masquerade(server, &envelope.sender, terms);
    let add_from: Option<&Mailbox> = match &messages.add_from {
        AddFrom::Nothing => None,
        AddFrom::Envelope => sender.mailbox(),
        AddFrom::Fixed(mailbox) => Some(mailbox),
    };
    let message_id = messages.add_message_id.then(|| format!("{id}@{}", delivery.fqdn));
    let changes = Changes {
        replace_from: terms.sender.as_ref().or(messages.rewrite_from.as_ref()),
        mask_from: shows.map(|shows| Mask { hides: &hides, shows }),
        add_from,
        add_date: messages.add_date.then_some(envelope.arrived),
        add_message_id: message_id.as_deref(),
    };
    revise(octets, is_whole, &changes)
}
