//! Scripts for decisions: a configuration, questions, and below each question the verdict, indented.
//!
//! `config LINE` adds a line to the one virtual server; it needs no name, home or fqdn. Anything else that does not begin with `#` is a question; the
//! module that plays the script answers it. `BLESS=1` writes the verdicts anew, for review in the diff.

use crate::folders::golden;
use relay::config::{Config, VirtualServer};
use std::path::Path;
use std::sync::Arc;

/// Plays every script of a folder: `answer` gets the server, its own state, and one question.
pub fn play<S: Default>(folder: &str, mut answer: impl FnMut(&VirtualServer, &mut S, &str) -> Option<String>) {
    for path in golden::files(&golden::folder(folder), "txt") {
        let script = std::fs::read_to_string(&path).unwrap();
        let server = server(&path, &script);
        let mut state = S::default();
        let mut played = String::new();
        for line in script.lines().filter(|line| !line.starts_with("  ")) {
            played.push_str(line);
            played.push('\n');
            if line.is_empty() || line.starts_with('#') || line.starts_with("config ") {
                continue;
            }
            if let Some(verdict) = answer(&server, &mut state, line) {
                played.push_str(&format!("  {verdict}\n"));
            }
        }
        golden::check(&path, &played);
    }
}

fn server(path: &Path, script: &str) -> Arc<VirtualServer> {
    let mut text = String::from("[[virtual_server]]\nname = \"script\"\nhome = \"/home\"\n");
    for line in script.lines().filter_map(|line| line.strip_prefix("config ")) {
        text.push_str(line);
        text.push('\n');
    }
    let config = Config::parse(&text, "/script.toml", "relay.test").unwrap_or_else(|problems| {
        let drawn: Vec<_> = problems.iter().map(|problem| problem.render(&text)).collect();
        panic!("{}:\n{}", path.display(), drawn.join("\n"))
    });
    config.servers[0].clone()
}
