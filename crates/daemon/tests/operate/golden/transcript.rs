//! What was typed and what the program said to it, compared with a file beside this one; `BLESS=1` writes the file anew, for review in
//! the diff.
//!
//! ```text
//! $ mailroot queue hold --recipient bob
//! ! 1 messages held; nothing was done. Add --yes to do it without a question.
//! = 1
//! ```
//!
//! `! `: standard error. `= `: the exit code. `< `: what somebody at a terminal answered, or what came on standard input.

use super::mask::Mask;
use crate::harness::Site;
use crate::harness::relay::PROGRAM;
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// See the module.
pub struct Transcript {
    config: PathBuf,
    mask: Mask,
    text: String,
}

impl Transcript {
    pub fn new(site: &Site, config: &Path) -> Transcript {
        Transcript { config: config.to_owned(), mask: Mask::new(site), text: String::new() }
    }

    /// Types a command where nobody can answer.
    pub fn say(&mut self, words: &[&str]) {
        self.with_input(words, Stdio::null(), "");
    }

    /// The same, of an answer that is long the first lines.
    pub fn say_beginning(&mut self, words: &[&str], lines: usize) {
        let before = self.text.len();
        self.say(words);
        let said = self.text.split_off(before);
        let ends: Vec<&str> = said.trim_end().lines().collect();
        let (begin, end) = (&ends[..lines], ends[ends.len() - 1]);
        self.text.push_str(&format!("{}\n…\n{end}\n\n", begin.join("\n")));
    }

    /// Types a command at a terminal, and answers its question.
    pub fn answer(&mut self, words: &[&str], answer: &str) {
        let terminal = openpty(None, None).unwrap();
        // What is typed is not shown: nothing but the program's own words comes out.
        let mut how = tcgetattr(&terminal.slave).unwrap();
        how.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&terminal.slave, SetArg::TCSANOW, &how).unwrap();
        let mut hands = File::from(terminal.master);
        writeln!(hands, "{answer}").unwrap();
        self.with_input(words, Stdio::from(terminal.slave), answer);
    }

    /// Runs a command with this on its standard input.
    pub fn pipe(&mut self, words: &[&str], input: &str) {
        let mut file = tempfile::tempfile().unwrap();
        writeln!(file, "{input}").unwrap();
        file.rewind().unwrap();
        self.with_input(words, Stdio::from(file), input);
    }

    /// A line between commands.
    pub fn note(&mut self, text: &str) {
        self.text.push_str(&format!("# {text}\n\n"));
    }

    fn with_input(&mut self, words: &[&str], input: Stdio, shown: &str) {
        let mut command = Command::new(PROGRAM);
        command.args(words).stdin(input).env_remove("MAILROOT_CONFIG");
        if !words.contains(&"--help") {
            command.arg("--config").arg(&self.config);
        }
        let output = command.output().unwrap();
        let quoted = |word: &&str| {
            if word.contains([' ', '[']) || word.is_empty() { format!("'{word}'") } else { (*word).to_owned() }
        };
        let typed = format!("$ mailroot {}", words.iter().map(quoted).collect::<Vec<_>>().join(" "));
        let mut text = format!("{}\n", self.mask.line(&typed));
        if !shown.is_empty() {
            text.push_str(&format!("< {shown}\n"));
        }
        text.push_str(&self.mask.output(std::str::from_utf8(&output.stdout).unwrap()));
        let error = self.mask.output(std::str::from_utf8(&output.stderr).unwrap());
        error.lines().for_each(|line| text.push_str(&format!("{}\n", format!("! {line}").trim_end())));
        self.text.push_str(&format!("{text}= {}\n\n", output.status.code().unwrap()));
    }

    /// Is it what the file says?
    pub fn compare(self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/operate/golden").join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &self.text).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if self.text == expected {
            return;
        }
        let mut now = self.text.lines();
        let at = expected.lines().take_while(|line| now.next() == Some(line)).count();
        let context = |text: &str| text.lines().skip(at.saturating_sub(6)).take(14).collect::<Vec<_>>().join("\n");
        panic!(
            "{name} differs from line {}; if the new text is right, run the test with BLESS=1\n--- the file\n{}\n--- now\n{}\n",
            at + 1,
            context(&expected),
            context(&self.text)
        );
    }
}
