//! Is that address this server itself? Mail that is sent there would come back.
//!
//! The listeners' addresses say so; for a listener on "all addresses" the kernel is asked whether an address is this
//! machine's. A listener on another port is not ours: another server may live on the same machine.
//!
//! A loop through a translated address (a port forwarded back to us) is not seen here; the hop count ends it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Does one of `listeners` answer at `address`?
pub(super) fn is_ours(listeners: &[SocketAddr], address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    listeners.iter().filter(|listener| listener.port() == address.port()).any(|listener| {
        let own = listener.ip().to_canonical();
        // A listener on [::] that was handed over may serve IPv4 as well.
        own == ip || (own.is_unspecified() && (own.is_ipv6() || ip.is_ipv4()) && is_local(ip))
    })
}

/// Is the address one of this machine's? A datagram socket that is connected to one of them gets the same address for its
/// own end; nothing is sent.
fn is_local(ip: IpAddr) -> bool {
    if ip.is_loopback() || ip.is_unspecified() {
        return true;
    }
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let own_end = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    own_end.is_ok_and(|own| own.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(listener: &str, address: &str) -> bool {
        is_ours(&[listener.parse().unwrap()], address.parse().unwrap())
    }

    #[test]
    fn a_listener_is_known_by_address_and_port() {
        assert!(ours("127.0.0.1:2525", "127.0.0.1:2525"));
        assert!(ours("127.0.0.1:2525", "[::ffff:127.0.0.1]:2525"));
        assert!(!ours("127.0.0.1:2525", "127.0.0.2:2525"));
        assert!(!ours("127.0.0.1:2525", "127.0.0.1:25"), "another server on the same machine");
        assert!(!ours("192.0.2.1:25", "192.0.2.2:25"));
    }

    #[test]
    fn a_listener_on_all_addresses_is_this_machine() {
        assert!(ours("0.0.0.0:25", "127.0.0.1:25"));
        assert!(ours("0.0.0.0:25", "127.9.9.9:25"));
        assert!(ours("0.0.0.0:25", "0.0.0.0:25"));
        assert!(!ours("0.0.0.0:25", "192.0.2.1:25"), "an address of documentation is nobody's");
        assert!(!ours("0.0.0.0:25", "[::1]:25"));
        assert!(ours("[::]:25", "[::1]:25"));
        assert!(ours("[::]:25", "127.0.0.1:25"));
        assert!(!ours("[::]:25", "192.0.2.1:25"));
        assert!(!ours("[::]:25", "[2001:db8::1]:25"));
    }

    #[test]
    fn an_address_of_an_interface_is_known() {
        // The address that this machine would use towards the world, if it has one.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:9").is_ok() {
            let own = socket.local_addr().unwrap().ip();
            assert!(is_ours(&["0.0.0.0:25".parse().unwrap()], (own, 25).into()), "{own}");
        }
    }
}
