//! ACME against a real authority, Debian's `pebble`, on loopback.

use super::{AcmeFault, Binding, is_due, obtain};
use crate::clock::Clock;
use crate::log::Log;
use crate::tls::fixture::{Authority, Caller, Line};
use crate::tls::{Certificates, Keeper, Particulars, load};
use relay::config::{Acme, CertificateSource, Config, VirtualServer};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NAMES: [&str; 2] = ["mx.example.test", "mail.example.test"];
/// A key as an authority hands it out, and what it is in octets does not matter.
const BINDING_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// An authority that finds every name at 127.0.0.1. It ends with the value.
struct Pebble {
    folder: TempDir,
    port: u16,
    http: u16,
    tls: u16,
    running: Vec<Child>,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn start(program: &str, arguments: &[&str], log: &Path) -> Child {
    let mut command = Command::new(program);
    // No random refusals of nonces: the library tries again three times, which now and then is not enough.
    let steady = [("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0"), ("PEBBLE_WFE_NONCEREJECT", "0")];
    command.args(arguments).envs(steady);
    let log = std::fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().expect("pebble is installed (test.sh leaves this module out where it is not)")
}

fn answers(port: u16) {
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "nothing answers on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As [`obtain`]. A program that another test starts just now has our lock, too, until it is what it is to be.
async fn obtained(acme: &Acme, state: &Path, binding: Option<&Binding>) -> Result<std::path::PathBuf, AcmeFault> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match obtain(acme, state, binding).await {
            Err(AcmeFault::Busy) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(10)).await,
            outcome => return outcome,
        }
    }
}

impl Pebble {
    /// `more` is what else the authority's configuration says.
    fn start(more: &str) -> Pebble {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let authority = Authority::new("Authority of the directory");
        let own = authority.issue(&["localhost", "127.0.0.1"]);
        std::fs::write(path("ca.pem"), authority.certificate.pem()).unwrap();
        std::fs::write(path("own.pem"), own.certificate.pem()).unwrap();
        std::fs::write(path("own.key"), own.key.serialize_pem()).unwrap();
        let (port, dns, http, tls) = (free_port(), free_port(), free_port(), free_port());
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{port}", "managementListenAddress": "127.0.0.1:{}",
                "certificate": {:?}, "privateKey": {:?}, "httpPort": {http}, "tlsPort": {tls}, "ocspResponderURL": ""{more} }}}}"#,
            free_port(),
            path("own.pem"),
            path("own.key")
        );
        std::fs::write(path("pebble.json"), config).unwrap();
        let address = format!("127.0.0.1:{dns}");
        let none = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", ""];
        let mut names = vec!["-dns01", &address, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""];
        names.extend(&none[..6]);
        let management = format!("127.0.0.1:{}", free_port());
        names.extend(["-management", &management]);
        let config = path("pebble.json").display().to_string();
        let running = vec![
            start("pebble-challtestsrv", &names, &path("names.log")),
            start("pebble", &["-config", &config, "-dnsserver", &address], &path("pebble.log")),
        ];
        answers(port);
        answers(dns);
        Pebble { folder, port, http, tls, running }
    }

    fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    fn server(&self, challenge: &str, names: &[&str]) -> Arc<VirtualServer> {
        let listen = if challenge == "http-01" { self.http } else { self.tls };
        let text = format!(
            "[[virtual_server]]\nname = \"Test\"\nhome = \"home\"\n[virtual_server.access]\n\
             certificate = {{ acme = {names:?}, agree_to_terms = true, directory = \"https://127.0.0.1:{}/dir\", \
             directory_authority = \"ca.pem\", contact = \"postmaster@example.test\", challenge = {challenge:?}, \
             challenge_listen = \"127.0.0.1:{listen}\" }}\n\
             [[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n",
            self.port
        );
        let file = self.folder.path().join("mailroot.toml");
        std::fs::write(&file, &text).unwrap();
        let config = Config::parse(&text, &file.display().to_string(), "relay.local.test");
        config.unwrap_or_else(|problems| panic!("{problems:?}")).servers[0].clone()
    }

    fn acme(&self, challenge: &str, names: &[&str]) -> Acme {
        match &self.server(challenge, names).access.certificates[0] {
            CertificateSource::Acme(acme) => acme.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("pebble.log")).unwrap_or_default()
    }
}

fn read(file: &Path) -> Particulars {
    Particulars::read(&load::from_pem(file, file).unwrap().certificates[0]).unwrap()
}

#[tokio::test]
async fn a_certificate_is_obtained_by_both_challenges_and_the_account_is_kept() {
    let pebble = Pebble::start("");
    for challenge in ["http-01", "tls-alpn-01"] {
        let acme = pebble.acme(challenge, &NAMES);
        let file =
            obtained(&acme, &pebble.state(), None).await.unwrap_or_else(|fault| panic!("{fault}\n{}", pebble.log()));
        let particulars = read(&file);
        let mut names: Vec<&str> = particulars.names.iter().map(|name| &**name).collect();
        names.sort_unstable();
        assert_eq!(names, ["mail.example.test", "mx.example.test"]);
        assert!(particulars.issuer.contains("Pebble"), "{}", particulars.issuer);
        assert!(!is_due(&particulars, &acme, Clock::start().now()));
        // The address is closed again.
        assert!(TcpStream::connect(acme.challenge_listen).is_err());
    }
    let mode = |name: &str| pebble.state().join(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("acme"), mode("acme/certificates")), (0o700, 0o700, 0o700));
    assert_eq!(mode("acme/certificates/mx.example.test.pem"), 0o600);
    let accounts: Vec<_> = std::fs::read_dir(pebble.state().join("acme"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("account-"))
        .collect();
    assert_eq!(accounts.len(), 1, "one account for both: {accounts:?}");
    assert_eq!(mode(&format!("acme/{}", accounts[0])), 0o600);
    assert_eq!(pebble.log().matches("There are now 1 accounts in memory").count(), 1, "{}", pebble.log());
}

#[tokio::test]
async fn an_account_may_have_to_be_bound_to_a_customer() {
    let pebble = Pebble::start(&format!(
        ", \"externalAccountBindingRequired\": true, \"externalAccountMACKeys\": {{\"kid-1\": \"{BINDING_KEY}\"}}"
    ));
    let acme = pebble.acme("http-01", &NAMES);
    let refused = obtained(&acme, &pebble.state(), None).await.unwrap_err().to_string();
    assert!(refused.contains("externalAccountRequired"), "{refused}");
    let wrong = Binding::parse("kid-1", &BINDING_KEY.replace('z', "a")).unwrap();
    assert!(obtained(&acme, &pebble.state(), Some(&wrong)).await.is_err());
    let binding = Binding::parse("kid-1", &format!("{BINDING_KEY}\n")).unwrap();
    assert!(!format!("{binding:?}").contains(BINDING_KEY));
    obtained(&acme, &pebble.state(), Some(&binding)).await.unwrap();
    // From then on the account speaks for itself.
    obtained(&acme, &pebble.state(), None).await.unwrap();
    assert!(Binding::parse("kid", "no base64!").is_err());
}

#[tokio::test]
async fn what_goes_wrong_is_told_and_leaves_what_was_there() {
    let pebble = Pebble::start(", \"domainBlocklist\": [\"blocked-domain.example\"]");
    let acme = pebble.acme("http-01", &NAMES);
    let file = obtained(&acme, &pebble.state(), None).await.unwrap();
    let before = std::fs::read(&file).unwrap();

    // The address is taken.
    let taken = TcpListener::bind(acme.challenge_listen).unwrap();
    let fault = obtained(&acme, &pebble.state(), None).await.unwrap_err();
    assert!(matches!(fault, AcmeFault::NoStand(_)), "{fault}");
    assert!(fault.to_string().contains("challenge_listen"), "{fault}");
    drop(taken);

    // The authority looks elsewhere.
    let elsewhere = Acme { challenge_listen: ([127, 0, 0, 1], free_port()).into(), ..acme.clone() };
    let fault = obtained(&elsewhere, &pebble.state(), None).await.unwrap_err().to_string();
    assert!(fault.contains("could not check the proof") && fault.contains("mx.example.test"), "{fault}");

    // A name that it does not issue for.
    let policy = pebble.acme("http-01", &["blocked-domain.example"]);
    let fault = obtained(&policy, &pebble.state(), None).await.unwrap_err().to_string();
    assert!(fault.contains("the authority says") && fault.contains("blocked-domain.example"), "{fault}");

    // Somebody is asking already.
    let held = super::lock(&pebble.state().join("acme")).unwrap();
    assert!(matches!(obtain(&acme, &pebble.state(), None).await, Err(AcmeFault::Busy)));
    drop(held);

    // It cannot be reached, or is not who it should be.
    let gone = Acme { directory: format!("https://127.0.0.1:{}/dir", free_port()).into(), ..acme.clone() };
    let fault = obtained(&gone, &pebble.state(), None).await.unwrap_err().to_string();
    assert!(fault.contains("cannot be asked"), "{fault}");
    let strangers = pebble.folder.path().join("stranger.pem");
    std::fs::write(&strangers, Authority::new("Stranger").certificate.pem()).unwrap();
    let untrusted = Acme { directory_authority: Some(strangers), ..acme.clone() };
    let fault = obtained(&untrusted, &pebble.state(), None).await.unwrap_err().to_string();
    assert!(fault.contains("UnknownIssuer"), "{fault}");

    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn an_authority_that_has_forgotten_us_is_told_of() {
    let pebble = Pebble::start("");
    let acme = pebble.acme("http-01", &NAMES);
    obtained(&acme, &pebble.state(), None).await.unwrap();
    // Another one takes our account for its own.
    let other = Pebble::start("");
    let acme_there = other.acme("http-01", &NAMES);
    let folder = other.state().join("acme");
    crate::certificate::place::private_folder(&folder).unwrap();
    let account = |state: &Path, acme: &Acme| super::account::file(&state.join("acme"), &acme.directory);
    let file = account(&other.state(), &acme_there);
    std::fs::copy(account(&pebble.state(), &acme), &file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&pebble.port.to_string(), &other.port.to_string())).unwrap();
    let fault = obtained(&acme_there, &other.state(), None).await.unwrap_err().to_string();
    assert!(fault.contains("remove the file"), "{fault}");
    std::fs::remove_file(&file).unwrap();
    obtained(&acme_there, &other.state(), None).await.unwrap();
    // What lies there is no account at all.
    std::fs::write(&file, "nothing").unwrap();
    let fault = obtained(&acme_there, &other.state(), None).await.unwrap_err().to_string();
    assert!(fault.contains("remove it"), "{fault}");
}

/// Lifetimes of seconds: what is due is obtained, and shown to the next client without anybody's doing.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_renews_ahead_of_the_end() {
    let pebble = Pebble::start(", \"certificateValidityPeriod\": 12");
    let acme = pebble.acme("tls-alpn-01", &NAMES);
    let file = obtained(&acme, &pebble.state(), None).await.unwrap();
    let first = read(&file);
    assert!(first.not_after.0 - first.not_before.0 <= 13_000, "{first:?}");
    let clock = Clock::start();
    let server = pebble.server("tls-alpn-01", &NAMES);
    let (certificates, faults) = Certificates::open(&server, &pebble.state(), clock.now()).unwrap();
    assert!(faults.is_empty());
    let certificates = Arc::new(certificates);
    let keeper = Keeper::start(Arc::clone(&certificates), Log::nowhere(), clock.clone());
    let renewed = async {
        loop {
            let mut line = Line::new(certificates.credentials(), Caller::default());
            line.settle().unwrap();
            let shown = Particulars::read(&line.client.peer_certificates().unwrap()[0]).unwrap();
            if shown.fingerprint != first.fingerprint {
                return (shown, clock.now());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (shown, at) = tokio::time::timeout(Duration::from_secs(60), renewed).await.unwrap();
    assert!(at.0 >= first.not_after.0 - 5_000, "not before a third of its life is left");
    assert_eq!(shown.names.len(), 2);
    drop(keeper);
}
