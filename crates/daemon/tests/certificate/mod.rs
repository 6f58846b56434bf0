//! `mailroot certificate` as an operator uses it: from nothing to a certificate that the configuration shows, and what is said
//! where something is wrong.

use crate::harness::Folder;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

mod running;
mod with_openssl;

/// What a run has printed, and whether it went well.
pub(super) struct Ran {
    pub(super) good: bool,
    pub(super) out: String,
    pub(super) err: String,
}

pub(super) fn mailroot(folder: &Folder, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailroot"));
    command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    Ran { good: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// `access` is what stands under `[virtual_server.access]`.
pub(super) fn configure(folder: &Folder, access: &str) {
    folder.write(
        "mailroot.toml",
        format!(
            "[[virtual_server]]\nname = \"One\"\nhome = \"home\"\n\
             [virtual_server.general]\nlisten = [\"127.0.0.1:2525\", {{ address = \"127.0.0.1:4650\", tls = \"implicit\" }}]\n\
             [virtual_server.access]\n{access}\n[virtual_server.delivery]\nfqdn = \"relay.example.test\"\n\
             [[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n"
        ),
    );
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

const LINE: &str = "certificate = { file = \"tls/relay.example.test.pem\", key = \"tls/relay.example.test.key\" }";

#[test]
fn from_nothing_to_a_certificate_that_is_shown() {
    let folder = Folder::new();
    // It is made before the configuration can say that it is used.
    configure(&folder, LINE);
    let refused = mailroot(&folder, &["check", "--config", "mailroot.toml"]);
    assert!(!refused.good);
    assert!(refused.err.contains("'One': ") && refused.err.contains("relay.example.test.pem"), "{}", refused.err);

    let made = mailroot(&folder, &["certificate", "self-signed", "--config", "mailroot.toml", "--days", "100"]);
    assert!(made.good, "{}", made.err);
    assert!(made.out.contains(&format!("\n{LINE}\n")), "{}", made.out);
    assert_eq!(mode(&folder.join("tls/relay.example.test.key")), 0o600);
    assert_eq!(mode(&folder.join("tls")), 0o700);

    let good = mailroot(&folder, &["check", "--config", "mailroot.toml"]);
    assert!(good.good, "{}", good.err);
    let listed = mailroot(&folder, &["certificate", "list", "--config", "mailroot.toml"]);
    assert!(listed.good);
    for words in [
        "One\n",
        "relay.example.test",
        "itself (self-signed)",
        "(99 days left)",
        "ECDSA P-256",
        "sha256:",
        "127.0.0.1:2525 starttls, 127.0.0.1:4650 implicit",
    ] {
        assert!(listed.out.contains(words), "{words}: {}", listed.out);
    }
    let json = mailroot(&folder, &["certificate", "list", "--config", "mailroot.toml", "--json"]);
    for words in
        ["\"names\": [\n", "\"relay.example.test\"", "\"days_left\": 99", "\"usable\": true", "\"default\": true"]
    {
        assert!(json.out.contains(words), "{words}: {}", json.out);
    }

    // Not over what is there, unless told to.
    let key = fs::read(folder.join("tls/relay.example.test.key")).unwrap();
    let again = mailroot(&folder, &["certificate", "self-signed", "--config", "mailroot.toml"]);
    assert!(!again.good && again.err.contains("--force"), "{}", again.err);
    assert_eq!(fs::read(folder.join("tls/relay.example.test.key")).unwrap(), key);
    assert!(mailroot(&folder, &["certificate", "self-signed", "--config", "mailroot.toml", "--force"]).good);
    assert_ne!(fs::read(folder.join("tls/relay.example.test.key")).unwrap(), key);

    // Authorities of clients that are not there.
    configure(&folder, &format!("{LINE}\nclient_certificate = {{ authority = \"tls/clients.pem\" }}"));
    let refused = mailroot(&folder, &["check", "--config", "mailroot.toml"]);
    assert!(!refused.good && refused.err.contains("clients.pem cannot be read"), "{}", refused.err);
    configure(&folder, LINE);

    // A key that everybody may read is named, with the command that mends it.
    fs::set_permissions(folder.join("tls/relay.example.test.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let listed = mailroot(&folder, &["certificate", "list", "--config", "mailroot.toml"]);
    assert!(!listed.good && listed.out.contains("UNUSABLE") && listed.out.contains("chmod 600"), "{}", listed.out);
    let json = mailroot(&folder, &["certificate", "list", "--config", "mailroot.toml", "--json"]);
    assert!(json.out.contains("\"usable\": false") && json.out.contains("chmod 600"), "{}", json.out);
    assert!(!mailroot(&folder, &["check", "--config", "mailroot.toml"]).good);
}

#[test]
fn names_of_ones_own_need_no_configuration() {
    let folder = Folder::new();
    let names = ["--name", "mx.example.test", "--name", "*.example.test", "--folder", "keys"];
    let made = mailroot(&folder, &[&["certificate", "self-signed"], &names[..]].concat());
    assert!(made.good, "{}", made.err);
    assert!(folder.join("keys/mx.example.test.pem").exists());
    let made = mailroot(&folder, &["certificate", "request", "--name", "*.example.test", "--folder", "keys"]);
    assert!(made.good, "{}", made.err);
    assert!(folder.join("keys/_.example.test.csr").exists());
    assert_eq!(mode(&folder.join("keys/_.example.test.key")), 0o600);
    let nothing = mailroot(&folder, &["certificate", "self-signed"]);
    assert!(!nothing.good && nothing.err.contains("--config"), "{}", nothing.err);
}

#[test]
fn acme_says_what_it_lacks() {
    let folder = Folder::new();
    configure(&folder, "");
    let refused = mailroot(&folder, &["certificate", "acme", "--config", "mailroot.toml"]);
    assert!(!refused.good && refused.err.contains("agree_to_terms"), "{}", refused.err);
    let listed = mailroot(&folder, &["certificate", "list", "--config", "mailroot.toml"]);
    assert!(listed.good && listed.out.contains("No virtual server has a certificate"), "{}", listed.out);
    let refused = mailroot(&folder, &["certificate", "acme", "--config", "mailroot.toml", "--server", "Two"]);
    assert!(refused.err.contains("There is no virtual server \"Two\"; there are \"One\"."), "{}", refused.err);
    let refused = mailroot(&folder, &["certificate", "acme", "--config", "mailroot.toml", "--eab-key-id", "x"]);
    assert!(!refused.good && refused.err.contains("--eab-key-file"), "{}", refused.err);
}
