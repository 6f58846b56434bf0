//! `mailroot try`: a relay to play with, on loopback, in a folder of its own.
//!
//! Writes a commented configuration if there is none yet, runs it as `serve` would, and says what it does and how to hand in
//! a first message. What it prints is read off the configuration, so it stays true when somebody edits the file.

use super::{Running, complain, load, say, serve};
use crate::service::{ConfigFile, Ready};
use relay::config::console::PORT as CONSOLE_PORT;
use relay::config::{Config, VirtualServer};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

/// Where a trial listens if nobody else does: no right that an ordinary user lacks is needed.
const PORT: u16 = 2525;
/// How many ports from there on are looked at for a free one.
const PORTS: u16 = 20;

pub(super) fn run(folder: &Path, port: Option<u16>, running: &Running) -> ExitCode {
    let file = ConfigFile::new(&folder.join("mailroot.toml"));
    if let Some(port) = port.filter(|_| file.path().exists()) {
        complain(&format!(
            "{path} is there already, and says where to listen: write 127.0.0.1:{port} under general.listen in it, or begin \
             anew in another folder: mailroot try --port {port} --folder DIR\n",
            path = file.path().display()
        ));
        return ExitCode::FAILURE;
    }
    if let Err(error) = write_sample(file.path(), port.unwrap_or_else(|| free_port(PORT))) {
        complain(&format!(
            "{} cannot be written: {error}.\nName a folder that you may write to: mailroot try --folder DIR\n",
            file.path().display()
        ));
        return ExitCode::FAILURE;
    }
    let (file, loaded) = match load(&file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let path = file.path().to_owned();
    serve(file, loaded, running, |ready| say(&welcome(ready, &path)))
}

/// The usual port, or one near it if that is taken. (The file that is written names it, so that it stays the same.)
fn free_port(usual: u16) -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (usual..usual + PORTS).find(is_free).unwrap_or(usual)
}

/// Writes the sample configuration where there is none; a file that is there stays as it is.
fn write_sample(path: &Path, port: u16) -> io::Result<()> {
    let home = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(home)?;
    if path.exists() {
        return Ok(());
    }
    // Under another name first: a file that was only half written would stay for good.
    let new = path.with_extension("toml.new");
    let mut file = File::create(&new)?;
    // Nobody but this machine can reach it.
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let console = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(CONSOLE_PORT)));
    file.write_all(Config::sample(home, &[listen], console).as_bytes())?;
    file.sync_all()?;
    match fs::hard_link(&new, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => fs::rename(&new, path),
        _ => fs::remove_file(&new),
    }
}

/// What runs, where, and what to do with it.
fn welcome(ready: &Ready<'_>, configuration: &Path) -> String {
    let servers = ready.servers;
    let mut text = format!("\nMailroot {} is running. To stop it: Ctrl+C\n\n", env!("CARGO_PKG_VERSION"));
    for running in servers.iter() {
        text.push_str(&format!("{}\n", running.server().name));
        running.server().describe().iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        text.push('\n');
    }
    text.push_str(&format!(
        "Configuration: {}\n  after a change: kill -HUP {}\n\n",
        configuration.display(),
        std::process::id()
    ));
    if let Some(console) = &ready.console {
        text.push_str(&format!("Console: {console}\n"));
        if let Some(link) = ready.link {
            text.push_str(&format!("  set the first password (good for one time, 24 hours): {link}\n"));
        }
        text.push('\n');
    }
    let first = servers.iter().find_map(|running| Some((running.server(), *running.addresses().first()?)));
    if let Some((server, address)) = first {
        text.push_str(&first_message(server, address));
    }
    text
}

fn first_message(server: &VirtualServer, address: SocketAddr) -> String {
    let domain = &server.default_domain.name;
    let (from, to) = (format!("you@{domain}"), format!("somebody@{domain}"));
    let pickup = server.home.join("Pickup");
    let arrives = match server.default_domain.route {
        None => format!("It arrives in {}\n", server.default_domain.drop.display()),
        Some(_) => String::new(),
    };
    format!(
        "A first message:
  swaks --server {address} --from {from} --to {to}
or, without swaks:
  printf 'From: {from}\\r\\nSubject: hello\\r\\n\\r\\nIt works.\\r\\n' | curl smtp://{address} --mail-from {from} --mail-rcpt {to} --upload-file -
or as a file:
  printf 'From: {from}\\nTo: {to}\\nSubject: hello\\n\\nIt works.\\n' > hello.eml && mv hello.eml {}/
{arrives}\n",
        pickup.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn folder(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("mailroot-trial-{name}-{}", std::process::id()))
    }

    #[test]
    fn the_sample_is_written_once_and_can_be_used() {
        let folder = folder("sample");
        let path = folder.join("a").join("mailroot.toml");
        write_sample(&path, 2626).unwrap();
        let loaded = ConfigFile::new(&path).load().unwrap();
        assert_eq!(loaded.config.servers.len(), 1);
        let server = &loaded.config.servers[0];
        assert!(server.general.addresses().eq(["127.0.0.1:2626".parse().unwrap()]));
        assert_eq!(server.home, folder.join("a"), "everything lives in the folder");
        fs::write(&path, "# mine").unwrap();
        write_sample(&path, 2626).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "# mine", "an edited file stays");
        let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["mailroot.toml"], "nothing else is left behind");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_first_message_goes_where_the_configuration_says() {
        let text = Config::sample(
            Path::new("/srv/mail"),
            &["127.0.0.1:2525".parse().unwrap()],
            "127.0.0.1:8025".parse().unwrap(),
        );
        let config = Config::parse(&text, "/srv/mail/mailroot.toml", "host.example.com").unwrap();
        let server: &Arc<VirtualServer> = &config.servers[0];
        let text = first_message(server, "127.0.0.1:2626".parse().unwrap());
        let to = format!("somebody@{}", server.default_domain.name);
        assert!(
            text.contains(&format!(
                "swaks --server 127.0.0.1:2626 --from you@{} --to {to}",
                server.default_domain.name
            ))
        );
        assert!(
            text.contains("curl smtp://127.0.0.1:2626") && text.contains("mv hello.eml /srv/mail/Pickup/"),
            "{text}"
        );
        assert!(text.contains("It arrives in /srv/mail/Drop\n"), "{text}");
    }
}
