//! Certificates for scripted servers, made once for all tests: a good one, and each kind of bad one.

use crate::tls::fixture::{Authority, Signed, params_for};
use crate::tls::provider;
use relay::config::terms::{Terms, TlsPolicy};
use rustls::ServerConfig;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

/// Every address and name that a scripted server may have.
const NAMES: [&str; 5] = ["peer.test", "relay.test", "127.0.0.1", "127.0.0.2", "127.0.0.3"];

struct Identities {
    servers: HashMap<&'static str, Arc<ServerConfig>>,
    authority: PathBuf,
    _folder: tempfile::TempDir,
}

static IDENTITIES: LazyLock<Identities> = LazyLock::new(|| {
    let (authority, stranger) = (Authority::new("Test CA"), Authority::new("Stranger"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.certificate.pem()).unwrap();
    let dated = |from: i32, to: i32| {
        let mut params = params_for(&NAMES);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        authority.sign(&params, rcgen::KeyPair::generate().unwrap())
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let own = Signed { certificate: params_for(&NAMES).self_signed(&key).unwrap(), key };
    let server = |signed: &Signed, authority: &Authority| {
        let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(signed.chain(authority), signed.key_der());
        Arc::new(config.unwrap())
    };
    let servers = [
        ("good", server(&authority.issue(&NAMES), &authority)),
        ("expired", server(&dated(2020, 2021), &authority)),
        ("future", server(&dated(2080, 2081), &authority)),
        ("other", server(&authority.issue(&["other.test"]), &authority)),
        ("self-signed", server(&own, &authority)),
        ("unknown", server(&stranger.issue(&NAMES), &stranger)),
    ];
    Identities { servers: servers.into_iter().collect(), authority: file, _folder: folder }
});

/// The bad ones, and what is said of each.
pub(super) const BAD: [(&str, &str); 5] = [
    ("expired", "expired on 2021-01-01"),
    ("future", "holds only from 2080-01-01"),
    ("other", "its certificate is for other.test, not for"),
    ("self-signed", "its certificate is self-signed"),
    ("unknown", "was issued by CN=Stranger, which is not trusted"),
];

pub(super) fn server(name: &str) -> Arc<ServerConfig> {
    Arc::clone(&IDENTITIES.servers[name])
}

/// Terms that trust the authority of the good one.
pub(super) fn terms(tls: TlsPolicy) -> Terms {
    Terms { tls, authorities: Some(IDENTITIES.authority.clone()), ..Terms::plain() }
}
