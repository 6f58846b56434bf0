//! A client that says exactly what the test says, octet for octet, and reads replies.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    pub code: u16,
    /// The lines without the code.
    pub lines: Vec<String>,
}

impl Reply {
    pub fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" / "))
    }
}

/// A connection to a server.
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects; the banner is read by the caller.
    pub fn connect(at: SocketAddr) -> Client {
        let stream = TcpStream::connect(at).unwrap_or_else(|error| panic!("{at}: {error}"));
        Client::over(stream)
    }

    pub fn over(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { reader: BufReader::new(stream) }
    }

    /// Connects, reads the banner and says EHLO.
    pub fn greet(at: SocketAddr) -> Client {
        let mut client = Client::connect(at);
        assert_eq!(client.reply().code, 220);
        assert_eq!(client.say("EHLO client.test").code, 250);
        client
    }

    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(octets.as_ref()).unwrap();
    }

    /// Like `send`, but the other side may have closed already.
    pub fn try_send(&mut self, octets: impl AsRef<[u8]>) -> bool {
        self.reader.get_mut().write_all(octets.as_ref()).is_ok()
    }

    /// Says one line and reads the reply.
    pub fn say(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("the server closed instead of answering")
    }

    /// The next reply; `None` when the server closed.
    pub fn try_reply(&mut self) -> Option<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            match self.reader.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no reply: {error}"),
            }
            let line = String::from_utf8(line).unwrap();
            let line = line.strip_suffix("\r\n").unwrap_or_else(|| panic!("a reply line without CRLF: {line:?}"));
            let code = line.get(..3).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no reply: {line:?}"));
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(Reply { code, lines });
            }
        }
    }

    /// Is nothing more said within this time?
    pub fn is_silent(&mut self, within: Duration) -> bool {
        if !self.reader.buffer().is_empty() {
            return false;
        }
        self.reader.get_ref().set_read_timeout(Some(within)).unwrap();
        let mut octet = [0];
        let silent = match self.reader.get_ref().peek(&mut octet) {
            Ok(_) => false,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        self.reader.get_ref().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        silent
    }

    /// Reads until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        let _ = self.reader.read_to_end(&mut octets);
        octets
    }

    /// MAIL, RCPTs and DATA, each expected to be answered well.
    pub fn open(&mut self, from: &str, to: &[&str]) {
        let reply = self.say(&format!("MAIL FROM:<{from}>"));
        assert_eq!(reply.code, 250, "{reply:?}");
        for to in to {
            let reply = self.say(&format!("RCPT TO:<{to}>"));
            assert_eq!(reply.code, 250, "{reply:?}");
        }
        let reply = self.say("DATA");
        assert_eq!(reply.code, 354, "{reply:?}");
    }

    /// A whole message; the reply to its end.
    pub fn message(&mut self, from: &str, to: &[&str], content: &[u8]) -> Reply {
        self.open(from, to);
        self.send(stuffed(content));
        self.reply()
    }
}

/// Content as DATA carries it: dots doubled, the end appended. It must end in CRLF.
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 16);
    for line in content.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b".\r\n");
    out
}
