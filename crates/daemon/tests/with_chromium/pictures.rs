//! Pictures of the main pages, for docs/console.md: made where `MAILROOT_PICTURES` names a folder
//! (`MAILROOT_PICTURES=docs/screenshots cargo test -p daemon --test main -- pictures`), from a site that looks like one.

use super::House;
use crate::harness::client::Client;
use crate::harness::peer::{At, Mood, Peer, Script};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

#[test]
fn pictures_are_taken() {
    let Ok(folder) = std::env::var("MAILROOT_PICTURES") else { return };
    // Tests run in their crate's folder.
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    fs::create_dir_all(&folder).unwrap();
    let house = House::with_smart_host();
    let mood = Mood::Say("451 4.7.1 greylisted, please try again in a few minutes".into());
    let _peer = Peer::start(house.site.at(2, 2525), Script::default().at(At::Rcpt, mood));
    for (at, name) in ["invoices", "scanner", "backup", "crm", "newsletter", "alerts"].iter().enumerate() {
        for each in 0..=at {
            house.hand_in(&format!("{name}{each}@partner.example"), &format!("{name} of today"));
        }
    }
    let mut clients: Vec<_> = (0..4).map(|_| Client::greet(house.relay.at)).collect();
    for (client, name) in clients.iter_mut().zip(["printer-3", "app01", "erp", "scanner-2"]) {
        client.say(&format!("EHLO {name}.corp.example"));
    }
    clients[0].open("printer@local.test", &["bob@local.test"]);
    let text =
        "Subject: Monthly figures\r\nFrom: crm@local.test\r\nTo: gone@partner.example\r\n\r\nAs every month.\r\n";
    fs::write(house.relay.folder("Badmail").join("0006614ecd7a8a7a-0.BAD"), text).unwrap();
    let list = house.wait_for("/servers/Test/queue/messages", "greylisted");
    let id = list.split("name=\"id\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    house.operator("anna", "administrator");
    house.operator("helen", "help_desk");
    let only = json!({ "servers": ["Test"] });
    let add = json!({ "command": "operator_add", "name": "otto", "role": "operator", "scope": only });
    assert_eq!(house.first.command(&add).status, 200);
    let token = json!({ "command": "token_new", "name": "monitoring", "role": "auditor", "scope": "all", "days": 90 });
    assert_eq!(house.first.command(&token).status, 200);
    let browser = house.browser("administrator");
    let message = format!("/servers/Test/queue/messages/{id}");
    let pages = [
        ("overview", "/"),
        ("sessions", "/servers/Test/sessions"),
        ("queue", "/servers/Test/queue"),
        ("messages", "/servers/Test/queue/messages"),
        ("message", &*message),
        ("badmail", "/servers/Test/badmail"),
        ("counters", "/servers/Test/counters"),
        ("properties", "/servers/Test/properties"),
        ("domains", "/servers/Test/domains"),
        ("explain", "/explain?from=192.0.2.9&sender=crm%40local.test&rcpt=anna%40partner.example"),
        ("operators", "/operators"),
    ];
    for (name, page) in pages {
        browser.looks_like(1280, false);
        browser.go(page);
        browser.picture(&folder.join(format!("{name}.png")));
    }
    for (name, page, width, dark) in [
        ("overview-dark", "/", 1280, true),
        ("overview-phone", "/", 390, false),
        ("queue-phone", "/servers/Test/queue", 390, true),
    ] {
        browser.looks_like(width, dark);
        browser.go(page);
        browser.picture(&folder.join(format!("{name}.png")));
    }
    // A change, before it is made.
    browser.looks_like(1280, false);
    browser.go("/servers/Test/properties/messages");
    browser.fill("[name='set:messages.size_max']", "25 MB");
    browser.fill("[name='set:messages.recipients_max']", "500");
    browser.press("Save…");
    browser.see("What restarts");
    browser.picture(&folder.join("preview.png"));
}
