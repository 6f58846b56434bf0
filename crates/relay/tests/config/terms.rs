//! What smart hosts and domains come to: presets, what is inherited, and what is shared.

use super::parse;
use relay::config::terms::{BearerMechanism, Grant, OAuthClient, Owner, PasswordMethod, SecretSource};
use relay::config::{CertificateSource, ClientAuth, Config, Pacing, RouteTo, SmartHost, Terms, Through, TlsPolicy};
use relay::route::{self, NextHop, Route};
use smtp::address::Mailbox;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn with_server(text: &str) -> Config {
    let server = "[[virtual_server]]\nname = \"one\"\nhome = \"m\"\n";
    parse(&format!("{text}\n{server}")).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn smart_host(lines: &str) -> SmartHost {
    let config = with_server(&format!("[[smart_host]]\nname = \"a\"\n{lines}"));
    (*config.smart_hosts[0]).clone()
}

fn oauth(lines: &str) -> OAuthClient {
    match smart_host(lines).terms.auth.clone() {
        Some(ClientAuth::OAuth(client)) => (*client).clone(),
        other => panic!("{other:?}"),
    }
}

fn hop(config: &Config, address: &str) -> Arc<NextHop> {
    match route::route(&config.servers[0], &Mailbox::parse(address).unwrap()) {
        Route::Hop(hop) => hop,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_provider_fills_in_what_is_not_written() {
    let host = smart_host("provider = \"microsoft365\"");
    assert_eq!(host.hosts[0].to_string(), "smtp.office365.com:587");
    assert_eq!(host.terms.tls, TlsPolicy::Verified);
    assert_eq!(host.terms.owner, Owner::SmartHost("a".into()));
    let usual = Pacing {
        connections_max: Some(3),
        recipients_per_message: Some(500),
        messages_per_minute: Some(30),
        recipients_per_day: Some(10_000),
        slow_down: Some(5 * MINUTE),
        ..Pacing::default()
    };
    assert_eq!(host.terms.pacing, usual);

    let host = smart_host(
        "provider = \"google\"\nhosts = \"smtp-relay.gmail.com\"\ntls = \"required\"\n\
         pacing = { messages_per_day = \"unlimited\", connections_max = 2 }",
    );
    assert_eq!(host.hosts[0].to_string(), "smtp-relay.gmail.com:25");
    assert_eq!(host.terms.tls, TlsPolicy::Required);
    assert_eq!((host.terms.pacing.messages_per_day, host.terms.pacing.connections_max), (None, Some(2)));
    assert_eq!(host.terms.pacing.recipients_per_day, Some(3_000));
}

#[test]
fn without_a_provider_terms_are_plain() {
    let host = smart_host("hosts = \"smtp.a.test\"");
    assert_eq!(*host.terms, Terms { owner: Owner::SmartHost("a".into()), ..Terms::plain() });
    assert_eq!(smart_host("hosts = \"smtp.a.test:465\"").terms.tls, TlsPolicy::Implicit);
    let with_auth = "hosts = \"smtp.a.test\"\nauth = { method = \"scram\", user = \"u\", password = { file = \"p\" } }";
    let terms = smart_host(with_auth).terms;
    assert_eq!(terms.tls, TlsPolicy::Verified);
    let password = SecretSource::File(PathBuf::from("/etc/mailroot/p"));
    let (method, user) = (PasswordMethod::Scram, "u".into());
    assert_eq!(terms.auth, Some(ClientAuth::Password { method, user, domain: None, password, in_clear: false }));
}

#[test]
fn each_grant_knows_where_to_ask_and_for_what() {
    let microsoft = |grant: &str| {
        oauth(&format!(
            "provider = \"microsoft365\"\nauth = {{ method = \"oauth\", user = \"u@contoso.com\", tenant = \"contoso.com\", \
             client_id = \"app\", {grant} }}"
        ))
    };
    let client = microsoft("grant = \"client_secret\", client_secret = { env = \"S\" }");
    assert_eq!(&*client.token_endpoint, "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token");
    assert_eq!(&*client.scope, "https://outlook.office365.com/.default");
    assert_eq!((client.device_endpoint, client.mechanism), (None, BearerMechanism::Any));
    assert_eq!(client.grant, Grant::ClientSecret(SecretSource::Environment("S".into())));

    let client = microsoft("grant = \"client_certificate\", certificate = \"app.pem\"");
    let pem = PathBuf::from("/etc/mailroot/app.pem");
    assert_eq!(client.grant, Grant::ClientCertificate { certificate: pem.clone(), key: pem });

    let client = microsoft("grant = \"device_code\"");
    let device = "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/devicecode";
    assert_eq!(client.device_endpoint.as_deref(), Some(device));
    assert_eq!(&*client.scope, "https://outlook.office.com/SMTP.Send offline_access");

    let google = |grant: &str| {
        oauth(&format!("provider = \"google\"\nauth = {{ method = \"oauth\", user = \"u@example.com\", {grant} }}"))
    };
    let client = google("grant = \"service_account\", service_account = \"key.json\"");
    assert_eq!(&*client.token_endpoint, "https://oauth2.googleapis.com/token");
    assert_eq!((&*client.scope, &*client.client_id), ("https://mail.google.com/", ""));
    assert_eq!(client.grant, Grant::ServiceAccount { file: PathBuf::from("/etc/mailroot/key.json") });
    let token = "grant = \"refresh_token\", client_id = \"app\", client_secret = { file = \"/s\" }, refresh_token = { credential = \"t\" }";
    let secret = Some(SecretSource::File(PathBuf::from("/s")));
    let token_at = SecretSource::Credential("t".into());
    assert_eq!(google(token).grant, Grant::RefreshToken { token: token_at, secret });

    let by_hand = oauth(
        "hosts = \"smtp.a.test:587\"\nauth = { method = \"oauth\", mechanism = \"oauthbearer\", grant = \"device_code\", user = \"u\", \
         client_id = \"app\", token_endpoint = \"https://id.test/t\", device_endpoint = \"https://id.test/d\", scope = \" a  b \", \
         authority = \"id-ca.pem\" }",
    );
    assert_eq!(
        (&*by_hand.token_endpoint, by_hand.device_endpoint.as_deref()),
        ("https://id.test/t", Some("https://id.test/d"))
    );
    assert_eq!((&*by_hand.scope, by_hand.mechanism), ("a b", BearerMechanism::OauthBearer));
    assert_eq!(by_hand.authorities, Some(PathBuf::from("/etc/mailroot/id-ca.pem")));
}

/// Google's and Microsoft's own refusals hold for their own endpoints only.
#[test]
fn what_a_provider_does_not_know_another_endpoint_may() {
    let client = oauth(
        "provider = \"google\"\nauth = { method = \"oauth\", grant = \"device_code\", user = \"u\", client_id = \"app\", \
         token_endpoint = \"https://id.test/t\", device_endpoint = \"https://id.test/d\" }",
    );
    assert_eq!(client.device_endpoint.as_deref(), Some("https://id.test/d"));
}

#[test]
fn waits_that_are_not_written_are_those_of_the_virtual_server() {
    let text = "[[smart_host]]\nname = \"a\"\nhosts = \"a.test\"\nretry = [\"1 min\"]\n\
                [[smart_host]]\nname = \"b\"\nhosts = \"b.test\"\n\
                [[virtual_server]]\nname = \"one\"\nhome = \"m\"\n\
                delivery = { smart_host = \"a\", expiry = \"3 days\", glitch_retry = { times = 7 } }\n\
                domain = [{ name = \"b.test\", kind = \"remote\", route = \"smart_host:b\" }, \
                { name = \"c.test\", kind = \"remote\", route = \"mx\", glitch_retry = { every = \"5 s\" } }]\n";
    let config = parse(text).unwrap();
    let waits = hop(&config, "x@out.test").terms.waits.clone().unwrap();
    assert_eq!((waits.retry, waits.expiry), (vec![MINUTE], 72 * 60 * MINUTE));
    assert_eq!((waits.glitch_retry.every, waits.glitch_retry.times), (MINUTE, 7));
    assert_eq!(hop(&config, "x@b.test").terms.waits, None);
    let waits = hop(&config, "x@c.test").terms.waits.clone().unwrap();
    assert_eq!((waits.glitch_retry.every, waits.glitch_retry.times), (Duration::from_secs(5), 7));
}

/// The terms are made once: a next hop only points to them.
#[test]
fn terms_are_shared_by_all_mail_that_goes_on_them() {
    let text = "[[smart_host]]\nname = \"a\"\nhosts = \"a.test\"\nretry = [\"1 min\"]\n\
                [[virtual_server]]\nname = \"one\"\nhome = \"m\"\ndelivery.smart_host = \"a\"\n\
                domain = [{ name = \"*.b.test\", kind = \"remote\", route = \"mx\", tls = \"required\" }]\n";
    let config = parse(text).unwrap();
    assert!(Arc::ptr_eq(&hop(&config, "x@c.test").terms, &hop(&config, "x@d.test").terms));
    let (one, two) = (hop(&config, "x@one.b.test"), hop(&config, "x@two.b.test"));
    assert!(Arc::ptr_eq(&one.terms, &two.terms));
    assert_eq!(one.terms.owner, Owner::Domain("*.b.test".into()));
    assert_eq!(one.terms.tls, TlsPolicy::Required);
}

#[test]
fn a_domain_inherits_how_the_virtual_server_connects() {
    let text = "[[virtual_server]]\nname = \"one\"\nhome = \"m\"\n\
                delivery = { tls = \"required\", authority = \"ca.pem\", bind = [\"192.0.2.1\"] }\n\
                domain = [{ name = \"a.test\", kind = \"remote\", pacing = { connections_max = 1 } }, \
                { name = \"b.test\", kind = \"remote\", route = \"lmtp+unix:/run/lmtp\" }, \
                { name = \"c.test\", kind = \"remote\", bind = \"2001:db8::1\", certificate = { file = \"c.pem\" } }]\n";
    let config = parse(text).unwrap();
    let own = hop(&config, "x@a.test").terms.clone();
    assert_eq!((own.tls, own.pacing.connections_max), (TlsPolicy::Required, Some(1)));
    assert_eq!(own.authorities, Some(PathBuf::from("/etc/mailroot/ca.pem")));
    assert_eq!(own.bind, ["192.0.2.1".parse::<std::net::IpAddr>().unwrap()]);
    let socket = hop(&config, "x@b.test").terms.clone();
    assert_eq!((socket.tls, socket.bind.len()), (TlsPolicy::None, 0));
    let other = hop(&config, "x@c.test").terms.clone();
    assert_eq!(other.bind, ["2001:db8::1".parse::<std::net::IpAddr>().unwrap()]);
    let pem = PathBuf::from("/etc/mailroot/c.pem");
    assert_eq!(other.certificate, Some(CertificateSource::Pem { file: pem.clone(), key: pem }));
    assert_eq!(hop(&config, "x@d.test").terms.owner, Owner::Server);
}

/// The smart host that takes what does not get through has terms of its own.
#[test]
fn after_direct_delivery_the_smart_hosts_terms_hold() {
    let text = "[[smart_host]]\nname = \"a\"\nhosts = \"a.test\"\ntls = \"required\"\n\
                [[virtual_server]]\nname = \"one\"\nhome = \"m\"\n\
                delivery = { smart_host = \"a\", smart_host_use = \"after_direct\" }\n";
    let hop = hop(&parse(text).unwrap(), "x@b.test");
    assert_eq!(hop.terms.tls, TlsPolicy::Opportunistic);
    assert_eq!(hop.then_terms.as_ref().map(|terms| terms.tls), Some(TlsPolicy::Required));
    assert_eq!(hop.to_string(), "mx b.test:25, then a.test:25");
}

/// A plain list of hosts is spoken to on the virtual server's terms there, whatever the domain has for its own hosts; where all mail goes
/// to the list, the domain's terms are for it.
#[test]
fn after_direct_delivery_a_list_of_hosts_has_the_virtual_servers_terms() {
    let text = |used: &str| {
        format!(
            "[[virtual_server]]\nname = \"one\"\nhome = \"m\"\n\
             delivery = {{ smart_host = \"a.test\", smart_host_use = \"{used}\", tls = \"verified\" }}\n\
             domain = [{{ name = \"b.test\", kind = \"remote\", tls = \"none\" }}]\n"
        )
    };
    let after = hop(&parse(&text("after_direct")).unwrap(), "x@b.test");
    let then = after.then_terms.as_ref().unwrap();
    assert_eq!((after.terms.tls, then.tls), (TlsPolicy::None, TlsPolicy::Verified));
    assert_eq!(then.owner, Owner::Server);
    let always = hop(&parse(&text("always")).unwrap(), "x@b.test");
    assert_eq!((always.terms.tls, always.then_terms.is_none()), (TlsPolicy::None, true));
}

#[test]
fn a_name_that_is_defined_goes_before_a_host() {
    let text = |smart_host: &str| {
        let server = "[[virtual_server]]\nname = \"one\"\nhome = \"m\"\n";
        format!("[[smart_host]]\nname = \"office\"\nhosts = \"a.test\"\n{server}delivery.smart_host = {smart_host}\n")
    };
    let through = |value: &str| parse(&text(value)).unwrap().servers[0].delivery.smart_host.clone();
    assert!(matches!(through("\"office\""), Through::SmartHost(host) if &*host.name == "office"));
    assert!(matches!(through("[\"OFFICE\"]"), Through::SmartHost(_)));
    assert!(matches!(through("\"office:25\""), Through::Hosts(hosts) if hosts[0].to_string() == "office:25"));
    assert!(matches!(through("\"mailhub\""), Through::Hosts(hosts) if hosts[0].to_string() == "mailhub:25"));
    assert!(matches!(through("[]"), Through::Dns));
}

#[test]
fn secrets_are_in_no_words() {
    let text = "[[smart_host]]\nname = \"a\"\nhosts = \"a.test\"\n\
                auth = { method = \"password\", user = \"u\", password = { file = \"p\" } }\n\
                [[virtual_server]]\nname = \"one\"\nhome = \"m\"\n\
                domain = [{ name = \"a.test\", kind = \"remote\", route = \"smart_host:a\" }]\n";
    let config = parse(text).unwrap();
    let remote = &config.servers[0].remotes[0];
    assert!(matches!(remote.route, Some(RouteTo::SmartHost(_))) && remote.terms.is_none());
    let words = config.servers[0].describe().join("\n");
    assert!(words.contains("password from the file /etc/mailroot/p"), "{words}");
}
