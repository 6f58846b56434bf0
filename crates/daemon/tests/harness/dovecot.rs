//! A real Dovecot in a folder of its own: LMTP over TCP and over a Unix socket in, POP3 out, the users `bob` and `carol`; and who
//! somebody is, for a Postfix that asks it.
//!
//! Needs root, as Dovecot does.

use super::{Process, Site, listening, run_well, user_id};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Dovecot {
    pub lmtp: SocketAddr,
    pub pop3: SocketAddr,
    /// The LMTP socket.
    pub socket: PathBuf,
    /// Where Postfix asks about those who log on.
    pub sasl: PathBuf,
    folder: PathBuf,
    _process: Process,
}

impl Dovecot {
    pub fn start(site: &Site, host: u8) -> Dovecot {
        Dovecot::knowing(site, host, "plain", "")
    }

    /// The same, that knows these methods of AUTH; `more` are further lines of its configuration, before the list of users.
    pub fn knowing(site: &Site, host: u8, methods: &str, more: &str) -> Dovecot {
        let (lmtp, pop3) = (site.at(host, 2424), site.at(host, 1110));
        let folder = site.folder.join(format!("dovecot-{host}"));
        fs::create_dir_all(folder.join("mail")).unwrap();
        let nobody = user_id("nobody");
        chown(folder.join("mail"), Some(nobody.0), Some(nobody.1)).unwrap();
        fs::write(folder.join("users"), "bob:{PLAIN}secret::::::\ncarol:{PLAIN}secret::::::\n").unwrap();
        fs::write(folder.join("dovecot.conf"), configuration(&folder, lmtp, pop3, nobody, (methods, more))).unwrap();
        let mut command = Command::new("dovecot");
        command.arg("-F").arg("-c").arg(folder.join("dovecot.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(&mut command);
        listening(lmtp, "Dovecot's LMTP");
        listening(pop3, "Dovecot's POP3");
        let (socket, sasl) = (folder.join("lmtp.sock"), folder.join("sasl.sock"));
        Dovecot { lmtp, pop3, socket, sasl, folder, _process: process }
    }

    /// Bob's messages, downloaded over POP3 by curl; they stay on the server.
    pub fn download(&self) -> Vec<Vec<u8>> {
        let url = format!("pop3://{}", self.pop3);
        let list = run_well(Command::new("curl").args(["-sS", "--user", "bob:secret", &format!("{url}/")]));
        let count = String::from_utf8_lossy(&list).lines().filter(|line| !line.trim().is_empty()).count();
        (1..=count)
            .map(|n| run_well(Command::new("curl").args(["-sS", "--user", "bob:secret", &format!("{url}/{n}")])))
            .collect()
    }

    /// The user's mailbox cannot be written to until [`Dovecot::mend`].
    pub fn break_mailbox(&self, user: &str) {
        fs::write(self.folder.join("mail").join(user), "no folder").unwrap();
    }

    pub fn mend(&self, user: &str) {
        fs::remove_file(self.folder.join("mail").join(user)).unwrap();
    }

    /// The user's messages as they lie in the mailbox.
    pub fn delivered_to(&self, user: &str) -> usize {
        let new = self.folder.join("mail").join(user).join("new");
        fs::read_dir(new).map_or(0, Iterator::count)
    }

    /// Waits for a message that contains this text.
    pub fn wait_for(&self, text: &str) -> Vec<u8> {
        super::until(super::SOON, &format!("{text:?} comes to Dovecot; its log:\n{}", self.log()), || {
            self.download().into_iter().find(|message| super::has(message, text))
        })
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("dovecot.log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Dovecot's log\n{}", self.log());
        }
    }
}

fn configuration(
    folder: &Path,
    lmtp: SocketAddr,
    pop3: SocketAddr,
    nobody: (u32, u32),
    (methods, more): (&str, &str),
) -> String {
    let folder = folder.display();
    format!(
        "protocols = lmtp pop3\nlisten = {ip}\nbase_dir = {folder}/run\nstate_dir = {folder}/state\n\
         log_path = {folder}/dovecot.log\nssl = no\ndisable_plaintext_auth = no\nauth_mechanisms = {methods}\n\
         auth_username_format = %Ln\nmail_location = maildir:{folder}/mail/%n\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n\
         lmtp_save_to_detail_mailbox = no\npop3_uidl_format = %08Xu%08Xv\nhostname = dovecot.test\n\
         {more}\n\
         service auth {{\n unix_listener {folder}/sasl.sock {{\n mode = 0666\n }}\n}}\n\
         passdb {{\n driver = passwd-file\n args = {folder}/users\n}}\n\
         userdb {{\n driver = static\n args = uid={uid} gid={gid} home={folder}/mail/%n\n}}\n\
         service lmtp {{\n inet_listener lmtp {{\n address = {ip}\n port = {lmtp_port}\n }}\n\
         unix_listener {folder}/lmtp.sock {{\n mode = 0666\n }}\n}}\n\
         service pop3-login {{\n inet_listener pop3 {{\n address = {ip}\n port = {pop3_port}\n }}\n\
         inet_listener pop3s {{\n port = 0\n }}\n}}\n\
         service stats {{\n unix_listener stats-writer {{\n mode = 0666\n }}\n}}\n",
        ip = lmtp.ip(),
        lmtp_port = lmtp.port(),
        pop3_port = pop3.port(),
        uid = nobody.0,
        gid = nobody.1,
    )
}
