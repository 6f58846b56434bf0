//! A domain's `route`, and the terms on which its mail goes there.
//!
//! Terms belong to whom the mail goes to: where that is a `[[smart_host]]`, a domain can have none of its own, and where DNS
//! names the hosts, nobody logs on to them.

use super::{Around, HELO_ONLY, ROUTE, host_port};
use crate::config::read::{Fault, Placed, Reader, Span, Table, tidy};
use crate::config::smart_hosts::SCHEME;
use crate::config::terms::keys;
use crate::config::terms::read::{self, Beneath, refuse_after_helo};
use crate::config::terms::{Owner, TlsPolicy};
use crate::config::{Delivery, DomainPattern, HostPort, RouteTo, SmartHostUse, Terms, Through};
use std::path::Path;
use std::sync::Arc;

/// The value of `route`, and where each of its hosts stands.
pub(super) fn read<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    around: &Around<'_>,
) -> (Option<RouteTo>, Vec<Placed<HostPort>>) {
    let Some(items) = reader.list(table, &ROUTE, true, |text| route(text, around)) else { return (None, Vec::new()) };
    let hosts: Vec<Placed<HostPort>> = items
        .iter()
        .flat_map(|item| {
            hosts_of(&item.value).iter().map(|host| Placed { value: host.clone(), span: item.span.clone() })
        })
        .collect();
    let several: Vec<HostPort> = hosts.iter().map(|host| host.value.clone()).collect();
    let route = match &items[..] {
        [] => {
            if table
                .get(ROUTE.key())
                .is_some_and(|value| value.get_ref().as_array().is_some_and(|list| list.is_empty()))
            {
                let hint = "write a host, as \"smtp://mail.example.com:25\", or take it out";
                reader.problems.note(table.span_of(&ROUTE), "`domain.route` is empty", hint);
            }
            return (None, Vec::new());
        }
        [one] => one.value.clone(),
        all if all.iter().all(|item| matches!(item.value, RouteTo::Smtp(_))) => RouteTo::Smtp(several),
        all if all.iter().all(|item| matches!(item.value, RouteTo::Lmtp(_))) => RouteTo::Lmtp(several),
        _ => {
            let text = "only smtp:// hosts, or only lmtp:// hosts, can be tried one after the other";
            reader.problems.note(table.span_of(&ROUTE), text, "write one route, or hosts of one kind");
            return (None, Vec::new());
        }
    };
    (Some(route), hosts)
}

fn hosts_of(route: &RouteTo) -> &[HostPort] {
    match route {
        RouteTo::Mx | RouteTo::LmtpUnix(_) => &[],
        RouteTo::Smtp(hosts) | RouteTo::Lmtp(hosts) => hosts,
        RouteTo::SmartHost(host) => &host.hosts,
    }
}

/// One item of `route`.
fn route(text: &str, around: &Around<'_>) -> Result<RouteTo, Fault> {
    if text.eq_ignore_ascii_case("mx") {
        return Ok(RouteTo::Mx);
    }
    if let Some(name) = text.strip_prefix(SCHEME) {
        return around.smart_hosts.get(name, &around.delivery.waits()).map(RouteTo::SmartHost);
    }
    if let Some(path) = text.strip_prefix("lmtp+unix:") {
        return if path.starts_with('/') {
            Ok(RouteTo::LmtpUnix(tidy(Path::new(path))))
        } else {
            Err(Fault::new("the socket's path does not begin at the root", "write \"lmtp+unix:/run/dovecot/lmtp\""))
        };
    }
    let Some((scheme, host)) = text.split_once("://") else {
        let meant = if around.smart_hosts.has(text) {
            format!("for the [[smart_host]] \"{SCHEME}{text}\"")
        } else {
            format!("for a host \"smtp://{text}\"")
        };
        let hint = format!("write \"mx\", \"smtp://host:port\", \"lmtp://host:port\" or \"lmtp+unix:/path\"; {meant}");
        return Err(Fault::new("it is no route", hint));
    };
    let host = host.trim_end_matches('/');
    match scheme {
        "smtp" => Ok(RouteTo::Smtp(vec![host_port(host, Some(around.delivery.port))?])),
        "lmtp" => Ok(RouteTo::Lmtp(vec![host_port(host, None)?])),
        "smtps" => Err(Fault::new(
            "smtps:// is not among the routes",
            format!("write \"smtp://{host}\", and tls = \"implicit\" beside it"),
        )),
        _ => Err(Fault::new(
            format!("{scheme}:// is not among the routes"),
            format!("write \"smtp://{host}\" or \"lmtp://{host}\""),
        )),
    }
}

/// The terms of the domain's own, if it has any, and where their `auth` stands.
pub(super) fn terms<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    around: &Around<'_>,
    (pattern, route): (&DomainPattern, Option<&RouteTo>),
) -> (Option<Arc<Terms>>, Option<Span>) {
    let delivery = around.delivery;
    let is_socket = matches!(route, Some(RouteTo::LmtpUnix(_)));
    let written = read::written(table);
    if let (Some((key, span)), Some(name)) = (&written, bound_to(route, around)) {
        let text = format!("the mail goes to the smart host {name}, on that one's terms: `{key}` has no meaning here");
        let hint = "write it in the [[smart_host]], or a route with hosts of its own";
        reader.problems.note(span.clone(), text, hint);
        return (None, None);
    }
    if written.is_none() && !is_socket {
        return (None, None);
    }
    let hosts = match (route, &delivery.smart_host, delivery.smart_host_use) {
        (Some(route), ..) => hosts_of(route),
        (None, Through::Hosts(hosts), SmartHostUse::Always) => hosts,
        (None, ..) => &[],
    };
    let ports: Vec<u16> = hosts.iter().map(|host| host.port).collect();
    let local = Terms { tls: TlsPolicy::None, ..Terms::plain() };
    let terms = if is_socket { &local } else { &*delivery.terms };
    let beneath = Beneath { keys: &keys::DOMAIN, owner: Owner::domain(pattern), provider: None, terms, ports: &ports };
    if is_socket {
        for key in ["tls", "authority", "certificate", "bind", "auth"] {
            if let Some(value) = table.get(key) {
                let text = format!("`{key}` has no meaning for a socket on this machine");
                reader.problems.note(value.span(), text, "take it out");
                return (None, None);
            }
        }
    }
    let drafted = read::read(reader, table, &beneath);
    if let Some(span) = drafted.auth.clone().filter(|_| hosts.is_empty()) {
        let text =
            "DNS names the hosts of this domain, and whoever could change what it says would be shown how we log on";
        reader.problems.note(span, text, "write a route with the hosts: \"smtp://mail.example.com:587\"");
    }
    if route.is_none() && table.has(&keys::DOMAIN.tls) {
        refuse_weaker_end(reader, table, delivery, drafted.terms.tls);
    }
    if let Some(span) = table.place_of(&HELO_ONLY).filter(|_| reader.switch(table, &HELO_ONLY)) {
        refuse_after_helo(reader, table, &keys::DOMAIN, &drafted, Some(span));
    }
    let waits = drafted.waits.over(&delivery.waits());
    (Some(Arc::new(Terms { waits, ..drafted.terms })), drafted.auth)
}

/// Notes a domain whose demand would be met by the hosts that DNS names, and not by the smart host that takes what does not get through to
/// them: whoever takes their TLS away would have the mail in clear text there.
fn refuse_weaker_end(reader: &mut Reader<'_>, table: Table<'_, '_>, delivery: &Delivery, demanded: TlsPolicy) {
    let (then, hint) = match (&delivery.smart_host, delivery.smart_host_use) {
        (Through::SmartHost(host), SmartHostUse::AfterDirect) if host.terms.tls.is_weaker_than(demanded) => (
            format!("the smart host {}, which demands", host.name),
            "write the same tls for that smart host, or route = \"mx\" here, so that nobody else gets this mail",
        ),
        (Through::Hosts(_), SmartHostUse::AfterDirect) if delivery.terms.tls.is_weaker_than(demanded) => (
            "the hosts in delivery.smart_host on the terms of the virtual server, which demand".to_owned(),
            "write the same tls into delivery, or route = \"mx\" here, so that nobody else gets this mail",
        ),
        _ => return,
    };
    let text = format!("what does not get through directly goes to {then} less TLS");
    reader.problems.note(table.span_of(&keys::DOMAIN.tls), text, hint);
}

/// The smart host on whose terms all mail of the domain goes.
fn bound_to<'a>(route: Option<&'a RouteTo>, around: &'a Around<'_>) -> Option<&'a str> {
    match (route, &around.delivery.smart_host, around.delivery.smart_host_use) {
        (Some(RouteTo::SmartHost(host)), ..) | (None, Through::SmartHost(host), SmartHostUse::Always) => {
            Some(&host.name)
        }
        _ => None,
    }
}
