//! Defaults: those that the old service's setup wrote, and the sample file.

use super::{drawn, parse};
use relay::config::{
    AccessList, Config, DefaultDomain, Delivery, GlitchRetry, Listener, ListenerTls, QueueBounds, SmartHostUse, Terms,
    Through, settings,
};
use smtp::address::Domain;
use smtp::body::BareNewlines;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn plain(address: &str) -> Listener {
    Listener { address: address.parse().unwrap(), tls: ListenerTls::Plain, authentication_required: false }
}

#[test]
fn a_name_and_a_home_are_enough() {
    let config = parse("[[virtual_server]]\nname = \"one\"\nhome = \"mailroot\"\n").unwrap();
    assert!(config.dns.servers.is_empty());
    let server = &config.servers[0];
    assert_eq!(server.home, PathBuf::from("/etc/mailroot/mailroot"));

    let general = &server.general;
    assert_eq!(general.listen, [plain("0.0.0.0:25")]);
    assert_eq!((general.connections_max, general.timeout), (Some(1_000), 10 * MINUTE));
    assert_eq!(general.bare_newlines, BareNewlines::Reject);

    assert_eq!(server.access.relay.list, AccessList::Only(Vec::new()));
    assert!(server.access.relay.authenticated);

    let messages = &server.messages;
    assert_eq!((messages.size_max, messages.session_size_max), (Some(2 << 20), Some(10 << 20)));
    assert_eq!((messages.messages_per_connection, messages.recipients_max), (Some(20), 100));
    assert_eq!(messages.ndr_copy_to, None);
    assert_eq!(messages.badmail, server.home.join("Badmail"));

    let fqdn = Domain::parse("relay.example.com").unwrap();
    assert_eq!(
        server.delivery,
        Delivery {
            retry: vec![15 * MINUTE, 30 * MINUTE, 60 * MINUTE, 240 * MINUTE],
            glitch_retry: GlitchRetry { every: MINUTE, times: 3 },
            delay_notice: 12 * 60 * MINUTE,
            expiry: 48 * 60 * MINUTE,
            local_delay_notice: 12 * 60 * MINUTE,
            local_expiry: 48 * 60 * MINUTE,
            connections_max: Some(1_000),
            connections_per_domain_max: Some(100),
            timeout: 10 * MINUTE,
            port: 25,
            hop_count_max: 15,
            masquerade_domain: None,
            masquerade_from: false,
            fqdn: fqdn.clone(),
            smart_host: Through::Dns,
            smart_host_use: SmartHostUse::Always,
            terms: Arc::new(Terms::plain()),
            mta_sts: true,
            mx_loopback: false,
        }
    );
    assert_eq!(
        server.queue,
        QueueBounds {
            memory_max: 64 << 20,
            journal_max: 256 << 20,
            free_space_min: 100 << 20,
            stream_over: 1 << 20,
            messages_max: 1_000_000,
        }
    );
    assert_eq!(
        server.default_domain,
        DefaultDomain { name: fqdn, route: None, drop: server.home.join("Drop"), quota: Some(20 << 20), terms: None }
    );
    assert!(server.aliases.is_empty() && server.remotes.is_empty());
}

#[test]
fn some_defaults_follow_from_other_settings() {
    let messages = |lines: &str| {
        let text = format!("[[virtual_server]]\nname = \"one\"\nhome = \"m\"\n[virtual_server.messages]\n{lines}");
        let server = parse(&text).unwrap().servers[0].clone();
        (server.messages.session_size_max, server.default_domain.quota)
    };
    assert_eq!(messages("size_max = \"50 MB\""), (Some(50 << 20), Some(500 << 20)));
    assert_eq!(messages("size_max = \"1 MB\""), (Some(10 << 20), Some(10 << 20)));
    assert_eq!(messages("size_max = \"none\""), (None, None));
    assert_eq!(messages("session_size_max = \"Unlimited\""), (None, Some(20 << 20)));
}

#[test]
fn the_machines_name_must_be_one() {
    let text = "[[virtual_server]]\nname = \"one\"\nhome = \"m\"\n";
    for bad in ["", "my host", "192.0.2.1", "-"] {
        let problems = Config::parse(text, "/m.toml", bad).unwrap_err();
        assert!(problems[0].text.contains("`delivery.fqdn` is missing"), "{}", problems[0]);
        assert!(Config::parse(&format!("{text}delivery.fqdn = \"a.test\""), "/m.toml", bad).is_ok());
    }
    let server = Config::parse(text, "/m.toml", "Host").unwrap().servers[0].clone();
    assert_eq!(server.delivery.fqdn.as_str(), "host");
    assert!(server.describe().iter().any(|line| line.contains("set delivery.fqdn")));
}

/// The sample parses as it is, and with every setting switched on; and no setting is missing in it.
#[test]
fn the_sample_is_whole() {
    let sample = Config::sample(
        Path::new("/tmp/a \"b\" \\ c"),
        &["127.0.0.1:2525".parse().unwrap()],
        "127.0.0.1:8025".parse().unwrap(),
    );
    let config = parse(&sample).unwrap_or_else(|problems| panic!("{}", drawn(&problems, &sample)));
    assert_eq!(config.servers[0].home, PathBuf::from("/tmp/a \"b\" \\ c"));
    assert_eq!(config.servers[0].general.listen, [plain("127.0.0.1:2525")]);

    let on: Vec<String> = sample
        .lines()
        .map(|line| match line.trim_start().strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => setting.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    let on = on.join("\n");
    let full = parse(&on).unwrap_or_else(|problems| panic!("{}", drawn(&problems, &on)));
    let (bare, full) = (&config.servers[0], &full.servers[0]);
    assert_eq!((&bare.general, &bare.access, bare.queue), (&full.general, &full.access, full.queue));
    let mut delivery = full.delivery.clone();
    delivery.smart_host = Through::Dns;
    delivery.masquerade_domain = None;
    delivery.terms = Arc::new(Terms::plain());
    assert_eq!(delivery, bare.delivery);

    // What only some relays want is shown where it is used: in docs/recipes, and all of it in docs/settings.md.
    const ELSEWHERE: [&str; 15] = [
        "general.listen.",
        "access.certificate.",
        "access.client_certificate.",
        "access.connection.only",
        "access.relay.all_except",
        "access.relay.authenticated",
        "access.relay.i_want_an_open_relay",
        "access.authentication.default_logon_domain",
        "access.authentication.keytab",
        "access.authentication.oauth.",
        "access.inspection.",
        "smart_host.auth.",
        "smart_host.certificate.",
        "domain.auth.",
        "domain.certificate.",
    ];
    for setting in settings::ALL {
        let written = on.contains(&format!("{} = ", setting.key()));
        let is_elsewhere = ELSEWHERE.iter().any(|prefix| setting.name.starts_with(prefix));
        assert!(written || is_elsewhere, "{} is not in the sample", setting.name);
    }
}

/// Lines are known for every setting, and make no difference.
#[test]
fn places_are_kept_and_do_not_count() {
    let text = "[[virtual_server]]\nname = \"one\"\nhome = \"m\"\n[virtual_server.access]\nrelay = { only = [\n\"10.0.0.0/8\",\n \"::1\"] }\n\
                reverse_dns = true\n[[virtual_server.domain]]\nname = \"*.Example.com.\"\nkind = \"remote\"\nroute = \"mx\"\n";
    let server = parse(text).unwrap().servers[0].clone();
    let line = |setting: &str| server.places.of(setting).map(|place| place.line);
    let item = |index| server.places.item("access.relay.only", index).map(|place| place.line);
    assert_eq!((line("name"), line("access.reverse_dns"), line("general.timeout")), (Some(2), Some(8), None));
    assert_eq!((item(0), item(1)), (Some(6), Some(7)));
    let domain = Domain::parse("example.com").unwrap();
    assert_eq!(server.places.domain(&domain, true, "route").map(|place| place.line), Some(12));
    assert_eq!(server.places.domain(&domain, true, "allow_relay"), None);
    assert_eq!(server.places.domain(&domain, false, "route"), None);
    assert_eq!(
        server.places.of("name").map(|place| place.to_string()),
        Some("/etc/mailroot/mailroot.toml:2".to_owned())
    );

    let moved = parse(&format!("# A line more.\n{text}")).unwrap().servers[0].clone();
    assert_eq!(moved.places.of("name").map(|place| place.line), Some(3));
    assert_eq!(moved, server, "a reload that only moves lines changes nothing");
    assert_ne!(parse(&text.replace("mx", "smtp://a.test")).unwrap().servers[0], server);
}
