//! The console's door, as browsers and programs find it: who gets in, what he may, and what comes to nothing.

mod as_root;
mod commands;
mod desk;
mod document;
mod door;
mod events;
mod reading;
mod roles;
mod with_clients;

use crate::harness::console::{Ask, Visitor, accept, first_link, log_on, with_console};
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::{SOON, Site, run, until};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

/// A relay with a console whose first administrator has logged on.
fn opened(site: &Site) -> (Relay, Visitor) {
    let relay = Relay::start(site, &with_console(site));
    let visitor = accept(site.at(1, 8025), &first_link(&relay));
    (relay, visitor)
}

/// Adds an operator, who sets his password by a link.
fn admitted(root: &Visitor, name: &str, role: &str, scope: &Value) -> Visitor {
    let added = root.command(&json!({"command": "operator_add", "name": name, "role": role, "scope": scope}));
    assert_eq!(added.status, 200, "{added:?}");
    let invited = root.command(&json!({"command": "operator_invite", "name": name}));
    let link = invited.json()["secret"].as_str().unwrap_or_else(|| panic!("{invited:?}")).to_owned();
    accept(root.at, &link[link.find("/invite/").unwrap()..])
}

/// A token for a program.
fn token(root: &Visitor, name: &str, role: &str, scope: &Value) -> String {
    let command = json!({"command": "token_new", "name": name, "role": role, "scope": scope, "days": 30});
    let made = root.command(&command);
    made.json()["secret"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

/// The records of the audit log, newest first.
fn audit(root: &Visitor) -> Vec<Value> {
    let answer = root.get("/api/v1/audit").send().json();
    let list = if answer.is_array() { &answer } else { &answer["items"] };
    list.as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

#[test]
fn the_first_link_works_once_and_leads_in() {
    let site = Site::new();
    let at = site.at(1, 8025);
    let relay = Relay::start(&site, &with_console(&site));
    let link = first_link(&relay);
    let page = Ask::new(at, "GET", &link).send();
    assert!(page.status == 200 && page.body.contains("administrator"), "{page:?}");
    let visitor = accept(at, &link);
    assert_eq!(Ask::new(at, "GET", &link).send().status, 404);
    assert_eq!(Ask::new(at, "POST", &link).form(&[("password", "x"), ("again", "x")]).send().status, 404);
    let service = visitor.get("/api/v1/service").send();
    assert_eq!(service.json()["operator"]["role"], "administrator", "{service:?}");
    let done = visitor.command(&json!({"command": "config_reload"}));
    assert_eq!(done.status, 200, "{done:?}");
    log_on(at, "Administrator");
}

#[test]
fn whoever_is_nobody_gets_the_log_on_and_nothing_else() {
    let site = Site::new();
    let (_relay, root) = opened(&site);
    let at = root.at;
    for path in ["/", "/servers/Test/queue", "/operators", "/nothing", "//api/v1/service", "/events"] {
        let answer = Ask::new(at, "GET", path).send();
        assert_eq!(answer.status, 303, "{path}: {answer:?}");
        assert!(answer.field("location").unwrap().starts_with("/log-on"), "{answer:?}");
    }
    for path in ["/api/v1/service", "/api/v1/openapi.json", "/api/v2", "/metrics"] {
        let answer = Ask::new(at, "GET", path).send();
        assert_eq!((answer.status, answer.field("content-type")), (401, Some("application/problem+json")), "{path}");
    }
    let live = Ask::new(at, "GET", "/").field("hx-request", "true").send();
    assert_eq!((live.status, live.field("hx-redirect")), (401, Some("/log-on")));
    let back = Ask::new(at, "GET", "/servers/A%20B/queue?x=1").send();
    assert_eq!(back.field("location"), Some("/log-on?next=/servers/A%2520B/queue%3Fx%3D1"));
    let wrong = Ask::new(at, "POST", "/log-on").form(&[("name", "administrator"), ("password", "wrong")]).send();
    let nobody = Ask::new(at, "POST", "/log-on").form(&[("name", "administrator"), ("password", "")]).send();
    assert_eq!((wrong.status, &wrong.body), (403, &nobody.body), "the same words");
    for invented in ["mailroot-8025=0", &format!("mailroot-8025={}", "0".repeat(64))] {
        assert_eq!(Ask::new(at, "GET", "/api/v1/service").field("cookie", invented).send().status, 401);
    }
    // Behind the log-on there are pages, and an answer for those that are none.
    assert_eq!(root.get("/nothing/at/all").send().status, 404);
}

#[test]
fn what_does_not_come_from_a_page_of_ours_changes_nothing() {
    let site = Site::new();
    let (relay, root) = opened(&site);
    let other = log_on(root.at, "administrator");
    let reload = json!({"command": "config_reload"});
    let post = || Ask::new(root.at, "POST", "/api/v1/commands").field("cookie", &root.cookie);
    let word = ("x-csrf-token", root.csrf.as_str());
    let refused = [
        ("without the word", post().json(&reload)),
        ("another log-on's word", post().field("x-csrf-token", &other.csrf).json(&reload)),
        ("an empty word", post().field("x-csrf-token", "").json(&reload)),
        ("a form of a foreign page", post().body("text/plain", "{\"command\":\"config_reload\"}")),
        ("a form without the word", post().form(&[("command", "config_reload")])),
        ("a foreign origin", post().field(word.0, word.1).field("origin", "http://evil.example").json(&reload)),
        ("no origin to speak of", post().field(word.0, word.1).field("origin", "null").json(&reload)),
        (
            "another port",
            post().field(word.0, word.1).field("origin", &format!("http://{}:80", site.ip(1))).json(&reload),
        ),
        ("by the browser's word", post().field(word.0, word.1).field("sec-fetch-site", "cross-site").json(&reload)),
    ];
    for (how, ask) in refused {
        let answer = ask.send();
        assert_eq!(answer.status, 403, "{how}: {answer:?}");
    }
    let mine = post().field(word.0, word.1).field("origin", &format!("http://{}", root.at)).json(&reload).send();
    assert_eq!(mine.status, 200, "{mine:?}");
    // A log-on that a foreign page sends off, into an account of its own.
    let planted = Ask::new(root.at, "POST", "/log-on")
        .field("origin", "http://evil.example")
        .form(&[("name", "administrator"), ("password", crate::harness::console::PASSWORD)])
        .send();
    assert!(planted.status == 403 && planted.cookie().is_none(), "{planted:?}");
    let off = Ask::new(root.at, "POST", "/log-off").field("cookie", &root.cookie);
    assert_eq!(off.clone().form(&[("csrf", &other.csrf)]).send().status, 403);
    assert_eq!(off.form(&[("x", "y"), ("csrf", &root.csrf)]).send().status, 303, "as a form has it");
    assert_eq!(root.get("/api/v1/service").send().status, 401, "logged off for good");
    until(SOON, "one log-on stands in the log", || (relay.log().matches("what=log-on").count() == 1).then_some(()));
}

#[test]
fn a_log_on_has_a_cookie_that_nobody_could_have_planted() {
    let site = Site::new();
    let (_relay, root) = opened(&site);
    let planted = format!("mailroot-8025={}", "a".repeat(64));
    let form = [("name", "administrator"), ("password", crate::harness::console::PASSWORD), ("next", "//evil.example")];
    let answer = Ask::new(root.at, "POST", "/log-on").field("cookie", &planted).form(&form).send();
    assert_eq!((answer.status, answer.field("location")), (303, Some("/")));
    let flags: Vec<&str> = answer.field("set-cookie").unwrap().split("; ").skip(1).collect();
    assert_eq!(flags, ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]);
    assert_ne!(answer.cookie(), Some(&*planted));
    assert_eq!(Ask::new(root.at, "GET", "/api/v1/service").field("cookie", &planted).send().status, 401);
    // Whoever logs on again from the same browser gets another one, and the old one ends.
    let again = Ask::new(root.at, "POST", "/log-on").field("cookie", &root.cookie).form(&form[..2]).send();
    assert_ne!(again.cookie(), Some(&*root.cookie));
    assert_eq!(root.get("/api/v1/service").send().status, 401);
    let answer = Ask::new(root.at, "GET", "/log-on").send();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.field(name), Some(value));
    }
    let policy = answer.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(!answer.body.contains("style=") && !answer.body.contains("<script"), "{}", answer.body);
    let css = answer.body.split("href=\"").find(|part| part.contains(".css")).unwrap().split('"').next().unwrap();
    let css = Ask::new(root.at, "GET", css).send();
    assert!(css.status == 200 && css.field("cache-control").unwrap().contains("immutable"), "{}", css.head);
}

#[test]
fn logged_out_everywhere_is_everywhere() {
    let site = Site::new();
    let (_relay, root) = opened(&site);
    let anna = admitted(&root, "anna", "help_desk", &json!("all"));
    let elsewhere = log_on(root.at, "ANNA");
    let out = anna.command(&json!({"command": "operator_log_out", "name": "anna"}));
    assert_eq!(out.status, 200, "{out:?}");
    for visitor in [&anna, &elsewhere] {
        assert_eq!(visitor.get("/api/v1/service").send().status, 401);
    }
    // A new password does the same; one's own needs the present one.
    let (anna, elsewhere) = (log_on(root.at, "anna"), log_on(root.at, "anna"));
    let put = |by: &Visitor, body: Value| {
        let ask = Ask::new(root.at, "PUT", "/api/v1/operators/anna/password").field("cookie", &by.cookie);
        ask.field("x-csrf-token", &by.csrf).json(&body).send().status
    };
    assert_eq!(put(&anna, json!({"password": "another one of theirs"})), 422);
    assert_eq!(put(&anna, json!({"password": "another one of theirs", "current": "wrong"})), 422);
    let now = json!({"password": "short", "current": crate::harness::console::PASSWORD});
    assert_eq!(put(&anna, now), 422);
    let now = json!({"password": "another one of theirs", "current": crate::harness::console::PASSWORD});
    assert_eq!(put(&anna, now), 200);
    assert_eq!(elsewhere.get("/api/v1/service").send().status, 401);
    assert_eq!(
        put(&root, json!({"password": crate::harness::console::PASSWORD})),
        200,
        "an administrator sets others'"
    );
    let anna = log_on(root.at, "anna");
    let foreign = Ask::new(root.at, "PUT", "/api/v1/operators/administrator/password").field("cookie", &anna.cookie);
    let foreign = foreign.field("x-csrf-token", &anna.csrf).json(&json!({"password": "another one of theirs"})).send();
    assert_eq!(foreign.status, 403, "{foreign:?}");
}

#[test]
fn a_foreign_name_does_not_reach_the_console() {
    let site = Site::new();
    let settings = with_console(&site).console("names = [\"console.example.com\"]");
    let _relay = Relay::start(&site, &settings);
    let at = site.at(1, 8025);
    let by = |host: &str| Ask::new(at, "GET", "/log-on").host(Some(host)).send().status;
    for (host, status) in [
        ("console.example.com", 200),
        ("CONSOLE.example.com.:443", 200),
        ("localhost:9000", 200),
        ("[::1]", 200),
        ("192.0.2.1:8025", 200),
        ("evil.example", 421),
        ("evil.example:8025", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("x.console.example.com", 421),
        ("", 421),
    ] {
        assert_eq!(by(host), status, "{host}");
    }
    let bare = Ask::new(at, "GET", "/log-on").host(None).send().status;
    assert!(bare == 400 || bare == 421, "{bare}");
    assert_eq!(Ask::new(at, "GET", "/log-on").field("host", "evil.example").send().status / 100, 4, "two of them");
    let absolute = Ask::new(at, "GET", "http://evil.example/log-on").send().status;
    assert_eq!(absolute, 421, "the first line counts as well");
}

#[test]
fn tokens_are_for_programs_and_end() {
    let site = Site::new();
    let (_relay, root) = opened(&site);
    let help = token(&root, "watcher", "help_desk", &json!("all"));
    let by =
        |token: &str| Ask::new(root.at, "GET", "/api/v1/service").field("authorization", &format!("Bearer {token}"));
    let service = by(&help).send();
    assert_eq!(service.json()["operator"]["name"], "token:watcher", "{service:?}");
    // With it the cookie counts for nothing, and no word is needed.
    let post =
        |ask: Ask| ask.field("authorization", &format!("Bearer {help}")).json(&json!({"command": "config_reload"}));
    let both = post(Ask::new(root.at, "POST", "/api/v1/commands").field("cookie", &root.cookie)).send();
    assert_eq!(both.status, 403, "the token's role, not the cookie's: {both:?}");
    let page = Ask::new(root.at, "GET", "/").field("authorization", &format!("Bearer {help}")).send();
    assert_eq!(page.status, 303, "pages are for people");
    for wrong in ["", "mailroot-", &help[1..], &help.to_uppercase()] {
        let answer = by(wrong).field("cookie", &root.cookie).send();
        assert!(answer.status == 401 && answer.field("www-authenticate").is_some(), "{answer:?}");
    }
    assert_eq!(Ask::new(root.at, "GET", "/api/v1/service").field("authorization", "Basic eDp5").send().status, 401);
    let list = root.get("/api/v1/tokens").send();
    assert!(list.body.contains("watcher") && !list.body.contains(&help["mailroot-".len()..]), "{}", list.body);
    assert_eq!(root.command(&json!({"command": "token_revoke", "name": "watcher"})).status, 200);
    assert_eq!(by(&help).send().status, 401);
}

#[test]
fn everything_is_written_down_and_nothing_can_be_forged() {
    let site = Site::new();
    let (relay, root) = opened(&site);
    let forged = "x\" outcome=done\n2026-01-01T00:00:00.000Z alarm text=forged \u{202e}";
    let refused = Ask::new(root.at, "POST", "/log-on").form(&[("name", forged), ("password", "x")]).send();
    assert_eq!(refused.status, 403);
    let help = admitted(&root, "anna", "help_desk", &json!("all"));
    assert_eq!(help.command(&json!({"command": "config_reload"})).status, 403);
    let secret = token(&root, "backup", "auditor", &json!("all"));
    let set =
        json!({"command": "set", "server": "Test", "changes": [{"setting": "messages.recipients_max", "value": "77"}]});
    assert_eq!(root.command(&set).status, 200);
    let records = audit(&root);
    let find = |what: &str, outcome: &str| {
        let found = records
            .iter()
            .find(|record| record["what"].as_str().unwrap().contains(what) && record["outcome"] == outcome);
        found.unwrap_or_else(|| panic!("{what} {outcome}: {records:#?}")).clone()
    };
    let change = find("recipients_max", "done");
    assert_eq!((&change["who"], &change["server"]), (&json!("administrator"), &json!("Test")));
    assert_eq!(change["from"], "127.0.0.1", "as the relay sees the client");
    assert!(change["after"].as_str().unwrap().contains("77"), "{change}");
    assert_eq!(find("config_reload", "refused")["who"], "anna");
    assert_eq!(find("log-on", "refused")["who"], forged);
    find("operator_add", "done");
    find("password by a link", "done");
    let all = format!(
        "{}{}{}",
        fs::read_to_string(relay.config.with_file_name("state").join("audit.log")).unwrap(),
        fs::read_to_string(relay.config.with_file_name("state").join("refused.log")).unwrap(),
        relay.log()
    );
    for secret in [&secret["mailroot-".len()..], crate::harness::console::PASSWORD, &root.csrf] {
        assert!(!all.contains(secret), "a secret was written down");
    }
    let alarms = relay.log().lines().filter(|line| line.split(' ').nth(1) == Some("alarm")).count();
    assert_eq!(alarms, 1, "the first link alone: {}", relay.log());
    assert_eq!(all.lines().filter(|line| line.starts_with("2026-01-01")).count(), 0);
}

#[test]
fn what_is_too_large_is_cut_off() {
    let site = Site::new();
    let (_relay, root) = opened(&site);
    let large = "x".repeat(1_100_000);
    assert_eq!(root.post("/api/v1/commands").body("application/json", &large).send().status, 413);
    let form = Ask::new(root.at, "POST", "/log-off").field("cookie", &root.cookie).form(&[("x", &large)]);
    assert_eq!(form.send().status, 413);
    for (name, value) in [("x-long", "y".repeat(200_000)), ("cookie", "z".repeat(200_000))] {
        assert_eq!(Ask::new(root.at, "GET", "/log-on").field(name, &value).send().status, 431);
    }
    let many = (0..100).fold(Ask::new(root.at, "GET", "/log-on"), |ask, n| ask.field(&format!("x-{n}"), "y"));
    assert_eq!(many.send().status, 431);
    assert_eq!(Ask::new(root.at, "GET", &format!("/{}", "p".repeat(200_000))).send().status / 100, 4);
    let mut noise = TcpStream::connect(root.at).unwrap();
    noise.set_read_timeout(Some(SOON)).unwrap();
    noise.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = noise.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    assert_eq!(root.get("/api/v1/service").send().status, 200);
}

#[test]
fn a_port_that_is_taken_stops_no_mail_and_a_reload_moves_the_console() {
    let site = Site::new();
    let taken = TcpListener::bind(site.at(1, 8025)).unwrap();
    let relay = Relay::start(&site, &with_console(&site));
    relay.wait_for_log(&["alarm", "The console cannot listen on", "console.listen"]);
    let alarms = run(Command::new(PROGRAM).args(["alarms", "--config"]).arg(&relay.config));
    assert!(String::from_utf8_lossy(&alarms.stdout).contains("The console cannot listen on"), "{alarms:?}");
    let other = with_console(&site).console(&format!("listen = [\"{}\"]", site.at(1, 8026)));
    relay.configure(&other);
    let (code, out, error) = commands::mailroot(&relay.config, &["config", "reload"], "");
    assert_eq!(code, 0, "{out}{error}");
    until(SOON, "the console has moved", || TcpStream::connect(site.at(1, 8026)).ok());
    assert_eq!(Ask::new(site.at(1, 8026), "GET", "/log-on").send().status, 200);
    relay.configure(&with_console(&site).console("enabled = false"));
    assert_eq!(commands::mailroot(&relay.config, &["config", "reload"], "").0, 0);
    until(SOON, "the console is closed", || TcpStream::connect(site.at(1, 8026)).err());
    drop(taken);
    relay.configure(&with_console(&site));
    assert_eq!(commands::mailroot(&relay.config, &["config", "reload"], "").0, 0);
    until(SOON, "the console is back", || TcpStream::connect(site.at(1, 8025)).ok());
}

#[test]
fn in_the_clear_it_is_on_loopback_only() {
    let site = Site::new();
    let relay = Relay::prepare(&site, &with_console(&site).console("listen = [\"0.0.0.0:8025\"]"));
    let (code, _, error) = commands::mailroot(&relay.config, &["check"], "");
    assert_eq!(code, 1);
    assert!(error.contains("passwords would travel in the clear") && error.contains("certificate ="), "{error}");
    let settings = with_console(&site).console("certificate = { file = \"tls/none.pem\" }");
    relay.configure(&settings);
    let (code, _, error) = commands::mailroot(&relay.config, &["check"], "");
    assert!(code == 1 && error.contains("tls/none.pem") && error.contains("console"), "{error}");
}
