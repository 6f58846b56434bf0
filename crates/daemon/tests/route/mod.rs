//! `mailroot route`: where mail would go, and how the channel to each host must be.

mod golden;
mod probe;
mod with_bind;
mod with_postfix;

use crate::harness::relay::{PROGRAM, Relay};
use crate::harness::run;
use serde_json::Value;
use std::process::{Command, Output};

/// `mailroot route --config FILE WORDS`
fn route(relay: &Relay, words: &[&str]) -> Output {
    run(Command::new(PROGRAM).arg("route").arg("--config").arg(&relay.config).args(words))
}

/// The same with `--json`, read.
fn answer(relay: &Relay, to: &str) -> Value {
    let output = route(relay, &[to, "--json"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// In one line: of each host its name and what is demanded of the channel, then why others are not used.
fn summary(answer: &Value) -> String {
    let mut text = Vec::new();
    for host in answer["hosts"].as_array().into_iter().flatten() {
        let protection = host["protection"].as_str().unwrap();
        text.push(format!("{}: {protection}", host["name"].as_str().unwrap_or("-")));
    }
    for failure in answer["not_used"].as_array().into_iter().flatten() {
        text.push(format!("{} {}", failure["status"].as_str().unwrap(), failure["text"].as_str().unwrap()));
    }
    text.join(" | ")
}
