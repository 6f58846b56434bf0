//! The documents are true: what they name exists, and what the code has they list.

use super::Fault;
use crate::source::{Tree, code, words};
use std::collections::BTreeSet;

/// Documents whose backticked paths must exist.
fn documents(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.iter().filter(|(path, _)| {
        matches!(*path, "README.md" | "ARCHITECTURE.md" | "STYLE.md")
            || path.starts_with("docs/") && path.ends_with(".md")
            || *path == "bench/README.md"
    })
}

/// What stands between single backticks, with its line.
fn quoted(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(line.split('`').skip(1).step_by(2).map(|word| (number + 1, word)));
        }
    }
    found
}

/// Is this meant as a path in the project?
fn as_path(word: &str) -> Option<&str> {
    const ROOTS: &[&str] = &["crates/", "docs/", "xtask/", "bench/", "fuzz/", ".ci/"];
    let path = word.split("::").next().unwrap_or(word);
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    (plain && ROOTS.iter().any(|root| path.starts_with(root))).then_some(path)
}

/// `smtp::server` → a file of that module, if the crate is ours.
fn as_module(word: &str) -> Option<(&str, &str)> {
    let (name, rest) = word.split_once("::")?;
    let module = rest.split("::").next()?;
    let plain = module.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (matches!(name, "smtp" | "relay" | "daemon") && plain && !module.is_empty()).then_some((name, module))
}

/// Paths and modules that a document names exist.
pub fn paths(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (document, text) in documents(tree) {
        for (line, word) in quoted(text) {
            if let Some(path) = as_path(word)
                && !tree.exists(path)
            {
                faults.push(Fault::line(document, line, format!("`{path}` does not exist")));
            }
            if let Some((name, module)) = as_module(word) {
                let file = format!("crates/{name}/src/{module}.rs");
                if !tree.exists(&file) && !tree.exists(&format!("crates/{name}/src/{module}")) {
                    faults.push(Fault::line(document, line, format!("`{name}::{module}` does not exist")));
                }
            }
        }
    }
    let too_long = tree.get("ARCHITECTURE.md").map_or(0, |text| text.lines().count());
    if too_long > 300 {
        faults.push(Fault::file("ARCHITECTURE.md", format!("{too_long} lines; 300 are enough for a map")));
    }
    faults
}

/// A test that a document names as a guard, `path/of/file.rs::name_of_test`, exists and is a test.
pub fn guards(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (document, text) in documents(tree) {
        for (line, word) in quoted(text) {
            let Some((path, name)) = word.rsplit_once("::") else { continue };
            if as_path(word).is_none() || !path.ends_with(".rs") {
                continue;
            }
            let found = tree.get(path).is_some_and(|file| words(&code(file), &format!("fn {name}(")).next().is_some());
            if tree.exists(path) && !found {
                faults.push(Fault::line(document, line, format!("`{path}` has no test `{name}`")));
            }
        }
    }
    faults
}

/// Each `RFC nnnn` that the code cites is listed in docs/rfc.md.
pub fn rfcs(tree: &Tree) -> Vec<Fault> {
    let index: BTreeSet<&str> = tree.get("docs/rfc.md").map(numbers).unwrap_or_default();
    let mut faults = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| path.starts_with("crates/")) {
        for number in numbers(text).difference(&index) {
            faults.push(Fault::file(path, format!("cites RFC {number}, which docs/rfc.md does not list")));
        }
    }
    faults
}

/// Every number that stands after `RFC `.
fn numbers(text: &str) -> BTreeSet<&str> {
    text.match_indices("RFC ")
        .filter_map(|(at, _)| {
            let rest = &text[at + 4..];
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            (3..=5).contains(&digits).then(|| &rest[..digits])
        })
        .collect()
}

/// Each setting of the table is in docs/settings.md.
pub fn settings(tree: &Tree) -> Vec<Fault> {
    let document = tree.get("docs/settings.md").unwrap_or_default();
    let mut faults = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| path.starts_with("crates/relay/src/config/")) {
        for name in setting_names(text) {
            // As a heading, or quoted.
            if !document.contains(&format!("### {name}\n")) && !document.contains(&format!("`{name}`")) {
                faults.push(Fault::file(path, format!("`{name}` is not in docs/settings.md")));
            }
        }
    }
    faults
}

/// The dotted names in `name: "delivery.retry"`.
fn setting_names(text: &str) -> BTreeSet<&str> {
    if !text.contains("Setting") {
        return BTreeSet::new();
    }
    text.match_indices("name: \"")
        .filter_map(|(at, found)| text[at + found.len()..].split('"').next())
        .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b"._[]".contains(&b)))
        .collect()
}

/// Each limit with a name, `pub const …_MAX`, is in docs/limits.md.
pub fn limits(tree: &Tree) -> Vec<Fault> {
    let document = tree.get("docs/limits.md").unwrap_or_default();
    let mut faults = Vec::new();
    for (path, code) in tree.product() {
        for (number, line) in code.lines().enumerate() {
            let visible = ["pub const ", "pub(crate) const ", "pub(super) const "];
            let Some(rest) = visible.iter().find_map(|start| line.trim_start().strip_prefix(start)) else { continue };
            let Some((name, _)) = rest.split_once(':') else { continue };
            if name.ends_with("_MAX") && !document.contains(&format!("`{name}`")) {
                faults.push(Fault::line(path, number + 1, format!("the limit `{name}` is not in docs/limits.md")));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    const SERVER: (&str, &str) = ("crates/smtp/src/server.rs", "//! S.\nfn greets() {}\n");

    #[test]
    fn a_path_that_is_gone_is_found() {
        let sound = ("ARCHITECTURE.md", "`crates/smtp/src/server.rs`, `smtp::server::Session`, `crates/smtp`\n");
        finds(paths, &[SERVER, sound], &[SERVER, ("ARCHITECTURE.md", "`crates/smtp/src/gone.rs`\n")]);
        finds(paths, &[SERVER, sound], &[SERVER, ("docs/walks/inbound.md", "`smtp::gone` asks\n")]);
    }

    #[test]
    fn a_map_that_is_no_map_any_more_is_found() {
        finds(paths, &[("ARCHITECTURE.md", "x\n")], &[("ARCHITECTURE.md", &"x\n".repeat(301))]);
    }

    #[test]
    fn a_guard_that_is_gone_is_found() {
        let sound = ("ARCHITECTURE.md", "`crates/smtp/src/server.rs::greets`\n");
        finds(guards, &[SERVER, sound], &[SERVER, ("ARCHITECTURE.md", "`crates/smtp/src/server.rs::greet`\n")]);
    }

    #[test]
    fn an_rfc_that_the_index_lacks_is_found() {
        let index = ("docs/rfc.md", "| RFC 5321 | yes |\n");
        let sound = ("crates/smtp/src/line.rs", "//! RFC 5321 §2.3.8\n");
        finds(rfcs, &[index, sound], &[index, ("crates/smtp/src/line.rs", "//! RFC 5321, RFC 3030\n")]);
    }

    #[test]
    fn a_setting_that_the_manual_lacks_is_found() {
        let table = (
            "crates/relay/src/config/delivery.rs",
            "//! S.\nstatic RETRY: Setting = Setting { name: \"delivery.retry\", tab: Tab::Delivery\n",
        );
        finds(
            settings,
            &[table, ("docs/settings.md", "### `delivery.retry`\n")],
            &[table, ("docs/settings.md", "none")],
        );
    }

    #[test]
    fn a_limit_that_the_manual_lacks_is_found() {
        let code = ("crates/smtp/src/line.rs", "//! L.\npub const LINE_MAX: usize = 512;\n");
        finds(limits, &[code, ("docs/limits.md", "| `LINE_MAX` |")], &[code]);
    }
}
