//! What runs: each page and each change on it.

use super::{House, content};
use crate::harness::browser::Browser;
use crate::harness::client::Client;
use crate::harness::peer::{Peer, Script};
use std::fs;
use std::io::Write;

#[test]
fn a_virtual_server_is_paused_stopped_and_started() {
    let house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    browser.press("Pause Test");
    browser.see("paused");
    assert!(std::net::TcpStream::connect(house.relay.at).is_err(), "nobody listens");
    browser.press("Continue Test");
    browser.see("running");
    browser.press("Stop Test");
    browser.see("stopped");
    browser.press("Start Test");
    browser.see("running");
    Client::greet(house.relay.at);
    content(&browser, &[]);
}

/// Waits until the part of the page that moves has been brought up to date once more.
pub(super) fn renewed(browser: &Browser) {
    browser.script("document.querySelectorAll('[data-live]').forEach(part => part.setAttribute('data-old', ''))");
    browser.script_until_done(
        "const ask = () => document.querySelector('[data-live][data-old]') ? setTimeout(ask, 50) : done(true); ask();",
    );
}

#[test]
fn the_queue_moves_by_itself_and_is_steered() {
    let house = House::with_smart_host();
    let browser = house.browser("administrator");
    browser.go("/servers/Test/queue");
    browser.see("The queue is empty");
    house.hand_in("bob@far.test", "one");
    house.hand_in("carol@far.test", "two");
    // Without loading the page again.
    browser.see("2 messages wait for 1 destination");
    browser.see("waiting");
    browser.press("Suspend");
    browser.see("suspended");
    browser.press("Resume");
    browser.see_no("suspended");
    browser.fill("#f-recipient", "bob@");
    browser.press("Search");
    browser.see("bob@far.test");
    browser.see_no("carol@far.test");
    renewed(&browser);
    browser.press("bob@far.test");
    browser.see("Attempts");
    browser.see("refused");
    browser.see("Subject");
    browser.see("alice@local.test");
    browser.press("Hold");
    browser.see("1 messages held");
    browser.see("held");
    browser.press("Release");
    browser.see("released");
    // Nothing is done before the question is answered.
    browser.press("Delete…");
    browser.see("Delete 1 message?");
    browser.press("Cancel");
    browser.see("carol@far.test");
    browser.see("bob@far.test");
    content(&browser, &[]);
}

#[test]
fn many_messages_are_counted_before_anything_is_done_with_them() {
    let house = House::with_smart_host();
    for at in 0..5 {
        house.hand_in(&format!("user{at}@far.test"), "many");
    }
    house.hand_in("else@far.test", "one");
    house.wait_for("/servers/Test/queue", "6 messages wait");
    let browser = house.browser("administrator");
    browser.go("/servers/Test/queue/messages?recipient=user");
    browser.see("5 messages on this page");
    browser.choose("#which", "matching");
    browser.press("Hold");
    browser.see("Hold 5 messages?");
    browser.press("Hold 5 messages");
    browser.see("5 messages held");
    browser.choose("#which", "matching");
    browser.press("Delete…");
    browser.see("without a word to anybody");
    browser.press("Delete 5 messages");
    browser.see("5 messages deleted");
    browser.see("No message that waits matches");
    // Ticked ones; while one is ticked, the list stands still.
    browser.go("/servers/Test/queue/messages");
    browser.see("else@far.test");
    browser.press("Retry");
    browser.see("No message is ticked");
    browser.press("Go back");
    browser.click("tbody input[type=checkbox]");
    let peer = Peer::start(house.site.at(2, 2525), Script::default());
    browser.press("Retry");
    browser.see("1 messages tried again");
    assert!(peer.wait_for("one").subject().contains("one"));
    browser.see("The queue is empty");
    content(&browser, &["422"]);
}

#[test]
fn folders_are_looked_at_and_cleared() {
    let house = House::open(|_, settings| settings);
    let text = "Subject: figures\r\nFrom: alice@local.test\r\n\r\n<b>not bold</b>\r\n";
    fs::write(house.relay.folder("Drop").join("lost.eml"), text).unwrap();
    let browser = house.browser("administrator");
    browser.go("/servers/Test/badmail");
    browser.see("Badmail is empty");
    fs::write(house.relay.folder("Badmail").join("0006614ecd7a8a7a-0.BAD"), text).unwrap();
    browser.go("/servers/Test/badmail");
    browser.see("figures");
    browser.click("tbody input[type=checkbox]");
    browser.press("Delete…");
    browser.press("Delete 1 file");
    browser.see("Badmail is empty");
    // Put into the queue again, and delivered.
    let text = format!("To: bob@local.test\r\n{text}");
    fs::write(house.relay.folder("Badmail").join("0006614ecd7a8a7b-0.BAD"), &text).unwrap();
    browser.go("/servers/Test/badmail");
    browser.press("figures");
    browser.see("bob@local.test");
    browser.press("Requeue");
    browser.see("1 messages put into the queue again");
    browser.see("Badmail is empty");
    house.relay.wait_for_drop("x-receiver: bob@local.test");
    browser.go("/servers/Test/pickup");
    browser.see("Pickup is empty");
    // Whoever writes it has not finished, so it lies there.
    let mut writing = fs::File::create(house.relay.folder("Pickup").join("half.eml")).unwrap();
    writing.write_all(b"Subject: half of it\r\n\r\nmore follo").unwrap();
    browser.go("/servers/Test/pickup");
    browser.press("half of it");
    browser.see("more follo");
    browser.press("Delete…");
    browser.press("Delete 1 file");
    browser.see("Pickup is empty");
    assert!(!house.relay.folder("Pickup").join("half.eml").exists());
    browser.go("/servers/Test/drop");
    browser.see("bob@local.test");
    browser.click("a[href$='/drop/lost.eml']");
    browser.see("<b>not bold</b>");
    browser.press("Delete…");
    browser.see("Delete 1 file of Drop?");
    browser.press("Delete 1 file");
    browser.see_no("lost.eml");
    assert!(!house.relay.folder("Drop").join("lost.eml").exists());
    content(&browser, &[]);
}

#[test]
fn counters_and_plots_are_drawn() {
    let house = House::open(|_, settings| settings);
    house.hand_in("bob@local.test", "one");
    let browser = house.browser("administrator");
    browser.go("/servers/Test/counters");
    browser.see("mailroot_");
    assert_eq!(browser.count("figure canvas"), 4);
    renewed(&browser);
    browser.go("/");
    assert_eq!(browser.count("figure canvas"), 4);
    browser.go("/alarms");
    browser.see("Alarms");
    content(&browser, &[]);
}

#[test]
fn a_log_on_that_is_over_ends_the_page() {
    let house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    browser.go("/servers/Test/queue");
    browser.see("The queue is empty");
    let out = house.first.command(&serde_json::json!({ "command": "operator_log_out", "name": "administrator" }));
    assert_eq!(out.status, 200, "{out:?}");
    browser.see("Log on");
    content(&browser, &["401"]);
}

#[test]
fn a_page_finds_its_way_after_a_restart_of_the_service() {
    let mut house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    browser.go("/servers/Test/queue");
    browser.see("The queue is empty");
    house.relay.stop();
    browser.see("Not up to date");
    house.relay.up();
    // A restart ends all log-ons.
    browser.see("Log on");
    content(&browser, &["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY_RESPONSE", "MIME type"]);
}
