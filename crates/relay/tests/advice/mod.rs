//! docs/smart-hosts.md: its tables of what refusals mean are those of the code (`BLESS=1` writes them anew), and its
//! configurations are sound.

use super::folders::golden;
use relay::advice;
use relay::config::Config;
use std::path::Path;

#[test]
fn the_manual_lists_what_refusals_mean() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/smart-hosts.md"));
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("<!-- tables -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of tables -->\n").unwrap();
    let tables = advice::markdown();
    golden::check(path, &format!("{before}<!-- tables -->\n{tables}<!-- end of tables -->\n{after}"));
}

#[test]
fn no_cell_breaks_its_table() {
    for line in advice::markdown().lines().filter(|line| line.starts_with('|')) {
        let cells = line.matches(" | ").count();
        assert!(line.ends_with('|') && (cells == 2 || cells == 3 || line.starts_with("|---")), "{line}");
    }
}

#[test]
fn what_the_manual_tells_to_write_is_sound() {
    let page = include_str!("../../../../docs/smart-hosts.md");
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 6);
    for block in blocks {
        let name = block.lines().find_map(|line| line.trim_start().strip_prefix("name = ")).unwrap();
        let server = format!(
            "[[virtual_server]]\nname = \"Relay\"\nhome = \"relay\"\n[virtual_server.delivery]\nsmart_host = {name}\n\
             [[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n"
        );
        let is_whole = block.contains("[[virtual_server]]");
        // A whole one leaves out what every configuration has.
        let text = if is_whole {
            format!("{block}  [[virtual_server.domain]]\n  name = \"local.test\"\n  kind = \"default\"\n")
        } else {
            format!("{block}{server}")
        };
        if let Err(problems) = Config::parse(&text, "/etc/mailroot/mailroot.toml", "relay.example.com") {
            let told: String = problems.iter().map(|problem| problem.render(&text)).collect();
            panic!("{told}\n{text}");
        }
    }
}
