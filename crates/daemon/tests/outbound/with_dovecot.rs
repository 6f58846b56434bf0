//! Log-ons to a Postfix that asks a Dovecot who we are: each method that they know, wrong passwords, senders that are not ours. Needs
//! root.

use super::{hand_in, secret};
use crate::harness::certificates::Authority;
use crate::harness::dovecot::Dovecot;
use crate::harness::postfix::{Postfix, Postfixed};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, has, until};

/// The method at the port, how we are told to log on there, and what TLS there is.
const METHODS: [(u16, &str, &str, &str); 5] = [
    (2601, "PLAIN", "basic", "verified"),
    (2602, "LOGIN", "basic", "verified"),
    (2603, "CRAM-MD5", "cram_md5", "verified"),
    (2604, "SCRAM-SHA-256", "scram", "verified"),
    // The password is not shown, and the channel not protected.
    (2605, "CRAM-MD5", "cram_md5", "none"),
];
/// Offers all of them.
const ANY: u16 = 2606;
/// Offers PLAIN, and lets people send as themselves.
const OWN: u16 = 2607;

struct World {
    site: Site,
    authority: String,
    postfix: Postfix,
    _dovecot: Dovecot,
}

impl World {
    fn new() -> World {
        let site = Site::new();
        let dovecot = Dovecot::knowing(&site, 3, "plain login cram-md5 scram-sha-256", "");
        let authority = Authority::new("Ours");
        let (chain, key) = authority.issue(&[&site.ip(2).to_string()]).files(&site, "mail");
        let main = format!(
            "smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\nsmtpd_tls_cert_file = {}\n\
             smtpd_tls_key_file = {}\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n\
             smtpd_sasl_authenticated_header = yes\n\
             smtpd_relay_restrictions = permit_sasl_authenticated, reject\n\
             smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n",
            chain.display(),
            key.display(),
            dovecot.sasl.display()
        );
        let only = |method: &str| format!("-o smtpd_sasl_mechanism_filter={}", method.to_lowercase());
        let mut ports: Vec<(u16, String)> = METHODS.iter().map(|(port, method, ..)| (*port, only(method))).collect();
        ports.push((ANY, String::new()));
        let own = "-o smtpd_sasl_mechanism_filter=plain -o smtpd_sender_restrictions=reject_sender_login_mismatch \
                   -o { smtpd_sender_login_maps = inline:{ { alice@local.test = carol } { relay@local.test = bob } } }";
        ports.push((OWN, own.to_owned()));
        let postfix = Postfix::start(&site, 2, &Postfixed { main, ports, ..Postfixed::default() });
        let authority = format!("authority = {:?}", authority.file(&site, "authority.pem"));
        World { site, authority, postfix, _dovecot: dovecot }
    }

    /// Mail to this domain goes to that port, with the password in that file.
    fn to(&self, settings: Settings, domain: &str, port: u16, (method, tls): (&str, &str), file: &str) -> Settings {
        let hosts = format!("hosts = [\"[{}]:{port}\"]", self.site.ip(2));
        let tls = format!("tls = \"{tls}\"");
        let file = self.site.folder.join(file);
        let auth = format!("auth = {{ method = \"{method}\", user = \"bob\", password = {{ file = {file:?} }} }}");
        let mut lines = vec![&*hosts, &*tls, &*auth];
        if tls.contains("verified") {
            lines.push(&self.authority);
        }
        let route = format!("route = \"smart_host:{domain}\"");
        settings.smart_host_object(domain, &lines).remote(&format!("{domain}.test"), &[&route])
    }
}

#[test]
fn each_method_brings_mail_in() {
    let world = World::new();
    secret(&world.site, "password", "secret\n");
    let mut settings = Settings::new(&world.site);
    for (port, _, method, tls) in METHODS {
        settings = world.to(settings, &format!("by{port}"), port, (method, tls), "password");
    }
    // Left to choose, we take the best that both know.
    settings = world.to(settings, "best", ANY, ("password", "verified"), "password");
    let relay = Relay::start(&world.site, &settings);
    let all = METHODS.iter().map(|(port, method, _, tls)| (format!("by{port}"), *method, *tls));
    for (domain, method, tls) in all.chain([("best".to_owned(), "SCRAM-SHA-256", "verified")]) {
        hand_in(&relay, &format!("bob@{domain}.test"), &domain);
        let message = String::from_utf8(world.postfix.wait_for(&format!("Subject: {domain}\n"))).unwrap();
        let with = if tls == "none" { "with ESMTPA id" } else { "with ESMTPSA id" };
        assert!(message.contains("(Authenticated sender: bob)") && message.contains(with), "{message}");
        let line = relay.wait_for_log(&["delivered", &format!("bob@{domain}.test")]);
        assert!(line.contains(&format!(" auth={method} ")), "{line}");
        assert_eq!(line.contains(" checked=name "), tls == "verified", "{line}");
    }
    let log = world.postfix.log();
    for (_, method, ..) in METHODS {
        assert!(log.contains(&format!("sasl_method={method}, sasl_username=bob")), "{method}: {log}");
    }
    assert!(!relay.log().contains("secret"), "{}", relay.log());
}

#[test]
fn a_wrong_password_holds_the_mail_until_it_is_right() {
    let world = World::new();
    let wrong = [("plain", 2601, "basic"), ("cram", 2603, "cram_md5"), ("scram", 2604, "scram")];
    let mut settings = Settings::new(&world.site);
    for (domain, port, method) in wrong {
        secret(&world.site, domain, "mistyped\n");
        settings = world.to(settings, domain, port, (method, "verified"), domain);
    }
    secret(&world.site, "password", "secret\n");
    settings = world.to(settings, "right", 2601, ("basic", "verified"), "password");
    let relay = Relay::start(&world.site, &settings);
    for (domain, ..) in wrong {
        hand_in(&relay, &format!("bob@{domain}.test"), domain);
        let line = relay.wait_for_log(&["deferred", &format!("bob@{domain}.test"), "trouble=auth", "status=4.7."]);
        assert!(line.contains("535 5.7.8"), "{line}");
    }
    hand_in(&relay, "bob@right.test", "right");
    world.postfix.wait_for("Subject: right\n");
    assert_eq!(world.postfix.mailbox().len(), 1);
    assert!(relay.dropped().is_empty(), "nobody is told that it failed");
    for (domain, ..) in wrong {
        secret(&world.site, domain, "secret\n");
        world.postfix.wait_for(&format!("Subject: {domain}\n"));
    }
    until(SOON, "Queue is empty", || relay.queued().0.is_empty().then_some(()));
    assert_eq!(world.postfix.mailbox().len(), 4);
    let log = relay.log();
    assert!(!log.contains("secret") && !log.contains("mistyped"), "{log}");
}

/// Postfix takes the log-on, and then not the sender: the message comes back, and the other mail goes on.
#[test]
fn a_sender_that_is_not_ours_is_refused_and_the_rest_goes_on() {
    let world = World::new();
    secret(&world.site, "password", "secret\n");
    let settings = world.to(Settings::new(&world.site), "own", OWN, ("basic", "verified"), "password");
    let relay = Relay::start(&world.site, &settings);
    hand_in(&relay, "bob@own.test", "as somebody else");
    let line = relay.wait_for_log(&["failed", "bob@own.test", "trouble=refused", "553 5.7.1"]);
    assert!(line.contains("not owned by user bob"), "{line}");
    let report = relay.wait_for_drop("as somebody else");
    assert!(has(&report, "not owned by user bob"), "{}", String::from_utf8_lossy(&report));
    let mut client = crate::harness::client::Client::greet(relay.at);
    let content = crate::harness::mail::plain("as nobody else", "bob@own.test");
    assert_eq!(client.message("relay@local.test", &["bob@own.test"], &content).code, 250);
    world.postfix.wait_for("Subject: as nobody else\n");
    assert!(!relay.log().contains("trouble=auth"), "{}", relay.log());
}
