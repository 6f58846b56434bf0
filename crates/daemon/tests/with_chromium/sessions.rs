//! Current Sessions in the browser.

use super::{House, content};
use crate::harness::SOON;
use crate::harness::client::Client;
use std::time::Instant;

#[test]
fn a_session_is_seen_and_ended_while_it_sends() {
    let house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    browser.go("/servers/Test/sessions");
    browser.see("No session is open");
    let mut client = Client::greet(house.relay.at);
    assert_eq!(client.say("EHLO printer.test").code, 250);
    // By itself.
    browser.see("[printer.test]");
    client.open("alice@local.test", &["bob@local.test"]);
    client.send("Subject: half\r\n\r\nthis message will");
    browser.press("[printer.test]");
    browser.see("EHLO printer.test");
    browser.see("RCPT TO:<bob@local.test>");
    browser.press("End this session");
    let start = Instant::now();
    client.rest();
    assert!(start.elapsed() < SOON, "the connection is closed");
    browser.see("No session is open");
    assert_eq!(house.relay.dropped().len(), 0, "half a message is none");
    content(&browser, &[]);
}

#[test]
fn all_sessions_are_ended_after_a_question() {
    let house = House::open(|_, settings| settings);
    let mut clients: Vec<_> = (0..3).map(|_| Client::greet(house.relay.at)).collect();
    for client in &mut clients {
        assert_eq!(client.say("EHLO all.test").code, 250);
    }
    let browser = house.browser("administrator");
    browser.go("/servers/Test/sessions?direction=inbound");
    browser.see("1 to 3 of 3");
    browser.press("End all inbound…");
    browser.see("3 sessions are open and will be ended at once");
    browser.press("End 3 sessions");
    browser.see("No session is open");
    clients.iter_mut().for_each(|client| drop(client.rest()));
    content(&browser, &[]);
}

#[test]
fn whoever_looks_on_is_told_that_a_session_has_ended() {
    let house = House::open(|_, settings| settings);
    let mut client = Client::greet(house.relay.at);
    assert_eq!(client.say("EHLO gone.test").code, 250);
    let browser = house.browser("administrator");
    browser.go("/servers/Test/sessions");
    browser.press("[gone.test]");
    browser.see("EHLO gone.test");
    client.say("QUIT");
    browser.see("This session has ended");
    content(&browser, &[]);
}
