//! A real Postfix as the next hop under each policy, with certificates good and bad. Needs root.

use super::{hand_in, shown_in_queue};
use crate::harness::bind::Bind;
use crate::harness::certificates::{Authority, Identity};
use crate::harness::client::Client;
use crate::harness::mail::{assert_same, tricky, values};
use crate::harness::postfix::{Postfix, Postfixed};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, has, until};

const POLICIES: [&str; 5] = ["none", "opportunistic", "required", "verified", "implicit"];

/// Hosts, and what is told of them where their certificate counts.
const HOSTS: [(&str, &str); 6] = [
    ("good", ""),
    ("old", "expired on 2021-01-01"),
    ("self", "its certificate is self-signed"),
    ("name", "its certificate is for elsewhere.test, not for name.test"),
    // It offers no TLS, and speaks in the clear where TLS should begin.
    ("bare", ""),
    // It has no version of TLS in common with us.
    ("broken", ""),
];

/// What becomes of a message.
#[derive(PartialEq, Debug)]
enum Outcome {
    InClear,
    /// Under TLS; what the log says of the certificate.
    UnderTls(&'static str),
    /// It waits, and these words say why.
    Waits(&'static str),
}

fn expected(policy: &str, host: &str, words: &'static str) -> Outcome {
    use Outcome::{InClear, UnderTls, Waits};
    match (policy, host) {
        ("none", _) | ("opportunistic", "bare" | "broken") => InClear,
        ("implicit", "bare") => Waits("does not speak TLS"),
        (_, "bare") => Waits("the server does not offer TLS (STARTTLS), which is required here"),
        (_, "broken") => Waits("versions of TLS that are not safe any more"),
        ("opportunistic" | "required", _) => UnderTls("unchecked"),
        (_, "good") => UnderTls("name"),
        _ => Waits(words),
    }
}

/// The ports at which Postfix is the host with this number: by STARTTLS, and with TLS from the first octet.
fn ports(number: usize) -> (u16, u16) {
    let number = u16::try_from(number).unwrap();
    (2600 + number, 2700 + number)
}

fn shown_by(authority: &Authority, host: &str) -> Identity {
    let name = format!("{host}.test");
    match host {
        "old" => authority.expired(&[&name]),
        "self" => Identity::self_signed(&[&name]),
        "name" => authority.issue(&["elsewhere.test"]),
        _ => authority.issue(&[&name]),
    }
}

/// One Postfix that is all hosts, each at its ports.
fn hosts(site: &Site, authority: &Authority) -> Postfix {
    let mut listeners = Vec::new();
    for (number, (host, _)) in HOSTS.iter().enumerate() {
        let (chain, key) = shown_by(authority, host).files(site, host);
        let mut options = format!("-o smtpd_tls_cert_file={} -o smtpd_tls_key_file={}", chain.display(), key.display());
        let (level, wrapped) = if *host == "bare" { ("$bare_level", "$bare_wrapped") } else { ("may", "yes") };
        if *host == "broken" {
            options.push_str(
                " -o smtpd_tls_protocols=$broken_protocols -o smtpd_tls_mandatory_protocols=$broken_protocols",
            );
        }
        let (by_starttls, implicit) = ports(number);
        listeners.push((by_starttls, format!("{options} -o smtpd_tls_security_level={level}")));
        listeners.push((implicit, format!("{options} -o smtpd_tls_wrappermode={wrapped}")));
    }
    let main = "smtpd_tls_received_header = yes\nsmtpd_tls_loglevel = 1\n\
                bare_level = none\nbare_wrapped = no\nbroken_protocols = TLSv1\n"
        .to_owned();
    Postfix::start(site, 2, &Postfixed { main, ports: listeners, ..Postfixed::default() })
}

/// A relay with a domain `POLICY.HOST.test` for each of them.
fn relay(site: &Site, authority: &Authority, bind: &Bind) -> Relay {
    let trusted = format!("authority = {:?}", authority.file(site, "authority.pem"));
    // Just after `reload` Postfix lets a caller wait.
    let mut settings = Settings::new(site).dns(bind.at).delivery("timeout = \"5 s\"");
    for (number, (host, _)) in HOSTS.iter().enumerate() {
        for policy in POLICIES {
            let (by_starttls, implicit) = ports(number);
            let port = if policy == "implicit" { implicit } else { by_starttls };
            let route = format!("route = \"smtp://{host}.test:{port}\"");
            let tls = format!("tls = \"{policy}\"");
            let mut lines = vec![&*route, &*tls];
            if matches!(policy, "verified" | "implicit") {
                lines.push(&trusted);
            }
            settings = settings.remote(&format!("{policy}.{host}.test"), &lines);
        }
    }
    Relay::start(site, &settings)
}

fn address(policy: &str, host: &str) -> String {
    format!("bob@{policy}.{host}.test")
}

/// Did it come under TLS? As Postfix's own trace field has it.
fn came_under_tls(message: &[u8]) -> bool {
    values(message, "Received")[0].contains("(using TLSv1.")
}

/// To whom it came.
fn recipient(message: &[u8]) -> String {
    values(message, "X-Original-To").pop().unwrap()
}

#[test]
fn each_policy_with_each_certificate() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let records: String = HOSTS.iter().map(|(host, _)| format!("{host} A {}\n", site.ip(2))).collect();
    let bind = Bind::start(&site, 5, &records);
    let mut postfix = hosts(&site, &authority);
    let relay = relay(&site, &authority, &bind);
    let all = || HOSTS.iter().flat_map(|(host, words)| POLICIES.map(|policy| (policy, *host, *words)));
    for (policy, host, _) in all() {
        hand_in(&relay, &address(policy, host), &format!("{policy} {host}"));
    }
    for (policy, host, words) in all() {
        let to = address(policy, host);
        match expected(policy, host, words) {
            Outcome::InClear => {
                let line = relay.wait_for_log(&["delivered", &to]);
                assert!(!line.contains(" tls="), "{line}");
            }
            Outcome::UnderTls(checked) => {
                let line = relay.wait_for_log(&["delivered", &to]);
                assert!(line.contains(" tls=TLSv1.3 ") && line.contains(&format!(" checked={checked} ")), "{line}");
            }
            Outcome::Waits(words) => {
                let line = relay.wait_for_log(&["deferred", &to, "trouble=tls", "status=4.7."]);
                assert!(line.contains(words) && line.contains(&format!("{host}.test [")), "{line}");
                let shown = shown_in_queue(&relay, &to);
                assert!(shown.contains(words), "{shown}");
            }
        }
    }
    // What went in the clear although TLS was offered is told of.
    let log = relay.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains(" in_clear ")).collect();
    assert!(told.len() == 1 && told[0].contains("broken.test ["), "{told:?}");

    // The certificates are mended: what waited goes, and all of it is there, once.
    for (host, _) in HOSTS {
        authority.issue(&[&format!("{host}.test")]).files(&site, host);
    }
    postfix.becomes("bare_level = may\nbare_wrapped = yes\nbroken_protocols = >=TLSv1.2\n");
    for (policy, host, words) in all() {
        if matches!(expected(policy, host, words), Outcome::Waits(_)) {
            let line = relay.wait_for_log(&["delivered", &address(policy, host)]);
            assert!(line.contains(" tls=TLSv1.3 "), "{line}");
        }
    }
    until(SOON, "Queue is empty", || (relay.queued().0.is_empty() && relay.queued().1.is_empty()).then_some(()));
    let mut arrived: Vec<(String, bool)> =
        postfix.mailbox().iter().map(|message| (recipient(message), came_under_tls(message))).collect();
    arrived.sort();
    let mut sent: Vec<(String, bool)> = all()
        .map(|(policy, host, words)| (address(policy, host), expected(policy, host, words) != Outcome::InClear))
        .collect();
    sent.sort();
    assert_eq!(arrived, sent);
}

/// Lists of what was revoked are neither fetched nor asked for; one that lies beside the authority counts.
#[test]
fn certificates_that_look_revoked_and_one_that_is() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let identity = authority.doubtful(&["mail.test"]);
    let (chain, key) = identity.files(&site, "doubtful");
    let main = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
        chain.display(),
        key.display()
    );
    let postfix = Postfix::start(&site, 2, &Postfixed { main, ..Postfixed::default() });
    let bind = Bind::start(&site, 5, &format!("mail A {}\n", postfix.at.ip()));
    let trusted = authority.file(&site, "authority.pem");
    let listed = std::fs::read_to_string(&trusted).unwrap() + &authority.revokes(&identity);
    let listed = site.folder.write("listed.pem", listed);
    let lines = |authority: &std::path::Path| {
        [
            "route = \"smtp://mail.test:2525\"".to_owned(),
            "tls = \"verified\"".to_owned(),
            format!("authority = {authority:?}"),
        ]
    };
    let (by_authority, by_list) = (lines(&trusted), lines(&listed));
    let settings = Settings::new(&site)
        .dns(bind.at)
        .remote("looks.test", &by_authority.each_ref().map(String::as_str))
        .remote("listed.test", &by_list.each_ref().map(String::as_str));
    let relay = Relay::start(&site, &settings);
    hand_in(&relay, "bob@looks.test", "looks revoked");
    hand_in(&relay, "bob@listed.test", "is revoked");
    let line = relay.wait_for_log(&["delivered", "bob@looks.test"]);
    assert!(line.contains(" checked=name "), "{line}");
    let line = relay.wait_for_log(&["deferred", "bob@listed.test", "trouble=tls"]);
    assert!(line.contains("was revoked by its authority"), "{line}");
    assert!(postfix.mailbox().iter().all(|message| !has(message, "is revoked")));
}

/// Postfix relays for whoever shows a certificate of its authority; nobody logs on.
#[test]
fn our_own_certificate_opens_the_door() {
    let site = Site::new();
    let authority = Authority::new("Ours");
    let (chain, key) = authority.issue(&["mail.test"]).files(&site, "mail");
    let (own, own_key) = authority.issue(&["relay.test"]).files(&site, "own");
    let trusted = authority.file(&site, "authority.pem");
    let main = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\nsmtpd_tls_ask_ccert = yes\n\
         smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_CAfile = {}\n\
         smtpd_relay_restrictions = permit_tls_all_clientcerts, reject\n\
         smtpd_recipient_restrictions = permit_tls_all_clientcerts, reject\n",
        chain.display(),
        key.display(),
        trusted.display()
    );
    let postfix = Postfix::start(&site, 2, &Postfixed { main, ..Postfixed::default() });
    let bind = Bind::start(&site, 5, &format!("mail A {}\n", postfix.at.ip()));
    let trusted = format!("authority = {trusted:?}");
    let certificate = format!("certificate = {{ file = {own:?}, key = {own_key:?} }}");
    let to = ["route = \"smtp://mail.test:2525\"", "tls = \"verified\"", &trusted];
    let settings = Settings::new(&site)
        .dns(bind.at)
        .remote("known.test", &[to[0], to[1], to[2], &certificate])
        .remote("unknown.test", &to);
    let relay = Relay::start(&site, &settings);
    // Several over one channel, of which the later ones are taken up from the first.
    let contents: Vec<Vec<u8>> = (0..5).map(|number| tricky(&format!("known {number}"))).collect();
    let mut client = Client::greet(relay.at);
    for content in &contents {
        assert_eq!(client.message("alice@local.test", &["bob@known.test"], content).code, 250);
    }
    for (number, content) in contents.iter().enumerate() {
        let message = postfix.wait_for(&format!("Subject: known {number}\n"));
        assert_same(&message, content, "Postfix's mailbox");
        let trace = values(&message, "Received").remove(0);
        assert!(trace.contains("(Client CN \"relay.test\", Issuer \"Ours\" (verified OK))"), "{trace}");
    }
    hand_in(&relay, "bob@unknown.test", "from a stranger");
    let line = relay.wait_for_log(&["failed", "bob@unknown.test", "trouble=refused"]);
    assert!(line.contains("554 5.7.1"), "{line}");
    let report = relay.wait_for_drop("from a stranger");
    assert!(has(&report, "554 5.7.1"), "{}", String::from_utf8_lossy(&report));
}

/// By name through MX records, as most mail goes: TLS with whoever answers, and the log tells that nobody was checked.
#[test]
fn mx_hosts_get_tls_when_they_offer_it() {
    let site = Site::new();
    let (chain, key) = Identity::self_signed(&["whatever.test"]).files(&site, "mail");
    let main = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\nsmtpd_tls_cert_file = {}\n\
         smtpd_tls_key_file = {}\n",
        chain.display(),
        key.display()
    );
    let postfix = Postfix::start(&site, 2, &Postfixed { main, ..Postfixed::default() });
    let bind = Bind::start(&site, 5, &format!("dest MX 10 mail\nmail A {}\n", postfix.at.ip()));
    let relay = Relay::start(&site, &Settings::new(&site).dns(bind.at).delivery("port = 2525"));
    hand_in(&relay, "bob@dest.test", "by mx");
    let message = postfix.wait_for("Subject: by mx\n");
    assert!(came_under_tls(&message), "{}", String::from_utf8_lossy(&message));
    let line = relay.wait_for_log(&["delivered", "bob@dest.test"]);
    assert!(line.contains(" tls=TLSv1.3 ") && line.contains(" checked=unchecked "), "{line}");
}
