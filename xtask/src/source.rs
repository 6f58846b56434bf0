//! The files of the project as text, and Rust text with its comments and literals blanked out.
//!
//! Reads; never writes. What lies in `target`, `.git` and other hidden folders but `.ci` is not the project.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Every text file of the project by its path from the root, with `/` between the parts.
#[derive(Default)]
pub struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the project below `root`.
    pub fn load(root: &Path) -> io::Result<Tree> {
        let mut tree = Tree::default();
        tree.walk(root, "")?;
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                let foreign = name.starts_with('.') && name != ".ci";
                if !foreign && !matches!(name.as_str(), "target" | "mailroot-try" | "node_modules" | "__pycache__") {
                    self.walk(&entry.path(), &format!("{prefix}{name}/"))?;
                }
            } else if kind.is_file() && name != "Cargo.lock" && name != ".git" {
                // What is not UTF-8 is no text of ours.
                if let Ok(text) = String::from_utf8(fs::read(entry.path())?) {
                    self.files.insert(format!("{prefix}{name}"), text);
                }
            }
        }
        Ok(())
    }

    /// A tree made of these files, for the tests of the checks.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Tree {
        Tree { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// How many files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// One file's text.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Does a file or a folder of this path exist?
    pub fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.contains_key(path)
            || self.files.range(folder.clone()..).next().is_some_and(|(p, _)| p.starts_with(&folder))
    }

    /// All files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(|(path, _)| has_extension(path, "rs"))
    }

    /// The Rust files that go into the product, as code only: without test modules, comments and literals' contents.
    pub fn product(&self) -> impl Iterator<Item = (&str, String)> {
        self.rust().filter(|(path, _)| is_product(path)).map(|(path, text)| (path, without_tests(&code(text))))
    }
}

/// Does the path end in `.extension`?
pub fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|e| e == extension)
}

/// Part of what is shipped: in a crate's `src`, no file of tests, and neither the simulator nor its disk.
fn is_product(path: &str) -> bool {
    path.starts_with("crates/")
        && path.contains("/src/")
        && !path.starts_with("crates/sim/")
        && !path.starts_with("crates/relay/src/disk/sim")
        && !path.ends_with("/tests.rs")
        && !path.contains("/tests/")
}

/// Rust text with comments and the contents of string and character literals replaced by blanks; lines stay lines.
pub fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' | b'b' | b'c' if !follows_word(bytes, at) => raw_string_end(bytes, at).unwrap_or(at),
            b'\'' => char_end(bytes, at).unwrap_or(at),
            _ => at,
        };
        if end > at {
            let keep_quotes = bytes[at] == b'"' || bytes[at] == b'\'';
            let range = if keep_quotes { at + 1..end.saturating_sub(1).max(at + 1) } else { at..end };
            for octet in &mut out[range] {
                if *octet != b'\n' {
                    *octet = b' ';
                }
            }
            at = end;
        } else {
            at += 1;
        }
    }
    // Only whole characters were blanked, so this is UTF-8 still.
    String::from_utf8(out).unwrap_or_default()
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n)
}

fn block_comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"`, `br#"…"#` and the like; `None` for an ordinary word.
fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    if matches!(bytes[at], b'b' | b'c') {
        at += 1;
    }
    if bytes.get(at) != Some(&b'r') {
        return None;
    }
    at += 1;
    let hashes = bytes[at..].iter().take_while(|&&b| b == b'#').count();
    at += hashes;
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = at + 1;
    let found = bytes[body..].windows(close.len()).position(|w| w == close.as_slice());
    Some(found.map_or(bytes.len(), |n| body + n + close.len()))
}

/// A character literal; `None` for a lifetime.
fn char_end(bytes: &[u8], open: usize) -> Option<usize> {
    if bytes.get(open + 1) == Some(&b'\\') {
        let close = bytes[open + 3..].iter().position(|&b| b == b'\'')?;
        return Some(open + 3 + close + 1);
    }
    // One character of up to four octets, then the closing quote.
    (2..=5)
        .map(|n| open + n)
        .find(|&at| bytes.get(at) == Some(&b'\''))
        .filter(|&at| {
            let inside = &bytes[open + 1..at];
            std::str::from_utf8(inside).is_ok_and(|s| s.chars().count() == 1)
        })
        .map(|at| at + 1)
}

/// Code without its `#[cfg(test)]` items, as [`code`] returns it; lines stay lines.
pub fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(start) = out[from..].find("#[cfg(test)]").map(|n| from + n) {
        let end = item_end(out.as_bytes(), start);
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
        from = start + blank.len();
    }
    out
}

/// Where the item that begins at `start` ends: its closing brace, or its semicolon.
fn item_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    for (at, &octet) in bytes.iter().enumerate().skip(start) {
        match octet {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    bytes.len()
}

/// The line number of an offset, from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].bytes().filter(|&b| b == b'\n').count() + 1
}

/// Every whole-word occurrence of `word` in `text`, by offset. A `word` may have `::` and punctuation at its ends.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let (bytes, first, last) = (text.as_bytes(), word.as_bytes()[0], word.as_bytes()[word.len() - 1]);
        let before = at > 0 && is_word(bytes[at - 1]) && is_word(first);
        let after = bytes.get(at + word.len()).is_some_and(|&b| is_word(b)) && is_word(last);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lifetimes_are_not() {
        let text = "fn f<'a>(x: &'a str) { g(\"Mutex // {\", '{', '\\'', r#\"}\"#); /* } /* } */ */ h() } // }";
        let blanked = code(text);
        assert_eq!(blanked.len(), text.len());
        assert!(blanked.contains("fn f<'a>(x: &'a str) { g("));
        assert!(blanked.contains("h() }"));
        assert!(!blanked.contains("Mutex"));
        assert_eq!(blanked.matches('}').count(), 1);
    }

    #[test]
    fn test_modules_are_taken_out() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { \"}\" }\n}\n#[cfg(test)]\nmod c;\nfn d() {}\n";
        let rest = without_tests(&code(text));
        assert!(rest.contains("fn a") && rest.contains("fn d"));
        assert!(!rest.contains("fn b") && !rest.contains("mod c"));
        assert_eq!(rest.lines().count(), text.lines().count());
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("relay::a my_relay::b relays relay", "relay").count(), 2);
        assert_eq!(words("x.is_permanent() is_permanently()", ".is_permanent(").count(), 1);
    }

    #[test]
    fn a_folder_exists_when_a_file_is_in_it() {
        let tree = Tree::of(&[("crates/smtp/src/lib.rs", "")]);
        assert!(tree.exists("crates/smtp") && tree.exists("crates/smtp/src/lib.rs"));
        assert!(!tree.exists("crates/smt"));
    }
}
