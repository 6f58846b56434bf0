//! Certificates as OpenSSL makes them, good and bad, under each demand; and OpenSSL's own server as the other side.

use super::super::super::{Credentials, Pair, load};
use super::{ClientEngine, Desk, NAME, dane, record, under};
use crate::tls::TlsFailure;
use relay::channel::Checked;
use relay::config::terms::TlsPolicy;
use relay::route::tlsa::{DaneMatching, DaneSelector, DaneUsage};
use rustls::sign::CertifiedKey;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const SIGNER: &str = "-config ca.cnf -cert CA.pem -keyfile CA.key";

impl Desk {
    fn openssl(&self, arguments: &str) {
        let ran = Command::new("openssl").args(arguments.split(' ')).current_dir(self.path()).output();
        let output = ran.expect("openssl is installed (test.sh leaves this module out where it is not)");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// `CA.pem` with `CA.key`, made by OpenSSL; the terms trust it.
    fn with_authority() -> Desk {
        let mut desk = Desk::new();
        desk.openssl("req -x509 -newkey rsa:2048 -nodes -keyout CA.key -out CA.pem -days 30 -subj /CN=OpenSSL.CA");
        desk.terms.authorities = Some(desk.path().join("CA.pem"));
        desk
    }

    /// `NAME.pem` and `NAME.key`, signed by `CA`; `how` and `extensions` as openssl x509 has them.
    fn sign(&self, name: &str, key: &str, how: &str, extensions: &str) {
        self.openssl(&format!("req -newkey {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        std::fs::write(self.path().join("extensions"), extensions).unwrap();
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA CA.pem -CAkey CA.key -CAcreateserial -out {name}.pem -extfile extensions {how}"
        ));
    }

    /// The same with these dates, which only `openssl ca` can give.
    fn sign_between(&self, name: &str, from: &str, to: &str, extensions: &str) {
        self.openssl(&format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        std::fs::write(self.path().join("extensions"), extensions).unwrap();
        self.records();
        self.openssl(&format!(
            "ca -batch -notext {SIGNER} -in {name}.csr -out {name}.pem -startdate {from} -enddate {to} -extfile \
             extensions"
        ));
    }

    /// What `openssl ca` keeps its records in.
    fn records(&self) {
        let configuration = "[ca]\ndefault_ca=x\n[x]\ndatabase=index\ncrlnumber=number\nrand_serial=yes\ndefault_md=sha256\n\
                             default_crl_days=30\npolicy=any\nnew_certs_dir=.\n[any]\ncommonName=supplied\n";
        for (file, text) in [("ca.cnf", configuration), ("index", ""), ("number", "01\n")] {
            std::fs::write(self.path().join(file), text).unwrap();
        }
    }

    /// A server that shows `NAME.pem`, whatever its dates.
    fn shows(&self, name: &str) -> Arc<Credentials> {
        let key = self.path().join(format!("{name}.key"));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let chain = load::from_pem(&self.path().join(format!("{name}.pem")), &key).unwrap();
        let key = CertifiedKey::from_der(chain.certificates, chain.key, &super::super::super::provider()).unwrap();
        Arc::new(Credentials::new(vec![Arc::new(Pair::new(key).unwrap())], None).unwrap())
    }
}

/// Each kind of wrong certificate: a clear reason where it is looked at, a channel where anybody will do.
#[tokio::test]
async fn each_bad_certificate_has_its_own_reason_under_each_policy() {
    let desk = Desk::with_authority();
    let named = format!("subjectAltName=DNS:{NAME}\n");
    let ec = "ec -pkeyopt ec_paramgen_curve:prime256v1";
    desk.sign("good", ec, "-days 30", &named);
    desk.sign_between("expired", "20200101000000Z", "20200201000000Z", &named);
    desk.sign_between("future", "20800101000000Z", "20810101000000Z", &named);
    desk.sign(
        "other",
        ec,
        "-days 30",
        "subjectAltName=DNS:a.test,DNS:b.test,DNS:c.test,DNS:d.test,DNS:e.test,DNS:f.test\n",
    );
    desk.sign("nameless", ec, "-days 30", "basicConstraints=CA:FALSE\n");
    desk.sign("client", ec, "-days 30", &format!("{named}extendedKeyUsage=clientAuth\n"));
    desk.sign("sha1", ec, "-days 30 -sha1", &named);
    desk.openssl(&format!(
        "req -x509 -newkey {ec} -nodes -keyout self.key -out self.pem -days 30 -subj /CN=box -addext {}",
        named.trim_end()
    ));
    desk.openssl("req -x509 -newkey rsa:2048 -nodes -keyout strange.key -out strange.pem -days 30 -subj /CN=Stranger");
    std::fs::rename(desk.path().join("CA.pem"), desk.path().join("kept.pem")).unwrap();
    std::fs::rename(desk.path().join("CA.key"), desk.path().join("kept.key")).unwrap();
    std::fs::copy(desk.path().join("strange.pem"), desk.path().join("CA.pem")).unwrap();
    std::fs::copy(desk.path().join("strange.key"), desk.path().join("CA.key")).unwrap();
    desk.sign("unknown", ec, "-days 30", &named);
    std::fs::rename(desk.path().join("kept.pem"), desk.path().join("CA.pem")).unwrap();

    for (name, reason) in [
        ("good", None),
        ("expired", Some("its certificate (CN=expired) expired on 2020-02-01T00:00:00")),
        ("future", Some("holds only from 2080-01-01T00:00:00")),
        (
            "other",
            Some("its certificate is for a.test, b.test, c.test, d.test, e.test and 1 more, not for mx.example.test"),
        ),
        ("nameless", Some("its certificate (CN=nameless) has no DNS name in it, and should have mx.example.test")),
        ("client", Some("its certificate (CN=client) is not one for servers")),
        ("sha1", Some("signed in a way that is not safe any more")),
        ("self", Some("its certificate is self-signed (CN=box, sha256:")),
        ("unknown", Some("its certificate was issued by CN=Stranger, which is not trusted")),
    ] {
        let server = desk.shows(name);
        for tls in [TlsPolicy::Opportunistic, TlsPolicy::Required] {
            assert_eq!(desk.meet(&server, &under(tls)).await, Ok(Checked::No), "{name} {tls:?}");
        }
        for tls in [TlsPolicy::Verified, TlsPolicy::Implicit] {
            match (desk.meet(&server, &under(tls)).await, reason) {
                (Ok(Checked::Name), None) => {}
                (Err(words), Some(reason)) => assert!(words.contains(reason), "{name} {tls:?}: {words}"),
                (met, _) => panic!("{name} {tls:?}: {met:?}"),
            }
        }
        let key = load::from_pem(&desk.path().join(format!("{name}.pem")), &desk.path().join(format!("{name}.key")));
        let leaf = key.unwrap().certificates.remove(0);
        let held = record(DaneUsage::EndEntity, DaneSelector::PublicKey, DaneMatching::Sha256, &leaf);
        assert_eq!(
            desk.meet(&server, &dane(vec![held], &[NAME])).await,
            Ok(Checked::Dane),
            "{name}: the key is what counts"
        );
    }
}

/// What a device has signed for itself is trusted once its certificate is named, for its name and its time; it signs no others.
#[tokio::test]
async fn a_certificate_that_is_named_itself_is_trusted() {
    let mut desk = Desk::with_authority();
    let make = |name: &str, constraint: &str| {
        desk.openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -days 30 -subj /CN=box -addext \
             subjectAltName=DNS:{NAME} -addext basicConstraints={constraint}"
        ));
    };
    make("authority", "critical,CA:TRUE");
    make("leaf", "critical,CA:FALSE");
    for name in ["authority", "leaf"] {
        desk.terms.authorities = Some(desk.path().join(format!("{name}.pem")));
        assert_eq!(desk.meet(&desk.shows(name), &under(TlsPolicy::Verified)).await, Ok(Checked::Name), "{name}");
    }
    std::fs::rename(desk.path().join("leaf.pem"), desk.path().join("CA.pem")).unwrap();
    std::fs::rename(desk.path().join("leaf.key"), desk.path().join("CA.key")).unwrap();
    desk.sign("child", "rsa:2048", "-days 30", &format!("subjectAltName=DNS:{NAME}\n"));
    desk.terms.authorities = Some(desk.path().join("CA.pem"));
    assert!(desk.meet(&desk.shows("child"), &under(TlsPolicy::Verified)).await.unwrap_err().contains("not trusted"));
}

#[tokio::test]
async fn a_revocation_list_beside_the_authority_counts() {
    let mut desk = Desk::with_authority();
    for name in ["good", "revoked"] {
        desk.sign(name, "rsa:2048", "-days 30", &format!("subjectAltName=DNS:{NAME}\nbasicConstraints=CA:FALSE\n"));
    }
    desk.records();
    desk.openssl(&format!("ca {SIGNER} -revoke revoked.pem"));
    desk.openssl(&format!("ca {SIGNER} -gencrl -out list.pem"));
    let both = std::fs::read_to_string(desk.path().join("CA.pem")).unwrap()
        + &std::fs::read_to_string(desk.path().join("list.pem")).unwrap();
    assert_eq!(
        desk.meet(&desk.shows("revoked"), &under(TlsPolicy::Verified)).await,
        Ok(Checked::Name),
        "nobody knows yet"
    );
    std::fs::write(desk.path().join("both.pem"), both).unwrap();
    desk.terms.authorities = Some(desk.path().join("both.pem"));
    assert_eq!(desk.meet(&desk.shows("good"), &under(TlsPolicy::Verified)).await, Ok(Checked::Name));
    let refused = desk.meet(&desk.shows("revoked"), &under(TlsPolicy::Verified)).await.unwrap_err();
    assert!(refused.contains("was revoked by its authority"), "{refused}");
}

/// `openssl s_server`, which ends with its value.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(desk: &Desk, arguments: &str) -> Server {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-rev"])
            .args(arguments.split(' '))
            .current_dir(desk.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, address }
    }

    /// What it answers to `line`: the same line turned round. The version, and whether a session was taken up.
    fn ask(&self, engine: ClientEngine) -> Result<(String, &'static str, bool), TlsFailure> {
        let mut engine = engine;
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (mut heard, mut said) = (Vec::new(), false);
        let mut buffer = [0; 4096];
        loop {
            while engine.wants_write() {
                engine.write_to(&mut stream).unwrap();
            }
            if heard.ends_with(b"\n") {
                let facts = engine.facts().unwrap();
                return Ok((String::from_utf8(heard).unwrap(), facts.version.name(), facts.resumed));
            }
            let read = match stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                read => read.unwrap(),
            };
            assert!(read > 0, "the server hung up: {:?}", engine.failure());
            let outcome = engine.read_tls(&buffer[..read], &mut |plain| heard.extend_from_slice(plain));
            if let Err(failure) = outcome {
                while engine.wants_write() && engine.write_to(&mut stream).is_ok() {}
                let _ = stream.flush();
                return Err(failure);
            }
            if engine.facts().is_some() && !said {
                engine.write_plain(&[std::io::IoSlice::new(b"OLEH\n")]);
                said = true;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn openssl_serves_us_over_both_versions_and_takes_up_sessions() {
    let desk = Desk::with_authority();
    desk.sign("good", "rsa:2048", "-days 30", &format!("subjectAltName=DNS:{NAME}\n"));
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let server = Server::start(&desk, &format!("-cert good.pem -key good.key {version}"));
        let protection = under(TlsPolicy::Verified);
        desk.setups.forget(&desk.setup(&protection).await);
        for again in [false, true] {
            let engine = ClientEngine::new(desk.setup(&protection).await).unwrap();
            let answer = server.ask(engine).unwrap();
            assert_eq!(answer, ("HELO\n".to_owned(), name, again));
        }
    }
}

#[tokio::test]
async fn old_versions_are_refused_and_weak_keys_give_a_channel_but_prove_nothing() {
    let desk = Desk::with_authority();
    desk.sign("good", "rsa:2048", "-days 30", &format!("subjectAltName=DNS:{NAME}\n"));
    desk.sign("weak", "rsa:1024", "-days 30", &format!("subjectAltName=DNS:{NAME}\n"));
    let old = Server::start(&desk, "-cert good.pem -key good.key -tls1_1 -cipher ALL:@SECLEVEL=0");
    for tls in [TlsPolicy::Opportunistic, TlsPolicy::Verified] {
        let failure = old.ask(ClientEngine::new(desk.setup(&under(tls)).await).unwrap()).unwrap_err();
        assert!(failure.in_handshake, "{failure}");
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let weak = Server::start(&desk, &format!("-cert weak.pem -key weak.key {version} -cipher ALL:@SECLEVEL=0"));
        let met = weak.ask(ClientEngine::new(desk.setup(&under(TlsPolicy::Required)).await).unwrap());
        assert_eq!(met.unwrap().0, "HELO\n", "{version}");
        let failure = weak.ask(ClientEngine::new(desk.setup(&under(TlsPolicy::Verified)).await).unwrap()).unwrap_err();
        assert!(failure.in_handshake, "{version}: {failure}");
    }
}
