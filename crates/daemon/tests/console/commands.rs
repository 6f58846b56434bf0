//! `mailroot operator`, on the control socket.

use super::{opened, with_console};
use crate::harness::console::{Ask, PASSWORD, accept, log_on};
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::{SOON, Site, until};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the program did: its exit code, standard output, standard error.
pub fn mailroot(config: &Path, words: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    command.args(words).arg("--config").arg(config).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn done(config: &Path, words: &[&str]) -> String {
    let (code, out, error) = mailroot(config, words, "");
    assert_eq!(code, 0, "{words:?}: {out}{error}");
    out
}

#[test]
fn the_life_of_an_operator() {
    let site = Site::new();
    let (relay, root) = opened(&site);
    let config = &relay.config;
    let added = done(config, &["operator", "add", "anna", "--role", "operator", "--only", "Test"]);
    let link = added.lines().last().unwrap();
    assert!(link.starts_with(&format!("http://{}/invite/", root.at)), "{added}");
    let anna = accept(root.at, &link[link.find("/invite/").unwrap()..]);
    assert_eq!(anna.get("/api/v1/servers/Test").send().status, 200);
    let list = done(config, &["operator", "list"]);
    let line = list.lines().find(|line| line.starts_with("anna")).unwrap();
    assert!(
        line.contains(" operator ") && line.contains(" Test ") && line.contains("password") && line.ends_with(" 1"),
        "{list}"
    );

    done(config, &["operator", "set", "anna", "--role", "help-desk", "--everywhere"]);
    assert_eq!(anna.get("/api/v1/service").send().status, 401, "what he may has changed: he logs on again");
    let (code, _, error) = mailroot(config, &["operator", "passwd", "anna", "--password-stdin"], "short\n");
    assert!(code == 1 && error.contains("12 characters"), "{error}");
    let (code, out, error) =
        mailroot(config, &["operator", "passwd", "anna", "--password-stdin"], &format!("{PASSWORD}\n"));
    assert_eq!(code, 0, "{out}{error}");
    let anna = log_on(root.at, "anna");
    done(config, &["operator", "log-out", "anna"]);
    assert_eq!(anna.get("/api/v1/service").send().status, 401);
    done(config, &["operator", "set", "anna", "--disable"]);
    let form = [("name", "anna"), ("password", PASSWORD)];
    assert_eq!(Ask::new(root.at, "POST", "/log-on").form(&form).send().status, 403);
    done(config, &["operator", "remove", "anna"]);

    let (code, _, error) = mailroot(config, &["operator", "remove", "administrator"], "");
    assert!(code == 1 && error.contains("last administrator"), "{error}");
    let (code, _, error) = mailroot(config, &["operator", "invite", "nobody"], "");
    assert!(code == 1 && error.contains("there is no operator \"nobody\""), "{error}");
    assert_eq!(mailroot(config, &["operator", "add", "x", "--role", "king"], "").0, 2);
}

#[test]
fn the_life_of_a_token() {
    let site = Site::new();
    let (relay, root) = opened(&site);
    let config = &relay.config;
    let made = done(config, &["operator", "token", "new", "backup", "--role", "auditor", "--days", "7"]);
    let token = made.lines().last().unwrap();
    assert!(token.starts_with("mailroot-"), "{made}");
    let ask = || Ask::new(root.at, "GET", "/api/v1/audit").field("authorization", &format!("Bearer {token}"));
    assert_eq!(ask().send().status, 200);
    let list = done(config, &["operator", "token", "list"]);
    assert!(list.contains("backup") && list.contains("unix:") && !list.contains(&token[9..]), "{list}");
    done(config, &["operator", "token", "revoke", "backup"]);
    assert_eq!(ask().send().status, 401);
    let (code, _, _) = mailroot(config, &["operator", "token", "new", "x", "--role", "auditor", "--days", "10000"], "");
    assert_eq!(code, 2);
}

#[test]
fn a_lost_password_is_no_lost_console() {
    let site = Site::new();
    let mut relay = Relay::start(&site, &with_console(&site));
    let first = crate::harness::console::first_link(&relay);
    relay.stop();
    relay.up();
    until(SOON, "another link is in the log", || (relay.log().matches("/invite/").count() == 2).then_some(()));
    let second = crate::harness::console::first_link(&relay);
    assert_ne!(first, second, "each start makes another");
    assert_eq!(Ask::new(site.at(1, 8025), "GET", &first).send().status, 404);
    accept(site.at(1, 8025), &second);
    relay.stop();
    relay.up();
    let link = done(&relay.config, &["operator", "invite", "administrator"]);
    assert_eq!(relay.log().matches("/invite/").count(), 2, "none by itself, once there is a password");
    let link = link.lines().last().unwrap();
    accept(site.at(1, 8025), &link[link.find("/invite/").unwrap()..]);
}
