//! Clients that people use: swaks, curl, Python's smtplib, and a program that writes into Pickup as .NET does.

use super::client::stuffed;
use super::{Site, run, run_well};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

/// swaks hands in `content` as it is.
pub fn swaks(site: &Site, to_server: SocketAddr, from: &str, to: &str, content: &[u8], more: &[&str]) -> Output {
    let file = site.folder.write(&format!("swaks-{}", content.len()), stuffed(content));
    run(Command::new("swaks")
        .args(["--server", &to_server.to_string(), "--from", from, "--to", to, "--helo", "swaks.test"])
        .args(more)
        .args(["--no-data-fixup", "--data"])
        .arg(format!("@{}", file.display())))
}

/// curl hands it in.
pub fn curl(site: &Site, to_server: SocketAddr, from: &str, to: &[&str], content: &[u8]) {
    let file = site.folder.write(&format!("curl-{}", content.len()), content);
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", &format!("smtp://{to_server}/curl.test"), "--mail-from", from]);
    for to in to {
        command.args(["--mail-rcpt", to]);
    }
    run_well(command.arg("--upload-file").arg(file));
}

/// A Python program with `smtplib`, the connection in `s` and the content in `content`; what it prints.
pub fn python(site: &Site, to_server: SocketAddr, content: &[u8], program: &str) -> String {
    let content = site.folder.write(&format!("python-{}", content.len()), content);
    let text = format!(
        "import smtplib, sys\ncontent = open({:?}, 'rb').read()\n\
         s = smtplib.SMTP({:?}, {}, local_hostname='python.test', timeout=30)\n{program}\ns.quit()\n",
        content.display().to_string(),
        to_server.ip().to_string(),
        to_server.port()
    );
    let program = site.folder.write("program.py", text);
    String::from_utf8(run_well(Command::new("python3").arg(program))).unwrap()
}

/// A file in Pickup as .NET's `SmtpClient` writes it: created in place under its final name with X-Sender and X-Receiver
/// on top, held open and written in pieces.
pub struct Dotnet {
    file: File,
}

impl Dotnet {
    /// Creates the file and writes the addresses.
    pub fn create(pickup: &Path, name: &str, from: &str, to: &[&str]) -> Dotnet {
        let mut file = File::options().write(true).create_new(true).open(pickup.join(name)).unwrap();
        let mut text = format!("X-Sender: {from}\r\n");
        for to in to {
            text.push_str(&format!("X-Receiver: {to}\r\n"));
        }
        file.write_all(text.as_bytes()).unwrap();
        Dotnet { file }
    }

    /// Writes a piece of the content.
    pub fn write(&mut self, piece: &[u8]) {
        self.file.write_all(piece).unwrap();
        self.file.flush().unwrap();
    }

    /// Closes the file.
    pub fn close(self) {}
}
