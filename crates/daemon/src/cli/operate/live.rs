//! A terminal as a screen that is written anew again and again, and that is given back as it was whatever ends the program.
//!
//! The other screen of the terminal is used, so that what stood there before stands there after; raw mode, so that a key is heard
//! at once. Both are undone when the screen is dropped, in a panic before its words are shown, and for Ctrl-C, which raw mode makes a key,
//! like `q` and Esc; a signal that asks the program to end is heard too. Where standard output is no terminal there is no screen.

use super::Failure;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{execute, queue, terminal};
use std::io::{self, IsTerminal, Write};
use std::sync::Once;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// How often it is looked for a key.
const KEYS_EVERY: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Screen {
    /// By which others ask the program to end.
    signals: [Signal; 3],
}

/// What came while it was waited.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// Nothing, or another size.
    Nothing,
    /// The end is wanted.
    Quit,
}

/// Is there one to be had?
pub(super) fn is_there() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> Result<Screen, Failure> {
        if !is_there() {
            return Err(Failure::Text("This needs a terminal; without one, leave the option out.".into()));
        }
        // First, so that no signal finds the terminal taken and nobody who gives it back.
        let on = |kind: SignalKind| signal(kind).map_err(broken);
        let signals = [on(SignalKind::terminate())?, on(SignalKind::hangup())?, on(SignalKind::interrupt())?];
        give_back_in_panic();
        terminal::enable_raw_mode().map_err(broken)?;
        let screen = Screen { signals };
        execute!(io::stdout(), EnterAlternateScreen, Hide).map_err(broken)?;
        Ok(screen)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
        (usize::from(columns.max(1)), usize::from(rows.max(1)))
    }

    /// Shows a text in place of the one before, as much of it as there is room for.
    pub(super) fn show(&mut self, text: &str) -> Result<(), Failure> {
        let (columns, rows) = self.size();
        let mut out = io::stdout().lock();
        let mut draw = || -> io::Result<()> {
            for (row, line) in fitted(text, columns, rows).into_iter().enumerate() {
                queue!(out, MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX)))?;
                out.write_all(line.as_bytes())?;
                queue!(out, Clear(ClearType::UntilNewLine))?;
            }
            queue!(out, Clear(ClearType::FromCursorDown))?;
            out.flush()
        };
        draw().map_err(broken)
    }

    /// Waits so long, or until a key says that it is enough, or the terminal has another size.
    pub(super) async fn wait(&mut self, time: Duration) -> Result<Seen, Failure> {
        let until = Instant::now() + time;
        loop {
            while event::poll(Duration::ZERO).map_err(broken)? {
                match event::read().map_err(broken)? {
                    Event::Key(key) if key.kind != KeyEventKind::Release && is_end(key.code, key.modifiers) => {
                        return Ok(Seen::Quit);
                    }
                    Event::Resize(..) => return Ok(Seen::Nothing),
                    _ => {}
                }
            }
            if Instant::now() >= until {
                return Ok(Seen::Nothing);
            }
            let [terminate, hangup, interrupt] = &mut self.signals;
            tokio::select! {
                () = tokio::time::sleep(KEYS_EVERY) => {}
                _ = terminate.recv() => return Ok(Seen::Quit),
                _ = hangup.recv() => return Ok(Seen::Quit),
                _ = interrupt.recv() => return Ok(Seen::Quit),
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn is_end(code: KeyCode, modifiers: KeyModifiers) -> bool {
    match code {
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
        KeyCode::Char('c' | 'd') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

/// Lines that are not wider and not more than there is room for; the last one says that there is more.
pub(super) fn fitted(text: &str, columns: usize, rows: usize) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(|line| line.chars().take(columns).collect()).collect();
    if lines.len() > rows {
        let more = lines.len() - rows + 1;
        lines.truncate(rows.saturating_sub(1));
        lines.push(format!("… and {more} more").chars().take(columns).collect());
    }
    lines
}

fn give_back() {
    // If this fails the terminal is gone.
    let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
}

/// The words of a panic must not be lost with the other screen.
fn give_back_in_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn broken(error: io::Error) -> Failure {
    Failure::Text(format!("The terminal does not do as it should: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_the_screen() {
        assert_eq!(fitted("abc\nde", 2, 5), ["ab", "de"]);
        assert_eq!(fitted("a\nb\nc\nd", 80, 3), ["a", "b", "… and 2 more"]);
        assert_eq!(fitted("a\nb", 80, 1), ["… and 2 more"]);
    }

    #[test]
    fn q_and_control_c_are_the_end() {
        let none = KeyModifiers::NONE;
        assert!(is_end(KeyCode::Char('q'), none) && is_end(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!is_end(KeyCode::Char('c'), none) && !is_end(KeyCode::Char('x'), none));
    }
}
