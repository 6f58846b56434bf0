//! Groups of the system on the control socket; as root, because it takes several users.

use super::with_console;
use crate::harness::console::PASSWORD;
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::{Site, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Runs the program as this user, in this group alone.
fn as_user(relay: &Relay, uid: u32, gid: u32, words: &[&str]) -> (bool, String) {
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
    let output = run(command.arg(PROGRAM).args(words).arg("--config").arg(&relay.config));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn groups_of_the_system_are_what_the_configuration_says() {
    let site = Site::new();
    let group = |name: &str| {
        let text = fs::read_to_string("/etc/group").unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap().to_owned();
        line.split(':').nth(2).unwrap().parse::<u32>().unwrap()
    };
    let (games, mail, nobody) = (group("games"), group("mail"), 65_534);
    let closed = with_console(&site);
    let relay = Relay::start(&site, &closed);
    let (fine, text) = as_user(&relay, 9_001, games, &["server", "list"]);
    assert!(!fine && text.contains("may not be opened by this user"), "{text}");

    let open = closed.clone().console("groups = { operators = [\"games\"], auditors = [\"mail\", \"no-such-group\"] }");
    relay.configure(&open);
    let reload = run(Command::new(PROGRAM).args(["config", "reload", "--config"]).arg(&relay.config));
    assert!(reload.status.success(), "{reload:?}");
    relay.wait_for_log(&["alarm", "no-such-group"]);
    let (fine, text) = as_user(&relay, 9_001, games, &["server", "list"]);
    assert!(fine && text.contains("Test"), "{text}");
    let (fine, text) = as_user(&relay, 9_001, games, &["set", "messages.recipients_max", "77"]);
    assert!(!fine && text.contains("role operator"), "{text}");
    let (fine, text) = as_user(&relay, 9_001, games, &["operator", "list"]);
    assert!(!fine && text.contains("role operator"), "{text}");
    let (fine, text) = as_user(&relay, 9_002, mail, &["operator", "list"]);
    assert!(fine && text.contains("administrator"), "{text}");
    let (fine, text) = as_user(&relay, 9_003, nobody, &["server", "list"]);
    assert!(!fine && text.contains("no operator") && text.contains("console.groups"), "{text}");
    let audit = fs::read_to_string(relay.config.with_file_name("state").join("refused.log")).unwrap();
    assert!(audit.contains("\"who\":\"unix:9001\"") && audit.contains("\"outcome\":\"refused\""), "{audit}");
    // The socket is open, and nothing else in the folder.
    let state = relay.config.with_file_name("state");
    let read = run(Command::new("setpriv").args(["--reuid=9001", "--regid=9001", "--clear-groups", "ls"]).arg(&state));
    assert!(!read.status.success());
    for name in ["operators.toml", "audit.log", "refused.log"] {
        let mode = fs::metadata(state.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    let input = format!("{PASSWORD}\n");
    let (code, _, error) =
        super::commands::mailroot(&relay.config, &["operator", "passwd", "administrator", "--password-stdin"], &input);
    assert_eq!(code, 0, "{error}");

    relay.configure(&closed);
    let reload = run(Command::new(PROGRAM).args(["config", "reload", "--config"]).arg(&relay.config));
    assert!(reload.status.success(), "{reload:?}");
    let (fine, text) = as_user(&relay, 9_002, mail, &["server", "list"]);
    assert!(!fine && text.contains("may not be opened"), "{text}");
}
