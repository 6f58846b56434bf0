//! Certificates in files: what is taken, what is refused with which words, reload, warnings.

use crate::clock::Clock;
use crate::log::Log;
use crate::tls::fixture::{Authority, Caller, Line, Signed, params_for};
use crate::tls::{Certificates, Keeper, NoCertificate, Particulars, Standing, TlsFault, WARN_DAYS, expiry_mark};
use relay::config::{Config, VirtualServer};
use smtp::time::Timestamp;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const DAY: i64 = 24 * 3600 * 1000;

fn now() -> Timestamp {
    Clock::start().now()
}

/// A folder with certificates and the virtual server that shows them.
pub(super) struct Shelf {
    pub(super) folder: TempDir,
    pub(super) authority: Authority,
}

impl Shelf {
    pub(super) fn new() -> Shelf {
        Shelf { folder: TempDir::new().unwrap(), authority: Authority::new("Test CA") }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let file = self.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(super) fn put(&self, name: &str, signed: &Signed) {
        self.write(&format!("{name}.pem"), signed.certificate.pem() + &self.authority.certificate.pem());
        self.write(&format!("{name}.key"), signed.key.serialize_pem());
    }

    /// `access` is what stands after `certificate = ` and below.
    pub(super) fn server(&self, access: &str) -> Arc<VirtualServer> {
        let text = format!(
            "[[virtual_server]]\nname = \"Test\"\nhome = \"home\"\n[virtual_server.access]\ncertificate = {access}\n\
             [[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n"
        );
        let file = self.path().join("mailroot.toml").display().to_string();
        let config = Config::parse(&text, &file, "relay.local.test");
        config.unwrap_or_else(|problems| panic!("{problems:?}")).servers[0].clone()
    }

    pub(super) fn open(&self, access: &str) -> Result<(Certificates, Vec<TlsFault>), NoCertificate> {
        Certificates::open(&self.server(access), &self.path().join("state"), now())
    }

    pub(super) fn refused(&self, access: &str) -> String {
        self.open(access).map(drop).unwrap_err().to_string().replace(&self.path().display().to_string(), "")
    }
}

/// Whom a client that asks for this name gets to see.
pub(super) fn shown(certificates: &Certificates, sni: &'static str) -> Vec<u8> {
    let mut line = Line::new(certificates.credentials(), Caller { sni, ..Caller::default() });
    line.settle().unwrap();
    line.client.peer_certificates().unwrap()[0].to_vec()
}

const MX: &str = "{ file = \"mx.pem\", key = \"mx.key\" }";

#[test]
fn a_pair_in_two_files_or_in_one_is_shown() {
    let shelf = Shelf::new();
    let signed = shelf.authority.issue(&["mx.example.test"]);
    shelf.put("mx", &signed);
    shelf.write("both.pem", signed.key.serialize_pem() + &signed.certificate.pem());
    for access in [MX, "{ file = \"both.pem\" }"] {
        let (certificates, faults) = shelf.open(access).unwrap();
        assert!(faults.is_empty());
        assert_eq!(shown(&certificates, "mx.example.test"), signed.certificate.der().to_vec());
    }
}

#[test]
fn the_order_of_a_chain_does_not_matter_to_us_and_is_right_for_clients() {
    let shelf = Shelf::new();
    let signed = shelf.authority.issue(&["mx.example.test"]);
    let stranger = Authority::new("Nobody asked");
    shelf.put("mx", &signed);
    let parts = [stranger.certificate.pem(), shelf.authority.certificate.pem(), signed.certificate.pem()];
    shelf.write("mx.pem", parts.concat());
    let (certificates, faults) = shelf.open(MX).unwrap();
    assert!(faults.is_empty());
    let mut line = Line::new(certificates.credentials(), Caller::default());
    line.settle().unwrap();
    let chain = line.client.peer_certificates().unwrap();
    assert_eq!(chain, [signed.certificate.der().clone(), shelf.authority.certificate.der().clone()]);
}

#[test]
fn what_cannot_be_used_is_refused_with_what_to_do() {
    let shelf = Shelf::new();
    let signed = shelf.authority.issue(&["mx.example.test"]);
    let other = shelf.authority.issue(&["other.example.test"]);
    shelf.put("mx", &signed);
    assert_eq!(
        shelf.refused("{ file = \"none.pem\", key = \"mx.key\" }"),
        "/none.pem cannot be read: No such file or directory (os error 2)"
    );
    shelf.write("other.key", other.key.serialize_pem());
    assert_eq!(
        shelf.refused("{ file = \"mx.pem\", key = \"other.key\" }"),
        "the key /other.key does not belong to the certificate /mx.pem; give the key with which it was requested"
    );
    shelf.write("empty.pem", "");
    let text = shelf.refused("{ file = \"empty.pem\", key = \"mx.key\" }");
    assert!(text.contains("no certificate in it"), "{text}");
    let text = shelf.refused("{ file = \"mx.pem\", key = \"empty.pem\" }");
    assert!(text.contains("no private key in it"), "{text}");
    shelf.write("der.pem", signed.certificate.der());
    let text = shelf.refused("{ file = \"der.pem\", key = \"mx.key\" }");
    assert!(text.contains("openssl x509 -inform der"), "{text}");
    shelf.write("cut.pem", &signed.certificate.pem()[..300]);
    let text = shelf.refused("{ file = \"cut.pem\", key = \"mx.key\" }");
    assert!(text.contains("/cut.pem: "), "{text}");
    shelf.write("large.pem", vec![b'x'; 2 << 20]);
    let text = shelf.refused("{ file = \"large.pem\", key = \"mx.key\" }");
    assert!(text.contains("larger than"), "{text}");
    let text = shelf.refused("{ acme = [\"mx.example.test\"], agree_to_terms = true }");
    assert!(text.contains("mailroot certificate acme"), "{text}");
}

#[test]
fn a_key_that_everybody_may_read_is_taken_for_known() {
    let shelf = Shelf::new();
    shelf.put("mx", &shelf.authority.issue(&["mx.example.test"]));
    let key = shelf.path().join("mx.key");
    for (mode, refused) in [(0o644, true), (0o604, true), (0o602, true), (0o640, false), (0o600, false)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let opened = shelf.open(MX);
        assert_eq!(opened.is_err(), refused, "{mode:o}");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(
        shelf.refused(MX),
        "/mx.key is secret, but others on this machine may read it; mend it with: chmod 600 /mx.key"
    );
}

fn with_dates(shelf: &Shelf, from: (i32, u8), to: (i32, u8)) -> Signed {
    let mut params = params_for(&["mx.example.test"]);
    params.not_before = rcgen::date_time_ymd(from.0, from.1, 1);
    params.not_after = rcgen::date_time_ymd(to.0, to.1, 1);
    shelf.authority.sign(&params, rcgen::KeyPair::generate().unwrap())
}

#[test]
fn an_expired_certificate_and_one_of_the_future_are_refused() {
    let shelf = Shelf::new();
    shelf.put("mx", &with_dates(&shelf, (2020, 1), (2021, 2)));
    let text = shelf.refused(MX);
    assert!(text.contains("expired on 2021-02-01T00:00:00") && text.contains("self-signed"), "{text}");
    shelf.put("mx", &with_dates(&shelf, (2090, 1), (2091, 2)));
    let text = shelf.refused(MX);
    assert!(text.contains("only from 2090-01-01T00:00:00") && text.contains("clock"), "{text}");
}

#[test]
fn one_bad_certificate_among_good_ones_is_left_out_and_told() {
    let shelf = Shelf::new();
    let good = shelf.authority.issue(&["good.example.test"]);
    shelf.put("good", &good);
    let access = "[{ file = \"bad.pem\", key = \"bad.key\" }, { file = \"good.pem\", key = \"good.key\" }]";
    let (certificates, faults) = shelf.open(access).unwrap();
    assert_eq!(faults.len(), 1);
    assert_eq!(shown(&certificates, "elsewhere.test"), good.certificate.der().to_vec());
}

#[test]
fn a_file_of_authorities_that_cannot_be_read_is_no_reason_to_trust_everybody() {
    let shelf = Shelf::new();
    shelf.put("mx", &shelf.authority.issue(&["mx.example.test"]));
    let access = format!("{MX}\nclient_certificate = {{ authority = \"clients.pem\" }}");
    let text = shelf.refused(&access);
    assert!(text.contains("/clients.pem cannot be read"), "{text}");
    shelf.write("clients.pem", shelf.authority.certificate.pem());
    assert!(shelf.open(&access).is_ok());
}

#[test]
fn a_changed_file_is_shown_to_those_who_come_later_and_drops_nobody() {
    let shelf = Shelf::new();
    let (old, new) = (shelf.authority.issue(&["mx.example.test"]), shelf.authority.issue(&["mx.example.test"]));
    shelf.put("mx", &old);
    let (certificates, _) = shelf.open(MX).unwrap();
    assert!(certificates.refresh(now()).is_none(), "nothing has changed");
    let mut talking = Line::new(certificates.credentials(), Caller::default());
    talking.settle().unwrap();
    // One whose handshake has begun, too.
    let mut beginning = Line::new(certificates.credentials(), Caller::default());
    let hello = beginning.client_speaks();
    beginning.engine_hears(&hello[..10]).unwrap();

    shelf.put("mx", &new);
    assert!(certificates.refresh(now()).unwrap().is_empty());
    assert_eq!(shown(&certificates, "mx.example.test"), new.certificate.der().to_vec());

    talking.say(b"NOOP\r\n");
    talking.settle().unwrap();
    assert_eq!(talking.plain, b"NOOP\r\n");
    beginning.engine_hears(&hello[10..]).unwrap();
    beginning.client_hears().unwrap();
    beginning.settle().unwrap();
    assert_eq!(beginning.client.peer_certificates().unwrap()[0], *old.certificate.der());
}

#[test]
fn a_bad_new_file_keeps_the_old_pair_and_is_told_once() {
    let shelf = Shelf::new();
    let (first, second) = (shelf.authority.issue(&["a.test"]), shelf.authority.issue(&["b.test"]));
    shelf.put("a", &first);
    shelf.put("b", &second);
    let access = "[{ file = \"a.pem\", key = \"a.key\" }, { file = \"b.pem\", key = \"b.key\" }]";
    let (certificates, _) = shelf.open(access).unwrap();

    // Half replaced: a new certificate, and still the old key. And the other one is replaced as it should be.
    let third = shelf.authority.issue(&["a.test"]);
    shelf.write("a.pem", third.certificate.pem());
    let fourth = shelf.authority.issue(&["b.test"]);
    shelf.put("b", &fourth);
    let faults = certificates.refresh(now()).unwrap();
    assert!(matches!(faults[..], [TlsFault::Mismatch { .. }]), "{faults:?}");
    assert_eq!(shown(&certificates, "a.test"), first.certificate.der().to_vec());
    assert_eq!(shown(&certificates, "b.test"), fourth.certificate.der().to_vec());
    assert!(certificates.refresh(now()).is_none(), "said once");

    shelf.write("a.key", third.key.serialize_pem());
    assert!(certificates.refresh(now()).unwrap().is_empty());
    assert_eq!(shown(&certificates, "a.test"), third.certificate.der().to_vec());

    // Gone, or expired: the old one is better.
    std::fs::remove_file(shelf.path().join("a.pem")).unwrap();
    assert!(matches!(certificates.refresh(now()).unwrap()[..], [TlsFault::Unreadable { .. }]));
    shelf.put("a", &with_dates(&shelf, (2020, 1), (2021, 1)));
    assert_eq!(certificates.refresh(now()).unwrap().len(), 1);
    assert_eq!(shown(&certificates, "a.test"), third.certificate.der().to_vec());
}

/// Handshakes never fail while the files are exchanged over and over, half a pair at a time.
#[test]
fn reload_under_load_never_shows_half_a_pair() {
    let shelf = Shelf::new();
    shelf.put("mx", &shelf.authority.issue(&["mx.example.test"]));
    let (certificates, _) = shelf.open(MX).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    /// However this test ends, its clients do.
    struct Stop<'s>(&'s std::sync::atomic::AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let stopping = Stop(&stop);
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut handshakes = 0;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        shown(&certificates, "mx.example.test");
                        handshakes += 1;
                    }
                    handshakes
                })
            })
            .collect();
        for _ in 0..25 {
            let new = shelf.authority.issue(&["mx.example.test"]);
            shelf.write("mx.pem", new.certificate.pem());
            let faults = certificates.refresh(now()).unwrap();
            assert!(matches!(faults[..], [TlsFault::Mismatch { .. }]), "{faults:?}");
            shelf.write("mx.key", new.key.serialize_pem());
            assert!(certificates.refresh(now()).unwrap().is_empty());
            assert_eq!(shown(&certificates, "mx.example.test"), new.certificate.der().to_vec());
        }
        drop(stopping);
        for client in clients {
            assert!(client.join().unwrap() > 0);
        }
    });
}

#[test]
fn the_end_is_announced_at_21_7_and_1_days_and_when_it_is_there() {
    let shelf = Shelf::new();
    shelf.put("mx", &with_dates(&shelf, (2026, 1), (2090, 1)));
    let (certificates, _) = shelf.open(MX).unwrap();
    let end = Timestamp::parse_rfc3339("2090-01-01T00:00:00Z").unwrap();
    let mut told = Vec::new();
    // Every hour of the last thirty days and two more.
    for hour in -30 * 24..2 * 24 {
        let now = Timestamp(end.0 + hour * DAY / 24);
        told.extend(certificates.warnings(now).into_iter().map(|text| (hour, text)));
    }
    let hours: Vec<i64> = told.iter().map(|(hour, _)| *hour).collect();
    assert_eq!(hours, [-21 * 24 + 1, -7 * 24 + 1, -24 + 1, 1], "{told:?}");
    assert!(told[0].1.contains("mx.example.test expires in 20 days (2090-01-01"), "{}", told[0].1);
    assert!(told[2].1.contains("expires within a day"), "{}", told[2].1);
    assert!(told[3].1.contains("has expired"), "{}", told[3].1);

    let der = certificates.credentials().pairs().next().unwrap().leaf().to_vec();
    let particulars = Particulars::read(&der).unwrap();
    assert_eq!(expiry_mark(&particulars, Timestamp(end.0 - 22 * DAY)), None);
    assert_eq!(expiry_mark(&particulars, Timestamp(end.0 - 5 * DAY)), Some(WARN_DAYS[1]));
    assert_eq!(particulars.standing(end), Standing::Valid);
    assert_eq!(particulars.standing(Timestamp(end.0 + 1)), Standing::Expired);
    assert_eq!(&*particulars.key, "ECDSA P-256");
    assert!(!particulars.is_self_signed());
}

#[tokio::test(start_paused = true)]
async fn the_keeper_takes_over_what_changes() {
    let shelf = Shelf::new();
    shelf.put("mx", &shelf.authority.issue(&["mx.example.test"]));
    let certificates = Arc::new(shelf.open(MX).unwrap().0);
    let keeper = Keeper::start(Arc::clone(&certificates), Log::nowhere(), Clock::start());
    let new = shelf.authority.issue(&["mx.example.test"]);
    shelf.put("mx", &new);
    let taken = async {
        while shown(&certificates, "mx.example.test") != new.certificate.der().to_vec() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), taken).await.unwrap();
    drop(keeper);
}
