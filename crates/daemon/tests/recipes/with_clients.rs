//! The recipes of docs/recipes, written by `mailroot new` as an administrator would, with the addresses of the test in the place of the
//! examples: each passes `mailroot check`, does what it promises with clients that people use, and `mailroot explain` says
//! beforehand what they are told.

use crate::harness::mail::plain;
use crate::harness::peer::{Peer, Script};
use crate::harness::relay::{PROGRAM, Relay, Settings};
use crate::harness::tools::swaks;
use crate::harness::{Site, run, run_well};
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

const PASSWORD: &str = "s3cret-Word";
/// A relay by recipe, with a next hop.
struct Cooked {
    relay: Relay,
    next: Peer,
    /// Where the listeners of the recipe are here, by their port there.
    at: fn(&Site, u16) -> SocketAddr,
}

fn here(site: &Site, port: u16) -> SocketAddr {
    site.at(1, 2000 + port)
}

impl Cooked {
    /// Writes the recipe, puts the test's addresses into it (`change` more of them), checks and starts it.
    fn start(site: &Site, recipe: &str, first_port: u16, change: &[(&str, String)]) -> Cooked {
        let folder = site.folder.path();
        let new = ["new", "--recipe", recipe, "--domain", "local.test", "--folder"];
        run_well(Command::new(PROGRAM).args(new).arg(folder));
        let mut text = fs::read_to_string(folder.join("mailroot.toml")).unwrap();
        let mut put = |from: &str, to: &str| {
            assert!(text.contains(from), "{recipe} has no {from}");
            text = text.replace(from, to);
        };
        for port in [25, 587, 465] {
            let example = format!("\"0.0.0.0:{port}\"");
            if fs::read_to_string(folder.join("mailroot.toml")).unwrap().contains(&example) {
                put(&example, &format!("\"{}\"", here(site, port)));
            }
        }
        change.iter().for_each(|(from, to)| put(from, to));
        // No name server is asked here.
        let text = format!("[dns]\nservers = [\"{}\"]\n{text}", site.at(250, 5353));
        let mut settings = Settings::new(site);
        settings.listen = vec![here(site, first_port).to_string()];
        let mut relay = Relay::prepare(site, &settings);
        fs::write(&relay.config, text).unwrap();
        if folder.join("accounts.toml").exists() {
            add_account(&relay, "alice");
        }
        let checked = run(Command::new(PROGRAM).args(["check", "--config"]).arg(&relay.config));
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let next = Peer::start(site.at(2, 2525), Script::default());
        relay.up();
        Cooked { relay, next, at: here }
    }

    /// Would swaks get as far as a good answer to RCPT? `mailroot explain` must say the same.
    fn takes(&self, site: &Site, case: &Case<'_>) -> bool {
        let server = (self.at)(site, case.port).to_string();
        let from = case.from.to_string();
        let mut swaks = Command::new("swaks");
        swaks.args(["--server", &server, "--local-interface", &from, "--helo", "swaks.test", "--timeout", "30"]);
        swaks.args(["--from", case.sender, "--to", case.to, "--quit-after", "RCPT"]);
        let port = (self.at)(site, case.port).port().to_string();
        let mut explain = Command::new(PROGRAM);
        explain.args(["explain", "--from", &from, "--port", &port, "--sender", case.sender, "--rcpt", case.to]);
        explain.arg("--config").arg(&self.relay.config);
        match (case.tls, case.port) {
            (true, 465) => swaks.arg("--tls-on-connect"),
            (true, _) => swaks.arg("--tls"),
            (false, _) => &mut swaks,
        };
        if case.tls {
            explain.arg("--tls");
        }
        if let Some(method) = case.auth {
            swaks.args(["--auth", method, "--auth-user", "alice", "--auth-password", PASSWORD]);
            explain.args(["--auth", "alice", "--method", method]);
        }
        let (said, explained) = (run(&mut swaks), run(&mut explain));
        let taken = said.status.success();
        assert_eq!(
            explained.status.code(),
            Some(if taken { 0 } else { 1 }),
            "{case:?}\n{}\n{}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&explained.stdout),
            String::from_utf8_lossy(&explained.stderr),
        );
        taken
    }

    /// Each case is taken, or not, as it says.
    fn proves(&self, site: &Site, cases: &[(bool, Case<'_>)]) {
        for (wanted, case) in cases {
            assert_eq!(self.takes(site, case), *wanted, "{case:?}");
        }
    }
}

/// As an administrator's script does it.
fn add_account(relay: &Relay, name: &str) {
    let mut command = Command::new(PROGRAM);
    command.args(["account", "add", "--password-stdin", "--config"]).arg(&relay.config).arg(name);
    let mut adding = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    writeln!(adding.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(adding.wait().unwrap().success());
}

/// One attempt.
#[derive(Copy, Clone, Debug)]
struct Case<'a> {
    from: Ipv4Addr,
    /// As in the recipe.
    port: u16,
    tls: bool,
    auth: Option<&'a str>,
    sender: &'a str,
    to: &'a str,
}

const OURS: &str = "v@local.test";
const FOREIGN: &str = "v@elsewhere.test";

/// From an address to a recipient on port 25, without anything.
fn bare(from: Ipv4Addr, to: &str) -> Case<'_> {
    Case { from, port: 25, tls: false, auth: None, sender: "a@apps.test", to }
}

#[test]
fn the_inbound_relay_takes_mail_for_its_own_domains_and_hands_it_over() {
    let site = Site::new();
    let inner = format!("smtp://[{}]:2525", site.ip(2));
    let cooked = Cooked::start(&site, "inbound-dmz", 25, &[("smtp://[10.0.0.25]:25", inner)]);
    let stranger = site.ip(9);
    cooked.proves(
        &site,
        &[
            (true, bare(stranger, OURS)),
            (true, bare(stranger, "v@branch.local.test")),
            (true, Case { tls: true, ..bare(stranger, OURS) }),
            (false, bare(stranger, FOREIGN)),
            (false, bare(stranger, "v%elsewhere.test@local.test")),
            (false, bare(Ipv4Addr::LOCALHOST, FOREIGN)),
            // There is no account that would help.
            (false, Case { tls: true, auth: Some("PLAIN"), ..bare(stranger, FOREIGN) }),
        ],
    );
    let content = plain("handed over", OURS);
    let output = swaks(&site, cooked.relay.at, "a@apps.test", OURS, &content, &["--tls"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(cooked.next.wait_for("handed over").rcpt.len(), 1);
    // Who speaks before the greeting is a program that does not listen.
    let mut early = crate::harness::client::Client::connect(cooked.relay.at);
    early.send("EHLO early.test\r\n");
    assert_eq!(early.reply().code, 554);
}

#[test]
fn the_outbound_relay_serves_listed_servers_and_whoever_authenticates() {
    let site = Site::new();
    let (listed, stranger) = (site.ip(10), site.ip(9));
    let cooked = Cooked::start(
        &site,
        "outbound",
        25,
        &[
            ("\"10.0.0.10\"", format!("\"{listed}\"")),
            ("#smart_host = \"smtp.provider.example:25\"", format!("smart_host = \"[{}]:2525\"", site.ip(2))),
        ],
    );
    let submit = |auth, tls, to| Case { port: 587, tls, auth, ..bare(stranger, to) };
    cooked.proves(
        &site,
        &[
            (true, bare(listed, FOREIGN)),
            (false, bare(stranger, FOREIGN)),
            (true, bare(stranger, OURS)),
            (true, submit(Some("PLAIN"), true, FOREIGN)),
            (true, submit(Some("LOGIN"), true, FOREIGN)),
            (false, submit(None, true, OURS)),
            (false, submit(None, false, OURS)),
            (false, submit(Some("PLAIN"), false, FOREIGN)),
            (false, Case { port: 25, ..submit(Some("PLAIN"), false, FOREIGN) }),
            (true, Case { port: 25, ..submit(Some("PLAIN"), true, FOREIGN) }),
        ],
    );
    let content = plain("to the world", FOREIGN);
    let more = ["--local-interface", &listed.to_string()];
    let output = swaks(&site, cooked.relay.at, "a@local.test", FOREIGN, &content, &more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    cooked.next.wait_for("to the world");
}

#[test]
fn submission_takes_nothing_without_tls_and_an_account() {
    let site = Site::new();
    let cooked = Cooked::start(
        &site,
        "submission",
        587,
        &[("#smart_host = \"relay.local.test:25\"", format!("smart_host = \"[{}]:2525\"", site.ip(2)))],
    );
    let case = |port, tls, auth, to| Case { port, tls, auth, ..bare(site.ip(9), to) };
    cooked.proves(
        &site,
        &[
            (true, case(587, true, Some("PLAIN"), FOREIGN)),
            (true, case(587, true, Some("LOGIN"), OURS)),
            (true, case(465, true, Some("PLAIN"), FOREIGN)),
            (false, case(587, true, None, OURS)),
            (false, case(587, false, None, OURS)),
            (false, case(587, false, Some("PLAIN"), FOREIGN)),
            (false, case(465, true, None, OURS)),
        ],
    );
    for (scheme, port, subject) in [("smtps", 465, "by smtps"), ("smtp", 587, "by starttls")] {
        let content = site.folder.write(subject, plain(subject, FOREIGN));
        run_well(
            Command::new("curl")
                .args(["-sS", "--max-time", "30", "--insecure", "--ssl-reqd"])
                .arg(format!("{scheme}://{}/curl.test", (cooked.at)(&site, port)))
                .args(["--mail-from", "alice@local.test", "--mail-rcpt", FOREIGN])
                .args(["--user", &format!("alice:{PASSWORD}"), "--upload-file"])
                .arg(content),
        );
        cooked.next.wait_for(subject);
    }
    // The certificate of the first start is shown to a client that asks for the relay's name.
    let shown = run(Command::new("openssl")
        .args(["s_client", "-connect", &(cooked.at)(&site, 465).to_string(), "-servername", "smtp.local.test"])
        .args(["-verify_hostname", "smtp.local.test", "-CAfile"])
        .arg(site.folder.join("tls/smtp.local.test.pem")));
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
}

#[test]
fn the_application_relay_knows_devices_by_address_and_the_rest_by_account() {
    let site = Site::new();
    let (printer, server) = (site.ip(50), site.ip(9));
    let cooked = Cooked::start(
        &site,
        "application",
        25,
        &[
            ("\"10.0.5.0/24\"", format!("\"{}/28\"", site.ip(48))),
            ("\"[10.0.0.11]:25\"", format!("\"[{}]:2525\"", site.ip(2))),
            // A part of loopback is not the network inside.
            ("\"127.0.0.0/8\"", format!("\"127.0.0.1\", \"{}/26\"", site.ip(0))),
        ],
    );
    let outsider = site.ip(200);
    cooked.proves(
        &site,
        &[
            (true, bare(printer, FOREIGN)),
            (true, bare(Ipv4Addr::LOCALHOST, FOREIGN)),
            (false, bare(server, FOREIGN)),
            (true, bare(server, OURS)),
            (true, Case { tls: true, auth: Some("PLAIN"), ..bare(server, FOREIGN) }),
            (true, Case { port: 587, tls: true, auth: Some("LOGIN"), ..bare(server, FOREIGN) }),
            (false, Case { auth: Some("PLAIN"), ..bare(server, FOREIGN) }),
            (false, Case { port: 587, tls: true, ..bare(printer, FOREIGN) }),
            // Turned away at the door.
            (false, bare(outsider, OURS)),
            (false, Case { port: 587, tls: true, auth: Some("PLAIN"), ..bare(outsider, OURS) }),
        ],
    );
    // A device of former days: bare LF, a bare address.
    let mut device = crate::harness::client::Client::over(connect_from(printer, cooked.relay.at));
    assert_eq!(device.reply().code, 220);
    assert_eq!(device.say("HELO printer").code, 250);
    device.open("scanner", &["v@elsewhere.test"]);
    device.send("Subject: a scan\n\nbare\n\r\n.\r\n");
    assert_eq!(device.reply().code, 250);
    let taken = cooked.next.wait_for("a scan");
    assert!(taken.mail.contains("scanner@local.test"), "{taken:?}");
}

/// A connection from one of the site's addresses.
fn connect_from(from: Ipv4Addr, to: SocketAddr) -> std::net::TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}
