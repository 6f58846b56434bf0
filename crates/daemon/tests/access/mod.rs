//! Who is let in, and how: TLS, authentication, connection control, rates, with clients that people use.

mod doors;
mod with_bind;
mod with_clients;
mod with_openssl;
mod with_postfix;

use crate::harness::relay::Settings;
use crate::harness::{Site, run_well};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// The password of every account here.
pub(super) const PASSWORD: &str = "s3cret-Word";
/// Its argon2id hash and SCRAM keys, made by other programs than ours (argon2-cffi, Python's hashlib).
const KEYS: &str = "password = \"$argon2id$v=19$m=19456,t=2,p=1$MtFIpzlDpajLX7P/9Ty9CA$wUlq3KMXIIm1AntrwE4NmIjb4Cmupwc7VZAs6fcF6aU\"\n\
scram = { iterations = 4096, salt = \"MDEyMzQ1Njc4OWFiY2RlZg==\", stored_key = \"KmJAc7fLFTSJx7NQnmn7wdCCnoBMVwQmZOvNledzZk0=\", server_key = \"yYkaC7NNSH+XbAzmqbKWEIBCSbSAhcIWmFFpFMGSka4=\" }\n";

/// A certificate for `relay.test`, its own authority; gives its file.
pub(super) fn make_certificate(site: &Site) -> PathBuf {
    let (file, key) = (site.folder.join("relay.pem"), site.folder.join("relay.key"));
    run_well(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"])
            .args(["-subj", "/CN=relay.test", "-addext", "subjectAltName=DNS:relay.test", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&file),
    );
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// Accounts `alice` and `bob`; bob may only send as `bob@local.test`.
pub(super) fn make_accounts(site: &Site) {
    let text = format!(
        "[[account]]\nname = \"alice\"\n{KEYS}\n[[account]]\nname = \"bob\"\n{KEYS}may_send_as = [\"bob@local.test\"]\n"
    );
    let file = site.folder.write("accounts.toml", text);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Where the relay of [`settings`] listens besides its first address, on which STARTTLS is offered.
pub(super) struct Doors {
    /// STARTTLS and AUTH are asked for.
    pub(super) submission: SocketAddr,
    /// TLS from the first octet on, AUTH is asked for.
    pub(super) implicit: SocketAddr,
}

/// A relay that relays for nobody but those who authenticate, with PLAIN and LOGIN.
pub(super) fn settings(site: &Site) -> (Settings, Doors) {
    make_certificate(site);
    make_accounts(site);
    let doors = Doors { submission: site.at(1, 2587), implicit: site.at(1, 2465) };
    let mut settings = Settings::new(site)
        .access("relay = { only = [] }")
        .access("certificate = { file = \"relay.pem\", key = \"relay.key\" }")
        .access("authentication = { methods = [\"PLAIN\", \"LOGIN\"] }");
    settings.listen.push(format!(
        "{{ address = \"{}\", tls = \"starttls_required\", authentication_required = true }}",
        doors.submission
    ));
    settings
        .listen
        .push(format!("{{ address = \"{}\", tls = \"implicit\", authentication_required = true }}", doors.implicit));
    (settings, doors)
}

/// A Python program that knows `host`; what it prints.
pub(super) fn python(site: &Site, name: &str, at: SocketAddr, program: &str) -> String {
    let text = format!(
        "import base64, smtplib, socket, ssl, sys, time\nhost, port = {:?}, {}\npassword = {PASSWORD:?}\n\
         tls = ssl.create_default_context()\ntls.check_hostname = False\ntls.verify_mode = ssl.CERT_NONE\n\
         def lines(s):\n    text = b''\n    while not text.endswith(b'\\r\\n') or text[text[:-2].rfind(b'\\n') + 1:][3:4] == b'-':\n\
         \x20       more = s.recv(4096)\n        if not more: break\n        text += more\n    return text.decode()\n\
         def say(s, text):\n    s.sendall(text.encode() + b'\\r\\n')\n    return lines(s)\n\
         def connect():\n    s = socket.create_connection((host, port), 30)\n    return s\n\
         {program}\n",
        at.ip().to_string(),
        at.port()
    );
    let program = site.folder.write(name, text);
    String::from_utf8(run_well(Command::new("python3").arg(program))).unwrap()
}
