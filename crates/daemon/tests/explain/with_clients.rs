//! What a session finds out about a client, explain is told: connection control, TLS, certificates, accounts and their senders. Both
//! must come to the same reply.

use super::{explain, refusal};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{Site, run_well};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const PASSWORD: &str = "s3cret-Word";
/// `alice` with that password (argon2id by argon2-cffi), who may only use her own address.
const ACCOUNTS: &str = "[[account]]\nname = \"alice\"\n\
password = \"$argon2id$v=19$m=19456,t=2,p=1$MtFIpzlDpajLX7P/9Ty9CA$wUlq3KMXIIm1AntrwE4NmIjb4Cmupwc7VZAs6fcF6aU\"\n\
may_send_as = [\"alice@local.test\"]\n";

/// A key and a certificate by `ca`, or by itself.
fn certificate(site: &Site, name: &str, ca: Option<&str>) -> PathBuf {
    let file = |end: &str| site.folder.join(format!("{name}.{end}"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]);
    command.args(["-subj", &format!("/CN={name}"), "-keyout"]).arg(file("key")).arg("-out").arg(file("pem"));
    if let Some(ca) = ca {
        command.args([
            "-addext",
            &format!("subjectAltName=DNS:{name}"),
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]);
        command.arg("-CA").arg(site.folder.join(format!("{ca}.pem")));
        command.arg("-CAkey").arg(site.folder.join(format!("{ca}.key")));
    }
    run_well(&mut command);
    fs::set_permissions(file("key"), fs::Permissions::from_mode(0o600)).unwrap();
    file("pem")
}

/// `sha256:…`, as OpenSSL has it.
fn fingerprint(certificate: &PathBuf) -> String {
    let said =
        run_well(Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(certificate));
    let said = String::from_utf8(said).unwrap();
    format!("sha256:{}", said.trim().split('=').nth(1).unwrap())
}

/// The first refusal that smtplib gets on its way to RCPT; empty: none.
fn smtplib(site: &Site, relay: &Relay, more: &str, logon: bool, from: &str, to: &str) -> Option<String> {
    let logon = if logon { format!("s.login('alice', {PASSWORD:?})") } else { String::new() };
    let text = format!(
        "import smtplib, ssl\ntls = ssl.create_default_context()\ntls.check_hostname = False\ntls.verify_mode = ssl.CERT_NONE\n{more}\n\
         def told(code, text):\n    return str(code) + ' ' + text.decode()\n\
         try:\n    s = smtplib.SMTP({:?}, {}, local_hostname='python.test', timeout=30)\n\
         \x20   s.ehlo()\n    if use_tls: s.starttls(context=tls); s.ehlo()\n    {logon}\n\
         \x20   said = [s.mail({from:?}), s.rcpt({to:?})]\n\
         \x20   print(next((told(*one) for one in said if one[0] != 250), ''), end='')\n\
         except smtplib.SMTPResponseException as refused:\n    print(told(refused.smtp_code, refused.smtp_error), end='')\n",
        relay.at.ip().to_string(),
        relay.at.port(),
    );
    let program = site.folder.write("client.py", text);
    let said = String::from_utf8(run_well(Command::new("python3").arg(program))).unwrap();
    (!said.is_empty()).then_some(said)
}

/// What the Python program does before, what explain is told of it, whether it logs on, sender, recipient, whether that is taken.
type Case<'a> = (String, &'a [&'a str], bool, &'a str, &'a str, bool);

#[test]
fn certificates_and_accounts_open_what_explain_says() {
    let site = Site::new();
    certificate(&site, "relay.test", None);
    certificate(&site, "clients", None);
    let print = fingerprint(&certificate(&site, "printer.test", Some("clients")));
    certificate(&site, "app.test", Some("clients"));
    certificate(&site, "other.test", Some("clients"));
    let accounts = site.folder.write("accounts.toml", ACCOUNTS);
    fs::set_permissions(accounts, fs::Permissions::from_mode(0o600)).unwrap();
    let settings = Settings::new(&site)
        .access(&format!(
            "relay = {{ only = [{{ certificate = \"{print}\" }}, {{ certificate_name = \"app.test\" }}] }}"
        ))
        .access("certificate = { file = \"relay.test.pem\", key = \"relay.test.key\" }")
        .access("client_certificate = { authority = \"clients.pem\" }")
        .access("authentication = { methods = [\"PLAIN\", \"LOGIN\"] }")
        .smart_host(site.at(2, 2525));
    let relay = Relay::start(&site, &settings);
    let (ours, foreign) = ("v@local.test", "v@elsewhere.test");
    let shows = |name: &str| {
        let file = |end: &str| site.folder.join(format!("{name}.{end}")).display().to_string();
        format!("use_tls = True\ntls.load_cert_chain({:?}, {:?})", file("pem"), file("key"))
    };
    let (clear, tls) = ("use_tls = False".to_owned(), "use_tls = True".to_owned());
    let cases: &[Case<'_>] = &[
        (clear.clone(), &[], false, "a@apps.test", ours, true),
        (clear, &[], false, "a@apps.test", foreign, false),
        (tls.clone(), &["--tls"], false, "a@apps.test", foreign, false),
        (shows("printer.test"), &["--certificate", &print], false, "a@apps.test", foreign, true),
        (shows("app.test"), &["--certificate-name", "app.test"], false, "a@apps.test", foreign, true),
        (shows("other.test"), &["--certificate-name", "other.test"], false, "a@apps.test", foreign, false),
        (tls.clone(), &["--tls", "--auth", "alice"], true, "alice@local.test", foreign, true),
        (tls.clone(), &["--tls", "--auth", "Alice"], true, "ALICE@local.test", foreign, true),
        (tls, &["--tls", "--auth", "alice"], true, "boss@local.test", ours, false),
    ];
    for (program, words, logon, from, to, taken) in cases {
        let said = smtplib(&site, &relay, program, *logon, from, to);
        let asked = ["--json", "--from", "127.0.0.1", "--sender", from, "--rcpt", to];
        let explained = refusal(&explain(&relay.config, &[&asked[..], words].concat()));
        assert_eq!(explained, said, "{words:?} {from} {to}");
        assert_eq!(said.is_none(), *taken, "{words:?} {from} {to}: {said:?}");
    }
}

#[test]
fn whoever_is_turned_away_is_told_what_explain_says() {
    let site = Site::new();
    let mut relay = Relay::prepare(&site, &Settings::new(&site));
    relay.up();
    let away = Settings::new(&site).access("connection = { all_except = [\"127.0.0.1\"] }");
    relay.configure(&away);
    relay.process().signal("HUP");
    let said = crate::harness::until(crate::harness::SOON, "the door is shut", || {
        super::session(&relay, "<a@apps.test>", "<v@local.test>")
    });
    assert!(said.starts_with("554 5.7.1 "), "{said}");
    for from in ["127.0.0.1", "::ffff:127.0.0.1"] {
        let asked = ["--json", "--from", from, "--sender", "a@apps.test", "--rcpt", "v@local.test"];
        assert_eq!(refusal(&explain(&relay.config, &asked)), Some(said.clone()));
    }
}
