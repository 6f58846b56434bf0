//! Virtual servers that come, go, change and stop, each in a folder of its own.

mod slow;

use super::*;
use crate::clock::Clock;
use relay::admin::ServerVerb;
use relay::admin::view::{Outcome, ServerState};
use relay::config::Config;
use relay::record::Level;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

const LONG: Duration = Duration::from_secs(20);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mailroot-servers-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// A configuration with these virtual servers: name, address, more for the General tab.
    fn configure(&self, servers: &[(&str, SocketAddr, &str)]) -> Config {
        let text: String = servers
            .iter()
            .map(|(name, address, general)| {
                format!(
                    "[[virtual_server]]\nname = \"{name}\"\nhome = \"{name}\"\n\
                     [virtual_server.general]\nlisten = [\"{address}\"]\n{general}\n\
                     [virtual_server.delivery]\nfqdn = \"{name}.test\"\n\
                     [[virtual_server.domain]]\nname = \"{name}-local.test\"\nkind = \"default\"\n"
                )
            })
            .collect();
        let path = self.0.join("mailroot.toml");
        Config::parse(&text, &path.to_string_lossy(), "host.test").unwrap_or_else(|p| panic!("{}", p[0].render(&text)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct House {
    servers: Servers,
    lines: Lines,
    flush: crate::log::Flush,
    folder: Folder,
}

impl House {
    fn new() -> House {
        let lines = Lines::default();
        let clock = Clock::start();
        let (log, flush) = Log::start(Level::Info, clock.clone(), Box::new(lines.clone())).unwrap();
        House { servers: Servers::new(log, clock, Inherited::default()), lines, flush, folder: Folder::new() }
    }

    async fn carry_out(&mut self, servers: &[(&str, SocketAddr, &str)]) -> Vec<String> {
        let config = self.folder.configure(servers);
        self.follow(&config).await
    }

    /// Carries it out, and waits until all that was begun is done.
    async fn follow(&mut self, config: &Config) -> Vec<String> {
        let mut faults = self.begin(config).await.faults.tell();
        while self.servers.is_starting() {
            faults.extend(self.turn().await);
        }
        faults
    }

    async fn begin(&mut self, config: &Config) -> Carried {
        tokio::time::timeout(LONG, self.servers.carry_out(config)).await.unwrap()
    }

    /// One turn of the service's loop for one that is starting.
    async fn turn(&mut self) -> Vec<String> {
        let opened = tokio::time::timeout(LONG, self.servers.opened()).await.unwrap();
        self.servers.finish(opened).await.tell()
    }

    /// Starts or stops one; what is said when it is done.
    async fn change(&mut self, name: &str, verb: ServerVerb) -> Outcome {
        match self.servers.change_state(name, verb).await {
            Ok(Changed::Done(outcome)) => outcome,
            Ok(Changed::When(done)) => {
                let done = tokio::spawn(done);
                while self.servers.is_starting() {
                    self.turn().await;
                }
                let outcome = tokio::time::timeout(LONG, done).await.unwrap().unwrap();
                self.servers.forget_ended();
                outcome
            }
            Err(why) => panic!("{name} {verb:?}: {why:?}"),
        }
    }

    async fn change_while_starting(&mut self, name: &str, verb: ServerVerb) -> String {
        match self.servers.change_state(name, verb).await {
            Ok(Changed::Done(outcome)) => outcome.text,
            _ => panic!("{name} {verb:?}"),
        }
    }

    fn state(&self, name: &str) -> (ServerState, Option<u64>) {
        let view = self.servers.views().into_iter().find(|view| view.name == name).unwrap();
        (view.state, view.queue)
    }

    /// A home that takes long to open, until what is returned is let go: reading this file waits for whoever writes it.
    fn slow(&self, name: &str) -> Slow {
        let queue = self.folder.0.join(name).join("Queue");
        std::fs::create_dir_all(&queue).unwrap();
        let pipe = queue.join("standing.json");
        let _ = std::fs::remove_file(&pipe);
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        Slow { path: pipe, pipe: None }
    }

    fn names(&self) -> Vec<&str> {
        self.servers.iter().map(|running| &*running.server().name).collect()
    }

    fn log(&self) -> String {
        self.flush.flush();
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    async fn stop(mut self) {
        tokio::time::timeout(LONG, self.servers.stop(Duration::from_secs(5))).await.unwrap();
    }
}

struct Slow {
    path: PathBuf,
    pipe: Option<std::fs::File>,
}

impl Slow {
    /// Returns when somebody reads it, and waits.
    async fn is_read(&mut self) {
        let path = self.path.clone();
        let opened = beside(move || {
            let began = std::time::Instant::now();
            loop {
                // As long as nobody reads it this fails.
                let opened = std::fs::OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(&path);
                if let Ok(pipe) = opened {
                    return pipe;
                }
                assert!(began.elapsed() < LONG, "{opened:?}");
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        self.pipe = Some(opened.await);
    }

    /// Whoever reads it goes on.
    async fn let_go(mut self) {
        if self.pipe.is_none() {
            self.is_read().await;
        }
        std::fs::remove_file(&self.path).unwrap();
        self.pipe.take().unwrap().write_all(b"{}").unwrap();
    }
}

impl Drop for Slow {
    /// A test that fails leaves nobody waiting: opened for both it waits for nobody, and then there is nothing to read.
    fn drop(&mut self) {
        drop(self.pipe.take());
        let _ = std::fs::OpenOptions::new().read(true).write(true).open(&self.path);
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A client that has heard the greeting, which names this virtual server.
async fn visit(address: SocketAddr, name: &'static str) -> Client {
    beside(move || {
        let mut client = Client(TcpStream::connect(address).unwrap());
        client.0.set_read_timeout(Some(LONG)).unwrap();
        let greeting = client.hear();
        assert!(greeting.starts_with(&format!("220 {name}.test ")), "{greeting}");
        client
    })
    .await
}

async fn beside<T: Send + 'static>(deed: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(deed).await.unwrap()
}

struct Client(TcpStream);

impl Client {
    fn hear(&mut self) -> String {
        let mut line = String::new();
        let mut octet = [0];
        while !line.ends_with('\n') {
            self.0.read_exact(&mut octet).unwrap_or_else(|e| panic!("{e} after {line:?}"));
            line.push(char::from(octet[0]));
        }
        line
    }

    fn ask(&mut self, line: &str) -> String {
        self.0.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.hear()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_servers_trouble_is_not_the_others() {
    let mut house = House::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (bad, good) = (taken.local_addr().unwrap(), free_port());
    let faults = house.carry_out(&[("one", bad, ""), ("two", good, "")]).await;
    assert_eq!(house.names(), ["two"]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with(&format!("'one': {bad} is taken by another program")), "{faults:?}");
    assert!(faults[1].starts_with("'one' is not started"), "{faults:?}");
    visit(good, "two").await;
    let log = house.log();
    assert!(log.contains("started listen=") && log.contains(" server=two\n"), "{log}");
    assert_eq!(log.matches(" alarm text=").count(), 2, "{log}");
    drop(taken);
    assert_eq!(house.carry_out(&[("one", bad, ""), ("two", good, "")]).await, Vec::<String>::new());
    assert_eq!(house.names(), ["one", "two"], "tried again at the next reload, in the configuration's order");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_used_is_told() {
    let mut house = House::new();
    std::fs::write(house.folder.0.join("one"), "not a folder").unwrap();
    let good = free_port();
    let faults = house.carry_out(&[("one", free_port(), ""), ("two", good, "")]).await;
    assert_eq!(house.names(), ["two"]);
    assert!(faults[0].starts_with("'one' is not started: "), "{faults:?}");
    visit(good, "two").await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_starts_stops_and_leaves_alone() {
    let mut house = House::new();
    let (a, b, c) = (free_port(), free_port(), free_port());
    house.carry_out(&[("stays", a, ""), ("goes", b, "")]).await;
    let mut staying = visit(a, "stays").await;
    let mut leaving = visit(b, "goes").await;
    let faults = house.carry_out(&[("comes", c, ""), ("stays", a, "connections_max = 7")]).await;
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(house.names(), ["comes", "stays"]);
    visit(c, "comes").await;
    visit(a, "stays").await;
    let (kept, gone) = beside(move || (staying.ask("NOOP"), leaving.hear())).await;
    assert!(kept.starts_with("250 "), "{kept}");
    assert!(gone.starts_with("421 4.3.2 "), "{gone}");
    assert!(beside(move || TcpStream::connect(b)).await.is_err());
    house.servers.stopped().await;
    let log = house.log();
    assert!(log.contains(" stopped server=goes\n") && log.contains(" configured server=stays\n"), "{log}");
    assert!(!log.contains(" stopped server=stays\n"), "{log}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_can_move_from_one_server_to_another() {
    let mut house = House::new();
    let (a, b) = (free_port(), free_port());
    house.carry_out(&[("one", a, ""), ("two", b, "")]).await;
    let faults = house.carry_out(&[("one", b, ""), ("two", a, "")]).await;
    assert_eq!(faults, Vec::<String>::new());
    visit(a, "two").await;
    visit(b, "one").await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exchanged_is_restarted() {
    let mut house = House::new();
    let a = free_port();
    house.carry_out(&[("one", a, "")]).await;
    let mut client = visit(a, "one").await;
    let mut config = house.folder.configure(&[("one", a, "")]);
    let mut server = (*config.servers[0]).clone();
    server.home = house.folder.0.join("elsewhere");
    config.servers = vec![Arc::new(server)];
    assert_eq!(house.follow(&config).await, Vec::<String>::new());
    let told = beside(move || client.hear()).await;
    assert!(told.starts_with("421 4.3.2 "), "{told}");
    visit(a, "one").await;
    assert_eq!(house.log().matches(" started ").count(), 2, "{}", house.log());
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_name_servers_end_no_session() {
    let mut house = House::new();
    let a = free_port();
    house.carry_out(&[("one", a, "")]).await;
    let mut client = visit(a, "one").await;
    let mut config = house.folder.configure(&[("one", a, "")]);
    config.dns.servers = vec!["127.0.0.1:5353".parse().unwrap()];
    assert_eq!(house.follow(&config).await, Vec::<String>::new());
    let reply = beside(move || client.ask("NOOP")).await;
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(house.log().matches(" started ").count(), 1, "{}", house.log());
    // What cannot be used leaves the ones from before.
    config.dns.dnssec = relay::config::Dnssec::Validate;
    config.dns.trust_anchor = Some(house.folder.0.join("missing"));
    let faults = house.follow(&config).await;
    assert!(faults[0].starts_with("The changed [dns] is not used"), "{faults:?}");
    visit(a, "one").await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_waits_for_a_message_but_not_for_ever() {
    let mut house = House::new();
    let a = free_port();
    house.carry_out(&[("one", a, "")]).await;
    let begin = |mut client: Client| {
        for line in ["HELO client.test", "MAIL FROM:<a@client.test>", "RCPT TO:<b@one-local.test>", "DATA"] {
            let reply = client.ask(line);
            assert!(reply.starts_with("250") || reply.starts_with("354"), "{line}: {reply}");
        }
        client
    };
    let client = visit(a, "one").await;
    let (mut honest, stalled) = beside(move || (begin(client), a)).await;
    let client = visit(stalled, "one").await;
    let stalled = beside(move || begin(client)).await;
    let sending = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(300));
        (honest.ask("Subject: x\r\n\r\nx\r\n."), honest.hear())
    });
    let began = std::time::Instant::now();
    house.servers.stop(Duration::from_secs(4)).await;
    let (queued, end) = sending.await.unwrap();
    assert!(queued.starts_with("250 ") && end.starts_with("421 4.3.2 "), "{queued}{end}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let log = house.log();
    assert!(log.contains("1 sessions did not end in time") && log.contains(" accepted id="), "{log}");
    assert!(log.ends_with(" stopped\n"), "{log}");
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_home_that_cannot_be_used_leaves_the_old_one_in_use() {
    let mut house = House::new();
    let (a, b) = (free_port(), free_port());
    house.carry_out(&[("one", a, ""), ("two", b, "")]).await;
    std::fs::write(house.folder.0.join("file"), "not a folder").unwrap();
    let mut config = house.folder.configure(&[("one", a, ""), ("two", b, "")]);
    let (good, mut server) = (Arc::clone(&config.servers[0]), (*config.servers[0]).clone());
    server.home = house.folder.0.join("file/home");
    config.servers[0] = Arc::new(server);
    let faults = house.follow(&config).await;
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("'one' is not started: "), "{faults:?}");
    assert!(faults[1].starts_with("'one' goes on as it was configured before"), "{faults:?}");
    visit(a, "one").await;
    assert_eq!(house.servers.iter().next().unwrap().server().home, good.home);
    // It is tried again at the next reload, and goes on again.
    assert_eq!(house.follow(&config).await.len(), 2);
    visit(a, "one").await;
    config.servers[0] = good;
    assert_eq!(house.follow(&config).await, Vec::<String>::new());
    visit(a, "one").await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_that_is_taken_leaves_the_old_one_open() {
    let mut house = House::new();
    let a = free_port();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let other = taken.local_addr().unwrap();
    house.carry_out(&[("one", a, "")]).await;
    for _ in 0..2 {
        let faults = house.carry_out(&[("one", other, "connections_max = 7")]).await;
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with(&format!("'one': {other} is taken by another program")), "{faults:?}");
        assert!(faults[1].starts_with("'one' goes on as it was configured before"), "{faults:?}");
        visit(a, "one").await;
    }
    drop(taken);
    assert_eq!(house.carry_out(&[("one", other, "connections_max = 7")]).await, Vec::<String>::new());
    visit(other, "one").await;
    assert!(beside(move || TcpStream::connect(a)).await.is_err());
    house.stop().await;
}
