//! Base64 as AUTH writes it: the standard alphabet, padded, in one piece, and nothing else is taken for it.
//!
//! RFC 4648 §4; RFC 4954 §4 (no line breaks, no characters from outside the alphabet).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The octets in base64.
#[must_use]
pub fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for three in octets.chunks(3) {
        let word = three.iter().fold(0u32, |word, octet| word << 8 | u32::from(*octet)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// The octets that a text in base64 stands for; `None` if it is not base64, or not the one way to write them.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|octet| **octet == b'=').count();
    let digits = &text[..text.len() - padding];
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    for four in digits.chunks(4) {
        let mut word = 0u32;
        for digit in four {
            word = word << 6 | u32::from(value(*digit)?);
        }
        let missing = 4 - four.len();
        word <<= 6 * missing;
        // What the padding leaves over must be nothing: each value has one spelling.
        if word.trailing_zeros() < 8 * u32::try_from(missing).unwrap_or(0) {
            return None;
        }
        octets.extend_from_slice(&word.to_be_bytes()[1..4 - missing]);
    }
    Some(octets)
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard() {
        // RFC 4648 §10
        for (octets, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        {
            assert_eq!(encode(octets.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(octets.as_bytes()));
        }
    }

    #[test]
    fn every_octet_at_every_place_comes_back() {
        for length in 0..9 {
            for octet in 0..=255u8 {
                let octets: Vec<u8> = (0..length).map(|i| octet.wrapping_mul(i + 1)).collect();
                assert_eq!(decode(encode(&octets).as_bytes()), Some(octets));
            }
        }
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in [
            "Z", "Zg", "Zg=", "Zg===", "=", "==", "====", "Zh==", "Zm9=", "Zm 9", "Zm9v\r\n", "Zg==Zg==", "Zm-_",
            "Zm9v=", "Z===", "Zm9\0",
        ] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
    }
}
