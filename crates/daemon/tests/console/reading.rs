//! Who may read what messages say, and whose counters and alarms.

use super::token;
use crate::harness::client::Client;
use crate::harness::console::{Answer, Ask, accept, first_link, with_console};
use crate::harness::mail::plain;
use crate::harness::relay::Relay;
use crate::harness::{SOON, Site, files_ending, until};
use serde_json::json;
use std::fs;
use std::net::SocketAddr;

fn ask(at: SocketAddr, token: &str, method: &str, path: &str) -> Answer {
    let ask = Ask::new(at, method, path).field("authorization", &format!("Bearer {token}"));
    if method == "POST" { ask.json(&json!({"which": {"matching": {}}})).send() } else { ask.send() }
}

#[test]
fn headers_are_for_all_who_see_the_queue_and_text_for_those_who_work_with_it() {
    let site = Site::new();
    let settings = with_console(&site)
        .smart_host(site.at(2, 2525))
        .delivery("glitch_retry = { every = \"1 h\", times = 3 }")
        .delivery("retry = [\"1 h\"]");
    let relay = Relay::start(&site, &settings);
    let root = accept(site.at(1, 8025), &first_link(&relay));
    let reply = Client::greet(relay.at).message("a@local.test", &["b@far.test"], &plain("private", "b@far.test"));
    assert_eq!(reply.code, 250);
    Client::greet(relay.at).message("a@local.test", &["b@local.test"], &plain("dropped", "b@local.test"));
    let file = until(SOON, "it lies in Drop", || files_ending(&relay.folder("Drop"), ".eml").pop());
    let list = root.get("/api/v1/servers/Test/queue").send().json();
    let id = list["items"][0]["id"].as_str().unwrap_or_else(|| panic!("{list}")).to_owned();
    let in_queue = format!("/api/v1/servers/Test/queue/{id}");
    let in_drop = format!("/api/v1/servers/Test/folders/drop/{}", file.file_name().unwrap().to_str().unwrap());

    for (role, reads) in [("administrator", true), ("operator", true), ("help_desk", false), ("auditor", false)] {
        let token = token(&root, role, role, &json!("all"));
        for path in [format!("{in_queue}/content"), in_drop.clone()] {
            let content = ask(root.at, &token, "GET", &path);
            assert_eq!(content.status, 200, "{role} {path}: {content:?}");
            let content = content.json();
            assert!(content["headers"].to_string().contains("Subject"), "{role}: {content}");
            assert_eq!(content["text"].as_str().unwrap().contains("Hello"), reads, "{role} {path}: {content}");
        }
        let status = if reads { 200 } else { 403 };
        for (method, path) in [
            ("GET", format!("{in_queue}/raw")),
            ("GET", format!("{in_drop}/raw")),
            ("POST", "/api/v1/servers/Test/queue-export".to_owned()),
        ] {
            assert_eq!(ask(root.at, &token, method, &path).status, status, "{role} {path}");
        }
    }
    let log = fs::read_to_string(relay.config.with_file_name("state").join("audit.log")).unwrap();
    assert!(log.contains("queue export of Test"), "{log}");
}

#[test]
fn counters_plots_and_alarms_are_shown_to_those_whose_they_are() {
    let site = Site::new();
    let relay = Relay::start(&site, &with_console(&site));
    let root = accept(site.at(1, 8025), &first_link(&relay));
    fs::write(relay.folder("Pickup").join("bad.eml"), "To: b@local.test\n\nno From field\n").unwrap();
    let own = token(&root, "own", "help_desk", &json!({"servers": ["Test"]}));
    let other = token(&root, "other", "administrator", &json!({"servers": ["Other"]}));
    until(SOON, "Badmail is told of", || {
        ask(root.at, &own, "GET", "/api/v1/alarms").json().to_string().contains("Badmail").then_some(())
    });
    assert_eq!(ask(root.at, &other, "GET", "/api/v1/alarms").json(), json!([]));
    let metrics = |token: &str| ask(root.at, token, "GET", "/metrics");
    assert!(metrics(&own).body.contains("mailroot_up{server=\"Test\"} 1"));
    let others = metrics(&other);
    assert!(others.status == 200 && !others.body.contains("Test"), "{others:?}");
    for path in ["counters", "series", "folders/badmail", "destinations"] {
        let path = format!("/api/v1/servers/Test/{path}");
        assert_eq!((ask(root.at, &own, "GET", &path).status, ask(root.at, &other, "GET", &path).status), (200, 403));
    }
    assert_eq!(Ask::new(root.at, "GET", "/metrics").send().status, 401, "nobody reads them unasked");
}

/// Forwards and back again, by links alone.
#[test]
fn more_destinations_than_a_page_holds_are_reached_without_a_script() {
    let site = Site::new();
    let relay = Relay::start(&site, &with_console(&site));
    let root = accept(site.at(1, 8025), &first_link(&relay));
    for n in 0..230 {
        let destination = format!("host{n:03}.test");
        let command = json!({"command": "destination_suspend", "server": "Test", "destination": destination});
        assert_eq!(root.post("/api/v1/commands").json(&command).send().status, 200);
    }
    let page = |address: &str| {
        let page = root.get(address).send();
        assert_eq!(page.status, 200, "{address}: {page:?}");
        page.body
    };
    let link = |page: &str, rel: &str| {
        let end = page.find(&format!("\" rel=\"{rel}\""))?;
        let begin = page[..end].rfind('"')? + 1;
        Some(page[begin..end].replace("&#38;", "&").replace("&amp;", "&"))
    };
    let names = |page: &str| -> Vec<String> {
        let hosts = page.split("name=\"destination\" value=\"").skip(1);
        hosts.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    let mut pages = vec![page("/servers/Test/queue")];
    while let Some(next) = link(&pages[pages.len() - 1], "next") {
        pages.push(page(&next));
    }
    assert_eq!(pages.iter().map(|page| names(page).len()).collect::<Vec<_>>(), [100, 100, 30]);
    for (page, place) in pages.iter().zip(["1 to 100 of 230", "101 to 200 of 230", "201 to 230 of 230"]) {
        assert!(page.contains(place) && page.contains("230 destinations"), "{place}: {page}");
    }
    let mut all: Vec<String> = pages.iter().flat_map(|page| names(page)).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 230, "each once");
    let back = page(&link(&pages[2], "prev").unwrap());
    assert_eq!(names(&back), names(&pages[1]));
    assert_eq!(names(&page(&link(&back, "prev").unwrap())), names(&pages[0]));
    assert_eq!(link(&pages[0], "prev"), None);
    assert_eq!(names(&page("/servers/Test/queue?name=HOST22")).len(), 10);
    assert_eq!(root.get("/servers/Test/queue?after=nonsense").send().status, 422);
}
