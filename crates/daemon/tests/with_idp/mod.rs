//! Tokens of an identity provider that others wrote (Authlib, provider.py), and a relay that checks them for real.
//!
//! The provider runs in the Python of `MAILROOT_TEST_PYTHON`.

mod commands;
mod delivery;
mod misfortune;
mod with_dovecot;

use crate::harness::relay::PROGRAM;
use crate::harness::{Process, SOON, Site, listening, run, run_well, until};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A running provider at `https://localhost:PORT`.
pub struct Idp {
    port: u16,
    folder: PathBuf,
    _process: Process,
}

/// What each client of the provider is: the grant of its name, for the mailbox relay@contoso.com.
const CLIENTS: &str = r#"
    "by-secret": {"secret": "s3cret&value", "scopes": ["smtp"], "grants": ["client_credentials"], "mailbox": "relay@contoso.com"},
    "by-certificate": {"certificate": "app.pem", "scopes": ["smtp"], "grants": ["client_credentials"], "mailbox": "relay@contoso.com"},
    "robot@project.test": {"certificate": "app.pem", "scopes": ["smtp"], "acts_for": ["relay@contoso.com"],
        "grants": ["urn:ietf:params:oauth:grant-type:jwt-bearer"]},
    "by-refresh": {"secret": "other", "scopes": ["smtp"], "grants": ["refresh_token"]},
    "by-device": {"scopes": ["smtp", "offline_access"],
        "grants": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]}
"#;

impl Idp {
    /// Its tokens live so many seconds.
    pub fn start(site: &Site, life: u32) -> Idp {
        let folder = site.folder.join("idp");
        fs::create_dir_all(&folder).unwrap();
        let at = |name: &str| folder.join(name).display().to_string();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(at("server.pem"), own.cert.pem()).unwrap();
        fs::write(at("server.key"), own.signing_key.serialize_pem()).unwrap();
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mailroot"]);
        run_well(command.args(["-keyout", &at("app.key"), "-out", &at("app.pem")]));
        fs::write(folder.join("clients.json"), format!("{{\"life\": {life}, \"clients\": {{{CLIENTS}}}}}")).unwrap();
        fs::write(folder.join("provider.py"), include_str!("provider.py")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let python = std::env::var("MAILROOT_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(python);
        command.arg(folder.join("provider.py")).arg(&folder).arg(port.to_string());
        command.stdout(log.try_clone().unwrap()).stderr(Stdio::from(log));
        let process = Process::start(&mut command);
        listening(SocketAddr::from(([127, 0, 0, 1], port)), "the identity provider");
        Idp { port, folder, _process: process }
    }

    pub fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The certificate to trust for its https.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    /// Has it do what a person or misfortune would.
    pub fn does(&self, what: &str) -> String {
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail", "--max-time", "30", "-X", "POST", "--cacert"]).arg(self.authority());
        String::from_utf8(run_well(command.arg(format!("{}/test/{what}", self.issuer())))).unwrap()
    }

    /// What it was asked for so far: a path and a grant in each line.
    pub fn asked(&self) -> String {
        fs::read_to_string(self.folder.join("asked")).unwrap_or_default()
    }

    /// A file that only its owner can read.
    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// `auth = …` of a smart host for this client.
    pub fn auth(&self, client: &str) -> String {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let pem = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap();
        let grant = match client {
            "by-secret" => {
                let secret = self.secret("secret", "s3cret&value\n");
                format!("grant = \"client_secret\", client_secret = {{ file = {secret:?} }}")
            }
            "by-certificate" => {
                self.secret("app.key", &pem("app.key"));
                format!(
                    "grant = \"client_certificate\", certificate = {:?}, key = {:?}",
                    file("app.pem"),
                    file("app.key")
                )
            }
            "by-account" => {
                let key = pem("app.key").replace('\n', "\\n");
                let text = format!(
                    "{{\"type\": \"service_account\", \"client_email\": \"robot@project.test\", \"private_key\": \"{key}\"}}"
                );
                format!("grant = \"service_account\", service_account = {:?}", self.secret("account.json", &text))
            }
            "by-refresh" => {
                let token = self.does("refresh-token/by-refresh/relay@contoso.com");
                let (token, secret) = (self.secret("refresh", &token), self.secret("other", "other"));
                format!(
                    "grant = \"refresh_token\", refresh_token = {{ file = {token:?} }}, client_secret = {{ file = {secret:?} }}"
                )
            }
            _ => format!("grant = \"device_code\", device_endpoint = \"{}/device\"", self.issuer()),
        };
        let client_id = if client == "by-account" { String::new() } else { format!("client_id = \"{client}\", ") };
        let scope = if client == "by-device" { "smtp offline_access" } else { "smtp" };
        format!(
            "auth = {{ method = \"oauth\", user = \"relay@contoso.com\", {client_id}{grant}, scope = \"{scope}\", \
             token_endpoint = \"{}/token\", authority = {:?} }}",
            self.issuer(),
            self.authority()
        )
    }
}

/// `mailroot oauth …` with this configuration.
pub fn oauth(config: &std::path::Path, words: &[&str]) -> Output {
    run(Command::new(PROGRAM).arg("oauth").args(words).arg("--config").arg(config))
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Waits for the code that `mailroot oauth login` prints.
pub fn code_in(file: &std::path::Path) -> String {
    until(SOON, "a code to be entered", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("https://"));
        lines.nth(1).map(str::to_owned)
    })
}
