//! What the settings mean to each other: names, folders, listeners and loops, within a virtual server and between them.
//!
//! Each rule names the place that must change and shows the other one that it clashes with.

use super::parse::{Drafted, folders};
use super::problem::Problems;
use super::read::Span;
use super::terms::Owner;
use super::{ClientAuth, HostPort, Terms};
use smtp::address::Host;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Folders that belong to no virtual server.
pub(super) struct Own<'a> {
    /// The service's own.
    pub(super) state: &'a Path,
    /// That of the configuration file.
    pub(super) config: &'a Path,
}

pub(super) fn check(drafts: &[Drafted], own: &Own<'_>, problems: &mut Problems<'_>) {
    names(drafts, problems);
    homes(drafts, problems);
    for (i, draft) in drafts.iter().enumerate() {
        own_folders(draft, problems);
        service_folders(draft, own, problems);
        for earlier in &drafts[..i] {
            foreign_folders(draft, earlier, problems);
        }
    }
    listeners(drafts, problems);
    loops(drafts, problems);
    tokens(drafts, problems);
}

/// Tokens are kept by owner: two domains of one name cannot have them from different places.
fn tokens(drafts: &[Drafted], problems: &mut Problems<'_>) {
    let mut seen: HashMap<&Owner, (&Terms, &Span)> = HashMap::new();
    for (terms, span) in drafts.iter().flat_map(|draft| &draft.own_terms).map(|terms| (&*terms.value, &terms.span)) {
        if !matches!(terms.auth, Some(ClientAuth::OAuth(_))) {
            continue;
        }
        match seen.get(&terms.owner) {
            Some((first, place)) if first.auth != terms.auth => problems.clash(
                span.clone(),
                format!("{} has tokens of its own in another virtual server already", terms.owner),
                "write a [[smart_host]] for one of them, and its name as the route",
                Some(((*place).clone(), "the other ones")),
            ),
            Some(_) => {}
            None => {
                seen.insert(&terms.owner, (terms, span));
            }
        }
    }
}

/// Logs, pages and commands tell virtual servers apart by name.
fn names(drafts: &[Drafted], problems: &mut Problems<'_>) {
    let mut seen: HashMap<String, &Span> = HashMap::new();
    for draft in drafts {
        let name = draft.server.name.trim().to_lowercase();
        match seen.get(&name) {
            Some(first) => problems.clash(
                draft.name.clone(),
                format!("two virtual servers have the name {:?}", draft.server.name),
                "give each its own name",
                Some(((*first).clone(), "the first one")),
            ),
            None => {
                seen.insert(name, &draft.name);
            }
        }
    }
}

/// Two queues in one folder would eat each other's messages.
fn homes(drafts: &[Drafted], problems: &mut Problems<'_>) {
    for (i, draft) in drafts.iter().enumerate() {
        for earlier in &drafts[..i] {
            let (home, other) = (&draft.server.home, &earlier.server.home);
            let text = if home == other {
                "two virtual servers share one home"
            } else if touch(home, other) {
                "the home of one virtual server lies within another's"
            } else {
                continue;
            };
            let related = Some((earlier.home.clone(), "the other home"));
            problems.clash(draft.home.clone(), text, "give each virtual server a folder of its own", related);
        }
    }
}

/// Drop and Badmail may lie anywhere, but not in or around a folder that is read as something else.
fn own_folders(draft: &Drafted, problems: &mut Problems<'_>) {
    let folders = folders(draft);
    for (i, (role, path, span)) in folders.iter().enumerate() {
        for (other_role, other, _) in folders[..i].iter().filter(|(_, other, _)| touch(path, other)) {
            let text = if path == other {
                format!("{role} and {other_role} are the same folder, {}", path.display())
            } else {
                format!("{role} ({}) and {other_role} ({}) lie within each other", path.display(), other.display())
            };
            problems.note(span.clone(), text, format!("give {role} a folder of its own"));
        }
    }
}

/// What is in a folder of a virtual server, its operators read: the service's own files must not be there. Beside them it may lie.
fn service_folders(draft: &Drafted, own: &Own<'_>, problems: &mut Problems<'_>) {
    let home = [("home", draft.server.home.clone(), draft.home.clone())];
    for (role, path, span) in folders(draft).into_iter().chain(home) {
        // A home that is told already has all its folders there.
        if role != "home" && path.starts_with(&draft.server.home) && draft.server.home.starts_with(own.state) {
            continue;
        }
        let text = if path.starts_with(own.state) || (role != "home" && own.state.starts_with(&path)) {
            format!("{role} ({}) meets the folder of the service's own files ({})", path.display(), own.state.display())
        } else if role != "home" && own.config.starts_with(&path) {
            format!("{role} ({}) has the configuration file in it", path.display())
        } else {
            continue;
        };
        let hint = format!("give {role} a folder of its own, outside of the service's");
        problems.note(span, text, hint);
    }
}

/// Of two virtual servers only Drop → Pickup may meet: what one drops, the other picks up.
fn foreign_folders(draft: &Drafted, earlier: &Drafted, problems: &mut Problems<'_>) {
    if touch(&draft.server.home, &earlier.server.home) {
        // Told already; every folder would be told again.
        return;
    }
    for (role, path, span) in &folders(draft) {
        for (other_role, other, other_span) in &folders(earlier) {
            let chained = path == other && matches!((*role, *other_role), ("Drop", "Pickup") | ("Pickup", "Drop"));
            if touch(path, other) && !chained {
                problems.clash(
                    span.clone(),
                    format!("{role} of {:?} meets {other_role} of {:?}", draft.server.name, earlier.server.name),
                    "give each its own folder",
                    Some((other_span.clone(), "the other virtual server's")),
                );
            }
        }
    }
}

fn touch(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn listeners(drafts: &[Drafted], problems: &mut Problems<'_>) {
    let mut earlier: HashMap<u16, Vec<(SocketAddr, &Span, usize)>> = HashMap::new();
    for (i, draft) in drafts.iter().enumerate() {
        for listen in &draft.listen {
            let here = earlier.entry(listen.value.address.port()).or_default();
            if let Some((other, span, of)) = here.iter().find(|(other, ..)| overlap(listen.value.address, *other)) {
                let whose = if *of == i { String::new() } else { format!(" of {:?}", drafts[*of].server.name) };
                problems.clash(
                    listen.span.clone(),
                    format!("the listener {} overlaps {other}{whose}", listen.value.address),
                    "give it another address or another port",
                    Some(((*span).clone(), "the other listener")),
                );
            }
            here.push((listen.value.address, &listen.span, i));
        }
    }
}

/// Would the second of them not be able to bind, or take the first one's connections? IPv6 listeners take IPv6 only.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let (x, y) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() == b.port()
        && a.port() != 0
        && x.is_ipv4() == y.is_ipv4()
        && (x == y || x.is_unspecified() || y.is_unspecified())
}

/// Refuses a route that leads to the listener of the same virtual server, and smart hosts that lead from one to the
/// next and back: each message would go round until its hops are used up.
fn loops(drafts: &[Drafted], problems: &mut Problems<'_>) {
    for (i, draft) in drafts.iter().enumerate() {
        for route in &draft.routes {
            let host = &route.value;
            if listens(draft, host) {
                let text = format!("the route {host} is this virtual server itself: mail would go round in circles");
                problems.note(route.span.clone(), text, "write the host that shall take the mail");
            }
        }
        for host in &draft.smart_host {
            let Some(next) = drafts.iter().position(|other| listens(other, &host.value)) else { continue };
            if next == i {
                let text = format!(
                    "the smart host {} is this virtual server itself: mail would go round in circles",
                    host.value
                );
                problems.note(host.span.clone(), text, "write another host");
            } else if comes_back(drafts, next, i) {
                let text = format!(
                    "the smart host {} is {:?}, whose smart host leads back here: mail would go round in circles",
                    host.value, drafts[next].server.name
                );
                problems.note(host.span.clone(), text, "write another host for one of them");
            }
        }
    }
}

/// Do the smart hosts lead from virtual server `from` to `to`?
fn comes_back(drafts: &[Drafted], from: usize, to: usize) -> bool {
    let mut seen = vec![false; drafts.len()];
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if std::mem::replace(&mut seen[at], true) {
            continue;
        }
        for host in &drafts[at].smart_host {
            open.extend(drafts.iter().position(|other| listens(other, &host.value)));
        }
    }
    false
}

/// Does the virtual server listen there, as far as its own settings tell?
fn listens(draft: &Drafted, host: &HostPort) -> bool {
    let fqdn = &draft.server.delivery.fqdn;
    draft.listen.iter().map(|listen| listen.value.address).filter(|listen| listen.port() == host.port).any(|listen| {
        let ip = listen.ip().to_canonical();
        match &host.host {
            Host::Literal(there) => {
                let there = there.to_canonical();
                there.is_ipv4() == ip.is_ipv4() && (there == ip || ip.is_unspecified() && is_here(there))
            }
            Host::Name(name) if name.as_str() == "localhost" => ip.is_unspecified() || ip.is_loopback(),
            Host::Name(name) => name == fqdn,
        }
    })
}

/// An address that always means this machine.
fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn refused(home: &str, drop: &str, badmail: &str) -> String {
        let text = format!(
            "[[virtual_server]]\nname = \"One\"\nhome = \"{home}\"\nmessages.badmail = \"{badmail}\"\n\
             [[virtual_server.domain]]\nname = \"a.example\"\nkind = \"default\"\ndrop = \"{drop}\"\n"
        );
        let problems = Config::parse(&text, "/etc/mailroot/mailroot.toml", "mx.a.example").err().unwrap_or_default();
        problems.iter().map(|problem| problem.text.to_string()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn folders_that_operators_read_do_not_meet_the_services_own() {
        let meets = "meets the folder of the service's own files (/etc/mailroot/state)";
        for (home, drop, badmail) in [
            ("/srv/one", "state", "/srv/bad"),
            ("/srv/one", "state/certificates", "/srv/bad"),
            ("/srv/one", "/etc", "/srv/bad"),
            ("/srv/one", "/srv/drop", "state"),
            ("/srv/one", "/srv/drop", "/etc/mailroot"),
            ("state", "/srv/drop", "/srv/bad"),
            ("state/one", "/srv/drop", "/srv/bad"),
        ] {
            let told = refused(home, drop, badmail);
            assert!(told.contains(meets), "{home} {drop} {badmail}: {told}");
        }
        assert_eq!(refused("/etc/mailroot", "drop", "bad"), "", "a home beside the configuration");
        assert_eq!(refused("/etc/mailroot/one", "statements", "/srv/bad"), "");
    }
}
