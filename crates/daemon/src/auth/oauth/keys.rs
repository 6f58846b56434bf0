//! The keys that an issuer publishes (RFC 7517 §5).

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// Keys of one issuer that are looked at.
pub const KEYS_MAX: usize = 100;

/// An issuer's keys for signatures.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<Box<str>>,
    /// If the issuer says that it is for this algorithm alone.
    algorithm: Option<Box<str>>,
    key: DecodingKey,
}

impl Keys {
    /// Reads a set; keys of kinds that we do not know are left out.
    pub(super) fn read(set: &Value) -> Option<Keys> {
        let list = set.get("keys")?.as_array()?;
        Some(Keys(list.iter().take(KEYS_MAX).filter_map(Key::read).collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that may have signed a token with this header.
    pub(super) fn matching(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let name = format!("{algorithm:?}");
        self.0
            .iter()
            .filter(move |key| id.is_none() || key.id.as_deref() == id)
            .filter(move |key| key.algorithm.as_deref().is_none_or(|only| only == name))
            .filter(move |key| key.key.family().algorithms().contains(&algorithm))
            .map(|key| &key.key)
    }
}

impl Key {
    fn read(value: &Value) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        if matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption)) {
            return None;
        }
        // A shared secret has no place among published keys.
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|key| key.family() != jsonwebtoken::AlgorithmFamily::Hmac)?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(Into::into);
        Some(Key { id: text("kid"), algorithm: text("alg"), key })
    }
}
