//! The whole text of `mailroot route`, as it is read by people: addresses and ports of the test are replaced by words.

use super::route;
use crate::harness::Site;
use crate::harness::certificates::{Authority, Identity};
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::{Relay, Settings};

/// What it prints, without what is this test's alone.
pub(super) fn printed(site: &Site, settings: &Settings, words: &[&str]) -> String {
    let relay = Relay::prepare(site, settings);
    let output = route(&relay, words);
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    let mut text = text.replace(&relay.config.display().to_string(), "FILE");
    text = text.replace(&site.folder.path().display().to_string(), "FOLDER");
    for host in 1..=30 {
        text = text.replace(&site.ip(host).to_string(), &format!("IP{host}"));
    }
    // No two certificates are alike, and no two days.
    let digest = between(&text, "sha256:", ")").unwrap_or_default().to_owned();
    let days = between(&text, ", in ", " days").unwrap_or("0").to_owned();
    text = text.replace(&format!(", in {days} days"), ", in N days");
    if digest.is_empty() { text } else { text.replace(&digest, "HASH") }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

#[track_caller]
pub(super) fn is(text: &str, golden: &str) {
    assert!(text == golden, "--- it is\n{text}--- it should be\n{golden}---");
}

#[test]
fn what_goes_to_no_other_server() {
    let site = Site::new();
    let settings = Settings::new(&site);
    is(&printed(&site, &settings, &["bob@local.test"]), include_str!("golden/local.txt"));
    is(&printed(&site, &settings, &["bob@[127.0.0.1]"]), include_str!("golden/literal.txt"));
}

#[test]
fn a_smart_host_and_its_terms() {
    let site = Site::new();
    let hosts = format!("hosts = [\"[{}]:587\", \"[{}]:2587\"]", site.ip(2), site.ip(3));
    let settings = Settings::new(&site)
        .smart_host_object("office", &[&hosts, "tls = \"verified\""])
        .delivery("smart_host = \"office\"");
    is(&printed(&site, &settings, &["bob@far.test"]), include_str!("golden/smart_host.txt"));
}

#[test]
fn a_probe_of_good_and_bad_hosts() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let good = authority.issue(&[&site.ip(2).to_string()]);
    let _good = Peer::start(site.at(2, 2525), Script::offering(&["PIPELINING", "SIZE 1000"]).tls(good.server()));
    let own = Identity::self_signed(&["self.test"]);
    let _own = Peer::start(site.at(3, 2525), Script::default().tls(own.server()));
    let hosts = format!("hosts = [\"[{}]:2525\", \"[{}]:2525\", \"[{}]:2525\"]", site.ip(2), site.ip(3), site.ip(4));
    let trusted = format!("authority = {:?}", authority.file(&site, "authority.pem"));
    let settings = Settings::new(&site)
        .smart_host_object("office", &[&hosts, "tls = \"verified\"", &trusted])
        .delivery("smart_host = \"office\"");
    let text = printed(&site, &settings, &["bob@far.test", "--probe"]);
    is(&text, include_str!("golden/probe.txt"));
}
