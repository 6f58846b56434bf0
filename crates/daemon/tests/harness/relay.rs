//! The relay itself, run as an operator would: the built program with a configuration file of its own.

use super::{Process, SOON, Site, files_ending, until};
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_mailroot");

/// A configuration; what is not set here is as in [`Settings::new`].
#[derive(Clone)]
pub struct Settings {
    /// Addresses, or tables; the first is an address.
    pub listen: Vec<String>,
    pub dns: Option<SocketAddr>,
    /// Further lines of `[dns]`.
    pub dns_more: Vec<String>,
    /// Lines of `[console]`; none: there is no console.
    pub console: Vec<String>,
    /// Lines of the tables; a key here replaces the default line of the same key.
    pub general: Vec<String>,
    pub access: Vec<String>,
    pub messages: Vec<String>,
    pub delivery: Vec<String>,
    pub queue: Vec<String>,
    /// Lines for the default domain `local.test`.
    pub local: Vec<String>,
    /// Further `[[virtual_server.domain]]` tables.
    pub domains: Vec<String>,
    /// `[[smart_host]]` tables.
    pub smart_hosts: Vec<String>,
}

impl Settings {
    /// A relay for everybody on loopback, that tries again soon; its default domain is `local.test`.
    pub fn new(site: &Site) -> Settings {
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        Settings {
            listen: vec![site.at(1, 2525).to_string()],
            // Nobody listens there: a test that needs names starts a server.
            dns: Some(site.at(250, 5353)),
            dns_more: Vec::new(),
            console: Vec::new(),
            general: Vec::new(),
            access: lines(&["relay = { only = [\"127.0.0.0/8\"] }"]),
            messages: Vec::new(),
            delivery: lines(&[
                "fqdn = \"relay.test\"",
                "retry = [\"1 s\"]",
                "glitch_retry = { every = \"1 s\", times = 1 }",
                "timeout = \"20 s\"",
            ]),
            queue: Vec::new(),
            local: Vec::new(),
            domains: Vec::new(),
            smart_hosts: Vec::new(),
        }
    }

    /// Everything that is not local goes there.
    pub fn smart_host(self, at: SocketAddr) -> Settings {
        self.delivery(&format!("smart_host = \"[{}]:{}\"", at.ip(), at.port()))
    }

    pub fn dns(mut self, at: SocketAddr) -> Settings {
        self.dns = Some(at);
        // The mail hosts that it names are this machine's.
        self.delivery("mx_loopback = true")
    }

    pub fn dns_more(mut self, line: &str) -> Settings {
        set(&mut self.dns_more, line);
        self
    }

    pub fn console(mut self, line: &str) -> Settings {
        set(&mut self.console, line);
        self
    }

    pub fn general(mut self, line: &str) -> Settings {
        set(&mut self.general, line);
        self
    }

    pub fn access(mut self, line: &str) -> Settings {
        set(&mut self.access, line);
        self
    }

    pub fn messages(mut self, line: &str) -> Settings {
        set(&mut self.messages, line);
        self
    }

    pub fn delivery(mut self, line: &str) -> Settings {
        set(&mut self.delivery, line);
        self
    }

    pub fn queue(mut self, line: &str) -> Settings {
        set(&mut self.queue, line);
        self
    }

    pub fn local(mut self, line: &str) -> Settings {
        set(&mut self.local, line);
        self
    }

    /// A remote domain with these lines.
    pub fn remote(mut self, name: &str, lines: &[&str]) -> Settings {
        self.domains.push(format!("name = \"{name}\"\nkind = \"remote\"\n{}\n", lines.join("\n")));
        self
    }

    /// A `[[smart_host]]` with these lines.
    pub fn smart_host_object(mut self, name: &str, lines: &[&str]) -> Settings {
        self.smart_hosts.push(format!("name = \"{name}\"\n{}\n", lines.join("\n")));
        self
    }

    /// An alias domain.
    pub fn alias(mut self, name: &str) -> Settings {
        self.domains.push(format!("name = \"{name}\"\nkind = \"alias\"\n"));
        self
    }

    pub fn text(&self, home: &Path) -> String {
        let mut text = String::new();
        if let Some(dns) = self.dns {
            let _ = writeln!(text, "[dns]\nservers = [\"{dns}\"]\n{}\n", self.dns_more.join("\n"));
        }
        let off = "enabled = false".to_owned();
        let console = if self.console.is_empty() { off } else { self.console.join("\n") };
        let _ = writeln!(text, "[console]\n{console}\n");
        let _ = writeln!(text, "[[virtual_server]]\nname = \"Test\"\nhome = \"{}\"", home.display());
        let value = |at: &String| if at.starts_with('{') { at.clone() } else { format!("\"{at}\"") };
        let listen: Vec<String> = self.listen.iter().map(value).collect();
        let mut general = vec![format!("listen = [{}]", listen.join(", "))];
        general.extend(self.general.iter().cloned());
        let tables = [
            ("general", &general),
            ("access", &self.access),
            ("messages", &self.messages),
            ("delivery", &self.delivery),
            ("queue", &self.queue),
        ];
        for (name, lines) in tables.iter().filter(|(_, lines)| !lines.is_empty()) {
            let _ = writeln!(text, "[virtual_server.{name}]\n{}", lines.join("\n"));
        }
        let local = self.local.join("\n");
        let _ = writeln!(text, "[[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n{local}");
        for domain in &self.domains {
            let _ = writeln!(text, "[[virtual_server.domain]]\n{domain}");
        }
        for smart_host in &self.smart_hosts {
            let _ = writeln!(text, "[[smart_host]]\n{smart_host}");
        }
        text
    }
}

/// Adds a line, or replaces the one with the same key.
fn set(lines: &mut Vec<String>, line: &str) {
    let key = line.split('=').next().unwrap_or(line).trim().to_owned();
    lines.retain(|old| old.split('=').next().unwrap_or(old).trim() != key);
    lines.push(line.to_owned());
}

/// A relay that runs, or ran.
pub struct Relay {
    /// Where it listens.
    pub at: SocketAddr,
    pub home: PathBuf,
    pub config: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Relay {
    /// Writes the configuration, starts the relay and waits until it greets.
    pub fn start(site: &Site, settings: &Settings) -> Relay {
        let mut relay = Relay::prepare(site, settings);
        relay.up();
        relay
    }

    /// Only writes the configuration.
    pub fn prepare(site: &Site, settings: &Settings) -> Relay {
        let home = site.folder.join("mailroot");
        let config = site.folder.write("mailroot.toml", settings.text(&home));
        let at = settings.listen[0].parse().unwrap();
        Relay { at, home, config, log: site.folder.join("mailroot.log"), process: None }
    }

    /// Replaces the configuration file; the relay is not told.
    pub fn configure(&self, settings: &Settings) {
        fs::write(&self.config, settings.text(&self.home)).unwrap();
    }

    /// `mailroot serve --config FILE`, its log appended to ours.
    pub fn command(&self) -> Command {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--config"]).arg(&self.config);
        command.stdout(log.try_clone().unwrap()).stderr(Stdio::from(log));
        command
    }

    /// Starts it (again) and waits until it greets.
    pub fn up(&mut self) {
        let mut command = self.command();
        self.up_by(&mut command);
    }

    /// The same by a command of the test's own.
    pub fn up_by(&mut self, command: &mut Command) {
        self.process = Some(Process::start(command));
        until(SOON, "the relay greets", || {
            let process = self.process.as_mut()?;
            if let Some(status) = process.0.try_wait().unwrap() {
                panic!("the relay ended at its start, {status}:\n{}", self.log());
            }
            let stream = TcpStream::connect_timeout(&self.at, Duration::from_secs(2)).ok()?;
            let mut client = super::client::Client::over(stream);
            client.try_reply().filter(|reply| reply.code == 220 || reply.code == 421)
        });
    }

    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the relay was not started")
    }

    /// SIGKILL: no time for anything.
    pub fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// SIGTERM, and waits for a good end.
    pub fn stop(&mut self) {
        self.process().signal("TERM");
        let status = self.process().ended(SOON, "the relay ends after TERM");
        assert!(status.success(), "{status}:\n{}", self.log());
        self.process = None;
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line of the log with all these texts.
    pub fn wait_for_log(&self, texts: &[&str]) -> String {
        until(SOON, &format!("the log tells of {texts:?}"), || {
            self.log().lines().find(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned)
        })
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// The content of every file in Drop.
    pub fn dropped(&self) -> Vec<Vec<u8>> {
        files_ending(&self.folder("Drop"), ".eml").iter().filter_map(|path| fs::read(path).ok()).collect()
    }

    /// Waits for a file in Drop that contains this text.
    pub fn wait_for_drop(&self, text: &str) -> Vec<u8> {
        until(SOON, &format!("{text:?} comes to Drop"), || {
            self.dropped().into_iter().find(|message| super::has(message, text))
        })
    }

    /// The `.env` and `.eml` files in Queue.
    pub fn queued(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let queue = self.folder("Queue");
        (files_ending(&queue, ".env"), files_ending(&queue, ".eml"))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(20_000);
            let from = (from..log.len()).find(|&at| log.is_char_boundary(at)).unwrap_or(0);
            eprintln!("--- the relay's log\n{}", &log[from..]);
        }
    }
}
