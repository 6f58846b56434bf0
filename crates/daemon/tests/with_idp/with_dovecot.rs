//! Tokens that a real Dovecot checks, by asking the provider about them, for a real Postfix. Needs root.

use super::delivery::{hand_in, nothing_is_shown};
use super::*;
use crate::harness::certificates::Authority;
use crate::harness::dovecot::Dovecot;
use crate::harness::postfix::{Postfix, Postfixed};
use crate::harness::relay::{Relay, Settings};

const METHODS: [(u16, &str); 2] = [(2601, "xoauth2"), (2602, "oauthbearer")];

fn dovecot(site: &Site, idp: &Idp) -> Dovecot {
    let asks = format!(
        "introspection_url = {}/introspect?token=\nintrospection_mode = get\nactive_attribute = active\n\
         active_value = true\nusername_attribute = upn\nusername_format = %Lu\ntls_ca_cert_file = {}\n",
        idp.issuer(),
        idp.authority().display()
    );
    let file = site.folder.write("oauth2.conf", asks);
    // Its own user reads the authority's certificate.
    fs::set_permissions(&idp.folder, fs::Permissions::from_mode(0o755)).unwrap();
    let more = format!(
        "auth_username_format = %Lu\n\
         passdb {{\n driver = oauth2\n mechanisms = xoauth2 oauthbearer\n args = {}\n}}\n",
        file.display()
    );
    Dovecot::knowing(site, 3, "plain xoauth2 oauthbearer", &more)
}

#[test]
fn dovecot_believes_our_tokens_by_both_methods() {
    let site = Site::new();
    let idp = Idp::start(&site, 5);
    let dovecot = dovecot(&site, &idp);
    let authority = Authority::new("Ours");
    let (chain, key) = authority.issue(&[&site.ip(2).to_string()]).files(&site, "mail");
    let main = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_auth_only = yes\n\
         smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n\
         smtpd_sasl_authenticated_header = yes\nsmtpd_relay_restrictions = permit_sasl_authenticated, reject\n\
         smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n",
        chain.display(),
        key.display(),
        dovecot.sasl.display()
    );
    let only = |method: &str| format!("-o smtpd_sasl_mechanism_filter={method}");
    let ports = METHODS.map(|(port, method)| (port, only(method))).to_vec();
    let postfix = Postfix::start(&site, 2, &Postfixed { main, ports, ..Postfixed::default() });
    let trusted = format!("authority = {:?}", authority.file(&site, "authority.pem"));
    let settings = METHODS.iter().fold(Settings::new(&site), |settings, (port, method)| {
        let hosts = format!("hosts = [\"[{}]:{port}\"]", site.ip(2));
        let route = format!("route = \"smart_host:{method}\"");
        settings
            .smart_host_object(method, &[&hosts, "tls = \"verified\"", &trusted, &idp.auth("by-secret")])
            .remote(&format!("{method}.test"), &[&route])
    });
    let relay = Relay::start(&site, &settings);
    for (_, method) in METHODS {
        hand_in(&relay, &format!("bob@{method}.test"), method);
        let message = String::from_utf8(postfix.wait_for(&format!("Subject: {method}\n"))).unwrap();
        assert!(message.contains("(Authenticated sender: relay@contoso.com)"), "{message}");
        let line = relay.wait_for_log(&["delivered", &format!("bob@{method}.test")]);
        assert!(line.contains(&format!(" auth={} ", method.to_uppercase())), "{line}");
    }
    // Both connections are over, so that the next message needs a log-on.
    until(SOON, "Postfix hears QUIT", || (postfix.log().matches(" quit=1 ").count() == 2).then_some(()));
    // The provider takes all tokens back: the mail waits until it gives better ones.
    idp.does("withdrawn/yes");
    for (_, method) in METHODS {
        hand_in(&relay, &format!("bob@{method}.test"), &format!("{method} again"));
        relay.wait_for_log(&["deferred", &format!("bob@{method}.test"), "trouble=auth"]);
    }
    idp.does("withdrawn/no");
    for (_, method) in METHODS {
        postfix.wait_for(&format!("Subject: {method} again\n"));
    }
    assert_eq!(postfix.mailbox().len(), 4);
    assert!(relay.dropped().is_empty());
    nothing_is_shown(&relay);
}
