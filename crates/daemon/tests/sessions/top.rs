//! `mailroot top` on a terminal: what it shows, how it ends, and that the terminal is as it was.

use crate::harness::client::Client;
use crate::harness::relay::{PROGRAM, Relay, Settings};
use crate::harness::{Process, SOON, Site, until};
use crate::operate::{done, mailroot};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// A terminal of 80 columns and 24 rows with the program on it.
struct Terminal {
    keys: File,
    line: OwnedFd,
    seen: Arc<Mutex<Vec<u8>>>,
    program: Process,
}

impl Terminal {
    fn start(relay: &Relay, words: &[&str]) -> Terminal {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(words).arg("--config").arg(&relay.config);
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let program = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop(command);
        let keys = File::from(pty.master);
        let mut screen = keys.try_clone().unwrap();
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut octets = [0; 4_096];
            while let Ok(read @ 1..) = screen.read(&mut octets) {
                kept.lock().unwrap().extend_from_slice(&octets[..read]);
            }
        });
        Terminal { keys, line: pty.slave, seen, program: Process(program) }
    }

    fn shows(&self, text: &str) {
        until(SOON, &format!("{text:?} is on the screen"), || {
            String::from_utf8_lossy(&self.seen.lock().unwrap()).contains(text).then_some(())
        });
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.line).unwrap().local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    /// Presses a key that ends it; gives the exit code.
    fn end(mut self, key: &[u8]) -> i32 {
        self.keys.write_all(key).unwrap();
        let status = self.program.ended(SOON, "it ends");
        let raw = tcgetattr(&self.line).unwrap().local_flags;
        assert!(raw.contains(LocalFlags::ICANON | LocalFlags::ECHO), "the terminal is as it was");
        until(SOON, "the other screen is left", || {
            String::from_utf8_lossy(&self.seen.lock().unwrap()).ends_with("\u{1b}[?1049l").then_some(())
        });
        status.code().unwrap()
    }
}

#[test]
fn top_shows_what_goes_on_and_gives_the_terminal_back() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let _client = Client::greet(relay.at);
    for key in [b"q".as_slice(), b"\x03", b"\x1b"] {
        let terminal = Terminal::start(&relay, &["top"]);
        for text in ["\u{1b}[?1049h", "Test  running", "DESTINATION", "[client.test]", "a second: in"] {
            terminal.shows(text);
        }
        assert!(terminal.is_raw());
        assert_eq!(terminal.end(key), 0);
    }
    let terminal = Terminal::start(&relay, &["top"]);
    terminal.shows("Test  running");
    terminal.program.signal("TERM");
    assert_eq!(terminal.end(b""), 0, "asked to end by a signal");
    let watching = Terminal::start(&relay, &["session", "list", "--watch"]);
    watching.shows("1 sessions of 'Test'");
    assert_eq!(watching.end(b"q"), 0);
}

#[test]
fn when_the_service_goes_the_terminal_comes_back_and_the_reason_stands_there() {
    let site = Site::new();
    let mut relay = Relay::start(&site, &Settings::new(&site));
    let mut terminal = Terminal::start(&relay, &["top"]);
    terminal.shows("Test  running");
    relay.kill();
    assert_eq!(terminal.program.ended(SOON, "it ends").code(), Some(1));
    terminal.shows("\u{1b}[?1049lNot done: ");
    assert!(!terminal.is_raw());
}

#[test]
fn without_a_terminal_it_is_one_picture() {
    let site = Site::new();
    let relay = Relay::start(&site, &Settings::new(&site));
    let picture = done(&relay.config, &["top"]);
    assert!(picture.starts_with("Test  running  ") && picture.contains("SESSION"), "{picture}");
    let (code, _, error) = mailroot(&relay.config, &["session", "list", "--watch"]);
    assert!(code == 1 && error.contains("needs a terminal"), "{error}");
}
