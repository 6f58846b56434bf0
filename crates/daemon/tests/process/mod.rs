//! Exit codes, what a start that fails says, and all that the service manager hears in a life.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mailroot");
const LONG: Duration = Duration::from_secs(30);

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mailroot-process-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes a configuration; its path.
    fn configure(&self, listen: SocketAddr, fqdn: &str) -> PathBuf {
        let path = self.0.join("mailroot.toml");
        let text = format!(
            "[[virtual_server]]\nname = \"One\"\nhome = \"home\"\n\
             [virtual_server.general]\nlisten = [\"{listen}\"]\n\
             [virtual_server.delivery]\nfqdn = \"{fqdn}\"\n\
             [[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n"
        );
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    running.ended();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    running.0.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    running.0.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status: running.0.wait().unwrap(), stdout, stderr }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A running relay, ended with the test.
struct Running(Child);

impl Running {
    fn serve(config: &Path, environment: &[(&str, &str)]) -> Running {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg("--config").arg(config).stdin(Stdio::null()).stderr(Stdio::piped());
        command.envs(environment.iter().copied());
        Running(command.spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Its exit code, once it has ended.
    fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < LONG, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it says on standard error from now to its end.
    fn words(&mut self) -> String {
        let mut words = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        words
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The greeting, as soon as there is one that begins like this.
fn greeting(address: SocketAddr, beginning: &str) -> String {
    let began = Instant::now();
    loop {
        let mut line = String::new();
        if let Ok(stream) = TcpStream::connect(address) {
            stream.set_read_timeout(Some(LONG)).unwrap();
            let _ = BufReader::new(stream).read_line(&mut line);
        }
        if line.starts_with(beginning) {
            return line;
        }
        assert!(began.elapsed() < LONG, "no greeting on {address} begins with {beginning:?}; the last was {line:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The service manager's end.
struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Systemd {
    fn new(folder: &Folder) -> Systemd {
        let path = folder.0.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Systemd { socket, path }
    }

    /// Waits for a message with this line.
    fn hears(&self, wanted: &str) -> String {
        let mut octets = [0; 4_096];
        loop {
            let n = match self.socket.recv(&mut octets) {
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => panic!("{wanted} was never told: {e}"),
            };
            let message = text(&octets[..n]);
            if message.lines().any(|line| line == wanted) {
                return message;
            }
        }
    }
}

#[test]
fn exit_codes_tell_fine_from_faulty_from_misused() {
    let folder = Folder::new();
    let config = folder.configure(free_port(), "one.test");
    let config = config.to_str().unwrap();
    let checked = run(&["check", "--config", config]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(text(&checked.stdout).contains("no problems found"), "{checked:?}");
    fs::write(config, "[[virtual_server]]\nname = \"One\"\nhome = \"home\"\nhoem = 1\n").unwrap();
    let checked = run(&["check", "--config", config]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(text(&checked.stderr).contains("hoem = 1\n") && text(&checked.stderr).contains('^'), "{checked:?}");
    assert_eq!(run(&["serve", "--config", config]).status.code(), Some(1));
    assert_eq!(run(&["serve", "--config", "/does/not/exist"]).status.code(), Some(1));
    for misused in [&["check"][..], &["serve", "--bogus"], &["bogus"], &[]] {
        assert_eq!(run(misused).status.code(), Some(2), "{misused:?}");
    }
    for version in ["version", "--version"] {
        let told = run(&[version]);
        assert_eq!(told.status.code(), Some(0));
        assert_eq!(text(&told.stdout), format!("mailroot {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_taken_port_ends_the_start_with_a_sentence() {
    let folder = Folder::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let config = folder.configure(address, "one.test");
    let failed = run(&["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(1));
    let words = text(&failed.stderr);
    let (_, plain) = words.split_once("\nMailroot could not start.\n").expect(&words);
    assert!(plain.contains(&format!("  - 'One': {address} is taken by another program")), "{words}");
    assert!(plain.contains(&format!("The configuration is {}\n", config.display())), "{words}");
    assert_eq!(words.matches("is taken").count(), 1, "said once: {words}");
    assert!(!words.contains("panicked"), "{words}");
}

#[test]
fn systemd_hears_of_ready_reload_stop_and_life() {
    let folder = Folder::new();
    let systemd = Systemd::new(&folder);
    let address = free_port();
    let config = folder.configure(address, "one.test");
    let notify = systemd.path.to_str().unwrap();
    let mut running = Running::serve(&config, &[("NOTIFY_SOCKET", notify), ("WATCHDOG_USEC", "200000")]);
    let ready = systemd.hears("READY=1");
    assert!(ready.contains(&format!("listening on {address}")), "{ready}");
    greeting(address, "220 one.test ");
    systemd.hears("WATCHDOG=1");
    folder.configure(address, "two.test");
    running.signal("HUP");
    let reloading = systemd.hears("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    systemd.hears("READY=1");
    greeting(address, "220 two.test ");
    running.signal("TERM");
    systemd.hears("STOPPING=1");
    assert_eq!(running.ended(), Some(0));
    let words = running.words();
    assert!(words.contains(" started ") && words.ends_with(" stopped\n"), "{words}");
}
