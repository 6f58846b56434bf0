//! Any text is answered with a configuration or with problems that can be drawn: no text brings the reader down.

use super::{drawn, parse};
use relay::config::{FILE_MAX, SERVERS_MAX, domains::DOMAINS_MAX, problem::PROBLEMS_MAX};

const GOOD: [&str; 2] = [include_str!("good/everything.toml"), include_str!("good/access.toml")];

/// Whatever the text: problems can be drawn, lie within it, come in order, and are not more than the bound.
fn survives(text: &str) {
    if let Err(problems) = parse(text) {
        assert!(!problems.is_empty() && problems.len() <= PROBLEMS_MAX + 1);
        assert!(problems.is_sorted_by_key(|problem| problem.span.start));
        assert!(!drawn(&problems, text).is_empty());
    }
}

#[test]
fn cut_files_are_survived() {
    for good in GOOD {
        for (end, _) in good.char_indices().step_by(3) {
            survives(&good[..end]);
        }
    }
}

#[test]
fn damaged_files_are_survived() {
    for good in GOOD {
        for (at, c) in good.char_indices().step_by(7) {
            for other in ["", "\"", "\0", "0", "[", "=", "é", "\n"] {
                survives(&format!("{}{other}{}", &good[..at], &good[at + c.len_utf8()..]));
            }
        }
    }
}

#[test]
fn values_of_any_kind_are_survived_everywhere() {
    let lines = |good: &'static str| {
        good.match_indices('\n').filter_map(move |(at, _)| Some((good, at, good[at + 1..].lines().next()?)))
    };
    for (good, at, line) in GOOD.into_iter().flat_map(lines) {
        let Some((key, _)) = line.split_once(" = ") else { continue };
        let end = at + 1 + line.len();
        for value in [
            "1",
            "-1",
            "0x10",
            "1.5",
            "nan",
            "true",
            "\"x\"",
            "\"\"",
            "[]",
            "[[]]",
            "[1, \"x\"]",
            "{}",
            "{ a = 1 }",
            "1979-05-27",
            "99999999999999999999",
            "\"99999999999999999999 GB\"",
            "\"\\u0000\"",
            "\"\u{202e}\"",
        ] {
            survives(&format!("{}\n{key} = {value}{}", &good[..at], &good[end..]));
        }
    }
}

#[test]
fn everything_is_bounded() {
    let said = |text: &str| parse(text).unwrap_err()[0].text.clone();
    assert!(said(&"#".repeat(FILE_MAX + 1)).contains("too large"));
    assert!(said(&"[[virtual_server]]\n".repeat(SERVERS_MAX + 1)).contains("101 virtual servers"));
    assert!(!said(&"[[virtual_server]]\n".repeat(SERVERS_MAX)).contains("virtual servers"));
    let domains = "[[virtual_server.domain]]\n".repeat(DOMAINS_MAX + 1);
    let many = format!("[[virtual_server]]\nname = \"x\"\nhome = \"x\"\n{domains}");
    assert!(said(&many).contains("10001 domains"));
    survives(&"[".repeat(5_000));
    survives(&format!("a = {}", "[".repeat(5_000)));
    survives(&format!("a = {}", "{a=".repeat(5_000)));
    survives(&"[[virtual_server]]\nx = 1\n".repeat(SERVERS_MAX));
    let problems = parse(&"= 1\n".repeat(10_000)).unwrap_err();
    assert_eq!(problems.len(), PROBLEMS_MAX + 1);
    assert!(problems[PROBLEMS_MAX].text.contains("more problems are not shown"), "{}", problems[PROBLEMS_MAX].text);
}

#[test]
fn a_text_that_was_not_parsed_cannot_be_drawn_upon() {
    let problems = parse("[[virtual_server]]\nname = 1\n").unwrap_err();
    assert!(problems[0].render("").starts_with("error: /etc/mailroot/mailroot.toml:"));
}
