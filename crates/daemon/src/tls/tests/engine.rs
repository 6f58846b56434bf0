//! The engine against clients in memory: handshakes, facts, cuts, garbage, certificates of clients, choice by name.

use super::super::fixture::{Authority, Caller, Line, ONLY_TLS12, ONLY_TLS13, credentials, params_for};
use super::super::{Credentials, Inflow, TlsEngine, TlsVersion};
use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

#[test]
fn both_versions_carry_octets_both_ways_and_agree_on_the_facts() {
    for (versions, version) in [(ONLY_TLS13, TlsVersion::Tls13), (ONLY_TLS12, TlsVersion::Tls12)] {
        let mut line = Line::new(credentials(), Caller { versions, ..Caller::default() });
        assert!(line.engine.is_handshaking());
        line.settle().unwrap();
        line.say(b"EHLO there\r\n");
        line.engine.write_plain(b"250 fine\r\n");
        line.settle().unwrap();
        assert_eq!(line.plain, b"EHLO there\r\n");
        assert_eq!(line.read(), b"250 fine\r\n");

        let facts = line.engine.facts().unwrap();
        assert_eq!(facts.version, version);
        assert_eq!(facts.sni.as_deref(), Some("mx.example.test"));
        assert!(facts.cipher.starts_with("TLS_") && !facts.cipher.contains("unknown"), "{}", facts.cipher);
        let label = b"EXPORTER-Channel-Binding";
        let exporter = line.client.export_keying_material([0; 32], label, Some(b"")).unwrap();
        assert_eq!(facts.exporter, (version == TlsVersion::Tls13).then_some(exporter));
        let leaf = &line.client.peer_certificates().unwrap()[0];
        assert_eq!(*facts.server_end_point, crate::tls::facts::sha256(leaf));
        assert!(facts.client_certificate.is_none());
        assert!(!format!("{facts:?}").contains("exporter"));
    }
}

/// Whatever pieces the network makes of it, the session sees the same octets, and the client the same replies.
#[test]
fn any_split_of_the_octets_gives_the_same_plain_octets() {
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..60 {
        let versions = if round % 2 == 0 { ONLY_TLS13 } else { ONLY_TLS12 };
        let mut line = Line::new(credentials(), Caller { versions, ..Caller::default() });
        let size = random.usize(..70_000);
        let message: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size).collect();
        line.say(&message);
        let greatest = [1, 3, 17, 400, 5_000, 80_000][random.usize(..6)];
        let mut said = false;
        for exchange in 0.. {
            assert!(exchange < 20, "round {round}: they have nothing to say to each other");
            let wire = line.client_speaks();
            let mut rest = &wire[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(random.usize(1..=greatest.min(rest.len())));
                line.engine_hears(piece).unwrap();
                rest = after;
            }
            if !line.engine.is_handshaking() && !said {
                line.engine.write_plain(&message);
                said = true;
            }
            line.client_hears().unwrap();
            if said && !line.client.wants_write() {
                break;
            }
        }
        assert!(line.plain == message, "round {round}");
        assert!(line.read() == message, "round {round}");
    }
}

#[test]
fn only_a_close_notify_is_an_end() {
    let mut line = Line::new(credentials(), Caller::default());
    line.settle().unwrap();
    line.say(b"DATA\r\nhalf a mess");
    let wire = line.client_speaks();
    assert_eq!(line.engine_hears(&wire), Ok(Inflow::Open));
    assert!(!line.engine.is_closed(), "a channel that is cut here was cut");
    line.client.send_close_notify();
    let wire = line.client_speaks();
    assert_eq!(line.engine_hears(&wire), Ok(Inflow::Closed));
    assert!(line.engine.is_closed());
    // What comes after the end is nothing.
    assert_eq!(line.engine_hears(b"more"), Ok(Inflow::Closed));
    assert_eq!(line.plain, b"DATA\r\nhalf a mess");
    // We may still say our last words, and close, too.
    line.engine.write_plain(b"221 bye\r\n");
    line.engine.close();
    line.client_hears().unwrap();
    assert_eq!(line.read(), b"221 bye\r\n");
}

#[test]
fn a_changed_octet_breaks_the_channel_and_shows_nothing_of_it() {
    let mut line = Line::new(credentials(), Caller::default());
    line.settle().unwrap();
    line.say(b"RSET\r\n");
    let mut wire = line.client_speaks();
    let last = wire.len() - 1;
    wire[last] ^= 1;
    let failure = line.engine_hears(&wire).unwrap_err();
    assert!(!failure.in_handshake);
    assert!(line.plain.is_empty());
    assert!(!line.engine.is_closed());
    assert_eq!(line.engine_hears(b"anything").unwrap_err(), failure, "it stays broken");
    assert!(line.client_hears().is_err(), "the client was sent an alert");
}

#[test]
fn garbage_is_answered_with_an_alert_and_nothing_else() {
    let mut random = fastrand::Rng::with_seed(7);
    let garbage: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(4_000).collect();
    let smtp = b"EHLO client.example\r\nMAIL FROM:<a@example.com>\r\n".to_vec();
    // A record that says handshake and has none in it; one of no length; one that is longer than any may be.
    let shapes =
        [&b"\x16\x03\x01\x00\x04abcd"[..], b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\xff\xff", b"GET / HTTP/1.1\r\n\r\n"];
    for octets in shapes.iter().map(|shape| shape.repeat(40)).chain([garbage, smtp]) {
        let mut engine = TlsEngine::new(credentials());
        let mut plain = Vec::new();
        let failure = engine.read_tls(&octets, &mut |chunk| plain.extend_from_slice(chunk)).unwrap_err();
        assert!(failure.in_handshake, "{failure}");
        assert!(plain.is_empty());
        let answer = engine.take_tls();
        assert!(answer.is_empty() || answer[0] == 21, "{answer:?}: an alert or nothing");
    }
}

#[test]
fn a_first_flight_changed_anywhere_never_gets_through() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..300 {
        let mut line = Line::new(credentials(), Caller::default());
        let mut wire = line.client_speaks();
        // Not in the record's header, whose version says nothing and is not part of what is compared.
        let at = random.usize(5..wire.len());
        wire[at] ^= 1 << random.u8(..8);
        if line.engine_hears(&wire).is_ok() {
            // The change may be one that both sides notice only when they compare what they saw.
            let _ = line.client_hears();
            let answer = line.client_speaks();
            let _ = line.engine_hears(&answer);
        }
        assert!(line.engine.is_handshaking(), "octet {at}");
        assert!(line.plain.is_empty());
    }
}

#[test]
fn the_greatest_first_words_have_an_end() {
    // A ClientHello that never ends: handshake records full of its body.
    let mut engine = TlsEngine::new(credentials());
    let mut record = vec![0x16, 3, 1, 0x40, 0];
    record.extend([0; 0x4000]);
    record[5..9].copy_from_slice(&[1, 0, 0xff, 0xff]);
    let mut taken = 0;
    let failed = std::iter::repeat_n((), 20).any(|()| {
        let failed = engine.read_tls(&record, &mut |_| ()).is_err();
        taken += record.len();
        record[5..9].copy_from_slice(&[0; 4]);
        failed
    });
    assert!(failed && taken < 100_000, "{taken} octets taken");
}

#[test]
fn a_name_gets_its_own_certificate_then_a_wildcard_then_the_first() {
    let authority = Authority::new("Test CA");
    let sets: [&[&str]; 4] =
        [&["default.test"], &["*.example.test", "example.test"], &["mx.example.test"], &["*.deep.example.test"]];
    let signed: Vec<_> = sets.iter().map(|names| authority.issue(names)).collect();
    let pairs = signed.iter().map(|signed| signed.pair(&authority)).collect();
    let credentials = Arc::new(Credentials::new(pairs, None).unwrap());
    for (asked, shown) in [
        ("mx.example.test", 2),
        ("MX.Example.Test", 2),
        ("other.example.test", 1),
        ("example.test", 1),
        ("a.b.example.test", 0),
        ("x.deep.example.test", 3),
        ("deep.example.test", 1),
        ("default.test", 0),
        ("elsewhere.test", 0),
        // An address is no name: no SNI is sent.
        ("192.0.2.1", 0),
    ] {
        let mut line = Line::new(Arc::clone(&credentials), Caller { sni: asked, ..Caller::default() });
        line.settle().unwrap();
        let leaf = line.client.peer_certificates().unwrap()[0].clone();
        assert!(&leaf == signed[shown].certificate.der(), "{asked}");
        let facts = line.engine.facts().unwrap();
        assert_eq!(*facts.server_end_point, crate::tls::facts::sha256(&leaf), "{asked}");
    }
}

/// An old client that does not understand the first key gets the other one.
#[test]
fn of_two_certificates_for_a_name_a_client_gets_the_one_it_understands() {
    let authority = Authority::new("Test CA");
    let names = params_for(&["mx.example.test"]);
    let key = |algorithm| rcgen::KeyPair::generate_for(algorithm).unwrap();
    let ecdsa = authority.sign(&names, key(&rcgen::PKCS_ECDSA_P256_SHA256));
    let rsa = authority.sign(&names, key(&rcgen::PKCS_RSA_SHA256));
    for (pairs, preferred) in [([&ecdsa, &rsa], &ecdsa), ([&rsa, &ecdsa], &rsa)] {
        let pairs = pairs.iter().map(|signed| signed.pair(&authority)).collect();
        let credentials = Arc::new(Credentials::new(pairs, None).unwrap());
        let shown = |schemes: Option<SignatureScheme>| {
            let mut caller = Caller::default();
            if let Some(scheme) = schemes {
                caller.schemes = vec![scheme];
            }
            let mut line = Line::new(Arc::clone(&credentials), caller);
            line.settle().unwrap();
            line.client.peer_certificates().unwrap()[0].clone()
        };
        assert_eq!(shown(None), *preferred.certificate.der());
        assert_eq!(shown(Some(SignatureScheme::RSA_PSS_SHA256)), *rsa.certificate.der());
        assert_eq!(shown(Some(SignatureScheme::ECDSA_NISTP256_SHA256)), *ecdsa.certificate.der());
    }
}

#[test]
fn a_clients_certificate_is_asked_for_and_may_be_left_out() {
    let authority = Authority::new("Clients' CA");
    let server = authority.issue(&["mx.example.test"]);
    let credentials = Arc::new(Credentials::new(vec![server.pair(&authority)], Some(authority.roots())).unwrap());

    let mut line = Line::new(Arc::clone(&credentials), Caller::default());
    line.settle().unwrap();
    assert!(line.engine.facts().unwrap().client_certificate.is_none());

    let mut params = params_for(&["Printer.Example.test"]);
    params.subject_alt_names.push(rcgen::SanType::Rfc822Name("scan@example.test".try_into().unwrap()));
    let client = authority.sign(&params, rcgen::KeyPair::generate().unwrap());
    for versions in [ONLY_TLS13, ONLY_TLS12] {
        let certificate = Some((client.chain(&authority), client.key_der()));
        let mut line = Line::new(Arc::clone(&credentials), Caller { versions, certificate, ..Caller::default() });
        line.settle().unwrap();
        let shown = line.engine.facts().unwrap().client_certificate.clone().unwrap();
        assert_eq!(shown.sha256, crate::tls::facts::sha256(client.certificate.der()));
        assert_eq!(shown.fingerprint().len(), "sha256:".len() + 64);
        assert_eq!(*shown.names, ["printer.example.test".into(), "scan@example.test".into()]);
        assert_eq!(&*shown.subject, "CN=Printer.Example.test");
    }
}

#[test]
fn a_wrong_certificate_of_a_client_is_none() {
    let authority = Authority::new("Clients' CA");
    let server = authority.issue(&["mx.example.test"]);
    let credentials = Arc::new(Credentials::new(vec![server.pair(&authority)], Some(authority.roots())).unwrap());
    let stranger = Authority::new("Strangers' CA");
    let namesake = Authority::new("Clients' CA");
    let mut expired = params_for(&["old.example.test"]);
    expired.not_before = rcgen::date_time_ymd(2020, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let mut future = params_for(&["new.example.test"]);
    future.not_before = rcgen::date_time_ymd(2090, 1, 1);
    future.not_after = rcgen::date_time_ymd(2091, 1, 1);
    let mut servers_only = params_for(&["server.example.test"]);
    servers_only.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = || rcgen::KeyPair::generate().unwrap();
    for (what, signer, signed) in [
        ("of a stranger", &stranger, stranger.issue(&["x.test"])),
        ("of a namesake of the authority", &namesake, namesake.issue(&["x.test"])),
        ("expired", &authority, authority.sign(&expired, key())),
        ("not yet valid", &authority, authority.sign(&future, key())),
        ("for servers only", &authority, authority.sign(&servers_only, key())),
    ] {
        for versions in [ONLY_TLS13, ONLY_TLS12] {
            let certificate = Some((signed.chain(signer), signed.key_der()));
            let mut line = Line::new(Arc::clone(&credentials), Caller { versions, certificate, ..Caller::default() });
            line.settle().unwrap();
            let facts = line.engine.facts().unwrap();
            assert!(facts.client_certificate.is_none(), "{what}: {facts:?}");
        }
    }
}

#[test]
fn a_ticket_makes_the_next_handshake_short_and_keeps_the_clients_identity() {
    let authority = Authority::new("Clients' CA");
    let server = authority.issue(&["mx.example.test"]);
    let client = authority.issue(&["printer.example.test"]);
    let credentials = Arc::new(Credentials::new(vec![server.pair(&authority)], Some(authority.roots())).unwrap());
    for versions in [ONLY_TLS13, ONLY_TLS12] {
        let certificate = Some((client.chain(&authority), client.key_der()));
        let config = Arc::new(Caller { versions, certificate, ..Caller::default() }.config());
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut line = Line::new(Arc::clone(&credentials), Caller::default());
            let name = "mx.example.test".try_into().unwrap();
            line.client = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
            line.settle().unwrap();
            let facts = line.engine.facts().unwrap();
            assert_eq!(*facts.server_end_point, crate::tls::facts::sha256(server.certificate.der()));
            seen.push((line.client.handshake_kind().unwrap(), facts.client_certificate.clone().unwrap()));
        }
        assert_eq!(seen[0].0, rustls::HandshakeKind::Full);
        assert_eq!(seen[1].0, rustls::HandshakeKind::Resumed);
        assert_eq!(seen[0].1, seen[1].1);
    }
}

#[test]
fn the_end_point_is_hashed_as_the_certificate_is_signed() {
    let authority = Authority::new("Test CA");
    let len = |algorithm| {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = params_for(&["x.test"]);
        let own: CertificateDer<'static> = params.self_signed(&key).unwrap().der().clone();
        crate::tls::facts::end_point(&own).len()
    };
    assert_eq!(len(&rcgen::PKCS_ECDSA_P256_SHA256), 32);
    assert_eq!(len(&rcgen::PKCS_ECDSA_P384_SHA384), 48);
    assert_eq!(len(&rcgen::PKCS_RSA_SHA512), 64);
    assert_eq!(len(&rcgen::PKCS_ED25519), 0, "not defined");
    assert_eq!(crate::tls::facts::end_point(b"no certificate").len(), 0);
    drop(authority);
}

#[test]
fn an_engine_is_small() {
    assert!(size_of::<TlsEngine>() <= 96, "{}", size_of::<TlsEngine>());
}
