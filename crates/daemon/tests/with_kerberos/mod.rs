//! GSSAPI against a real key distribution centre (MIT) with real clients (curl, python-gssapi): who has a ticket gets in, and nobody else.
//!
//! The centre has a realm of its own in the test's folder and listens on the test's address; everything learns of it by
//! `KRB5_CONFIG`. Compiled with the feature `kerberos` only.

mod outward;

use crate::harness::mail::plain;
use crate::harness::relay::{PROGRAM, Relay, Settings};
use crate::harness::{Process, SOON, Site, client::Client, listening, run, run_well, until};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const REALM: &str = "EXAMPLE.TEST";
const PORT: u16 = 8888;

/// Debian's own Python, which has the package gssapi.
const PYTHON: &str = "/usr/bin/python3";
/// Says what it got in the end. `layer` is what the client asks for.
const SPNEGO_CLIENT: &str = r#"
import base64, gssapi, smtplib, sys
host, port, layer = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
name = gssapi.Name("smtp@relay.test", gssapi.NameType.hostbased_service)
context = gssapi.SecurityContext(name=name, mech=gssapi.OID.from_int_seq("1.3.6.1.5.5.2"), usage="initiate",
    flags=[gssapi.RequirementFlag.mutual_authentication, gssapi.RequirementFlag.integrity])
smtp = smtplib.SMTP(host, port, timeout=30)
smtp.ehlo("python.test")
def send(line, octets):
    code, text = smtp.docmd(line + base64.b64encode(octets).decode())
    if code != 334:
        print(code, text.decode())
        sys.exit()
    return base64.b64decode(text)
answer = send("AUTH GSSAPI ", context.step())
while not context.complete:
    token = context.step(answer)
    answer = send("", token or b"")
if not answer:
    answer = send("", b"")
offer = context.unwrap(answer).message
assert offer == b"\x01\0\0\0", offer
send("", context.wrap(layer, False).message)
"#;

/// A realm with the users alice and mallory, and services.
struct Realm {
    site: Site,
    _centre: Process,
}

impl Realm {
    fn start() -> Realm {
        let site = Site::new();
        let (folder, ip) = (site.folder.path().display(), site.ip(88));
        site.folder.write(
            "krb5.conf",
            format!(
                "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n \
                 dns_canonicalize_hostname = false\n udp_preference_limit = 1\n\
                 [realms]\n {REALM} = {{\n  kdc = {ip}:{PORT}\n }}\n[domain_realm]\n relay.test = {REALM}\n"
            ),
        );
        site.folder.write(
            "kdc.conf",
            format!(
                "[kdcdefaults]\n kdc_listen = {ip}:{PORT}\n kdc_tcp_listen = {ip}:{PORT}\n\
                 [realms]\n {REALM} = {{\n  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n  \
                 acl_file = {folder}/acl\n }}\n[logging]\n kdc = FILE:{folder}/kdc.log\n"
            ),
        );
        run_well(environment(Command::new("kdb5_util"), &site).args(["create", "-s", "-P", "master", "-r", REALM]));
        let admin = |query: &str| {
            run_well(environment(Command::new("kadmin.local"), &site).args(["-r", REALM, "-q", query]));
        };
        for user in ["alice", "mallory"] {
            admin(&format!("addprinc -pw s3cret {user}"));
        }
        for (service, keytab) in
            [("smtp/relay.test", "smtp"), ("smtp/other.test", "other"), ("HTTP/relay.test", "both")]
        {
            admin(&format!("addprinc -randkey {service}"));
            admin(&format!("ktadd -k {folder}/{keytab}.keytab {service}"));
        }
        admin(&format!("ktadd -norandkey -k {folder}/both.keytab smtp/relay.test"));
        let centre = Process::start(environment(Command::new("krb5kdc"), &site).args(["-n", "-r", REALM]));
        listening(site.at(88, PORT), "the key distribution centre");
        Realm { site, _centre: centre }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.folder.join(name)
    }

    /// Gets a ticket for getting tickets.
    fn log_on(&self, user: &str) {
        let mut kinit = environment(Command::new("kinit"), &self.site);
        let mut child =
            kinit.arg(user).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("kinit cannot be run");
        child.stdin.take().unwrap().write_all(b"s3cret\n").unwrap();
        assert!(child.wait().unwrap().success(), "kinit {user}");
    }

    fn log_off(&self) {
        run(environment(Command::new("kdestroy"), &self.site).arg("-q"));
    }

    /// The relay with that keytab and an account for alice; NTLM is on beside GSSAPI, SCRAM needs nothing.
    fn relay(&self, keytab: &str) -> Relay {
        let mut relay = Relay::prepare(&self.site, &self.settings(keytab));
        self.add_account();
        relay.up_by(&mut environment(relay.command(), &self.site));
        relay
    }

    fn add_account(&self) {
        if self.path("accounts.toml").exists() {
            return;
        }
        let mut add = Command::new(PROGRAM);
        add.args(["account", "add", "alice", "--password-stdin", "--accounts"]).arg(self.path("accounts.toml"));
        let mut child = add.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"other\n").unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn settings(&self, keytab: &str) -> Settings {
        Settings::new(&self.site).access("relay = { only = [] }").access(&format!(
            "authentication = {{ methods = [\"GSSAPI\", \"SCRAM-SHA-256\"], keytab = \"{}\", \
             default_logon_domain = \"example.test\" }}",
            self.path(keytab).display()
        ))
    }

    /// curl hands a message in, by GSSAPI; the relay is known to it as this host.
    fn curl(&self, relay: &Relay, host: &str, name: &str, more: &[&str]) -> Output {
        let file = self.site.folder.write(name, plain(name, "b@elsewhere.test"));
        let (ip, port) = (relay.at.ip(), relay.at.port());
        let mut curl = environment(Command::new("curl"), &self.site);
        curl.args(["-sSv", "--max-time", "30", "--resolve", &format!("{host}:{port}:{ip}"), "--user", ":"])
            .args([&format!("smtp://{host}:{port}/curl.test"), "--login-options", "AUTH=GSSAPI"])
            .args(["--mail-from", "alice@local.test", "--mail-rcpt", "b@elsewhere.test"])
            .args(more)
            .arg("--upload-file")
            .arg(file);
        run(&mut curl)
    }

    fn check(&self, keytab: &str) -> (bool, String) {
        let relay = Relay::prepare(&self.site, &self.settings(keytab));
        self.add_account();
        let output = run(environment(Command::new(PROGRAM), &self.site).args(["check", "--config"]).arg(&relay.config));
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn environment(mut command: Command, site: &Site) -> Command {
    let folder = site.folder.path();
    command
        .env("KRB5_CONFIG", folder.join("krb5.conf"))
        .env("KRB5_KDC_PROFILE", folder.join("kdc.conf"))
        .env("KRB5CCNAME", format!("FILE:{}", folder.join("tickets").display()))
        .env("KRB5RCACHENAME", format!("file2:{}", folder.join("replays").display()))
        .env_remove("KRB5_KTNAME");
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn who_has_a_ticket_and_an_account_gets_in() {
    let realm = Realm::start();
    let relay = realm.relay("both.keytab");
    assert!(!realm.curl(&relay, "relay.test", "no ticket", &[]).status.success());

    realm.log_on("alice");
    let output = realm.curl(&relay, "relay.test", "with a ticket", &[]);
    assert!(output.status.success(), "{}\n{}", told(&output), relay.log());
    relay.wait_for_log(&[" logon account=alice method=GSSAPI peer=127."]);
    assert!(realm.curl(&relay, "relay.test", "as herself", &["--sasl-authzid", "alice"]).status.success());

    // As somebody else, for another service of this machine, for another host: no.
    let denied = |output: &Output| told(output).lines().any(|line| line.starts_with("< 535 5.7.8"));
    let as_bob = realm.curl(&relay, "relay.test", "as bob", &["--sasl-authzid", "bob"]);
    assert!(denied(&as_bob), "{}", told(&as_bob));
    relay.wait_for_log(&["account=alice@EXAMPLE.TEST method=GSSAPI", "why=acts_as_another"]);
    let other_service = realm.curl(&relay, "relay.test", "for HTTP", &["--service-name", "HTTP"]);
    assert!(denied(&other_service), "{}", told(&other_service));
    relay.wait_for_log(&["method=GSSAPI", "why=token", "the ticket is for another service"]);

    realm.log_off();
    realm.log_on("mallory");
    let stranger = realm.curl(&relay, "relay.test", "a stranger", &[]);
    assert!(denied(&stranger), "{}", told(&stranger));
    relay.wait_for_log(&["account=mallory@EXAMPLE.TEST method=GSSAPI", "why=no_such_account"]);
}

#[test]
fn a_ticket_for_another_host_and_a_replay_are_refused() {
    let realm = Realm::start();
    let relay = realm.relay("smtp.keytab");
    realm.log_on("alice");
    std::fs::write(
        realm.path("krb5.conf"),
        std::fs::read_to_string(realm.path("krb5.conf")).unwrap() + " other.test = EXAMPLE.TEST\n",
    )
    .unwrap();
    let other_host = realm.curl(&relay, "other.test", "for another host", &[]);
    assert!(told(&other_host).contains("< 535 5.7.8"), "{}", told(&other_host));
    relay.wait_for_log(&["method=GSSAPI", "why=token"]);

    let output = realm.curl(&relay, "relay.test", "with a ticket", &[]);
    assert!(output.status.success(), "{}\n{}", told(&output), relay.log());
    let seen = told(&output);
    let token = seen.lines().find_map(|line| line.strip_prefix("> YII")).expect("curl tells what it sent");
    let mut eavesdropper = Client::greet(relay.at);
    assert_eq!(eavesdropper.say(&format!("AUTH GSSAPI YII{}", token.trim())).code, 535);
    relay.wait_for_log(&["method=GSSAPI", "why=token", "replay"]);
}

/// A token that is older than the library allows looks like one from a clock that is slow.
#[test]
fn a_clock_that_is_slow_is_told() {
    let realm = Realm::start();
    let narrow = std::fs::read_to_string(realm.path("krb5.conf")).unwrap();
    std::fs::write(realm.path("krb5.conf"), narrow.replace("[realms]", " clockskew = 6\n[realms]")).unwrap();
    let relay = realm.relay("smtp.keytab");
    realm.log_on("alice");
    let output = realm.curl(&relay, "relay.test", "with a ticket", &[]);
    assert!(output.status.success(), "{}\n{}", told(&output), relay.log());
    let seen = told(&output);
    let token = seen.lines().find_map(|line| line.strip_prefix("> YII")).expect("curl tells what it sent");
    until(SOON, "the clocks differ", || {
        // Or it would be known as a replay first.
        let _ = std::fs::remove_file(realm.path("replays"));
        let code = Client::greet(relay.at).say(&format!("AUTH GSSAPI YII{}", token.trim())).code;
        assert!(code == 334 || code == 535, "{code}");
        relay.log().contains("the clocks of client and server differ by too much").then_some(())
    });
}

#[test]
fn a_ticket_in_spnego_and_an_answer_that_asks_for_a_layer() {
    let realm = Realm::start();
    let relay = realm.relay("smtp.keytab");
    realm.log_on("alice");
    let client = |layer: &str| {
        let mut python = environment(Command::new(PYTHON), &realm.site);
        let (ip, port) = (relay.at.ip().to_string(), relay.at.port().to_string());
        let said = run_well(python.args(["-c", SPNEGO_CLIENT, &ip, &port, layer]));
        String::from_utf8(said).unwrap()
    };
    assert!(client("01000000").starts_with("235 2.7.0"));
    relay.wait_for_log(&[" logon account=alice method=GSSAPI peer=127."]);
    // Integrity, room for wrapped octets, nothing.
    for layer in ["02000000", "01001000", ""] {
        let said = client(layer);
        assert!(said.starts_with("501 5.5.2") || said.starts_with("535"), "{layer}: {said}");
    }
    relay.wait_for_log(&["method=GSSAPI", "why=malformed"]);
}

#[test]
fn a_keytab_that_cannot_be_used_is_told_and_the_other_methods_work() {
    let realm = Realm::start();
    assert_eq!(realm.check("smtp.keytab"), (true, String::new()));
    std::fs::write(realm.path("broken.keytab"), "no keytab").unwrap();
    set_mode(&realm.path("broken.keytab"), 0o600);
    for (keytab, words) in [
        ("missing.keytab", "missing.keytab cannot be read: No such file"),
        ("broken.keytab", "broken.keytab is no keytab"),
        (
            "other.keytab",
            "has no key for smtp/relay.test (the name is delivery.fqdn), only for smtp/other.test@EXAMPLE.TEST",
        ),
    ] {
        let (good, text) = realm.check(keytab);
        assert!(!good && text.contains(words), "{text}");
    }
    set_mode(&realm.path("smtp.keytab"), 0o644);
    let (good, text) = realm.check("smtp.keytab");
    assert!(!good && text.contains("is open to everybody (mode 0644)"), "{text}");

    let relay = realm.relay("missing.keytab");
    relay.wait_for_log(&["missing.keytab cannot be read", "GSSAPI is not offered"]);
    let mut client = Client::connect(relay.at);
    assert_eq!(client.reply().code, 220);
    let offered = client.say("EHLO me.test");
    assert!(offered.lines.iter().any(|line| line == "AUTH SCRAM-SHA-256"), "{offered:?}");
}
