//! TLS as openssl and a raw socket see it: versions, what is smuggled in before, garbage, silence, a cut.

use super::{make_certificate, python, settings};
use crate::harness::client::Client;
use crate::harness::relay::{Relay, Settings};
use crate::harness::{Site, run, run_well, until};
use std::io::Read;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn s_client(at: &str, more: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", at, "-crlf"]).args(more).stdin(Stdio::null());
    let output = run(&mut command);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn versions_of_today_are_spoken_and_older_ones_are_not() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    let relay = Relay::start(&site, &settings);
    for (at, more) in [(relay.at, &["-starttls", "smtp"][..]), (doors.implicit, &[])] {
        for (version, good) in [("-tls1_2", true), ("-tls1_3", true), ("-tls1_1", false), ("-tls1", false)] {
            let mut arguments = more.to_vec();
            arguments.extend([version, "-cipher", "ALL:@SECLEVEL=0"]);
            let said = s_client(&at.to_string(), &arguments);
            assert_eq!(said.contains("CN = relay.test"), good, "{at} {version}: {said}");
        }
    }
    relay.wait_for_log(&["not_secured peer=", "why="]);
}

/// CVE-2011-0411: what comes in the clear behind STARTTLS is never carried out under TLS.
#[test]
fn what_is_pipelined_behind_starttls_is_lost() {
    let site = Site::new();
    let (settings, _) = settings(&site);
    let relay = Relay::start(&site, &settings);
    let said = python(
        &site,
        "smuggle.py",
        relay.at,
        "
s = connect()
lines(s)
s.sendall(b'EHLO x.test\\r\\nSTARTTLS\\r\\nEHLO evil.test\\r\\nMAIL FROM:<evil@x.test>\\r\\n')
text = lines(s)
while '220 ' not in text: text += lines(s)
print(text.count('220 '), 'Sender' in text)
s = tls.wrap_socket(s, server_hostname='relay.test')
print(say(s, 'NOOP')[:3], say(s, 'RCPT TO:<b@local.test>')[:9])
print('STARTTLS' in say(s, 'EHLO x.test'), say(s, 'MAIL FROM:<a@x.test>')[:3], say(s, 'RCPT TO:<b@local.test>')[:3])
",
    );
    assert_eq!(said, "1 False\n250 503 5.5.1\nFalse 250 250\n");
}

/// REQUIRETLS is there under TLS alone, and stands in the queue file.
#[test]
fn the_demand_for_tls_is_kept() {
    let site = Site::new();
    let (settings, _) = settings(&site);
    // Nobody listens there.
    let settings = settings.smart_host(site.at(9, 25)).access("relay = { only = [\"127.0.0.0/8\"] }");
    let relay = Relay::start(&site, &settings);
    let said = python(
        &site,
        "demand.py",
        relay.at,
        "
s = connect()
lines(s)
print('REQUIRETLS' in say(s, 'EHLO x.test'), say(s, 'MAIL FROM:<a@x.test> REQUIRETLS')[:9])
say(s, 'STARTTLS')
s = tls.wrap_socket(s, server_hostname='relay.test')
print('REQUIRETLS' in say(s, 'EHLO x.test'), say(s, 'MAIL FROM:<a@x.test> REQUIRETLS')[:3])
print(say(s, 'RCPT TO:<b@far.test>')[:3], say(s, 'DATA')[:3], say(s, 'Subject: x\\r\\n\\r\\nx\\r\\n.')[:3])
",
    );
    assert_eq!(said, "False 555 5.5.4\nTrue 250\n250 354 250\n");
    let envelope = until(Duration::from_secs(20), "the message waits", || relay.queued().0.first().cloned());
    assert!(std::fs::read_to_string(envelope).unwrap().contains("\nrequire-tls: yes\n"));
}

#[test]
fn garbage_instead_of_a_handshake_ends_that_session_alone() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    let relay = Relay::start(&site, &settings);
    let mut other = Client::greet(relay.at);
    let mut rude = Client::greet(relay.at);
    assert_eq!(rude.say("STARTTLS").code, 220);
    rude.send([b'x'; 5_000]);
    // An alert, perhaps, and the end.
    assert!(rude.rest().len() < 100);
    let mut rude = TcpStream::connect(doors.implicit).unwrap();
    std::io::Write::write_all(&mut rude, b"EHLO x.test\r\n").unwrap();
    let mut said = Vec::new();
    let _ = rude.read_to_end(&mut said);
    assert!(said.len() < 100 && !said.starts_with(b"220"), "{said:?}");
    relay.wait_for_log(&["not_secured", "does not speak TLS"]);
    assert_eq!(other.say("NOOP").code, 250);
}

#[test]
fn silence_instead_of_a_handshake_is_borne_for_ten_seconds() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    let relay = Relay::start(&site, &settings);
    let mut behind = Client::greet(relay.at);
    assert_eq!(behind.say("STARTTLS").code, 220);
    let mut first = TcpStream::connect(doors.implicit).unwrap();
    let began = Instant::now();
    behind.rest();
    let _ = first.read_to_end(&mut Vec::new());
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(8) && waited < Duration::from_secs(16), "{waited:?}");
    relay.wait_for_log(&["not_secured", "took too long"]);
}

/// T4: whoever cuts the line of a channel cannot make half a message look whole.
#[test]
fn a_cut_inside_data_keeps_nothing() {
    let site = Site::new();
    let (settings, _) = settings(&site);
    let relay = Relay::start(&site, &settings);
    python(
        &site,
        "cut.py",
        relay.at,
        "
s = connect()
lines(s); say(s, 'EHLO x.test'); say(s, 'STARTTLS')
raw = s.dup()
s = tls.wrap_socket(s, server_hostname='relay.test')
say(s, 'EHLO x.test'); say(s, 'MAIL FROM:<a@x.test>'); say(s, 'RCPT TO:<b@local.test>'); say(s, 'DATA')
s.sendall(b'Subject: half of it\\r\\n\\r\\nFirst line.\\r\\n.\\r')
raw.shutdown(socket.SHUT_RDWR)
",
    );
    relay.wait_for_log(&["abandoned id="]);
    assert!(relay.dropped().is_empty() && relay.queued().0.is_empty());
}

/// A listener that asks for TLS without a certificate that can be shown does not start, and says why; the others do.
#[test]
fn a_listener_without_a_certificate_stays_closed_and_the_others_open() {
    let site = Site::new();
    let implicit = site.at(1, 2465);
    let mut settings = Settings::new(&site).access("certificate = { file = \"relay.pem\", key = \"relay.key\" }");
    settings.listen = vec![
        site.at(1, 2525).to_string(),
        format!("{{ address = \"{}\", tls = \"plain\" }}", site.at(1, 2526)),
        format!("{{ address = \"{implicit}\", tls = \"implicit\" }}"),
    ];
    // The first is written without `tls`, so it would offer STARTTLS; only the second is sure to be without.
    settings.listen.swap(0, 1);
    let mut relay = Relay::prepare(&site, &Settings { listen: vec![site.at(1, 2526).to_string()], ..settings.clone() });
    relay.configure(&settings);
    relay.up();
    let line = relay.wait_for_log(&["alarm", &implicit.to_string(), "relay.pem"]);
    assert!(line.contains("is not listened on"), "{line}");
    assert!(TcpStream::connect(implicit).is_err());
    assert!(TcpStream::connect(site.at(1, 2525)).is_err());
    // Mended, and told so: it opens, and the session of before goes on.
    let mut before = Client::greet(relay.at);
    make_certificate(&site);
    relay.process().signal("HUP");
    crate::harness::until(crate::harness::SOON, "the listener opens", || TcpStream::connect(implicit).ok());
    assert!(s_client(&implicit.to_string(), &[]).contains("CN = relay.test"));
    assert_eq!(before.say("NOOP").code, 250);
}

/// An authority, and a client certificate of it for `alice`.
fn make_client_certificate(site: &Site) {
    let folder = site.folder.path();
    let openssl = |arguments: &[&str]| run_well(Command::new("openssl").current_dir(folder).args(arguments));
    let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let authority =
        ["req", "-x509", "-days", "30", "-subj", "/CN=clients", "-keyout", "clients.key", "-out", "clients.pem"];
    openssl(&[&authority[..], &new].concat());
    openssl(&[&["req", "-subj", "/CN=alice", "-keyout", "alice.key", "-out", "alice.csr"][..], &new].concat());
    site.folder.write("alice.ext", "subjectAltName=DNS:alice\nextendedKeyUsage=clientAuth\n");
    openssl(&[
        "x509",
        "-req",
        "-in",
        "alice.csr",
        "-CA",
        "clients.pem",
        "-CAkey",
        "clients.key",
        "-CAcreateserial",
        "-days",
        "30",
        "-extfile",
        "alice.ext",
        "-out",
        "alice.pem",
    ]);
}

/// A client certificate proves who somebody is (EXTERNAL), to those alone who have one.
#[test]
fn a_client_certificate_is_an_identity() {
    let site = Site::new();
    let (settings, doors) = settings(&site);
    make_client_certificate(&site);
    let settings = settings
        .access("client_certificate = { authority = \"clients.pem\" }")
        .access("authentication = { methods = [\"EXTERNAL\", \"PLAIN\"] }");
    let relay = Relay::start(&site, &settings);
    let program = "
s = tls.wrap_socket(connect(), server_hostname='relay.test')
lines(s)
print('EXTERNAL' in say(s, 'EHLO x.test'), say(s, 'AUTH EXTERNAL =')[:3], say(s, 'MAIL FROM:<alice@local.test>')[:3])
print(say(s, 'RCPT TO:<c@elsewhere.test>')[:3])
";
    assert_eq!(python(&site, "without.py", doors.implicit, program), "False 504 530\n503\n");
    let with = format!(
        "tls.load_cert_chain({:?}, {:?})\n{program}",
        site.folder.join("alice.pem").display().to_string(),
        site.folder.join("alice.key").display().to_string()
    );
    assert_eq!(python(&site, "with.py", doors.implicit, &with), "True 235 250\n250\n");
    relay.wait_for_log(&["account=alice", "method=EXTERNAL"]);
}
