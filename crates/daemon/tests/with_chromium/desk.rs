//! What is set: tabs, wizards, versions, explain, operators, as an administrator does it.

use super::{House, content};
use crate::harness::browser::Browser;
use crate::harness::client::Client;
use crate::harness::mail::plain;
use std::fs;

/// What would be trouble in a page if it were not escaped.
const EVIL: &str = "<img src=x onerror=window.owned=1>";

/// The style-sheet selector of a setting's field.
fn field(name: &str) -> String {
    format!("[name='set:{name}']")
}

/// Nothing of a stranger's text ran.
fn is_harmless(browser: &Browser) {
    assert_eq!(browser.script("return window.owned === 1 || document.querySelector('img[src=x]') !== null"), false);
}

fn file(house: &House) -> String {
    fs::read_to_string(&house.relay.config).unwrap()
}

#[test]
fn settings_are_changed_on_their_tabs_and_hold_on_the_wire() {
    let house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    browser.go("/servers/Test/properties");
    for (tab, name, typed, written) in [
        ("General", "general.errors_max", "7", "errors_max = 7"),
        ("Access", "access.relay.only", "127.0.0.0/8, 192.0.2.7", "\"192.0.2.7\""),
        ("Messages", "messages.size_max", "3 MB", "size_max = \"3 MB\""),
        ("Delivery", "delivery.hop_count_max", "9", "hop_count_max = 9"),
        ("Advanced", "queue.messages_max", "4000", "messages_max = 4000"),
    ] {
        browser.press(tab);
        browser.fill(&field(name), typed);
        browser.press("Save…");
        browser.see(written);
        assert!(!file(&house).contains(written), "it is only shown yet");
        browser.press("Save");
        browser.see_no("What restarts");
        assert!(file(&house).contains(written), "{}", file(&house));
    }
    // A choice, and back to the default.
    browser.press("Access");
    browser.choose(&field("access.reverse_dns"), "yes");
    browser.press("Save…");
    browser.see("reverse_dns = true");
    browser.press("Save");
    browser.see("Relay restrictions");
    browser.choose(&field("access.reverse_dns"), "");
    browser.press("Save…");
    browser.see("-reverse_dns = true");
    browser.press("Save");
    browser.see("Relay restrictions");
    assert!(!file(&house).contains("reverse_dns"));
    // LDAP Routing has its room, and no empty form.
    browser.press("LDAP Routing");
    browser.see("is not there yet");
    assert_eq!(browser.count("main form"), 0);
    browser.press("Security");
    browser.see("administrator");
    let ehlo = Client::greet(house.relay.at).say("EHLO again.test").text();
    assert!(ehlo.contains("SIZE 3145728"), "{ehlo}");
    content(&browser, &[]);
}

#[test]
fn what_is_wrong_stands_beside_its_field() {
    let house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    browser.go("/servers/Test/properties/messages");
    let before = file(&house);
    browser.fill(&field("messages.size_max"), EVIL);
    browser.fill(&field("messages.recipients_max"), "0");
    browser.press("Save…");
    browser.see("2 values are not right");
    is_harmless(&browser);
    assert!(browser.text("[id='messages.size_max'] .wrong").contains("is not a size"));
    assert!(browser.text("[id='messages.recipients_max'] .wrong").contains("out of its range"));
    let kept = browser.script("return document.querySelector(\"[name='set:messages.size_max']\").value");
    assert_eq!(kept, EVIL);
    browser.fill(&field("messages.size_max"), "8 MB");
    browser.fill(&field("messages.recipients_max"), "20");
    browser.press("Save…");
    browser.see("size_max = \"8 MB\"");
    browser.press("Cancel");
    browser.see("Limits and reports");
    assert_eq!(file(&house), before, "nothing was changed");
    content(&browser, &["422"]);
}

#[test]
fn a_wizard_makes_a_virtual_server_that_takes_mail() {
    let house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    let at = house.site.at(3, 2525);
    browser.click("a.new");
    browser.see("What is it for?");
    browser.click("a[href='/servers/new?recipe=application']");
    browser.fill("#name", EVIL);
    browser.fill("#listen", &at.to_string());
    browser.fill("#home", "second");
    browser.fill("#default_domain", "second.test");
    browser.press("Make it…");
    browser.see("is started");
    is_harmless(&browser);
    browser.press("Make it");
    browser.see("Relay restrictions");
    is_harmless(&browser);
    let reply = Client::greet(at).message("a@second.test", &["b@far.test"], &plain("one", "two"));
    assert_eq!(reply.code, 250, "{reply:?}");
    for page in ["/", "/explain", "/audit", "/configuration", "/certificates"] {
        browser.go(page);
        browser.see("onerror");
        is_harmless(&browser);
    }
    // It is renamed and goes.
    browser.go("/servers/%3Cimg%20src%3Dx%20onerror%3Dwindow.owned%3D1%3E/properties/general");
    browser.fill("#rename", "Second");
    browser.press("Rename…");
    browser.press("Rename");
    browser.see("The virtual server itself");
    browser.press("Delete…");
    browser.see("is stopped");
    browser.press("Delete");
    browser.see("its folders stay");
    assert_eq!(browser.count("nav.tree details"), 1, "it is in the tree no more");
    assert!(std::net::TcpStream::connect(at).is_err());
    content(&browser, &[]);
}

#[test]
fn domains_come_change_their_names_and_go() {
    let house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    browser.go("/servers/Test/domains");
    browser.press("New domain…");
    browser.fill("#name", "branch.test");
    browser.click("input[name=route][value=smtp]");
    browser.fill("#host", "mail.branch.test");
    browser.click("input[name=allow_relay]");
    browser.press("Add…");
    browser.see("smtp://mail.branch.test:25");
    browser.press("Add");
    browser.see("everybody who may connect");
    browser.press("branch.test");
    browser.fill("#rename", "far.test");
    browser.press("Rename…");
    browser.press("Rename");
    browser.see("far.test");
    browser.press("Remove…");
    browser.press("Remove");
    browser.see("local.test");
    browser.see_no("smtp://mail.branch.test");
    content(&browser, &[]);
}

#[test]
fn an_edit_by_hand_is_noticed_and_one_can_go_back() {
    let house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    browser.go("/servers/Test/properties/messages");
    browser.fill(&field("messages.size_max"), "4 MB");
    browser.press("Save…");
    browser.press("Save");
    browser.see("Limits and reports");
    fs::write(&house.relay.config, format!("# By hand {EVIL}\n{}", file(&house))).unwrap();
    browser.fill(&field("messages.size_max"), "5 MB");
    browser.press("Save…");
    browser.see("was edited by hand");
    browser.press("Look at what was edited by hand");
    browser.see("+# By hand <img");
    is_harmless(&browser);
    browser.press("Take it into force…");
    browser.press("Take it into force");
    browser.see("in force");
    browser.see_no("is not in force yet");
    browser.press("Go back to version 1");
    browser.see("-# By hand");
    browser.press("Go back");
    browser.see("Back to version 1");
    assert!(!file(&house).contains("By hand") && !file(&house).contains("size_max"), "{}", file(&house));
    content(&browser, &["409"]);
}

#[test]
fn explain_leads_to_the_setting_that_decides() {
    let house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    browser.go("/explain");
    browser.fill("#from", "192.0.2.9");
    browser.fill("#sender", "a@b.test");
    browser.fill("#rcpt", "c@far.test");
    browser.press("Explain");
    browser.see("The mail would be refused");
    browser.press("access.relay.only");
    browser.see("Relay restrictions");
    assert!(browser.path().ends_with("/properties/access#access.relay.only"), "{}", browser.path());
    content(&browser, &[]);
}

#[test]
fn operators_come_with_a_link_and_tokens_are_shown_once() {
    let house = House::open(|_, settings| settings);
    let browser = house.browser("administrator");
    browser.go("/operators");
    browser.fill("#new-name", "helen");
    browser.choose("#new-role", "help_desk");
    browser.press("Add");
    browser.see("helen");
    browser.go("/operators");
    browser.press("Password link for helen");
    let link = browser.text("#secret");
    assert!(link.contains("/invite/"), "{link}");
    browser.go("/operators");
    browser.see("no password yet");
    assert!(!browser.all_text().contains("/invite/"));
    browser.fill("#token-name", "backup");
    browser.press("Make");
    browser.see("shown this once");
    let token = browser.text("#secret");
    browser.press("Go on");
    browser.see("backup");
    assert!(!browser.all_text().contains(&token));
    browser.press("Revoke backup");
    browser.press("Revoke");
    browser.see("There is no token");
    content(&browser, &[]);
}
