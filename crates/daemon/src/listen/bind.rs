//! From an address to a listening socket: bound here, or handed over by the system's service manager.
//!
//! An IPv6 address takes IPv6 connections only, so that `0.0.0.0:25` and `[::]:25` can stand side by side. A socket that
//! was handed over (systemd: `ListenStream=25` gives `[::]:25` for both) is taken as it is.

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener as StdListener};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted; the system's own bound (`net.core.somaxconn`) may be less.
const BACKLOG: i32 = 4_096;

/// Why an address is not listened on: a sentence for people, with what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenFault {
    /// The address.
    pub address: SocketAddr,
    text: String,
}

impl fmt::Display for ListenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ListenFault {
    fn new(address: SocketAddr, error: &io::Error) -> ListenFault {
        let port = address.port();
        let text = match error.kind() {
            ErrorKind::AddrInUse => format!(
                "{address} is taken by another program (to see which: ss -ltnp 'sport = :{port}'); stop it, or write another address or port under general.listen"
            ),
            ErrorKind::PermissionDenied => format!(
                "no permission to listen on {address}: ports below 1024 need root, the capability CAP_NET_BIND_SERVICE, or a socket that systemd hands over; or write a port from 1024 on under general.listen"
            ),
            ErrorKind::AddrNotAvailable => format!(
                "this machine has no address {}; write one that it has (to see them: ip address), or 0.0.0.0 for all, under general.listen",
                address.ip()
            ),
            _ => format!("cannot listen on {address}: {error}"),
        };
        ListenFault { address, text }
    }
}

/// Listening sockets that came with the process and are not in use yet.
#[derive(Default)]
pub struct Inherited {
    sockets: Vec<(SocketAddr, StdListener)>,
}

impl Inherited {
    /// Those that the service manager handed over (`LISTEN_FDS`); none if there is none.
    #[must_use]
    pub fn from_environment() -> Inherited {
        let mut passed = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            // What is no listening TCP socket is left alone.
            if let Ok(Some(listener)) = passed.take_tcp_listener(index)
                && let Ok(address) = listener.local_addr()
            {
                sockets.push((address, listener));
            }
        }
        Inherited { sockets }
    }

    /// Addresses that nobody has asked for.
    #[must_use]
    pub fn unused(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address).collect()
    }

    /// Sockets that are not in use any more. They stay bound, so that they can be listened on again, and refuse connections until then.
    pub fn take_back(&mut self, sockets: Vec<(SocketAddr, StdListener)>) {
        for (address, socket) in sockets {
            // On Linux this ends the listening, not the socket. Of one that does not listen it would close the reading side, and those of
            // all connections that come in through it later.
            if SockRef::from(&socket).is_listener().unwrap_or(false) {
                let _ = SockRef::from(&socket).shutdown(Shutdown::Read);
            }
            self.sockets.push((address, socket));
        }
    }

    /// Connections to this address are refused until it is listened on.
    pub fn rest(&mut self, address: SocketAddr) {
        let (ours, others) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition(|(have, _)| *have == address || serves_both(have, address));
        self.sockets = others;
        self.take_back(ours);
    }

    /// The socket for `address`, and once more if it was handed over.
    pub(super) fn take_or_bind(
        &mut self,
        address: SocketAddr,
    ) -> Result<(TcpListener, Option<StdListener>), ListenFault> {
        let exact = self.sockets.iter().position(|(have, _)| *have == address);
        let found = exact.or_else(|| self.sockets.iter().position(|(have, _)| serves_both(have, address)));
        let listener = match found {
            Some(index) => take(self.sockets.swap_remove(index).1),
            None => bind(address).map(|listener| (listener, None)),
        };
        listener.map_err(|error| ListenFault::new(address, &error))
    }
}

/// Does this socket take IPv4 connections as well as IPv6 ones?
pub(super) fn takes_both(listener: &TcpListener) -> bool {
    listener.local_addr().is_ok_and(|address| address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED))
        && !SockRef::from(listener).only_v6().unwrap_or(true)
}

/// `[::]:port`, handed over, also stands for `0.0.0.0:port`.
fn serves_both(have: &SocketAddr, wanted: SocketAddr) -> bool {
    have.port() == wanted.port()
        && wanted.ip().is_unspecified()
        && wanted.is_ipv4()
        && have.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart need not wait for the last life's connections to time out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    prepare(socket.into())
}

fn take(listener: StdListener) -> io::Result<(TcpListener, Option<StdListener>)> {
    // It may have rested.
    SockRef::from(&listener).listen(BACKLOG)?;
    let again = listener.try_clone()?;
    Ok((prepare(listener)?, Some(again)))
}

fn prepare(listener: StdListener) -> io::Result<TcpListener> {
    // Replies are small and must not wait for each other; Linux hands the option down to accepted sockets.
    SockRef::from(&listener).set_tcp_nodelay(true)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Inherited {
        /// As if handed over.
        pub(in crate::listen) fn of(sockets: Vec<StdListener>) -> Inherited {
            Inherited { sockets: sockets.into_iter().map(|socket| (socket.local_addr().unwrap(), socket)).collect() }
        }
    }

    /// What systemd makes of `ListenStream=` with a port alone.
    pub(in crate::listen) fn for_both() -> StdListener {
        let both = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        both.set_only_v6(false).unwrap();
        both.set_reuse_address(true).unwrap(); // as systemd does
        both.bind(&address("[::]:0").into()).unwrap();
        both.listen(8).unwrap();
        both.into()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_taken_port_is_told_in_words() {
        let taken = bind(address("127.0.0.1:0")).unwrap().local_addr().unwrap();
        let holder = StdListener::bind(taken).unwrap();
        let fault = Inherited::default().take_or_bind(taken).unwrap_err();
        assert_eq!(fault.address, taken);
        let text = fault.to_string();
        assert!(text.starts_with(&format!("{taken} is taken by another program")), "{text}");
        assert!(text.contains("general.listen"), "{text}");
        drop(holder);
        assert!(Inherited::default().take_or_bind(taken).is_ok());
    }

    #[test]
    fn other_troubles_are_told_in_words() {
        let told = |kind: ErrorKind| ListenFault::new(address("192.0.2.1:25"), &kind.into()).to_string();
        assert!(told(ErrorKind::PermissionDenied).contains("CAP_NET_BIND_SERVICE"));
        assert!(told(ErrorKind::AddrNotAvailable).contains("no address 192.0.2.1"));
        assert!(told(ErrorKind::OutOfMemory).starts_with("cannot listen on 192.0.2.1:25: "));
    }

    #[tokio::test]
    async fn an_address_that_the_machine_lacks() {
        let fault = Inherited::default().take_or_bind(address("192.0.2.77:0")).unwrap_err();
        assert!(fault.to_string().contains("no address 192.0.2.77"), "{fault}");
    }

    #[tokio::test]
    async fn all_ipv4_and_all_ipv6_stand_side_by_side() {
        let mut none = Inherited::default();
        let (four, _) = none.take_or_bind(address("0.0.0.0:0")).unwrap();
        let port = four.local_addr().unwrap().port();
        let six = none.take_or_bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
        assert!(six.is_ok(), "{six:?}");
    }

    #[tokio::test]
    async fn sockets_handed_over_are_matched_to_the_configuration() {
        let exact = StdListener::bind("127.0.0.1:0").unwrap();
        let exact_address = exact.local_addr().unwrap();
        let both = for_both();
        let both_address = both.local_addr().unwrap();
        let mut inherited = Inherited::of(vec![both, exact]);

        assert_eq!(inherited.unused().len(), 2);
        let (taken, again) = inherited.take_or_bind(exact_address).unwrap();
        assert!(again.is_some());
        assert_eq!(taken.local_addr().unwrap(), exact_address);
        assert!(!takes_both(&taken));
        let all_four = SocketAddr::new([0, 0, 0, 0].into(), both_address.port());
        let (taken, _) = inherited.take_or_bind(all_four).unwrap();
        assert_eq!(taken.local_addr().unwrap(), both_address, "the socket for both serves IPv4");
        assert!(takes_both(&taken));
        assert_eq!(inherited.unused(), []);
        assert!(!takes_both(&inherited.take_or_bind(address("[::]:0")).unwrap().0), "our own are for IPv6 alone");
    }

    #[tokio::test]
    async fn accepted_sockets_do_not_delay() {
        let (listener, _) = Inherited::default().take_or_bind(address("127.0.0.1:0")).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(stream.nodelay().unwrap());
    }
    #[tokio::test]
    async fn a_socket_handed_over_refuses_while_it_rests_and_can_be_listened_on_again() {
        // A port that was asked for by its number, as systemd does: one of the system's choice would go.
        let at = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listener = StdListener::bind(at).unwrap();
        let mut inherited = Inherited::of(vec![listener]);
        let (taken, again) = inherited.take_or_bind(at).unwrap();
        assert!(std::net::TcpStream::connect(at).is_ok());
        drop(taken);
        inherited.take_back(vec![(at, again.unwrap())]);
        assert!(std::net::TcpStream::connect(at).is_err());
        // Once more changes nothing: who comes in later can be read from.
        inherited.rest(at);
        let (taken, _) = inherited.take_or_bind(at).unwrap();
        let _client = std::net::TcpStream::connect(at).unwrap();
        let (stream, _) = taken.accept().await.unwrap();
        let read = std::io::Read::read(&mut stream.into_std().unwrap(), &mut [0; 8]).unwrap_err();
        assert_eq!(read.kind(), ErrorKind::WouldBlock, "not the end: {read}");
    }
}
