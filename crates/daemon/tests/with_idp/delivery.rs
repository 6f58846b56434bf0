//! Mail to a smart host that wants tokens: from our relay, with the provider's token, to a relay that checks it against the
//! provider's published keys.

use super::*;
use crate::access::make_certificate;
use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::relay::{Relay, Settings};

/// The relay that checks tokens: nobody sends through it who has none, and what comes is for its Drop.
pub(super) struct Hub {
    pub(super) relay: Relay,
    submission: SocketAddr,
    site: Site,
}

/// Its own domains.
const DOMAINS: [&str; 5] = ["hub.test", "one.test", "two.test", "three.test", "four.test"];

impl Hub {
    pub(super) fn start(idp: &Idp) -> Hub {
        let site = Site::new();
        make_certificate(&site);
        let (relay, submission) =
            (Relay::start(&site, &Hub::settings(&site, idp, "https://mail.test")), Hub::at(&site));
        Hub { relay, submission, site }
    }

    fn at(site: &Site) -> SocketAddr {
        site.at(1, 2587)
    }

    /// It wants tokens that are for this audience.
    fn settings(site: &Site, idp: &Idp, audience: &str) -> Settings {
        // Two servers have two names; with one name, mail between them would count as a loop.
        let mut settings = Settings::new(site)
            .delivery("fqdn = \"hub.test\"")
            .access("relay = { only = [] }")
            .access("certificate = { file = \"relay.pem\", key = \"relay.key\" }")
            .access(&format!(
                "authentication = {{ methods = [\"XOAUTH2\", \"OAUTHBEARER\"], oauth = {{ issuer = {:?}, \
                 audience = {audience:?}, user_claim = \"upn\", authority = {:?} }} }}",
                idp.issuer(),
                idp.authority()
            ));
        settings.listen.push(format!(
            "{{ address = \"{}\", tls = \"starttls_required\", authentication_required = true }}",
            Hub::at(site)
        ));
        DOMAINS.iter().fold(settings, |settings, domain| settings.alias(domain))
    }

    fn asks_for(&mut self, idp: &Idp, audience: &str) {
        self.relay.stop();
        self.relay.configure(&Hub::settings(&self.site, idp, audience));
        self.relay.up();
    }

    /// Who handed in the message about this, by which protocol.
    pub(super) fn got(&self, subject: &str) {
        let message = self.relay.wait_for_drop(&format!("Subject: {subject}"));
        assert!(crate::harness::has(&message, "with ESMTPSA"), "{}", String::from_utf8_lossy(&message));
    }
}

/// A relay with this hub as the smart host `office`, logged on to as the client says. It does not try again by itself.
pub(super) fn patient(site: &Site, idp: &Idp, hub: &Hub, client: &str) -> Settings {
    Settings::new(site)
        .smart_host_object("office", &smart_host(idp, hub, client, ""))
        .delivery("smart_host = \"office\"")
        .delivery("retry = [\"1 h\"]")
        .delivery("glitch_retry = { every = \"1 h\", times = 0 }")
}

pub(super) fn smart_host<'a>(idp: &Idp, hub: &Hub, client: &str, more: &str) -> [&'a str; 3] {
    let auth = idp.auth(client).replace("method = \"oauth\"", &format!("method = \"oauth\"{more}"));
    // For the length of a test.
    [format!("hosts = [\"{}\"]", hub.submission).leak(), "tls = \"required\"", auth.leak()]
}

pub(super) fn hand_in(relay: &Relay, to: &str, subject: &str) {
    let reply = Client::greet(relay.at).message("app@local.test", &[to], &plain(subject, to));
    assert_eq!(reply.code, 250, "{reply:?}");
}

/// One message waits; nothing was given up, and nobody was told so.
pub(super) fn one_waits_and_nothing_is_returned(relay: &Relay) {
    until(SOON, "one message is in the queue", || (relay.queued().0.len() == 1).then_some(()));
    let log = relay.log();
    assert!(!log.contains(" failed id=") && !log.contains(" reported id="), "{log}");
    assert!(relay.dropped().is_empty(), "{log}");
}

/// What no log may show: a token, or a secret.
pub(super) fn nothing_is_shown(relay: &Relay) {
    let log = relay.log();
    assert!(!log.contains("eyJ") && !log.contains("s3cret"), "{log}");
}

#[test]
fn every_grant_and_both_methods_bring_mail_to_a_relay_that_checks_tokens() {
    let site = Site::new();
    let idp = Idp::start(&site, 3_600);
    let hub = Hub::start(&idp);
    let clients = [
        ("by-secret", "xoauth2", "one.test"),
        ("by-certificate", "oauthbearer", "two.test"),
        ("by-account", "xoauth2", "three.test"),
        ("by-refresh", "oauthbearer", "four.test"),
    ];
    let settings = clients.iter().fold(Settings::new(&site), |settings, (client, method, domain)| {
        let more = format!(", mechanism = \"{method}\"");
        settings
            .smart_host_object(client, &smart_host(&idp, &hub, client, &more))
            .remote(domain, &[&format!("route = \"smart_host:{client}\""), "allow_relay = true"])
    });
    let relay = Relay::start(&site, &settings);
    for (client, _, domain) in clients {
        hand_in(&relay, &format!("bob@{domain}"), client);
    }
    for (client, method, domain) in clients {
        hub.got(client);
        let line = relay.wait_for_log(&["delivered", domain]);
        assert!(line.to_lowercase().contains(method), "{line}");
    }
    let log = hub.relay.log();
    let accepted = log.lines().filter(|line| line.contains("accepted") && line.contains("account=relay@contoso.com"));
    assert_eq!(accepted.count(), 4, "{log}");
    let tokens = idp.asked().lines().filter(|line| line.starts_with("/token")).count();
    assert_eq!(tokens, 4, "one for each smart host: {}", idp.asked());
    nothing_is_shown(&relay);
    nothing_is_shown(&hub.relay);
}

#[test]
fn a_grant_that_is_refused_holds_the_mail_until_it_works_again() {
    let site = Site::new();
    let idp = Idp::start(&site, 3_600);
    let hub = Hub::start(&idp);
    let settings = patient(&site, &idp, &hub, "by-secret");
    idp.secret("secret", "s3cret-of-old");
    let relay = Relay::start(&site, &settings);
    hand_in(&relay, "bob@hub.test", "held");
    let line = relay.wait_for_log(&["deferred", "bob@hub.test"]);
    assert!(line.contains("There is no token") && line.contains("Check client_id"), "{line}");
    let alarm = relay.wait_for_log(&["alarm", "Check client_id"]);
    assert!(alarm.contains("office"), "{alarm}");
    one_waits_and_nothing_is_returned(&relay);
    // At once: both pauses, the provider's and the queue's, are longer than this waits.
    idp.secret("secret", "s3cret&value");
    hub.got("held");
    relay.wait_for_log(&["delivered", "bob@hub.test"]);
    nothing_is_shown(&relay);
}

#[test]
fn a_refresh_token_that_is_revoked_holds_the_mail_until_there_is_a_new_one() {
    let site = Site::new();
    let idp = Idp::start(&site, 4);
    let hub = Hub::start(&idp);
    let relay = Relay::start(&site, &patient(&site, &idp, &hub, "by-refresh"));
    let stands = |how: &str| {
        until(SOON, &format!("the token is {how}"), || {
            let listed = oauth(&relay.config, &["list", "--json"]);
            let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).ok()?;
            ((listed[0]["standing"] == "good") == (how == "good")).then_some(())
        });
    };
    stands("good");
    idp.does("revoke");
    let alarm = relay.wait_for_log(&["alarm", "Put a new refresh token into"]);
    assert!(alarm.contains("office"), "{alarm}");
    stands("over");
    hand_in(&relay, "bob@hub.test", "after it was revoked");
    let line = relay.wait_for_log(&["deferred", "bob@hub.test"]);
    assert!(line.contains("There is no token") && line.contains("Put a new refresh token into"), "{line}");
    one_waits_and_nothing_is_returned(&relay);
    // Another file of the same name.
    idp.auth("by-refresh");
    hub.got("after it was revoked");
    nothing_is_shown(&relay);
}

#[test]
fn a_provider_that_is_slow_or_down_delays_its_smart_host_alone() {
    let site = Site::new();
    let idp = Idp::start(&site, 3_600);
    let hub = Hub::start(&idp);
    // The same hub, by the door where nobody logs on.
    let route = format!("route = \"smtp://[{}]:{}\"", hub.relay.at.ip(), hub.relay.at.port());
    let settings = patient(&site, &idp, &hub, "by-secret").remote("one.test", &[&route]);
    idp.does("trouble/slow");
    let relay = Relay::start(&site, &settings);
    hand_in(&relay, "bob@hub.test", "delayed");
    until(SOON, "the provider is asked", || idp.asked().contains("/token").then_some(()));
    hand_in(&relay, "bob@one.test", "beside it, slow");
    hub.relay.wait_for_drop("Subject: beside it, slow");
    assert!(!relay.log().contains("deferred"), "the other still waits for its token");
    idp.does("trouble/down");
    let line = relay.wait_for_log(&["deferred", "bob@hub.test"]);
    assert!(line.contains("There is no token for now"), "{line}");
    hand_in(&relay, "bob@one.test", "beside it, down");
    hub.relay.wait_for_drop("Subject: beside it, down");
    relay.wait_for_log(&["delivered", "bob@one.test"]);
    one_waits_and_nothing_is_returned(&relay);
    idp.does("trouble/none");
    hub.got("delayed");
}

#[test]
fn a_token_that_the_smart_host_does_not_take_holds_the_mail() {
    let site = Site::new();
    let idp = Idp::start(&site, 3_600);
    let mut hub = Hub::start(&idp);
    hub.asks_for(&idp, "https://elsewhere.test");
    let settings = patient(&site, &idp, &hub, "by-secret").delivery("retry = [\"2 s\"]");
    let relay = Relay::start(&site, &settings);
    hand_in(&relay, "bob@hub.test", "for another audience");
    let line = relay.wait_for_log(&["deferred", "bob@hub.test"]);
    assert!(line.contains("refused to log us on"), "{line}");
    one_waits_and_nothing_is_returned(&relay);
    hub.asks_for(&idp, "https://mail.test");
    hub.got("for another audience");
    nothing_is_shown(&relay);
    nothing_is_shown(&hub.relay);
}
