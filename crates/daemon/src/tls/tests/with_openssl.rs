//! What OpenSSL writes is read: keys in all their forms, PFX files old and new. And what it asks for as a client.

use super::files::{Shelf, shown};
use crate::tls::TlsEngine;
use crate::tls::fixture::credentials;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn openssl(shelf: &Shelf, arguments: &str) -> Output {
    let ran = Command::new("openssl").args(arguments.split(' ')).current_dir(shelf.path()).output();
    ran.expect("openssl is installed (test.sh leaves this module out where it is not)")
}

fn must(shelf: &Shelf, arguments: &str) {
    let output = openssl(shelf, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn key_mode(shelf: &Shelf, name: &str) {
    let text = std::fs::read(shelf.path().join(name)).unwrap();
    shelf.write(name, text);
}

#[test]
fn keys_in_all_their_forms_are_read() {
    let shelf = Shelf::new();
    for (make, forms) in [
        ("ecparam -name prime256v1 -genkey -noout -out k1.pem", &["ec -in k1.pem -out k2.pem"][..]),
        ("ecparam -name secp384r1 -genkey -out k1.pem", &["pkcs8 -topk8 -nocrypt -in k1.pem -out k2.pem"]),
        ("genrsa -out k1.pem 2048", &["rsa -in k1.pem -traditional -out k2.pem", "pkey -in k1.pem -out k2.pem"]),
        ("genpkey -algorithm ed25519 -out k1.pem", &["pkey -in k1.pem -out k2.pem"]),
    ] {
        must(&shelf, make);
        must(&shelf, "req -x509 -new -key k1.pem -subj /CN=mx.example.test -days 3 -out mx.pem");
        for form in forms {
            must(&shelf, form);
            for key in ["k1.pem", "k2.pem"] {
                key_mode(&shelf, key);
                let opened = shelf.open(&format!("{{ file = \"mx.pem\", key = {key:?} }}"));
                assert!(opened.is_ok(), "{make}, {form}, {key}: {}", opened.unwrap_err());
            }
        }
    }
}

#[test]
fn an_encrypted_key_is_refused_with_the_command_that_mends_it() {
    let shelf = Shelf::new();
    must(&shelf, "req -x509 -newkey rsa:2048 -keyout plain.key -subj /CN=mx.test -days 3 -nodes -out mx.pem");
    must(&shelf, "pkey -in plain.key -aes256 -passout pass:secret -out new.key");
    must(&shelf, "rsa -in plain.key -traditional -aes256 -passout pass:secret -out old.key");
    for key in ["new.key", "old.key"] {
        key_mode(&shelf, key);
        let text = shelf.refused(&format!("{{ file = \"mx.pem\", key = {key:?} }}"));
        assert!(text.contains("is encrypted") && text.contains(&format!("openssl pkey -in /{key}")), "{text}");
    }
}

#[test]
fn a_key_that_is_too_weak_is_refused_with_what_to_take() {
    let shelf = Shelf::new();
    must(&shelf, "req -x509 -newkey rsa:1024 -keyout weak.key -subj /CN=mx.test -days 3 -nodes -out mx.pem");
    key_mode(&shelf, "weak.key");
    let text = shelf.refused("{ file = \"mx.pem\", key = \"weak.key\" }");
    assert!(text.contains("/weak.key: ") && text.contains("RSA needs 2048 bits"), "{text}");
}

#[test]
fn pfx_files_are_read_legacy_and_modern() {
    let shelf = Shelf::new();
    let signed = shelf.authority.issue(&["mx.example.test"]);
    shelf.put("mx", &signed);
    shelf.write("ca.pem", shelf.authority.certificate.pem());
    shelf.write("pass.txt", "long pässword\r\n");
    shelf.write("wrong.txt", "long password\n");
    let password = "-passout file:pass.unix";
    shelf.write("pass.unix", "long pässword\n");
    let made = "pkcs12 -export -inkey mx.key -in mx.pem -certfile ca.pem -out";
    must(&shelf, &format!("{made} modern.pfx {password}"));
    must(&shelf, &format!("{made} legacy.pfx {password} -legacy"));
    must(&shelf, &format!("{made} des.pfx {password} -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1"));
    for file in ["modern.pfx", "legacy.pfx", "des.pfx"] {
        let (certificates, _) = shelf
            .open(&format!("{{ pfx = {file:?}, password_file = \"pass.txt\" }}"))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(shown(&certificates, "mx.example.test"), signed.certificate.der().to_vec(), "{file}");
        let text = shelf.refused(&format!("{{ pfx = {file:?}, password_file = \"wrong.txt\" }}"));
        assert!(text.contains("the password in /wrong.txt is not the one"), "{file}: {text}");
        let text = shelf.refused(&format!("{{ pfx = {file:?} }}"));
        assert!(text.contains("password_file"), "{file}: {text}");
        assert!(!text.contains("long p"), "no password in words");
    }
    must(&shelf, &format!("{made} open.pfx -passout pass:"));
    key_mode(&shelf, "open.pfx");
    assert!(shelf.open("{ pfx = \"open.pfx\" }").is_ok(), "an empty password");
    must(&shelf, &format!("pkcs12 -export -nokeys -in mx.pem -out nokey.pfx {password}"));
    let text = shelf.refused("{ pfx = \"nokey.pfx\", password_file = \"pass.txt\" }");
    assert!(text.contains("no private key in it"), "{text}");
    let text = shelf.refused("{ pfx = \"mx.pem\", password_file = \"pass.txt\" }");
    assert!(text.contains("it is a PEM file"), "{text}");
}

/// Serves one connection by an engine; what came of it in words.
fn serve_one(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut engine = TlsEngine::new(credentials());
    let mut heard = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}"),
        };
        if read == 0 {
            return format!("closed={} heard={}", engine.is_closed(), String::from_utf8_lossy(&heard));
        }
        let was_handshaking = engine.is_handshaking();
        let outcome = engine.read_tls(&buffer[..read], &mut |plain| heard.extend_from_slice(plain));
        if was_handshaking && !engine.is_handshaking() {
            engine.write_plain(b"250 hello\r\n");
        }
        if heard.ends_with(b"QUIT\n") {
            engine.close();
        }
        let _ = stream.write_all(&engine.take_tls());
        if let Err(failure) = outcome {
            return failure.to_string();
        }
    }
}

/// What `openssl s_client` prints, and what our side says.
fn s_client(arguments: &str, input: &[u8]) -> (String, String) {
    s_client_with(arguments, input, None)
}

/// The same, with a configuration of OpenSSL.
fn s_client_with(arguments: &str, input: &[u8], configuration: Option<&Path>) -> (String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = std::thread::spawn(move || serve_one(&listener));
    let mut client = Command::new("openssl")
        .envs(configuration.map(|file| ("OPENSSL_CONF", file)))
        .args(["s_client", "-connect", &address, "-ign_eof"])
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    // A client that was refused reads nothing.
    let _ = stdin.write_all(input);
    let output = client.wait_with_output().unwrap();
    drop(stdin);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (printed, serving.join().unwrap())
}

#[test]
fn openssl_speaks_with_us_over_both_versions_and_only_those() {
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (printed, ours) = s_client(&format!("{version} -servername mx.example.test"), b"QUIT\n");
        assert!(printed.contains(&format!("New, {name}, Cipher is")), "{printed}");
        assert!(printed.contains("250 hello"), "{printed}");
        assert!(ours.contains("heard=QUIT"), "{ours}");
    }
    for arguments in ["-tls1 -cipher ALL:@SECLEVEL=0", "-tls1_1 -cipher ALL:@SECLEVEL=0"] {
        let (printed, ours) = s_client(arguments, b"QUIT\n");
        assert!(printed.contains("SSL alert number"), "{arguments}: {printed}");
        assert!(!ours.contains("heard"), "{arguments}: {ours}");
    }
}

#[test]
fn weak_ciphers_are_refused() {
    for cipher in ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "aNULL"] {
        let (printed, ours) = s_client(&format!("-tls1_2 -cipher {cipher}:@SECLEVEL=0"), b"QUIT\n");
        assert!(printed.contains("alert handshake failure"), "{cipher}: {printed}");
        assert!(!ours.contains("heard"), "{cipher}: {ours}");
    }
}

/// Printers from before 2015 do not know it.
#[test]
fn tls_1_2_goes_without_the_extended_master_secret() {
    let shelf = Shelf::new();
    let with = |options: &str| {
        shelf.write(
            "openssl.cnf",
            format!("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n{options}\n"),
        );
        s_client_with("-tls1_2", b"QUIT\n", Some(&shelf.path().join("openssl.cnf")))
    };
    let (printed, ours) = with("Options = ExtendedMasterSecret");
    assert!(ours.contains("heard=QUIT"), "{ours} {printed}");
    let (printed, ours) = with("Options = -ExtendedMasterSecret");
    assert!(ours.contains("heard=QUIT"), "{ours} {printed}");
}

/// A cut is not an end: the peer's socket goes away in the middle of what it says.
#[test]
fn a_connection_that_goes_away_was_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || serve_one(&listener));
    let mut client = crate::tls::fixture::Caller::default().connect();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut tls = rustls::Stream::new(&mut client, &mut stream);
    tls.write_all(b"DATA\r\nhalf").unwrap();
    let mut hello = [0; 11];
    tls.read_exact(&mut hello).unwrap();
    drop(stream);
    assert_eq!(serving.join().unwrap(), "closed=false heard=DATA\r\nhalf");
}
