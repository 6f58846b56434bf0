//! What an account keeps of its password. None of it is ever printed but into the accounts file.

use smtp::sasl::{Secret, base64};
use std::fmt;

/// Memory of an argon2id hash, KiB: a hash that asks for more would let one log-on exhaust the machine.
pub const HASH_MEMORY_MAX: u32 = 262_144;
/// Passes of an argon2id hash.
pub const HASH_PASSES_MAX: u32 = 32;
/// Lanes of an argon2id hash.
pub const HASH_LANES_MAX: u32 = 16;
/// Rounds of SCRAM's key derivation: the client computes them, and an old printer needs seconds for a million.
pub const SCRAM_ITERATIONS_MAX: u32 = 10_000_000;
/// The least that RFC 7677 §4 wants.
pub const SCRAM_ITERATIONS_MIN: u32 = 4_096;

/// An argon2id hash in the form of the PHC: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
#[derive(Clone)]
pub struct PasswordHash {
    text: Secret,
    cost: Cost,
    salt: Box<[u8]>,
    hash: Secret,
}

/// What an argon2id hash costs.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cost {
    /// KiB.
    pub memory: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl PasswordHash {
    /// Takes a hash if it has the right form and its cost is within bounds.
    #[must_use]
    pub fn parse(text: &str) -> Option<PasswordHash> {
        let mut parts = text.split('$');
        let head = [parts.next()?, parts.next()?, parts.next()?];
        let (cost, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        if head != ["", "argon2id", "v=19"] || parts.next().is_some() {
            return None;
        }
        let salt = unpadded(salt).filter(|salt| (8..=64).contains(&salt.len()))?.into();
        let hash = unpadded(hash).filter(|hash| (16..=64).contains(&hash.len()))?;
        Some(PasswordHash {
            text: Secret::new(text.as_bytes().to_vec()),
            cost: Cost::parse(cost)?,
            salt,
            hash: Secret::new(hash),
        })
    }

    /// Puts a hash together that has been computed.
    #[must_use]
    pub fn compose(cost: Cost, salt: &[u8], hash: &[u8]) -> Option<PasswordHash> {
        let Cost { memory, passes, lanes } = cost;
        let (salt, hash) = (base64::encode(salt), base64::encode(hash));
        let (salt, hash) = (salt.trim_end_matches('='), hash.trim_end_matches('='));
        PasswordHash::parse(&format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}"))
    }

    /// The whole, for whoever writes the file.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.text.text().unwrap_or_default()
    }

    /// What it costs to check.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// The salt.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// What the function made of the password.
    #[must_use]
    pub fn hash(&self) -> &Secret {
        &self.hash
    }
}

/// Base64 without its padding, as the PHC form has it.
fn unpadded(text: &str) -> Option<Vec<u8>> {
    if text.contains('=') {
        return None;
    }
    base64::decode(format!("{text}{}", ["", "", "==", "="].get(text.len() % 4)?).as_bytes())
}

impl Cost {
    /// Reads `m=19456,t=2,p=1`, within the bounds.
    fn parse(text: &str) -> Option<Cost> {
        let mut parts = text.split(',');
        let mut number = |key: &str, least: u32, most: u32| {
            let digits = parts.next()?.strip_prefix(key)?;
            let number = digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
            (least..=most).contains(&number).then_some(number)
        };
        let (memory, passes) = (number("m=", 8, HASH_MEMORY_MAX)?, number("t=", 1, HASH_PASSES_MAX)?);
        let lanes = number("p=", 1, HASH_LANES_MAX)?;
        // Argon2 itself wants eight blocks a lane.
        (parts.next().is_none() && memory >= 8 * lanes).then_some(Cost { memory, passes, lanes })
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// MD4 of the password in UTF-16: whoever has it can log on with it, as if it were the password.
#[derive(Clone)]
pub struct NtHash(pub Secret);

impl fmt::Debug for NtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NtHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_hash_of_the_right_form_is_taken() {
        let hash = PasswordHash::parse(GOOD).unwrap();
        assert_eq!(hash.reveal(), GOOD);
        assert_eq!(hash.cost(), Cost { memory: 19_456, passes: 2, lanes: 1 });
        assert_eq!((hash.salt(), hash.hash().reveal()), (&b"somesaltsomesalt"[..], &[0; 32][..]));
        assert_eq!(PasswordHash::compose(hash.cost(), hash.salt(), &[0; 32]).unwrap().reveal(), GOOD);
        assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
    }

    #[test]
    fn every_part_is_checked() {
        for (part, wrong) in [
            ("argon2id", "argon2i"),
            ("$argon2id", "argon2id"),
            ("v=19", "v=16"),
            ("m=19456", "m=7"),
            ("m=19456", "m=262145"),
            ("m=19456", "m=4294967296"),
            ("m=19456", "m=+9456"),
            ("m=19456,", ""),
            ("t=2", "t=0"),
            ("t=2", "t=33"),
            ("p=1", "p=0"),
            ("p=1", "p=17"),
            ("p=1", "p=1,k=1"),
            ("m=19456,t=2,p=1", "m=16,t=2,p=4"),
            ("c29tZXNhbHRzb21lc2FsdA", "c2"),
            ("c29tZXNhbHRzb21lc2FsdA", "c29tZXNhbHR=b21lc2FsdA"),
            ("$AAAAA", "$"),
            ("$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", ""),
            ("$AAAAA", "$$AAAAA"),
        ] {
            let text = GOOD.replacen(part, wrong, 1);
            assert_ne!(text, GOOD);
            let cut = if wrong == "$" { format!("{}$AAAA", &text[..text.rfind('$').unwrap()]) } else { text };
            assert!(PasswordHash::parse(&cut).is_none(), "{cut}");
        }
        assert!(PasswordHash::parse("").is_none());
    }
}
