//! What goes out: TLS and log-ons towards servers that others wrote, and towards one that plays tricks. Nothing goes in clear text
//! where that is forbidden, and nothing is lost.

mod stranger;
mod with_dovecot;
mod with_postfix;
mod with_spnego;

use crate::harness::Site;
use crate::harness::client::Client;
use crate::harness::mail::plain;
use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::run_well;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

fn hand_in(relay: &Relay, to: &str, subject: &str) {
    let reply = Client::greet(relay.at).message("alice@local.test", &[to], &plain(subject, to));
    assert_eq!(reply.code, 250, "{reply:?}");
}

/// A file for the relay's eyes alone.
fn secret(site: &Site, name: &str, text: &str) -> PathBuf {
    let file = site.folder.write(name, text);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// What `mailroot queue show` says about the one message to this recipient.
fn shown_in_queue(relay: &Relay, to: &str) -> String {
    let mailroot = |words: &[&str]| {
        let output = run_well(Command::new(PROGRAM).arg("queue").args(words).arg("--config").arg(&relay.config));
        String::from_utf8(output).unwrap()
    };
    let list = mailroot(&["list", "--recipient", to]);
    let id = list.lines().nth(1).and_then(|line| line.split(' ').next()).unwrap_or_else(|| panic!("{to}: {list}"));
    mailroot(&["show", id])
}
