//! A real Postfix that hands its mail to us as an authenticated client under TLS, and checks our certificate.

use super::{PASSWORD, settings};
use crate::harness::Site;
use crate::harness::client::Client;
use crate::harness::mail::{assert_same, tricky, values};
use crate::harness::postfix::{Postfix, Postfixed};
use crate::harness::relay::Relay;

#[test]
fn postfix_logs_on_under_tls() {
    logs_on("plain", "PLAIN");
}

/// The library of Cyrus proves itself without showing the password, and believes our proof.
#[test]
fn postfix_logs_on_by_scram() {
    logs_on("scram-sha-256", "SCRAM-SHA-256");
}

fn logs_on(filter: &str, method: &str) {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    let methods = format!("authentication = {{ methods = [\"{method}\"] }}");
    let relay = Relay::start(&site, &settings.access(&methods).alias("via.test"));
    let submission = doors.submission;
    let main = format!(
        "smtp_tls_security_level = verify\nsmtp_tls_verify_cert_match = relay.test\n\
         smtp_tls_CAfile = {ca}\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_security_options = noanonymous\n\
         smtp_sasl_mechanism_filter = {filter}\n\
         smtp_sasl_password_maps = inline:{{ {{ [{ip}]:{port} = alice:{PASSWORD} }} }}\n",
        ca = site.folder.join("relay.pem").display(),
        ip = submission.ip(),
        port = submission.port(),
    );
    let postfix = Postfix::start(&site, 6, &Postfixed { main, via: Some(submission), ..Postfixed::default() });
    let sent = tricky("through postfix");
    let reply = Client::greet(postfix.at).message("alice@local.test", &["b@via.test"], &sent);
    assert_eq!(reply.code, 250, "{reply:?}\n{}", postfix.log());
    let dropped = relay.wait_for_drop("through postfix");
    assert!(values(&dropped, "received")[0].contains(" with ESMTPSA id "), "{:?}", values(&dropped, "received"));
    assert_same(&dropped, &sent, "Drop");
    relay.wait_for_log(&["accepted id=", "account=alice"]);
    relay.wait_for_log(&["account=alice", &format!("method={method} ")]);
}
