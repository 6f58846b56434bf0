//! Arrows between the crates point inward, and what comes from outside has a reason.
//!
//! Cargo keeps the arrows that its manifests allow; this keeps the manifests.

use super::Fault;
use crate::source::{Tree, code, line_of, words};

/// Who may import whom, of ours. A crate that does not stand here needs a line here first.
const ARROWS: &[(&str, &[&str])] = &[
    ("smtp", &[]),
    ("relay", &["smtp"]),
    ("console", &["relay"]),
    ("daemon", &["smtp", "relay", "console"]),
    ("sim", &["smtp", "relay"]),
];

/// Words and decisions know no runtime, no socket, no chance: these may not come in, whatever the reason.
const DEEDS_ONLY: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "futures",
    "mio",
    "socket2",
    "rustls",
    "tokio-rustls",
    "hickory-resolver",
    "notify",
    "rand",
    "fastrand",
    "getrandom",
    "tracing",
    "anyhow",
    "clap",
    "nix",
    "libc",
    "rustix",
    "tempfile",
];
const WITHOUT_DEEDS: &[&str] = &["smtp", "relay", "console"];

/// One dependency line of a manifest.
struct Dependency<'a> {
    name: &'a str,
    line: usize,
    for_tests: bool,
    has_reason: bool,
}

/// The dependencies that a manifest names, development ones included.
fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut found = Vec::new();
    let (mut section, mut comment_above) = ("", false);
    for (number, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            // `[dependencies.name]`: the name is in the header.
            if let Some((kind, name)) = section.rsplit_once('.')
                && kind.ends_with("dependencies")
            {
                let for_tests = kind.contains("dev-");
                found.push(Dependency { name, line: number + 1, for_tests, has_reason: comment_above });
            }
        } else if section.ends_with("dependencies")
            && let Some((key, value)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let name = key.trim().split('.').next().unwrap_or_default().trim_matches('"');
            let for_tests = section.contains("dev-");
            let has_reason = comment_above || value.contains('#');
            found.push(Dependency { name, line: number + 1, for_tests, has_reason });
        }
        comment_above = line.starts_with('#');
    }
    found
}

fn manifests(tree: &Tree) -> impl Iterator<Item = (&str, &str, &str)> {
    tree.iter().filter_map(|(path, text)| {
        let name = path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
        Some((name, path, text))
    })
}

fn is_ours(name: &str) -> bool {
    ARROWS.iter().any(|(ours, _)| *ours == name)
}

/// The import table between our crates holds, in the manifests and in the code.
pub fn crates(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, path, text) in manifests(tree) {
        let Some((_, allowed)) = ARROWS.iter().find(|(ours, _)| *ours == name) else {
            faults.push(Fault::file(path, format!("`{name}` is not in the import table of xtask/src/tidy/imports.rs")));
            continue;
        };
        for dependency in dependencies(text) {
            if is_ours(dependency.name) && !allowed.contains(&dependency.name) {
                let what = format!("`{name}` may not import `{}`", dependency.name);
                faults.push(Fault::line(path, dependency.line, what));
            }
        }
    }
    for (path, text) in tree.rust() {
        let Some((name, _)) = path.strip_prefix("crates/").and_then(|p| p.split_once("/src/")) else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(ours, _)| *ours == name) else { continue };
        let code = code(text);
        for (other, _) in ARROWS.iter().filter(|(other, _)| *other != name && !allowed.contains(other)) {
            let import = format!("use {other}::");
            for at in words(&code, &import) {
                faults.push(Fault::line(path, line_of(&code, at), format!("`{name}` may not import `{other}`")));
            }
        }
    }
    faults
}

/// What belongs to deeds does not come into words and decisions.
pub fn outside(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, path, text) in manifests(tree).filter(|(name, _, _)| WITHOUT_DEEDS.contains(name)) {
        for dependency in dependencies(text).iter().filter(|d| !d.for_tests) {
            if DEEDS_ONLY.contains(&dependency.name) {
                let what =
                    format!("`{name}` knows no runtime, socket or chance: `{}` belongs to the daemon", dependency.name);
                faults.push(Fault::line(path, dependency.line, what));
            }
        }
    }
    faults
}

/// A dependency from outside has a line of reason above it, in the workspace's manifest or the crate's.
pub fn reasons(tree: &Tree) -> Vec<Fault> {
    let reasoned: Vec<String> = tree
        .get("Cargo.toml")
        .map(|text| dependencies(text).iter().filter(|d| d.has_reason).map(|d| d.name.to_owned()).collect())
        .unwrap_or_default();
    let mut faults = Vec::new();
    let everywhere = tree.iter().filter(|(path, _)| *path == "Cargo.toml" || path.ends_with("/Cargo.toml"));
    for (path, text) in everywhere.filter(|(path, _)| !path.starts_with("fuzz/")) {
        for dependency in dependencies(text) {
            let known = is_ours(dependency.name) || reasoned.iter().any(|name| name == dependency.name);
            if !known && !dependency.has_reason {
                let what = format!("say in a comment above the line what `{}` is for", dependency.name);
                faults.push(Fault::line(path, dependency.line, what));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    const SMTP: &str = "[package]\nname = \"smtp\"\n[dependencies]\n# Copies are dear.\nbytes = \"1\"\n";

    #[test]
    fn an_arrow_outward_is_found_in_the_manifest() {
        let planted = format!("{SMTP}relay.workspace = true\n");
        finds(crates, &[("crates/smtp/Cargo.toml", SMTP)], &[("crates/smtp/Cargo.toml", &planted)]);
        let table = format!("{SMTP}[dependencies.relay]\nworkspace = true\n");
        finds(crates, &[("crates/smtp/Cargo.toml", SMTP)], &[("crates/smtp/Cargo.toml", &table)]);
        let sim = "[dev-dependencies]\nsim.workspace = true\n";
        finds(crates, &[], &[("crates/relay/Cargo.toml", sim)]);
    }

    #[test]
    fn an_arrow_outward_is_found_in_the_code() {
        let sound = ("crates/relay/src/gate.rs", "//! G.\nuse smtp::address::Domain; // use daemon::x\n");
        finds(crates, &[sound], &[("crates/relay/src/gate.rs", "//! G.\nuse daemon::desk::Desk;\n")]);
    }

    #[test]
    fn a_crate_that_nobody_placed_is_found() {
        finds(crates, &[("crates/smtp/Cargo.toml", SMTP)], &[("crates/attic/Cargo.toml", SMTP)]);
    }

    #[test]
    fn a_runtime_in_the_words_is_found() {
        let planted = format!("{SMTP}# Fast.\ntokio = \"1\"\n");
        finds(outside, &[("crates/smtp/Cargo.toml", SMTP)], &[("crates/smtp/Cargo.toml", &planted)]);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let planted = format!("{SMTP}\nserde = {{ version = \"1\" }}\n");
        finds(reasons, &[("crates/smtp/Cargo.toml", SMTP)], &[("crates/smtp/Cargo.toml", &planted)]);
        // The workspace's reason is enough for all.
        let workspace = ("Cargo.toml", "[workspace.dependencies]\n# Reason.\nserde = \"1\"\n");
        finds(
            reasons,
            &[workspace, ("crates/smtp/Cargo.toml", "[dependencies]\nserde.workspace = true\n")],
            &[workspace, ("crates/smtp/Cargo.toml", "[dependencies]\nserde_json.workspace = true\n")],
        );
    }
}
