//! The console in a real browser: Debian's Chromium, driven by its own driver. Every test ends with what the browser has to say against
//! the pages: no error of a script, nothing that the policy refused, no request to anybody else.

mod desk;
mod live;
mod pictures;
mod sessions;
mod settings;
mod strangers;
mod with_axe;

use crate::harness::browser::Browser;
use crate::harness::client::Client;
use crate::harness::console::{PASSWORD, Visitor, accept, first_link, with_console};
use crate::harness::mail::plain;
use crate::harness::relay::{Relay, Settings};
use crate::harness::{SOON, Site, until};
use serde_json::json;
use std::net::SocketAddr;

/// A relay with a console, and its first administrator, whose name is `administrator`.
struct House {
    relay: Relay,
    console: SocketAddr,
    first: Visitor,
    site: Site,
}

impl House {
    fn open(settings: impl FnOnce(&Site, Settings) -> Settings) -> House {
        let site = Site::new();
        let relay = Relay::start(&site, &settings(&site, with_console(&site)));
        let console = site.at(1, 8025);
        let first = accept(console, &first_link(&relay));
        House { relay, console, first, site }
    }

    /// Everything that is not local goes to host 2 of the site, and is tried again in an hour.
    fn with_smart_host() -> House {
        House::open(|site, settings| {
            settings
                .smart_host(site.at(2, 2525))
                .delivery("glitch_retry = { every = \"1 h\", times = 3 }")
                .delivery("retry = [\"1 h\"]")
        })
    }

    fn origin(&self) -> String {
        format!("http://{}", self.console)
    }

    /// Somebody new.
    fn operator(&self, name: &str, role: &str) {
        let add = json!({ "command": "operator_add", "name": name, "role": role, "scope": "all" });
        assert_eq!(self.first.command(&add).status, 200);
        let invited = self.first.command(&json!({ "command": "operator_invite", "name": name }));
        assert_eq!(invited.status, 200, "{invited:?}");
        let link = invited.json()["secret"].as_str().unwrap().to_owned();
        accept(self.console, &link[link.find("/invite/").unwrap()..]);
    }

    /// A browser in which he has logged on.
    fn browser(&self, name: &str) -> Browser {
        let browser = Browser::start(&self.site, name, &self.origin());
        browser.log_on(name, PASSWORD);
        browser
    }

    fn hand_in(&self, to: &str, subject: &str) {
        let reply = Client::greet(self.relay.at).message("alice@local.test", &[to], &plain(subject, to));
        assert_eq!(reply.code, 250, "{reply:?}");
    }

    /// Waits until a page has this in it, asked for without a browser.
    fn wait_for(&self, path: &str, text: &str) -> String {
        until(SOON, &format!("{path} says {text}"), || {
            let answer = self.first.get(path).send();
            (answer.status == 200 && answer.body.contains(text)).then_some(answer.body)
        })
    }
}

/// The browser is content.
fn content(browser: &Browser, but: &[&str]) {
    assert_eq!(browser.complaints(but), Vec::<String>::new());
}

#[test]
fn somebody_logs_on_looks_around_and_logs_off() {
    let house = House::open(|_, settings| settings);
    let browser = Browser::start(&house.site, "anna", &house.origin());
    browser.go("/servers/Test/queue");
    browser.fill("input[name=name]", "administrator");
    browser.fill("input[name=password]", "wrong");
    browser.click("main button[type=submit]");
    browser.see("wrong");
    browser.fill("input[name=password]", PASSWORD);
    browser.click("main button[type=submit]");
    browser.see("The queue is empty");
    assert_eq!(browser.path(), "/servers/Test/queue", "it leads to where one wanted to go");
    browser.click(".mark");
    browser.see("Virtual servers");
    browser.see("running");
    browser.press("Log off");
    browser.see("Log on");
    browser.go("/alarms");
    browser.see("Log on");
    content(&browser, &["403 (Forbidden)"]);
}

#[test]
fn whoever_may_only_look_finds_nothing_to_press() {
    let house = House::with_smart_host();
    house.operator("helen", "help_desk");
    house.hand_in("bob@far.test", "one");
    house.wait_for("/servers/Test/queue", "waiting");
    let browser = house.browser("helen");
    for page in ["/", "/servers/Test/queue", "/servers/Test/queue/messages", "/servers/Test/sessions", "/alarms"] {
        browser.go(page);
        assert_eq!(browser.count("main button[name=verb]"), 0, "{page}");
        assert_eq!(browser.count("main form[method=post] button"), 0, "{page}");
    }
    // What is not shown is not allowed either.
    let form = "const form = new FormData(document.querySelector('.bar form')); form.append('verb', 'stop'); \
                fetch('/servers/Test/state', { method: 'POST', body: new URLSearchParams(form) }) \
                .then(answer => done(answer.status));";
    assert_eq!(browser.script_until_done(form), 403);
    let stranger = "fetch('/servers/Test/state', { method: 'POST', body: new URLSearchParams({ verb: 'stop' }) }) \
                    .then(answer => answer.text().then(text => done([answer.status, text.includes('load the page again')])));";
    assert_eq!(browser.script_until_done(stranger), json!([403, true]), "without the session's own word");
    browser.go("/servers/Test/properties");
    browser.see("an administrator may");
    browser.go("/");
    browser.see("running");
    content(&browser, &["403 (Forbidden)"]);
}

#[test]
fn two_operators_see_what_the_other_does() {
    let house = House::open(|_, settings| settings);
    house.operator("otto", "operator");
    let (anna, otto) = (house.browser("administrator"), house.browser("otto"));
    anna.go("/");
    anna.see("running");
    otto.go("/");
    otto.press("Pause Test");
    otto.see("paused");
    anna.see("paused");
    anna.press("Continue Test");
    otto.see("running");
    anna.see("running");
    // A page that is behind: the button was for a state that is over.
    otto.script("document.querySelectorAll('[data-live]').forEach(part => part.removeAttribute('data-live'))");
    anna.press("Stop Test");
    anna.see("stopped");
    otto.press("Pause Test");
    otto.see("Go back");
    content(&anna, &[]);
    content(&otto, &["409", "422"]);
}
