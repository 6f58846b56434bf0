//! A real Postfix in a folder of its own: takes mail for any address into one maildir, and sends mail for `via.test` on.
//!
//! Needs root, as Postfix does.

use super::{Process, Site, files, listening, run_well, until, user_id};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub struct Postfix {
    pub at: SocketAddr,
    folder: PathBuf,
    process: Option<Process>,
}

/// What is different from the default.
#[derive(Default)]
pub struct Postfixed {
    /// Further lines of main.cf.
    pub main: String,
    /// Mail for `via.test` goes to this server.
    pub via: Option<SocketAddr>,
    /// Further ports, with what is different there: `-o smtpd_tls_wrappermode=yes`.
    pub ports: Vec<(u16, String)>,
}

impl Postfix {
    pub fn start(site: &Site, host: u8, wanted: &Postfixed) -> Postfix {
        let at = site.at(host, 2525);
        let folder = site.folder.join(format!("postfix-{host}"));
        for name in ["conf", "spool", "data", "mail/box"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let postfix = user_id("postfix");
        let nobody = user_id("nobody");
        chown(folder.join("data"), Some(postfix.0), None).unwrap();
        for name in ["mail", "mail/box"] {
            chown(folder.join(name), Some(nobody.0), Some(nobody.1)).unwrap();
        }
        fs::write(folder.join("conf/main.cf"), main_cf(&folder, at, nobody, wanted)).unwrap();
        fs::write(folder.join("conf/master.cf"), master_cf(at, &wanted.ports)).unwrap();
        run_well(Command::new("postfix").arg("-c").arg(folder.join("conf")).arg("check"));
        let mut started = Postfix { at, folder, process: None };
        started.up();
        started
    }

    /// Starts it (again) with what its spool holds.
    pub fn up(&mut self) {
        let mut command = Command::new("/usr/lib/postfix/sbin/master");
        command.arg("-c").arg(self.folder.join("conf")).arg("-d").stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(Process::start(&mut command));
        listening(self.at, "Postfix");
    }

    /// From now on these lines of main.cf count, too, and files of keys are read anew: `postfix reload`.
    pub fn becomes(&mut self, main: &str) {
        let file = self.folder.join("conf/main.cf");
        let text = fs::read_to_string(&file).unwrap();
        // Each name once: its log is slow to take the warnings of all processes.
        let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
        let is_new = |line: &&str| main.lines().all(|new| name(new) != name(line));
        let kept: Vec<&str> = text.lines().filter(is_new).collect();
        fs::write(&file, kept.join("\n") + "\n" + main).unwrap();
        self.process.as_ref().expect("Postfix is down").signal("HUP");
    }

    /// Stops it; its queue and its mailbox stay.
    pub fn down(&mut self) {
        self.process = None;
    }

    /// Every message in its mailbox.
    pub fn mailbox(&self) -> Vec<Vec<u8>> {
        files(&self.folder.join("mail/box/new")).iter().filter_map(|path| fs::read(path).ok()).collect()
    }

    /// Waits for a message that contains this text.
    pub fn wait_for(&self, text: &str) -> Vec<u8> {
        until(super::SOON, &format!("{text:?} comes to Postfix; its log:\n{}", self.log()), || {
            self.mailbox().into_iter().find(|message| super::has(message, text))
        })
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("mail.log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Postfix's log\n{}", self.log());
        }
    }
}

fn main_cf(folder: &std::path::Path, at: SocketAddr, nobody: (u32, u32), wanted: &Postfixed) -> String {
    let folder = folder.display();
    let via = wanted.via.map_or(String::new(), |via| {
        format!(
            "relay_domains = via.test\ntransport_maps = inline:{{ {{ via.test = smtp:[{}]:{} }} }}\n",
            via.ip(),
            via.port()
        )
    });
    format!(
        "compatibility_level = 3.6\ncommand_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n\
         queue_directory = {folder}/spool\ndata_directory = {folder}/data\nmail_owner = postfix\n\
         setgid_group = postdrop\nmaillog_file = {folder}/mail.log\nmaillog_file_prefixes = {folder}\n\
         myhostname = postfix.test\nmyorigin = postfix.test\nmydestination =\nlocal_recipient_maps =\nalias_maps =\n\
         alias_database =\nmynetworks = 127.0.0.0/8\ninet_interfaces = loopback-only\nsmtp_bind_address = {ip}\n\
         inet_protocols = ipv4\n\
         smtpd_relay_restrictions = permit_mynetworks, reject\nsmtpd_peername_lookup = no\n\
         smtp_dns_support_level = disabled\nsmtp_host_lookup = native\nsmtputf8_enable = yes\n\
         local_header_rewrite_clients =\nbiff = no\nmessage_size_limit = 52428800\nmailbox_size_limit = 0\n\
         virtual_mailbox_limit = 0\nvirtual_mailbox_domains = static:all\nvirtual_mailbox_base = {folder}/mail\n\
         virtual_mailbox_maps = static:box/\nvirtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{gid}\n\
         smtpd_client_connection_count_limit = 0\nsmtp_tls_security_level =\nnotify_classes =\n\
         minimal_backoff_time = 2s\nmaximal_backoff_time = 4s\nqueue_run_delay = 2s\n{via}{}\n",
        wanted.main,
        ip = at.ip(),
        uid = nobody.0,
        gid = nobody.1,
    )
}

fn master_cf(at: SocketAddr, ports: &[(u16, String)]) -> String {
    let mut more = String::new();
    for (port, options) in ports {
        more.push_str(&format!("{}:{port} inet n - n - 50 smtpd {options}\n", at.ip()));
    }
    format!(
        "{at} inet n - n - 50 smtpd\n{more}\
         postlog unix-dgram n - n - 1 postlogd\n\
         pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
         flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\n\
         smtp unix - - n - 20 smtp\nrelay unix - - n - 20 smtp\nshowq unix n - n - - showq\n\
         error unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\n\
         virtual unix - n n - 20 virtual\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n"
    )
}
