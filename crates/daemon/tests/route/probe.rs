//! `mailroot route --probe`: hosts are asked as a delivery would ask them, by peers with and without TLS; no mail is sent.

use super::route;
use crate::harness::Site;
use crate::harness::certificates::{Authority, Identity};
use crate::harness::peer::{At, Mood, Peer, Script};
use crate::harness::relay::{Relay, Settings};
use serde_json::Value;

/// Smart hosts on these terms; what the probe says, as text and as JSON, and the exit code.
fn probed(site: &Site, hosts: &[u8], terms: &[&str]) -> (String, Value, i32) {
    let listed: Vec<String> = hosts.iter().map(|host| format!("\"[{}]:2525\"", site.ip(*host))).collect();
    let listed = format!("hosts = [{}]", listed.join(", "));
    let lines: Vec<&str> = [&*listed].into_iter().chain(terms.iter().copied()).collect();
    let settings = Settings::new(site)
        .smart_host_object("them", &lines)
        .delivery("smart_host = \"them\"")
        // For those that fall silent.
        .delivery("timeout = \"4 s\"");
    let relay = Relay::prepare(site, &settings);
    let text = route(&relay, &["bob@far.test", "--probe"]);
    let json = route(&relay, &["bob@far.test", "--probe", "--json"]);
    let told = String::from_utf8_lossy(&json.stderr).into_owned();
    let value = serde_json::from_slice(&json.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    assert_eq!(text.status.code(), json.status.code());
    (String::from_utf8(text.stdout).unwrap(), value, text.status.code().unwrap())
}

fn has_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// Only what asks was said to it.
fn was_only_asked(peer: &Peer) {
    let commands = peer.commands();
    let asks = |line: &String| ["EHLO ", "STARTTLS", "QUIT"].iter().any(|verb| line.starts_with(verb));
    assert!(commands.iter().all(asks), "{commands:?}");
    assert!(commands.iter().any(|line| line == "QUIT"), "{commands:?}");
    assert_eq!(peer.taken_count(), 0);
}

#[test]
fn each_host_is_asked_and_no_mail_is_sent() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let file = authority.file(&site, "authority.pem");
    let ip = |host| site.ip(host).to_string();
    let good = authority.issue(&["mx.far.test", &ip(2)]);
    let offers = Script::offering(&["PIPELINING", "SIZE 1000", "AUTH PLAIN"]);
    let peers = [
        Peer::start(site.at(2, 2525), offers.tls(good.server())),
        Peer::start(site.at(3, 2525), Script::default().tls(authority.expired(&["old.test", &ip(3)]).server())),
        Peer::start(site.at(4, 2525), Script::default().tls(Identity::self_signed(&["self.test", &ip(4)]).server())),
        Peer::start(site.at(5, 2525), Script::default()),
    ];
    let trusted = format!("authority = \"{}\"", file.display());
    let secret = site.folder.write("secret", "secret-word");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let auth =
        format!("auth = {{ method = \"password\", user = \"u\", password = {{ file = \"{}\" }} }}", secret.display());
    let terms = ["tls = \"verified\"", &trusted, &auth];
    // Nobody listens at the last one.
    let (text, json, code) = probed(&site, &[2, 3, 4, 5, 6], &terms);
    assert_eq!(code, 0, "{text}");
    has_all(
        &text,
        &[
            "greeting     220 peer.test ESMTP",
            "in the clear PIPELINING, SIZE 1000, AUTH PLAIN, STARTTLS",
            "TLS          TLSv1.3 ",
            "certificate  CN=mx.far.test, for mx.far.test",
            "issued by CN=Ours",
            "expires on ",
            "under TLS    PIPELINING, SIZE 1000, AUTH PLAIN\n",
            "result       mail would go under TLS, the host verified: an authority vouches for its name; the log-on was not tried",
            "certificate  CN=old.test, for old.test",
            "expired on 2021-01-01",
            "certificate  CN=self.test, for self.test",
            "issued by itself",
            "the server does not offer TLS (STARTTLS), which is required here",
            "Connection refused",
        ],
    );
    assert!(!text.contains("secret-word"), "{text}");
    let probes: Vec<&Value> = json["hosts"].as_array().unwrap().iter().map(|host| &host["probes"][0]).collect();
    let seen: Vec<_> = probes.iter().map(|probe| (probe["would_go"] == true, probe["status"].as_str())).collect();
    let failed = |status| (false, Some(status));
    assert_eq!(seen, [(true, None), failed("4.7.5"), failed("4.7.5"), failed("4.7.4"), failed("4.4.1")], "{text}");
    assert_eq!(probes[0]["tls"]["checked"], "name");
    assert_eq!(probes[1]["certificate"]["not_after"], "2021-01-01T00:00:00.000Z");
    assert_eq!(probes[3]["under_tls"], Value::Null);
    peers.iter().for_each(was_only_asked);
}

#[test]
fn the_result_is_what_a_delivery_would_do() {
    let site = Site::new();
    let nobody = Identity::self_signed(&["self.test"]);
    let bare = Peer::start(site.at(2, 2525), Script::default());
    let (text, _, code) = probed(&site, &[2], &["tls = \"required\""]);
    has_all(&text, &["mail would not go: 4.7.4", "which is required here"]);
    assert_eq!(code, 1, "{text}");
    let (text, _, code) = probed(&site, &[2], &["tls = \"opportunistic\""]);
    has_all(&text, &["mail would go in clear text: it does not offer STARTTLS\n"]);
    assert_eq!(code, 0, "{text}");
    bare.play(Script::default().tls(nobody.server()));
    let (text, _, code) = probed(&site, &[2], &["tls = \"required\""]);
    has_all(&text, &["mail would go under TLS, to whoever answers: nothing demands that the certificate is checked\n"]);
    assert_eq!(code, 0, "{text}");
    let (text, json, code) = probed(&site, &[2], &["tls = \"none\""]);
    has_all(&text, &["mail would go in clear text: nothing else is wanted\n"]);
    assert_eq!((code, &json["hosts"][0]["probes"][0]["tls"]), (0, &Value::Null), "{text}");
    was_only_asked(&bare);
}

/// Wherever a host falls silent, the probe has an end, and says so.
#[test]
fn a_host_that_stalls_is_told() {
    let site = Site::new();
    let nobody = Identity::self_signed(&["self.test"]);
    let stalls = |host, at| {
        let script = Script::default().tls(nobody.server()).at(at, Mood::Stall);
        Peer::start(site.at(host, 2525), script)
    };
    let _peers = [stalls(2, At::Banner), stalls(3, At::Hello), stalls(4, At::StartTls)];
    let began = std::time::Instant::now();
    let (text, json, code) = probed(&site, &[2, 3, 4], &["tls = \"required\""]);
    assert_eq!(code, 1, "{text}");
    // Twice, as text and as JSON; on a busy machine.
    assert!(began.elapsed() < std::time::Duration::from_secs(2 * 3 * 20 + 30), "{:?}", began.elapsed());
    let stati: Vec<&str> =
        json["hosts"].as_array().unwrap().iter().map(|host| host["probes"][0]["status"].as_str().unwrap()).collect();
    assert_eq!(stati, ["4.4.2"; 3], "{text}");
    has_all(&text, &["greeting     220 peer.test ESMTP", "in the clear STARTTLS", "mail would not go: 4.4.2"]);
}
