//! `TLS-Required: No`: mail that would rather arrive than be protected goes where what a domain has published cannot be met, and no
//! other mail does; what the operator demands holds for it, too.

use super::{hand_in, heard_no_mail, settings, waits, zone};
use crate::harness::Site;
use crate::harness::certificates::{Authority, Identity};
use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::Relay;
use crate::harness::signed::{Signed, Zone};
use crate::harness::{SOON, until};

/// A message with the field; what it is about is its recipient.
pub(super) fn hand_in_waived(relay: &Relay, to: &str) {
    let mut content = b"TLS-Required: No\r\n".to_vec();
    content.extend(plain(&format!("waived {to}"), to));
    let reply = Client::greet(relay.at).message("alice@local.test", &[to], &content);
    assert_eq!(reply.code, 250, "{reply:?}");
}

/// How many messages it took of those without the field.
fn others_taken(peer: &Peer) -> usize {
    peer.taken().iter().filter(|taken| !taken.subject().starts_with("waived")).count()
}

/// Domains with this key, each with a host of its own; what is said of one is a lie.
fn zones(site: &Site, key: &str) -> Vec<Zone> {
    let keyed = |name, host| zone(name, site.ip(host), &[key.to_owned()]);
    let other = "3 1 1 4444444444444444444444444444444444444444444444444444444444444444".to_owned();
    vec![
        keyed("good.test", 11),
        keyed("wrong.test", 12),
        keyed("bare.test", 13),
        zone("lies.test", site.ip(14), &[other]).lie("444444444444444444", "555555555555555555"),
        keyed("strict.test", 15),
        keyed("barred.test", 16),
    ]
}

#[test]
fn a_message_that_waives_tls_goes_where_policies_cannot_be_met() {
    let site = Site::new();
    let authority = Authority::new("Nobody's");
    let (right, wrong) = (authority.issue(&["mx.good.test"]), Identity::self_signed(&["x.test"]));
    let signed = Signed::start(&site, 5, zones(&site, &right.tlsa()));
    let host = |host: u8, identity: Option<&Identity>| {
        let script = Script::default();
        let script = identity.map_or(script.clone(), |identity| script.tls(identity.server()));
        Peer::start(site.at(host, 2525), script)
    };
    let peers = [
        host(11, Some(&right)),
        host(12, Some(&wrong)),
        host(13, None),
        host(14, Some(&wrong)),
        host(15, Some(&wrong)),
        host(16, None),
    ];
    // What the operator demands of these two: TLS with anybody.
    let settings = settings(&site, &signed)
        .remote("strict.test", &["tls = \"required\""])
        .remote("barred.test", &["tls = \"required\""]);
    let relay = Relay::start(&site, &settings);
    let domains = ["good", "wrong", "bare", "lies", "strict", "barred"];
    for domain in domains {
        hand_in(&relay, &format!("bob@{domain}.test"));
        hand_in_waived(&relay, &format!("bob@{domain}.test"));
    }
    // As published where that can be met; else on the operator's terms: TLS if it is to be had.
    for (peer, under_tls) in
        [(&peers[0], true), (&peers[1], true), (&peers[2], false), (&peers[3], true), (&peers[4], true)]
    {
        assert_eq!(peer.wait_for("waived").tls.is_some(), under_tls, "{}", peer.at);
    }
    let line = until(SOON, "both to the good host", || {
        let log = relay.log();
        let lines: Vec<&str> =
            log.lines().filter(|line| line.contains("delivered") && line.contains("bob@good.test")).collect();
        (lines.len() == 2).then(|| lines.concat())
    });
    assert_eq!(line.matches("checked=dane").count(), 2, "{line}");
    for host in ["wrong", "bare", "strict"] {
        relay.wait_for_log(&[" waived ", &format!("mx.{host}.test [")]);
    }
    // The other mail waits, and so does what the operator wants under TLS.
    for domain in &domains[1..] {
        waits(&relay, &format!("bob@{domain}.test"));
    }
    heard_no_mail(&peers[5]);
    for peer in &peers[1..5] {
        assert_eq!((others_taken(peer), peer.taken_count()), (0, 1), "{}", peer.at);
    }
    // One for the file that waits: the field is remembered.
    let envelopes = until(SOON, "six messages lie in Queue", || Some(relay.queued().0).filter(|all| all.len() == 6));
    let kept = |path: &std::path::PathBuf| std::fs::read_to_string(path).unwrap().contains("\ntls-required: no\n");
    assert_eq!(envelopes.iter().filter(|path| kept(path)).count(), 1, "of {} that wait", envelopes.len());
    // Its host gets TLS, with whichever key: that is enough for it, and for no other.
    peers[5].play(Script::default().tls(wrong.server()));
    assert!(peers[5].wait_for("waived").tls.is_some());
    assert_eq!(others_taken(&peers[5]), 0);
}
