//! A server for tests that follows a script, and so can lie, stall and cut at any step.
//!
//! A script has one deed a line:
//!
//! ```text
//!   S: 220 peer.test          says this, and CRLF; `\r\n` in it is CRLF, so that several lines come at once
//!   C: MAIL FROM:             reads a line, which must begin so
//!   D:                        reads content up to the lone dot
//!   B:                        reads BDAT n LAST and its octets
//!   N: 1000                   reads so many octets
//!   L: 100000                 says a line of so many octets
//!   F:                        says 250- for ever
//!   W: 1500                   waits so many milliseconds
//!   G:                        waits for [`Peer::go_on`]
//!   H:                        does nothing any more, and reads nothing
//!   T: good                   begins TLS with one of the certificates of [`super::identities`]
//!   X:                        closes (so does the script's end)
//!   R:                        resets (over TCP)
//!   E:                        reads the end of the stream, and nothing before it
//! ```

use super::identities;
use relay::route::{Hosts, NextHop, Protocol};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::Notify;

/// What a peer has seen.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    /// Scripts that are being followed.
    playing: usize,
    /// Connections that were made.
    pub connections: usize,
    /// Lines that were read, without CRLF, of all connections.
    pub lines: Vec<String>,
    /// Contents that were read, as they went over the wire.
    pub contents: Vec<Vec<u8>>,
    /// Where the script was not followed.
    pub faults: Vec<String>,
    /// The test's word to go on.
    go: Arc<Notify>,
}

pub(crate) struct Peer {
    seen: Arc<Mutex<Seen>>,
    /// Holds the socket.
    _folder: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Peer {
    /// A peer at a Unix socket: what one side writes is there for the other at once, however busy the machine is, so
    /// that time may run ahead meanwhile. The first connection follows the first script, and so on.
    pub(crate) fn start(scripts: &[&str]) -> Peer {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer");
        let listener = UnixListener::bind(&path).unwrap();
        let peer = Peer { seen: Arc::default(), _folder: Some(folder), path };
        let (scripts, seen) = (owned(scripts), peer.seen.clone());
        tokio::spawn(async move {
            for script in scripts {
                let (stream, _) = listener.accept().await.unwrap();
                seen.lock().unwrap().connections += 1;
                play(BufReader::new(Box::new(stream)), &script, &seen).await;
            }
        });
        peer
    }

    /// The way to a peer at a Unix socket.
    pub(crate) fn hop(&self) -> Arc<NextHop> {
        self.hop_speaking(Protocol::Esmtp)
    }

    pub(crate) fn hop_speaking(&self, protocol: Protocol) -> Arc<NextHop> {
        Arc::new(NextHop::plain(Hosts::Unix(self.path.clone()), protocol))
    }

    pub(crate) fn label(&self) -> String {
        self.path.display().to_string()
    }

    /// A peer at this address.
    pub(crate) fn at(address: SocketAddr, scripts: &[&str]) -> (Peer, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(16).unwrap();
        let address = listener.local_addr().unwrap();
        let peer = Peer { seen: Arc::default(), _folder: None, path: PathBuf::new() };
        tokio::spawn(accept(listener, owned(scripts), peer.seen.clone()));
        (peer, address)
    }

    /// What it has seen; checks that the script was followed.
    pub(crate) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.faults, [""; 0]);
        seen
    }

    /// Waits until all scripts of a peer at an address that were begun have ended: it may see the end later than the client.
    pub(crate) async fn ended(&self) {
        while self.seen.lock().unwrap().playing > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().lines.clone()
    }

    /// Lets it go on at `G:`.
    pub(crate) fn go_on(&self) {
        self.seen().go.notify_one();
    }
}

fn owned(scripts: &[&str]) -> Vec<String> {
    scripts.iter().map(|script| (*script).to_owned()).collect()
}

async fn accept(listener: TcpListener, scripts: Vec<String>, seen: Arc<Mutex<Seen>>) {
    let mut scripts = scripts.into_iter();
    while let Ok((stream, _)) = listener.accept().await {
        let script = scripts.next();
        let seen = seen.clone();
        seen.lock().unwrap().connections += 1;
        let Some(script) = script else {
            seen.lock().unwrap().faults.push("a connection too many".to_owned());
            continue;
        };
        seen.lock().unwrap().playing += 1;
        tokio::spawn(async move {
            let stream = stream.into_std().unwrap();
            let twin = stream.try_clone().unwrap();
            let stream = Box::new(tokio::net::TcpStream::from_std(stream).unwrap());
            if play(BufReader::new(stream), &script, &seen).await {
                socket2::SockRef::from(&twin).set_linger(Some(Duration::ZERO)).unwrap();
            }
            seen.lock().unwrap().playing -= 1;
        });
    }
}

/// What carries octets both ways.
trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Carrier for T {}

/// Follows the script; true if the connection is to be reset.
async fn play(mut stream: BufReader<Box<dyn Carrier>>, script: &str, seen: &Mutex<Seen>) -> bool {
    for deed in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (what, rest) = deed.split_at(2);
        let rest = rest.trim_start();
        let done = match what {
            "S:" => say(&mut stream, format!("{}\r\n", rest.replace("\\r\\n", "\r\n")).as_bytes()).await,
            "L:" => say(&mut stream, &[&b"250 "[..], &vec![b'x'; number(rest)], b"\r\n"].concat()).await,
            "F:" => loop {
                if !say(&mut stream, &b"250-and so on\r\n".repeat(1_000)).await {
                    break true;
                }
            },
            "C:" => match line(&mut stream).await {
                Some(line) if line.starts_with(rest) => {
                    seen.lock().unwrap().lines.push(line);
                    true
                }
                got => {
                    seen.lock().unwrap().faults.push(format!("wanted {rest:?}, got {got:?}"));
                    false
                }
            },
            "E:" => {
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                if !rest.is_empty() {
                    seen.lock().unwrap().faults.push(format!("wanted the end, got {rest:?}"));
                }
                false
            }
            "D:" => content(&mut stream, seen).await,
            "B:" => chunk(&mut stream, seen).await,
            "N:" => stream.read_exact(&mut vec![0; number(rest)]).await.is_ok(),
            "W:" => {
                tokio::time::sleep(Duration::from_millis(number(rest) as u64)).await;
                true
            }
            "T:" => {
                // What was read too far is the client's first words under TLS, if any.
                assert_eq!(stream.buffer(), b"", "the client did not wait for 220");
                match tls(stream.into_inner(), rest).await {
                    Ok(under) => {
                        stream = BufReader::new(under);
                        seen.lock().unwrap().lines.push("(TLS)".to_owned());
                        true
                    }
                    Err(_) => {
                        seen.lock().unwrap().lines.push("(no TLS)".to_owned());
                        return false;
                    }
                }
            }
            "G:" => {
                let go = seen.lock().unwrap().go.clone();
                go.notified().await;
                true
            }
            "H:" => std::future::pending().await,
            "X:" => return false,
            "R:" => return true,
            _ => panic!("no deed: {deed}"),
        };
        if !done {
            return false;
        }
    }
    false
}

type Accepted = std::io::Result<Box<dyn Carrier>>;

/// The server's side of a handshake. Boxed: the carrier of TLS carries TLS itself, as far as types go.
fn tls<'a>(stream: Box<dyn Carrier>, identity: &'a str) -> Pin<Box<dyn Future<Output = Accepted> + Send + 'a>> {
    Box::pin(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(identities::server(identity));
        Ok(Box::new(acceptor.accept(stream).await?) as Box<dyn Carrier>)
    })
}

fn number(text: &str) -> usize {
    text.parse().unwrap()
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> bool {
    stream.write_all(octets).await.is_ok()
}

async fn line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await.ok()?;
    let line = String::from_utf8(line).ok()?;
    line.strip_suffix("\r\n").map(ToOwned::to_owned)
}

async fn content<S: AsyncRead + Unpin>(stream: &mut BufReader<S>, seen: &Mutex<Seen>) -> bool {
    let mut content = Vec::new();
    while content != b".\r\n" && !content.ends_with(b"\r\n.\r\n") {
        if stream.read_until(b'\n', &mut content).await.unwrap_or(0) == 0 {
            seen.lock().unwrap().faults.push("the content has no end".to_owned());
            return false;
        }
    }
    seen.lock().unwrap().contents.push(content);
    true
}

async fn chunk<S: AsyncRead + Unpin>(stream: &mut BufReader<S>, seen: &Mutex<Seen>) -> bool {
    let command = line(stream).await.unwrap_or_default();
    let size = command.strip_prefix("BDAT ").and_then(|rest| rest.strip_suffix(" LAST")).map(str::parse::<usize>);
    let Some(Ok(size)) = size else {
        seen.lock().unwrap().faults.push(format!("wanted BDAT, got {command:?}"));
        return false;
    };
    let mut content = vec![0; size];
    let whole = stream.read_exact(&mut content).await.is_ok();
    let mut seen = seen.lock().unwrap();
    seen.lines.push(command);
    seen.contents.push(content);
    whole
}
