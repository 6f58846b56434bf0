//! axe-core finds no serious fault on any page, in light and dark, on a desk and on a phone (WCAG 2.2 A and AA and its best practices).
//!
//! axe-core lies in the target folder (`axe-core/package/axe.min.js`), where `./test.sh` puts it.

use super::{House, content};
use crate::harness::browser::Browser;
use crate::harness::client::Client;
use crate::harness::relay::PROGRAM;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Pages that are looked at, at most.
const PAGES_MAX: usize = 60;

fn axe() -> String {
    let file = Path::new(PROGRAM).ancestors().nth(2).unwrap().join("axe-core/package/axe.min.js");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}; ./test.sh fetches it", file.display()))
}

/// What a page leads to.
fn links(browser: &Browser) -> Vec<String> {
    let links = browser.script(
        "return [...document.querySelectorAll('a[href^=\"/\"]')].map(link => link.getAttribute('href').split('#')[0])",
    );
    links.as_array().unwrap().iter().filter_map(|link| link.as_str().map(str::to_owned)).collect()
}

/// Serious faults of the page as it is.
fn faults(browser: &Browser) -> Vec<String> {
    let found = browser.script_until_done(
        "axe.run(document, { resultTypes: ['violations'] }).then(found => done(found.violations \
         .filter(fault => ['serious', 'critical'].includes(fault.impact)) \
         .map(fault => fault.id + ': ' + fault.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(' | '))))",
    );
    found.as_array().unwrap().iter().map(|fault| fault.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn no_page_has_a_serious_fault() {
    let axe = axe();
    let house = House::with_smart_host();
    house.operator("helen", "help_desk");
    house.hand_in("bob@far.test", "one");
    fs::write(house.relay.folder("Badmail").join("lost.BAD"), "Subject: lost\r\n\r\nlost\r\n").unwrap();
    let mut client = Client::greet(house.relay.at);
    client.say("EHLO here.test");
    house.wait_for("/servers/Test/queue", "waiting");
    let browser = house.browser("administrator");
    let (mut waiting, mut known) = (vec!["/".to_owned()], BTreeSet::from(["/".to_owned()]));
    let mut found = Vec::new();
    while let Some(page) = waiting.pop() {
        browser.go(&page);
        browser.script(&axe);
        for (width, dark) in [(1280, false), (1280, true), (390, true), (390, false)] {
            browser.looks_like(width, dark);
            let scheme = if dark { "dark" } else { "light" };
            found.extend(faults(&browser).into_iter().map(|fault| format!("{page} at {width}, {scheme}: {fault}")));
            if width == 390 {
                let wide = browser.script("return document.documentElement.scrollWidth > innerWidth + 1");
                if wide == true {
                    found.push(format!("{page} at {width}: wider than the window"));
                }
            }
        }
        for link in links(&browser) {
            let same_kind = link.starts_with("/assets/") || link.contains("/settings/");
            if !same_kind && known.len() < PAGES_MAX && known.insert(link.clone()) {
                waiting.push(link);
            }
        }
    }
    assert!(known.len() > 20, "{known:?}");
    let pages = known.len();
    assert!(found.is_empty(), "{pages} pages:\n{}", found.join("\n"));
    browser.press("Log off");
    browser.see("Log on");
    browser.script(&axe);
    for dark in [false, true] {
        browser.looks_like(390, dark);
        assert_eq!(faults(&browser), Vec::<String>::new());
    }
    content(&browser, &["404"]);
}
