//! One address of the console: connections accepted, under TLS where there is a certificate, and served until they are quiet.
//!
//! Bounded in number, for all and for each address that is not this machine's own; a head must come whole and soon. The loop that
//! accepts ends only when it is told to; connections that are open then go on.

use crate::tls::Certificates;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::LazyConfigAcceptor;
use tower_service::Service;

/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 512;
/// From one address, but for this machine's own, where a proxy may sit.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
/// How long a request's head, or the handshake before it, may take to come; also how long a connection may be quiet.
pub const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Octets of a request's head.
pub const HEAD_OCTETS_MAX: usize = 32 * 1_024;
/// Fields of it.
pub const HEADERS_MAX: usize = 64;
/// How long what we send may go unread.
const UNREAD_WITHIN: Duration = Duration::from_secs(60);
/// How long nothing is accepted after the file descriptors ran out.
const PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 128;

/// How a request came in.
#[derive(Copy, Clone, Debug)]
pub(super) struct Way {
    /// From where.
    pub(super) peer: IpAddr,
    /// To which port of ours: cookies know no ports, so it is in their names.
    pub(super) port: u16,
    /// Under TLS.
    pub(super) secure: bool,
}

/// Who is in, and what answers them; one for all doors.
pub(super) struct Room {
    app: Router,
    inside: Mutex<HashMap<IpAddr, usize>>,
}

impl Room {
    pub(super) fn new(app: Router) -> Room {
        Room { app, inside: Mutex::default() }
    }

    /// One more from there, if there is room.
    fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Seat> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inside.get(&from).copied().unwrap_or(0);
        let most = if from.is_loopback() { CONNECTIONS_MAX } else { CONNECTIONS_PER_ADDRESS_MAX };
        if own >= most || inside.values().sum::<usize>() >= CONNECTIONS_MAX {
            return None;
        }
        inside.insert(from, own + 1);
        Some(Seat { room: Arc::clone(self), from })
    }
}

/// A place in the room, given back however the connection ends.
struct Seat {
    room: Arc<Room>,
    from: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inside = self.room.inside.lock().unwrap_or_else(PoisonError::into_inner);
        match inside.get_mut(&self.from) {
            Some(number) if *number > 1 => *number -= 1,
            _ => drop(inside.remove(&self.from)),
        }
    }
}

/// An open address.
pub(super) struct Door {
    configured: SocketAddr,
    bound: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Door {
    /// Opens it. Only within the runtime.
    pub(super) fn open(
        configured: SocketAddr,
        certificates: Option<Arc<Certificates>>,
        room: &Arc<Room>,
    ) -> io::Result<Door> {
        let listener = listen(configured)?;
        let bound = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, bound.port(), certificates, Arc::clone(room)));
        Ok(Door { configured, bound, accepting })
    }

    pub(super) fn configured(&self) -> SocketAddr {
        self.configured
    }

    pub(super) fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Closes it. When this returns the address is free for others.
    pub(super) async fn close(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, port: u16, certificates: Option<Arc<Certificates>>, room: Arc<Room>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let peer = peer.ip().to_canonical();
                // Whoever is one too many finds the connection closed.
                let Some(seat) = room.enter(peer) else { continue };
                let way = Way { peer, port, secure: certificates.is_some() };
                tokio::spawn(welcome(stream, way, certificates.clone(), seat));
            }
            // He has hung up, or there are no file descriptors.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn welcome(stream: TcpStream, way: Way, certificates: Option<Arc<Certificates>>, seat: Seat) {
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_WITHIN));
    match certificates {
        None => serve(stream, way, seat).await,
        Some(certificates) => {
            let handshake = async {
                let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
                let start = acceptor.await.ok()?;
                let config = certificates.credentials().config(&start.client_hello())?;
                start.into_stream(config).await.ok()
            };
            if let Ok(Some(stream)) = tokio::time::timeout(HEAD_WITHIN, handshake).await {
                serve(stream, way, seat).await;
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, way: Way, seat: Seat) {
    let app = Stamped { app: seat.room.app.clone(), way };
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    server.max_buf_size(HEAD_OCTETS_MAX).max_headers(HEADERS_MAX);
    // A connection's trouble is its own.
    let _ = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)).await;
}

/// The application, with a word on each request about the way it came.
#[derive(Clone)]
struct Stamped {
    app: Router,
    way: Way,
}

impl Service<Request<hyper::body::Incoming>> for Stamped {
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = <Router as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        // A router is always ready.
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.way);
        self.app.call(request)
    }
}
