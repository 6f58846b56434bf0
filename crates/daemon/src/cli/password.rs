//! A password for a command: asked for at the terminal without being shown, or read from standard input; never an argument, which every
//! user of the machine could read.

use super::complain;
use smtp::sasl::Secret;
use smtp::sasl::clear::PASSWORD_MAX;
use std::io::{self, BufRead, IsTerminal, Read, Write};

/// The first line of standard input.
pub(super) fn from_input() -> Result<Secret, String> {
    let mut line = Vec::with_capacity(PASSWORD_MAX + 3);
    let input = io::stdin().lock();
    if let Err(error) = input.take(PASSWORD_MAX as u64 + 3).read_until(b'\n', &mut line) {
        return Err(format!("The password cannot be read: {error}."));
    }
    Ok(Secret::new(without_end(line)))
}

fn without_end(mut line: Vec<u8>) -> Vec<u8> {
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    line
}

/// Asks twice, showing nothing of what is typed; `option`: how it is read from standard input instead.
pub(super) fn from_terminal(option: &str) -> Result<Secret, String> {
    if !io::stdin().is_terminal() {
        return Err(format!(
            "Standard input is no terminal to ask for the password at. To read it from there: {option}"
        ));
    }
    let first = ask("Password: ")?;
    if first.reveal() != ask("Again: ")?.reveal() {
        return Err("The two are not the same; nothing was changed.".into());
    }
    Ok(first)
}

fn ask(question: &str) -> Result<Secret, String> {
    let silent = Silent::begin().map_err(|error| format!("The terminal cannot be kept silent: {error}."))?;
    complain(question);
    let answer = from_input();
    drop(silent);
    complain("\n");
    answer
}

/// A terminal that does not show what is typed; shows it again however this ends.
struct Silent(nix::sys::termios::Termios);

impl Silent {
    fn begin() -> nix::Result<Silent> {
        use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Silent(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = nix::sys::termios::tcsetattr(io::stdin(), nix::sys::termios::SetArg::TCSANOW, &self.0);
        let _ = io::stderr().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_without_its_end() {
        for (line, password) in
            [("x\n", "x"), ("x\r\n", "x"), ("x", "x"), (" x \n", " x "), ("\n", ""), ("x\n\n", "x\n")]
        {
            assert_eq!(without_end(line.as_bytes().to_vec()), password.as_bytes());
        }
    }
}
