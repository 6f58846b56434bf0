//! What a session finds out about a client, explain is told: connection control, TLS, certificates, accounts and their senders. Both
//! must come to the same reply.

use super::{explain, refusal};
use crate::harness::relay::{Relay, Settings};
use crate::harness::{Site, run_well};
use std::fs;
use std::net::SocketAddr;
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

/// Says these lines one after the other, TLS begun by `STARTTLS`; the first reply that refuses.
fn python(site: &Site, at: SocketAddr, shows: Option<&str>, lines: &[&str]) -> Option<String> {
    let lines: Vec<String> = lines.iter().map(|line| format!("{line:?}")).collect();
    let certificate = shows.map(|name| {
        let file = |end: &str| site.folder.join(format!("{name}.{end}")).display().to_string();
        format!("tls.load_cert_chain({:?}, {:?})", file("pem"), file("key"))
    });
    let text = format!(
        "import socket, ssl\ntls = ssl.create_default_context()\ntls.check_hostname = False\ntls.verify_mode = ssl.CERT_NONE\n{}\n\
         s = socket.create_connection(({:?}, {}), 30)\n\
         def told():\n    text = b''\n    while not text.endswith(b'\\r\\n') or text[text[:-2].rfind(b'\\n') + 1:][3:4] == b'-':\n\
         \x20       more = s.recv(4096)\n        if not more: break\n        text += more\n    return text.decode().strip()\n\
         said = told()\nfor line in [{}]:\n    if said[:1] not in '23': break\n\
         \x20   s.sendall(line.encode() + b'\\r\\n')\n    said = told()\n\
         \x20   if line == 'STARTTLS' and said[:1] == '2': s = tls.wrap_socket(s)\n\
         if said[:1] not in '23': print(said, end='')\n",
        certificate.unwrap_or_default(),
        at.ip().to_string(),
        at.port(),
        lines.join(", ")
    );
    let program = site.folder.write("lines.py", text);
    let said = String::from_utf8(run_well(Command::new("python3").arg(program))).unwrap();
    (!said.is_empty()).then_some(said)
}

/// A relay on which every method lacks something at times, and its address for submission.
fn choosy(site: &Site) -> (Relay, SocketAddr) {
    certificate(site, "relay.test", None);
    certificate(site, "clients", None);
    certificate(site, "app.test", Some("clients"));
    certificate(site, "stranger.test", Some("clients"));
    let accounts = site.folder.write("accounts.toml", format!("{ACCOUNTS}[[account]]\nname = \"app.test\"\n"));
    fs::set_permissions(accounts, fs::Permissions::from_mode(0o600)).unwrap();
    let submission = site.at(1, 2587);
    let methods = "[\"EXTERNAL\", \"NTLM\", \"GSSAPI\", \"PLAIN\"]";
    let mut settings = Settings::new(site)
        .access("relay = { only = [] }")
        .access("certificate = { file = \"relay.test.pem\", key = \"relay.test.key\" }")
        .access("client_certificate = { authority = \"clients.pem\" }")
        .access(&format!("authentication = {{ methods = {methods}, keytab = \"none.keytab\" }}"));
    let tls = "tls = \"starttls_required\", authentication_required = true";
    settings.listen.push(format!("{{ address = \"{submission}\", {tls} }}"));
    (Relay::start(site, &settings), submission)
}

/// What explain is told of the log-on, the certificate that the client shows, what it says after EHLO, the code that it gets.
type Attempt<'a> = (&'a [&'a str], Option<&'a str>, &'a [&'a str], Option<&'a str>);

const PLAIN: &str = "AUTH PLAIN AGFsaWNlAHMzY3JldC1Xb3Jk";
const NTLM: &str = "AUTH NTLM TlRMTVNTUAABAAAABwIIAAAAAAAAAAAAAAAAAAAAAAA=";
const FROM: &str = "MAIL FROM:<alice@local.test>";
const TO: &str = "RCPT TO:<v@elsewhere.test>";

/// Explain comes to what the session comes to, word for word.
fn assert_agreed(site: &Site, relay: &Relay, at: SocketAddr, attempts: &[Attempt<'_>]) {
    for (words, shows, lines, code) in attempts {
        let said = python(site, at, *shows, lines);
        let port = at.port().to_string();
        let asked = ["--json", "--from", "127.0.0.1", "--port", &port];
        let mail = ["--sender", "alice@local.test", "--rcpt", "v@elsewhere.test"];
        let explained = refusal(&explain(&relay.config, &[&asked[..], &mail, words].concat()));
        assert_eq!(explained, said, "{lines:?} {words:?}");
        assert_eq!(said.as_deref().map(|said| &said[..3]), *code, "{lines:?}: {said:?}");
    }
}

#[test]
fn a_method_that_lacks_something_is_refused_in_the_same_words() {
    let site = Site::new();
    let (relay, _) = choosy(&site);
    let hello = "EHLO a.test";
    let external = |account: &'static str, name: &'static str| {
        ["--certificate-name", name, "--auth", account, "--method", "EXTERNAL"]
    };
    let by = |method: &'static str, account: &'static str| ["--tls", "--auth", account, "--method", method];
    let tls = |auth: &'static str| [hello, "STARTTLS", hello, auth, FROM, TO];
    let attempts: &[Attempt<'_>] = &[
        (&external("app.test", "app.test"), Some("app.test"), &tls("AUTH EXTERNAL ="), None),
        (&external("alice", "app.test"), Some("app.test"), &tls("AUTH EXTERNAL YWxpY2U="), Some("535")),
        (&external("stranger.test", "stranger.test"), Some("stranger.test"), &tls("AUTH EXTERNAL ="), Some("535")),
        (&by("EXTERNAL", "app.test"), None, &tls("AUTH EXTERNAL ="), Some("504")),
        (&by("NTLM", "alice"), None, &tls(NTLM), Some("504")),
        (&by("GSSAPI", "alice"), None, &tls("AUTH GSSAPI YQ=="), Some("504")),
        (&by("SCRAM-SHA-256", "alice"), None, &tls("AUTH SCRAM-SHA-256"), Some("504")),
        (&["--tls", "--auth", "alice"], None, &tls(PLAIN), None),
        (&["--auth", "alice", "--method", "PLAIN"], None, &[hello, PLAIN], Some("538")),
    ];
    assert_agreed(&site, &relay, relay.at, attempts);
}

#[test]
fn what_comes_without_tls_account_or_name_is_refused_in_the_same_words() {
    let site = Site::new();
    let (relay, submission) = choosy(&site);
    let hello = "EHLO a.test";
    let attempts: &[Attempt<'_>] = &[
        (&[], None, &[hello, FROM], Some("530")),
        (&["--tls"], None, &[hello, "STARTTLS", hello, FROM], Some("530")),
        (&["--tls", "--auth", "alice"], None, &[hello, "STARTTLS", hello, PLAIN, FROM, TO], None),
    ];
    assert_agreed(&site, &relay, submission, attempts);
    let long = "a".repeat(300);
    let attempts: &[Attempt<'_>] = &[(&["--helo", &long], None, &[&format!("EHLO {long}")], Some("501"))];
    assert_agreed(&site, &relay, relay.at, attempts);
}

#[test]
fn where_no_method_is_on_there_is_no_auth() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let said = python(&site, relay.at, None, &["EHLO a.test", "AUTH PLAIN AGFsaWNlAHMzY3JldC1Xb3Jk"]);
    let words = ["--json", "--from", "127.0.0.1", "--sender", "a@b.test", "--rcpt", "v@local.test", "--auth", "alice"];
    assert_eq!(refusal(&explain(&relay.config, &words)), said);
    assert!(said.unwrap().starts_with("502 5.5.1"));
}
