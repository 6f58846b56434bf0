//! What OpenSSL makes of our requests, and we of its PFX files.

use super::{Ran, configure, mailroot};
use crate::harness::Folder;
use std::fs;
use std::process::Command;

fn openssl(folder: &Folder, arguments: &str) -> String {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {text}");
    text
}

#[test]
fn a_request_is_signed_by_an_authority_and_the_answer_is_used() {
    let folder = Folder::new();
    configure(&folder, "certificate = { file = \"tls/relay.example.test.pem\", key = \"tls/relay.example.test.key\" }");
    let made = mailroot(&folder, &["certificate", "request", "--config", "mailroot.toml"]);
    assert!(made.good, "{}", made.err);
    let text = openssl(&folder, "req -in tls/relay.example.test.csr -noout -verify -text");
    assert!(text.contains("verify OK") && text.contains("DNS:relay.example.test"), "{text}");
    openssl(
        &folder,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -subj /CN=CA -out ca.pem",
    );
    openssl(
        &folder,
        "x509 -req -in tls/relay.example.test.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -copy_extensions copy \
         -out tls/relay.example.test.pem",
    );
    let listed = mailroot(&folder, &["certificate", "list", "--config", "mailroot.toml"]);
    assert!(listed.good && listed.out.contains("CN=CA"), "{}{}", listed.out, listed.err);

    // Renewal with the same key.
    let key = "tls/relay.example.test.key";
    let again = mailroot(&folder, &["certificate", "request", "--config", "mailroot.toml", "--key", key, "--force"]);
    assert!(again.good, "{}", again.err);
    let public = |from: &str| openssl(&folder, &format!("{from} -noout -pubkey"));
    assert_eq!(public("req -in tls/relay.example.test.csr"), public("x509 -in tls/relay.example.test.pem"));
}

#[test]
fn a_pfx_file_is_looked_at_and_brought_in() {
    let folder = Folder::new();
    openssl(
        &folder,
        "req -x509 -newkey rsa:2048 -nodes -keyout a.key -subj /CN=mx.example.test \
         -addext subjectAltName=DNS:mx.example.test,DNS:autodiscover.example.test -days 30 -out a.pem",
    );
    folder.write("pass", "pa ss\n");
    openssl(&folder, "pkcs12 -export -legacy -inkey a.key -in a.pem -out a.pfx -passout file:pass");
    std::fs::set_permissions(folder.join("pass"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let import =
        |more: &[&str]| -> Ran { mailroot(&folder, &[&["certificate", "import", "--pfx", "a.pfx"], more].concat()) };
    let refused = import(&["--check"]);
    assert!(!refused.good, "{}", refused.out);
    let looked_at = import(&["--password-file", "pass", "--check"]);
    assert!(looked_at.good && looked_at.out.contains("autodiscover.example.test"), "{}", looked_at.err);
    assert!(looked_at.out.contains("RSA 2048") && !folder.join("tls").exists());
    let brought = import(&["--password-file", "pass"]);
    assert!(brought.good, "{}", brought.err);
    assert_eq!(
        openssl(&folder, "pkey -in tls/mx.example.test.key -pubout"),
        openssl(&folder, "x509 -in tls/mx.example.test.pem -noout -pubkey")
    );
    // The line that it prints is one that the configuration takes.
    let line = brought.out.lines().find(|line| line.starts_with("certificate = ")).unwrap();
    configure(&folder, line);
    assert!(mailroot(&folder, &["check", "--config", "mailroot.toml"]).good);
    fs::write(folder.join("pass"), "wrong\n").unwrap();
    let refused = import(&["--password-file", "pass", "--force"]);
    assert!(!refused.good && refused.err.contains("is not the one of this file"), "{}", refused.err);
}
