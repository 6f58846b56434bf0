//! Doors that open, close, stay, and stand a crowd.

use super::*;
use crate::desk::fixture::Office;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const LONG: Duration = Duration::from_secs(20);

/// The first line that the server says, and whether it then hangs up.
fn greeting(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    greeting_on(&mut stream)
}

fn greeting_on(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut line = String::new();
    let mut octet = [0];
    while !line.ends_with('\n') {
        stream.read_exact(&mut octet).unwrap_or_else(|e| panic!("{e} after {line:?}"));
        line.push(char::from(octet[0]));
    }
    line
}

fn hangs_up(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).is_ok() && rest.is_empty()
}

/// Runs what blocks beside the server.
async fn beside<T: Send + 'static>(deed: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(deed).await.unwrap()
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind(ANY).unwrap().local_addr().unwrap()
}

fn open(office: &Office, wanted: &[SocketAddr]) -> Listeners {
    let mut listeners = Listeners::new(Arc::clone(&office.desk), Sessions::new(100));
    assert_eq!(listeners.open_missing(wanted, &mut Inherited::default()), []);
    listeners
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_is_told_and_closed() {
    let office = Office::with("connections_max = 2", "", "");
    let listeners = open(&office, &[ANY]);
    let address = listeners.addresses()[0];
    beside(move || {
        let mut first = TcpStream::connect(address).unwrap();
        let mut second = TcpStream::connect(address).unwrap();
        assert!(greeting_on(&mut first).starts_with("220 "));
        assert!(greeting_on(&mut second).starts_with("220 "));
        let mut third = TcpStream::connect(address).unwrap();
        let told = greeting_on(&mut third);
        assert!(told.starts_with("421 4.3.2 "), "{told}");
        assert!(hangs_up(&mut third));
    })
    .await;
    tokio::time::timeout(LONG, listeners.sessions().emptied()).await.unwrap();
    assert!(beside(move || greeting(address)).await.starts_with("220 "), "there is room again");
    let log = office.log();
    assert!(
        log.iter().any(|line| line.starts_with("refused peer=127.0.0.1 command=connect reply=\"421 4.3.2")),
        "{log:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_limit_is_bounded_by_the_files_that_may_be_open() {
    let office = Office::with("connections_max = \"unlimited\"", "", "");
    let mut listeners = Listeners::new(Arc::clone(&office.desk), Sessions::new(1));
    assert_eq!(listeners.open_missing(&[ANY], &mut Inherited::default()), []);
    let address = listeners.addresses()[0];
    beside(move || {
        let mut first = TcpStream::connect(address).unwrap();
        assert!(greeting_on(&mut first).starts_with("220 "));
        assert!(greeting(address).starts_with("421 4.3.2 "));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_touches_only_what_has_changed() {
    let office = Office::new();
    let (stays, goes, comes) = (free_port(), free_port(), free_port());
    let mut listeners = open(&office, &[stays, goes]);
    let mut guest = beside(move || {
        let mut guest = TcpStream::connect(goes).unwrap();
        assert!(greeting_on(&mut guest).starts_with("220 host.test "));
        guest
    })
    .await;

    let wanted = [stays, comes];
    listeners.set_desk(office.reconfigured("", "fqdn = \"renamed.test\""));
    let stayed = listeners.open[0].accepting.id();
    listeners.close_others(&wanted).await;
    let free = std::net::TcpListener::bind(goes);
    assert!(free.is_ok(), "a closed address is free at once, although a session goes on: {free:?}");
    drop(free);
    assert_eq!(listeners.open_missing(&wanted, &mut Inherited::default()), []);
    assert_eq!(listeners.addresses(), wanted);
    assert_eq!(listeners.open[0].accepting.id(), stayed, "the unchanged address was rebound");
    beside(move || {
        assert!(TcpStream::connect(goes).is_err());
        assert!(greeting(stays).starts_with("220 renamed.test "), "the new configuration holds on the old address");
        assert!(greeting(comes).starts_with("220 renamed.test "));
        std::io::Write::write_all(&mut guest, b"NOOP\r\n").unwrap();
        assert!(greeting_on(&mut guest).starts_with("250 "), "a running session goes on");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_address_leaves_the_others_alone() {
    let office = Office::new();
    let taken = std::net::TcpListener::bind(ANY).unwrap();
    let (bad, good) = (taken.local_addr().unwrap(), free_port());
    let mut listeners = Listeners::new(Arc::clone(&office.desk), Sessions::new(100));
    let faults = listeners.open_missing(&[bad, good], &mut Inherited::default());
    assert_eq!(faults.iter().map(|fault| fault.address).collect::<Vec<_>>(), [bad]);
    assert!(beside(move || greeting(good)).await.starts_with("220 "));
    drop(taken);
    assert_eq!(listeners.open_missing(&[bad, good], &mut Inherited::default()), []);
    assert!(beside(move || greeting(bad)).await.starts_with("220 "), "tried again, it works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_for_both_serves_whichever_is_configured() {
    let office = Office::new();
    let socket = bind::tests::for_both();
    let six = socket.local_addr().unwrap();
    let four = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), six.port());
    let through = |ip: &str| SocketAddr::new(ip.parse().unwrap(), six.port());
    let mut listeners = Listeners::new(Arc::clone(&office.desk), Sessions::new(100));
    let mut inherited = Inherited::of(vec![socket]);
    assert_eq!(listeners.open_missing(&[four, six], &mut inherited), []);
    assert_eq!(listeners.addresses(), [six], "one socket, not two");
    for address in [through("127.0.0.1"), through("::1")] {
        assert!(beside(move || greeting(address)).await.starts_with("220 "));
    }
    // The one that stood for both goes; the other gets a socket of its own.
    listeners.close_others(&[six]).await;
    assert_eq!(listeners.open_missing(&[six], &mut inherited), []);
    let (address, gone) = (through("::1"), through("127.0.0.1"));
    assert!(beside(move || greeting(address)).await.starts_with("220 "));
    assert!(beside(move || TcpStream::connect(gone)).await.is_err());
}

/// Otherwise whoever comes by the other family would get round what one listener asks for: TLS, authentication.
#[test]
fn on_a_socket_for_both_each_family_keeps_to_its_own_rules() {
    let [four, six, one]: [SocketAddr; 3] = ["0.0.0.0:587", "[::]:587", "127.0.0.1:587"].map(|a| a.parse().unwrap());
    let door = |listen: &[SocketAddr], socket: SocketAddr, peer: &str| {
        let listen: Vec<String> = listen.iter().map(|address| format!("\"{address}\"")).collect();
        let office = Office::with(&format!("listen = [{}]", listen.join(", ")), "", "");
        let peer = SocketAddr::new(peer.parse().unwrap(), 4_000);
        office.desk.listener(accept::caller(peer, socket, &office.desk).door).address
    };
    for socket in [four, six] {
        for peer in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(door(&[six, four], socket, peer), four, "{peer} through {socket}");
        }
        assert_eq!(door(&[four, six], socket, "2001:db8::1"), six, "through {socket}");
        for peer in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(door(&[socket], socket, peer), socket, "{peer} has no other");
        }
    }
    assert_eq!(door(&[six, one], one, "127.0.0.1"), one, "a single address is for itself");
}

/// On one thread, where nothing happens beside: closed means closed.
#[tokio::test(flavor = "current_thread")]
async fn a_closed_address_is_free_at_once() {
    let office = Office::new();
    let mut listeners = open(&office, &[ANY]);
    let address = listeners.addresses()[0];
    tokio::task::yield_now().await;
    listeners.close_others(&[]).await;
    let free = std::net::TcpListener::bind(address);
    assert!(free.is_ok(), "{free:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_closes() {
    let office = Office::new();
    let mut listeners = open(&office, &[ANY]);
    let address = listeners.addresses()[0];
    listeners.close().await;
    assert!(beside(move || TcpStream::connect(address)).await.is_err());
}

/// In a process of its own, because the limit on open files is the process's.
#[test]
fn want_of_files_slows_but_does_not_end_the_service() {
    const ALONE: &str = "MAILROOT_TEST_WITHOUT_FILES";
    if std::env::var_os(ALONE).is_some() {
        return without_files();
    }
    let name = "listen::tests::want_of_files_slows_but_does_not_end_the_service";
    let program = std::env::current_exe().unwrap();
    let run = std::process::Command::new(program).args(["--exact", name, "--nocapture"]).env(ALONE, "1").output();
    let run = run.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

fn without_files() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let office = Office::with("connections_max = \"unlimited\"", "", "");
    let in_runtime = runtime.enter();
    let listeners = open(&office, &[ANY]);
    drop(in_runtime);
    let address = listeners.addresses()[0];
    assert!(greeting(address).starts_with("220 "));
    runtime.block_on(async { tokio::time::timeout(LONG, listeners.sessions().emptied()).await.unwrap() });
    // Client and server share the process: the clients' sockets are made first, then every file there is is taken.
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let crowd: Vec<_> = (0..8).map(|_| socket()).collect();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 200, hard).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    let began = Instant::now();
    for socket in crowd {
        socket.connect(&address.into()).unwrap();
        let told = greeting_on(&mut socket.into());
        assert!(told.starts_with("421 4.3.2 "), "{told}");
        // The slot that this client gave back.
        taken.extend(std::fs::File::open("/dev/null"));
    }
    taken.clear();
    assert!(greeting(address).starts_with("220 "), "the service goes on when there are files again");
    let log = office.log();
    let alarms = log.iter().filter(|line| line.starts_with("alarm text=\"No more connections")).count();
    assert!(alarms >= 1, "{log:?}");
    assert!(alarms as u64 <= 1 + began.elapsed().as_secs(), "{alarms} alarms in {:?}", began.elapsed());
}
