//! The cryptography that we offer: rustls' choice of ciphers, by AWS-LC.

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;
use std::sync::{Arc, LazyLock};

/// One for all: it never changes.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    // AES with 128 bits first: as good for as long as mail lives, and its SHA-256, which processors have built in, makes a
    // handshake a tenth cheaper than SHA-384 does.
    provider.cipher_suites.sort_by_key(|suite| registered_name(suite.suite()).contains("AES_256"));
    Arc::new(provider)
});

/// The cryptography that we offer.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// The registered name of a cipher suite (RFC 8446 §B.4); rustls writes `TLS13_…`.
pub(super) fn registered_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}
