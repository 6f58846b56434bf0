//! `mailroot.toml` as a whole: text in, [`Config`] or all problems out.
//!
//! Nothing is read from disk and no name is looked up: whether a folder can be written or a port taken shows when the
//! server starts.

use super::places::Surveyor;
use super::problem::Problem;
use super::read::{Placed, Reader, Span, Table};
use super::settings::{self, Range as Allowed, Tab};
use super::smart_hosts::{self, SmartHosts};
use super::{Config, HostPort, Listener, Terms, VirtualServer};
use super::{access, check, console, delivery, dns, domains, general, identity, messages, queue, state};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// Octets of a configuration file.
pub const FILE_MAX: usize = 4 * 1_024 * 1_024;

/// Virtual servers of one file.
pub const SERVERS_MAX: usize = 100;

/// A virtual server that was read, and where its parts stand.
pub(super) struct Drafted {
    pub(super) server: VirtualServer,
    pub(super) name: Span,
    pub(super) home: Span,
    pub(super) listen: Vec<Placed<Listener>>,
    pub(super) drop: Option<Span>,
    pub(super) badmail: Option<Span>,
    pub(super) smart_host: Vec<Placed<HostPort>>,
    pub(super) routes: Vec<Placed<HostPort>>,
    /// Of domains, at their `auth`.
    pub(super) own_terms: Vec<Placed<Arc<Terms>>>,
}

impl Config {
    /// Reads and checks a whole file.
    ///
    /// `path` is where it lies: problems name it, and relative folders are taken from its folder, so it should be
    /// absolute. `host_name` is the machine's name, for `delivery.fqdn`.
    ///
    /// # Errors
    /// All problems, in the file's order, at most [`super::problem::PROBLEMS_MAX`] and one that tells of the rest.
    pub fn parse(text: &str, path: &str, host_name: &str) -> Result<Config, Vec<Problem>> {
        let mut reader = Reader::new(text, path);
        if text.len() > FILE_MAX {
            reader.problems.note(0..0, "the file is too large to be a configuration", "4 MB are the most");
            return Err(reader.problems.finish());
        }
        let (root, faults) = DeTable::parse_recoverable(text);
        if !faults.is_empty() {
            reader.problems.hide_secret_lines();
            for fault in faults {
                let span = fault.span().unwrap_or(0..0);
                reader.problems.note(span, fault.message(), "mend the line first; the rest is checked then");
            }
            return Err(reader.problems.finish());
        }
        reader.problems.hide_secrets(root.get_ref());
        let surveyor = Surveyor::new(text, path, root.get_ref());
        let root = Table::new(root.get_ref(), &(0..0));
        reader.refuse_unknown(root, &["dns", "state", "console", "smart_host", "virtual_server"], "the file");
        let table = reader.table(root, "dns", Tab::Dns, "dns.");
        let dns = dns::read(&mut reader, table);
        let table = reader.table(root, "state", Tab::State, "state.");
        let state = state::read(&mut reader, table);
        let table = reader.table(root, "console", Tab::Console, "console.");
        let console = console::read(&mut reader, table);
        let smart_hosts = smart_hosts::read(&mut reader, root);
        let around = Around { host_name, surveyor, smart_hosts };
        let drafts: Vec<Drafted> =
            tables(&mut reader, root).into_iter().filter_map(|table| server(&mut reader, table, &around)).collect();
        let config = Path::new(path).parent().filter(|folder| folder.is_absolute()).unwrap_or(Path::new("/"));
        check::check(&drafts, &check::Own { state: &state, config }, &mut reader.problems);
        if reader.problems.is_empty() {
            let servers = drafts.into_iter().map(|draft| Arc::new(draft.server)).collect();
            Ok(Config { dns, state, console, smart_hosts: around.smart_hosts.all(), servers })
        } else {
            Err(reader.problems.finish())
        }
    }
}

/// What all virtual servers of a file have around them.
struct Around<'a> {
    host_name: &'a str,
    surveyor: Surveyor,
    smart_hosts: SmartHosts,
}

/// The tables of `[[virtual_server]]`.
fn tables<'t, 's>(reader: &mut Reader<'s>, root: Table<'t, 's>) -> Vec<Table<'t, 's>> {
    let Some(value) = root.get("virtual_server") else {
        let hint = "write [[virtual_server]] and below it name = \"…\" and home = \"…\"";
        reader.problems.note(0..0, "there is no virtual server", hint);
        return Vec::new();
    };
    let DeValue::Array(items) = value.get_ref() else {
        reader.problems.note(
            value.span(),
            "the virtual servers are a list",
            "write [[virtual_server]], in two brackets",
        );
        return Vec::new();
    };
    if items.is_empty() || items.len() > SERVERS_MAX {
        let text = format!("there are {} virtual servers", items.len());
        reader.problems.note(value.span(), text, format!("write 1 to {SERVERS_MAX}"));
        return Vec::new();
    }
    let mut tables = Vec::new();
    for item in items {
        match item.get_ref() {
            DeValue::Table(table) => tables.push(Table::new(table, &item.span())),
            _ => reader.problems.note(item.span(), "a virtual server must be a table", "write [[virtual_server]]"),
        }
    }
    tables
}

/// One virtual server; nothing if it has no name, no home or no fqdn, which are problems noted already.
fn server<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>, around: &Around<'_>) -> Option<Drafted> {
    reader.refuse_unknown(table, &settings::keys(Tab::Server, ""), Tab::Server.table());
    let name = name(reader, table);
    let home = reader.folder(table, &identity::HOME);
    let folder = home.clone().unwrap_or_default();
    let tab = |reader: &mut Reader<'s>, key, tab, prefix| reader.table(table, key, tab, prefix);

    let access = tab(reader, "access", Tab::Access, "access.");
    let access = access::read(reader, access);
    let general = tab(reader, "general", Tab::General, "general.");
    let (general, listen) = general::read(reader, general, !access.certificates.is_empty());
    refuse_unreachable(reader, &listen, access.authentication.methods.is_empty());
    let messages_table = tab(reader, "messages", Tab::Messages, "messages.");
    let messages = messages::read(reader, messages_table, &folder);
    let delivery = tab(reader, "delivery", Tab::Delivery, "delivery.");
    let delivery = delivery::read(reader, delivery, around.host_name, &around.smart_hosts);
    let queue = tab(reader, "queue", Tab::Queue, "queue.");
    let queue = queue::read(reader, queue);

    let (delivery, smart_host) = delivery?;
    let beside = domains::Around {
        home: &folder,
        delivery: &delivery,
        size_max: messages.size_max,
        smart_hosts: &around.smart_hosts,
    };
    let domains = domains::read(reader, table, &beside);
    let (name, home) = (name?, home?);
    Some(Drafted {
        name: table.span_of(&identity::NAME),
        home: table.span_of(&identity::HOME),
        listen,
        drop: domains.drop,
        badmail: messages_table.place_of(&messages::BADMAIL),
        smart_host,
        routes: domains.routes,
        own_terms: domains.own_terms,
        server: VirtualServer {
            name,
            home,
            general,
            access,
            messages,
            delivery,
            queue,
            default_domain: domains.default_domain,
            aliases: domains.aliases,
            remotes: domains.remotes,
            places: table.entries().map(|entries| around.surveyor.survey(entries)).unwrap_or_default(),
        },
    })
}

/// Notes listeners at which nobody could ever send.
fn refuse_unreachable(reader: &mut Reader<'_>, listen: &[Placed<Listener>], has_no_method: bool) {
    for listener in listen.iter().filter(|listener| has_no_method && listener.value.authentication_required) {
        let text = "nobody could send here: authentication is asked for, and there is no method";
        let hint = "write access.authentication.methods = [\"PLAIN\", \"SCRAM-SHA-256\"] or others";
        reader.problems.note(listener.span.clone(), text, hint);
    }
}

fn name(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Option<Box<str>> {
    let text = reader.text(table, &identity::NAME)?;
    let Allowed::Between(_, most) = identity::NAME.range else { return None };
    if text.value.chars().count() as u64 > most {
        reader.problems.note(text.span, "the name is too long", format!("write at most {most} characters"));
        return None;
    }
    Some(text.value.into())
}

/// The four folders of a virtual server, by the words of the manual.
pub(super) fn folders(draft: &Drafted) -> [(&'static str, PathBuf, Span); 4] {
    let home = &draft.server.home;
    [
        ("Pickup", home.join("Pickup"), draft.home.clone()),
        ("Queue", home.join("Queue"), draft.home.clone()),
        ("Drop", draft.server.default_domain.drop.clone(), draft.drop.clone().unwrap_or(draft.home.clone())),
        ("Badmail", draft.server.messages.badmail.clone(), draft.badmail.clone().unwrap_or(draft.home.clone())),
    ]
}
