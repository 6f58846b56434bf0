//! The console as a plain client sees it: one request, one answer, over a connection of its own; and how to get in.

use super::SOON;
use super::relay::{Relay, Settings};
use super::{Site, until};
use socket2::{Domain, Socket, Type};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};

/// The password of everybody here.
pub const PASSWORD: &str = "correct horse battery";

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    fn read(octets: &[u8]) -> Option<Answer> {
        let text = String::from_utf8_lossy(octets).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            unchunked(body)
        } else {
            body.into()
        };
        Some(Answer { status, head: head.into(), body })
    }

    /// A field of the head; of several, the first.
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// `name=value` of the cookie that it sets.
    pub fn cookie(&self) -> Option<&str> {
        self.field("set-cookie").and_then(|value| value.split(';').next())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole.push_str(rest.get(..size).unwrap_or(rest));
        body = rest.get(size + 2..).unwrap_or("");
    }
    whole
}

/// A request.
#[derive(Clone)]
pub struct Ask {
    pub at: SocketAddr,
    method: String,
    path: String,
    host: Option<String>,
    fields: String,
    body: String,
    from: Option<IpAddr>,
}

impl Ask {
    pub fn new(at: SocketAddr, method: &str, path: &str) -> Ask {
        Ask {
            at,
            method: method.into(),
            path: path.into(),
            host: Some(at.to_string()),
            fields: String::new(),
            body: String::new(),
            from: None,
        }
    }

    /// It comes from this address.
    pub fn from(mut self, address: impl Into<IpAddr>) -> Ask {
        self.from = Some(address.into());
        self
    }

    /// Asked; the answer is another matter.
    pub fn begin(&self) -> TcpStream {
        let mut stream = match self.from {
            None => TcpStream::connect(self.at).unwrap(),
            Some(from) => {
                let socket = Socket::new(Domain::for_address(self.at), Type::STREAM, None).unwrap();
                socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
                socket.connect(&self.at.into()).unwrap();
                socket.into()
            }
        };
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(self.wire().as_bytes()).unwrap();
        stream
    }

    pub fn host(mut self, host: Option<&str>) -> Ask {
        self.host = host.map(str::to_owned);
        self
    }

    pub fn field(mut self, name: &str, value: &str) -> Ask {
        let _ = write!(self.fields, "{name}: {value}\r\n");
        self
    }

    pub fn form(self, fields: &[(&str, &str)]) -> Ask {
        let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        self.body("application/x-www-form-urlencoded", &pairs.join("&"))
    }

    pub fn json(self, value: &serde_json::Value) -> Ask {
        self.body("application/json", &value.to_string())
    }

    pub fn body(mut self, kind: &str, body: &str) -> Ask {
        body.clone_into(&mut self.body);
        self.field("content-type", kind)
    }

    /// As it goes over the wire.
    pub fn wire(&self) -> String {
        let host = self.host.as_ref().map(|host| format!("host: {host}\r\n")).unwrap_or_default();
        format!(
            "{} {} HTTP/1.1\r\n{host}connection: close\r\ncontent-length: {}\r\n{}\r\n{}",
            self.method,
            self.path,
            self.body.len(),
            self.fields,
            self.body
        )
    }

    pub fn send(&self) -> Answer {
        let mut stream = self.begin();
        let mut octets = Vec::new();
        let _ = stream.read_to_end(&mut octets);
        Answer::read(&octets).unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&octets)))
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, octet| {
        if octet.is_ascii_alphanumeric() {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
        out
    })
}

/// Somebody who has logged on.
#[derive(Clone)]
pub struct Visitor {
    pub at: SocketAddr,
    pub cookie: String,
    pub csrf: String,
}

impl Visitor {
    pub fn get(&self, path: &str) -> Ask {
        Ask::new(self.at, "GET", path).field("cookie", &self.cookie)
    }

    /// With the session's own word.
    pub fn post(&self, path: &str) -> Ask {
        Ask::new(self.at, "POST", path).field("cookie", &self.cookie).field("x-csrf-token", &self.csrf)
    }

    pub fn command(&self, command: &serde_json::Value) -> Answer {
        self.post("/api/v1/commands").json(command).send()
    }
}

/// Settings with a console at the site's first address, port 8025.
pub fn with_console(site: &Site) -> Settings {
    Settings::new(site).console(&format!("listen = [\"{}\"]", site.at(1, 8025)))
}

/// The link for the first password, once it is in the log.
pub fn first_link(relay: &Relay) -> String {
    until(SOON, "the log has a link", || {
        let log = relay.log();
        let at = log.rfind("/invite/")?;
        log.get(at..at + "/invite/".len() + 64).map(str::to_owned)
    })
}

/// Sets a password by a link; logged on by that.
pub fn accept(at: SocketAddr, link: &str) -> Visitor {
    let answer = Ask::new(at, "POST", link).form(&[("password", PASSWORD), ("again", PASSWORD)]).send();
    assert_eq!(answer.status, 303, "{answer:?}");
    visitor(at, &answer)
}

/// Logs on.
pub fn log_on(at: SocketAddr, name: &str) -> Visitor {
    let answer = Ask::new(at, "POST", "/log-on").form(&[("name", name), ("password", PASSWORD)]).send();
    assert_eq!(answer.status, 303, "{answer:?}");
    visitor(at, &answer)
}

fn visitor(at: SocketAddr, answer: &Answer) -> Visitor {
    let cookie = answer.cookie().expect("a cookie").to_owned();
    let answer = Ask::new(at, "GET", "/api/v1/session").field("cookie", &cookie).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    let csrf = answer.json()["csrf"].as_str().unwrap().to_owned();
    Visitor { at, cookie, csrf }
}
