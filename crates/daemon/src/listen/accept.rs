//! The loop that accepts connections on one address. It ends only when it is told to.
//!
//! A connection too many is told so and closed here, without a task of its own: a flood costs little. When the process
//! runs out of file descriptors, one that was kept in reserve serves to tell the next caller 421, and the loop pauses.

use super::Sessions;
use crate::desk::{Desk, Refusal};
use crate::inbound::{self, Caller};
use relay::config::ListenerTls;
use relay::gate::{self, Client};
use relay::record::Record;
use smtp::reply::Reply;
use smtp::time::Timestamp;
use socket2::SockRef;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long nothing is accepted after the file descriptors ran out.
const PAUSE: Duration = Duration::from_millis(100);
/// The operator hears of it at most this often.
const ALARM_EVERY: Duration = Duration::from_secs(1);

/// `configured`: the address by which the configuration knows the listener.
pub(super) async fn run(
    listener: TcpListener,
    configured: SocketAddr,
    desk: watch::Receiver<Arc<Desk>>,
    sessions: Arc<Sessions>,
) {
    let mut reserve = Reserve::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(stream, peer, configured, &Arc::clone(&desk.borrow()), &sessions),
            Err(error) if is_exhaustion(&error) => {
                let desk = Arc::clone(&desk.borrow());
                reserve.turn_one_away(&listener, configured, &desk).await;
                reserve.alarm(&desk, &error);
                tokio::time::sleep(PAUSE).await;
            }
            // The caller has hung up before it was accepted, or the like: the next one may be luckier.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// Nothing here waits: who must be asked about in the DNS first is judged in a task of its own.
fn admit(stream: TcpStream, peer: SocketAddr, configured: SocketAddr, desk: &Arc<Desk>, sessions: &Arc<Sessions>) {
    let caller = caller(peer, configured, desk);
    let connections = sessions.open();
    let room = if connections >= sessions.ceiling() {
        Err(Refusal { reply: too_many(), by: None })
    } else {
        let room = gate::room(desk.server(), connections);
        room.outcome.map_err(|reply| Refusal { reply, by: Some(room.because.setting) })
    };
    let turn = room.and_then(|()| {
        let client = Client::stranger(caller.address.ip(), desk.listener(caller.door));
        if desk.wants_names() { desk.wait(&client) } else { desk.connect(&client) }
    });
    match turn {
        Ok(turn) => {
            tokio::spawn(inbound::serve(stream, caller, turn, Arc::clone(desk), sessions.enter()));
        }
        Err(refusal) => turn_away(&stream, caller, refusal, desk),
    }
}

/// IPv4 within IPv6 is IPv4, for all who ask from here on.
pub(super) fn caller(peer: SocketAddr, configured: SocketAddr, desk: &Desk) -> Caller {
    let address = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    Caller { address, door: desk.door_of(configured, address.ip()) }
}

fn too_many() -> Reply {
    Reply::new(421, 3, 2, "Too many connections at the moment, try again later")
}

/// Tells the caller in one write that cannot block, and hangs up.
fn turn_away(stream: &TcpStream, caller: Caller, refusal: Refusal, desk: &Desk) {
    let Refusal { reply, by } = refusal;
    // Where TLS is spoken from the first octet on, a line of text would be noise.
    if desk.listener(caller.door).tls != ListenerTls::Implicit {
        let mut wire = Vec::new();
        reply.print(&mut wire);
        // A new socket's buffer has room for a line. Whoever is gone already misses nothing.
        let _ = SockRef::from(stream).send(&wire);
    }
    desk.log().write(&Record::Refused { peer: caller.address.ip(), command: "connect".into(), reply, by });
}

/// No file descriptor, or no memory for a socket: of the process, or of the system.
fn is_exhaustion(error: &io::Error) -> bool {
    use nix::errno::Errno;
    const EXHAUSTION: [Errno; 4] = [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::ENOMEM];
    error.raw_os_error().is_some_and(|code| EXHAUSTION.contains(&Errno::from_raw(code)))
}

/// A file descriptor kept for the moment when there is no other.
struct Reserve {
    file: Option<File>,
    alarmed: Option<Timestamp>,
}

impl Reserve {
    fn new() -> Reserve {
        Reserve { file: File::open("/dev/null").ok(), alarmed: None }
    }

    /// Accepts one caller in the reserve's place, tells it 421, and takes the reserve back.
    async fn turn_one_away(&mut self, listener: &TcpListener, configured: SocketAddr, desk: &Desk) {
        if self.file.take().is_some() {
            // Somebody is waiting, or accept would not have failed; but nothing may make this loop wait.
            let accepted = tokio::time::timeout(PAUSE, listener.accept()).await;
            if let Ok(Ok((stream, peer))) = accepted {
                turn_away(&stream, caller(peer, configured, desk), Refusal { reply: too_many(), by: None }, desk);
            }
        }
        self.file = File::open("/dev/null").ok();
    }

    fn alarm(&mut self, desk: &Desk, error: &io::Error) {
        let now = desk.clock().now();
        if self.alarmed.is_none_or(|at| now.since(at) >= ALARM_EVERY) {
            self.alarmed = Some(now);
            desk.log().alarm(format!(
                "No more connections can be accepted for the moment: {error}. Raise the limit on open files \
                 (systemd: LimitNOFILE=), or set general.connections_max lower."
            ));
        }
    }
}
