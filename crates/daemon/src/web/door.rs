//! One address of the console: connections accepted, under TLS where there is a certificate, and served until they are quiet.
//!
//! Bounded in number, for all and for each address that is not this machine's own; a head must come whole and soon. The loop that
//! accepts ends only when it is told to; connections that are open then go on.

use crate::control::http::{HEAD_WITHIN, Room, converse};
use crate::tls::Certificates;
use axum::Router;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::LazyConfigAcceptor;

/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 512;
/// From one address, but for this machine's own, where a proxy may sit.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
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
pub(super) struct Hall {
    app: Router,
    room: Arc<Room<IpAddr>>,
}

impl Hall {
    pub(super) fn new(app: Router) -> Hall {
        Hall { app, room: Room::new(CONNECTIONS_MAX) }
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
        hall: &Arc<Hall>,
    ) -> io::Result<Door> {
        let listener = listen(configured)?;
        let bound = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, bound.port(), certificates, Arc::clone(hall)));
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

async fn accept(listener: TcpListener, port: u16, certificates: Option<Arc<Certificates>>, hall: Arc<Hall>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let peer = peer.ip().to_canonical();
                // Whoever is one too many finds the connection closed.
                let Some(seat) = hall.room.enter(peer, places_for(peer)) else { continue };
                let way = Way { peer, port, secure: certificates.is_some() };
                let (app, certificates) = (hall.app.clone(), certificates.clone());
                tokio::spawn(async move {
                    welcome(stream, way, certificates, app).await;
                    drop(seat);
                });
            }
            // He has hung up, or there are no file descriptors.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// How many connections this address may have.
fn places_for(peer: IpAddr) -> usize {
    if peer.is_loopback() { CONNECTIONS_MAX } else { CONNECTIONS_PER_ADDRESS_MAX }
}

async fn welcome(stream: TcpStream, way: Way, certificates: Option<Arc<Certificates>>, app: Router) {
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD_WITHIN));
    match certificates {
        None => converse(stream, app, way).await,
        Some(certificates) => {
            let handshake = async {
                let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
                let start = acceptor.await.ok()?;
                let config = certificates.credentials().config(&start.client_hello())?;
                start.into_stream(config).await.ok()
            };
            if let Ok(Some(stream)) = tokio::time::timeout(HEAD_WITHIN, handshake).await {
                converse(stream, app, way).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stranger_leaves_room_for_others() {
        let hall = Hall::new(Router::new());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let enter = |peer: IpAddr| hall.room.enter(peer, places_for(peer));
        let stranger: Vec<_> = std::iter::repeat_with(|| enter(address("192.0.2.1"))).map_while(|seat| seat).collect();
        assert_eq!(stranger.len(), CONNECTIONS_PER_ADDRESS_MAX);
        let other = enter(address("2001:db8::1"));
        assert!(other.is_some());
        let here: Vec<_> = std::iter::repeat_with(|| enter(address("127.0.0.1"))).map_while(|seat| seat).collect();
        assert_eq!(here.len(), CONNECTIONS_MAX - CONNECTIONS_PER_ADDRESS_MAX - 1, "a proxy has all there is");
        assert!(enter(address("2001:db8::2")).is_none());
        drop(stranger);
        assert!(enter(address("192.0.2.1")).is_some());
    }
}
