//! HMAC over the hashes that SCRAM and NTLM use (RFC 2104), both with blocks of 64 octets.

use sha2::Digest;
use zeroize::Zeroizing;

const BLOCK: usize = 64;

/// A hash that has taken in its key, ready for any number of messages.
#[derive(Clone)]
pub(super) struct Keyed<D> {
    inner: D,
    outer: D,
}

impl<D: Digest + Clone> Keyed<D> {
    pub(super) fn new(key: &[u8]) -> Keyed<D> {
        let mut block = Zeroizing::new([0; BLOCK]);
        if key.len() > BLOCK {
            for (place, octet) in block.iter_mut().zip(D::digest(key)) {
                *place = octet;
            }
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let padded = |pad: u8| D::new().chain_update(Zeroizing::new(block.map(|octet| octet ^ pad)).as_slice());
        Keyed { inner: padded(0x36), outer: padded(0x5c) }
    }

    /// The code of the parts, one after the other.
    pub(super) fn code(&self, parts: &[&[u8]]) -> sha2::digest::Output<D> {
        let inner = parts.iter().fold(self.inner.clone(), Digest::chain_update);
        self.outer.clone().chain_update(inner.finalize()).finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Sha256;

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn the_examples_of_rfc_4231() {
        for (key, text, code) in [
            (&[0x0b; 20][..], &b"Hi There"[..], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(&Keyed::<Sha256>::new(key).code(&[text])), code);
            let (head, tail) = text.split_at(3);
            assert_eq!(hex(&Keyed::<Sha256>::new(key).code(&[head, tail])), code);
        }
    }
}
