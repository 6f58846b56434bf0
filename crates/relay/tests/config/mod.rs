//! Configuration files: what they become, and what is said about bad ones.
//!
//! `bad/NAME.toml` has at least one fault, and `bad/NAME.out` all that is said about it; `good/NAME.toml` has none, and its
//! `.out` is the virtual servers in words. `BLESS=1` writes the `.out` files and docs/settings.md anew.

mod defaults;
mod robust;
mod terms;

use crate::folders::golden;
use relay::config::{Config, Problem, settings};
use std::path::Path;

/// Where every test's configuration lies, as far as it is told.
const PATH: &str = "/etc/mailroot/mailroot.toml";
const HOST_NAME: &str = "relay.example.com";

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    Config::parse(text, PATH, HOST_NAME)
}

fn drawn(problems: &[Problem], text: &str) -> String {
    problems.iter().map(|problem| problem.render(text)).collect::<Vec<_>>().join("\n")
}

#[test]
fn bad_files_are_explained() {
    for path in golden::files(&golden::folder("config/bad"), "toml") {
        let text = std::fs::read_to_string(&path).unwrap();
        let Err(problems) = parse(&text) else { panic!("{} was taken", path.display()) };
        let drawn = drawn(&problems, &text);
        assert!(!drawn.contains("hunter2"), "{} shows a secret", path.display());
        golden::check(&path.with_extension("out"), &drawn);
    }
}

#[test]
fn good_files_are_told_in_words() {
    for path in golden::files(&golden::folder("config/good"), "toml") {
        let text = std::fs::read_to_string(&path).unwrap();
        let config = parse(&text).unwrap_or_else(|problems| panic!("{}", drawn(&problems, &text)));
        let mut words = String::new();
        for server in &config.servers {
            words.push_str(&format!("{}\n", server.name));
            words.extend(server.describe().into_iter().map(|line| format!("  {line}\n")));
        }
        words.extend(config.notes().into_iter().map(|line| format!("{line}\n")));
        golden::check(&path.with_extension("out"), &words);
    }
}

/// What the manuals show can be copied.
#[test]
fn examples_of_the_manuals_are_taken() {
    for page in ["remote-domains.md", "smart-hosts.md"] {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).join(page);
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let mut blocks = 0;
        for block in lines.split(|line| line.starts_with("```")).skip(1).step_by(2) {
            if !block.iter().any(|line| line.starts_with("[[")) {
                continue;
            }
            let mut toml = block.join("\n");
            if !block.contains(&"[[virtual_server]]") {
                toml.push_str("\n[[virtual_server]]\nname = \"x\"\nhome = \"x\"\n");
            }
            blocks += 1;
            parse(&toml).unwrap_or_else(|problems| panic!("{page}:\n{}", drawn(&problems, &toml)));
        }
        assert!(blocks >= 3, "{page} has {blocks} examples");
    }
}

#[test]
fn the_manual_is_made_from_the_table() {
    golden::check(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md")), &settings::markdown());
}
