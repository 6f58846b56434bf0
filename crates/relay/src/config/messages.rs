//! The Messages tab: sizes, numbers, copies of reports, Badmail, help for sloppy senders.

use super::domains::{ascii_mailbox, mailbox};
use super::quantity::{KB, MB, TB};
use super::read::{Reader, Table, tidy};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use super::{AddFrom, Messages};
use smtp::address::Mailbox;
use std::path::Path;

/// `messages.size_max`
pub static SIZE_MAX: Setting = Setting {
    name: "messages.size_max",
    tab: Tab::Messages,
    label: "Limit message size to",
    unit: Unit::Size,
    default: Preset::Number(2 * MB),
    range: Range::BetweenOrUnlimited(KB, TB),
    help: "Told to clients as SIZE; a larger message is refused with 552 at MAIL, or when it has become too large.",
};

/// `messages.session_size_max`
pub static SESSION_SIZE_MAX: Setting = Setting {
    name: "messages.session_size_max",
    tab: Tab::Messages,
    label: "Limit session size to",
    unit: Unit::Size,
    default: Preset::Follows("`\"10 MB\"`, or `messages.size_max` if that is more"),
    range: Range::BetweenOrUnlimited(KB, TB),
    help: "All messages of one inbound connection together; the session ends when it is reached, and the client brings the rest over a new \
one. Not less than `messages.size_max`.",
};

/// What `session_size_max` is when it is not written, octets.
const SESSION_SIZE: u64 = 10 * MB;

/// `messages.messages_per_connection`
pub static MESSAGES_PER_CONNECTION: Setting = Setting {
    name: "messages.messages_per_connection",
    tab: Tab::Messages,
    label: "Limit number of messages per connection to",
    unit: Unit::Count,
    default: Preset::Number(20),
    range: Range::BetweenOrUnlimited(1, 2_000_000_000),
    help: "Messages sent over one outbound connection before a new one is opened. Inbound connections are not concerned.",
};

/// `messages.recipients_max`
pub static RECIPIENTS_MAX: Setting = Setting {
    name: "messages.recipients_max",
    tab: Tab::Messages,
    label: "Limit number of recipients per message to",
    unit: Unit::Count,
    default: Preset::Number(100),
    range: Range::Between(1, 100_000),
    help: "Further recipients get 452 4.5.3; the client sends them in another transaction. RFC 5321 asks for at least 100.",
};

/// `messages.ndr_copy_to`
pub static NDR_COPY_TO: Setting = Setting {
    name: "messages.ndr_copy_to",
    tab: Tab::Messages,
    label: "Send copy of Non-Delivery Report to",
    unit: Unit::Mailbox,
    default: Preset::Follows("nobody"),
    range: Range::Any,
    help: "Gets a copy of each non-delivery report.",
};

/// `messages.badmail`
pub static BADMAIL: Setting = Setting {
    name: "messages.badmail",
    tab: Tab::Messages,
    label: "Badmail directory",
    unit: Unit::Folder,
    default: Preset::Follows("`Badmail` in the home folder"),
    range: Range::Any,
    help: "What can neither be delivered nor returned is put here, with the reason beside it.",
};

/// `messages.add_from`
pub static ADD_FROM: Setting = Setting {
    name: "messages.add_from",
    tab: Tab::Messages,
    label: "Add a missing From",
    unit: Unit::Choice,
    default: Preset::Text("\"none\""),
    range: Range::OneOf(&["none", "envelope"]),
    help: "`\"envelope\"`: a message without `From` is sent on with its envelope sender there. This and the other helps for sloppy \
senders change mail on its way to the next host, never reports, and nothing but the field that they name.",
};

/// `messages.default_from`
pub static DEFAULT_FROM: Setting = Setting {
    name: "messages.default_from",
    tab: Tab::Messages,
    label: "Add a missing From: always this one",
    unit: Unit::Mailbox,
    default: Preset::Follows("none"),
    range: Range::Any,
    help: "A message without `From` is sent on with this address there, instead of its envelope sender.",
};

/// `messages.add_date`
pub static ADD_DATE: Setting = Setting {
    name: "messages.add_date",
    tab: Tab::Messages,
    label: "Add a missing Date",
    unit: Unit::Switch,
    default: Preset::Switch(false),
    range: Range::Any,
    help: "A message without `Date` is sent on with the time at which it arrived.",
};

/// `messages.add_message_id`
pub static ADD_MESSAGE_ID: Setting = Setting {
    name: "messages.add_message_id",
    tab: Tab::Messages,
    label: "Add a missing Message-ID",
    unit: Unit::Switch,
    default: Preset::Switch(false),
    range: Range::Any,
    help: "A message without `Message-ID` is sent on with one made of its queue id and `delivery.fqdn`: the same one at each attempt.",
};

/// `messages.rewrite_from`
pub static REWRITE_FROM: Setting = Setting {
    name: "messages.rewrite_from",
    tab: Tab::Messages,
    label: "Replace From",
    unit: Unit::Mailbox,
    default: Preset::Follows("none"),
    range: Range::Any,
    help: "Messages are sent on with this address in `From`, and with the old one in `Reply-To` unless they have one. For web forms that \
write the visitor's address into `From`, which other servers refuse.",
};

pub(super) fn read(reader: &mut Reader<'_>, table: Table<'_, '_>, home: &Path) -> Messages {
    let size_max = reader.limit(table, &SIZE_MAX);
    let session_size_max = if table.has(&SESSION_SIZE_MAX) {
        let session = reader.limit(table, &SESSION_SIZE_MAX);
        // A session that cannot hold one message of the largest size would end every such message with 421, for ever.
        if session.is_some_and(|session| size_max.is_none_or(|size| session < size)) {
            let related = table.place_of(&SIZE_MAX).map(|span| (span, "what one message may have"));
            reader.problems.clash(
                table.span_of(&SESSION_SIZE_MAX),
                "`messages.session_size_max` is less than `messages.size_max`",
                match size_max {
                    Some(size) => format!("write {} or more", super::settings::amount(Unit::Size, size)),
                    None => "write \"unlimited\"".to_owned(),
                },
                related,
            );
        }
        session
    } else {
        size_max.map(|size| size.max(SESSION_SIZE))
    };
    Messages {
        size_max,
        session_size_max,
        messages_per_connection: reader.limit(table, &MESSAGES_PER_CONNECTION).and_then(|n| u32::try_from(n).ok()),
        recipients_max: u32::try_from(reader.number(table, &RECIPIENTS_MAX)).unwrap_or(u32::MAX),
        ndr_copy_to: reader
            .text(table, &NDR_COPY_TO)
            .and_then(|text| reader.parsed(text, &NDR_COPY_TO, mailbox))
            .map(|mailbox| mailbox.value),
        badmail: reader.folder(table, &BADMAIL).unwrap_or_else(|| tidy(&home.join("Badmail"))),
        add_from: add_from(reader, table),
        add_date: reader.switch(table, &ADD_DATE),
        add_message_id: reader.switch(table, &ADD_MESSAGE_ID),
        rewrite_from: address(reader, table, &REWRITE_FROM),
    }
}

fn add_from(reader: &mut Reader<'_>, table: Table<'_, '_>) -> AddFrom {
    let envelope = reader.choice(table, &ADD_FROM) == Some(1);
    match address(reader, table, &DEFAULT_FROM) {
        Some(_) if envelope => {
            let text = "a missing From cannot be both the envelope sender and always the same";
            let related = table.place_of(&ADD_FROM).map(|span| (span, "the envelope sender"));
            reader.problems.clash(table.span_of(&DEFAULT_FROM), text, "leave one of them", related);
            AddFrom::Nothing
        }
        Some(fixed) => AddFrom::Fixed(fixed),
        None if envelope => AddFrom::Envelope,
        None => AddFrom::Nothing,
    }
}

fn address(reader: &mut Reader<'_>, table: Table<'_, '_>, setting: &Setting) -> Option<Mailbox> {
    let text = reader.text(table, setting)?;
    reader.parsed(text, setting, ascii_mailbox).map(|mailbox| mailbox.value)
}
