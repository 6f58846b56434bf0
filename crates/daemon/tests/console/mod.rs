//! The console's door, as browsers and programs find it.

use crate::harness::Site;
use crate::harness::console::{Ask, accept, first_link, log_on, with_console};
use crate::harness::relay::Relay;
use serde_json::json;

/// A relay with a console whose first administrator has logged on.
fn opened(site: &Site) -> (Relay, crate::harness::console::Visitor) {
    let relay = Relay::start(site, &with_console(site));
    let visitor = accept(site.at(1, 8025), &first_link(&relay));
    (relay, visitor)
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
    assert_eq!(Ask::new(at, "GET", "/api/v1/service").send().status, 401);
    let done = visitor.command(&json!({"command": "config_reload"}));
    assert_eq!(done.status, 200, "{done:?}");
    log_on(at, "Administrator");
}
