//! The client's side against our server's side in memory: handshakes, demands, sessions taken up again, files that change.

mod with_openssl;

use super::super::fixture::{Authority, Signed, params_for};
use super::super::{Credentials, TlsEngine, TlsFailure, TlsVersion};
use super::{ClientEngine, ClientSetup, ClientSetups};
use crate::clock::Clock;
use relay::channel::Checked;
use relay::config::terms::{Owner, Terms, TlsPolicy};
use relay::route::protection::{Because, Channel, Dane, Protection};
use relay::route::tlsa::{DaneMatching, DaneRecord, DaneSelector, DaneUsage};
use rustls::sign::CertifiedKey;
use smtp::address::{Domain, Host};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const NAME: &str = "mx.example.test";

/// A folder with an authority's certificate, and setups that read it.
struct Desk {
    folder: TempDir,
    authority: Authority,
    setups: Arc<ClientSetups>,
    terms: Terms,
}

impl Desk {
    fn new() -> Desk {
        let (folder, authority) = (TempDir::new().unwrap(), Authority::new("Test CA"));
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, authority.certificate.pem()).unwrap();
        let setups = Arc::new(ClientSetups::new(folder.path().join("state"), Clock::start()));
        let terms = Terms { authorities: Some(file), ..Terms::plain() };
        Desk { folder, authority, setups, terms }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn setup(&self, protection: &Protection) -> ClientSetup {
        self.setups.of(&self.terms, protection, None).await.unwrap()
    }

    /// A server with a certificate of the authority for these names.
    fn server(&self, names: &[&str]) -> Arc<Credentials> {
        shown(&[&self.authority.issue(names)], &self.authority)
    }

    /// What comes of a handshake with this server under this protection: what is known of the channel, or why there is none.
    async fn meet(&self, server: &Arc<Credentials>, protection: &Protection) -> Result<Checked, String> {
        let mut duo = Duo::new(self.setup(protection).await, server);
        match duo.settle() {
            Ok(()) => Ok(duo.client.facts().unwrap().checked),
            Err(failure) => {
                assert!(failure.in_handshake && duo.heard.is_empty(), "nothing is said to the wrong one");
                Err(failure.to_string())
            }
        }
    }
}

/// A server that shows the first of these; the rest, and the authority, come along.
fn shown(chain: &[&Signed], authority: &Authority) -> Arc<Credentials> {
    let mut certificates: Vec<_> = chain.iter().map(|signed| signed.certificate.der().clone()).collect();
    certificates.push(authority.certificate.der().clone());
    let key = chain[0].key_der();
    let key = CertifiedKey::from_der(certificates, key, &super::super::provider()).unwrap();
    Arc::new(Credentials::new(vec![Arc::new(super::super::Pair::new(key).unwrap())], None).unwrap())
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn under(tls: TlsPolicy) -> Protection {
    Protection::of_terms(tls, &Host::Name(domain(NAME)))
}

fn dane(records: Vec<DaneRecord>, names: &[&str]) -> Protection {
    let dane = Dane { records, names: names.iter().map(|name| domain(name)).collect() };
    Protection { channel: Channel::Dane(dane), because: Because::Dane, ..under(TlsPolicy::Opportunistic) }
}

/// A record about this certificate.
fn record(usage: DaneUsage, selector: DaneSelector, matching: DaneMatching, of: &[u8]) -> DaneRecord {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, certificate) = X509Certificate::from_der(of).unwrap();
    let part = match selector {
        DaneSelector::Certificate => of,
        DaneSelector::PublicKey => certificate.tbs_certificate.subject_pki.raw,
    };
    let digest = |how| aws_lc_rs::digest::digest(how, part).as_ref().into();
    let data = match matching {
        DaneMatching::Whole => part.into(),
        DaneMatching::Sha256 => digest(&aws_lc_rs::digest::SHA256),
        DaneMatching::Sha512 => digest(&aws_lc_rs::digest::SHA512),
    };
    DaneRecord { usage, selector, matching, data }
}

/// Both sides, joined by memory.
struct Duo {
    client: ClientEngine,
    server: TlsEngine,
    /// What the server has heard from the session.
    heard: Vec<u8>,
    /// What the client has heard.
    told: Vec<u8>,
}

impl Duo {
    fn new(setup: ClientSetup, credentials: &Arc<Credentials>) -> Duo {
        let client = ClientEngine::new(setup).unwrap();
        Duo { client, server: TlsEngine::new(credentials.clone()), heard: Vec::new(), told: Vec::new() }
    }

    /// Lets both talk until neither has anything to say; the client's failure, if it has one.
    fn settle(&mut self) -> Result<(), TlsFailure> {
        loop {
            let mut wire = Vec::new();
            while self.client.wants_write() {
                self.client.write_to(&mut wire).unwrap();
            }
            let heard = &mut self.heard;
            let _ = self.server.read_tls(&wire, &mut |plain| heard.extend_from_slice(plain));
            let back = self.server.take_tls();
            let told = &mut self.told;
            self.client.read_tls(&back, &mut |plain| told.extend_from_slice(plain))?;
            if wire.is_empty() && back.is_empty() {
                return Ok(());
            }
        }
    }

    fn say(&mut self, pieces: &[&[u8]]) {
        let pieces: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.client.write_plain(&pieces);
    }
}

#[tokio::test]
async fn octets_go_both_ways_and_both_agree_on_the_facts() {
    let desk = Desk::new();
    let server = desk.server(&[NAME]);
    let mut duo = Duo::new(desk.setup(&under(TlsPolicy::Verified)).await, &server);
    duo.settle().unwrap();
    duo.say(&[b"MAIL FROM:<a@b.test>\r\n", b"DATA\r\n"]);
    duo.server.write_plain(b"220 hello\r\n");
    duo.settle().unwrap();
    assert_eq!((&duo.heard[..], &duo.told[..]), (&b"MAIL FROM:<a@b.test>\r\nDATA\r\n"[..], &b"220 hello\r\n"[..]));
    let (ours, theirs) = (duo.client.facts().unwrap(), duo.server.facts().unwrap());
    assert_eq!((ours.version, ours.cipher), (TlsVersion::Tls13, theirs.cipher));
    assert_eq!((ours.exporter, &ours.server_end_point), (theirs.exporter, &theirs.server_end_point));
    assert_eq!(theirs.sni.as_deref(), Some(NAME));
    assert_eq!(ours.secured().checked, Checked::Name);
    assert!(!format!("{ours:?} {:?}", duo.client).contains("exporter"));
}

#[tokio::test]
async fn many_pieces_become_few_records() {
    let desk = Desk::new();
    let mut duo = Duo::new(desk.setup(&under(TlsPolicy::Required)).await, &desk.server(&[NAME]));
    duo.settle().unwrap();
    let piece = [b'x'; 100];
    duo.say(&[&piece[..]; 100]);
    let mut wire = Vec::new();
    while duo.client.wants_write() {
        duo.client.write_to(&mut wire).unwrap();
    }
    assert!(wire.len() < 100 * 100 + 64, "{} octets: one record, and not one for each piece", wire.len());
    duo.server.read_tls(&wire, &mut |plain| duo.heard.extend_from_slice(plain)).unwrap();
    assert_eq!(duo.heard.len(), 100 * 100);
}

#[tokio::test]
async fn only_a_close_notify_is_an_end_and_garbage_ends_the_channel() {
    let desk = Desk::new();
    let server = desk.server(&[NAME]);
    let mut duo = Duo::new(desk.setup(&under(TlsPolicy::Required)).await, &server);
    duo.settle().unwrap();
    duo.server.write_plain(b"250 ok\r\n");
    duo.server.close();
    let back = duo.server.take_tls();
    let inflow = duo.client.read_tls(&back, &mut |plain| duo.told.extend_from_slice(plain)).unwrap();
    assert_eq!((inflow, &duo.told[..]), (super::super::Inflow::Closed, &b"250 ok\r\n"[..]));

    let mut duo = Duo::new(desk.setup(&under(TlsPolicy::Required)).await, &server);
    let failure = duo.client.read_tls(b"554 no TLS here\r\n", &mut |_| panic!("it is not plain")).unwrap_err();
    assert_eq!(failure.to_string(), "the server does not speak TLS");
    assert!(duo.client.read_tls(b"more", &mut |_| ()).is_err(), "it stays so");
    assert!(duo.client.wants_write(), "an alert");
}

#[tokio::test]
async fn a_server_is_told_who_we_are_if_it_asks() {
    let desk = Desk::new();
    let own = desk.authority.issue(&["relay.example.test"]);
    std::fs::write(desk.path().join("own.pem"), own.certificate.pem()).unwrap();
    std::fs::write(desk.path().join("own.key"), own.key.serialize_pem()).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(desk.path().join("own.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let certificate =
        relay::config::CertificateSource::Pem { file: desk.path().join("own.pem"), key: desk.path().join("own.key") };
    let pair = desk.authority.issue(&[NAME]).pair(&desk.authority);
    let asking = Arc::new(Credentials::new(vec![pair], Some(desk.authority.roots())).unwrap());
    let terms = Terms { certificate: Some(certificate), ..desk.terms.clone() };
    let setup = desk.setups.of(&terms, &under(TlsPolicy::Verified), None).await.unwrap();
    let mut duo = Duo::new(setup, &asking);
    duo.settle().unwrap();
    let known = duo.server.facts().unwrap().client_certificate.clone().unwrap();
    assert_eq!(&*known.names, ["relay.example.test".into()]);

    std::fs::set_permissions(desk.path().join("own.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let fresh = Arc::new(ClientSetups::new(desk.path().join("state"), Clock::start()));
    let fault = fresh.of(&terms, &under(TlsPolicy::Verified), None).await.unwrap_err();
    assert!(fault.to_string().contains("chmod 600"), "{fault}");
}

#[tokio::test]
async fn dane_ee_looks_at_the_key_alone() {
    use DaneMatching::{Sha256, Sha512, Whole};
    use DaneSelector::{Certificate, PublicKey};
    let desk = Desk::new();
    // Of nobody's authority, for another name, out of date.
    let mut params = params_for(&["another.test"]);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let stranger = Authority::new("Stranger");
    let signed = stranger.sign(&params, rcgen::KeyPair::generate().unwrap());
    let server = shown(&[&signed], &stranger);
    for selector in [Certificate, PublicKey] {
        for matching in [Whole, Sha256, Sha512] {
            let good = record(DaneUsage::EndEntity, selector, matching, signed.certificate.der());
            let mut bad = good.clone();
            bad.data[0] ^= 1;
            let met = desk.meet(&server, &dane(vec![bad.clone(), good], &[NAME])).await;
            assert_eq!(met, Ok(Checked::Dane), "{selector:?} {matching:?}");
            let refused = desk.meet(&server, &dane(vec![bad], &[NAME])).await.unwrap_err();
            assert!(refused.contains("none of the 1 TLSA records of mx.example.test fits"), "{refused}");
        }
    }
    // The host's key as an authority's is no authority.
    let as_authority = record(DaneUsage::TrustAnchor, PublicKey, Sha256, signed.certificate.der());
    assert!(desk.meet(&server, &dane(vec![as_authority], &["another.test"])).await.is_err());
}

#[tokio::test]
async fn dane_ta_wants_chain_dates_and_one_of_the_names() {
    use DaneMatching::{Sha256, Whole};
    use DaneSelector::{Certificate, PublicKey};
    let desk = Desk::new();
    let private = Authority::new("Private");
    let signed = private.issue(&["mail.example.test"]);
    let server = shown(&[&signed], &private);
    let of = |selector, matching| record(DaneUsage::TrustAnchor, selector, matching, private.certificate.der());
    for (selector, matching) in [(Certificate, Whole), (Certificate, Sha256), (PublicKey, Whole), (PublicKey, Sha256)] {
        let both = dane(vec![of(selector, matching)], &[NAME, "mail.example.test"]);
        assert_eq!(desk.meet(&server, &both).await, Ok(Checked::Dane), "{selector:?} {matching:?}");
        let refused = desk.meet(&server, &dane(vec![of(selector, matching)], &[NAME])).await.unwrap_err();
        assert_eq!(refused, "its certificate is for mail.example.test, not for mx.example.test");
    }
    let mut params = params_for(&[NAME]);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let old = shown(&[&private.sign(&params, rcgen::KeyPair::generate().unwrap())], &private);
    let refused = desk.meet(&old, &dane(vec![of(PublicKey, Sha256)], &[NAME])).await.unwrap_err();
    assert!(refused.contains("expired on 2020-01-01"), "{refused}");
    // The authority of the terms does not help where DANE demands another.
    let ours = desk.server(&[NAME]);
    assert!(desk.meet(&ours, &dane(vec![of(PublicKey, Sha256)], &[NAME])).await.is_err());
}

#[tokio::test]
async fn a_session_is_taken_up_again_but_never_under_another_demand() {
    let desk = Desk::new();
    let server = desk.server(&[NAME]);
    let mut resumed = Vec::new();
    for tls in [
        TlsPolicy::Opportunistic,
        TlsPolicy::Required,
        TlsPolicy::Verified,
        TlsPolicy::Verified,
        TlsPolicy::Implicit,
        TlsPolicy::Opportunistic,
    ] {
        let mut duo = Duo::new(desk.setup(&under(tls)).await, &server);
        duo.settle().unwrap();
        let facts = duo.client.facts().unwrap();
        resumed.push(facts.resumed);
        assert_eq!(facts.checked == Checked::Name, matches!(tls, TlsPolicy::Verified | TlsPolicy::Implicit));
    }
    assert_eq!(resumed, [false, true, false, true, true, true]);
    // Another owner with the same files begins anew.
    let terms = Terms { owner: Owner::SmartHost("office".into()), ..desk.terms.clone() };
    let setup = desk.setups.of(&terms, &under(TlsPolicy::Verified), None).await.unwrap();
    let mut duo = Duo::new(setup, &server);
    duo.settle().unwrap();
    assert!(!duo.client.facts().unwrap().resumed);
}

/// What was read once counts until it is forgotten, or looked at again.
#[tokio::test]
async fn what_is_forgotten_is_made_anew() {
    let desk = Desk::new();
    let server = desk.server(&[NAME]);
    let protection = under(TlsPolicy::Verified);
    assert_eq!(desk.meet(&server, &protection).await, Ok(Checked::Name));
    let setup = desk.setup(&protection).await;
    desk.setups.forget(&setup);
    std::fs::write(desk.path().join("ca.pem"), Authority::new("Another").certificate.pem()).unwrap();
    let refused = desk.meet(&server, &protection).await.unwrap_err();
    assert!(refused.contains("was issued by CN=Test CA"), "{refused}");
}

#[tokio::test]
async fn without_files_there_is_a_reason() {
    let desk = Desk::new();
    for (text, words) in [("", "there is no certificate in it"), ("-----BEGIN CERTIFICATE-----\n", "no good PEM")] {
        let file = desk.path().join("broken.pem");
        std::fs::write(&file, text).unwrap();
        let terms = Terms { authorities: Some(file), ..desk.terms.clone() };
        let fault = desk.setups.of(&terms, &under(TlsPolicy::Verified), None).await.unwrap_err();
        assert!(fault.to_string().contains(words), "{fault}");
        // Where nobody is checked, nobody looks at it.
        assert!(desk.setups.of(&terms, &under(TlsPolicy::Required), None).await.is_ok());
    }
}
