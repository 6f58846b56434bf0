//! What strangers choose (subject, HELO name, recipient, a host's reply, a file's name) is text on every page, when it is loaded and
//! when it is brought up to date.

use super::live::renewed;
use super::{House, content};
use crate::harness::browser::Browser;
use crate::harness::client::Client;
use crate::harness::peer::{At, Mood, Peer, Script};
use std::fs;

/// Would tell of itself, if anything ran it.
const RUN: &str = "<img src=x onerror=window.ran=1><script>window.ran=1</script><svg/onload=window.ran=1>";

/// The page shows it as it is written, and runs nothing of it.
fn is_text(browser: &Browser, page: &str, text: &str) {
    browser.go(page);
    browser.see(text);
    for moved in [false, true] {
        if moved && browser.count("[data-live]") > 0 {
            renewed(browser);
            browser.see(text);
        }
        let ran = browser.script(
            "return [window.ran, document.querySelectorAll('main img, main script, main svg, nav img').length]",
        );
        assert_eq!(ran, serde_json::json!([null, 0]), "{page}");
    }
}

#[test]
fn nothing_that_a_stranger_writes_is_run() {
    let house = House::open(|site, settings| {
        let elsewhere = format!("route = \"smtp://[{}]:2525\"", site.ip(3));
        let settings = settings.smart_host(site.at(2, 2525)).remote("elsewhere.test", &[&elsewhere]);
        settings.delivery("glitch_retry = { every = \"1 h\", times = 3 }").delivery("retry = [\"1 h\"]")
    });
    let says = |at: At, words: &str| Script::default().at(at, Mood::Say(format!("{words} {RUN}")));
    let _refuses = Peer::start(house.site.at(2, 2525), says(At::Rcpt, "451 4.3.0"));
    let _closes = Peer::start(house.site.at(3, 2525), says(At::Banner, "421 4.3.2"));
    let mut client = Client::greet(house.relay.at);
    client.say("EHLO \"><img/src=x/onerror=window.ran=1>");
    client.say("EHLO helo.test");
    assert_eq!(client.say("MAIL FROM:<\"<svg/onload=window.ran=1>\"@local.test>").code, 250);
    assert_eq!(client.say("RCPT TO:<\"<img/src=x/onerror=window.ran=1>\"@far.test>").code, 250);
    assert_eq!(client.say("DATA").code, 354);
    let content_type = "Content-Type: text/html";
    client.send(format!("Subject: {RUN}\r\n{content_type}\r\n\r\n<h1>big</h1>{RUN}\r\n.\r\n"));
    assert_eq!(client.reply().code, 250);
    let name = "<img src=x onerror=window.ran=1>.eml";
    fs::write(house.relay.folder("Drop").join(name), format!("Subject: {RUN}\r\n\r\n{RUN}\r\n")).unwrap();
    fs::write(
        house.relay.folder("Badmail").join("<img src=x onerror=window.ran=1>.BAD"),
        format!("Subject: {RUN}\r\n\r\n{RUN}\r\n"),
    )
    .unwrap();
    let list = house.wait_for("/servers/Test/queue/messages", "451 4.3.0");
    house.hand_in("bob@elsewhere.test", "two");
    house.wait_for("/servers/Test/queue", "421 4.3.2");
    let id = list.split("name=\"id\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let browser = house.browser("administrator");
    is_text(&browser, "/servers/Test/queue", "421 4.3.2 <img src=x onerror=window.ran=1>");
    is_text(&browser, "/servers/Test/queue/messages", "\"<img/src=x/onerror=window.ran=1>\"@far.test");
    is_text(&browser, "/servers/Test/queue/messages?reason=%3Csvg", "<svg/onload=window.ran=1>");
    let message = format!("/servers/Test/queue/messages/{id}");
    // HTML becomes text.
    is_text(&browser, &message, "big");
    assert_eq!(browser.count("h1"), 1);
    is_text(&browser, &message, "<svg/onload=window.ran=1>\"@local.test");
    is_text(&browser, "/servers/Test/drop", name);
    is_text(&browser, "/servers/Test/badmail", "<img src=x onerror=window.ran=1>");
    browser.go("/servers/Test/drop");
    browser.click("tbody th a");
    browser.see(RUN);
    assert_eq!(browser.script("return window.ran"), serde_json::Value::Null);
    // What an address says is no different.
    is_text(
        &browser,
        "/servers/Test/sessions?find=%22%3E%3Cimg%20src%3Dx%20onerror%3Dwindow.ran%3D1%3E",
        "\"><img src=x",
    );
    browser.go("/servers/%3Cimg%20src%3Dx%20onerror%3Dwindow.ran%3D1%3E/queue");
    browser.see("There is no virtual server \"<img src=x onerror=window.ran=1>\"");
    content(&browser, &["404"]);
}

#[test]
fn a_name_in_a_greeting_is_text_among_the_sessions() {
    let house = House::open(|_, settings| settings);
    let mut client = Client::greet(house.relay.at);
    client.say("HELO <img/src=x/onerror=window.ran=1>");
    let browser = house.browser("administrator");
    browser.go("/servers/Test/sessions");
    browser.see("1 to 1 of 1");
    browser.click("tbody th a");
    is_text(&browser, &browser.path(), "HELO <img/src=x/onerror=window.ran=1>");
    content(&browser, &[]);
}
