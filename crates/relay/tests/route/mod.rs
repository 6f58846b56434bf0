//! Plays the scripts of `tests/route`.
//!
//! `to ADDRESS` asks where a recipient's mail goes and on which terms, `from ADDRESS` as what the next hop sees a sender (`<>`
//! for none), `from ADDRESS to ADDRESS` as what the one that takes that recipient's mail sees it. `send FROM TO HEADER` asks what
//! becomes of a header, whose lines have `|` between them, on its way there.

use crate::folders::drop::envelope;
use crate::script::play;
use relay::config::VirtualServer;
use relay::envelope::QueueId;
use relay::route::{self, Route, revision};
use smtp::address::{Mailbox, ReversePath};

#[test]
fn scripts() {
    play("route", |server, _: &mut (), line| Some(answer(server, line)));
}

fn answer(server: &VirtualServer, line: &str) -> String {
    match line.split_once(' ').unwrap() {
        ("to", address) => match route::route(server, &Mailbox::parse(address).unwrap()) {
            Route::Drop => "drop".to_owned(),
            Route::Hop(hop) => {
                let then = hop.then_terms.iter().map(|terms| format!("; then {}: {}", terms.owner, terms.in_words()));
                let own = format!("{}: {}", hop.terms.owner, hop.terms.in_words());
                let own = if hop.terms.in_words().is_empty() { String::new() } else { format!("; {own}") };
                format!("{hop}{own}{}", then.collect::<String>())
            }
            Route::Refuse(failure) => format!("{:?} {} {}", failure.kind, failure.status, failure.text),
        },
        ("from", words) => {
            let (address, to) = words.split_once(" to ").map_or((words, None), |(from, to)| (from, Some(to)));
            let sender = Mailbox::parse(address).map_or(ReversePath::Null, ReversePath::Mailbox);
            let terms = match to.map(|to| route::route(server, &Mailbox::parse(to).unwrap())) {
                Some(Route::Hop(hop)) => hop.terms.clone(),
                _ => server.delivery.terms.clone(),
            };
            format!("<{}>", route::masquerade(server, &sender, &terms))
        }
        ("send", words) => {
            let mut words = words.splitn(3, ' ');
            let (from, to, header) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
            let Route::Hop(hop) = route::route(server, &Mailbox::parse(to).unwrap()) else { panic!("{line:?}") };
            let header = header.replace('|', "\r\n") + "\r\n\r\n";
            let envelope = envelope(from, &[to]);
            let octets = (header.as_bytes(), true);
            match revision::revised(server, (QueueId(7), &envelope), &hop.terms, octets) {
                None => "as it is".to_owned(),
                Some(revised) => {
                    assert!(revision::is_revised(server, &envelope, &hop.terms));
                    assert_eq!(&header[revised.instead_of..], "\r\n");
                    String::from_utf8(revised.head).unwrap().trim_end().replace("\r\n", "|")
                }
            }
        }
        _ => panic!("{line:?}"),
    }
}

/// The scheduler keeps one queue for equal next hops.
#[test]
fn recipients_of_one_destination_get_equal_hops() {
    let text = "[[virtual_server]]\nname = \"x\"\nhome = \"/x\"\n[[virtual_server.domain]]\nname = \"*.b.test\"\n\
                kind = \"remote\"\nroute = \"smtp://B.test:2525\"\n";
    let config = relay::config::Config::parse(text, "/x.toml", "relay.test").unwrap();
    let hop = |address: &str| match route::route(&config.servers[0], &Mailbox::parse(address).unwrap()) {
        Route::Hop(hop) => hop,
        other => panic!("{other:?}"),
    };
    assert_eq!(hop("a@one.b.test"), hop("b@two.b.test"));
    assert_eq!(hop("a@c.test"), hop("B@C.TEST."));
    assert_ne!(hop("a@c.test"), hop("a@d.test"));
}
