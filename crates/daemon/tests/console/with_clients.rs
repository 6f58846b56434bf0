//! The console under TLS, as curl sees it.

use super::with_console;
use crate::harness::certificates::Authority;
use crate::harness::console::{Ask, PASSWORD, first_link};
use crate::harness::relay::Relay;
use crate::harness::{SOON, Site, run, until};
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;

#[test]
fn with_a_certificate_it_speaks_tls_and_a_new_one_needs_no_restart() {
    let site = Site::new();
    let (at, port) = (site.at(1, 8025), 8025);
    let authority = Authority::new("Test authority");
    let trusted = authority.file(&site, "authority.pem");
    let (chain, key) = authority.issue(&["console.test"]).files(&site, "tls/console");
    let certificate = format!("certificate = {{ file = \"{}\", key = \"{}\" }}", chain.display(), key.display());
    let relay = Relay::start(&site, &with_console(&site).console(&certificate));
    let jar = site.folder.join("jar");
    let curl = |name: &str, words: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sSi", "--max-time", "20", "--cacert"]).arg(&trusted);
        command.args(["--resolve", &format!("{name}:{port}:{}", at.ip()), "-b"]).arg(&jar).arg("-c").arg(&jar);
        let address = format!("https://{name}:{port}{}", words[0]);
        let output = run(command.args(&words[1..]).arg(address));
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let link = first_link(&relay);
    assert!(relay.log().contains(&format!("https://console.test:{port}/invite/")), "{}", relay.log());
    let words = format!("password={PASSWORD}&again={PASSWORD}");
    let (fine, answer) = curl("console.test", &[&link, "--data", &words]);
    assert!(fine && answer.starts_with("HTTP/1.1 303"), "{answer}");
    let cookie = answer.lines().find(|line| line.starts_with("set-cookie: ")).unwrap();
    assert!(
        cookie.contains("__Host-mailroot-8025=") && cookie.ends_with("; HttpOnly; SameSite=Strict; Secure"),
        "{cookie}"
    );
    let (_, answer) = curl("console.test", &["/api/v1/service"]);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"administrator\""), "{answer}");
    // No other name, not even if it leads here; and nothing in the clear.
    assert!(!curl("evil.test", &["/log-on"]).0);
    let (_, answer) = curl("evil.test", &["/log-on", "-k"]);
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let mut clear = TcpStream::connect(at).unwrap();
    clear.set_read_timeout(Some(SOON)).unwrap();
    std::io::Write::write_all(&mut clear, Ask::new(at, "GET", "/log-on").wire().as_bytes()).unwrap();
    let mut octets = Vec::new();
    let _ = clear.read_to_end(&mut octets);
    assert!(!octets.starts_with(b"HTTP/1.1 200"), "{octets:?}");

    authority.issue(&["console.test", "other.test"]).files(&site, "tls/console");
    until(SOON, "the new certificate is shown", || curl("other.test", &["/log-on"]).0.then_some(()));
    let (_, answer) = curl("console.test", &["/api/v1/service"]);
    assert!(answer.starts_with("HTTP/1.1 200"), "the log-on goes on: {answer}");
}
