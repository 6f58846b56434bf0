//! What differs from run to run, and from machine to machine, made the same: times, ages, ids, sizes, ports, addresses, folders,
//! secrets, and who runs the tests. Columns of a table are set anew afterwards, because their width followed what was masked.

use crate::harness::Site;

/// Heads of columns whose numbers differ.
const COLUMNS: &[&str] = &["AGE", "SIZE", "OLDEST", "FOR", "OCTETS", "ID"];
/// Fields of JSON whose numbers differ.
const FIELDS: &[&str] = &["age_s", "oldest_s", "seconds", "size", "octets", "id"];
/// What is typed as an id that nothing has.
pub const NO_ID: &str = "0123456789abcdef";

/// See the module.
pub struct Mask {
    folder: String,
    net: String,
    user: String,
    /// Ids in the order in which they came up.
    ids: Vec<String>,
}

impl Mask {
    pub fn new(site: &Site) -> Mask {
        let first = site.ip(1).to_string();
        Mask {
            folder: site.folder.path().display().to_string(),
            net: first.strip_suffix('1').unwrap().to_owned(),
            user: nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name,
            ids: Vec::new(),
        }
    }

    /// All that one command said.
    pub fn output(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if !is_head(line) {
                out.push_str(&self.line(line));
                out.push('\n');
                continue;
            }
            let mut rows = Vec::new();
            while let Some(row) = lines.next_if(|row| !row.is_empty() && !row.starts_with('…')) {
                rows.push(row);
            }
            out.push_str(&self.table(line, &rows));
        }
        out
    }

    /// One line of free text, of JSON or of a difference.
    pub fn line(&mut self, line: &str) -> String {
        let field = FIELDS.iter().find_map(|name| {
            let head = format!("\"{name}\": ");
            line.trim_start().starts_with(&head).then(|| line.find(&head).unwrap_or(0) + head.len())
        });
        if let Some(at) = field {
            let value = line[at..].trim_end_matches(',');
            if value.trim_matches('"').bytes().all(|octet| octet.is_ascii_digit()) {
                return format!("{}N{}", &line[..at], &line[at + value.len()..]);
            }
        }
        self.text(line)
    }

    fn text(&mut self, text: &str) -> String {
        let text = text.replace(&self.folder, "FOLDER").replace(&format!("unix:{}", self.user), "unix:USER");
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let after_word = out.ends_with(|c: char| c.is_ascii_alphanumeric());
            if !after_word && let Some((length, instead)) = self.found(&out, rest) {
                out.push_str(&instead);
                rest = &rest[length..];
            } else {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        out
    }

    /// What stands at the beginning of a text, behind `out`, and differs: how long it is, and what to write instead.
    fn found(&mut self, out: &str, text: &str) -> Option<(usize, String)> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        if looks_like(text, "dddd-dd-ddTdd:dd:dd") {
            return Some((text.find('Z').map_or(19, |at| at + 1), "TIME".into()));
        }
        if looks_like(text, "aaa, dd aaa dddd dd:dd:dd +dddd") {
            return Some((31, "DATE".into()));
        }
        if let Some(rest) = text.strip_prefix(&self.net) {
            let host = digits(rest);
            return Some((self.net.len() + host, format!("HOST-{}", &rest[..host])));
        }
        // One that the system gave, of any address.
        if digits(text) == 5 && out.ends_with(':') {
            return Some((5, "PORT".into()));
        }
        let hex = text.bytes().take_while(u8::is_ascii_hexdigit).count();
        let ends = !text[hex..].starts_with(|c: char| c.is_ascii_alphanumeric());
        if hex >= 32 && ends {
            return Some((hex, "SECRET".into()));
        }
        if hex == NO_ID.len() && ends && !text.starts_with(NO_ID) {
            let id = &text[..hex];
            let at = self.ids.iter().position(|known| known == id).unwrap_or_else(|| {
                self.ids.push(id.to_owned());
                self.ids.len() - 1
            });
            return Some((hex, format!("ID-{}", at + 1)));
        }
        let number = digits(text);
        let is_octets = number > 0 && text[number..].starts_with(" octets");
        let is_age = number > 0 && text[number..].starts_with("s)");
        (is_octets || is_age).then(|| (number, "N".into()))
    }

    fn table(&mut self, head: &str, rows: &[&str]) -> String {
        let signs: Vec<char> = head.chars().collect();
        let starts: Vec<usize> = (0..signs.len())
            .filter(|at| *at == 0 || *at > 1 && signs[*at] != ' ' && signs[at - 2..*at] == [' ', ' '])
            .collect();
        let cells = |line: &str| -> Vec<String> {
            let signs: Vec<char> = line.chars().collect();
            let ends = starts.iter().skip(1).copied().chain([usize::MAX]);
            let cell = |(start, end): (&usize, usize)| {
                let cell: String = signs.iter().take(end).skip(*start).collect();
                cell.split_whitespace().collect::<Vec<_>>().join(" ")
            };
            starts.iter().zip(ends).map(cell).collect()
        };
        let heads = cells(head);
        let mut all = vec![heads.clone()];
        for row in rows {
            let masked = cells(row).into_iter().zip(&heads).map(|(cell, head)| {
                let is_number =
                    cell.trim_end_matches(['s', 'm', 'h', 'd', 'K', 'M']).bytes().all(|c| c.is_ascii_digit());
                let differs = COLUMNS.contains(&head.as_str()) && is_number && !cell.is_empty();
                if differs { "N".to_owned() } else { self.text(&cell) }
            });
            all.push(masked.collect());
        }
        let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        all.iter().map(line).collect()
    }
}

/// The head of a table: words in capitals, at least two of them.
fn is_head(line: &str) -> bool {
    line.contains("  ")
        && line.starts_with(|c: char| c.is_ascii_uppercase())
        && line.chars().all(|c| c.is_ascii_uppercase() || " -".contains(c))
}

/// `d` stands for a digit, `a` for a letter, anything else for itself.
fn looks_like(text: &str, shape: &str) -> bool {
    let fits = |(sign, shape): (char, char)| match shape {
        'd' => sign.is_ascii_digit(),
        'a' => sign.is_ascii_alphabetic(),
        other => sign == other,
    };
    text.chars().count() >= shape.len() && text.chars().zip(shape.chars()).all(fits)
}

#[test]
fn what_differs_is_masked_and_nothing_else() {
    let site = Site::new();
    let mut mask = Mask::new(&site);
    let (one, two) = (site.at(1, 2525), site.at(12, 40_000));
    let folder = site.folder.path().display().to_string();
    let said = format!(
        "ID                AGE   SIZE  WHO\n0006614ecd7a8a7a  2s    371   at {one}\n\
         0006614ecd7a8a7b  100m  20K   at {two}\n\n\
         {folder}/x since 2026-11-22T07:00:00.000Z (12s), 371 octets, about 0006614ecd7a8a7b\n\
         \x20   \"age_s\": 17,\n    \"messages\": 17,\n  \"id\": \"7\"\nno message {NO_ID}\n/invite/{}\n",
        "0123456789abcdef".repeat(4)
    );
    let expected = "ID    AGE  SIZE  WHO\nID-1  N    N     at HOST-1:2525\nID-2  N    N     at HOST-12:PORT\n\n\
                    FOLDER/x since TIME (Ns), N octets, about ID-2\n\
                    \x20   \"age_s\": N,\n    \"messages\": 17,\n  \"id\": N\nno message 0123456789abcdef\n/invite/SECRET\n";
    assert_eq!(mask.output(&said), expected);
}
