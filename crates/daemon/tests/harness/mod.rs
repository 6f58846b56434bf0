//! What the black-box tests stand on: a site of loopback addresses of its own for each test, folders that vanish, waiting
//! for events with a deadline, the relay itself, a plain client, a scripted peer, and real peers.
//!
//! Everything listens on loopback only. Processes are ended by their own id when their owner is dropped. Nothing here
//! knows the relay's insides: it is run as an operator would run it.

pub mod bind;
pub mod browser;
pub mod certificates;
pub mod client;
pub mod console;
pub mod dovecot;
pub mod https;
pub mod mail;
pub mod operator;
pub mod peer;
pub mod postfix;
pub mod relay;
pub mod signed;
pub mod tools;

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The deadline for whatever should happen at once but for a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// A folder in the system's temporary folder; removed when dropped, kept when the test failed.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Short: Unix sockets below it have about a hundred octets for their path.
        let path = std::env::temp_dir().join(format!("mr-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        // The peers' own users must get through.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Folder(path)
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file below it.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).unwrap();
        }
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for examination: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// The addresses 127.a.b.1 to 127.a.b.253, claimed for one test, and a folder for what belongs to it.
pub struct Site {
    pub folder: Folder,
    net: [u8; 2],
    _claim: TcpListener,
}

impl Site {
    pub fn new() -> Site {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            // Other processes may run these tests too: whoever binds the last address's port has the net.
            let n = std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Ordering::Relaxed);
            let octet = |n: u32| u8::try_from(1 + n % 250).unwrap();
            let net = [octet(n / 250), octet(n)];
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::new(127, net[0], net[1], 254), 7777)) {
                return Site { folder: Folder::new(), net, _claim: claim };
            }
        }
    }

    pub fn ip(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net[0], self.net[1], host)
    }

    pub fn at(&self, host: u8, port: u16) -> SocketAddr {
        (self.ip(host), port).into()
    }
}

/// Asks again and again until there is an answer; panics with `what` when it takes too long.
pub fn until<T>(within: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Waits until somebody listens there.
pub fn listening(at: SocketAddr, who: &str) {
    until(SOON, &format!("{who} listens at {at}"), || TcpStream::connect(at).ok());
}

/// A process that is ended when dropped: TERM, then KILL.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let name = format!("{command:?}");
        Process(command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{name}: {error}")))
    }

    pub fn signal(&self, name: &str) {
        // By its own id only.
        let _ =
            Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).stderr(Stdio::null()).status();
    }

    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// The exit status, once it has ended by itself.
    pub fn ended(&mut self, within: Duration, what: &str) -> ExitStatus {
        until(within, what, || self.0.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal("TERM");
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(5) {
                if !matches!(self.0.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            self.kill();
        }
    }
}

/// Runs a program to its end, within a minute; its output.
pub fn run(command: &mut Command) -> Output {
    let name = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error} (./test.sh installs what the tests need)"));
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut octets = Vec::new();
            pipe.map(|mut pipe| pipe.read_to_end(&mut octets));
            octets
        })
    };
    let stdout = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let mut process = Process(child);
    let status = process.ended(Duration::from_secs(60), &name);
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Runs a program that must succeed; what it wrote to its standard output.
pub fn run_well(command: &mut Command) -> Vec<u8> {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The files in a folder by name; none when it does not exist.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_file()).collect())
        .unwrap_or_default();
    found.sort();
    found
}

/// The files in a folder whose names end so.
pub fn files_ending(folder: &Path, end: &str) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

/// An identity of the system, by name.
pub fn user_id(name: &str) -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name));
    let fields: Vec<&str> = line.unwrap_or_else(|| panic!("no user {name}")).split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

/// Does the text occur in these octets?
pub fn has(octets: &[u8], text: &str) -> bool {
    octets.windows(text.len().max(1)).any(|window| window == text.as_bytes())
}
