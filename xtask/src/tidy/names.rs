//! Every file says what it is for; names are nouns of the field; nothing unfinished and no place of one machine is left.

use super::Fault;
use crate::source::{Tree, code, has_extension, line_of};

/// A name that ends in one of these says nothing.
const BANNED: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "info", "data", "wrapper"];

/// Each Rust file opens with `//!`.
pub fn opening(tree: &Tree) -> Vec<Fault> {
    tree.rust()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| Fault::file(path, "does not open with `//! ` and what it is for"))
        .collect()
}

/// No file, module or type ends in a banned word.
pub fn suffixes(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.rust() {
        let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
        if stem.rsplit('_').next().is_some_and(|word| BANNED.contains(&word)) {
            faults.push(Fault::file(path, format!("`{stem}` says nothing; name the duty")));
        }
        let code = code(text);
        for (number, line) in code.lines().enumerate() {
            if let Some(name) = declared(line)
                && BANNED.contains(&last_word(name).as_str())
            {
                faults.push(Fault::line(path, number + 1, format!("`{name}` says nothing; name the duty")));
            }
        }
    }
    faults
}

/// The name of the type or module that a line declares.
fn declared(line: &str) -> Option<&str> {
    let mut tokens = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|t| !t.is_empty());
    while let Some(token) = tokens.next() {
        match token {
            "pub" | "crate" | "super" | "unsafe" | "in" => {}
            "struct" | "enum" | "trait" | "type" | "mod" => return tokens.next(),
            _ => return None,
        }
    }
    None
}

/// `HostInfo` → `info`, `host_info` → `info`.
fn last_word(name: &str) -> String {
    let last = name.rsplit('_').next().unwrap_or(name);
    let start = last.rfind(|c: char| c.is_ascii_uppercase()).unwrap_or(0);
    last[start..].to_ascii_lowercase()
}

/// Nothing is left to do, switched off, or printed for debugging.
pub fn leftovers(tree: &Tree) -> Vec<Fault> {
    const LEFT: &[&str] = &["todo!(", "unimplemented!(", "dbg!(", "#[ignore"];
    let mut faults = Vec::new();
    for (path, text) in tree.rust() {
        let code = code(text);
        for left in LEFT {
            for (at, _) in code.match_indices(left) {
                faults.push(Fault::line(path, line_of(&code, at), format!("`{left}` is left here")));
            }
        }
    }
    faults
}

/// No file names a place that exists on one machine only.
pub fn places(tree: &Tree) -> Vec<Fault> {
    // Put together here so that this file does not name them itself.
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/home", "/user")];
    let mut faults = Vec::new();
    for (path, text) in tree.iter() {
        for (number, line) in text.lines().enumerate() {
            for place in places {
                // Behind a letter it is a part of some other path.
                let named = line.match_indices(place).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | ')'))
                });
                if named {
                    faults.push(Fault::line(path, number + 1, format!("`{place}` is a place of one machine")));
                }
            }
        }
    }
    faults
}

/// One test binary a crate: each costs seconds to build.
pub fn test_binaries(tree: &Tree) -> Vec<Fault> {
    tree.rust()
        .filter_map(|(path, _)| {
            let (_, file) = path.split_once("/tests/")?;
            let extra = !file.contains('/') && file != "main.rs" && is_crate_tests(tree, path);
            extra.then(|| Fault::file(path, "is a test binary of its own; make it a module of tests/main.rs"))
        })
        .collect()
}

/// Cargo makes a binary of each file in `tests/` beside `Cargo.toml`, unless `tests/main.rs` is the only target or
/// the file is declared there as a module.
fn is_crate_tests(tree: &Tree, path: &str) -> bool {
    let Some((root, file)) = path.split_once("/tests/") else { return false };
    let manifest = format!("{root}/Cargo.toml");
    let own_targets = tree.get(&manifest).is_some_and(|text| text.contains("autotests = false"));
    let module = file.trim_end_matches(".rs");
    debug_assert!(has_extension(path, "rs"));
    let declared = tree
        .get(&format!("{root}/tests/main.rs"))
        .is_some_and(|main| main.lines().any(|line| line.trim() == format!("mod {module};")));
    tree.exists(&manifest) && !(own_targets && declared)
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    const SOUND: (&str, &str) = ("crates/smtp/src/line.rs", "//! Lines.\n/// A line.\npub struct Line;\n");

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_found() {
        finds(opening, &[SOUND], &[SOUND, ("crates/smtp/src/body.rs", "use std::fmt;\n//! Late.\n")]);
    }

    #[test]
    fn a_type_a_module_and_a_file_of_no_meaning_are_found() {
        finds(suffixes, &[SOUND], &[SOUND, ("a.rs", "//! A.\npub(crate) struct HostInfo;\n")]);
        finds(suffixes, &[SOUND], &[SOUND, ("a.rs", "//! A.\nmod line_utils;\n")]);
        finds(suffixes, &[SOUND], &[SOUND, ("crates/smtp/src/host_helper.rs", "//! A.\n")]);
        // The word in a comment, a string or the middle of a name is no fault.
        finds(
            suffixes,
            &[("a.rs", "//! A.\n// struct Misc\nstruct DataCommand;\n")],
            &[("a.rs", "//! A.\nenum Misc {}")],
        );
    }

    #[test]
    fn what_is_left_to_do_is_found() {
        finds(leftovers, &[SOUND], &[SOUND, ("a.rs", "//! A.\nfn f() { todo!() }\n")]);
        finds(leftovers, &[SOUND], &[SOUND, ("a.rs", "//! A.\n#[ignore = \"slow\"]\nfn f() {}\n")]);
        finds(leftovers, &[("a.rs", "//! no todo!() here\n")], &[("a.rs", "//! A.\nfn f() { dbg!(1); }\n")]);
    }

    #[test]
    fn a_place_of_one_machine_is_found() {
        let planted = format!("cd {}wt\n", concat!("/wo", "rk/"));
        finds(places, &[("README.md", "cd my/work/wt\n")], &[("README.md", &planted)]);
    }

    #[test]
    fn a_second_test_binary_is_found() {
        let manifest = ("crates/a/Cargo.toml", "[package]\n");
        finds(
            test_binaries,
            &[manifest, ("crates/a/tests/main.rs", ""), ("crates/a/tests/x/mod.rs", "")],
            &[manifest, ("crates/a/tests/main.rs", ""), ("crates/a/tests/second.rs", "")],
        );
    }
}
