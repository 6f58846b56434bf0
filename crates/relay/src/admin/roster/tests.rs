//! The roster: what each command changes, what it must not, and its file.

use super::*;
use crate::account::Cost;

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-28T12:00:00Z").unwrap()
}

fn fresh(n: u8) -> Fresh<'static> {
    Fresh { now: now(), by: "anna", digest: [n; 32] }
}

fn hash() -> Option<PasswordHash> {
    PasswordHash::compose(Cost { memory: 8, passes: 1, lanes: 1 }, &[1; 16], &[2; 32])
}

fn add(name: &str, role: Role) -> Command {
    Command::OperatorAdd { name: name.into(), role, scope: Scope::All }
}

fn set(name: &str, role: Option<Role>, scope: Option<Scope>, disabled: Option<bool>) -> Command {
    Command::OperatorSet { name: name.into(), role, scope, disabled }
}

/// Anna can log on and change everything, Bert cannot log on yet.
fn roster() -> Roster {
    let mut roster = Roster::default();
    for name in ["anna", "bert"] {
        roster.apply(&add(name, Role::Administrator), &fresh(0)).unwrap().unwrap();
    }
    roster.find_mut("ANNA").unwrap().password = hash();
    roster
}

#[test]
fn the_last_administrator_stays_one() {
    let mut roster = roster();
    let elsewhere = Scope::Servers(vec!["One".into()]);
    for command in [
        Command::OperatorRemove { name: "anna".into() },
        set("Anna", Some(Role::Auditor), None, None),
        set("anna", None, Some(elsewhere), None),
        set("anna", None, None, Some(true)),
    ] {
        assert_eq!(roster.apply(&command, &fresh(0)), Some(Err(RosterFault::LastAdministrator)), "{command:?}");
        assert!(roster.has_master());
    }
    // Bert has no password: he is no help. With one he is.
    roster.find_mut("bert").unwrap().password = hash();
    roster.apply(&Command::OperatorRemove { name: "anna".into() }, &fresh(0)).unwrap().unwrap();
    assert!(roster.find("anna").is_none() && roster.has_master());
}

#[test]
fn whoever_is_removed_leaves_no_tokens() {
    let mut roster = roster();
    for (n, name, by) in [(1, "one", "Bert"), (2, "two", "anna"), (3, "three", "bert"), (4, "four", "token:One")] {
        let new = Command::TokenNew { name: name.into(), role: Role::Auditor, scope: Scope::All, days: 1 };
        roster.apply(&new, &Fresh { by, ..fresh(n) }).unwrap().unwrap();
    }
    let told = roster.apply(&Command::OperatorRemove { name: "bert".into() }, &fresh(0)).unwrap().unwrap();
    assert!(told.contains("3 tokens that he made"), "{told}");
    let left: Vec<&str> = roster.tokens().iter().map(|token| &*token.name).collect();
    assert_eq!(left, ["two"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut roster = roster();
    let token =
        |name: &str, days| Command::TokenNew { name: name.into(), role: Role::Auditor, scope: Scope::All, days };
    let nowhere = Command::OperatorAdd { name: "carl".into(), role: Role::Auditor, scope: Scope::Servers(Vec::new()) };
    for command in [
        add("Anna", Role::Auditor),
        add("", Role::Auditor),
        add("unix:anna", Role::Auditor),
        add("a\nb", Role::Auditor),
        nowhere,
        set("carl", None, None, None),
        token("x", 0),
        token("x", TOKEN_DAYS_MAX + 1),
        Command::OperatorInvite { name: "carl".into() },
        Command::OperatorLogOut { name: "carl".into() },
        Command::TokenRevoke { name: "x".into() },
    ] {
        assert!(roster.apply(&command, &fresh(0)).unwrap().is_err(), "{command:?}");
    }
    assert!(roster.apply(&Command::ConfigReload, &fresh(0)).is_none());
}

#[test]
fn a_link_is_good_until_it_is_not() {
    let mut roster = roster();
    roster.apply(&Command::OperatorInvite { name: "bert".into() }, &fresh(7)).unwrap().unwrap();
    assert_eq!(&*roster.invited(&[7; 32], now()).unwrap().name, "bert");
    assert!(roster.invited(&[8; 32], now()).is_none());
    assert!(roster.invited(&[7; 32], now().plus(INVITATION_LASTS)).is_none());
    roster.apply(&set("bert", None, None, Some(true)), &fresh(0)).unwrap().unwrap();
    assert!(roster.invited(&[7; 32], now()).is_none());
}

#[test]
fn a_first_administrator_is_welcomed_until_somebody_can_log_on() {
    let mut roster = Roster::default();
    assert_eq!(&*roster.welcome([1; 32], now()).unwrap().name, "administrator");
    assert_eq!(&*roster.welcome([2; 32], now()).unwrap().name, "administrator");
    assert_eq!(roster.operators().len(), 1);
    assert!(roster.invited(&[1; 32], now()).is_none(), "the older link is over");
    assert!(roster.invited(&[2; 32], now()).is_some());
    roster.find_mut("administrator").unwrap().password = hash();
    assert!(roster.welcome([3; 32], now()).is_none());
}

#[test]
fn what_is_written_is_read_again() {
    let mut roster = roster();
    let scope = Scope::Servers(vec!["Default \"SMTP\"".into(), "Two".into()]);
    roster.apply(&set("bert", Some(Role::HelpDesk), Some(scope.clone()), None), &fresh(0)).unwrap().unwrap();
    roster.apply(&Command::OperatorInvite { name: "bert".into() }, &fresh(7)).unwrap().unwrap();
    roster.find_mut("anna").unwrap().last_log_on = Some(now());
    let token = Command::TokenNew { name: "backup".into(), role: Role::Auditor, scope, days: 30 };
    roster.apply(&token, &fresh(9)).unwrap().unwrap();
    let text = roster.print();
    let again = Roster::parse(text.text().unwrap()).unwrap();
    assert_eq!(again.print().text(), text.text());
    assert_eq!(again.tokens(), roster.tokens());
    assert_eq!(again.find("bert").unwrap().scope, roster.find("bert").unwrap().scope);
    assert_eq!(again.find("bert").unwrap().invitation, roster.find("bert").unwrap().invitation);
    assert!(again.has_master());
}

#[test]
fn a_broken_file_shows_no_secret() {
    for (text, line) in [
        ("[[operator]]\nname = \"a\"\nrole = \"administrator\"\npassword = \"hunter2\"\n", 4),
        ("[[operator]]\nname = \"a\"\nrole = \"hunter2\"\n", 3),
        ("[[operator]]\nrole = \"auditor\"\n", 1),
        ("[[operator]]\nname = \"a\"\nrole = \"auditor\"\nhunter2 = 1\n", 4),
        ("[[token]]\nname = \"a\"\nrole = \"auditor\"\ndigest = \"hunter2\"\n", 4),
        ("[[token]]\nname = \"a\"\nrole = \"auditor\"\n", 1),
        ("hunter2", 1),
        ("operator = 1\n", 1),
        ("[[operator]]\nname = \"a\"\nrole = \"auditor\"\nservers = []\n", 4),
    ] {
        let faults = Roster::parse(text).unwrap_err();
        assert_eq!(faults[0].line, line, "{text}: {faults:?}");
        assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
    }
}

#[test]
fn who_has_to_do_with_a_server_has_so_under_its_new_name() {
    let both = Scope::Servers(vec!["One".into(), "Two".into()]);
    let mut roster = Roster::default();
    roster.operators.push(Entry::new("anna", Role::Operator, both));
    roster.operators.push(Entry::new("bert", Role::Operator, Scope::All));
    assert!(!roster.server_renamed("Three", "Four"));
    assert!(roster.server_renamed("One", "First"));
    assert_eq!(roster.operators[0].scope, Scope::Servers(vec!["First".into(), "Two".into()]));
    assert_eq!(roster.operators[1].scope, Scope::All);
}
