//! How far long work has come: a bar on the terminal, drawn anew in its one line, and taken away at the end.
//!
//! On standard error, so that what is printed stays clean; nothing at all where that is no terminal, or where a program listens
//! (`--json`).

use super::complain;
use crossterm::terminal;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// It is drawn at most so often.
const DRAWN_EVERY: Duration = Duration::from_millis(100);
/// Columns of the bar itself at most, and the fewest that it is worth while for.
const BAR: (usize, usize) = (40, 8);

/// See the module.
pub(super) struct Progress {
    /// What is being done: `Exporting`.
    what: &'static str,
    shown: bool,
    drawn: Option<Instant>,
}

impl Progress {
    /// `json`: a program listens.
    pub(super) fn new(what: &'static str, json: bool) -> Progress {
        Progress { what, shown: !json && io::stderr().is_terminal(), drawn: None }
    }

    /// Is it to be seen at all? If not, nobody need find out how much there is to do.
    pub(super) fn is_shown(&self) -> bool {
        self.shown
    }

    /// So much of all is done; `all`: if that is known. `words` say it for people.
    pub(super) fn tell(&mut self, done: u64, all: Option<u64>, words: &str) {
        if !self.shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAWN_EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let columns = terminal::size().map_or(0, |(columns, _)| usize::from(columns));
        // A terminal that does not say how wide it is has the usual width.
        let columns = if columns == 0 { 80 } else { columns.max(20) };
        complain(&format!("\r{}\x1b[K", line(self.what, done, all, words, columns)));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            complain("\r\x1b[K");
        }
    }
}

/// `Exporting [######------]  52 %  5,200 of 10,000 messages`; one column stays free, so that no terminal begins another line.
fn line(what: &str, done: u64, all: Option<u64>, words: &str, columns: usize) -> String {
    let bar = all.filter(|all| *all > 0).map(|all| {
        let done = done.min(all);
        let percent = format!("{:3} %", u128::from(done) * 100 / u128::from(all));
        let taken = what.len() + percent.len() + words.len() + 8;
        let room = columns.saturating_sub(taken).min(BAR.0);
        if room < BAR.1 {
            return percent;
        }
        let full = usize::try_from(u128::from(done) * room as u128 / u128::from(all)).unwrap_or(room);
        format!("[{}{}] {percent}", "#".repeat(full), "-".repeat(room - full))
    });
    let line = match bar {
        Some(bar) => format!("{what} {bar}  {words}"),
        None => format!("{what}  {words}"),
    };
    line.chars().take(columns - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_far_it_is() {
        assert_eq!(line("Holding", 5, Some(10), "5 of 10 messages", 44), "Holding [####----]  50 %  5 of 10 messages");
        assert_eq!(line("Holding", 0, Some(10), "0", 30), "Holding [---------]   0 %  0");
        assert_eq!(line("Holding", 10, Some(10), "10", 31), "Holding [#########] 100 %  10");
        assert_eq!(line("Holding", 99, Some(10), "99", 31), "Holding [#########] 100 %  99", "more than was counted");
        assert_eq!(line("Holding", 7, None, "7 messages", 80), "Holding  7 messages");
        assert_eq!(line("Holding", 7, Some(0), "7 messages", 80), "Holding  7 messages");
    }

    #[test]
    fn it_never_takes_a_second_line() {
        for columns in 20..200 {
            for (done, all) in [(0, None), (u64::MAX, Some(u64::MAX)), (1, Some(u64::MAX))] {
                let line =
                    line("Exporting", done, all, "18446744073709551615 of 18446744073709551615 messages", columns);
                assert!(line.len() < columns && line.starts_with("Exporting"), "{columns}: {line}");
            }
        }
    }
}
