//! MTA-STS, with a web site at port 443 (for that one must be root), which tells the truth, lies, and is gone.

use super::waived::hand_in_waived;
use super::{hand_in, heard_no_mail, waits};
use crate::harness::Site;
use crate::harness::bind::Bind;
use crate::harness::certificates::{Authority, Identity};
use crate::harness::https::Website;
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::{Relay, Settings};
use std::process::Command;

/// A world with an authority that everybody trusts, and domains whose web sites are all at one address.
struct World {
    site: Site,
    authority: Authority,
    web: Website,
    _bind: Bind,
    relay: Relay,
}

const DOMAINS: [&str; 8] = ["good", "self", "name", "old", "bare", "other", "testing", "lie"];

impl World {
    fn new() -> World {
        let site = Site::new();
        let authority = Authority::new("Everybody's");
        let mut records = String::new();
        for (domain, host) in DOMAINS.iter().zip(11..) {
            records.push_str(&format!(
                "{domain} MX 10 mx.{domain}\nmx.{domain} A {}\nmta-sts.{domain} A {}\n_mta-sts.{domain} TXT \"v=STSv1; id=1;\"\n",
                site.ip(host),
                site.ip(9)
            ));
        }
        let bind = Bind::start(&site, 5, &records);
        let names: Vec<String> = DOMAINS.iter().map(|domain| format!("mta-sts.{domain}.test")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let web = Website::start(site.at(9, 443), authority.issue(&names).server());
        for domain in DOMAINS {
            let mode = if domain == "testing" { "testing" } else { "enforce" };
            let host = if domain == "other" { "mx.elsewhere.test".to_owned() } else { format!("mx.{domain}.test") };
            let body = format!("version: STSv1\r\nmode: {mode}\r\nmx: {host}\r\nmax_age: 604800\r\n");
            let head =
                if domain == "lie" { "HTTP/1.1 302 Found\r\nLocation: /policy.txt\r\n" } else { "HTTP/1.1 200 OK\r\n" };
            web.say(&format!("mta-sts.{domain}.test"), &format!("{head}Content-Type: text/plain\r\n"), &body);
        }
        let relay = Relay::prepare(&site, &Settings::new(&site).dns(bind.at).delivery("port = 2525"));
        let mut world = World { site, authority, web, _bind: bind, relay };
        world.up();
        world
    }

    fn up(&mut self) {
        let trusted = self.authority.file(&self.site, "system.pem");
        let mut command: Command = self.relay.command();
        self.relay.up_by(command.env("SSL_CERT_FILE", trusted));
    }

    /// The host of a domain; `None`: it offers no TLS.
    fn host(&self, domain: &str, identity: Option<&Identity>) -> Peer {
        let at = DOMAINS.iter().position(|name| *name == domain).unwrap();
        let script = Script::default();
        let script = identity.map_or(script.clone(), |identity| script.tls(identity.server()));
        Peer::start(self.site.at(11 + u8::try_from(at).unwrap(), 2525), script)
    }
}

#[test]
fn an_enforced_policy_is_met_or_the_mail_waits() {
    let mut world = World::new();
    let good = world.authority.issue(&["mx.good.test"]);
    let peers = [
        world.host("good", Some(&good)),
        world.host("self", Some(&Identity::self_signed(&["mx.self.test"]))),
        world.host("name", Some(&world.authority.issue(&["mx.elsewhere.test", "name.test"]))),
        world.host("old", Some(&world.authority.expired(&["mx.old.test"]))),
        world.host("bare", None),
        world.host("other", Some(&world.authority.issue(&["mx.other.test"]))),
        world.host("testing", None),
        world.host("lie", None),
    ];
    for domain in DOMAINS {
        hand_in(&world.relay, &format!("bob@{domain}.test"));
    }
    assert_eq!(peers[0].wait_for("bob@good").tls.as_deref(), Some("mx.good.test"));
    let line = world.relay.wait_for_log(&["delivered", "bob@good.test"]);
    assert!(line.contains("checked=mta-sts"), "{line}");
    // A policy that is tried out, and one that is none, demand nothing.
    assert!(peers[6].wait_for("bob@testing").tls.is_none());
    assert!(peers[7].wait_for("bob@lie").tls.is_none());
    world.relay.wait_for_log(&["policy", "domain=lie.test", "302"]);
    for (domain, peer) in DOMAINS.iter().zip(&peers).take(6).skip(1) {
        waits(&world.relay, &format!("bob@{domain}.test"));
        heard_no_mail(peer);
    }
    assert_eq!(peers[5].connections(), 0, "a host that the policy does not name is not connected to");
    // One fetch for each, whatever the number of attempts.
    assert_eq!(world.web.asked("mta-sts.self.test"), 1);
    // Everything is gone but the policy that was kept; also for a process that starts anew.
    world.web.hush();
    world.relay.stop();
    world.up();
    for peer in &peers[1..6] {
        heard_no_mail(peer);
    }
    waits(&world.relay, "bob@self.test");
    // The host is mended: its mail goes.
    peers[1].play(Script::default().tls(world.authority.issue(&["mx.self.test"]).server()));
    assert!(peers[1].wait_for("bob@self").tls.is_some());
    // Whoever waives what is published reaches the others all the same, and one that the policy does not name.
    for (host, under_tls) in [(2, true), (4, false), (5, true)] {
        hand_in_waived(&world.relay, &format!("bob@{}.test", DOMAINS[host]));
        assert_eq!(peers[host].wait_for("waived").tls.is_some(), under_tls, "{}", DOMAINS[host]);
        assert_eq!(peers[host].taken_count(), 1, "and nothing else");
    }
}
