//! Long files and allowed lints are listed in `xtask/ratchet.txt` with their figure, and the figures only shrink.
//!
//! A file over the bound that is not listed fails; so does one that grew past its figure; so does a figure that is
//! higher than it need be, so that what was won is kept. To get the list as it would be now:
//! `cargo run -p xtask -- ratchet`; a review sees every line that grew.

use super::Fault;
use crate::source::{Tree, code, without_tests};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Lines of a Rust file, without its test modules.
const FILE_LINES_MAX: usize = 600;
/// The list.
const LIST: &str = "xtask/ratchet.txt";
/// Lints that somebody may have to allow, but not lightly, outside tests.
const LINTS: &[&str] = &["too_many_lines", "unwrap_used", "expect_used", "panic", "disallowed_methods", "missing_docs"];

/// What is over a bound now: (path, what) → figure.
fn figures(tree: &Tree) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    for (path, text) in tree.rust() {
        let product = without_tests(&code(text));
        let test_lines = lines_blanked(&code(text), &product);
        let lines = text.lines().count() - test_lines;
        if lines > FILE_LINES_MAX {
            found.insert((path.to_owned(), "lines".to_owned()), lines);
        }
        if path.contains("/tests/") || path.ends_with("/tests.rs") {
            continue;
        }
        for lint in LINTS {
            let count = product.lines().filter(|line| allows(line, lint)).count();
            if count > 0 {
                found.insert((path.to_owned(), (*lint).to_owned()), count);
            }
        }
    }
    found
}

fn lines_blanked(before: &str, after: &str) -> usize {
    before.lines().zip(after.lines()).filter(|(b, a)| !b.trim().is_empty() && a.trim().is_empty()).count()
}

fn allows(line: &str, lint: &str) -> bool {
    let attribute = line.contains("allow(") || line.contains("expect(");
    line.trim_start().starts_with("#") && attribute && line.contains(&format!("clippy::{lint}"))
        || line.trim_start().starts_with("#") && attribute && lint == "missing_docs" && line.contains(lint)
}

/// The list as it would be now.
pub fn current(tree: &Tree) -> String {
    let mut text = String::from("# path  what  figure: see xtask/src/tidy/ratchet.rs. Figures only shrink.\n");
    for ((path, what), figure) in figures(tree) {
        let _ = writeln!(text, "{path} {what} {figure}");
    }
    text
}

/// The ratchet holds.
pub fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut listed = BTreeMap::new();
    for (number, line) in tree.get(LIST).unwrap_or_default().lines().enumerate() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [path, what, figure] if figure.parse::<usize>().is_ok() => {
                listed.insert(((*path).to_owned(), (*what).to_owned()), figure.parse().unwrap_or(0));
            }
            _ => faults.push(Fault::line(LIST, number + 1, "must be `path what figure`")),
        }
    }
    let now = figures(tree);
    for ((path, what), figure) in &now {
        match listed.get(&(path.clone(), what.clone())) {
            None if what == "lines" => {
                let words = format!("{figure} lines without tests, the bound is {FILE_LINES_MAX}; split it by duty");
                faults.push(Fault::file(path, words));
            }
            None => {
                faults.push(Fault::file(path, format!("allows {what} {figure} times; mend it or list it in {LIST}")));
            }
            Some(bound) if figure > bound => {
                faults.push(Fault::file(
                    path,
                    format!("{what}: {figure}, and {LIST} allows {bound}; it may only shrink"),
                ));
            }
            Some(_) => {}
        }
    }
    for ((path, what), bound) in &listed {
        let figure = now.get(&(path.clone(), what.clone())).copied().unwrap_or(0);
        // A few lines of slack, or every change of a long file would touch the list.
        let slack = if what == "lines" { 25 } else { 0 };
        if figure == 0 || figure + slack < *bound {
            faults.push(Fault::file(
                LIST,
                format!("{path} {what}: it is {figure} now, {bound} is listed; keep what was won"),
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    fn long(lines: usize) -> String {
        format!("//! L.\n{}", "fn f() {}\n".repeat(lines - 1))
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_are_not_counted() {
        let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", long(600), "fn t() {}\n".repeat(300));
        finds(check, &[("a.rs", &tested)], &[("a.rs", &long(601))]);
    }

    #[test]
    fn a_listed_file_may_not_grow_nor_keep_too_high_a_figure() {
        let (sound, grown, shrunk) = (long(700), long(701), long(640));
        let list = (LIST, "a.rs lines 700\n");
        finds(check, &[list, ("a.rs", &sound)], &[list, ("a.rs", &grown)]);
        finds(check, &[list, ("a.rs", &sound)], &[list, ("a.rs", &shrunk)]);
        finds(check, &[list, ("a.rs", &sound)], &[list, ("a.rs", &long(10))]);
    }

    #[test]
    fn an_allowed_lint_is_found_outside_tests() {
        let planted = "//! A.\n#[allow(clippy::too_many_lines)]\nfn f() {}\n";
        let sound = "//! A.\n#[cfg(test)]\nmod tests {\n    #[allow(clippy::too_many_lines)]\n    fn f() {}\n}\n";
        finds(check, &[("a.rs", sound)], &[("a.rs", planted)]);
    }

    #[test]
    fn the_printed_list_passes() {
        let text = long(700);
        let list = current(&Tree::of(&[("a.rs", &text)]));
        assert_eq!(check(&Tree::of(&[("a.rs", &text), (LIST, &list)])), []);
    }
}
