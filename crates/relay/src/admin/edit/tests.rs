//! Changes to a file with comments: what is changed, and all that stays.

use super::*;
use crate::admin::{DomainKind, NewDomain, NewServer};

const FILE: &str = r#"# The relay of the head office.

[dns]
servers = ["127.0.0.1:5353"]   # our own

# First floor
[[virtual_server]]
name = "One"
home = "one"      # not on the small disk

  [virtual_server.general]
  listen = ["127.0.0.1:2525"]

  # Agreed with the data centre:
  [virtual_server.delivery]
  fqdn = "one.example.com"
  glitch_retry = { every = "60 s", times = 3 }
  retry = [
    "15 min",
    "1 h",   # was 30 min
  ]

  [[virtual_server.domain]]
  name = "one.example.com"
  kind = "default"
  quota = "1 GB"

[[virtual_server]]
name = "Two"
home = "two"
  [virtual_server.general]
  listen = ["127.0.0.1:2526"]
  [virtual_server.delivery]
  fqdn = "two.example.com"
"#;

fn change(setting: &str, value: Option<&str>) -> Change {
    Change { setting: setting.into(), value: value.map(str::to_owned) }
}

fn set_one(setting: &str, value: Option<&str>) -> Result<String, EditFault> {
    set(FILE, Some("One"), &[change(setting, value)])
}

/// The lines that differ: taken out with `-`, put in with `+`.
fn changed(after: &str) -> Vec<String> {
    let diff = diff(FILE, after);
    let lines = diff.lines().filter(|line| !line.starts_with("---") && !line.starts_with("+++"));
    lines.filter(|line| line.starts_with(['+', '-'])).map(str::to_owned).collect()
}

fn sound(text: &str) {
    if let Err(problems) = crate::config::Config::parse(text, "/x/mailroot.toml", "host.example.com") {
        panic!("{}", problems.iter().map(|p| format!("{p:?}\n{text}")).collect::<String>());
    }
}

#[test]
fn one_value_changes_and_every_comment_stays() {
    let after = set_one("delivery.fqdn", Some("\"new.example.com\"")).unwrap();
    assert_eq!(changed(&after), ["-  fqdn = \"one.example.com\"", "+  fqdn = \"new.example.com\""]);
    let after = set(FILE, None, &[change("dns.servers", Some("[\"[::1]:53\"]"))]).unwrap();
    let expected = ["-servers = [\"127.0.0.1:5353\"]   # our own", "+servers = [\"[::1]:53\"]   # our own"];
    assert_eq!(changed(&after), expected);
    let after = set_one("home", Some("\"big\"")).unwrap();
    assert_eq!(changed(&after)[1], "+home = \"big\"      # not on the small disk");
    sound(&after);
}

#[test]
fn what_is_missing_is_made_where_it_belongs() {
    let after = set_one("messages.size_max", Some("\"5 MB\"")).unwrap();
    sound(&after);
    assert_eq!(get(&after, Some("One"), "messages.size_max").unwrap().as_deref(), Some("\"5 MB\""));
    assert_eq!(get(&after, Some("Two"), "messages.size_max").unwrap(), None, "the other one is left alone");
    let after = set_one("access.authentication.lockout.after", Some("7")).unwrap();
    sound(&after);
    assert_eq!(get(&after, Some("One"), "access.authentication.lockout.after").unwrap().as_deref(), Some("7"));
    let after = set_one("delivery.glitch_retry.times", Some("5")).unwrap();
    assert_eq!(changed(&after)[1], "+  glitch_retry = { every = \"60 s\", times = 5 }");
}

#[test]
fn what_is_taken_out_is_gone_and_its_default_holds() {
    let after = set_one("delivery.glitch_retry.every", None).unwrap();
    sound(&after);
    let after = set(&after, Some("One"), &[change("delivery.glitch_retry.times", None)]).unwrap();
    assert!(!after.contains("glitch_retry"), "an empty table says nothing");
    assert_eq!(set_one("messages.size_max", None).unwrap(), FILE, "what is not there is out already");
    assert!(after.contains("# Agreed with the data centre:"));
}

#[test]
fn nothing_is_changed_if_one_change_cannot_be_made() {
    let both = |second: Change| set(FILE, Some("One"), &[change("delivery.port", Some("26")), second]);
    for (setting, value) in
        [("delivery.colour", "1"), ("delivery", "{}"), ("domain.route", "\"mx\""), ("dns.servers", "[]"), ("", "1")]
    {
        let fault = both(change(setting, Some(value)));
        // A whole tab is a table of settings; it may be written as one.
        if setting == "delivery" {
            continue;
        }
        assert_eq!(fault, Err(EditFault::Unknown(setting.into())), "{setting}");
    }
    for value in ["", "2 MB", "\"open", "[1", "1\nport = 2", "1 # x\n[dns]\n", "{ a = 1 } }"] {
        assert!(matches!(both(change("messages.size_max", Some(value))), Err(EditFault::Value(_))), "{value:?}");
    }
    assert!(set(FILE, Some("Three"), &[]).is_ok(), "no change needs no virtual server");
    assert!(matches!(set(FILE, Some("Three"), &[change("home", Some("\"x\""))]), Err(EditFault::Missing(_))));
    assert!(matches!(set("a = ", Some("One"), &[]), Err(EditFault::Broken(_))));
}

#[test]
fn domains_are_added_changed_renamed_and_removed() {
    let new = NewDomain {
        name: "*.branch.example.com".into(),
        kind: DomainKind::Remote,
        changes: vec![
            change("route", Some("\"smtp://mail.branch.example.com:25\"")),
            change("domain.allow_relay", Some("true")),
        ],
    };
    let after = add_domain(FILE, "One", &new).unwrap();
    sound(&after);
    assert_eq!(get_of_domain(&after, "One", "*.branch.example.com", "allow_relay").unwrap().as_deref(), Some("true"));
    assert!(matches!(add_domain(&after, "One", &new), Err(EditFault::Taken(_))));
    let after = set_domain(&after, "One", "*.BRANCH.example.com", &[change("allow_relay", Some("false"))]).unwrap();
    let after = rename_domain(&after, "One", "*.branch.example.com", "*.far.example.com").unwrap();
    sound(&after);
    assert!(matches!(rename_domain(&after, "One", "*.far.example.com", "one.example.com"), Err(EditFault::Taken(_))));
    assert!(matches!(set_domain(&after, "One", "gone.test", &[]), Err(EditFault::Missing(_))));
    let unknown = set_domain(&after, "One", "one.example.com", &[change("name", Some("\"x\""))]);
    assert_eq!(unknown, Err(EditFault::Unknown("name".into())), "a name is changed by its own command");
    let after = remove_domain(&after, "One", "*.far.example.com").unwrap();
    assert_eq!(changed(&after), Vec::<String>::new());
}

#[test]
fn a_new_default_domain_makes_the_old_one_an_alias() {
    let new = NewDomain { name: "new.example.com".into(), kind: DomainKind::Default, changes: Vec::new() };
    let after = add_domain(FILE, "One", &new).unwrap();
    sound(&after);
    assert_eq!(get_of_domain(&after, "One", "one.example.com", "kind").unwrap().as_deref(), Some("\"alias\""));
    assert_eq!(get_of_domain(&after, "One", "new.example.com", "quota").unwrap().as_deref(), Some("\"1 GB\""));
}

#[test]
fn virtual_servers_are_added_renamed_and_removed() {
    let new = NewServer {
        name: "Three \"3\"".into(),
        listen: vec!["127.0.0.1:2527".into()],
        home: "three".into(),
        default_domain: "three.example.com".into(),
        recipe: None,
    };
    let after = add_server(FILE, &new).unwrap();
    sound(&after);
    assert!(matches!(add_server(&after, &new), Err(EditFault::Taken(_))));
    assert!(matches!(rename_server(&after, "Two", "one"), Err(EditFault::Taken(_))));
    let after = rename_server(&after, "Three \"3\"", "Drei").unwrap();
    sound(&after);
    let after = remove_server(&after, "Drei").unwrap();
    sound(&after);
    assert!(matches!(remove_server(&after, "Drei"), Err(EditFault::Missing(_))));
}

#[test]
fn smart_hosts_are_made_changed_and_removed() {
    let after = set_smart_host(FILE, "office", &[change("hosts", Some("[\"smtp.example.com:587\"]"))]).unwrap();
    sound(&after);
    let after = set_smart_host(&after, "office", &[change("smart_host.tls", Some("\"required\""))]).unwrap();
    sound(&after);
    let after = set_smart_host(&after, "office", &[change("pacing.connections_max", Some("3"))]).unwrap();
    sound(&after);
    assert!(matches!(set_smart_host(&after, "office", &[change("colour", Some("3"))]), Err(EditFault::Unknown(_))));
    assert_eq!(changed(&remove_smart_host(&after, "office").unwrap()), Vec::<String>::new());
}
