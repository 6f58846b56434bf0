//! For tests: a web site over https on loopback, with an authority of its own, that says what a test wants.

use crate::tls::fixture::{Authority, Signed};
use crate::tls::provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: String,
}

impl Asked {
    /// The fields of a form.
    pub(crate) fn form(&self) -> HashMap<String, String> {
        let decoded = |text: &str| {
            let mut octets = Vec::new();
            let mut rest = text.bytes();
            while let Some(octet) = rest.next() {
                match octet {
                    b'+' => octets.push(b' '),
                    b'%' => {
                        let digits = [rest.next().unwrap(), rest.next().unwrap()];
                        octets.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                    }
                    _ => octets.push(octet),
                }
            }
            String::from_utf8(octets).unwrap()
        };
        let pairs = self.body.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (decoded(key), decoded(value))).collect()
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Says {
    pub(crate) status: u16,
    /// Lines of the head, each with its line end.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Says {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Says {
        Says { status, head: "Content-Type: application/json; charset=utf-8\r\n".to_owned(), body: body.to_string() }
    }

    pub(crate) fn html(status: u16) -> Says {
        let body = "<html><body>Please log in to the network</body></html>".to_owned();
        Says { status, head: "Content-Type: text/html\r\n".to_owned(), body }
    }
}

/// The site; it stands as long as the test's process does.
pub(crate) struct Website {
    pub(crate) address: String,
    authority: Authority,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Website {
    /// At `https://localhost:PORT`. Each request is answered on a thread of its own; `None` closes the connection.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Option<Says> + Send + Sync + 'static) -> Website {
        Website::named(&["localhost"], answer)
    }

    /// The same with a certificate for other names.
    pub(crate) fn named(names: &[&str], answer: impl Fn(&Asked) -> Option<Says> + Send + Sync + 'static) -> Website {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let authority = Authority::new(&format!("Authority of {port}"));
        let Signed { certificate, key } = authority.issue(names);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let config = Arc::new(config);
        let address = format!("https://localhost:{port}");
        let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, seen, answer) = (Arc::clone(&config), Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                    let Some(request) = read(&mut stream) else { return };
                    seen.lock().unwrap().push(request.clone());
                    let Some(says) = answer(&request) else { return };
                    let length = says.body.len();
                    let head = format!("HTTP/1.1 {} X\r\n{}Content-Length: {length}\r\n", says.status, says.head);
                    let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{}", says.body).as_bytes());
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                });
            }
        });
        Website { address, authority, asked }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The certificate of its authority, in a file of that folder.
    pub(crate) fn authority(&self, folder: &Path) -> PathBuf {
        let file = folder.join("ca.pem");
        std::fs::write(&file, self.authority.certificate.pem()).unwrap();
        file
    }
}

/// A whole request; `None` from whoever breaks off (a client that does not trust us).
fn read(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> Option<Asked> {
    let mut octets = Vec::new();
    let end = |octets: &[u8]| octets.windows(4).position(|part| part == b"\r\n\r\n").map(|at| at + 4);
    let mut more = |octets: &mut Vec<u8>| {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).ok().filter(|count| *count > 0)?;
        octets.extend_from_slice(&some[..count]);
        Some(())
    };
    while end(&octets).is_none() {
        more(&mut octets)?;
    }
    let head = String::from_utf8_lossy(&octets[..end(&octets)?]).into_owned();
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let whole = end(&octets)? + length.unwrap_or(0);
    while octets.len() < whole {
        more(&mut octets)?;
    }
    let body = String::from_utf8_lossy(&octets[end(&octets)?..whole]).into_owned();
    let mut words = head.split(' ');
    Some(Asked { method: words.next()?.to_owned(), path: words.next()?.to_owned(), body })
}
