//! A web site: what it says to whom is a test's to say.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

#[derive(Default)]
struct Shared {
    /// By the name that was asked for in the handshake: head and body.
    pages: Mutex<HashMap<String, (String, String)>>,
    asked: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// It stops when dropped.
pub struct Website {
    at: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Website {
    pub fn start(at: SocketAddr, tls: Arc<ServerConfig>) -> Website {
        let listener = TcpListener::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"));
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if own.over.load(Ordering::SeqCst) {
                    break;
                }
                let (shared, tls) = (Arc::clone(&own), Arc::clone(&tls));
                std::thread::spawn(move || serve(&shared, tls, stream));
            }
        });
        Website { at, shared, thread: Some(thread) }
    }

    /// From now on it says this, whatever the path.
    pub fn say(&self, name: &str, head: &str, body: &str) {
        self.shared.pages.lock().unwrap().insert(name.to_owned(), (head.to_owned(), body.to_owned()));
    }

    /// From now on it hangs up.
    pub fn hush(&self) {
        self.shared.pages.lock().unwrap().clear();
    }

    /// How often somebody asked for this name.
    pub fn asked(&self, name: &str) -> usize {
        self.shared.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }
}

fn serve(shared: &Shared, tls: Arc<ServerConfig>, stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(StreamOwned::new(ServerConnection::new(tls).ok()?, stream));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
    }
    let stream = reader.get_mut();
    let name = stream.conn.server_name()?.to_owned();
    shared.asked.lock().unwrap().push(name.clone());
    let (head, body) = shared.pages.lock().unwrap().get(&name).cloned()?;
    write!(stream, "{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

impl Drop for Website {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.at);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
