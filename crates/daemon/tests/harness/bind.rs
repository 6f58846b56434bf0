//! A real BIND that is the authority for the zone `test`: MX, null MX, CNAME, equal preferences; what the zone lacks does
//! not exist, and about everything else it refuses to speak.

use super::{Process, Site, run_well, until};
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

pub struct Bind {
    pub at: SocketAddr,
    folder: PathBuf,
    _process: Process,
}

impl Bind {
    /// `records` are lines of the zone file `test`: `dest MX 10 mx1`.
    pub fn start(site: &Site, host: u8, records: &str) -> Bind {
        Bind::with_reverse(site, host, records, "")
    }

    /// The same with a zone `in-addr.arpa`: `4.3.2.192 PTR host.test.` names 192.2.3.4.
    pub fn with_reverse(site: &Site, host: u8, records: &str, reverse: &str) -> Bind {
        let at = free_port();
        let folder = site.folder.join(format!("bind-{host}"));
        fs::create_dir_all(&folder).unwrap();
        let zone = format!(
            "$TTL 60\n$ORIGIN test.\n@ SOA ns hostmaster 1 3600 600 86400 2\n@ NS ns\nns A {}\n{records}\n",
            at.ip()
        );
        fs::write(folder.join("test.zone"), zone).unwrap();
        let zone = format!("$TTL 60\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 2\n@ NS ns.test.\n{reverse}\n");
        fs::write(folder.join("reverse.zone"), zone).unwrap();
        let shown = folder.display();
        let text = format!(
            "options {{ directory \"{shown}\"; pid-file none; session-keyfile \"{shown}/session.key\";\n\
             lock-file none; managed-keys-directory \"{shown}\"; listen-on port {} {{ {}; }}; listen-on-v6 {{ none; }};\n\
             recursion no; allow-query {{ any; }}; notify no; dnssec-validation no; empty-zones-enable no; }};\n\
             controls {{ }};\n\
             logging {{ channel f {{ file \"{shown}/named.log\"; severity debug 1; }}; category default {{ f; }};\n\
             category queries {{ f; }}; }};\n\
             zone \"test\" {{ type primary; file \"{shown}/test.zone\"; check-mx ignore; check-names ignore; }};\n\
             zone \"in-addr.arpa\" {{ type primary; file \"{shown}/reverse.zone\"; check-names ignore; }};\n",
            at.port(),
            at.ip()
        );
        Bind::run(at, folder, &text)
    }

    /// Runs with this configuration, in this folder.
    pub fn run(at: SocketAddr, folder: PathBuf, text: &str) -> Bind {
        let conf = folder.join("named.conf");
        fs::write(&conf, text).unwrap();
        run_well(Command::new("named-checkconf").arg("-z").arg(&conf));
        let mut command = Command::new("named");
        command.args(["-f", "-n", "1", "-c"]).arg(&conf).stdout(Stdio::null()).stderr(Stdio::null());
        let bind = Bind { at, folder, _process: Process::start(&mut command) };
        until(super::SOON, "BIND answers", || bind.answers().then_some(()));
        bind
    }

    /// Does it answer a question (SOA of `test`) over UDP?
    fn answers(&self) -> bool {
        let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04test\x00\x00\x06\x00\x01";
        let Ok(socket) = UdpSocket::bind((self.at.ip(), 0)) else { return false };
        let _ = socket.set_read_timeout(Some(Duration::from_millis(300)));
        let mut answer = [0; 512];
        socket.send_to(question, self.at).is_ok()
            && socket.recv(&mut answer).is_ok_and(|n| n > 12 && answer[..2] == *b"\x12\x34" && answer[3] & 15 == 0)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("named.log")).unwrap_or_default()
    }
}

/// BIND listens only at addresses that an interface bears, so it cannot have one of the site's.
pub fn free_port() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = tcp.local_addr().unwrap();
        if UdpSocket::bind(at).is_ok() {
            return at;
        }
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- BIND's log\n{}", self.log());
        }
    }
}
